//! Times for people: the local zone, with the age.

use chrono::{DateTime, FixedOffset, Local, TimeZone};

/// What now is, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    now_ms: i64,
    zone: FixedOffset,
}

impl Times {
    /// This machine's clock and zone.
    pub(crate) fn here() -> Self {
        let now = Local::now();
        Self {
            now_ms: now.timestamp_millis(),
            zone: *now.offset(),
        }
    }

    /// A clock that stands still.
    #[cfg(test)]
    pub(crate) fn fixed(now_ms: i64, hours_east: i32) -> Self {
        Self {
            now_ms,
            zone: FixedOffset::east_opt(hours_east * 3600).unwrap(),
        }
    }

    /// `15:04 (3 min ago)` today, `2026-11-24 15:04 (1 d ago)` before.
    pub(crate) fn when(self, at_ms: i64) -> String {
        let age = format!("{} ago", duration(self.now_ms - at_ms));
        let (Some(at), Some(now)) = (self.local(at_ms), self.local(self.now_ms)) else {
            return age;
        };
        let clock = match at.date_naive() == now.date_naive() {
            true => at.format("%H:%M"),
            false => at.format("%Y-%m-%d %H:%M"),
        };
        format!("{clock} ({age})")
    }

    /// `2026-11-24 15:04`, for what is yet to come.
    pub(crate) fn at(self, at_ms: i64) -> String {
        let at = self.local(at_ms);
        at.map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M").to_string())
    }

    /// The same for something of that age.
    pub(crate) fn ago(self, age_ms: i64) -> String {
        self.when(self.now_ms.saturating_sub(age_ms))
    }

    fn local(self, at_ms: i64) -> Option<DateTime<FixedOffset>> {
        self.zone.timestamp_millis_opt(at_ms).single()
    }
}

/// An age or duration for people: `4 s`, `3 min`, `2 h`, `5 d`.
pub(crate) fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A duration that a counter holds.
pub(crate) fn took(ms: u64) -> String {
    duration(ms.try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_well() {
        let text: Vec<String> = [-5, 59_999, 60_000, 7_199_000, 172_800_000]
            .map(duration)
            .into();
        assert_eq!(text, ["0 s", "59 s", "1 min", "1 h", "2 d"]);
    }

    #[test]
    fn times_are_local_and_name_the_day_when_it_is_another() {
        // 2026-11-25 00:30 UTC.
        let now = 1_795_566_600_000;
        let east = Times::fixed(now, 2);
        assert_eq!(east.when(now - 60_000), "02:29 (1 min ago)");
        assert_eq!(
            Times::fixed(now, 0).ago(3_600_000),
            "2026-11-24 23:30 (1 h ago)"
        );
        assert_eq!(east.when(i64::MAX), "0 s ago");
    }
}
