//! `bench`: what `script/bench` runs.

#[cfg(feature = "store")]
mod archive;
#[cfg(feature = "store")]
mod claim;
#[cfg(feature = "store")]
mod daemon;
mod evidence;
#[cfg(feature = "store")]
mod journal;
mod kinds;
mod peer;
#[cfg(feature = "store")]
mod store;
mod table;
mod tool;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measurements as ratios against peers, over logs whose truth is known")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Scanner and store against ripgrep, in turn.
    Evidence {
        /// Megabytes of the logs.
        #[arg(long, default_values_t = [120])]
        megabytes: Vec<u64>,
        /// Times that each is run.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
    },
    #[cfg(feature = "store")]
    /// Logs kept in the store, and any two hundred lines of them.
    Store {
        /// Megabytes of the logs.
        #[arg(long, default_values_t = [120])]
        megabytes: Vec<u64>,
        /// The folder that takes them for a while; the system's own when absent.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    #[cfg(feature = "store")]
    /// A state folder of many events, opened cold and asked for its latest run.
    State {
        /// Runs in the journal.
        #[arg(long, default_value_t = 10_000)]
        runs: u64,
        /// Events in all.
        #[arg(long, default_value_t = 100_000)]
        events: u64,
    },
    #[cfg(feature = "store")]
    /// A running daemon over such a state, asked for its latest run over its socket.
    Daemon {
        /// The program.
        program: PathBuf,
        /// Runs in the journal.
        #[arg(long, default_value_t = 10_000)]
        runs: u64,
        /// Events in all.
        #[arg(long, default_value_t = 100_000)]
        events: u64,
    },
    #[cfg(feature = "store")]
    /// A claim with a diff of 2,000 lines, checked, against parsing its files alone.
    Claim {
        /// Times that each is done.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
    },
    /// Writes a log and prints its truth.
    Generate {
        /// `dense` or `sparse`.
        style: String,
        /// Megabytes.
        megabytes: u64,
        /// The file to write.
        file: PathBuf,
    },
    /// Writes a year of runs as Parquet files and prints the answers that queries must give.
    Year {
        /// The folder to write to.
        folder: PathBuf,
    },
    /// Reads a log once and prints what was seen, with the most anonymous memory held.
    Scan {
        /// The log.
        file: PathBuf,
        /// Read with so many kinds instead of the built-in ones.
        #[arg(long)]
        kinds: Option<usize>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Evidence { megabytes, rounds } => evidence::run(&megabytes, rounds),
        #[cfg(feature = "store")]
        Command::Store { megabytes, folder } => evidence::pages(&megabytes, folder.as_deref()),
        #[cfg(feature = "store")]
        Command::State { runs, events } => journal::run(runs, events),
        #[cfg(feature = "store")]
        Command::Daemon {
            program,
            runs,
            events,
        } => daemon::run(&program, runs, events),
        #[cfg(feature = "store")]
        Command::Claim { rounds } => claim::run(rounds),
        Command::Generate {
            style,
            megabytes,
            file,
        } => tool::generate(&style, megabytes, &file),
        Command::Year { folder } => tool::year(&folder),
        Command::Scan { file, kinds } => tool::scan(&file, kinds),
    }
}
