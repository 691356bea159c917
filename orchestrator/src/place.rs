//! Where things are: the repository under care, its state folder and its sockets.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::Config;

/// Places of one repository on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Work tree or bare repository under care.
    pub repo: PathBuf,
    /// State folder.
    pub state: PathBuf,
    /// Folder of this repository's sockets.
    pub sockets: PathBuf,
    /// Folder of machine-wide leases.
    pub runtime: PathBuf,
    /// Machine settings.
    pub config: Config,
    /// The settings file that was named on the command line.
    pub config_file: Option<PathBuf>,
}

impl Place {
    /// Finds the places of the repository that `repo` stands in.
    pub(crate) fn find(
        repo: Option<&Path>,
        state: Option<&Path>,
        config_file: Option<&Path>,
    ) -> Result<Self> {
        let config = Config::load(config_file)?;
        let from = match repo {
            Some(path) => path.to_owned(),
            None => std::env::current_dir().context("cannot tell the current folder")?,
        };
        let repo = toplevel(&from)?;
        let identity = service::identify(&repo)
            .with_context(|| format!("{} is not a repository greenloop can use", repo.display()))?;
        let state = match state {
            Some(dir) => std::path::absolute(dir)?,
            None => state_root(&config)?.join(identity.key(None)),
        };
        let named = config_file.map(std::path::absolute).transpose()?;
        let runtime = runtime_dir(&config)?;
        // A socket path has at most 108 bytes, so the folder is a short key and not the path.
        let sockets = runtime.join(identity.key(Some(&state)));
        Ok(Self {
            repo,
            state,
            sockets,
            runtime,
            config,
            config_file: named,
        })
    }

    pub(crate) fn operator_socket(&self) -> PathBuf {
        self.sockets.join("operator.sock")
    }

    pub(crate) fn agent_socket(&self) -> PathBuf {
        self.sockets.join("agent.sock")
    }
}

/// The folder that holds `.git`, upward from `from`; a bare repository is its own.
pub(crate) fn toplevel(from: &Path) -> Result<PathBuf> {
    let from = from.canonicalize().with_context(|| {
        format!(
            "no folder {}; name the repository with --repo",
            from.display()
        )
    })?;
    let found = from.ancestors().find(|dir| {
        dir.join(".git").exists() || (dir.join("HEAD").is_file() && dir.join("objects").is_dir())
    });
    match found {
        Some(dir) => Ok(dir.to_owned()),
        None => bail!(
            "{} is in no git repository; change into one or name it with --repo",
            from.display()
        ),
    }
}

fn state_root(config: &Config) -> Result<PathBuf> {
    if let Some(root) = &config.state_root {
        return Ok(root.clone());
    }
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")))
        .context("neither XDG_DATA_HOME nor HOME is set; name a state folder with --state")?;
    Ok(data.join("greenloop"))
}

fn runtime_dir(config: &Config) -> Result<PathBuf> {
    let dir = match (&config.runtime_dir, std::env::var_os("XDG_RUNTIME_DIR")) {
        (Some(dir), _) => dir.clone(),
        (None, Some(dir)) => Path::new(&dir).join("greenloop"),
        (None, None) => {
            std::env::temp_dir().join(format!("greenloop-{}", rustix::process::getuid().as_raw()))
        }
    };
    private_dir(&dir)?;
    Ok(dir)
}

/// Makes a folder that only its owner enters; refuses one that belongs to somebody else.
pub(crate) fn private_dir(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))?;
    let owner = std::fs::metadata(dir)?.uid();
    if owner != rustix::process::getuid().as_raw() {
        bail!(
            "{} belongs to user {owner}; set runtime_dir in the machine settings",
            dir.display()
        );
    }
    Ok(())
}
