//! A scratch project with a seeded bug, a bare remote, an approver's key, and a service on it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exec::{Command, capture, find_program};
use service::api;
use service::{
    Caller, Cancel, MachineConfig, NoProgress, Service, ServiceConfig, ServiceError,
    SourceSettings, system_clock,
};

/// Scope of the fixture.
pub const SCOPE: &str = "path_equivalence";
/// The test that the seeded bug turns red.
pub const RED_TEST: &str = "path_equivalence_partial_block";

/// One scratch world. The service can be closed and opened again.
pub struct Bench {
    folder: tempfile::TempDir,
    service: Option<Arc<Service>>,
    sources: SourceSettings,
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixture-project")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != "target" {
                copy(&entry.path(), &target);
            }
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs a program in a hermetic environment; its output on success.
pub fn run(cwd: &Path, program: &str, args: &[&str]) -> String {
    let path = std::env::var_os("PATH").unwrap();
    let command = Command::new(find_program(program, &path).unwrap(), cwd)
        .args(args.iter().copied())
        .envs([
            ("PATH", path.to_str().unwrap()),
            ("HOME", "/nonexistent"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_AUTHOR_NAME", "agent"),
            ("GIT_AUTHOR_EMAIL", "agent@example.org"),
            ("GIT_COMMITTER_NAME", "agent"),
            ("GIT_COMMITTER_EMAIL", "agent@example.org"),
        ]);
    let captured = capture(&command, &Cancel::new().unwrap()).unwrap();
    let said = String::from_utf8_lossy(&captured.stderr).into_owned();
    assert!(
        captured.outcome.exit.success(),
        "{program} {args:?}: {said}"
    );
    String::from_utf8(captured.stdout)
        .unwrap()
        .trim()
        .to_owned()
}

impl Bench {
    /// The fixture with its seeded bug at the tip of a bare remote's branch, and an open service.
    pub fn new() -> Bench {
        Bench::with(|_| {})
    }

    /// As [`Bench::new`], with the tree edited before its first commit.
    pub fn with(edit: impl FnOnce(&Path)) -> Bench {
        Bench::with_sources(SourceSettings::default(), edit)
    }

    /// As [`Bench::with`], on a machine that may read these sources.
    pub fn with_sources(sources: SourceSettings, edit: impl FnOnce(&Path)) -> Bench {
        let bench = Bench {
            folder: tempfile::tempdir().unwrap(),
            service: None,
            sources,
        };
        let clone = bench.clone_path();
        copy(&fixture(), &clone);
        run(
            &bench.root(),
            "ssh-keygen",
            &["-q", "-t", "ed25519", "-N", "", "-f", "approver"],
        );
        let key = fs::read_to_string(bench.root().join("approver.pub")).unwrap();
        let line = format!("ana@example.org namespaces=\"greenloop-approval\" {key}");
        fs::write(clone.join("allowed_signers"), line).unwrap();
        run(&clone, "git", &["init", "-q", "-b", "main"]);
        run(&clone, "git", &["apply", "bugs/skipped_tail.patch"]);
        edit(&clone);
        run(&clone, "git", &["add", "-A"]);
        run(&clone, "git", &["commit", "-q", "-m", "Begin"]);
        let remote = bench.root().join("remote.git");
        let remote = remote.to_str().unwrap();
        run(
            &bench.root(),
            "git",
            &["init", "-q", "--bare", "-b", "main", remote],
        );
        run(&clone, "git", &["remote", "add", "origin", remote]);
        run(&clone, "git", &["push", "-q", "origin", "main"]);
        bench.opened()
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn clone_path(&self) -> PathBuf {
        self.root().join("clone")
    }

    pub fn remote_path(&self) -> PathBuf {
        self.root().join("remote.git")
    }

    fn config(&self) -> ServiceConfig {
        let environment: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        let mut machine = MachineConfig::new(self.root().join("run"), environment);
        machine.sources = self.sources.clone();
        ServiceConfig {
            state_dir: self.root().join("state"),
            repo_path: self.clone_path(),
            machine,
            clock: system_clock(),
        }
    }

    fn opened(mut self) -> Bench {
        self.service = Some(Service::open(self.config()).unwrap());
        self
    }

    /// A second service on the same state, which must be refused while the first is open.
    pub fn open_again(&self) -> Result<Arc<Service>, ServiceError> {
        Service::open(self.config())
    }

    /// Ends the service.
    pub fn close(&mut self) {
        self.service = None;
    }

    /// Ends the service and opens it again on the same state.
    pub fn reopen(&mut self) {
        self.service = None;
        self.service = Some(Service::open(self.config()).unwrap());
    }

    /// Ends the service and goes on with another folder of this world as its state.
    pub fn reopen_on(&mut self, folder: &str) {
        self.service = None;
        let state = self.root().join("state");
        fs::remove_dir_all(&state).unwrap();
        fs::rename(self.root().join(folder), &state).unwrap();
        self.service = Some(Service::open(self.config()).unwrap());
    }

    /// The open service.
    pub fn service(&self) -> &Arc<Service> {
        self.service.as_ref().unwrap()
    }

    /// A command of a person.
    pub fn person<C: api::Command>(&self, request: C) -> Result<C::Answer, ServiceError> {
        self.call(true, "ana", request)
    }

    /// A command of an agent.
    pub fn agent<C: api::Command>(&self, request: C) -> Result<C::Answer, ServiceError> {
        self.call(false, "agent", request)
    }

    fn call<C: api::Command>(
        &self,
        operator: bool,
        name: &str,
        request: C,
    ) -> Result<C::Answer, ServiceError> {
        let caller = Caller {
            uid: 1000,
            name: name.into(),
            operator,
        };
        let cancel = Cancel::new().unwrap();
        let answer = self
            .service()
            .call(&caller, request.into_request(), &NoProgress, &cancel)?;
        Ok(C::from_response(answer).unwrap())
    }

    /// A run of the scope at the branch's tip, to its end.
    pub fn run_scope(&self) -> api::RunView {
        let answer = self.person(api::StartRunRequest {
            scope: SCOPE.into(),
            cell: None,
            commit: None,
            wait: true,
        });
        let answer = answer.unwrap();
        assert_eq!(answer.refused, []);
        answer.run.unwrap()
    }

    pub fn open_loop(&self) -> String {
        let answer = self.agent(api::OpenLoopRequest {
            goal: "the block path totals every value".into(),
            scopes: vec![SCOPE.into()],
            idempotency_key: "loop".into(),
        });
        answer.unwrap().loop_id.unwrap()
    }

    /// Lines of a log that show the failing test, cited.
    pub fn citation(&self, run: &api::RunView) -> api::CitationView {
        let log = run.jobs[0].log.clone().unwrap();
        let found = self.agent(api::ExtractMarkersRequest {
            log_id: log.log_id.clone(),
            kinds: Some(vec!["first_divergence".into()]),
            r#where: None,
            cursor: None,
            limit: None,
        });
        let row = found.unwrap().observations.remove(0);
        let page = self.agent(api::ReadLogRequest {
            log_id: log.log_id.clone(),
            offset: None,
            line: Some(row.line),
            max_bytes: None,
            view: api::LogViewKind::Raw,
        });
        let page = page.unwrap();
        let length = page.data.find('\n').unwrap() + 1;
        api::CitationView {
            log_id: log.log_id,
            byte_start: page.offset,
            byte_end: page.offset + length as u64,
            line_start: row.line,
            line_end: row.line,
        }
    }

    pub fn hypothesis(&self, loop_id: &str, key: &str, mechanism: &str, statement: &str) -> String {
        let source = fs::read_to_string(self.clone_path().join("src/blocks.rs")).unwrap();
        let is_site = |line: &&str| line.contains("chunks");
        let line = source.lines().position(|line| is_site(&line)).unwrap();
        let quote = source.lines().nth(line).unwrap().trim().to_owned();
        let answer = self.agent(api::OpenHypothesisRequest {
            loop_id: loop_id.into(),
            scope: SCOPE.into(),
            mechanism: mechanism.into(),
            statement: statement.into(),
            sites: vec![api::QuotedSiteView {
                file: "src/blocks.rs".into(),
                line: u32::try_from(line).unwrap() + 1,
                quote,
            }],
            commit: None,
            predicts: vec!["present first_divergence{kind=zeros}".into()],
            forbids: vec!["absent first_divergence".into()],
            rivals: vec![],
            evidence: vec![],
            idempotency_key: key.into(),
        });
        let answer = answer.unwrap();
        assert_eq!(answer.refused, []);
        answer.hypothesis.unwrap().hypothesis_id
    }

    /// A red run, a loop about it and the theory that is right: run, loop and hypothesis.
    pub fn suspected(&self) -> (api::RunView, String, String) {
        let red = self.run_scope();
        let (loop_id, cause) = self.suspect();
        (red, loop_id, cause)
    }

    /// A loop and the theory that is right, over whatever has run.
    pub fn suspect(&self) -> (String, String) {
        let loop_id = self.open_loop();
        let why = "the short last block is skipped";
        let cause = self.hypothesis(&loop_id, "h1", "skipped_work", why);
        (loop_id, cause)
    }

    /// Proposes a claim that no rule may refuse: its id and digest.
    pub fn accepted(&self, loop_id: &str, key: &str, draft: api::ClaimDraft) -> (String, String) {
        let proposed = self.propose(loop_id, key, draft);
        assert_eq!(proposed.refused, []);
        (proposed.claim_id.unwrap(), proposed.claim_digest.unwrap())
    }

    /// The fix as a commit of the agent's clone.
    pub fn fix(&self) -> String {
        let clone = self.clone_path();
        run(&clone, "git", &["apply", "-R", "bugs/skipped_tail.patch"]);
        run(&clone, "git", &["commit", "-q", "-am", "try"]);
        run(&clone, "git", &["rev-parse", "HEAD"])
    }

    /// A claim that every rule accepts.
    pub fn good_draft(
        &self,
        run: &api::RunView,
        hypothesis: &str,
        commit: &str,
    ) -> api::ClaimDraft {
        api::ClaimDraft {
            change: api::ChangeView::Commit {
                repo_path: self.clone_path().to_str().unwrap().into(),
                commit: commit.into(),
            },
            kind: "fix".into(),
            proof_scope: SCOPE.into(),
            failing_invariant: Some("§1".into()),
            evidence: vec![self.citation(run)],
            baseline_run: Some(run.run_id.clone()),
            sites: vec![api::SiteView {
                file: "src/blocks.rs".into(),
                function: Some("totals".into()),
                line_start: 6,
                line_end: 14,
            }],
            reasoning: "chunks_exact leaves out the last values when the length is no multiple of \
                        a block, so their totals stay zero; chunks yields the short block too"
                .into(),
            hypothesis_id: Some(hypothesis.into()),
            prediction: vec![
                "absent first_divergence".into(),
                format!("cargo_test{{name={RED_TEST}}}.outcome == ok"),
            ],
            outcomes: vec![],
            guards: vec![api::GuardView {
                scope: SCOPE.into(),
                predicate: "cargo_test{name=path_equivalence_whole_blocks}.outcome == ok".into(),
            }],
            gates: vec!["unit".into(), "paths".into()],
            pinned_test: Some(api::PinnedTestView {
                package: "tally".into(),
                target: "paths".into(),
                name: RED_TEST.into(),
                files: vec![],
            }),
            rollback_if: vec!["present first_divergence{kind=drift}".into()],
            budget: api::BudgetView {
                runner_minutes: 5,
                runs: 1,
                cancels: vec![],
            },
            message:
                "blocks: total the last, short block (§1)\n\nUnit: tally::blocks. Phase: total. \
                      The tail of a sequence was left out of its running totals."
                    .into(),
        }
    }

    pub fn propose(
        &self,
        loop_id: &str,
        key: &str,
        draft: api::ClaimDraft,
    ) -> api::ProposeClaimAnswer {
        let answer = self.agent(api::ProposeClaimRequest {
            loop_id: loop_id.into(),
            draft,
            idempotency_key: key.into(),
        });
        answer.unwrap()
    }

    pub fn gates(&self, loop_id: &str, claim_id: &str, max_wait_s: u32) -> api::RunGatesAnswer {
        let answer = self.agent(api::RunGatesRequest {
            loop_id: loop_id.into(),
            claim_id: claim_id.into(),
            max_wait_s: Some(max_wait_s),
        });
        answer.unwrap()
    }

    pub fn claim(&self, claim_id: &str) -> api::GetClaimAnswer {
        let request = api::GetClaimRequest {
            claim_id: claim_id.into(),
        };
        self.agent(request).unwrap()
    }

    /// The rollback that the daemon proposes by itself, waited for.
    pub fn prepared_rollback(&self) -> String {
        self.until("no rollback was prepared", || {
            let status = self.agent(api::LoopStatusRequest::default()).unwrap();
            let mut claims = status.claims.into_iter();
            let found =
                claims.find(|claim| self.claim(&claim.claim_id).body["kind"] == "rollback")?;
            Some(found.claim_id)
        })
    }

    /// The claim, once it is in that state.
    pub fn reaches(&self, claim_id: &str, state: &str) -> api::GetClaimAnswer {
        self.until(state, || {
            let claim = self.claim(claim_id);
            (claim.summary.state == state).then_some(claim)
        })
    }

    /// What `look` finds, looked for again with every piece of news.
    pub fn until<T>(&self, otherwise: &str, look: impl Fn() -> Option<T>) -> T {
        let (heard, news) = std::sync::mpsc::channel();
        let listener: Arc<service::Listener> = Arc::new(move || {
            let _nobody_waits_any_more = heard.send(());
        });
        self.service().on_news(&listener);
        loop {
            if let Some(found) = look() {
                return found;
            }
            let next = news.recv_timeout(std::time::Duration::from_secs(120));
            assert!(next.is_ok(), "{otherwise}");
        }
    }

    /// The payload of an approval, signed with the approver's key.
    pub fn sign(&self, claim_id: &str) -> (String, String) {
        let prepared = self.person(api::PrepareApprovalRequest {
            claim_id: claim_id.into(),
        });
        let prepared = prepared.unwrap();
        assert_eq!(prepared.refused, []);
        let payload = prepared.payload.unwrap();
        let file = self.root().join("payload");
        fs::write(&file, &payload).unwrap();
        let _old = fs::remove_file(self.root().join("payload.sig"));
        let args = [
            "-Y",
            "sign",
            "-n",
            &prepared.namespace,
            "-f",
            "approver",
            "payload",
        ];
        run(&self.root(), "ssh-keygen", &args);
        (
            payload,
            fs::read_to_string(self.root().join("payload.sig")).unwrap(),
        )
    }

    pub fn approve(&self, claim_id: &str) -> api::ApproveClaimAnswer {
        let (payload, signature) = self.sign(claim_id);
        let answer = self.person(api::ApproveClaimRequest {
            claim_id: claim_id.into(),
            payload,
            signature,
        });
        answer.unwrap()
    }

    pub fn push(&self, loop_id: &str, claim_id: &str, digest: &str) -> api::RequestPushAnswer {
        let answer = self.agent(api::RequestPushRequest {
            loop_id: loop_id.into(),
            claim_id: claim_id.into(),
            claim_digest: digest.into(),
        });
        answer.unwrap()
    }

    pub fn verified(&self, claim_id: &str) -> api::VerifyClaimAnswer {
        let answer = self.person(api::VerifyClaimRequest {
            claim_id: claim_id.into(),
            max_wait_s: 120,
        });
        answer.unwrap()
    }

    /// Refs that pushes have made: branches and attestations, not what follows from their runs.
    pub fn pushed_refs(&self) -> BTreeMap<String, String> {
        let mut refs = self.remote_refs();
        refs.retain(|name, _| {
            !name.starts_with("refs/greenloop/verdict/") && name != "refs/greenloop/log"
        });
        refs
    }

    /// Objects that the remote's refs name.
    pub fn remote_refs(&self) -> BTreeMap<String, String> {
        let listed = run(
            &self.remote_path(),
            "git",
            &["for-each-ref", "--format=%(refname) %(objectname)"],
        );
        let pair = |line: &str| {
            line.split_once(' ')
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
        };
        listed.lines().filter_map(pair).collect()
    }
}

/// Codes of refusals, sorted.
pub fn codes(refused: &[api::RefusalView]) -> Vec<&str> {
    let mut codes: Vec<&str> = refused
        .iter()
        .map(|refusal| refusal.code.as_str())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}
