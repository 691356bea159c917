//! What rustc compiled in a room: its dep-info and the build scripts' inputs.

use std::fs;
use std::path::{Path, PathBuf};

use discipline::gates::dep_info;
use repo::{Member, Room};

use crate::shared::Shared;
use crate::{Cancel, ServiceError};

/// Larger dep-info files are not written by rustc for code that people wrote.
const FILE_CAP: u64 = 16 << 20;

/// Paths relative to the room's tree.
pub(crate) struct Compiled {
    pub(crate) compiled: Vec<String>,
    pub(crate) build_inputs: Vec<String>,
    /// Inputs of the tree's own crates that are no part of the tree, by their whole paths.
    pub(crate) outside: Vec<String>,
}

/// Reads what stands below the room's target, whose tree has `members`. Dependencies' own files lie
/// outside of the tree and are left out.
pub(crate) fn read(room: &Room, shared: &Shared, members: &[Member]) -> Compiled {
    let root = room.tree().to_string_lossy().into_owned();
    let mut compiled = Vec::new();
    let mut build_inputs = Vec::new();
    let mut outside = Vec::new();
    let allowed: Vec<String> = [
        room.target().as_path(),
        shared.cargo_home.path(),
        shared.toolchain.sysroot.as_path(),
    ]
    .map(|folder| folder.to_string_lossy().into_owned())
    .into();
    for profile in profiles(&room.target()) {
        for file in dep_info_files(&profile) {
            if let Some(text) = text(&file) {
                let inputs = dep_info::parse(&text);
                compiled.extend(dep_info::below_root(&inputs, &root));
                outside.extend(dep_info::outside(&inputs, &root, &allowed));
            }
        }
        for folder in files(&profile.join("build")) {
            let Some(text) = text(&folder.join("output")) else {
                continue;
            };
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let package = name.rsplit_once('-').map_or("", |(package, _)| package);
            let member = members.iter().find(|member| member.name == package);
            if let Some(member) = member {
                build_inputs.extend(dep_info::rerun_if_changed(&text, &member.folder, &root));
            }
        }
    }
    compiled.sort();
    compiled.dedup();
    build_inputs.sort();
    build_inputs.dedup();
    outside.sort();
    outside.dedup();
    Compiled {
        compiled,
        build_inputs,
        outside,
    }
}

/// Conditions of the target, one per line of `rustc --print cfg`.
pub(crate) fn target(shared: &Shared, cancel: &Cancel) -> Result<Vec<String>, ServiceError> {
    let root = &shared.toolchain.sysroot;
    let command = exec::Command::new(&shared.toolchain.rustc, root).args(["--print", "cfg"]);
    let captured = exec::capture(&command, cancel)?;
    let text = String::from_utf8_lossy(&captured.stdout).into_owned();
    // A toolchain that does not say leaves every condition of the target unknown.
    Ok(match captured.outcome.exit.success() {
        true => text.lines().map(str::to_owned).collect(),
        false => Vec::new(),
    })
}

/// `debug`, `release`, …, also below a target triple.
fn profiles(target: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in files(target) {
        if folder.join("deps").is_dir() {
            found.push(folder);
        } else {
            let below = files(&folder);
            found.extend(
                below
                    .into_iter()
                    .filter(|below| below.join("deps").is_dir()),
            );
        }
    }
    found
}

/// rustc's dep-info of a profile: of crates below `deps`, of build scripts beside them in `build`.
fn dep_info_files(profile: &Path) -> Vec<PathBuf> {
    let scripts = files(&profile.join("build"));
    let units = std::iter::once(profile.join("deps")).chain(scripts);
    units
        .flat_map(|folder| files(&folder))
        .filter(|file| file.extension().is_some_and(|end| end == "d"))
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn text(file: &Path) -> Option<String> {
    let meta = fs::metadata(file).ok()?;
    if !meta.is_file() || meta.len() > FILE_CAP {
        return None;
    }
    let bytes = fs::read(file).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn build_scripts_count_as_compiled() {
        let profile = tempfile::tempdir().unwrap();
        let crates = profile.path().join("deps/tally-1.d");
        let script = profile.path().join("build/tally-2/build_script_build-2.d");
        let output = profile.path().join("build/tally-2/output");
        for file in [&crates, &script, &output] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        assert_eq!(dep_info_files(profile.path()), [crates, script]);
    }
}
