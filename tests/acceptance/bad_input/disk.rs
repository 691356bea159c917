//! A disk that is full: decisions can still be recorded, nothing lies, and freed space is enough to
//! go on.

use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::story::Product;
use acceptance::support::project::{Project, Scene};
use serde_json::Value;

use super::{Place, complains, place, staged, text};

/// Space of the small file system: the reserve, the builds of the fixture project, and some.
const SIZE: &str = "size=256m";

/// Runs a test of this file in a mount namespace of its own, whose mounts end with it.
fn in_a_namespace_of_its_own(test: &str) {
    let exe = std::env::current_exe().unwrap();
    let run = |flags: &str| {
        let mut command = Command::new("unshare");
        command.arg(flags).arg(&exe);
        command.args(["--ignored", "--exact", test, "--nocapture"]);
        command.output().expect("unshare (util-linux) is missing")
    };
    let may = |flags: &str| {
        let tried = Command::new("unshare").args([flags, "true"]).status();
        tried.is_ok_and(|status| status.success())
    };
    let flags = ["-rm", "-m"].into_iter().find(|flags| may(flags));
    let flags = flags.expect("neither user namespaces nor root: no small disk can be made");
    let output = run(flags);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{test} did not run: {said}");
}

/// A file system that can be filled and emptied.
struct SmallDisk {
    mount: PathBuf,
}

impl SmallDisk {
    fn mount(place: &Place) -> Self {
        let mount = place.work.path().join("small");
        std::fs::create_dir(&mount).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(&mount)
            .status();
        assert!(mounted.unwrap().success(), "cannot mount");
        Self { mount }
    }

    fn filler(&self) -> PathBuf {
        self.mount.join("filler")
    }

    /// Leaves that many bytes, or a little less.
    fn fill(&self, leave: u64) {
        let stat = rustix::fs::statvfs(&self.mount).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        let file = std::fs::File::create(self.filler()).unwrap();
        let flags = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&file, flags, 0, free - leave).unwrap();
    }

    fn empty(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The namespace takes the mount with it; detached here, its folder can be removed.
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
    }
}

/// The fixture project with its state on the small disk.
fn scene_on(place: &Place, disk: &SmallDisk, edit: impl FnOnce(&Path)) -> Scene {
    let work = place.work.path().join("work");
    let scene = Scene::with(Project::Fixture, &work, place.runtime.path(), |repo| {
        edit(repo);
        Ok(())
    });
    let scene = scene.unwrap();
    let settings = std::fs::read_to_string(&scene.config).unwrap();
    let (_, rest) = settings.split_once('\n').unwrap();
    let state = format!(
        "state_root = \"{}\"\n{rest}",
        disk.mount.join("state").display()
    );
    std::fs::write(&scene.config, state).unwrap();
    scene
}

fn says_that_it_is_full(text: &str) -> bool {
    text.to_lowercase().contains("no space left")
}

#[test]
fn a_full_disk_takes_a_persons_no_and_goes_on_when_there_is_room() {
    in_a_namespace_of_its_own("bad_input::disk::full_between_two_steps");
}

#[test]
#[ignore = "run in a mount namespace by the test above"]
fn full_between_two_steps() {
    let place = place();
    let disk = SmallDisk::mount(&place);
    let scene = scene_on(&place, &disk, |_| {});
    let product = Product::new(&scene);
    let claim = staged(&scene, &product);
    // What the room holds would be given back when the next run clears it.
    let state = text(&product.call(&["status"]).unwrap().1["state_dir"]);
    std::fs::remove_dir_all(Path::new(&state).join("rooms/main")).unwrap();
    disk.fill(0);

    // A run needs space for its room and its logs: it ends, says why, and is no signal.
    let (code, run) = product.call(&["run", &scene.brief.scope]).unwrap();
    assert_eq!(code, 5, "{run}");
    assert!(says_that_it_is_full(&run.to_string()), "{run}");
    product
        .expect(0, &["reject", &claim, "--reason", "not on this disk"])
        .unwrap();
    assert_eq!(state_of(&product, &claim), "rejected");

    // A daemon that starts on the full disk knows as much.
    product.kill_daemon().unwrap();
    assert_eq!(state_of(&product, &claim), "rejected");
    let (code, run) = product.call(&["run", &scene.brief.scope]).unwrap();
    assert_ne!(code, 0, "{run}");
    assert_ne!(run["run"]["green"], Value::Bool(true), "{run}");

    disk.empty();
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    product.expect(0, &["stop"]).unwrap();
    product.expect(0, &["state", "verify"]).unwrap();
    assert_eq!(state_of(&product, &claim), "rejected");
    product.expect(6, &["run", &scene.brief.scope]).unwrap();
    product.expect(0, &["stop"]).unwrap();
}

fn state_of(product: &Product<'_>, claim: &str) -> String {
    let status = product.call(&["status"]).unwrap().1;
    let claims = status["claims"].as_array().unwrap();
    let found = claims.iter().find(|found| found["claim_id"] == claim);
    text(&found.unwrap()["state"])
}

#[test]
fn a_disk_that_fills_up_under_a_log_leaves_no_half_evidence() {
    in_a_namespace_of_its_own("bad_input::disk::full_under_a_log");
}

/// Prints 64 MiB that cannot be compressed.
const NOISE: &str = r#"
#[test]
fn path_equivalence_noise() {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let mut state = 1u64;
    for _ in 0..(64 << 20) / 64 {
        let mut line = [0u8; 64];
        for byte in &mut line[..63] {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *byte = 33 + (state >> 57) as u8 % 94;
        }
        line[63] = b'\n';
        out.write_all(&line).unwrap();
    }
}
"#;

#[test]
#[ignore = "run in a mount namespace by the test above"]
fn full_under_a_log() {
    let place = place();
    let disk = SmallDisk::mount(&place);
    let scene = scene_on(&place, &disk, |repo| {
        let file = repo.join("tests/paths.rs");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str(NOISE);
        std::fs::write(file, text).unwrap();
    });
    let product = Product::new(&scene);
    let state = text(&product.call(&["status"]).unwrap().1["state_dir"]);
    // Enough for the build, not for the log.
    disk.fill(40 << 20);
    let (code, run) = product
        .call(&["run", &scene.brief.scope, "--cell", "debug"])
        .unwrap();
    assert_eq!(code, 5, "{run}");
    assert!(says_that_it_is_full(&run.to_string()), "{run}");
    assert_eq!(run["run"]["jobs"][0]["log"], Value::Null, "{run}");
    let left = std::fs::read_dir(Path::new(&state).join("evidence/tmp")).unwrap();
    assert_eq!(left.count(), 0, "half a log was left");
    let (code, said) = complains(&product, &["log", "R1"]);
    assert_ne!(code, 0, "{said}");
    disk.empty();
    product
        .expect(6, &["run", &scene.brief.scope, "--cell", "debug"])
        .unwrap();
    product.expect(0, &["stop"]).unwrap();
    product.expect(0, &["state", "verify"]).unwrap();
}
