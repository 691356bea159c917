//! Questions to the API: within limits, asked again where that can help; and orders, which never are.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use exec::Cancel;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Plain;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use octocrab::Octocrab;
use octocrab::models::{AppId, InstallationId};
use tokio::runtime::Runtime;

use super::rate;
use super::redirect::{is_loopback, scrubbed};
use super::settings::{Credential, GithubSettings, Secret};
use crate::forge::ForgeError;

/// Largest answer of the API that is read.
const MAX_ANSWER: usize = 64 << 20;
/// The forge renews a limit that often.
const RENEWED: Duration = Duration::from_secs(60 * 60);
/// How often a wait looks whether it was cancelled.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Answers kept for conditional requests, and the largest of them.
const KEPT_ANSWERS: usize = 64;
const KEPT_BYTES: usize = 4 << 20;

/// Body of an answer.
pub(super) type Body = BoxBody<Bytes, String>;

/// An answer whose body was read.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The connection to one forge.
pub(super) struct Client {
    runtime: Option<Runtime>,
    settings: GithubSettings,
    api: Uri,
    asking: Mutex<Asking>,
    plain: Plain<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// What changes from question to question.
struct Asking {
    /// Shared, not cloned: a clone would forget the installation's token that it asked for.
    octocrab: Option<(Arc<Octocrab>, Secret)>,
    kept: BTreeMap<String, (HeaderValue, Answer)>,
    not_before: Option<Instant>,
}

impl Client {
    pub(super) fn new(settings: GithubSettings) -> Result<Client, ForgeError> {
        let api = checked_api(&settings)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("forge")
            .enable_all()
            .build()
            .map_err(ForgeError::io("start the forge's client"))?;
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(ForgeError::io("read this machine's certificates"))?
            .https_or_http()
            .enable_http1()
            .build();
        let plain = {
            let _in_runtime = runtime.enter();
            Plain::builder(TokioExecutor::new()).build(connector)
        };
        Ok(Client {
            runtime: Some(runtime),
            api,
            asking: Mutex::new(Asking {
                octocrab: None,
                kept: BTreeMap::new(),
                not_before: None,
            }),
            plain,
            settings,
        })
    }

    pub(super) fn settings(&self) -> &GithubSettings {
        &self.settings
    }

    /// Path below the API of this client's repository.
    pub(super) fn repository(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", self.settings.repository)
    }

    /// An address of this API as its path; any other is refused.
    pub(super) fn own_path(&self, uri: &Uri) -> Result<String, String> {
        let own = (self.api.scheme_str(), self.api.authority());
        if (uri.scheme_str(), uri.authority()) != own {
            return Err("an address of another host".into());
        }
        let path = uri.path_and_query().map(ToString::to_string);
        Ok(path.unwrap_or_default())
    }

