//! What the service is told about its machine. Policy may restrict this, never widen it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::source::SourceSettings;

/// Unix milliseconds, now.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Settings that come from the machine's configuration and never from the repository.
#[derive(Debug, Clone)]
pub struct MachineConfig {
    /// URL that permits push to; `None` takes the remote that the policy names from the
    /// repository under care when the state folder is made, and keeps it from then on.
    pub remote_url: Option<String>,
    /// Pinned allowed-signers file; `None` takes the base commit's, labelled self-asserted.
    pub signers: Option<PathBuf>,
    /// Folder that holds machine-wide leases.
    pub runtime_dir: PathBuf,
    /// Where cargo keeps the user's downloaded crates; copied, never written.
    pub user_cargo_home: Option<PathBuf>,
    /// The engine's binary, for `path_delta`.
    pub engine: Option<PathBuf>,
    /// Folders outside the repository whose model files `path_delta` may read.
    pub model_dirs: Vec<PathBuf>,
    /// Environment that `pass_env` picks from and that the toolchain is resolved in.
    pub environment: BTreeMap<OsString, OsString>,
    /// Author and committer of the commits that the daemon makes.
    pub identity_name: String,
    /// Their mail address.
    pub identity_email: String,
    /// Where finished runs may be read from, and with which credential.
    pub sources: SourceSettings,
}

impl MachineConfig {
    /// Defaults around one runtime folder and one environment.
    #[must_use]
    pub fn new(runtime_dir: PathBuf, environment: BTreeMap<OsString, OsString>) -> Self {
        let folder = |name: &str| environment.get(&OsString::from(name)).map(PathBuf::from);
        let user_cargo_home =
            folder("CARGO_HOME").or_else(|| folder("HOME").map(|home| home.join(".cargo")));
        Self {
            remote_url: None,
            signers: None,
            runtime_dir,
            user_cargo_home,
            engine: None,
            model_dirs: Vec::new(),
            environment,
            identity_name: "greenloop".into(),
            identity_email: "greenloop@localhost".into(),
            sources: SourceSettings::default(),
        }
    }
}

/// Everything [`crate::Service::open`] needs.
#[derive(Clone)]
pub struct ServiceConfig {
    /// Folder of journal, evidence, index, repository and rooms.
    pub state_dir: PathBuf,
    /// Work tree under care (or any clone of it); read for objects and refs only.
    pub repo_path: PathBuf,
    /// The machine's settings.
    pub machine: MachineConfig,
    /// Where `now` comes from.
    pub clock: Clock,
}
