//! The one entrance: open a state folder, answer commands.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use discipline::event::Event;
use exec::Toolchain;
use repo::{CargoHome, DaemonRepo, Rooms, Transport};

use crate::api::{Audience, COMMANDS, Request, Response};
use crate::core::Core;
use crate::keys::Keys;
use crate::shared::{Ctx, Parts, Shared, daemon, toolchain_text};
use crate::{
    Caller, Cancel, Progress, ServiceConfig, ServiceError, commands, follower, reconcile, worker,
};

/// One repository under care, with its state folder. Shared by all connections.
pub struct Service {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Service {
    /// Opens or creates the state folder, replays the journal and reconciles what was in flight.
    ///
    /// # Errors
    /// Another daemon holds the state, the journal is behind its anchor, the repository or its
    /// remote cannot be read.
    pub fn open(config: ServiceConfig) -> Result<Arc<Self>, ServiceError> {
        let shared = Arc::new(assemble(config)?);
        reconcile::reconcile(&shared)?;
        let worker = worker::start(Arc::clone(&shared))?;
        let follower = follower::start(Arc::clone(&shared))?;
        Ok(Arc::new(Self {
            shared,
            threads: Mutex::new(vec![worker, follower]),
        }))
    }

    /// Answers one command.
    ///
    /// Blocks until the answer stands; long commands report to `progress` and end within two
    /// seconds of `cancel`.
    ///
    /// # Errors
    /// See [`ServiceError`]; refusals are values of the response.
    pub fn call(
        &self,
        caller: &Caller,
        request: Request,
        progress: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Response, ServiceError> {
        let name = request.name();
        let _span = tracing::info_span!("command", name, caller = caller.name).entered();
        if !caller.operator && operator_only(name) {
            return Err(ServiceError::OperatorOnly {
                command: name,
                instead: instead(name),
            });
        }
        let ctx = Ctx {
            caller,
            progress,
            cancel,
        };
        commands::dispatch(&self.shared, ctx, request)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Stops worker and follower and waits for their process groups to end. What was interrupted is resumed by
    /// the next [`Service::open`].
    pub fn shutdown(&self) {
        self.shared.queue.stop();
        self.shared.wake();
        let threads = {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *threads)
        };
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the service ended with a panic");
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn operator_only(name: &str) -> bool {
    COMMANDS
        .iter()
        .any(|command| command.name == name && command.audience == Audience::Operator)
}

/// What an agent can do instead of a person's command.
fn instead(name: &str) -> &'static str {
    match name {
        "approve_claim" | "prepare_approval" | "reject_claim" => {
            "`get_claim` gives the command that a person types; end the turn with `staged`"
        }
        "cancel_run" | "rerun" => {
            "name the run and why to a person; what spends the runner without a claim is theirs"
        }
        "start_run" => "propose a claim of kind `baseline`, or ask a person for a run",
        "verify_claim" => "`get_claim` shows the verdict; grading starts by itself after the push",
        _ => "ask a person, or go on with what `loop_status` lists",
    }
}

fn assemble(config: ServiceConfig) -> Result<Shared, ServiceError> {
    // The lock of the state folder first: a second daemon stops here.
    let mut core = Core::open(&config)?;
    let machine = &config.machine;
    std::fs::create_dir_all(&machine.runtime_dir).map_err(ServiceError::io(format!(
        "cannot create {}",
        machine.runtime_dir.display()
    )))?;
    let paths = core.dir.paths.clone();
    let transport = Transport::new(&machine.environment)?;
    let repo = DaemonRepo::open_or_init(&paths.repository, transport)?;
    let (root_commit, remote) = identity(&config, &mut core)?;
    let cargo_home = CargoHome::open(
        &paths.root.join("cargo-home"),
        machine.user_cargo_home.as_deref(),
    )?;
    let toolchain = Toolchain::resolve_in(&machine.environment)?;
    core.started((config.clock)(), &daemon(), &toolchain_text(&toolchain))?;
    Shared::new(Parts {
        rooms: Rooms::open(&paths.rooms)?,
        keys: Keys::open(&paths.root.join("keys"))?,
        toolchain,
        cargo_home,
        repo,
        core,
        config,
        root_commit,
        remote,
    })
}

/// Root commit and remote: read from the repository under care once, from the journal ever after,
/// so that a clone whose configuration changes does not redirect pushes.
fn identity(config: &ServiceConfig, core: &mut Core) -> Result<(String, String), ServiceError> {
    if let Some(known) = &core.state.repository {
        return Ok((known.root_commit.clone(), known.remote.clone()));
    }
    let found = crate::identify(&config.repo_path)?;
    let remote = config
        .machine
        .remote_url
        .clone()
        .or_else(|| (!found.remote.is_empty()).then(|| found.remote.clone()));
    let Some(remote) = remote else {
        return Err(ServiceError::BadArgument {
            field: "repo_path",
            reason: format!("{} has no remote `origin`", config.repo_path.display()),
            remedy: "add one with `git remote add origin URL`, or set `remote` in the machine's configuration".into(),
        });
    };
    let remote = absolute(&config.repo_path, remote);
    let now = (config.clock)();
    core.append(
        now,
        &daemon(),
        Event::StateCreated {
            root_commit: found.root_commit.clone(),
            remote: remote.clone(),
        },
    )?;
    Ok((found.root_commit, remote))
}

/// A remote that is a relative path counts from the clone that names it.
fn absolute(repo: &std::path::Path, remote: String) -> String {
    let is_path = remote.starts_with("./") || remote.starts_with("../");
    if !is_path {
        return remote;
    }
    let joined = repo.join(&remote);
    let real = joined.canonicalize().unwrap_or(joined);
    real.to_string_lossy().into_owned()
}
