//! Telling clients that resources changed, in both eras of the protocol.

use std::collections::BTreeSet;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::{Peer, SubscriptionContext};

use crate::resource::Watch;
use crate::server::Server;

/// How often a session without news looks whether its client is still there.
const LOOK: Duration = Duration::from_secs(60);

/// Session era: tells the client of one session until it leaves.
pub(crate) async fn session(server: Server, peer: Peer<RoleServer>) {
    let mut watch = server.watch();
    loop {
        watch.only(&server.watched());
        tokio::select! {
            () = watch.news() => {}
            () = server.subscription() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        if peer.is_transport_closed() || tell_session(&mut watch, &server, &peer).await.is_err() {
            return;
        }
    }
}

async fn tell_session(
    watch: &mut Watch,
    server: &Server,
    peer: &Peer<RoleServer>,
) -> Result<(), rmcp::ServiceError> {
    let changes = watch.changes();
    if changes.list {
        peer.notify_resource_list_changed().await?;
    }
    let watched = server.watched();
    for uri in changes
        .updated
        .into_iter()
        .filter(|uri| watched.contains(uri))
    {
        let updated = ResourceUpdatedNotificationParam::new(uri);
        peer.notify_resource_updated(updated).await?;
    }
    Ok(())
}

/// Stateless era: tells one `subscriptions/listen` request until it is cancelled.
pub(crate) async fn subscription(server: &Server, context: &SubscriptionContext) {
    let accepted = context.accepted();
    let uris = accepted.resource_subscriptions.clone().unwrap_or_default();
    let mut watch = server.watch();
    watch.only(&BTreeSet::from_iter(uris));
    let list = accepted.resources_list_changed == Some(true);
    loop {
        tokio::select! {
            () = watch.news() => {}
            () = context.cancelled() => return,
        }
        let changes = watch.changes();
        let sink = context.sink();
        if changes.list && list && sink.notify_resource_list_changed().await.is_err() {
            return;
        }
        for uri in changes.updated {
            if sink.notify_resource_updated(uri).await.is_err() {
                return;
            }
        }
    }
}
