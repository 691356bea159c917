//! SIGKILL at any moment: nothing acknowledged is lost, and nothing is pushed twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptance::story::Product;
use acceptance::support::git::git;
use acceptance::support::journal::Assassin;
use acceptance::support::killer::{Killer, Moment};
use acceptance::support::processes::that_stay;
use acceptance::support::project::{Project, Scene};
use discipline::event::{Event, PushOutcome};
use serde_json::Value;
use state::evidence::Kind;
use state::{EvidenceStore, JournalReader};

/// The event after which the daemon dies, by phase.
const PHASES: &[(&str, &str)] = &[
    ("drafting", "hypothesis_opened"),
    ("drafting", "claim_proposed"),
    ("gates", "gates_started"),
    ("gates", "gate_finished"),
    ("commit", "gates_finished"),
    ("commit", "claim_staged"),
    ("approval", "claim_approved"),
    ("push", "push_intended"),
    ("push", "push_settled"),
    ("run", "run_changed"),
    ("grading", "run_classified"),
    ("grading", "claim_verified"),
];

/// Kills of one scripted loop, at most.
const KILLS_OF_ONE_LOOP: usize = 5;
/// Further than the longest step of a loop whose machine is not busy otherwise.
const LONGEST_MS: u64 = 3000;
/// The opening of a state folder takes about as long.
const OPENING_MS: u64 = 200;
/// A scripted loop journals about four times as many.
const MOST_RECORDS: usize = 24;

#[test]
fn a_kill_in_any_phase_loses_nothing_and_pushes_once() {
    // One scene after the other: they share the machine's cores and its lease.
    for (phase, event) in PHASES {
        let killed = std::panic::catch_unwind(|| one_kill(event));
        assert!(killed.is_ok(), "killed in phase {phase}, after {event}");
    }
}

fn one_kill(event: &str) {
    let work = tempfile::tempdir().unwrap();
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir().unwrap();
    let scene = Scene::set(Project::Fixture, work.path(), runtime.path()).unwrap();
    let mut script = Script::new(&scene);
    script
        .product
        .expect(6, &["run", &scene.brief.scope])
        .unwrap();
    let victim = script.product.daemon_pid().unwrap().expect("a daemon runs");
    let assassin = Assassin::hire(&script.state_dir.join("journal"), event, victim).unwrap();
    for step in &STEPS[1..] {
        // The step that dies is repeated, as an agent or a person would.
        let done = script.attempt(step).or_else(|_| script.attempt(step));
        done.unwrap_or_else(|said| panic!("after a kill at {event}, a step fails again: {said}"));
    }
    assert!(assassin.dismiss().unwrap(), "{event} never happened");
    script.check();
}

