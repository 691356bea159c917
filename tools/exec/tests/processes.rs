//! Real processes: what they print, how they end, what is left of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use exec::{
    Cancel, Command, Exit, Group, Outcome, ReapOutcome, Streams, Supervision, capture, reap_group,
    reap_marked, run,
};

fn sh(script: &str) -> Command {
    Command::new("/bin/sh", "/")
        .args(["-c", script])
        .env("PATH", "/usr/bin:/bin")
}

fn run_to_end(command: &Command) -> (Outcome, Vec<u8>) {
    let mut sink = Vec::new();
    let cancel = Cancel::new().unwrap();
    let outcome = run(command, &mut sink, Supervision::new(&cancel)).unwrap();
    (outcome, sink)
}

fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    !stat.rsplit_once(") ").unwrap().1.starts_with('Z')
}

/// A sink that hands every finished line to another thread.
struct Lines(mpsc::Sender<String>, Vec<u8>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        while let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.1.drain(..=end).collect();
            let _nobody_listens = self
                .0
                .send(String::from_utf8(line).unwrap().trim().to_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn joined_output_keeps_the_order_of_the_writes() {
    let (outcome, bytes) = run_to_end(&sh("for i in 1 2 3; do echo out$i; echo err$i >&2; done"));
    assert_eq!(bytes, b"out1\nerr1\nout2\nerr2\nout3\nerr3\n");
    assert_eq!(outcome.exit, Exit::Exited(0));
    assert_eq!(outcome.stdout_bytes, bytes.len() as u64);
    assert_eq!(outcome.transcript.lines, 6);
}

#[test]
fn the_environment_is_exactly_what_is_listed() {
    let command = Command::new("/usr/bin/env", "/")
        .env("B", "2")
        .env("A", "one two");
    let (_, bytes) = run_to_end(&command);
    assert_eq!(bytes, b"A=one two\nB=2\n");
}

#[test]
fn status_signal_and_separate_streams_are_told_apart() {
    let captured = capture(
        &sh("printf out; printf error >&2; exit 7"),
        &Cancel::new().unwrap(),
    );
    let captured = captured.unwrap();
    assert_eq!(captured.outcome.exit, Exit::Exited(7));
    assert_eq!(
        (captured.stdout, captured.stderr),
        (b"out".to_vec(), b"error".to_vec())
    );
    assert_eq!(captured.outcome.stdout_bytes, 3);
    assert_eq!(captured.outcome.stderr_bytes, 5);
    let (outcome, _) = run_to_end(&sh("kill -SEGV $$"));
    assert_eq!(outcome.exit, Exit::Signaled(11));
}

#[test]
fn input_reaches_the_child_even_when_it_reads_late_or_never() {
    let input = vec![b'x'; 3 << 20];
    let (outcome, bytes) = run_to_end(&sh("cat").stdin(input.clone()));
    assert_eq!(outcome.exit, Exit::Exited(0));
    assert_eq!(bytes, input);
    let (outcome, _) = run_to_end(&sh("exit 0").stdin(input));
    assert_eq!(outcome.exit, Exit::Exited(0));
}

#[test]
fn raw_bytes_and_endless_lines_survive_the_stamping() {
    let clock = || UNIX_EPOCH;
    let cancel = Cancel::new().unwrap();
    let mut sink = Vec::new();
    let command =
        sh(r"printf 'a\377\000b\n'; head -c 3000000 /dev/zero | tr '\000' z; printf '\nend'");
    let mut supervision = Supervision::new(&cancel);
    supervision.clock = Some(&clock);
    let outcome = run(&command, &mut sink, supervision).unwrap();
    let stamp = b"1970-01-01T00:00:00.0000000Z ";
    let mut expect = [stamp.as_slice(), b"a\xff\0b\n", stamp].concat();
    expect.extend_from_slice(&vec![b'z'; 3_000_000]);
    expect.extend_from_slice(&[b"\n".as_slice(), stamp, b"end"].concat());
    assert!(sink == expect);
    assert_eq!(outcome.transcript.lines, 3);
    assert!(!outcome.transcript.ends_with_newline);
}

#[test]
fn a_command_that_takes_too_long_is_ended() {
    let command = sh("echo started; while :; do read x < /dev/zero; done")
        .wall_timeout(Duration::from_millis(200));
    let (outcome, bytes) = run_to_end(&command);
    assert_eq!(outcome.exit, Exit::TimedOut);
    assert_eq!(bytes, b"started\n");
    assert!(outcome.duration < Duration::from_secs(5));
}

#[test]
fn a_command_that_prints_too_much_is_ended_and_says_so() {
    let (outcome, bytes) = run_to_end(&sh("yes").output_limit(100_001));
    assert_eq!(outcome.exit, Exit::OutputLimit);
    assert_eq!(bytes.len(), 100_001);
    assert!(outcome.stdout_bytes > 100_001);
}

#[test]
fn cancelling_ends_a_whole_group_that_ignores_sigterm() {
    // The leader and a grandchild both refuse SIGTERM and wait on a pipe that never speaks.
    let script = "trap '' TERM; sh -c 'echo $$; exec tail -f /dev/null' & echo $$; wait";
    let (sender, lines) = mpsc::channel();
    let cancel = Cancel::new().unwrap();
    let asked = cancel.clone();
    let runner = std::thread::spawn(move || {
        let mut sink = Lines(sender, Vec::new());
        run(&sh(script), &mut sink, Supervision::new(&asked)).unwrap()
    });
    let pids: Vec<u32> = (0..2)
        .map(|_| lines.recv().unwrap().parse().unwrap())
        .collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let asked_at = Instant::now();
    cancel.cancel();
    let outcome = runner.join().unwrap();
    assert!(
        asked_at.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked_at.elapsed()
    );
    assert_eq!(outcome.exit, Exit::Cancelled);
    assert_eq!(outcome.survivors, Vec::<u32>::new());
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[test]
fn a_grandchild_that_keeps_the_pipe_open_is_ended_with_its_leader() {
    let (outcome, bytes) = run_to_end(&sh("tail -f /dev/null & echo $!; exit 3"));
    assert_eq!(outcome.exit, Exit::Exited(3));
    assert_eq!(outcome.leftovers, 1);
    let grandchild: u32 = String::from_utf8(bytes).unwrap().trim().parse().unwrap();
    assert!(!is_alive(grandchild));
}

#[test]
fn a_process_that_left_the_group_cannot_keep_the_supervisor_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mkfifo gone; setsid sh -c 'echo $$; echo > gone; exec sleep 600' & read x < gone";
    let mut command = sh(script);
    command.cwd = folder.path().to_owned();
    let (outcome, bytes) = run_to_end(&command);
    assert_eq!(outcome.exit, Exit::Exited(0));
    let escaped: u32 = String::from_utf8(bytes).unwrap().trim().parse().unwrap();
    assert!(is_alive(escaped));
    let kill = Command::new("/bin/sh", "/").args(["-c", &format!("kill -9 {escaped}")]);
    assert!(run_to_end(&kill).0.exit.success());
}

#[test]
fn a_group_that_cannot_be_recorded_does_not_run_on() {
    let cancel = Cancel::new().unwrap();
    let mut seen = None;
    let mut on_spawn = |group: &Group| {
        seen = Some(group.pgid);
        Err(io::Error::other("journal is full"))
    };
    let mut supervision = Supervision::new(&cancel);
    supervision.on_spawn = Some(&mut on_spawn);
    let error = run(&sh("exec tail -f /dev/null"), &mut io::sink(), supervision).unwrap_err();
    assert!(error.to_string().contains("journal is full"), "{error}");
    assert!(!is_alive(seen.unwrap()));
}

#[test]
fn a_sink_that_fails_ends_the_command() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let cancel = Cancel::new().unwrap();
    let error = run(&sh("yes"), &mut Full, Supervision::new(&cancel)).unwrap_err();
    assert!(matches!(error, exec::Error::Sink(_)), "{error}");
}

#[test]
fn programs_are_named_by_absolute_path_and_must_exist() {
    let cancel = Cancel::new().unwrap();
    let relative = run(
        &Command::new("sh", "/"),
        &mut io::sink(),
        Supervision::new(&cancel),
    );
    assert!(matches!(relative, Err(exec::Error::RelativeProgram { .. })));
    let missing = run(
        &Command::new("/no/such", "/"),
        &mut io::sink(),
        Supervision::new(&cancel),
    );
    assert!(matches!(missing, Err(exec::Error::Spawn { .. })));
}

#[test]
fn progress_follows_the_output() {
    let cancel = Cancel::new().unwrap();
    let mut last = None;
    let mut on_progress = |progress: exec::Progress| last = Some(progress);
    let mut supervision = Supervision::new(&cancel);
    supervision.on_progress = Some(&mut on_progress);
    run(&sh("echo a; echo b"), &mut io::sink(), supervision).unwrap();
    assert_eq!(
        last.map(|progress| (progress.bytes, progress.lines)),
        Some((4, 2))
    );
}

/// A group whose supervisor has gone: started by an intermediate shell that then ends.
fn orphaned_group(script: &str) -> (Group, u32) {
    let cancel = Cancel::new().unwrap();
    let (sender, lines) = mpsc::channel();
    let (group_sender, group) = mpsc::channel();
    let script = script.to_owned();
    // The thread stays in `run`: what matters to `reap_group` is only the recorded identity.
    std::thread::spawn(move || {
        let mut on_spawn = |group: &Group| {
            group_sender.send(group.clone()).unwrap();
            Ok(())
        };
        let mut supervision = Supervision::new(&cancel);
        supervision.on_spawn = Some(&mut on_spawn);
        let mut sink = Lines(sender, Vec::new());
        run(&sh(&script), &mut sink, supervision)
    });
    let pid = lines.recv().unwrap().parse().unwrap();
    (group.recv().unwrap(), pid)
}

#[test]
fn a_recorded_group_is_reaped_and_then_gone() {
    let (group, pid) = orphaned_group("trap '' TERM; echo $$; tail -f /dev/null; echo never");
    assert_eq!(pid, group.pgid);
    let journalled = Group::recorded(group.pgid, group.start_ticks);
    let outcome = reap_group(&journalled, Duration::from_millis(100)).unwrap();
    assert!(
        matches!(outcome, ReapOutcome::Reaped { killed: true, .. }),
        "{outcome:?}"
    );
    assert!(!is_alive(pid));
    let again = reap_group(&group, Duration::from_millis(100)).unwrap();
    assert_eq!(again, ReapOutcome::Gone);
}

#[test]
fn a_group_that_nobody_recorded_is_found_by_its_environment() {
    let dir = tempfile::tempdir().unwrap();
    let mark = |name: &str| format!("{name}={}", dir.path().display()).into();
    let (mut children, mut pids) = (Vec::new(), Vec::new());
    for variable in ["ITS_HOME", "OTHER_HOME"] {
        use std::os::unix::process::CommandExt;
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "tail -f /dev/null & echo $!; wait"])
            .env(variable, dir.path())
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut line, mut out) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
        out.read_line(&mut line).unwrap();
        pids.push(line.trim().parse::<u32>().unwrap());
        // `tail` would end by itself with the pipe.
        children.push((child, out));
    }
    let grace = Duration::from_millis(500);
    assert_eq!(reap_marked(&[mark("ITS_HOM")], grace).unwrap(), 0);
    assert_eq!(reap_marked(&[mark("ITS_HOME")], grace).unwrap(), 1);
    assert!(!is_alive(pids[0]), "the leader's child was spared");
    assert!(is_alive(pids[1]), "somebody else's process was ended");
    assert_eq!(reap_marked(&[mark("OTHER_HOME")], grace).unwrap(), 1);
    for (mut child, _out) in children {
        child.wait().unwrap();
    }
}

