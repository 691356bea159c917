//! A year of runs as exported tables, and the answers to the questions of `docs/queries.md` from the numbers that
//! went in.

use std::collections::BTreeMap;

use export::{Format, Row};
use markers::{Catalogue, scan};
use serde_json::{Value, json};

use crate::random::Random;

/// 2025-01-01T00:00:00Z, a Wednesday.
const FIRST_MS: i64 = 1_735_689_600_000;
const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 365;
const STAGES: [&str; 3] = ["attn_norm", "ffn_down", "logits"];
const SHADERS: [&str; 6] = [
    "rms_norm",
    "matvec_f32",
    "rope",
    "attention",
    "silu_mul",
    "add",
];
/// Shaders that the third question shows a day.
const TOP: usize = 5;

/// A file of the export.
#[derive(Debug)]
pub struct File {
    /// Place below the folder of the export.
    pub place: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// A year of runs, one a day.
#[derive(Debug, Default)]
pub struct Year {
    /// Files, in order of days.
    pub files: Vec<File>,
    /// Decode passes: (Monday of the week as days since 1970, `cb_us`).
    passes: Vec<(i64, u64)>,
    /// Runs by stage of their first divergence.
    stages: BTreeMap<&'static str, u64>,
    /// Device time by day and shader.
    shaders: BTreeMap<(i64, &'static str), u64>,
}

impl Year {
    /// A year from a seed.
    ///
    /// # Errors
    /// A catalogue that does not load or rows that do not fit the schema; neither happens.
    pub fn new(format: Format, seed: u64) -> anyhow::Result<Self> {
        let catalogue = Catalogue::builtin()?;
        let (mut year, mut random) = (Self::default(), Random::new(seed));
        for day in 0..DAYS {
            let log = year.log(day, &mut random);
            let (run, created_ms) = (format!("R{}", day + 1), FIRST_MS + day * DAY_MS + 3_600_000);
            let rows = rows(&catalogue, &log, created_ms);
            year.files.push(File {
                place: export::place(format, &run, created_ms),
                bytes: export::encode(format, &rows)?,
            });
        }
        Ok(year)
    }

    /// The log of a day's run; what it says is noted.
    fn log(&mut self, day: i64, random: &mut Random) -> String {
        let mut log = String::new();
        let mut seq = 0;
        for pass in 0..3 {
            let us = 900 + random.below(200) + if day > 200 { 300 } else { 0 };
            let monday = (FIRST_MS / DAY_MS + day + 3).div_euclid(7) * 7 - 3;
            self.passes.push((monday, us));
            let mut buckets = Vec::new();
            for (at, shader) in SHADERS.into_iter().enumerate() {
                let us = random.below(100) + 50 * at as u64;
                *self.shaders.entry((day, shader)).or_default() += us;
                buckets.push(format!("{shader}:{}:{us}", 1 + random.below(9)));
            }
            log += &format!(
                "[GPU PERDISPATCH] v=1 run=0a1b2c3d seq={seq} role=target path=single_graph phase=decode pass={pass} submits=1 \
                 dispatches=31 barriers=14 cb_us={us} sum_us=1 gap_us=0 ts=full shader_buckets=[{}]\n",
                buckets.join(",")
            );
            seq += 1;
        }
        if random.below(4) == 0 {
            let stage = random.pick(&STAGES);
            *self.stages.entry(stage).or_default() += 1;
            log += &format!(
                "FIRST_DIVERGENCE v=1 run=0a1b2c3d seq={seq} path=single_graph phase=decode pass=0 layer=0 tensor_stage={stage} \
                 kind=drift cpu=0.5 gpu=0.25 op=add dispatched=true inputs_ok=true\n"
            );
            seq += 1;
        }
        log + &format!("[TELEMETRY END] v=1 run=0a1b2c3d seq={seq} lines={seq}\n")
    }