/// 20 kills, or as many as `GREENLOOP_KILLS` says, at moments drawn from a seed that is printed;
/// `GREENLOOP_KILL_SEED` repeats one.
#[test]
fn kills_at_random_moments_lose_nothing_and_push_once() {
    let number = |name: &str| Some(std::env::var(name).ok()?.parse::<u64>().expect("a number"));
    let seed = number("GREENLOOP_KILL_SEED").unwrap_or_else(|| fastrand::u64(..));
    let wanted = number("GREENLOOP_KILLS").map_or(20, |kills| usize::try_from(kills).unwrap());
    println!("GREENLOOP_KILL_SEED={seed} GREENLOOP_KILLS={wanted}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut done = 0;
    while done < wanted {
        let kills = KILLS_OF_ONE_LOOP.min(wanted - done);
        let plan: Vec<Moment> = (0..kills).map(|_| moment(&mut random)).collect();
        println!("kills {done} to {}: {plan:?}", done + kills);
        done += one_loop_under_fire(plan);
    }
}

/// A third each: while the state opens and recovers, at any time, after any record.
fn moment(random: &mut fastrand::Rng) -> Moment {
    match random.u8(0..3) {
        0 => Moment::Time(Duration::from_millis(random.u64(0..=OPENING_MS))),
        1 => Moment::Time(Duration::from_millis(random.u64(0..=LONGEST_MS))),
        _ => Moment::Records(random.usize(1..=MOST_RECORDS)),
    }
}

/// Plays a loop while daemons die; says how many died.
fn one_loop_under_fire(plan: Vec<Moment>) -> usize {
    let work = tempfile::tempdir().unwrap();
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir().unwrap();
    let scene = Scene::set(Project::Fixture, work.path(), runtime.path()).unwrap();
    let mut script = Script::new(&scene);
    let killer = Killer::hire(&script.state_dir.join("journal"), plan).unwrap();
    for step in STEPS {
        loop {
            let before = killer.struck().len();
            match script.attempt(step) {
                Ok(()) => break,
                // Whoever was answered by a dying daemon asks again; nobody else has to.
                Err(said) => assert!(
                    killer.struck().len() > before,
                    "a step failed although no daemon was killed during it: {said}"
                ),
            }
        }
    }
    let struck = killer.dismiss().unwrap().len();
    assert!(struck > 0, "nobody was killed");
    script.check();
    struck
}

type Step = fn(&mut Script<'_>) -> Result<(), String>;

/// The loop, as an agent and a person play it.
const STEPS: &[Step] = &[
    |script| script.baseline(),
    |script| script.agent("claim"),
    |script| script.agent("gates"),
    |script| script.approve(),
    |script| script.agent("push"),
];

/// Plays the loop and remembers everything that it was told.
struct Script<'a> {
    scene: &'a Scene,
    product: Product<'a>,
    state_dir: PathBuf,
    /// Ids and digests that somebody was told.
    acknowledged: BTreeSet<String>,
    /// Heads of the journal that somebody was told.
    heads: BTreeMap<u64, String>,
}

impl<'a> Script<'a> {
    fn new(scene: &'a Scene) -> Self {
        let product = Product::new(scene);
        // From now on the remote's own record says how often its branch moved.
        git(&scene.bare, &["config", "core.logAllRefUpdates", "always"]).unwrap();
        let status = product.call(&["status"]).unwrap().1;
        let state_dir = PathBuf::from(status["state_dir"].as_str().unwrap());
        Self {
            scene,
            product,
            state_dir,
            acknowledged: BTreeSet::new(),
            heads: BTreeMap::new(),
        }
    }

    fn attempt(&mut self, step: &Step) -> Result<(), String> {
        step(self)?;
        self.status().map(drop)
    }

    fn status(&mut self) -> Result<Value, String> {
        let (code, status) = self.product.call(&["status"]).map_err(|e| e.to_string())?;
        let seq = status["journal_seq"].as_u64();
        let head = status["journal_head"].as_str();
        let (Some(seq), Some(head)) = (seq, head) else {
            return Err(format!("status ended with {code}: {status}"));
        };
        self.heads.insert(seq, head.to_owned());
        Ok(status)
    }

    /// A completed red run of the scope. One that a killed daemon left is resumed by the next and
    /// waited for.
    fn baseline(&mut self) -> Result<(), String> {
        let scope = &self.scene.brief.scope;
        let called = self.product.call(&["run", scope]);
        let (code, answer) = called.map_err(|error| error.to_string())?;
        let live = answer["refused"][0]["code"] == "run_live";
        match code {
            6 => {
                let run = answer["run"]["run_id"].as_str().unwrap().to_owned();
                self.acknowledged.insert(run);
                Ok(())
            }
            3 if live => self.agent("wait"),
            _ => Err(format!("run ended with {code}: {answer}")),
        }
    }

    /// Runs a phase of the agent and notes the ids and digests it was told.
    fn agent(&mut self, phase: &str) -> Result<(), String> {
        let said = self
            .product
            .agent(phase, |_| {})
            .map_err(|e| e.to_string())?;
        for said in said {
            for key in ["claim_digest", "cause", "dead"] {
                let told = said.data.get(key).and_then(Value::as_str);
                self.acknowledged.extend(told.map(str::to_owned));
            }
        }
        Ok(())
    }

    fn approve(&mut self) -> Result<(), String> {
        let status = self.status()?;
        let claims = status["claims"].as_array().ok_or("no claims")?;
        let claim = claims.iter().find(|claim| claim["state"] != "drafted");
        let claim = claim.ok_or("no claim was accepted")?;
        let id = claim["claim_id"].as_str().ok_or("no id")?.to_owned();
        if claim["state"] != "approved" {
            let key = self.scene.approver.to_string_lossy();
            let called = self.product.call(&["approve", &id, "--key", &key]);
            let (code, answer) = called.map_err(|error| error.to_string())?;
            if code != 0 {
                return Err(format!("approve ended with {code}: {answer}"));
            }
        }
        self.acknowledged.insert(id);
        Ok(())
    }

    /// What must hold once the loop is through, whatever died on the way.
    fn check(mut self) {
        let status = self.status().unwrap();
        let claims = status["claims"].as_array().unwrap();
        let confirmed = claims.iter().filter(|claim| claim["state"] == "confirmed");
        let confirmed: Vec<&Value> = confirmed.collect();
        assert_eq!(confirmed.len(), 1, "{status}");
        self.check_remote(confirmed[0]["commit"].as_str().unwrap());
        self.product.expect(0, &["stop"]).unwrap();
        self.check_journal();
        self.check_evidence();
        let left = that_stay(&self.scene.work, Duration::from_secs(10)).unwrap();
        assert_eq!(left, [], "processes outlived their daemon");
    }

    fn check_remote(&self, commit: &str) {
        let bare = &self.scene.bare;
        assert_eq!(git(bare, &["rev-parse", "main"]).unwrap(), commit);
        let before = git(bare, &["rev-parse", "main^"]).unwrap();
        assert_eq!(before, self.scene.base, "more than one commit was pushed");
        for reference in [
            "refs/heads/main".to_owned(),
            format!("refs/greenloop/attest/{commit}"),
            format!("refs/greenloop/verdict/{commit}"),
        ] {
            let log = std::fs::read_to_string(bare.join("logs").join(&reference)).unwrap();
            assert_eq!(log.lines().count(), 1, "{reference} moved again:\n{log}");
        }
        for kind in ["attest", "verdict"] {
            let refs = git(bare, &["for-each-ref", &format!("refs/greenloop/{kind}")]).unwrap();
            assert_eq!(refs.lines().count(), 1, "{refs}");
        }
    }

    /// Every head and id that anybody was told stands there; every process group was ended.
    fn check_journal(&self) {
        let journal = JournalReader::open(&self.state_dir).unwrap();
        let (mut groups, mut pushed, mut text) = (BTreeSet::new(), 0, String::new());
        for logged in journal.iter() {
            let logged = logged.unwrap();
            if let Some(told) = self.heads.get(&logged.head.seq) {
                assert_eq!(
                    *told,
                    logged.head.hash.to_string(),
                    "an acknowledged record is gone"
                );
            }
            match logged.record.as_event() {
                Some(Event::GroupStarted {
                    pgid, start_ticks, ..
                }) => {
                    groups.insert((*pgid, *start_ticks));
                }
                Some(Event::GroupEnded { pgid, start_ticks }) => {
                    groups.remove(&(*pgid, *start_ticks));
                }
                Some(Event::PushSettled { outcome, .. }) => {
                    pushed += usize::from(*outcome == PushOutcome::Pushed);
                }
                _ => {}
            }
            text.push_str(&serde_json::to_string(&logged.record.as_event()).unwrap());
        }
        let last = self.heads.keys().next_back().unwrap();
        assert!(journal.head().seq >= *last, "acknowledged records are gone");
        for id in &self.acknowledged {
            assert!(
                text.contains(&format!("\"{id}\"")),
                "{id} was acknowledged and is gone"
            );
        }
        assert_eq!(groups, BTreeSet::new(), "process groups without an end");
        assert_eq!(pushed, 1, "pushes that arrived");
    }

    /// Every log that the journal names is whole, and nothing half written is left.
    fn check_evidence(&self) {
        self.product.expect(0, &["state", "verify"]).unwrap();
        let store = EvidenceStore::read_only(&self.state_dir.join("evidence"));
        for logged in JournalReader::open(&self.state_dir).unwrap().iter() {
            let record = logged.unwrap().record;
            let Some(Event::RunChanged { run }) = record.as_event() else {
                continue;
            };
            for log in run.jobs.iter().filter_map(|job| job.log.as_ref()) {
                let there = store.has(&log.log_id, Kind::Log).unwrap();
                assert!(
                    there,
                    "{} names {}, which is not stored",
                    run.run_id, log.log_id
                );
            }
        }
        assert_empty(&self.state_dir.join("evidence/tmp"));
    }
}

fn assert_empty(folder: &Path) {
    let left = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(
        left,
        0,
        "{} holds what was never finished",
        folder.display()
    );
}
