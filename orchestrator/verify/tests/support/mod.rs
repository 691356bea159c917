//! A small project with a seeded bug, and everything that a push of its fix consists of.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use attest::approval::{Approval, ApprovalSubject, claim_digest};
use attest::claim::{CLAIM_SCHEMA, Citation, ClaimBody, ClaimBudget, ClaimKind, PinnedTest, Site};
use attest::digest::Digest;
use attest::json::canonical;
use attest::namespace::Namespace;
use attest::sshsig::SigningKey;
use attest::statement::JournalHead;
use discipline::decision::{
    ApprovalFacts, BaselineFacts, Decision, DecisionInput, EvidenceFact, GateFacts,
    HypothesisFacts, RULES_VERSION, Stage, TargetFacts, gates_digest,
};
use discipline::event::Mechanism;
use discipline::model::{
    GateResult, GateRole, GateVerdict, ProcessExit, RunId, TestCounts, Verdict, VerdictKind,
};
use discipline::observation::Grade;
use discipline::rules::decide;
use gitread::GitReader;
use verify::build::{self, DaemonKeys};
use verify::{BaseFacts, base_facts, change_facts};

pub const MAIN: &str = "refs/heads/main";
pub const APPROVER: u8 = 1;
pub const GATE: u8 = 2;
pub const VERDICT: u8 = 3;

const POLICY: &str = r#"schema = 1

[repo]
law = "INVARIANTS.md"

[scope.sums]
package = "sums"
argv = ["cargo", "test", "-p", "sums", "--test", "sums"]

[gate.sums]
package = "sums"
argv = ["cargo", "test", "-p", "sums", "--test", "sums"]
when = ["src/**", "tests/**"]
"#;
const LAW: &str =
    "# Law\n\n## §1 A sum is a sum\nEvery value counts.\nPinned by: test sums::all_values_count\n";
const BUG: &str = "//! Sums.\n\n/// The sum of all values.\npub fn sum(values: &[i64]) -> i64 {\n    values.iter().skip(1).sum()\n}\n";
const TEST: &str =
    "//! Sums.\n\n#[test]\nfn all_values_count() {\n    assert_eq!(sums::sum(&[1, 2]), 3);\n}\n";
const MANIFEST: &str = "[package]\nname = \"sums\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
pub const LOG: &str = "running 1 test\ntest all_values_count ... FAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32], "")
}

pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Git without any configuration but the repository's own.
pub fn git_command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs([
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Ana"),
            ("GIT_AUTHOR_EMAIL", "ana@example.org"),
            ("GIT_AUTHOR_DATE", "1700000000 +0000"),
            ("GIT_COMMITTER_NAME", "Ana"),
            ("GIT_COMMITTER_EMAIL", "ana@example.org"),
            ("GIT_COMMITTER_DATE", "1700000000 +0000"),
        ]);
    command
}