    /// The answers, as the queries of `docs/queries.md` give them.
    #[must_use]
    pub fn answers(&self) -> Value {
        let mut weeks: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for (monday, us) in &self.passes {
            weeks.entry(*monday).or_default().push(*us);
        }
        let weeks: Vec<Value> = weeks
            .into_values()
            .map(|mut values| {
                values.sort_unstable();
                let (half, count) = (values.len() / 2, values.len());
                let median = if count % 2 == 1 {
                    values[half] as f64
                } else {
                    (values[half - 1] + values[half]) as f64 / 2.0
                };
                json!([median, count])
            })
            .collect();
        let stages: BTreeMap<&str, u64> = self.stages.clone();
        let mut days: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for ((day, _), us) in &self.shaders {
            days.entry(*day).or_default().push(*us);
        }
        let top = days.into_values().map(|mut values| {
            values.sort_unstable_by(|a, b| b.cmp(a));
            values.iter().take(TOP).sum::<u64>()
        });
        json!({ "weeks": weeks, "stages": stages, "shader_us": top.sum::<u64>(), "shader_rows": DAYS * TOP as i64 })
    }
}

fn rows(catalogue: &Catalogue, log: &str, created_ms: i64) -> Vec<Row> {
    let scan = scan(catalogue, log.as_bytes());
    let mut rows = Vec::new();
    for (number, observation) in scan.observations.iter().enumerate() {
        for value in export::values(observation, catalogue) {
            let row = json!({
                "scope": "vulkan_kernel_correctness",
                "cell": "noop-0-full",
                "created_ms": created_ms,
                "log_id": "sha256:00",
                "complete": scan.complete,
                "catalogue": scan.catalogue,
                "observation": number,
                "kind": observation.kind,
                "line": observation.line,
                "path": observation.text("path"),
                "phase": observation.text("phase"),
                "field": value.field,
                "part": value.part,
                "number": value.number,
                "text": value.text,
                "unit": value.unit,
            });
            rows.extend(row.as_object().cloned());
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three questions, answered from the cells of a file that names its columns.
    fn answers(tables: &[(i64, Vec<BTreeMap<String, String>>)]) -> Value {
        let (mut weeks, mut stages, mut shaders) = (
            BTreeMap::<i64, Vec<f64>>::new(),
            BTreeMap::<String, u64>::new(),
            BTreeMap::<(i64, String), u64>::new(),
        );
        for (day, rows) in tables {
            for row in rows {
                let is = |name: &str, text: &str| row[name] == text;
                if is("kind", "gpu_perdispatch") && is("field", "cb_us") && is("phase", "decode") {
                    let monday = (FIRST_MS / DAY_MS + day + 3).div_euclid(7);
                    weeks
                        .entry(monday)
                        .or_default()
                        .push(row["number"].parse().expect("a number"));
                }
                if is("kind", "first_divergence") && is("field", "tensor_stage") {
                    *stages.entry(row["text"].clone()).or_default() += 1;
                }
                if let Some(shader) = row["part"].strip_suffix(".us") {
                    let us: u64 = row["text"].parse().expect("a number");
                    *shaders.entry((*day, shader.to_owned())).or_default() += us;
                }
            }
        }
        let weeks: Vec<Value> = weeks
            .into_values()
            .map(|mut values| {
                values.sort_by(f64::total_cmp);
                let half = values.len() / 2;
                let median = if values.len() % 2 == 1 {
                    values[half]
                } else {
                    (values[half - 1] + values[half]) / 2.0
                };
                json!([median, values.len()])
            })
            .collect();
        let mut days = BTreeMap::<i64, Vec<u64>>::new();
        shaders
            .into_iter()
            .for_each(|((day, _), us)| days.entry(day).or_default().push(us));
        let top = |mut values: Vec<u64>| {
            values.sort_unstable_by(|a, b| b.cmp(a));
            values.iter().take(TOP).sum::<u64>()
        };
        let rows: usize = days.values().map(|values| values.len().min(TOP)).sum();
        let us: u64 = days.into_values().map(top).sum();
        json!({ "weeks": weeks, "stages": stages, "shader_us": us, "shader_rows": rows })
    }

    fn check(format: Format, read: impl Fn(&str) -> Vec<BTreeMap<String, String>>) {
        let year = Year::new(format, 11).expect("a year");
        assert_eq!(year.files.len(), 365);
        let tables: Vec<_> = (0..)
            .zip(&year.files)
            .map(|(day, file)| (day, read(std::str::from_utf8(&file.bytes).expect("text"))))
            .collect();
        assert_eq!(answers(&tables), year.answers());
    }

    #[test]
    fn json_lines_answer_the_three_questions() {
        check(Format::Jsonl, |text| {
            let cell = |value: &Value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            };
            let row = |line: &str| {
                let row: serde_json::Map<String, Value> =
                    serde_json::from_str(line).expect("an object");
                row.iter()
                    .map(|(name, value)| (name.clone(), cell(value)))
                    .collect()
            };
            text.lines().map(row).collect()
        });
    }

    #[test]
    fn comma_separated_values_answer_the_three_questions() {
        check(Format::Csv, |text| {
            let mut lines = text.split("\r\n");
            let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
            // No value of these logs needs quotes.
            let row = |line: &str| {
                let cells = line.split(',').map(str::to_owned);
                names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .zip(cells)
                    .collect()
            };
            lines.filter(|line| !line.is_empty()).map(row).collect()
        });
    }
}
