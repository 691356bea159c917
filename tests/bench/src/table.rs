//! Lines of a result.

use std::fmt::Write as _;
use std::time::Duration;

/// One measurement against a bound.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) bound: String,
    pub(crate) holds: bool,
}

/// Prints rows in columns and returns how many do not hold.
pub(crate) fn print(rows: &[Row], out: &mut dyn std::io::Write) -> std::io::Result<usize> {
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max();
    let (what, measured) = (width(|r| &r.what), width(|r| &r.measured));
    let mut text = String::new();
    for row in rows {
        let _ = writeln!(
            text,
            "{:w$}  {:>m$}  {:>10}  {}",
            row.what,
            row.measured,
            row.bound,
            if row.holds { "ok" } else { "MISSED" },
            w = what.unwrap_or(0),
            m = measured.unwrap_or(0),
        );
    }
    out.write_all(text.as_bytes())?;
    Ok(rows.iter().filter(|row| !row.holds).count())
}

/// A ratio that must reach a bound.
pub(crate) fn at_least(what: String, ratio: f64, bound: f64) -> Row {
    Row {
        what,
        measured: format!("{ratio:.2}×"),
        bound: format!("≥ {bound:.2}×"),
        holds: ratio >= bound,
    }
}

/// A ratio that must not pass a bound.
pub(crate) fn at_most(what: String, ratio: f64, bound: f64) -> Row {
    Row {
        what,
        measured: format!("{ratio:.2}×"),
        bound: format!("≤ {bound:.2}×"),
        holds: ratio <= bound,
    }
}

/// A time that must not pass a bound.
#[cfg(feature = "store")]
pub(crate) fn within(what: String, time: Duration, bound: Duration) -> Row {
    Row {
        what,
        measured: format!("{:.2} ms", time.as_secs_f64() * 1e3),
        bound: format!("≤ {} ms", bound.as_millis()),
        holds: time <= bound,
    }
}

/// Most anonymous memory that reading a log may take, KiB.
const MEMORY_KIB: u64 = 16 << 10;

/// Anonymous memory, KiB, that must not pass the bound of every reading.
pub(crate) fn within_memory(what: String, kib: u64) -> Row {
    Row {
        what,
        measured: format!("{:.1} MiB", kib as f64 / 1024.0),
        bound: format!("≤ {} MiB", MEMORY_KIB >> 10),
        holds: kib <= MEMORY_KIB,
    }
}

/// The fastest of several rounds: what else runs on a machine only ever adds.
pub(crate) fn fastest(times: &[Duration]) -> Duration {
    times.iter().min().copied().unwrap_or_default()
}
