//! Which deployment this is, from what can be seen, and what it leaves open.

use std::os::unix::fs::MetadataExt;

use serde::Serialize;

use super::credentials::Credential;
use super::repository::{enforces, hook_file, text_of};
use crate::place::Place;

/// The deployments of the trust model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Deployment {
    /// One account for agent, gates and daemon.
    A,
    /// The daemon is another user.
    B,
    /// As B, and the remote verifies.
    C,
}

impl Deployment {
    /// In a sentence.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::A => "A: one account runs agent, gates and daemon",
            Self::B => {
                "B: the daemon is another user; nothing seen from here verifies at the remote"
            }
            Self::C => "C: the daemon is another user, and the remote verifies",
        }
    }
}

/// What this account sees: whose the sockets or the state are, and whether the remote's hook
/// verifies.
pub(super) fn of(place: Option<&Place>) -> Deployment {
    let Some(place) = place else {
        return Deployment::A;
    };
    let own = rustix::process::getuid().as_raw();
    let foreign = [place.operator_socket(), place.state.clone()]
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok())
        .any(|meta| meta.uid() != own);
    match (foreign, remote_verifies(place)) {
        (false, _) => Deployment::A,
        (true, false) => Deployment::B,
        (true, true) => Deployment::C,
    }
}

fn remote_verifies(place: &Place) -> bool {
    let url = match &place.config.remote_url {
        Some(url) => Some(url.clone()),
        None => text_of(&place.repo, &["config", "--get", "remote.origin.url"]),
    };
    url.and_then(|url| hook_file(place, &url))
        .is_some_and(|hook| enforces(&hook).is_ok())
}

/// What stays possible.
pub(super) fn cannot_prevent(deployment: Deployment, readable: &[Credential]) -> Vec<String> {
    let mut left = Vec::new();
    if deployment == Deployment::A {
        left.push(
            "state is tamper-evident (hash chain, anchored head, signed attestations), not tamper-proof: whoever runs as this account can replace all of it"
                .to_owned(),
        );
        left.push(
            "an agent on this account can sign with every key that it can read; a hardware key that wants a touch (`ssh-keygen -t ed25519-sk`) makes approval proof even here"
                .to_owned(),
        );
    }
    if deployment != Deployment::C {
        left.push(
            "whoever has push rights can push around greenloop, unless the remote runs `greenloop-verify pre-receive`"
                .to_owned(),
        );
    }
    if !readable.is_empty() {
        left.push(format!(
            "an agent on this account can use {} credentials that it can read, listed above",
            readable.len()
        ));
    }
    left.push(
        "gates run the agent's code with this machine's network stack and hardware".to_owned(),
    );
    left
}
