//! A clock that jumps, by a preloaded library that the product knows nothing of.

use std::path::{Path, PathBuf};

use acceptance::story::Product;
use acceptance::support::git::git;
use acceptance::support::mcp::Mcp;
use acceptance::support::project::Scene;
use serde_json::{Value, json};

use super::{codes, fixture, place, text};

/// Where Debian's `libfaketime` puts the library.
fn library() -> PathBuf {
    let places = ["x86_64", "aarch64"].map(|machine| {
        PathBuf::from(format!(
            "/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"
        ))
    });
    let found = places.into_iter().find(|path| path.is_file());
    found.expect("libfaketime is missing; `apt-get install libfaketime` (script/test does)")
}

/// A daemon whose clock follows a file.
struct Clock(PathBuf);

impl Clock {
    fn start(scene: &Scene) -> Self {
        let clock = Self(scene.work.join("clock"));
        clock.set("+0");
        Product::new(scene)
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &clock.0)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .expect(0, &["daemon"])
            .unwrap();
        clock
    }

    fn set(&self, offset: &str) {
        let new = Path::new(&self.0).with_extension("new");
        std::fs::write(&new, format!("{offset}\n")).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }
}

struct Loop<'a> {
    scene: &'a Scene,
    product: &'a Product<'a>,
    agent: Mcp,
    told: Value,
}

impl Loop<'_> {
    /// A claim of its own, up to its approval; its id and digest.
    fn approved(&self, key: &str) -> (String, String) {
        let loop_id = &self.told["loop_id"];
        let request =
            json!({ "loop_id": loop_id, "draft": self.told["draft"], "idempotency_key": key });
        let proposed = self.agent.call("propose_claim", request).unwrap();
        assert_eq!(codes(&proposed), [""; 0], "{proposed}");
        let claim = text(&proposed["claim_id"]);
        let request = json!({ "loop_id": loop_id, "claim_id": claim, "max_wait_s": 600 });
        let gated = self.agent.call("run_gates", request).unwrap();
        assert_eq!(gated["state"], "staged", "{gated}");
        let key = self.scene.approver.to_string_lossy();
        self.product
            .expect(0, &["approve", &claim, "--key", &key])
            .unwrap();
        (claim, text(&proposed["claim_digest"]))
    }
}

#[test]
fn a_clock_that_jumps_is_survived_and_said() {
    let place = place();
    let scene = fixture(&place);
    let product = Product::new(&scene);
    let clock = Clock::start(&scene);
    let scope = scene.brief.scope.as_str();
    product.expect(6, &["run", scope]).unwrap();

    // Set back by forty days: what was done last is still the newest, and nothing is of negative age.
    clock.set("-40d");
    let second = product.expect(6, &["run", scope]).unwrap();
    let runs = product.call(&["runs"]).unwrap().1;
    assert_eq!(runs["runs"][0]["run_id"], second["run"]["run_id"], "{runs}");
    let took =
        |run: &Value| run["finished_ms"].as_i64().unwrap() - run["created_ms"].as_i64().unwrap();
    assert!((1..600_000).contains(&took(&second["run"])), "{second}");
    let status = product.call(&["status"]).unwrap().1;
    let signal = &status["scopes"][0];
    assert_eq!(signal["run_id"], second["run"]["run_id"], "{status}");

    // An approval by the wrong clock is over before it began, which the remote's clock shows.
    product.agent("claim", |_| {}).unwrap();
    let said = product.agent("gates", |_| {}).unwrap();
    let claim = text(&said.last().unwrap().data["summary"]["claim_id"]);
    let key = scene.approver.to_string_lossy();
    product
        .expect(0, &["approve", &claim, "--key", &key])
        .unwrap();
    let refused = product.expect(3, &["push", &claim]).unwrap();
    assert_eq!(codes(&refused), ["remote_refused"], "{refused}");
    assert!(refused.to_string().contains("expired"), "{refused}");
    clock.set("+0");
    let refused = product.expect(3, &["push", &claim]).unwrap();
    assert_eq!(codes(&refused), ["approval_expired"], "{refused}");
    assert!(!text(&refused["refused"][0]["remedy"]).is_empty());

    let said = product.agent("claim", |_| {}).unwrap();
    let told = said.iter().find(|said| said.step == "good_claim").unwrap();
    let played = Loop {
        scene: &scene,
        product: &product,
        agent: Mcp::connect(&scene, "agent").unwrap(),
        told: told.data.clone(),
    };
    // Set forward past its end: refused; set right again, the next claim goes through.
    let (claim, _) = played.approved("after the first");
    clock.set("+3d");
    let refused = product.expect(3, &["push", &claim]).unwrap();
    assert_eq!(codes(&refused), ["approval_expired"], "{refused}");
    clock.set("+0");
    let base = git(&scene.bare, &["rev-parse", "main"]).unwrap();
    assert_eq!(base, scene.base, "something was pushed");
    let (claim, _) = played.approved("after the second");
    product.expect(0, &["push", &claim]).unwrap();
    product.expect(0, &["verify", &claim]).unwrap();
    product.expect(0, &["stop"]).unwrap();
    product.expect(0, &["state", "verify"]).unwrap();
}
