//! Keeps the fold of the journal now and then, so that a start folds only what came after it.

use std::time::UNIX_EPOCH;

use discipline::event::Author;
use discipline::state::LoopState;
use serde::{Deserialize, Serialize};
use state::StateDir;

use crate::ServiceError;
use crate::core::Gated;

/// Events between two kept folds.
pub(crate) const KEEP_EVERY: u64 = 2_000;

#[derive(Serialize)]
struct Keep<'a> {
    state: &'a LoopState,
    gated: &'a Gated,
}

/// What is known without folding.
#[derive(Default, Deserialize)]
pub(crate) struct Folded {
    pub(crate) state: LoopState,
    pub(crate) gated: Gated,
}

/// The newest kept fold and its last record; nothing and 0 where there is none to be believed.
pub(crate) fn load(dir: &StateDir) -> (Folded, u64) {
    let kept = this_build().and_then(|build| dir.kept_fold(&build));
    kept.map_or_else(Default::default, |kept| (kept.fold, kept.seq))
}

/// Keeps the fold as of the journal's head.
pub(crate) fn save(
    dir: &mut StateDir,
    state: &LoopState,
    gated: &Gated,
    now_ms: i64,
    author: &Author,
) -> Result<(), ServiceError> {
    let by = (author.uid, author.name.as_str());
    if let Some(build) = this_build() {
        dir.keep_fold(&build, now_ms, by, &Keep { state, gated })?;
    }
    Ok(())
}

/// Which build folds: version, length and time of the program's file. `None` where that cannot be told.
fn this_build() -> Option<String> {
    let file = std::env::current_exe().ok()?.metadata().ok()?;
    let built = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!(
        "{} {} {}",
        env!("CARGO_PKG_VERSION"),
        file.len(),
        built.as_nanos()
    ))
}

#[cfg(test)]
mod tests {
    use discipline::event::Event;
    use discipline::model::LoopId;
    use state::OpenOptions;

    use super::*;
    use crate::core::Core;

    fn author() -> Author {
        Author {
            uid: 1,
            name: "test".into(),
        }
    }

    fn opened(root: &std::path::Path) -> Core {
        let mut options = OpenOptions::new(0);
        options.reserve_bytes = 1 << 20;
        Core::of(StateDir::open(root, &options).unwrap()).unwrap()
    }

    fn open_loop(core: &mut Core, number: usize) {
        let event = Event::LoopOpened {
            loop_id: LoopId::nth(number),
            goal: "green".into(),
            scopes: vec!["s".into()],
            idempotency_key: format!("k{number}"),
            author: author(),
        };
        core.append(number as i64, &author(), event).unwrap();
    }

    fn created(root: &std::path::Path) -> Core {
        let mut core = opened(root);
        let event = Event::StateCreated {
            root_commit: "0".repeat(40),
            remote: "r".into(),
        };
        core.append(0, &author(), event).unwrap();
        open_loop(&mut core, 1);
        core
    }

    #[test]
    fn a_kept_fold_and_what_came_after_it_are_the_whole_fold() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let mut core = created(&root);
        core.keep_fold(1, &author()).unwrap();
        open_loop(&mut core, 2);
        let whole = core.state.clone();
        drop(core);
        let core = opened(&root);
        assert_eq!(core.state, whole);
        assert_eq!(core.folded_from, 2);
        assert_eq!(load(&core.dir).0.state.loops.len(), 1);
    }
}
