//! Makes the one room ready: files of a tree, dependencies built once, a clean configuration.

use std::io::{self, Write};
use std::time::SystemTime;

use attest::digest::Digest;
use discipline::policy::Policy;
use repo::{Room, SeedKey};

use crate::shared::Shared;
use crate::{Cancel, ServiceError};

/// The one room that runs and gates use in turn; one path, so that caches hold.
pub(crate) const ROOM: &str = "main";

/// Dependencies that are to be kept once they were built in a room with the base tree.
pub(crate) struct Harvest(SeedKey);

/// Fills the room with `tree` and the dependencies of `argv`'s build, which are built once, from
/// the base tree alone. When the tree *is* the base, they are left to be built by `argv` itself and
/// [`harvest`]ed after it.
pub(crate) fn prepare(
    shared: &Shared,
    policy: &Policy,
    room: &Room,
    base_tree: &str,
    tree: &str,
    argv: &[String],
    cancel: &Cancel,
) -> Result<Option<Harvest>, ServiceError> {
    repo::check_parent_config(&room.tree(), shared.cargo_home.user())?;
    repo::check_tree_config(&shared.repo, tree, &policy.repo.allow_cargo_config)?;
    let key = seed_key(shared, tree)?;
    let cargo = argv.first().is_some_and(|program| program == "cargo");
    let wanted = key
        .as_ref()
        .filter(|key| cargo && !shared.seeds.ready(key, argv));
    if let Some(key) = wanted
        && tree != base_tree
        && seed_key(shared, base_tree)?.as_ref() == Some(key)
    {
        room.fill(&shared.repo, base_tree)?;
        fetch(shared, room, cancel)?;
        build_seed(shared, key, argv, room, cancel)?;
    }
    room.fill(&shared.repo, tree)?;
    if cargo {
        fetch(shared, room, cancel)?;
    }
    if let Some(key) = &key {
        shared.seeds.clone_into(key, room, cancel)?;
    }
    let left = tree == base_tree && wanted.is_some();
    Ok(key.filter(|_| left).map(Harvest))
}

/// Keeps the dependencies that a run of the base tree has built.
pub(crate) fn harvest(
    shared: &Shared,
    harvest: Harvest,
    argv: &[String],
    room: &Room,
    cancel: &Cancel,
) -> Result<(), ServiceError> {
    let cargo = (&shared.cargo_home, &shared.toolchain);
    Ok(shared
        .seeds
        .harvest(&harvest.0, argv, room, cargo, cancel)?)
}

/// The key of a tree's dependencies; `None` without a lock file.
fn seed_key(shared: &Shared, tree: &str) -> Result<Option<SeedKey>, ServiceError> {
    let lock = shared.reader()?.blob_at(tree, "Cargo.lock")?;
    Ok(lock.map(|bytes| SeedKey {
        toolchain: shared.toolchain.digest(),
        lock: Digest::of(&bytes),
    }))
}

fn fetch(shared: &Shared, room: &Room, cancel: &Cancel) -> Result<(), ServiceError> {
    let environment = &shared.config.machine.environment;
    shared
        .cargo_home
        .fetch(room, &shared.toolchain, environment, cancel)?;
    Ok(())
}

fn build_seed(
    shared: &Shared,
    key: &SeedKey,
    argv: &[String],
    room: &Room,
    cancel: &Cancel,
) -> Result<(), ServiceError> {
    let mut transcript = io::sink();
    let mut build = |command: &exec::Command, purpose: &str| {
        let watch = Watch {
            cancel,
            lease: None,
            stamped: false,
        };
        supervised(shared, command, purpose, &mut transcript, watch).map_err(repo::RepoError::from)
    };
    let cargo = (&shared.cargo_home, &shared.toolchain);
    Ok(shared
        .seeds
        .prepare(key, argv, room, cargo, &mut build, cancel)?)
}

/// What a process holds and who may end it.
pub(crate) struct Watch<'a> {
    pub(crate) cancel: &'a Cancel,
    /// Inherited by the whole group.
    pub(crate) lease: Option<&'a exec::Lease>,
    /// True to stamp each line of the output with its time.
    pub(crate) stamped: bool,
}

/// Runs a command whose process group is journalled.
pub(crate) fn supervised(
    shared: &Shared,
    command: &exec::Command,
    purpose: &str,
    sink: &mut dyn Write,
    watch: Watch<'_>,
) -> Result<exec::Outcome, exec::Error> {
    let mut group = None;
    let mut on_spawn = |started: &exec::Group| {
        group = Some(started.clone());
        shared.group_started(started, purpose)
    };
    let clock: &dyn Fn() -> SystemTime = &SystemTime::now;
    let supervision = exec::Supervision {
        cancel: watch.cancel,
        lease: watch.lease,
        clock: watch.stamped.then_some(clock),
        on_spawn: Some(&mut on_spawn),
        on_progress: None,
    };
    let outcome = exec::run(command, sink, supervision);
    if let Some(group) = &group {
        shared.group_ended(group);
    }
    outcome
}

/// The commit is the branch's tip as last seen, or one before it.
pub(crate) fn on_branch(shared: &Shared, commit: &str) -> bool {
    let Some(target) = shared.last_target() else {
        return false;
    };
    let ancestor = shared
        .reader()
        .and_then(|reader| Ok(reader.is_ancestor(commit, &target.tip)?));
    ancestor.unwrap_or(false)
}
