//! A disk that forgets, fills up and fails on demand.
//!
//! It keeps apart what was written and what was synced. A crash keeps what was synced and any part
//! of the rest: unsynced writes survive in any combination, torn anywhere, and unsynced names in
//! any combination too. That is more than a real file system would do to us.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Access, Storage, StorageFile};

/// What happens at one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This call and all after it fail: the machine is off.
    PowerCut,
    /// The call fails; a sync loses what it should have kept, as Linux does.
    Eio,
    /// The call fails for lack of space.
    Enospc,
    /// A write takes half of the bytes, and there is no space for the rest.
    Short,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Disk>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

#[derive(Clone, Debug)]
enum NameOp {
    Set(PathBuf, Entry),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Entry),
}

impl NameOp {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            NameOp::Set(path, entry) => {
                names.insert(path.clone(), *entry);
            }
            NameOp::Remove(path) => {
                names.remove(path);
            }
            NameOp::Rename(from, to, entry) => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        match self {
            NameOp::Set(path, _) | NameOp::Remove(path) => path.parent() == Some(folder),
            NameOp::Rename(from, to, _) => {
                [from, to].iter().any(|path| path.parent() == Some(folder))
            }
        }
    }
}

#[derive(Clone, Debug)]
enum DataOp {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl DataOp {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            DataOp::Write { at, bytes } => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
            DataOp::Truncate(length) => content.truncate(*length),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Node {
    content: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<DataOp>,
    allocated: u64,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, Entry>,
    synced_names: BTreeMap<PathBuf, Entry>,
    unsynced_names: Vec<NameOp>,
    calls: usize,
    fault: Option<(usize, Fault)>,
    capacity: Option<u64>,
}

fn no_space() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk {
    /// Counts a call that changes something; fails it if that was asked for.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        let Some((at, fault)) = self.fault else {
            return Ok(());
        };
        match fault {
            Fault::PowerCut if self.calls >= at => Err(io::Error::other("the power is off")),
            Fault::Eio if self.calls == at => Err(io::Error::other("input/output error")),
            Fault::Enospc if self.calls == at => Err(no_space()),
            _ => Ok(()),
        }
    }

    fn name(&mut self, op: NameOp) {
        op.apply(&mut self.names);
        self.unsynced_names.push(op);
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Entry::File(node)) => Ok(*node),
            _ => Err(not_found()),
        }
    }

    fn free(&self) -> u64 {
        let used = |entry: &Entry| match entry {
            Entry::Folder => 0,
            Entry::File(node) => {
                let node = &self.nodes[*node];
                node.allocated.max(node.content.len() as u64)
            }
        };
        let used = self.names.values().map(used).sum();
        self.capacity.unwrap_or(u64::MAX).saturating_sub(used)
    }
}

impl SimDisk {
    /// An empty disk with the folder `/state`.
    pub(crate) fn new() -> SimDisk {
        let disk = SimDisk::default();
        let root = PathBuf::from("/state");
        disk.get().names.insert(root.clone(), Entry::Folder);
        disk.get().synced_names.insert(root, Entry::Folder);
        disk
    }

    fn get(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// A disk of its own with the same state.
    pub(crate) fn copy(&self) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(self.get().clone())))
    }

    pub(crate) fn calls(&self) -> usize {
        self.get().calls
    }

    /// Asks for `fault` at the `after`-th call from now.
    pub(crate) fn fail(&self, after: usize, fault: Fault) {
        let mut disk = self.get();
        disk.fault = Some((disk.calls + after, fault));
    }

    pub(crate) fn set_free(&self, bytes: u64) {
        let mut disk = self.get();
        disk.capacity = None;
        let used = u64::MAX - disk.free();
        disk.capacity = Some(used + bytes);
    }

    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        let disk = self.get();
        disk.nodes[disk.file(path).unwrap()].content.clone()
    }

    /// Replaces what a file holds, synced.
    pub(crate) fn overwrite(&self, path: &Path, content: &[u8]) {
        let mut disk = self.get();
        let node = disk.file(path).unwrap();
        disk.nodes[node] = Node {
            content: content.to_vec(),
            synced: content.to_vec(),
            ..Node::default()
        };
    }

    pub(crate) fn erase(&self, path: &Path) {
        let mut disk = self.get();
        disk.names.remove(path);
        disk.synced_names.remove(path);
    }

    /// The disk as it might be found after the power was cut now.
    pub(crate) fn crash(&self, luck: &mut Luck) -> SimDisk {
        let disk = self.get();
        let keep = luck.below(4);
        let kept = |luck: &mut Luck| match keep {
            0 => false,
            1 => true,
            _ => luck.below(2) == 0,
        };
        let mut names = disk.synced_names.clone();
        for op in &disk.unsynced_names {
            if kept(luck) {
                op.apply(&mut names);
            }
        }
        let orphaned = |path: &Path, names: &BTreeMap<PathBuf, Entry>| {
            let mut above = path.ancestors().skip(1);
            above.any(|folder| folder.starts_with("/state") && !names.contains_key(folder))
        };
        let all = names.clone();
        names.retain(|path, _| !orphaned(path, &all));
        let mut nodes = Vec::new();
        for node in &disk.nodes {
            let mut content = node.synced.clone();
            for op in &node.unsynced {
                if !kept(luck) {
                    continue;
                }
                match op {
                    DataOp::Write { at, bytes } if luck.below(2) == 0 => {
                        let start = luck.below(bytes.len() + 1);
                        let end = start + luck.below(bytes.len() - start + 1);
                        let at = at + start;
                        let bytes = bytes[start..end].to_vec();
                        DataOp::Write { at, bytes }.apply(&mut content);
                    }
                    op => op.apply(&mut content),
                }
            }
            nodes.push(Node {
                synced: content.clone(),
                content,
                ..Node::default()
            });
        }
        SimDisk(Arc::new(Mutex::new(Disk {
            nodes,
            synced_names: names.clone(),
            names,
            ..Disk::default()
        })))
    }
}

