//! A folder copied by several threads, so that nothing written into the copy reaches the original.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use exec::Cancel;

use crate::RepoError;

/// More threads than this wait for the disk, not for each other.
const MAX_THREADS: usize = 8;
/// More entries than any target folder has.
const MAX_ENTRIES: usize = 4_000_000;

/// One file and where its copy goes.
struct Job {
    from: PathBuf,
    to: PathBuf,
    meta: Metadata,
}

/// What a walk over the original found, in the order in which it can be made.
#[derive(Default)]
struct Plan {
    folders: Vec<Job>,
    files: Vec<Job>,
    links: Vec<(PathBuf, PathBuf)>,
    /// Names of files that have a name before: the first name's copy, and theirs.
    names: Vec<(PathBuf, PathBuf)>,
}

/// Copies the folder `from` to `to`, which must not exist, with modes, times to the nanosecond (cargo compares them),
/// symbolic links as they are, and two names of one file as two names of one copy. The blocks are shared with the
/// original where the filesystem can part them again on writing; never the files. Pipes and sockets are left out.
///
/// # Errors
/// Cancelled, or something cannot be read or written; the copy is then in part.
pub(crate) fn copy_folder(from: &Path, to: &Path, cancel: &Cancel) -> Result<(), RepoError> {
    let plan = plan(from, to)?;
    for folder in &plan.folders {
        fs::create_dir(&folder.to).map_err(cannot_copy(&folder.to))?;
    }
    copy_files(&plan.files, cancel)?;
    for (first, name) in &plan.names {
        fs::hard_link(first, name).map_err(cannot_copy(name))?;
    }
    for (text, link) in &plan.links {
        symlink(text, link).map_err(cannot_copy(link))?;
    }
    // Innermost first: what is made in a folder changes its time, and its mode may forbid it.
    for folder in plan.folders.iter().rev() {
        let dress = || dress(&File::open(&folder.to)?, &folder.meta);
        dress().map_err(cannot_copy(&folder.to))?;
    }
    Ok(())
}

fn plan(from: &Path, to: &Path) -> Result<Plan, RepoError> {
    let mut plan = Plan::default();
    let mut first_names: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut open = vec![(from.to_owned(), to.to_owned())];
    let mut entries = 0;
    while let Some((from, to)) = open.pop() {
        entries += 1;
        if entries > MAX_ENTRIES {
            let many = io::Error::other(format!("more than {MAX_ENTRIES} entries"));
            return Err(cannot_copy(&from)(many));
        }
        let meta = fs::symlink_metadata(&from).map_err(cannot_copy(&from))?;
        if meta.is_dir() {
            for entry in fs::read_dir(&from).map_err(cannot_copy(&from))? {
                let entry = entry.map_err(cannot_copy(&from))?;
                open.push((entry.path(), to.join(entry.file_name())));
            }
            plan.folders.push(Job { from, to, meta });
        } else if meta.is_symlink() {
            let text = fs::read_link(&from).map_err(cannot_copy(&from))?;
            plan.links.push((text, to));
        } else if meta.is_file() {
            let known = (meta.nlink() > 1).then_some((meta.dev(), meta.ino()));
            if let Some(first) = known.and_then(|known| first_names.get(&known)) {
                plan.names.push((first.clone(), to));
                continue;
            }
            if let Some(known) = known {
                first_names.insert(known, to.clone());
            }
            plan.files.push(Job { from, to, meta });
        }
    }
    Ok(plan)
}

/// The calling thread works too; the first error ends all.
fn copy_files(files: &[Job], cancel: &Cancel) -> Result<(), RepoError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), RepoError> {
        while let Some(job) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if cancel.is_cancelled() {
                return Err(RepoError::Cancelled {
                    doing: "cloning dependencies",
                });
            }
            if let Err(error) = copy_file(job) {
                next.store(files.len(), Ordering::Relaxed);
                return Err(cannot_copy(&job.to)(error));
            }
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let helpers = threads.min(MAX_THREADS).min(files.len()).saturating_sub(1);
    thread::scope(|scope| {
        let spawned: Vec<_> = (0..helpers)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut copied = work();
        for helper in spawned {
            let theirs = helper.join().unwrap_or_else(|_| {
                let ended = io::Error::other("a thread that copies has ended early");
                Err(cannot_copy(Path::new("target"))(ended))
            });
            copied = copied.and(theirs);
        }
        copied
    })
}

