//! How commands speak: tables and lines on standard output, progress on standard error, or JSON.

#![expect(clippy::print_stderr, reason = "this is where the command line prints")]

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};
use serde::Serialize;
use service::api::RefusalView;

use crate::client::Refused;
use crate::exit::Exit;
use crate::page::printable;

/// Version of the JSON that `--json` prints.
pub(crate) const JSON_SCHEMA: u32 = 1;

/// Where a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    color: bool,
}

/// A line's weight in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// Needs somebody.
    Warn,
}

impl Output {
    /// JSON, or text; colour only on a terminal and without `NO_COLOR`.
    pub(crate) fn new(json: bool) -> Self {
        let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            json,
            color: color && !json,
        }
    }

    /// Text without colour, whatever the test runs on.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self {
            json: false,
            color: false,
        }
    }

    /// Whether answers are printed as JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints the answer as JSON, or what `text` makes of it.
    pub(crate) fn answer<T: Serialize>(
        self,
        answer: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            let mut value = serde_json::to_value(answer)?;
            if let Some(object) = value.as_object_mut() {
                object.insert("schema".into(), JSON_SCHEMA.into());
            }
            self.raw(&format!("{value}\n"));
        } else {
            self.raw(&format!("{}\n", text(answer).trim_end()));
        }
        Ok(())
    }

    /// Raw text, as it is, without a newline of ours.
    pub(crate) fn raw(self, text: &str) {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            // The reader has seen enough (`| head`); nobody is left to tell.
            std::process::exit(Exit::Done as i32);
        }
    }

    /// A line for the person at the terminal; never in JSON.
    pub(crate) fn note(self, line: &str) {
        if !self.json {
            eprintln!("{line}");
        }
    }

    /// An error, with its causes.
    pub(crate) fn error(self, error: &anyhow::Error) {
        if self.json {
            // The daemon's errors have a code that scripts can tell apart.
            let code = error
                .downcast_ref::<Refused>()
                .map_or("usage", |refused| refused.0.code.as_str());
            let value = serde_json::json!({
                "schema": JSON_SCHEMA,
                "error": format!("{error:#}"),
                "code": code,
            });
            self.raw(&format!("{value}\n"));
        }
        eprintln!("greenloop: {error:#}");
    }

    /// The text in that tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Warn => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A bar on a terminal, plain lines when piped, nothing with `--json`.
    pub(crate) fn progress(self) -> ProgressLine {
        if self.json {
            return ProgressLine {
                bar: None,
                plain: false,
                last: String::new(),
            };
        }
        if !std::io::stderr().is_terminal() {
            return ProgressLine {
                bar: None,
                plain: true,
                last: String::new(),
            };
        }
        let bar = ProgressBar::no_length();
        bar.set_style(style(None));
        bar.enable_steady_tick(Duration::from_millis(200));
        ProgressLine {
            bar: Some(bar),
            plain: false,
            last: String::new(),
        }
    }
}

/// One line that moves.
pub(crate) struct ProgressLine {
    bar: Option<ProgressBar>,
    plain: bool,
    last: String,
}

impl ProgressLine {
    /// Shows bytes that have arrived; when piped, one line per file.
    pub(crate) fn bytes(&mut self, done: u64, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                let rate = DecimalBytes(bar.per_sec() as u64);
                bar.set_message(format!("{message}, {} ({rate}/s)", DecimalBytes(done)));
            }
            None => self.update(0, None, message),
        }
    }

    /// Shows how far it is.
    pub(crate) fn update(&mut self, done: u64, total: Option<u64>, message: &str) {
        let message = &printable(message);
        let total = total.filter(|total| *total > 0);
        if let Some(bar) = &self.bar {
            if bar.length() != total {
                bar.set_style(style(total));
                bar.set_length(total.unwrap_or_default());
            }
            bar.set_position(done);
            bar.set_message(message.clone());
        } else if self.plain && *message != self.last {
            // One plain line per change of what is done, not per tick of how far it is.
            match total {
                Some(total) => eprintln!("  {done}/{total} {message}"),
                None => eprintln!("  {message}"),
            }
        }
        message.clone_into(&mut self.last);
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Steps above which a rate says something.
const COUNTABLE: u64 = 50;

/// How a bar looks: with the time that is left where the total is known, and with a rate where the
/// steps are many and alike.
fn template(total: Option<u64>) -> &'static str {
    match total {
        None => "{spinner} {elapsed} {wide_msg}",
        Some(total) if total < COUNTABLE => {
            "{spinner} {elapsed} {bar:20} {pos}/{len}, about {eta} left  {wide_msg}"
        }
        Some(_) => {
            "{spinner} {elapsed} {bar:20} {pos}/{len} ({per_sec}), about {eta} left  {wide_msg}"
        }
    }
}

fn style(total: Option<u64>) -> ProgressStyle {
    // A template that does not parse would only look plain; the test below reads each.
    ProgressStyle::with_template(template(total))
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Every refusal as a block: what, why, what to do.
pub(crate) fn refusals(output: Output, refused: &[RefusalView]) -> String {
    refused
        .iter()
        .map(|refusal| {
            let head = output.paint(
                Tone::Bad,
                &format!("refused {} ({})", refusal.code, refusal.field),
            );
            format!(
                "{head}\n  why     {}\n  remedy  {}\n",
                refusal.reason, refusal.remedy
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_what_is_known() {
        for total in [None, Some(6), Some(1000)] {
            let template = template(total);
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
            assert_eq!(template.contains("{eta}"), total.is_some());
        }
        assert!(template(Some(1000)).contains("{per_sec}"));
        // Three gates are not so many per second.
        assert!(!template(Some(6)).contains("{per_sec}"));
    }
}
