//! The policy as a file that explains itself.

use std::fmt::Write;

use super::propose::{Choice, SIGNERS_FILE, Suggested};
use super::survey::Survey;

/// Limit per run and gate that is written down, seconds.
const TIMEOUT_S: u32 = 1800;
/// Variables that a Vulkan loader reads.
const DEVICE_VARIABLES: &[&str] = &["VK_ICD_FILENAMES", "VK_DRIVER_FILES", "XDG_RUNTIME_DIR"];

/// The text of `greenloop.toml`.
pub(super) fn policy(survey: &Survey, choice: &Choice, law: &str) -> String {
    let mut page = String::from(HEAD);
    let remote = survey
        .remote
        .as_ref()
        .map_or("origin", |remote| &remote.name);
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "[repo]\n\
         # Approved claims are pushed to this branch of this remote.\n\
         remote = {}\n\
         branch = {}\n\
         # Refs that only an approved claim may move; `greenloop-verify` enforces it at the remote.\n\
         guarded_refs = [{}]\n\
         # The law: what must stay true, each law pinned by a test or type. A claim names the one that fails.\n\
         law = {}\n\
         # Who may approve (format of ssh-keygen's allowed_signers). A file pinned in the machine settings goes\n\
         # before this one, which whoever can push could change.\n\
         signers = {}\n\n",
        text(remote),
        text(&survey.branch),
        text(&format!("refs/heads/{}", survey.branch)),
        text(law),
        text(SIGNERS_FILE),
    );
    page.push_str(SOURCE);
    page.push_str(SCOPES);
    choice.scopes.iter().for_each(|scope| {
        page.push('\n');
        page.push_str(&table("scope", scope));
    });
    page.push_str(GATES);
    choice.gates.iter().for_each(|gate| {
        page.push('\n');
        page.push_str(&table("gate", gate));
    });
    page.push_str(REST);
    page
}

fn table(kind: &str, suggested: &Suggested) -> String {
    let mut page = format!("# {}\n[{kind}.{}]\n", suggested.what, suggested.name);
    let mut line = |key: &str, value: String| {
        let _ = writeln!(page, "{key} = {value}");
    };
    if let Some(workflow) = &suggested.workflow {
        line("workflow", text(workflow));
    }
    line("package", text(&suggested.package));
    if !suggested.features.is_empty() {
        line("features", list(&suggested.features));
    }
    line("argv", list(&suggested.argv));
    if !suggested.engage.is_empty() {
        line("engage", list(&suggested.engage));
    }
    if !suggested.when.is_empty() {
        line("when", list(&suggested.when));
    }
    if suggested.gpu {
        let names: Vec<String> = DEVICE_VARIABLES.iter().map(|name| (*name).into()).collect();
        line("pass_env", list(&names));
        line("gpu", "true".into());
    }
    line("timeout_s", TIMEOUT_S.to_string());
    page
}

fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| text(item)).collect();
    format!("[{}]", items.join(", "))
}

const HEAD: &str = "\
# Policy of greenloop for this repository, proposed by `greenloop init` from what stands here.
# It counts from the commit at the remote's branch, never from a work tree: commit and push it.
# Unknown keys are errors that name the nearest valid one.
schema = 1

";

const SOURCE: &str = "\
[source]
# Where runs come from. `local`: this machine runs the scopes itself, in a clean room.
kind = \"local\"

";

const SCOPES: &str = "\
# Proof scopes: what one run may prove.
#   cells    a matrix: `cells = [{ name = \"debug\", env = { NAME = \"value\" } }]`; one cell when absent
#   engage   predicates without which a success is not green: so many tests ran, none was skipped
#   guards   predicates that no claim may break, such as
#            `cargo_test{name=some_test}.outcome == ok`
";

const GATES: &str = "
# Gates: what a claim must pass on this machine before a person is asked. A claim is staged only when
# every gate that its files call for (`when`) passes; leave out a suite that is red for another reason.
";

const REST: &str = "
[budget]
# Minutes of the runner that a day may cost; a push that would go beyond it is refused.
runner_minutes_per_day = 240

[approval]
# Hours after which a signature no longer permits a push.
expires_h = 24
";