#[test]
fn a_group_id_that_was_reused_is_left_alone() {
    let (group, pid) = orphaned_group("echo $$; exec tail -f /dev/null");
    let older = Group {
        start_ticks: group.start_ticks - 1,
        ..group.clone()
    };
    let outcome = reap_group(&older, Duration::ZERO).unwrap();
    assert_eq!(outcome, ReapOutcome::Reused);
    let before_reboot = Group {
        boot_id: Some("another boot".to_owned()),
        ..group.clone()
    };
    assert_eq!(
        reap_group(&before_reboot, Duration::ZERO).unwrap(),
        ReapOutcome::Gone
    );
    assert!(is_alive(pid));
    let outcome = reap_group(&group, Duration::from_secs(2)).unwrap();
    assert!(
        matches!(outcome, ReapOutcome::Reaped { killed: false, .. }),
        "{outcome:?}"
    );
}

/// Runs this test binary again as another process that plays `role`, and talks to it.
fn reexecute(role: &str, path: &Path) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role", "--nocapture", "--ignored"])
        .env("EXEC_TEST_ROLE", role)
        .env("EXEC_TEST_PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The body of a re-executed process; does nothing when run as a test.
#[test]
#[ignore = "the body of processes that other tests start"]
fn role() {
    let (Ok(role), Ok(path)) = (
        std::env::var("EXEC_TEST_ROLE"),
        std::env::var("EXEC_TEST_PATH"),
    ) else {
        return;
    };
    let cancel = Cancel::new().unwrap();
    let exec::TryLease::Acquired(lease) =
        exec::Lease::try_acquire(Path::new(&path), "smoke on the card").unwrap()
    else {
        panic!("lease is taken")
    };
    match role.as_str() {
        "hold" => {
            println!("\nready");
            io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
        "hold-in-group" => {
            let script = "echo ready $$; exec sleep 600";
            let mut supervision = Supervision::new(&cancel);
            supervision.lease = Some(&lease);
            let (sender, lines) = mpsc::channel::<String>();
            std::thread::spawn(move || {
                for line in lines {
                    println!("\n{line}");
                }
            });
            run(&sh(script), &mut Lines(sender, Vec::new()), supervision).unwrap();
        }
        other => panic!("no role {other}"),
    }
}

fn wait_for_ready(child: &mut std::process::Child) -> String {
    let stdout = BufReader::new(child.stdout.as_mut().unwrap());
    stdout
        .lines()
        .map(Result::unwrap)
        .find(|line| line.starts_with("ready"))
        .unwrap()
}

#[test]
fn a_lease_is_exclusive_names_its_holder_and_falls_free_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gpu.lease");
    let mut holder = reexecute("hold", &path);
    wait_for_ready(&mut holder);
    match exec::Lease::try_acquire(&path, "ours").unwrap() {
        exec::TryLease::Held(by) => {
            assert_eq!(by.pid, Some(holder.id()));
            assert_eq!(by.purpose, "smoke on the card");
        }
        exec::TryLease::Acquired(_) => panic!("two holders"),
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    let taken = exec::Lease::try_acquire(&path, "ours").unwrap();
    assert!(matches!(taken, exec::TryLease::Acquired(_)));
}

#[test]
fn a_killed_supervisor_does_not_free_a_lease_its_group_still_uses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gpu.lease");
    let mut supervisor = reexecute("hold-in-group", &path);
    let ready = wait_for_ready(&mut supervisor);
    let pid: u32 = ready.split(' ').nth(1).unwrap().parse().unwrap();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    assert!(is_alive(pid));
    let cancel = Cancel::new().unwrap();
    let held = exec::Lease::acquire(&path, "ours", Duration::from_millis(120), &cancel).unwrap();
    assert!(matches!(held, exec::TryLease::Held(_)));
    let kill = Command::new("/bin/sh", "/").args(["-c", &format!("kill -9 {pid}")]);
    assert!(run_to_end(&kill).0.exit.success());
    let freed = exec::Lease::acquire(&path, "ours", Duration::from_secs(10), &cancel).unwrap();
    assert!(matches!(freed, exec::TryLease::Acquired(_)));
}

#[test]
fn a_lease_is_inherited_by_the_group_it_is_for_and_by_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gpu.lease");
    let exec::TryLease::Acquired(lease) = exec::Lease::try_acquire(&path, "ours").unwrap() else {
        panic!("held")
    };
    let cancel = Cancel::new().unwrap();
    let list = sh("ls -l /proc/self/fd");
    let listing = |lease| {
        let mut sink = Vec::new();
        let mut supervision = Supervision::new(&cancel);
        supervision.lease = lease;
        run(&list, &mut sink, supervision).unwrap();
        String::from_utf8(sink).unwrap()
    };
    assert!(listing(Some(&lease)).contains("gpu.lease"));
    assert!(!listing(None).contains("gpu.lease"));
}

#[test]
fn joined_and_separate_streams_lose_nothing() {
    let script = "i=0; while [ $i -lt 2000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done";
    for streams in [Streams::Joined, Streams::Separate] {
        let (outcome, bytes) = run_to_end(&sh(script).streams(streams));
        assert_eq!(outcome.transcript.lines, 4000);
        assert_eq!(
            outcome.stdout_bytes + outcome.stderr_bytes,
            bytes.len() as u64
        );
    }
}
