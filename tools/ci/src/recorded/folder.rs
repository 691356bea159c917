//! Listings of folders. What is no plain file and no folder is passed over.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::forge::ForgeError;

/// Entries of one folder that are looked at.
const MOST: usize = 50_000;

/// A plain file.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    path: PathBuf,
}

/// A folder as it was listed.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) files: BTreeMap<String, Item>,
    folders: BTreeMap<String, PathBuf>,
}

impl Folder {
    pub(super) fn read(path: &Path) -> Result<Folder, ForgeError> {
        let doing = || format!("list {}", path.display());
        let mut folder = Folder {
            files: BTreeMap::new(),
            folders: BTreeMap::new(),
        };
        let entries = fs::read_dir(path).map_err(ForgeError::io(doing()))?;
        for (count, entry) in entries.enumerate() {
            if count >= MOST {
                return Err(ForgeError::Settings {
                    what: format!("{} holds more than {MOST} entries", path.display()),
                    remedy: "record one run per folder".into(),
                });
            }
            let entry = entry.map_err(ForgeError::io(doing()))?;
            // The type of the entry itself: a link is neither.
            let kind = entry.file_type().map_err(ForgeError::io(doing()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if kind.is_dir() {
                folder.folders.insert(name, path);
            } else if kind.is_file() {
                folder.files.insert(name.clone(), Item { name, path });
            }
        }
        Ok(folder)
    }

    pub(super) fn folder_names(&self) -> Vec<String> {
        self.folders.keys().cloned().collect()
    }

    pub(super) fn folder(&self, name: &str) -> Result<Option<Folder>, ForgeError> {
        let path = self.folders.get(name);
        path.map(|path| Folder::read(path)).transpose()
    }

    pub(super) fn file(&self, name: &str) -> Option<&Item> {
        self.files.get(name)
    }

    /// Files whose names end so, sorted by name.
    pub(super) fn ending(&self, endings: &[&str]) -> Vec<&Item> {
        let wanted = |item: &&Item| endings.iter().any(|ending| item.name.ends_with(ending));
        self.files.values().filter(wanted).collect()
    }
}

impl Item {
    pub(super) fn open(&self) -> Result<File, ForgeError> {
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&self.path)
            .map_err(ForgeError::io(format!("read {}", self.path.display())))
    }

    /// Name without its ending.
    pub(super) fn stem(&self) -> &str {
        self.name
            .rsplit_once('.')
            .map_or(&self.name, |(stem, _)| stem)
    }
}