pub fn git(dir: &Path, args: &[&str], input: &[u8]) -> String {
    use std::io::Write;
    let mut child = git_command(dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What a test does differently from a good push. Each function sees the good value.
#[derive(Clone, Copy)]
pub struct Edits {
    pub kind: fn(&mut ClaimBody),
    pub message: fn(&mut String),
    pub extra_parent: bool,
    pub gates: fn(&mut Vec<GateResult>),
    pub input: fn(&mut DecisionInput),
    pub subject: fn(&mut ApprovalSubject),
    pub decision: fn(&mut Decision),
    pub approver: u8,
    pub namespace: Namespace,
    pub gate_key: u8,
    pub verdict_key: u8,
    pub files: fn(&mut BTreeMap<String, Vec<u8>>),
}

impl Default for Edits {
    fn default() -> Self {
        Self {
            kind: |_| {},
            message: |_| {},
            extra_parent: false,
            gates: |_| {},
            input: |_| {},
            subject: |_| {},
            decision: |_| {},
            approver: APPROVER,
            namespace: Namespace::Approval,
            gate_key: GATE,
            verdict_key: VERDICT,
            files: |_| {},
        }
    }
}

/// A commit with its attestation, both in the work repository's object database.
#[derive(Clone, Debug)]
pub struct Made {
    pub commit: String,
    pub tree: String,
    pub attestation: String,
    pub claim_digest: Digest,
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub base: String,
    pub base_tree: String,
    /// Policy and law of the base, read once: loading them checks every example of the catalogue.
    facts: OnceCell<BaseFacts>,
}

impl World {
    pub fn new() -> Self {
        Self::with("", &[])
    }

    /// As [`Self::new`], with more policy and more files in the base commit.
    pub fn with(policy: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        fs::create_dir_all(&work).unwrap();
        git(&work, &["init", "-q", "-b", "main", "."], b"");
        let policy = format!("{POLICY}{policy}");
        let own = [
            ("greenloop.toml", policy.as_str()),
            ("INVARIANTS.md", LAW),
            ("Cargo.toml", MANIFEST),
            ("src/lib.rs", BUG),
            ("tests/sums.rs", TEST),
            ("allowed_signers", &signers_text()),
        ];
        for (path, text) in own.iter().chain(files) {
            let path = work.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        git(&work, &["add", "-A"], b"");
        git(&work, &["commit", "-q", "-m", "Base"], b"");
        let base = git(&work, &["rev-parse", "HEAD"], b"");
        let base_tree = git(&work, &["rev-parse", "HEAD^{tree}"], b"");
        let world = Self {
            dir,
            base,
            base_tree,
            facts: OnceCell::new(),
        };
        fs::write(world.path("signers"), signers_text()).unwrap();
        let root = &world.base;
        let pinned = format!(
            "guarded_refs = [\"{MAIN}\", \"refs/heads/release/*\"]\ntrusted_root = \"{root}\"\nsigners = \"signers\"\n"
        );
        fs::write(world.path("policy.toml"), pinned).unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    pub fn git(&self, args: &[&str]) -> String {
        git(&self.work(), args, b"")
    }

    pub fn reader(&self) -> GitReader {
        GitReader::open(&self.work()).unwrap()
    }

    /// The base tree with one file replaced.
    pub fn tree_with(&self, path: &str, text: &str) -> String {
        let work = self.work();
        let index = self.path("index");
        let run = |args: &[&str], input: &[u8]| {
            use std::io::Write;
            let mut child = git_command(&work)
                .env("GIT_INDEX_FILE", &index)
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(input).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        run(&["read-tree", &self.base_tree], b"");
        let blob = run(&["hash-object", "-w", "--stdin"], text.as_bytes());
        run(
            &[
                "update-index",
                "--add",
                "--cacheinfo",
                &format!("100644,{blob},{path}"),
            ],
            b"",
        );
        run(&["write-tree"], b"")
    }

    fn facts(&self) -> BaseFacts {
        let read = || base_facts(&self.reader(), &self.base).unwrap();
        self.facts.get_or_init(read).clone()
    }

    pub fn fixed_tree(&self) -> String {
        self.tree_with("src/lib.rs", &BUG.replace(".skip(1)", ""))
    }

    fn body(&self, tree: &str, diff_digest: Digest) -> ClaimBody {
        let failed = LOG.find("test all").unwrap() as u64;
        let end = LOG.find("test result").unwrap() as u64;
        ClaimBody {
            schema: CLAIM_SCHEMA,
            repo: self.base.clone(),
            ref_name: MAIN.to_owned(),
            kind: ClaimKind::Fix,
            proof_scope: "sums".to_owned(),
            failing_invariant: "§1".to_owned(),
            parent: self.base.clone(),
            tree: tree.to_owned(),
            diff_digest,
            evidence: vec![Citation {
                log_id: Digest::of(LOG.as_bytes()),
                byte_start: failed,
                byte_end: end,
                line_start: 2,
                line_end: 2,
            }],
            baseline_run: "R1".to_owned(),
            sites: vec![Site {
                file: "src/lib.rs".to_owned(),
                function: Some("sum".to_owned()),
                line_start: 4,
                line_end: 6,
            }],
            reasoning: "The iterator skips the first value, so it never counts.".to_owned(),
            hypothesis_id: "H1".to_owned(),
            predictions: vec!["all cargo_summary.failed == 0".to_owned()],
            outcomes: vec![],
            guards: Vec::new(),
            gates: vec!["sums".to_owned()],
            pinned_test: Some(PinnedTest {
                package: "sums".to_owned(),
                target: "sums".to_owned(),
                name: "all_values_count".to_owned(),
                files: Vec::new(),
            }),
            rollback_if: vec!["any cargo_summary.failed > 5".to_owned()],
            budget: ClaimBudget {
                runner_minutes: 1,
                runs: 1,
                cancels: Vec::new(),
            },
            message: "sums: count every value (§1)\n\nThe first one was skipped.".to_owned(),
            author: "agent".to_owned(),
        }
    }

    fn gate_results(&self, tree: &str) -> Vec<GateResult> {
        let result = |gate: &str, role, tree: &str, passed, failed: bool| GateResult {
            gate: gate.to_owned(),
            role,
            verdict: GateVerdict::Passed,
            refused: Vec::new(),
            argv: ["cargo", "test"].map(str::to_owned).to_vec(),
            tree: tree.to_owned(),
            exit: ProcessExit::Code(if failed { 101 } else { 0 }),
            tests: TestCounts {
                passed,
                failed: u64::from(failed),
                ..TestCounts::default()
            },
            failed_tests: match failed {
                true => vec!["all_values_count".to_owned()],
                false => Vec::new(),
            },
            compile_error: false,
            dead_code: Vec::new(),
            listed: None,
            reused_from: None,
            covered: vec!["src/lib.rs".to_owned()],
            transcript: None,
            duration_ms: 900,
            environment: Digest::of(b"environment"),
        };
        vec![
            result("pinned", GateRole::PinOnBase, &self.base_tree, 0, true),
            result("pinned", GateRole::PinOnHead, tree, 1, false),
            result("sums", GateRole::Gate, tree, 1, false),
            result("sums", GateRole::Canary, tree, 1, true),
        ]
    }

    /// The good fix, with `edits`.
    pub fn make(&self, edits: Edits) -> Made {
        self.make_with(&self.fixed_tree(), edits)
    }

    /// A claim that pushes `tree`, with `edits`.
    pub fn make_with(&self, tree: &str, edits: Edits) -> Made {
        let reader = self.reader();
        let diff = reader.diff_trees(&self.base_tree, tree).unwrap();
        let mut body = self.body(tree, diff.digest().unwrap());
        (edits.kind)(&mut body);
        let digest = claim_digest(&canonical(&body).unwrap());
        let commit = self.commit(&body, &digest, tree, &edits);
        let mut input = self.input(&reader, &body, &digest, &commit, &edits);
        let mut subject = self.subject(&input, &commit, tree);
        (edits.subject)(&mut subject);
        input.approval = Some(ApprovalFacts {
            subject: subject.clone(),
            signer: "ana@example.org".to_owned(),
            key_type: "ssh-ed25519".to_owned(),
        });
        (edits.input)(&mut input);
        let rulebook = self.facts().rulebook;
        let mut decision = decide(&input, &rulebook, Stage::Push);
        (edits.decision)(&mut decision);
        let bytes = subject.signed_bytes().unwrap();
        let signature = key(edits.approver).sign(edits.namespace, &bytes).unwrap();
        let approval = Approval { subject, signature };
        let keys = DaemonKeys {
            gate: &key(edits.gate_key),
            verdict: &key(edits.verdict_key),
        };
        let files =
            build::attestation(&input, &decision, &approval, None, journal(), keys).unwrap();
        let mut files: BTreeMap<String, Vec<u8>> = files
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), bytes))
            .collect();
        (edits.files)(&mut files);
        Made {
            attestation: self.flat_tree(&files),
            tree: self.git(&["rev-parse", &format!("{commit}^{{tree}}")]),
            commit,
            claim_digest: digest,
        }
    }

    fn commit(&self, body: &ClaimBody, digest: &Digest, tree: &str, edits: &Edits) -> String {
        let mut message = format!(
            "{}\n\nClaim-Id: C1\nClaim-Digest: {digest}\n",
            body.message.trim()
        );
        (edits.message)(&mut message);
        let mut args = vec!["commit-tree", tree, "-p", &self.base, "-m", &message];
        let other;
        if edits.extra_parent {
            other = self.git(&["commit-tree", tree, "-m", "other"]);
            args.extend(["-p", &other]);
        }
        self.git(&args)
    }

    fn input(
        &self,
        reader: &GitReader,
        body: &ClaimBody,
        digest: &Digest,
        commit: &str,
        edits: &Edits,
    ) -> DecisionInput {
        let base = self.facts();
        let diff = change_facts(reader, &self.base_tree, body, &base).unwrap();
        let mut results = self.gate_results(&body.tree);
        (edits.gates)(&mut results);
        let log = markers::scan(&base.rulebook.catalogue, LOG.as_bytes());
        DecisionInput {
            rules_version: RULES_VERSION,
            now_ms: now_ms(),
            body: body.clone(),
            claim_digest: digest.clone(),
            policy: base.facts,
            diff,
            evidence: vec![EvidenceFact {
                citation: body.evidence[0].clone(),
                run_id: Some(RunId::nth(1)),
                scope: Some("sums".to_owned()),
                commit: Some(self.base.clone()),
                exists: true,
                complete: true,
                current: true,
                shows_failure: true,
                blames_reference: None,
            }],
            exhibits: Vec::new(),
            baseline: Some(BaselineFacts {
                run_id: RunId::nth(1),
                scope: "sums".to_owned(),
                head_sha: self.base.clone(),
                executed: true,
                current: true,
                cells: vec![log.into_cell("default")],
            }),
            rivals: Vec::new(),
            overrides: Vec::new(),
            attempts: Vec::new(),
            hypothesis: Some(HypothesisFacts {
                id: "H1".to_owned(),
                scope: "sums".to_owned(),
                mechanism: Mechanism::SkippedWork,
                alive: true,
                status: "open".to_owned(),
                grade: Grade::Derived,
                predicts: Vec::new(),
                forbids: Vec::new(),
            }),
            reverted: None,
            gates: Some(GateFacts {
                gates_digest: gates_digest(&results).unwrap(),
                results,
            }),
            approval: None,
            target: TargetFacts {
                commit: Some(commit.to_owned()),
                remote_tip: Some(self.base.clone()),
                scope_closed: None,
                live_runs: Vec::new(),
                minutes_left: 60,
                diagnostics_left: None,
                forecast: discipline::forecast::ForecastFacts::default(),
                empty_results: Vec::new(),
                already_pushed: false,
                signal_exists: true,
            },
        }
    }

    fn subject(&self, input: &DecisionInput, commit: &str, tree: &str) -> ApprovalSubject {
        ApprovalSubject {
            claim_digest: input.claim_digest.clone(),
            repo: self.base.clone(),
            ref_name: input.body.ref_name.clone(),
            old_tip: self.base.clone(),
            commit: commit.to_owned(),
            tree: tree.to_owned(),
            diff_digest: input.body.diff_digest.clone(),
            gates_digest: input.gates.as_ref().unwrap().gates_digest.clone(),
            shown_digest: Digest::of(b"shown"),
            expires_ms: now_ms() + 3_600_000,
            nonce: "5eed".to_owned(),
        }
    }

    pub fn flat_tree(&self, files: &BTreeMap<String, Vec<u8>>) -> String {
        let mut listing = String::new();
        for (name, bytes) in files {
            let blob = git(&self.work(), &["hash-object", "-w", "--stdin"], bytes);
            listing.push_str(&format!("100644 blob {blob}\t{name}\n"));
        }
        git(&self.work(), &["mktree"], listing.as_bytes())
    }

    /// The tree of a verdict over `made`, signed by the key of this seed.
    pub fn verdict(&self, made: &Made, seed: u8, at_ms: i64) -> String {
        self.verdict_with(made, seed, at_ms, |_| ())
    }

    /// As [`Self::verdict`], of another outcome.
    pub fn verdict_with(
        &self,
        made: &Made,
        seed: u8,
        at_ms: i64,
        edit: fn(&mut Verdict),
    ) -> String {
        let mut verdict = Verdict {
            run_id: RunId::nth(2),
            commit: made.commit.clone(),
            kind: VerdictKind::Confirmed,
            grades: Vec::new(),
            rollback_due: false,
            reasons: vec!["every prediction holds".to_owned()],
            other_scopes: Vec::new(),
        };
        edit(&mut verdict);
        let digest = &made.claim_digest;
        let files = build::verdict(
            MAIN,
            &made.tree,
            digest,
            &verdict,
            at_ms,
            journal(),
            &key(seed),
        );
        let files = files.unwrap().into_iter();
        self.flat_tree(
            &files
                .map(|(name, bytes)| (name.to_owned(), bytes))
                .collect(),
        )
    }

    /// A checkpoint of the journal at `seq`, as a commit on `parent`.
    pub fn checkpoint(&self, made: &Made, seq: u64, said: &[u8], parent: Option<&str>) -> String {
        let journal = JournalHead {
            seq,
            head: Digest::of(said),
        };
        let key = key(VERDICT);
        let at_ms = now_ms();
        let files = build::checkpoint(MAIN, &made.commit, &made.tree, at_ms, journal, &key);
        let files = files.unwrap().into_iter();
        let tree = self.flat_tree(
            &files
                .map(|(name, bytes)| (name.to_owned(), bytes))
                .collect(),
        );
        let mut args = vec!["commit-tree", "-m", "checkpoint", &tree];
        args.extend(parent.iter().flat_map(|parent| ["-p", parent]));
        self.git(&args)
    }

    /// A bare repository at the trusted root, guarded by the real binary as pre-receive hook.
    pub fn guarded_remote(&self) -> Remote<'_> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path("remote.git");
        fs::create_dir_all(&path).unwrap();
        git(&path, &["init", "-q", "--bare", "-b", "main", "."], b"");
        let policy = self.path("policy.toml");
        git(
            &path,
            &["config", "greenloop.policy", policy.to_str().unwrap()],
            b"",
        );
        let hook = path.join("hooks/pre-receive");
        let binary = env!("CARGO_BIN_EXE_greenloop-verify");
        fs::write(&hook, format!("#!/bin/sh\nexec '{binary}' pre-receive\n")).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let remote = Remote { world: self, path };
        remote.accepts(&[], &[&format!("{}:{MAIN}", self.base)]);
        remote
    }
}

pub struct Remote<'a> {
    world: &'a World,
    pub path: PathBuf,
}

