//! Exit codes: the one list, also printed by `greenloop --help`.

use std::process::ExitCode;

/// What the process says to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or green.
    Done = 0,
    /// Something that should not happen.
    Internal = 1,
    /// The command line, a configuration file or an id is wrong.
    Usage = 2,
    /// A rule refused; the reasons were printed.
    Refused = 3,
    /// A claim waits for a person.
    AwaitsApproval = 4,
    /// Nothing executed that could say anything.
    NoSignal = 5,
    /// The suite is red.
    Red = 6,
    /// The machine is at fault: no driver, no device, no tool.
    Environment = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// The list as `--help` shows it.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done, or green
  1  internal error
  2  usage: command line, configuration or an unknown id
  3  refused, with reasons
  4  waits for a person's approval
  5  no signal: nothing executed
  6  red
  7  environment: driver, device or tool missing";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_code() {
        let all = [
            Exit::Done,
            Exit::Internal,
            Exit::Usage,
            Exit::Refused,
            Exit::AwaitsApproval,
            Exit::NoSignal,
            Exit::Red,
            Exit::Environment,
        ];
        for (index, exit) in all.into_iter().enumerate() {
            assert_eq!(exit as usize, index);
            assert!(EXIT_CODES.contains(&format!("\n  {index}  ")));
        }
    }
}
