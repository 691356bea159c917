//! `path_delta`: the engine's comparison of two recordings of one graph, from its own process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use discipline::model::Refusal;
use exec::{Command, Exit};
use serde::Deserialize;

use crate::api::{PathDeltaAnswer, PathDeltaRequest, PathDeltaRow};
use crate::room::{Watch, supervised};
use crate::shared::{Ctx, Shared};
use crate::{ServiceError, page, views};

/// Modes by the names of telemetry, and by those of the engine's command line.
const MODES: &[(&str, &str)] = &[
    ("single_graph", "single-graph"),
    ("legacy_multi_submit", "legacy-multi-submit"),
];
/// Rows of the table.
const ASPECTS: usize = 6;
const MAX_TOKENS: u32 = 4096;
/// Recording streams is arithmetic on a graph; minutes mean that something is wrong.
const WALL: Duration = Duration::from_secs(120);
const OUTPUT_BYTES: u64 = 32 << 20;
/// Most lines of one side of one row.
const SHOWN_LINES: usize = 40;
const SHOWN_CHARS: usize = 300;

/// What the engine prints.
#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    aspect: String,
    same: bool,
    only_a: Vec<String>,
    only_b: Vec<String>,
}

/// Asks the engine for the table, or says why there is none.
pub(super) fn path_delta(
    shared: &Shared,
    ctx: Ctx<'_>,
    request: &PathDeltaRequest,
) -> Result<PathDeltaAnswer, ServiceError> {
    let (a, b) = (
        mode(&request.mode_a, "mode_a")?,
        mode(&request.mode_b, "mode_b")?,
    );
    let tokens = request.tokens.unwrap_or(1);
    if !(1..=MAX_TOKENS).contains(&tokens) {
        return Err(ServiceError::BadArgument {
            field: "tokens",
            reason: format!("{tokens} is no length of a pass"),
            remedy: format!("pass 1 to {MAX_TOKENS}"),
        });
    }
    let model = match allowed(shared, &request.model) {
        Ok(model) => model,
        Err(refusal) => return Ok(refused(refusal)),
    };
    let command = Command::new(engine(shared)?, shared.config.state_dir.clone())
        .args(["path-delta", "--json", "--a", a, "--b", b])
        .args(["--tokens", &tokens.to_string(), "--"])
        .arg(model)
        .env("LANG", "C.UTF-8")
        .wall_timeout(WALL)
        .output_limit(OUTPUT_BYTES);
    let mut said = Vec::new();
    let watch = Watch {
        cancel: ctx.cancel,
        lease: None,
        stamped: false,
    };
    let outcome = supervised(shared, &command, "engine path-delta", &mut said, watch)?;
    match outcome.exit {
        Exit::Cancelled => Err(ServiceError::Cancelled),
        Exit::Exited(0) => table(&said),
        exit => Ok(refused(no_table(exit, &said))),
    }
}

fn refused(refusal: Refusal) -> PathDeltaAnswer {
    PathDeltaAnswer {
        rows: Vec::new(),
        refused: views::refusals(&[refusal]),
    }
}

fn mode(name: &str, field: &'static str) -> Result<&'static str, ServiceError> {
    let found = MODES.iter().find(|(own, _)| *own == name);
    found
        .map(|(_, argument)| *argument)
        .ok_or_else(|| ServiceError::BadArgument {
            field,
            reason: "it names no mode whose streams can be recorded".into(),
            remedy: "use one of single_graph, legacy_multi_submit".into(),
        })
}

/// The model's real path, when it lies where the machine allows. The answer is the same for a file
/// elsewhere and for none, so that the tool tells nothing about other folders.
fn allowed(shared: &Shared, model: &str) -> Result<PathBuf, Refusal> {
    let machine = &shared.config.machine;
    let repo = &shared.config.repo_path;
    let folders = std::iter::once(repo).chain(&machine.model_dirs);
    let real = repo.join(model).canonicalize().ok();
    let inside = |real: &Path| {
        let mut folders = folders.filter_map(|folder| folder.canonicalize().ok());
        folders.any(|folder| real.starts_with(folder))
    };
    match real.filter(|real| real.is_file()) {
        Some(real) if inside(&real) => Ok(real),
        _ => Err(Refusal::new(
            "model_not_allowed",
            "model",
            "it names no file inside the repository or an allowed folder",
            "pass a path of the repository's work tree, or have the folder added to `model_dirs` in the machine's settings",
        )),
    }
}

fn engine(shared: &Shared) -> Result<PathBuf, ServiceError> {
    let named = shared.config.machine.engine.clone();
    named
        .filter(|path| path.is_file())
        .ok_or_else(|| ServiceError::WrongState {
            what: "the engine's binary".into(),
            state: "missing beside this daemon".into(),
            remedy:
                "install it with `script/install`, or name it as `engine` in the machine's settings"
                    .into(),
        })
}

fn table(said: &[u8]) -> Result<PathDeltaAnswer, ServiceError> {
    let start = said.iter().position(|b| *b == b'{').unwrap_or(0);
    let table: Table = serde_json::from_slice(said.get(start..).unwrap_or_default())
        .map_err(|error| ServiceError::Internal(format!("the engine's table: {error}")))?;
    if table.rows.len() != ASPECTS {
        let rows = table.rows.len();
        return Err(ServiceError::Internal(format!(
            "the engine's table has {rows} rows"
        )));
    }
    Ok(PathDeltaAnswer {
        rows: table.rows.into_iter().map(row).collect(),
        refused: Vec::new(),
    })
}

fn row(row: Row) -> PathDeltaRow {
    let lines = |lines: &[String]| lines.iter().take(SHOWN_LINES).map(|l| short(l)).collect();
    PathDeltaRow {
        aspect: short(&row.aspect),
        same: row.same,
        count_a: row.only_a.len() as u64,
        count_b: row.only_b.len() as u64,
        only_a: lines(&row.only_a),
        only_b: lines(&row.only_b),
    }
}

fn no_table(exit: Exit, said: &[u8]) -> Refusal {
    let text = String::from_utf8_lossy(said);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    let why = match exit {
        Exit::TimedOut => format!("it took longer than {} s", WALL.as_secs()),
        Exit::OutputLimit => format!("its table is longer than {OUTPUT_BYTES} bytes"),
        Exit::Signaled(signal) => format!("the engine was ended by signal {signal}"),
        _ => short(last.unwrap_or("the engine said nothing")),
    };
    Refusal::new(
        "model_refused",
        "model",
        why,
        "pass a GGUF file that `engine plan` accepts, and fewer `tokens` for a large one",
    )
}

fn short(text: &str) -> String {
    let plain = page::plain(text);
    plain
        .chars()
        .filter(|c| *c != '\n')
        .take(SHOWN_CHARS)
        .collect()
}