impl Storage for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.get();
        disk.call()?;
        if disk.names.get(path) != Some(&Entry::Folder) {
            if disk.names.get(path.parent().unwrap()) != Some(&Entry::Folder) {
                return Err(not_found());
            }
            disk.name(NameOp::Set(path.to_owned(), Entry::Folder));
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.get().names.contains_key(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let disk = self.get();
        let inside = disk.names.keys().filter(|name| name.parent() == Some(path));
        Ok(inside.cloned().collect())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StorageFile>> {
        let mut disk = self.get();
        let node = match access {
            Access::Read | Access::Append => disk.file(path)?,
            Access::Create => {
                disk.call()?;
                if disk.names.get(path.parent().unwrap()) != Some(&Entry::Folder) {
                    return Err(not_found());
                }
                let node = disk.nodes.len();
                disk.nodes.push(Node::default());
                disk.name(NameOp::Set(path.to_owned(), Entry::File(node)));
                node
            }
        };
        let disk = self.clone();
        Ok(Box::new(SimFile { disk, node }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.get();
        disk.call()?;
        let node = disk.file(from)?;
        let op = NameOp::Rename(from.to_owned(), to.to_owned(), Entry::File(node));
        disk.name(op);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.get();
        disk.call()?;
        disk.file(path)?;
        disk.name(NameOp::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.get();
        disk.call()?;
        let ops = std::mem::take(&mut disk.unsynced_names);
        let (now, later): (Vec<_>, Vec<_>) = ops.into_iter().partition(|op| op.is_in(path));
        for op in now {
            op.apply(&mut disk.synced_names);
        }
        disk.unsynced_names = later;
        Ok(())
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: usize,
}

impl StorageFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.get().nodes[self.node].content.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disk = self.disk.get();
        let content = &disk.nodes[self.node].content;
        let rest = content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.disk.get();
        disk.call()?;
        let mut count = bytes.len();
        if let Some((at, Fault::Short)) = disk.fault {
            if disk.calls == at {
                count /= 2;
            } else if disk.calls == at + 1 {
                return Err(no_space());
            }
        }
        let node = &disk.nodes[self.node];
        let within = node.allocated.saturating_sub(node.content.len() as u64);
        if disk.free().saturating_add(within) < count as u64 {
            return Err(no_space());
        }
        let node = &mut disk.nodes[self.node];
        let op = DataOp::Write {
            at: node.content.len(),
            bytes: bytes[..count].to_vec(),
        };
        op.apply(&mut node.content);
        node.unsynced.push(op);
        Ok(count)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.get();
        let called = disk.call();
        let powered = !matches!(disk.fault, Some((_, Fault::PowerCut)));
        let node = &mut disk.nodes[self.node];
        if called.is_ok() {
            for op in std::mem::take(&mut node.unsynced) {
                op.apply(&mut node.synced);
            }
        } else if powered {
            // The pages still hold the bytes and are called clean: nobody will write them.
            node.unsynced.clear();
        }
        called
    }

    fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.get();
        disk.call()?;
        let op = DataOp::Write {
            at: offset as usize,
            bytes: bytes.to_vec(),
        };
        let node = &mut disk.nodes[self.node];
        op.apply(&mut node.content);
        node.unsynced.push(op);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut disk = self.disk.get();
        disk.call()?;
        let op = DataOp::Truncate(length as usize);
        let node = &mut disk.nodes[self.node];
        op.apply(&mut node.content);
        node.unsynced.push(op);
        Ok(())
    }

    fn allocate(&mut self, length: u64) -> io::Result<()> {
        let mut disk = self.disk.get();
        disk.call()?;
        let node = &disk.nodes[self.node];
        let held = node.allocated.max(node.content.len() as u64);
        if length.saturating_sub(held) > disk.free() {
            return Err(no_space());
        }
        disk.nodes[self.node].allocated = held.max(length);
        Ok(())
    }
}

/// A small generator of chances (xorshift64, Marsaglia 2003): the same seed, the same run.
pub(crate) struct Luck(u64);

impl Luck {
    pub(crate) fn new(seed: u64) -> Luck {
        Luck(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
