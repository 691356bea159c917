//! Programs and drivers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Finding;

/// Longest that a driver may take to say what it can.
const DRIVER_WALL: Duration = Duration::from_secs(20);
/// Most of its answer that is read, bytes.
const DRIVER_OUTPUT: u64 = 1 << 20;
const MANIFESTS: &[&str] = &[
    "/usr/share/vulkan/icd.d",
    "/etc/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
];
const LIBRARIES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
];

/// Programs that every loop needs, and the device when a scope wants one.
pub(super) fn look(wants_device: bool) -> Vec<Finding> {
    let mut findings = vec![git(), ssh_keygen(), cargo(), compiler()];
    findings.extend(vulkan(wants_device));
    findings
}

fn git() -> Finding {
    const REMEDY: &str = "apt-get install git (2.39 or newer)";
    match version_of("git", &["--version"]) {
        Some(version) if at_least(&version, (2, 39)) => Finding::ok("git", version),
        Some(version) => Finding::missing("git", format!("{version}, too old"), REMEDY),
        None => Finding::missing("git", "missing", REMEDY),
    }
}

fn ssh_keygen() -> Finding {
    // It has no --version; asked for nothing it prints its usage.
    match Command::new("ssh-keygen").arg("-?").output() {
        Ok(_) => Finding::ok("ssh-keygen", "present"),
        Err(_) => Finding::missing("ssh-keygen", "missing", "apt-get install openssh-client"),
    }
}

fn cargo() -> Finding {
    const REMEDY: &str = "install Rust 1.95 or newer (rustup, or your distribution's package)";
    match version_of("cargo", &["--version"]) {
        Some(version) if at_least(&version, (1, 95)) => Finding::ok("cargo", version),
        // The project under care may be content with an older one.
        Some(version) => Finding::advice("cargo", format!("{version}, older than 1.95"), REMEDY),
        None => Finding::missing("cargo", "missing", REMEDY),
    }
}

/// Rust links with a C compiler.
fn compiler() -> Finding {
    let found = ["cc", "gcc", "clang"]
        .into_iter()
        .find_map(|name| Some((name, version_of(name, &["--version"])?)));
    match found {
        Some((name, version)) => {
            let first = version.lines().next().unwrap_or_default();
            Finding::ok("linker", format!("{name}: {first}"))
        }
        None => Finding::missing(
            "linker",
            "no cc, gcc or clang",
            "apt-get install build-essential",
        ),
    }
}

fn vulkan(wanted: bool) -> Vec<Finding> {
    let absent = |name, found: String, remedy: &str| match wanted {
        true => Finding::missing(name, found, remedy),
        false => Finding::advice(name, format!("{found}; no scope wants a device"), remedy),
    };
    let mut findings = Vec::new();
    findings.push(match loader() {
        Some(path) => Finding::ok("vulkan loader", path.display().to_string()),
        None => absent(
            "vulkan loader",
            "missing".into(),
            "apt-get install libvulkan1",
        ),
    });
    let manifests = manifests();
    findings.push(match manifests.is_empty() {
        false => Finding::ok("vulkan driver", manifests.join(", ")),
        true => absent(
            "vulkan driver",
            "missing".into(),
            "apt-get install mesa-vulkan-drivers (a software driver)",
        ),
    });
    if let Some(engine) = engine().filter(|_| !manifests.is_empty()) {
        findings.push(match device(&engine) {
            Ok(device) => Finding::ok("vulkan device", device),
            Err(why) => absent(
                "vulkan device",
                why,
                "`engine caps` says what the driver answers; apt-get install mesa-vulkan-drivers gives a software one",
            ),
        });
    }
    findings
}

fn loader() -> Option<PathBuf> {
    let named = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let named = std::env::split_paths(&named);
    named
        .chain(LIBRARIES.iter().map(PathBuf::from))
        .map(|folder| folder.join("libvulkan.so.1"))
        .find(|path| path.exists())
}

/// Driver manifests where the loader looks.
fn manifests() -> Vec<String> {
    let named: Vec<PathBuf> = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .into_iter()
        .filter_map(std::env::var_os)
        .flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
        .collect();
    let files = match named.is_empty() {
        true => MANIFESTS
            .iter()
            .flat_map(|folder| files_in(Path::new(folder)))
            .collect(),
        false => named,
    };
    let found = files.iter().filter(|path| path.is_file());
    found.map(|path| path.display().to_string()).collect()
}

/// The engine's binary, beside this one or on the path.
fn engine() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?.with_file_name("engine");
    if own.is_file() {
        return Some(own);
    }
    exec::find_program("engine", &std::env::var_os("PATH").unwrap_or_default()).ok()
}

/// What the engine's own child process finds; a driver that hangs or dies takes only that along.
fn device(engine: &Path) -> Result<String, String> {
    let environment: BTreeMap<_, _> = std::env::vars_os().collect();
    let command = exec::Command::new(engine, "/")
        .args(["caps", "--json"])
        .envs(environment)
        .wall_timeout(DRIVER_WALL)
        .output_limit(DRIVER_OUTPUT);
    let cancel = exec::Cancel::new().map_err(|error| error.to_string())?;
    let said = exec::capture(&command, &cancel).map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !said.outcome.exit.success() {
        let why = text(&said.stderr);
        let last = why.lines().last().unwrap_or("it said nothing").to_owned();
        return Err(last);
    }
    let caps: serde_json::Value = serde_json::from_slice(&said.stdout)
        .map_err(|_| "`engine caps --json` printed something else than JSON".to_owned())?;
    match caps.get("device").and_then(|device| device.as_str()) {
        Some(device) => Ok(device.to_owned()),
        None => Err("`engine caps --json` named no device".to_owned()),
    }
}

/// Files of a folder, sorted; none when there is no such folder.
pub(super) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files
}

fn version_of(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn at_least(version: &str, wanted: (u32, u32)) -> bool {
    let digits = version
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty());
    let mut numbers = digits.filter_map(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least("git version 2.39.5", (2, 39)));
        assert!(at_least("git version 3.0", (2, 39)));
        assert!(!at_least("git version 2.9.1", (2, 39)));
        assert!(!at_least("no number", (2, 39)));
    }
}