fn copy_file(job: &Job) -> io::Result<()> {
    let mut from = File::open(&job.from)?;
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&job.to)?;
    // `copy_file_range` where the kernel has it: the filesystem shares the blocks or copies them itself.
    io::copy(&mut from, &mut to)?;
    dress(&to, &job.meta)
}

/// Gives the copy the mode and times of the original.
fn dress(copy: &File, meta: &Metadata) -> io::Result<()> {
    copy.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    let times = FileTimes::new()
        .set_accessed(meta.accessed()?)
        .set_modified(meta.modified()?);
    copy.set_times(times)
}

fn cannot_copy(path: &Path) -> impl FnOnce(io::Error) -> RepoError {
    RepoError::io("cannot clone the built dependencies to", path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, SystemTime};

    fn copied(from: &Path) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("target");
        copy_folder(from, &to, &Cancel::new().unwrap()).unwrap();
        (folder, to)
    }

    fn set_time(path: &Path, nanoseconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        let times = FileTimes::new().set_modified(time).set_accessed(time);
        File::open(path).unwrap().set_times(times).unwrap();
    }

    #[test]
    fn two_names_of_one_file_stay_so_and_nothing_reaches_the_original() {
        let seed = tempfile::tempdir().unwrap();
        let script = seed.path().join("build-script");
        fs::write(&script, "original").unwrap();
        fs::hard_link(&script, seed.path().join("other-name")).unwrap();
        symlink("../gone", seed.path().join("link")).unwrap();
        let (_folder, to) = copied(seed.path());
        let copy = to.join("build-script");
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(&copy), inode(&to.join("other-name")));
        assert_ne!(inode(&copy), inode(&script));
        assert_eq!(
            fs::read_link(to.join("link")).unwrap(),
            Path::new("../gone")
        );
        let mut file = OpenOptions::new().write(true).open(&copy).unwrap();
        io::Write::write_all(&mut file, b"poisoned").unwrap();
        assert_eq!(fs::read(&script).unwrap(), b"original");
    }

    #[test]
    fn a_copy_that_is_cancelled_or_cannot_be_made_says_so() {
        let seed = tempfile::tempdir().unwrap();
        fs::write(seed.path().join("a"), "a").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cancel = Cancel::new().unwrap();
        let there = copy_folder(seed.path(), folder.path(), &cancel);
        assert!(matches!(there, Err(RepoError::Io { .. })), "{there:?}");
        cancel.cancel();
        let cancelled = copy_folder(seed.path(), &folder.path().join("x"), &cancel);
        let right = matches!(cancelled, Err(RepoError::Cancelled { .. }));
        assert!(right, "{cancelled:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_copy_has_the_bytes_modes_and_times_of_the_original(
            files in proptest::collection::btree_map(
                "[a-c]{1,2}(/[d-f]{1,2}){0,2}",
                (proptest::collection::vec(any::<u8>(), 0..5000), 0o400_u32..0o1000, any::<u32>()),
                0..24,
            )
        ) {
            let seed = tempfile::tempdir().unwrap();
            let mut made = Vec::new();
            for (name, (bytes, mode, time)) in &files {
                let path = seed.path().join(name);
                let fits = fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists();
                if !fits {
                    continue;
                }
                fs::write(&path, bytes).unwrap();
                set_time(&path, u64::from(*time) * 1_000_000_007);
                fs::set_permissions(&path, fs::Permissions::from_mode(0o400 | *mode)).unwrap();
                made.push((name, bytes));
            }
            set_time(seed.path(), 12_345_678_901);
            let (_folder, to) = copied(seed.path());
            prop_assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), fs::metadata(seed.path()).unwrap().modified().unwrap());
            for (name, bytes) in made {
                prop_assert_eq!(&fs::read(to.join(name)).unwrap(), bytes);
                let (copy, original) = (fs::metadata(to.join(name)).unwrap(), fs::metadata(seed.path().join(name)).unwrap());
                prop_assert_eq!(copy.mode(), original.mode());
                prop_assert_eq!((copy.mtime(), copy.mtime_nsec()), (original.mtime(), original.mtime_nsec()));
            }
        }
    }
}
