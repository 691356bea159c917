//! An agent without a model: works the loop over MCP and prints what each step proved.
//!
//! It is a program of its own and uses nothing internal: it launches `greenloop mcp`, speaks the
//! protocol through a client library, and works in a clone with git. Standard output carries one
//! JSON object per step.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is its interface"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use acceptance::support::agent::{Brief, Said, SiteBrief, Theory};
use acceptance::support::git::git;
use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use rmcp::model::{CallToolRequestParams, ClientConfig, Implementation, ProgressNotificationParam};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::TokioChildProcess;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[derive(Debug, Parser)]
struct Args {
    /// The product's binary
    #[arg(long)]
    greenloop: PathBuf,
    /// Clone that the agent works in; also the repository under care
    #[arg(long)]
    repo: PathBuf,
    /// Machine settings, handed on to the product
    #[arg(long)]
    config: Option<PathBuf>,
    /// What it knows
    #[arg(long)]
    brief: PathBuf,
    /// Which half of the story
    #[arg(long)]
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// Until the newest run of the scope has ended.
    Wait,
    /// From red evidence to a checked claim.
    Claim,
    /// From a checked to a staged claim.
    Gates,
    /// From an approved claim to a verdict.
    Push,
}

/// Counts the progress notes of the call in flight.
#[derive(Clone, Default)]
struct Handler {
    notes: Arc<AtomicU64>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let mut info = ClientConfig::default();
        info.client_info = Implementation::new("scripted-agent", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn on_progress(
        &self,
        _note: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.notes.fetch_add(1, Ordering::Relaxed);
    }
}

struct Agent {
    session: RunningService<RoleClient, Handler>,
    notes: Arc<AtomicU64>,
    repo: PathBuf,
    brief: Brief,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match work(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn work(args: Args) -> Result<()> {
    let brief: Brief =
        toml::from_str(&std::fs::read_to_string(&args.brief)?).context("the brief")?;
    let mut command = tokio::process::Command::new(&args.greenloop);
    command.arg("mcp").arg("--repo").arg(&args.repo);
    if let Some(config) = &args.config {
        command.arg("--config").arg(config);
    }
    let handler = Handler::default();
    let notes = Arc::clone(&handler.notes);
    let session = handler
        .serve(TokioChildProcess::new(command)?)
        .await
        .context("mcp handshake")?;
    let agent = Agent {
        session,
        notes,
        repo: args.repo,
        brief,
    };
    match args.phase {
        Phase::Wait => agent.wait().await?,
        Phase::Claim => agent.work_to_a_claim().await?,
        Phase::Gates => agent.gate().await?,
        Phase::Push => agent.push().await?,
    }
    agent.session.cancel().await?;
    Ok(())
}

fn say(step: &str, text: impl Into<String>, data: Value) -> Result<()> {
    let said = Said {
        step: step.into(),
        text: text.into(),
        data,
    };
    println!("{}", serde_json::to_string(&said)?);
    Ok(())
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("no {pointer} in {value}"))
}

fn number(value: &Value, pointer: &str) -> Result<u64> {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .with_context(|| format!("no {pointer} in {value}"))
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn codes(answer: &Value) -> Vec<String> {
    list(answer, "/refused")
        .iter()
        .filter_map(|r| Some(r.get("code")?.as_str()?.to_owned()))
        .collect()
}

impl Agent {
    /// Calls a tool; answers with its structured content.
    async fn call(&self, tool: &'static str, arguments: Value) -> Result<Value> {
        let Value::Object(arguments) = arguments else {
            bail!("arguments are an object")
        };
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = self
            .session
            .call_tool(params)
            .await
            .with_context(|| tool.to_owned())?;
        if result.is_error == Some(true) {
            bail!("{tool}: {}", serde_json::to_string(&result.content)?);
        }
        result
            .structured_content
            .with_context(|| format!("{tool} gave no structured content"))
    }

    async fn status(&self) -> Result<Value> {
        self.call("loop_status", json!({})).await
    }

    /// Waits for the newest run of the scope.
    async fn wait(&self) -> Result<()> {
        let (run_id, _) = self.red_run().await?;
        let request = json!({ "run_id": run_id, "max_wait_s": 50 });
        while self.call("wait_for_run", request.clone()).await?["done"] != json!(true) {}
        say("wait", format!("{run_id} has ended"), Value::Null)
    }

    /// First half: evidence, ledger, claim.
    async fn work_to_a_claim(&self) -> Result<()> {
        let tools = self.session.list_all_tools().await?;
        ensure!(
            tools.iter().all(|tool| !tool.name.contains("approve")),
            "an agent must not approve"
        );
        let status = self.status().await?;
        let (run_id, base) = self.red_run().await?;
        say(
            "orient",
            format!(
                "{} tools, none of which approves; scope {} is {}",
                tools.len(),
                self.brief.scope,
                self.signal(&status)
            ),
            json!({ "run_id": run_id, "base": base }),
        )?;
        let loop_id = self.open_loop().await?;
        let logs = self.pull(&run_id).await?;
        let class = self.classify(&run_id).await?;
        self.contrast(&run_id).await?;
        let hypothesis = self.ledger(&loop_id, &base, &logs).await?;
        let commit = self.fix(&base)?;
        let good = self
            .draft(&base, &commit, &run_id, &hypothesis, &class, &logs)
            .await?;
        self.bad_claim(&loop_id, &good).await?;
        self.four_requirements(&loop_id, &good).await?;
        let claim = self.good_claim(&loop_id, &good).await?;
        self.push_too_early(&loop_id, &claim).await?;
        self.wait_is_no_end(&loop_id).await
    }

    fn signal(&self, status: &Value) -> String {
        list(status, "/scopes")
            .iter()
            .find(|scope| scope.get("scope").and_then(Value::as_str) == Some(&self.brief.scope))
            .and_then(|scope| scope.get("signal")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| "unknown".into())
    }

    /// The newest run of the scope, and its commit.
    async fn red_run(&self) -> Result<(String, String)> {
        let runs = self
            .call("list_runs", json!({ "scope": self.brief.scope }))
            .await?;
        let run = list(&runs, "/runs")
            .first()
            .context("no run of the scope")?;
        Ok((
            text(run, "/run_id")?.to_owned(),
            text(run, "/head_sha")?.to_owned(),
        ))
    }

    async fn open_loop(&self) -> Result<String> {
        let request = json!({ "goal": self.brief.goal, "scopes": [self.brief.scope], "idempotency_key": "story" });
        let answer = self.call("open_loop", request.clone()).await?;
        let again = self.call("open_loop", request).await?;
        ensure!(
            answer == again,
            "opening a loop twice under one key opened two"
        );
        Ok(text(&answer, "/loop_id")?.to_owned())
    }

    /// Pulls every log and reads one of them in pages that must reassemble to its digest.
    async fn pull(&self, run_id: &str) -> Result<Vec<String>> {
        let pulled = self
            .call("pull_full_log", json!({ "run_id": run_id }))
            .await?;
        let mut ids = Vec::new();
        let (mut bytes, mut pages) = (0, 0);
        for log in list(&pulled, "/logs") {
            let id = text(log, "/log/log_id")?;
            pages += self.reassemble(id).await?;
            bytes += number(log, "/log/total_bytes")?;
            ids.push(id.to_owned());
        }
        ensure!(!ids.is_empty(), "a red run without a log");
        say(
            "pull",
            format!(
                "{bytes} bytes of {} logs in {pages} pages; every log reassembles to its digest",
                ids.len()
            ),
            pulled,
        )?;
        Ok(ids)
    }

    async fn reassemble(&self, log_id: &str) -> Result<u64> {
        let (mut hasher, mut offset, mut pages) = (Sha256::new(), 0u64, 0);
        loop {
            let page = self
                .call("read_log", json!({ "log_id": log_id, "offset": offset }))
                .await?;
            let data = text(&page, "/data")?;
            let raw = match text(&page, "/encoding")? {
                "utf8" => data.as_bytes().to_vec(),
                "base64" => decode_base64(data)?,
                other => bail!("a raw page came as {other}"),
            };
            ensure!(
                raw.len() as u64 == number(&page, "/len")?,
                "a page's length is wrong"
            );
            let page_digest = format!("sha256:{}", hex::encode(Sha256::digest(&raw)));
            ensure!(
                text(&page, "/page_sha256")? == page_digest,
                "a page does not prove itself"
            );
            hasher.update(&raw);
            pages += 1;
            match page.get("next_offset").and_then(Value::as_u64) {
                Some(next) => offset = next,
                None => break,
            }
        }
        ensure!(
            format!("sha256:{}", hex::encode(hasher.finalize())) == log_id,
            "pages do not make the log"
        );
        Ok(pages)
    }

    async fn classify(&self, run_id: &str) -> Result<Value> {
        let class = self
            .call("classify_run", json!({ "run_id": run_id }))
            .await?;
        let divergence = text(&class, "/first_divergence/summary").unwrap_or("none");
        say(
            "classify",
            format!(
                "class {} ({}), rests on {} lines; first divergence: {divergence}",
                text(&class, "/class")?,
                text(&class, "/disposition")?,
                list(&class, "/anchors").len()
            ),
            class.clone(),
        )?;
        Ok(class)
    }

    async fn contrast(&self, run_id: &str) -> Result<()> {
        let segment = |path: &str| json!({ "run_id": run_id, "path": path });
        let request = json!({
            "failing": [segment(&self.brief.failing_path)], "passing": [segment(&self.brief.passing_path)],
        });
        let answer = self.call("contrast", request).await?;
        let best = list(&answer, "/separators")
            .first()
            .context("nothing separates the paths")?;
        ensure!(
            best.get("also_on_good_path").is_none_or(Value::is_null),
            "the best separator fires on the good path"
        );
        let also = list(&answer, "/separators")
            .iter()
            .filter(|s| s.get("also_on_good_path").is_some_and(|v| !v.is_null()))
            .count();
        say(
            "contrast",
            format!(
                "best separator {}.{}={}; {also} candidates also fire on the good path and cannot be named",
                text(best, "/kind")?,
                text(best, "/field")?,
                text(best, "/value")?
            ),
            answer.clone(),
        )
    }

    /// Two causes; the evidence kills one.
    async fn ledger(&self, loop_id: &str, base: &str, logs: &[String]) -> Result<String> {
        let dead = self.open(loop_id, base, &self.brief.dead, "dead").await?;
        let cause = self.open(loop_id, base, &self.brief.cause, "cause").await?;
        let killer = self
            .citation(&logs[0], &self.brief.killer_kind, json!({}))
            .await?;
        let request = json!({
            "loop_id": loop_id, "hypothesis_id": dead, "killer": [killer], "reason": self.brief.killed_because,
        });
        let answer = self.call("falsify_hypothesis", request).await?;
        ensure!(
            codes(&answer).is_empty(),
            "falsifying was refused: {answer}"
        );
        ensure!(
            text(&answer, "/hypothesis/status")? == "falsified",
            "it still lives: {answer}"
        );
        say(
            "ledger",
            format!(
                "{cause} open, {dead} falsified: {}",
                self.brief.killed_because
            ),
            json!({ "cause": cause, "dead": dead }),
        )?;
        Ok(cause)
    }

    async fn open(&self, loop_id: &str, base: &str, theory: &Theory, key: &str) -> Result<String> {
        let (line, quote) = find_line(&self.repo, base, &theory.file, &theory.find)?;
        let request = json!({
            "loop_id": loop_id, "scope": self.brief.scope, "mechanism": theory.mechanism,
            "statement": theory.statement, "commit": base,
            "sites": [{ "file": theory.file, "line": line, "quote": quote.trim() }],
            "predicts": theory.predicts, "forbids": theory.forbids, "idempotency_key": key,
        });
        let answer = self.call("open_hypothesis", request).await?;
        ensure!(
            codes(&answer).is_empty(),
            "a hypothesis was refused: {answer}"
        );
        Ok(text(&answer, "/hypothesis/hypothesis_id")?.to_owned())
    }

    /// Bytes and lines of the first observation of that kind.
    async fn citation(&self, log_id: &str, kind: &str, filter: Value) -> Result<Value> {
        let mut found = self.citations(log_id, kind, filter, 1).await?;
        Ok(found.remove(0))
    }

    /// Bytes and lines of the first `count` observations of that kind.
    async fn citations(
        &self,
        log_id: &str,
        kind: &str,
        filter: Value,
        count: usize,
    ) -> Result<Vec<Value>> {
        let request = json!({ "log_id": log_id, "kinds": [kind], "where": filter, "limit": count });
        let answer = self.call("extract_markers", request).await?;
        let seen = list(&answer, "/observations");
        ensure!(
            seen.len() == count,
            "{} {kind} in {log_id}, not {count}",
            seen.len()
        );
        let cite = |row: &Value| {
            let line = number(row, "/line")?;
            Ok(json!({
                "log_id": log_id, "byte_start": number(row, "/byte_start")?, "byte_end": number(row, "/byte_end")?,
                "line_start": line, "line_end": line,
            }))
        };
        seen.iter().map(cite).collect()
    }

    /// The fix as a commit of the agent's own clone, on a branch of its own.
    fn fix(&self, base: &str) -> Result<String> {
        let branch = git(&self.repo, &["rev-parse", "--abbrev-ref", "HEAD"])?;
        if branch != "wip/fix" {
            git(&self.repo, &["checkout", "--quiet", "-B", "wip/fix", base])?;
            let patch = self.repo.join(&self.brief.bug_patch);
            git(
                &self.repo,
                &["apply", "--reverse", &patch.to_string_lossy()],
            )?;
            git(
                &self.repo,
                &["commit", "--quiet", "--all", "-m", "try: undo it"],
            )?;
        }
        git(&self.repo, &["rev-parse", "HEAD"])
    }

    async fn draft(
        &self,
        base: &str,
        commit: &str,
        run_id: &str,
        hypothesis: &str,
        _class: &Value,
        logs: &[String],
    ) -> Result<Value> {
        let brief = &self.brief;
        let failed = self
            .citation(&logs[0], "cargo_test", json!({ "outcome": "failed" }))
            .await?;
        let diverged = self
            .citation(&logs[0], "first_divergence", json!({}))
            .await?;
        let mut evidence = vec![failed, diverged];
        if let Some((kind, count)) = &brief.exhibit {
            evidence.extend(self.citations(&logs[0], kind, json!({}), *count).await?);
        }
        let sites = brief
            .sites
            .iter()
            .map(|site| site_of(&self.repo, base, site))
            .collect::<Result<Vec<_>>>()?;
        let guards: Vec<Value> = brief
            .guards
            .iter()
            .map(|predicate| json!({ "scope": brief.scope, "predicate": predicate }))
            .collect();
        let pin = &brief.pinned_test;
        Ok(json!({
            "change": { "repo_path": self.repo, "commit": commit },
            "kind": "fix",
            "proof_scope": brief.scope,
            "failing_invariant": brief.failing_invariant,
            "evidence": evidence,
            "baseline_run": run_id,
            "sites": sites,
            "reasoning": brief.reasoning,
            "hypothesis_id": hypothesis,
            "prediction": brief.predictions,
            "guards": guards,
            "gates": brief.gates,
            "pinned_test": { "package": pin.package, "target": pin.target, "name": pin.name, "files": [] },
            "rollback_if": brief.rollback_if,
            "budget": { "runner_minutes": brief.runner_minutes, "runs": 1, "cancels": [] },
            "message": brief.message,
        }))
    }

    /// A claim that guesses: every reason against it must come at once.
    async fn bad_claim(&self, loop_id: &str, good: &Value) -> Result<()> {
        let mut bad = good.clone();
        bad["prediction"] = json!(["any cargo_summary.passed >= 0"]);
        bad["rollback_if"] = json!([]);
        bad["gates"] = json!([]);
        bad["failing_invariant"] = json!("§99");
        bad["sites"] = json!([]);
        let request = json!({ "loop_id": loop_id, "draft": bad, "idempotency_key": "bad" });
        let answer = self.call("propose_claim", request).await?;
        let codes = codes(&answer);
        ensure!(codes.len() >= 5, "a bad claim met only {codes:?}");
        say(
            "bad_claim",
            format!(
                "refused with {} reasons at once: {}",
                codes.len(),
                codes.join(", ")
            ),
            answer.clone(),
        )
    }

    /// Each of the four requirements, left out alone, is refused by its own name.
    async fn four_requirements(&self, loop_id: &str, good: &Value) -> Result<()> {
        let without: [(&str, Value); 4] = [
            ("failing_invariant", Value::Null),
            ("prediction", json!([])),
            ("gates", json!([])),
            ("rollback_if", json!([])),
        ];
        let mut named = Vec::new();
        for (field, empty) in without {
            let mut draft = good.clone();
            draft[field] = empty;
            let request = json!({ "loop_id": loop_id, "draft": draft, "idempotency_key": format!("without-{field}") });
            let answer = self.call("propose_claim", request).await?;
            let refused = list(&answer, "/refused");
            ensure!(
                refused.len() == 1
                    && refused[0].get("field").and_then(Value::as_str) == Some(field),
                "leaving out {field} was refused as {refused:?}"
            );
            named.push(text(&refused[0], "/code")?.to_owned());
        }
        say(
            "requirements",
            format!(
                "each left out alone is refused by name: {}",
                named.join(", ")
            ),
            json!(named),
        )
    }

    async fn good_claim(&self, loop_id: &str, good: &Value) -> Result<Value> {
        let check = self
            .call("check_claim", json!({ "loop_id": loop_id, "draft": good }))
            .await?;
        ensure!(
            codes(&check).is_empty(),
            "the honest claim was refused: {check}"
        );
        let request = json!({ "loop_id": loop_id, "draft": good, "idempotency_key": "good" });
        let answer = self.call("propose_claim", request.clone()).await?;
        ensure!(
            codes(&answer).is_empty(),
            "the honest claim was refused: {answer}"
        );
        ensure!(
            answer == self.call("propose_claim", request).await?,
            "one key made two claims"
        );
        say(
            "good_claim",
            format!(
                "{} accepted: {}",
                text(&answer, "/claim_id")?,
                text(&answer, "/claim_digest")?
            ),
            json!({
                "loop_id": loop_id, "claim_id": answer["claim_id"], "claim_digest": answer["claim_digest"],
                "draft": good,
            }),
        )?;
        Ok(answer)
    }

    async fn push_too_early(&self, loop_id: &str, claim: &Value) -> Result<()> {
        let request = json!({ "loop_id": loop_id, "claim_id": claim["claim_id"], "claim_digest": claim["claim_digest"] });
        let answer = self.call("request_push", request).await?;
        let codes = codes(&answer);
        ensure!(
            !codes.is_empty() && answer["pushed_commit"].is_null(),
            "an unapproved push went out: {answer}"
        );
        say(
            "push_too_early",
            format!("refused: {}", codes.join(", ")),
            answer.clone(),
        )
    }

    async fn wait_is_no_end(&self, loop_id: &str) -> Result<()> {
        let end = json!({ "how": "blocked", "what": "waiting for the runner", "unblocked_by": "the runner finishes" });
        let answer = self
            .call("end_turn", json!({ "loop_id": loop_id, "end": end }))
            .await?;
        ensure!(
            answer["accepted"] == json!(false),
            "waiting was accepted as an end: {answer}"
        );
        let work = list(&answer, "/work");
        ensure!(!work.is_empty(), "no work list came with the refusal");
        say(
            "wait_is_no_end",
            format!(
                "refused: {}; work list of {}",
                codes(&answer).join(", "),
                work.len()
            ),
            answer.clone(),
        )
    }

    /// The claim of this loop that was accepted.
    async fn claim(&self) -> Result<Value> {
        let status = self.status().await?;
        let claims = list(&status, "/claims");
        let mine = claims
            .iter()
            .find(|claim| claim.get("state").and_then(Value::as_str) != Some("drafted"));
        mine.cloned().context("no accepted claim")
    }

    /// Second half: gates until the daemon has made the commit.
    async fn gate(&self) -> Result<()> {
        let claim = self.claim().await?;
        let request =
            json!({ "loop_id": claim["loop_id"], "claim_id": claim["claim_id"], "max_wait_s": 50 });
        let answer = loop {
            let answer = self.call("run_gates", request.clone()).await?;
            if answer["done"] == json!(true) {
                break answer;
            }
        };
        ensure!(codes(&answer).is_empty(), "gates refused: {answer}");
        ensure!(
            text(&answer, "/state")? == "staged",
            "gates ended, but the claim is {}",
            answer["state"]
        );
        for gate in list(&answer, "/results") {
            say(
                "gate",
                format!(
                    "{} {}: {} ({} passed, {} failed, {:.1} s)",
                    text(gate, "/gate")?,
                    text(gate, "/role")?,
                    text(gate, "/verdict")?,
                    number(gate, "/passed")?,
                    number(gate, "/failed")?,
                    number(gate, "/duration_ms")? as f64 / 1000.0
                ),
                gate.clone(),
            )?;
        }
        let end = json!({ "loop_id": claim["loop_id"], "end": { "how": "staged" } });
        let ended = self.call("end_turn", end).await?;
        ensure!(
            ended["accepted"] == json!(true),
            "a staged claim is a legal end: {ended}"
        );
        let staged = self
            .call("get_claim", json!({ "claim_id": claim["claim_id"] }))
            .await?;
        say(
            "staged",
            format!(
                "{} progress notes; a person types: {}",
                self.notes.load(Ordering::Relaxed),
                text(&staged, "/approval_command")?
            ),
            staged.clone(),
        )
    }

    /// Last half: spend the approval and read the verdict.
    async fn push(&self) -> Result<()> {
        let claim = self.claim().await?;
        let request = json!({
            "loop_id": claim["loop_id"], "claim_id": claim["claim_id"], "claim_digest": claim["claim_digest"],
        });
        let answer = self.call("request_push", request).await?;
        ensure!(codes(&answer).is_empty(), "the push was refused: {answer}");
        say(
            "pushed",
            format!(
                "{} with {}",
                text(&answer, "/pushed_commit")?,
                text(&answer, "/attestation_ref")?
            ),
            answer.clone(),
        )?;
        let run_id = text(&answer, "/run_id")?;
        let request = json!({ "run_id": run_id, "max_wait_s": 50 });
        while self.call("wait_for_run", request.clone()).await?["done"] != json!(true) {}
        let answer = self
            .call(
                "verify_claim",
                json!({ "claim_id": claim["claim_id"], "max_wait_s": 600 }),
            )
            .await?;
        let graded = answer.get("verdict").cloned().context("no verdict")?;
        ensure!(!graded.is_null(), "the claim was not graded: {answer}");
        for grade in list(&graded, "/grades") {
            say(
                "grade",
                format!(
                    "{} {}: {} -> {}",
                    text(grade, "/role")?,
                    text(grade, "/truth")?,
                    text(grade, "/predicate")?,
                    text(grade, "/observed")?
                ),
                grade.clone(),
            )?;
        }
        say(
            "verdict",
            format!(
                "{} by {}",
                text(&graded, "/kind")?,
                text(&graded, "/run_id")?
            ),
            graded.clone(),
        )?;
        let end = json!({ "loop_id": claim["loop_id"], "end": { "how": "green" } });
        let ended = self.call("end_turn", end).await?;
        ensure!(
            ended["accepted"] == json!(true),
            "the goal is met, but: {ended}"
        );
        Ok(())
    }
}

fn decode_base64(data: &str) -> Result<Vec<u8>> {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD
        .decode(data)
        .context("a page is not base64")
}

fn lines_at(repo: &Path, commit: &str, file: &str) -> Result<Vec<String>> {
    Ok(git(repo, &["show", &format!("{commit}:{file}")])?
        .lines()
        .map(str::to_owned)
        .collect())
}

/// Line number (1-based) and text of the first line of `file` at `commit` that contains `find`.
fn find_line(repo: &Path, commit: &str, file: &str, find: &str) -> Result<(u32, String)> {
    let lines = lines_at(repo, commit, file)?;
    let index = lines.iter().position(|line| line.contains(find));
    let index = index.with_context(|| format!("`{find}` stands nowhere in {file} at {commit}"))?;
    Ok((u32::try_from(index)? + 1, lines[index].clone()))
}

fn site_of(repo: &Path, base: &str, site: &SiteBrief) -> Result<Value> {
    let (line, _) = find_line(repo, base, &site.file, &site.find)?;
    Ok(json!({
        "file": site.file, "function": site.function,
        "line_start": line, "line_end": line + site.lines.saturating_sub(1),
    }))
}
