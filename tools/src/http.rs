//! Streamable HTTP on any byte stream. Nothing here opens a port.
//!
//! A request is looked at in this order: its path, its Host and Origin, its bearer token, the length
//! of its body; only then is it read as a message. The only Origin that passes is the endpoint's own,
//! under which there is no page.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::server::ServeError;

/// The one path that is served.
pub const PATH: &str = "/mcp";
/// Longest body of a request, bytes.
pub const MAX_BODY_BYTES: usize = 4 << 20;
/// A session that says nothing for this long is over; the longest wait of a tool is shorter.
const SESSION_IDLE: Duration = Duration::from_secs(3600);
/// Longest time between the beginning and the end of a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest head of a request, bytes.
const HEAD_BYTES: usize = 64 << 10;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// One HTTP endpoint with its sessions, shared by all its connections.
pub struct Endpoint<S> {
    service: StreamableHttpService<S, LocalSessionManager>,
    token: String,
    stop: CancellationToken,
}

impl<S: ServerHandler> Endpoint<S> {
    /// An endpoint that believes to be reached at `port` of this machine's loopback addresses, and
    /// answers whoever shows `token`. `server` makes the server of each session.
    pub fn new(
        port: u16,
        token: String,
        server: impl Fn() -> S + Send + Sync + 'static,
    ) -> Arc<Self> {
        let stop = CancellationToken::new();
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
        let config = StreamableHttpServerConfig::default()
            .with_allowed_origins(hosts.iter().map(|host| format!("http://{host}")))
            .with_allowed_hosts(hosts)
            .enforce_origin_validation()
            .with_max_request_body_bytes(MAX_BODY_BYTES)
            .with_cancellation_token(stop.clone());
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(SESSION_IDLE);
        let service = StreamableHttpService::new(move || Ok(server()), Arc::new(sessions), config);
        Arc::new(Self {
            service,
            token,
            stop,
        })
    }

    /// Ends all sessions and connections.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Serves the requests of one connection until either side closes it or the endpoint stops.
    ///
    /// # Errors
    /// The client broke HTTP, or left in the middle of an answer.
    pub async fn serve<I>(self: Arc<Self>, stream: I) -> Result<(), ServeError>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stop = self.stop.clone();
        let answer = service_fn(move |request| {
            let endpoint = Arc::clone(&self);
            async move { Ok::<_, Infallible>(endpoint.handle(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), answer);
        tokio::select! {
            served = connection => served.map_err(|error| ServeError::Session(error.to_string())),
            () = stop.cancelled() => Ok(()),
        }
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> Answer
    where
        B: Body + Send + 'static,
        B::Data: Send + 'static,
        B::Error: std::fmt::Display,
    {
        if request.uri().path() != PATH {
            return plain(StatusCode::NOT_FOUND, "only /mcp is served here");
        }
        if !self.knows(request.headers()) {
            let mut refused = plain(StatusCode::UNAUTHORIZED, "a bearer token is needed");
            refused
                .headers_mut()
                .insert(WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
            return refused;
        }
        self.service.handle(request).await
    }

    /// True for exactly one `Authorization` header with the token, compared in constant time.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return false;
        };
        let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return false;
        };
        let same: bool = token.as_bytes().ct_eq(self.token.as_bytes()).into();
        scheme.eq_ignore_ascii_case("bearer") && same
    }
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *response.status_mut() = status;
    response
}
