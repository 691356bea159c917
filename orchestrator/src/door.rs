//! A loopback port for MCP over HTTP, in the process of whoever asked for it.
//!
//! This process owns the port and the token; the daemon opens none. Each connection is piped to the
//! agent's socket, behind which the daemon's endpoint checks Host, Origin and token and serves MCP. A
//! stream of its own holds the endpoint open: when this process ends, for whatever reason, the
//! endpoint ends too.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::daemon::{read_frame, write_frame};
use crate::place::Place;
use crate::wire::{Hello, HttpDoor};

/// Random bytes of a token and of an endpoint's id.
const TOKEN_BYTES: usize = 32;
const ID_BYTES: usize = 16;

/// An open door: where it is, and the file with the token.
pub(crate) struct Door {
    listener: TcpListener,
    held: UnixStream,
    id: String,
    socket: PathBuf,
    token_file: PathBuf,
    read_only: bool,
}

impl Door {
    /// Binds the address, writes the token for its owner alone, and has the daemon open an endpoint.
    pub(crate) async fn open(place: &Place, address: SocketAddr, read_only: bool) -> Result<Self> {
        if !address.ip().is_loopback() {
            bail!("{address} is not a loopback address; pass 127.0.0.1:PORT");
        }
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen at {address}"))?;
        let port = listener.local_addr()?.port();
        let (token, id) = (random_hex(TOKEN_BYTES)?, random_hex(ID_BYTES)?);
        let token_file = place.sockets.join(format!("http-{port}.token"));
        write_token(&token_file, &token)?;
        let socket = place.agent_socket();
        let open = HttpDoor::Open {
            id: id.clone(),
            port,
            token,
        };
        let held = greeted(&socket, read_only, open).await?;
        Ok(Self {
            listener,
            held,
            id,
            socket,
            token_file,
            read_only,
        })
    }

    /// The URL that clients are given.
    pub(crate) fn url(&self) -> Result<String> {
        let address = self.listener.local_addr()?;
        Ok(format!("http://{address}{}", tools::PATH))
    }

    pub(crate) fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// Pipes connections until the process is told to stop or the daemon goes away.
    pub(crate) async fn serve(mut self) -> Result<()> {
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut byte = [0];
        let ended = loop {
            tokio::select! {
                _ = &mut stop => break Ok(()),
                _ = terminate.recv() => break Ok(()),
                _ = self.held.read(&mut byte) => {
                    break Err(anyhow::anyhow!("the daemon went away; start this again"));
                }
                accepted = self.listener.accept() => {
                    let (stream, _) = accepted.context("the port")?;
                    let (socket, read_only) = (self.socket.clone(), self.read_only);
                    let join = HttpDoor::Join { id: self.id.clone() };
                    tokio::spawn(async move {
                        if let Err(error) = pipe(stream, &socket, read_only, join).await {
                            tracing::warn!("connection ended: {error:#}");
                        }
                    });
                }
            }
        };
        // The token is worth nothing without the endpoint; gone already is as good.
        let _ = std::fs::remove_file(&self.token_file);
        ended
    }
}

async fn pipe(mut client: TcpStream, socket: &Path, read_only: bool, join: HttpDoor) -> Result<()> {
    let mut daemon = greeted(socket, read_only, join).await?;
    // Either side may leave; that is how connections end.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut daemon).await;
    Ok(())
}

/// A stream to the agent's socket after the exchange of hellos.
async fn greeted(socket: &Path, read_only: bool, door: HttpDoor) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| format!("no daemon answers at {}", socket.display()))?;
    let (reader, mut writer) = stream.into_split();
    // The daemon sends nothing after its hello before it is sent something, so nothing is lost with
    // the buffer.
    let mut reader = BufReader::new(reader);
    let hello = Hello {
        http: Some(door),
        ..Hello::new(crate::client::caller_name(), read_only)
    };
    write_frame(&mut writer, &hello).await?;
    let _: Hello = read_frame(&mut reader)
        .await?
        .context("the daemon opened no endpoint")?;
    reader
        .into_inner()
        .reunite(writer)
        .context("the stream fell apart")
}

/// Writes the token where only its owner reads it. What a dead process left there is replaced, a
/// link is not followed.
fn write_token(path: &Path, token: &str) -> Result<()> {
    let doing = || format!("cannot write the token to {}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(doing);
        }
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(doing)?;
    writeln!(file, "{token}").with_context(doing)
}

fn random_hex(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    let mut source = std::fs::File::open("/dev/urandom").context("no random numbers")?;
    std::io::Read::read_exact(&mut source, &mut random).context("no random numbers")?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Reads `--http`: an address, or a port of 127.0.0.1.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let address: SocketAddr = text
        .replace("localhost:", "127.0.0.1:")
        .parse()
        .map_err(|_| "not an address; pass 127.0.0.1:PORT, with port 0 for any".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("not a loopback address; pass 127.0.0.1:PORT".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_taken() {
        for good in ["127.0.0.1:0", "localhost:80", "[::1]:8080", "8080"] {
            assert!(parse_address(good).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0:80",
            "192.168.0.1:80",
            "example.com:80",
            "",
            "[::]:80",
        ] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }
}