    /// An answer of the API: 200 and what is not found alike; everything that waiting can mend was
    /// waited for.
    pub(super) fn get(
        &self,
        path: &str,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<Answer, ForgeError> {
        let answer = self.ask(path, doing, cancel)?;
        match answer.status.as_u16() {
            200 => Ok(answer),
            404 | 410 => Err(ForgeError::NoSuchRun {
                id: path.split('?').next().unwrap_or_default().to_owned(),
                what: format!("the forge answers {}", answer.status.as_u16()),
            }),
            403 => Err(ForgeError::Forbidden {
                what: doing.to_owned(),
            }),
            status => Err(ForgeError::malformed(doing, format!("status {status}"))),
        }
    }

    /// Any answer that is no matter of credentials, rates or luck.
    pub(super) fn ask(
        &self,
        path: &str,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<Answer, ForgeError> {
        let patience = self.settings.patience;
        let mut failures = 0;
        let mut refreshed = false;
        loop {
            self.wait_for_turn(doing, cancel)?;
            let answer = match self.once(path, doing, cancel) {
                Err(ForgeError::Network { what, .. }) => Err(what),
                Err(other) => return Err(other),
                Ok(answer) if answer.status.is_server_error() => {
                    Err(format!("status {}", answer.status.as_u16()))
                }
                Ok(answer) => Ok(answer),
            };
            let answer = match answer {
                Ok(answer) => answer,
                Err(what) => {
                    failures += 1;
                    if failures >= patience.tries {
                        return Err(network(doing, what));
                    }
                    pause(backoff(&patience, failures), cancel)?;
                    continue;
                }
            };
            if answer.status == StatusCode::UNAUTHORIZED {
                if refreshed || !self.forget_credential(cancel)? {
                    return Err(ForgeError::Unauthorised {
                        what: "status 401".into(),
                    });
                }
                refreshed = true;
                continue;
            }
            let slow = rate::pause(
                answer.status,
                &answer.headers,
                &answer.body,
                patience.secondary,
            );
            let Some(slow) = slow else {
                return Ok(answer);
            };
            failures += 1;
            self.keep_away(slow);
            if slow > patience.longest || failures >= patience.tries {
                return Err(ForgeError::RateLimited {
                    wait_s: slow.as_secs(),
                });
            }
            tracing::info!(seconds = slow.as_secs(), "the forge asks to slow down");
        }
    }

    /// Nobody asks while the forge wants to be left alone.
    fn wait_for_turn(&self, doing: &str, cancel: &Cancel) -> Result<(), ForgeError> {
        let not_before = self.asking().not_before;
        let left = not_before.map(|at| at.saturating_duration_since(Instant::now()));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            if left > self.settings.patience.longest {
                return Err(ForgeError::RateLimited {
                    wait_s: left.as_secs(),
                });
            }
            tracing::debug!(doing, ?left, "waits for the forge's rate limit");
            pause(left, cancel)?;
        }
        Ok(())
    }

    /// Nobody asks for so long, whoever comes next; a limit of the forge is renewed every hour.
    fn keep_away(&self, slow: Duration) {
        self.asking().not_before = Instant::now().checked_add(slow.min(RENEWED));
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an order, once. A failure of the network leaves open whether it arrived.
    pub(super) fn post(
        &self,
        path: &str,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<Answer, ForgeError> {
        self.wait_for_turn(doing, cancel)?;
        let octocrab = self.octocrab(cancel)?;
        let uri: Uri = path
            .parse()
            .map_err(|_| ForgeError::malformed(doing, "no path of the API"))?;
        let answer = self.block_on(async {
            let sent = octocrab._post(uri, None::<&()>);
            let response = self.within(sent, doing, cancel).await?;
            self.answer(response, doing, cancel).await
        })?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(ForgeError::Unauthorised {
                what: "status 401".into(),
            });
        }
        let secondary = self.settings.patience.secondary;
        match rate::pause(answer.status, &answer.headers, &answer.body, secondary) {
            None => Ok(answer),
            Some(slow) => {
                self.keep_away(slow);
                Err(ForgeError::RateLimited {
                    wait_s: slow.as_secs(),
                })
            }
        }
    }

    /// An answer with its body.
    async fn answer<B>(
        &self,
        response: Result<Response<B>, octocrab::Error>,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<Answer, ForgeError>
    where
        B: http_body::Body<Data = Bytes, Error = octocrab::Error> + Send + Sync + 'static,
    {
        let response = response.map_err(|error| network(doing, cause(&error)))?;
        let (parts, body) = response.into_parts();
        let mut body = body.map_err(|error| cause(&error)).boxed();
        let body = self.whole(&mut body, doing, cancel).await?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    fn once(&self, path: &str, doing: &str, cancel: &Cancel) -> Result<Answer, ForgeError> {
        let octocrab = self.octocrab(cancel)?;
        let known = self.asking().kept.get(path).cloned();
        let mut headers = HeaderMap::new();
        headers.insert(
            http::header::ACCEPT,
            HeaderValue::from_static("application/vnd.github+json"),
        );
        headers.insert(
            "x-github-api-version",
            HeaderValue::from_static("2022-11-28"),
        );
        if let Some((etag, _)) = &known {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        let uri: Uri = path
            .parse()
            .map_err(|_| ForgeError::malformed(doing, "no path of the API"))?;
        let answer = self.block_on(async {
            let asked = octocrab._get_with_headers(uri, Some(headers));
            let response = self.within(asked, doing, cancel).await?;
            self.answer(response, doing, cancel).await
        })?;
        if answer.status == StatusCode::NOT_MODIFIED
            && let Some((_, known)) = known
        {
            return Ok(known);
        }
        self.keep(path, &answer);
        Ok(answer)
    }

    fn keep(&self, path: &str, answer: &Answer) {
        let Some(etag) = answer.headers.get(ETAG) else {
            return;
        };
        if answer.status != StatusCode::OK || answer.body.len() > KEPT_BYTES {
            return;
        }
        let mut asking = self.asking();
        if asking.kept.len() >= KEPT_ANSWERS {
            asking.kept.clear();
        }
        asking
            .kept
            .insert(path.to_owned(), (etag.clone(), answer.clone()));
    }

    /// The typed client with today's credential.
    fn octocrab(&self, cancel: &Cancel) -> Result<Arc<Octocrab>, ForgeError> {
        if let Some((octocrab, _)) = &self.asking().octocrab {
            return Ok(Arc::clone(octocrab));
        }
        let secret = self.secret(cancel)?;
        let octocrab = Arc::new(self.build(&secret)?);
        self.asking().octocrab = Some((Arc::clone(&octocrab), secret));
        Ok(octocrab)
    }

    fn secret(&self, cancel: &Cancel) -> Result<Secret, ForgeError> {
        let source = match &self.settings.credential {
            Credential::Token(source) | Credential::App { key: source, .. } => source,
        };
        source.read(&self.settings.environment, cancel)
    }

    fn build(&self, secret: &Secret) -> Result<Octocrab, ForgeError> {
        let wrong = |what: String| ForgeError::Settings {
            what,
            remedy: "mend `[github]` in the machine settings".into(),
        };
        let broken = |error: octocrab::Error| wrong(cause(&error));
        let _in_runtime = self.runtime().map(Runtime::enter);
        let builder = Octocrab::builder()
            .base_uri(self.api.to_string())
            .map_err(broken)?
            .set_connect_timeout(Some(self.settings.patience.idle));
        match &self.settings.credential {
            Credential::Token(_) => {
                let token = secret.expose();
                // What cannot stand in a header would stop the client with a panic.
                if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(wrong("the token holds characters that no token has".into()));
                }
                builder
                    .personal_token(token.to_owned())
                    .build()
                    .map_err(broken)
            }
            Credential::App {
                app_id,
                installation_id,
                ..
            } => builder
                .app_from_rsa_pem(AppId::from(*app_id), secret.expose())
                .map_err(|_| wrong("the app's key is no RSA key in PEM".into()))?
                .build()
                .and_then(|app| app.installation(InstallationId::from(*installation_id)))
                .map_err(broken),
        }
    }

    /// Reads the credential anew; true when it is another one, or may be.
    fn forget_credential(&self, cancel: &Cancel) -> Result<bool, ForgeError> {
        if matches!(self.settings.credential, Credential::App { .. }) {
            // The client has renewed the installation's token already.
            return Ok(false);
        }
        let newer = self.secret(cancel)?;
        let mut asking = self.asking();
        let same = asking
            .octocrab
            .as_ref()
            .is_some_and(|(_, old)| *old == newer);
        asking.octocrab = None;
        Ok(!same)
    }

    /// An answer of any host, asked without a credential.
    pub(super) fn open_plain(
        &self,
        uri: &Uri,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<Response<Body>, ForgeError> {
        let request = Request::get(uri.clone())
            .header(http::header::USER_AGENT, "greenloop")
            .body(Empty::new())
            .map_err(|_| ForgeError::malformed(doing, "no address"))?;
        self.block_on(async {
            let asked = self.plain.request(request);
            let response = self.within(asked, doing, cancel).await?;
            let response = response.map_err(|error| network(doing, cause(&error)))?;
            Ok(response.map(|body| body.map_err(|error| cause(&error)).boxed()))
        })
    }

    /// The next bytes of a body; `None` at its end.
    pub(super) fn next_bytes(
        &self,
        body: &mut Body,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<Option<Bytes>, ForgeError> {
        self.block_on(self.next(body, doing, cancel))
    }

    async fn next(
        &self,
        body: &mut Body,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<Option<Bytes>, ForgeError> {
        loop {
            let frame = self.within(body.frame(), doing, cancel).await?;
            match frame {
                None => return Ok(None),
                Some(Err(what)) => return Err(network(doing, what)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    async fn whole(
        &self,
        body: &mut Body,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<Bytes, ForgeError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next(body, doing, cancel).await? {
            all.extend_from_slice(&bytes);
            if all.len() > MAX_ANSWER {
                let what = format!("it is longer than {MAX_ANSWER} bytes");
                return Err(ForgeError::malformed(doing, what));
            }
        }
        Ok(all.into())
    }

    /// Waits for something, at most for the idle time, and not once cancelled.
    async fn within<F: Future>(
        &self,
        future: F,
        doing: &str,
        cancel: &Cancel,
    ) -> Result<F::Output, ForgeError> {
        let mut future = pin!(future);
        let until = Instant::now() + self.settings.patience.idle;
        loop {
            if let Ok(output) = tokio::time::timeout(LOOK_AGAIN, &mut future).await {
                return Ok(output);
            }
            if cancel.is_cancelled() {
                return Err(ForgeError::Cancelled);
            }
            if Instant::now() >= until {
                let seconds = self.settings.patience.idle.as_secs();
                return Err(network(doing, format!("nothing came for {seconds} s")));
            }
        }
    }

    fn block_on<T>(
        &self,
        future: impl Future<Output = Result<T, ForgeError>>,
    ) -> Result<T, ForgeError> {
        match self.runtime() {
            Some(runtime) => runtime.block_on(future),
            None => Err(ForgeError::Cancelled),
        }
    }

    fn runtime(&self) -> Option<&Runtime> {
        self.runtime.as_ref()
    }
}

impl Drop for Client {
    /// The last owner may be a task of another runtime, where waiting for this one is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// `https`, or this machine itself where that is allowed.
fn checked_api(settings: &GithubSettings) -> Result<Uri, ForgeError> {
    let wrong = |what: &str| ForgeError::Settings {
        what: format!("`api_url` of the forge {what}"),
        remedy: "write `https://HOST`, such as https://api.github.com or https://HOST/api/v3"
            .into(),
    };
    let api: Uri = settings
        .api_url
        .trim_end_matches('/')
        .parse()
        .map_err(|_| wrong("is no address"))?;
    let authority = api.authority().ok_or_else(|| wrong("names no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("carries a user name"));
    }
    match api.scheme_str() {
        Some("https") => Ok(api),
        Some("http") if settings.allow_insecure_loopback && is_loopback(authority.host()) => {
            Ok(api)
        }
        _ => Err(wrong("is not https")),
    }
}

pub(super) fn backoff(patience: &super::Patience, failures: u32) -> Duration {
    patience
        .backoff
        .saturating_mul(1 << failures.saturating_sub(1).min(8))
}

/// Waits, unless somebody asks to stop.
pub(super) fn pause(time: Duration, cancel: &Cancel) -> Result<(), ForgeError> {
    match cancel.wait(time) {
        true => Err(ForgeError::Cancelled),
        false => Ok(()),
    }
}

pub(super) fn network(doing: &str, what: impl Into<String>) -> ForgeError {
    ForgeError::Network {
        doing: doing.to_owned(),
        what: what.into(),
    }
}

/// An error with its causes, without what could be secret in addresses.
fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    let first: String = text
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect();
    scrubbed(&first)
}