impl Remote<'_> {
    pub fn push(&self, flags: &[&str], refspecs: &[&str]) -> Output {
        git_command(&self.world.work())
            .args(["push", "--atomic"])
            .args(flags)
            .arg(&self.path)
            .args(refspecs)
            .output()
            .unwrap()
    }

    pub fn accepts(&self, flags: &[&str], refspecs: &[&str]) {
        let output = self.push(flags, refspecs);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{refspecs:?}: {said}");
    }

    /// Pushes, demands a refusal with each of these codes, and that no ref moved.
    pub fn refuses(&self, flags: &[&str], refspecs: &[&str], codes: &[&str]) {
        let before = git(&self.path, &["for-each-ref"], b"");
        let output = self.push(flags, refspecs);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success(),
            "{refspecs:?} was accepted: {said}"
        );
        for code in codes {
            assert!(
                said.contains(&format!("[{code}]")),
                "{refspecs:?}: no [{code}] in {said}"
            );
        }
        assert_eq!(
            git(&self.path, &["for-each-ref"], b""),
            before,
            "nothing moved"
        );
    }

    pub fn delivers(&self, made: &Made) {
        self.accepts(&[], &[&branch(made), &attest(made)]);
    }
}

pub fn branch(made: &Made) -> String {
    format!("{}:{MAIN}", made.commit)
}

pub fn attest(made: &Made) -> String {
    format!("{}:refs/greenloop/attest/{}", made.attestation, made.commit)
}

pub fn journal() -> JournalHead {
    JournalHead {
        seq: 41,
        head: Digest::of(b"journal"),
    }
}

pub fn signers_text() -> String {
    let line = |name: &str, namespace: Namespace, seed: u8| {
        format!(
            "{name} namespaces=\"{namespace}\" {}\n",
            key(seed).public_openssh()
        )
    };
    [
        line("ana@example.org", Namespace::Approval, APPROVER),
        line("daemon@example.org", Namespace::Gate, GATE),
        line("daemon@example.org", Namespace::Verdict, VERDICT),
    ]
    .concat()
}
