//! The daemon's side of this machine: settings, state folder, sockets, disk.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Finding;
use crate::client::Client;
use crate::config::settings_file;
use crate::place::Place;

/// Below this nothing can be built, bytes.
const DISK_NEEDED: u64 = 1 << 30;
/// Below this a few runs fill the disk, bytes.
const DISK_ADVISED: u64 = 5 << 30;

/// Settings, state, daemon, sockets, disk.
pub(super) fn look(place: &Place) -> Vec<Finding> {
    vec![settings(place), daemon(place), state(place), disk(place)]
}

fn settings(place: &Place) -> Finding {
    const NAME: &str = "settings";
    let Some(path) = settings_file(place.config_file.as_deref()) else {
        return Finding::ok(NAME, "none; every setting has its default");
    };
    let shown = path.display();
    let Ok(meta) = std::fs::metadata(&path) else {
        return Finding::missing(
            NAME,
            format!("{shown} cannot be read"),
            format!("ls -l {shown}"),
        );
    };
    match meta.permissions().mode() & 0o022 {
        0 => Finding::ok(NAME, shown.to_string()),
        _ => Finding::advice(
            NAME,
            format!("{shown} can be written by others, and it names who may approve"),
            format!("chmod go-w {shown}"),
        ),
    }
}

fn daemon(place: &Place) -> Finding {
    const NAME: &str = "daemon";
    if let Ok(client) = Client::try_connect(place) {
        let (pid, version) = (&client.daemon.name, &client.daemon.version);
        return match version == env!("CARGO_PKG_VERSION") {
            true => Finding::ok(NAME, format!("pid {pid}")),
            false => Finding::advice(
                NAME,
                format!("pid {pid} of version {version}"),
                "greenloop stop; the next verb starts this version",
            ),
        };
    }
    let stale: Vec<PathBuf> = [place.operator_socket(), place.agent_socket()]
        .into_iter()
        .filter(|socket| socket.exists())
        .collect();
    match stale.first() {
        // Whoever starts next replaces them; an agent's client that connects before gets no answer.
        Some(socket) => Finding::advice(
            NAME,
            format!(
                "not running; {} is left from one that was killed",
                socket.display()
            ),
            "greenloop daemon",
        ),
        None if place.config.autostart == Some(false) => Finding::missing(
            NAME,
            "not running, and autostart is off",
            "start it as its own user: greenloop daemon",
        ),
        None => Finding::ok(NAME, "not running; starts when needed"),
    }
}

fn state(place: &Place) -> Finding {
    const NAME: &str = "state";
    let shown = place.state.display();
    let Ok(meta) = std::fs::metadata(&place.state) else {
        return Finding::ok(NAME, format!("{shown}, made when needed"));
    };
    let own = meta.uid() == rustix::process::getuid().as_raw();
    if own && meta.permissions().mode() & 0o022 != 0 {
        return Finding::advice(
            NAME,
            format!("{shown} can be written by others"),
            format!("chmod go-w {shown}"),
        );
    }
    match place.state.join("journal").is_dir() {
        true => Finding::ok(NAME, shown.to_string()),
        false => Finding::ok(NAME, format!("{shown}, without a journal yet")),
    }
}

fn disk(place: &Place) -> Finding {
    const NAME: &str = "disk";
    let Some((folder, free)) = free_below(&place.state) else {
        return Finding::advice(NAME, "cannot be asked", "df -h");
    };
    let found = format!(
        "{}.{} GiB free at {}",
        free >> 30,
        ((free >> 20) & 1023) * 10 / 1024,
        folder.display()
    );
    let remedy = "free some, or move state with `state_root` in the machine settings";
    match free {
        ..DISK_NEEDED => Finding::missing(NAME, found, remedy),
        DISK_NEEDED..DISK_ADVISED => Finding::advice(NAME, found, remedy),
        _ => Finding::ok(NAME, found),
    }
}

/// Bytes that this account may still write where the folder is, or will be.
fn free_below(folder: &Path) -> Option<(PathBuf, u64)> {
    let there = folder.ancestors().find(|dir| dir.is_dir())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some((
        there.to_owned(),
        stat.f_bavail.saturating_mul(stat.f_frsize),
    ))
}
