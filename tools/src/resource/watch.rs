//! Watching for changes: which resources came or went, and which watched ones read differently now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use service::{Ids, Listener, Service};
use tokio::sync::Notify;

use super::Address;

/// Changes are told at most this often.
const PACE: Duration = Duration::from_millis(250);

/// Hears of news and says what they changed.
pub(crate) struct Watch {
    service: Arc<Service>,
    news: Arc<Notify>,
    /// Kept so that the service goes on telling.
    _listener: Arc<Listener>,
    known: Ids,
    revisions: BTreeMap<String, Option<String>>,
}

/// What changed since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Some resource came or went.
    pub(crate) list: bool,
    /// Watched resources whose content differs.
    pub(crate) updated: Vec<String>,
}

impl Watch {
    /// Begins to watch; what is there now is no news.
    pub(crate) fn new(service: Arc<Service>) -> Self {
        let news = Arc::new(Notify::new());
        let told = Arc::clone(&news);
        let listener: Arc<Listener> = Arc::new(move || told.notify_one());
        service.on_news(&listener);
        Self {
            known: service.ids(),
            service,
            news,
            _listener: listener,
            revisions: BTreeMap::new(),
        }
    }

    /// Waits until something happened, then a little longer for what belongs to it.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
        tokio::time::sleep(PACE).await;
    }

    /// Takes these URIs under watch and forgets all others. The content they have now is no news.
    pub(crate) fn only(&mut self, uris: &BTreeSet<String>) {
        self.revisions.retain(|uri, _| uris.contains(uri));
        for uri in uris {
            if !self.revisions.contains_key(uri) {
                let revision = revision(&self.service, uri);
                self.revisions.insert(uri.clone(), revision);
            }
        }
    }

    /// What changed since the last call.
    pub(crate) fn changes(&mut self) -> Changes {
        let ids = self.service.ids();
        let mut changes = Changes {
            list: ids != self.known,
            updated: Vec::new(),
        };
        self.known = ids;
        for (uri, known) in &mut self.revisions {
            let now = revision(&self.service, uri);
            if now != *known {
                *known = now;
                changes.updated.push(uri.clone());
            }
        }
        changes
    }
}

fn revision(service: &Service, uri: &str) -> Option<String> {
    let address = Address::parse(uri)?;
    service.revision(address.subject()?)
}
