//! The daemon's own bare repository: opening it and reading remotes.

use std::fs;
use std::path::{Path, PathBuf};

use exec::Cancel;

use crate::RepoError;
use crate::git::{Transport, ask, oid};

/// What a remote says a ref points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTip {
    /// Full name of the ref.
    pub ref_name: String,
    /// Object id, or `None` when the remote has no such ref.
    pub object: Option<String>,
}

/// A bare repository that only the daemon configures.
pub struct DaemonRepo {
    path: PathBuf,
    transport: Transport,
}

impl std::fmt::Debug for DaemonRepo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DaemonRepo({})", self.path.display())
    }
}

impl DaemonRepo {
    /// Opens the bare repository at `path`, or makes it.
    ///
    /// # Errors
    /// The folder cannot be made, or holds something that is not a bare repository.
    pub fn open_or_init(path: &Path, transport: Transport) -> Result<DaemonRepo, RepoError> {
        let repo = DaemonRepo {
            path: path.to_owned(),
            transport,
        };
        if path.join("HEAD").is_file() {
            repo.objects()?;
            return Ok(repo);
        }
        fs::create_dir_all(path).map_err(RepoError::io("cannot create", path))?;
        // A half-made repository of a killed daemon is completed by init itself.
        let mut options = git2::RepositoryInitOptions::new();
        options
            .bare(true)
            .external_template(false)
            .initial_head("main");
        git2::Repository::init_opts(path, &options)
            .map_err(RepoError::objects("cannot create the daemon's repository"))?;
        Ok(repo)
    }

    /// Folder of the repository.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// A handle on the objects; cheap, one per use, because it is not shared between threads.
    pub(crate) fn objects(&self) -> Result<git2::Repository, RepoError> {
        git2::Repository::open_bare(&self.path)
            .map_err(RepoError::objects("cannot open the daemon's repository"))
    }

    /// Fetches refs (`full name` → `refs/greenloop/remote/<name below refs/>`) and returns the
    /// tips. A ref that the remote does not have is a tip without object.
    ///
    /// # Errors
    /// The remote cannot be reached, or its objects are not acceptable.
    pub fn fetch_remote(
        &self,
        url: &str,
        refs: &[&str],
        cancel: &Cancel,
    ) -> Result<Vec<RemoteTip>, RepoError> {
        let tips = self.remote_tips(url, refs, cancel)?;
        let mut command = self.transport.command(&self.path, true).args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
            url,
        ]);
        let mut wanted = 0;
        for tip in &tips {
            if let Some(object) = &tip.object
                && !self.has_object(object)?
            {
                let short = tip.ref_name.trim_start_matches("refs/");
                command = command.arg(format!("+{}:refs/greenloop/remote/{short}", tip.ref_name));
                wanted += 1;
            }
        }
        if wanted > 0 {
            ask(&command, cancel, || {
                format!("cannot fetch from `{}`", shown(url))
            })?;
        }
        Ok(tips)
    }

    /// Asks the remote where refs point, without fetching.
    ///
    /// # Errors
    /// The remote cannot be reached.
    pub fn remote_tips(
        &self,
        url: &str,
        refs: &[&str],
        cancel: &Cancel,
    ) -> Result<Vec<RemoteTip>, RepoError> {
        let command = self
            .transport
            .command(&self.path, true)
            .args(["ls-remote", "--quiet", "--", url])
            .args(refs.iter().copied());
        let listed = ask(&command, cancel, || {
            format!(
                "cannot read the remote `{}`; check that it exists and may be read",
                shown(url)
            )
        })?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let find = |name: &str| {
            // A pattern matches by tail; only the exact name counts.
            listed
                .lines()
                .filter_map(|line| line.split_once('\t'))
                .find(|(_, full)| *full == name)
                .map(|(object, _)| object.to_owned())
        };
        Ok(refs
            .iter()
            .map(|name| RemoteTip {
                ref_name: (*name).to_owned(),
                object: find(name),
            })
            .collect())
    }

    /// Where one ref of the remote points; `None` when it does not exist.
    ///
    /// # Errors
    /// The remote cannot be reached.
    pub fn remote_tip(
        &self,
        url: &str,
        ref_name: &str,
        cancel: &Cancel,
    ) -> Result<Option<String>, RepoError> {
        let tips = self.remote_tips(url, &[ref_name], cancel)?;
        Ok(tips.into_iter().next().and_then(|tip| tip.object))
    }

    /// True when the object is here.
    ///
    /// # Errors
    /// `object` is not an object id, or the store cannot be read.
    pub fn has_object(&self, object: &str) -> Result<bool, RepoError> {
        let id = oid(object)?;
        let objects = self.objects()?;
        let odb = objects
            .odb()
            .map_err(RepoError::objects("cannot read objects"))?;
        Ok(odb.exists(id))
    }

    /// The root commit (identity of the repository) that `commit` descends from by first parents.
    ///
    /// # Errors
    /// The commit is not here.
    pub fn root_commit(&self, commit: &str) -> Result<String, RepoError> {
        let objects = self.objects()?;
        let doing = "cannot walk to the root commit; is the clone shallow?";
        let mut current = objects
            .find_commit(oid(commit)?)
            .map_err(RepoError::objects(doing))?;
        while current.parent_count() > 0 {
            current = current.parent(0).map_err(RepoError::objects(doing))?;
        }
        Ok(current.id().to_string())
    }
}

/// A remote's URL as it may be shown: without user and password.
pub(crate) fn shown(url: &str) -> String {
    crate::error::sanitise(url.as_bytes())
}
