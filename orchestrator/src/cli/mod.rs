//! Verbs: one file each; its doc comment is its help.

mod approve;
mod audit;
mod cancel;
mod claim;
mod claims;
mod classify;
mod compare;
mod completions;
mod contrast;
mod daemon;
mod doctor;
mod evidence;
mod gates;
mod hypotheses;
mod init;
mod log;
mod man;
mod markers;
mod mcp;
mod overrides;
mod pull;
mod push;
mod reject;
mod reopen;
mod rerun;
mod revert;
mod review;
mod revive;
mod run;
mod runs;
mod state;
mod status;
mod stop;
mod verify;
mod wait;
mod why;

use std::path::PathBuf;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use crate::client::{Client, Refused};
use crate::config::Config;
use crate::exit::{EXIT_CODES, Exit};
use crate::output::Output;
use crate::place::Place;

/// Drives a GPU test suite from red to green; refuses to push what is not a claim.
#[derive(Debug, Parser)]
#[command(name = "greenloop", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Args)]
struct Global {
    /// Repository under care; the one the current folder stands in when absent
    #[arg(long, global = true, value_name = "DIR")]
    repo: Option<PathBuf>,
    /// State folder; the per-user data directory when absent
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Machine settings file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Args),
    Status(status::Args),
    Run(run::Args),
    Wait(wait::Args),
    Runs(runs::Args),
    Pull(pull::Args),
    Cancel(cancel::Args),
    Rerun(rerun::Args),
    Log(log::Args),
    Markers(markers::Args),
    Classify(classify::Args),
    Compare(compare::Args),
    Contrast(contrast::Args),
    Hypotheses(hypotheses::Args),
    Claims(claims::Args),
    Claim(claim::Args),
    Gates(gates::Args),
    Review(review::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    Push(push::Args),
    Verify(verify::Args),
    Revert(revert::Args),
    Revive(revive::Args),
    Reopen(reopen::Args),
    #[command(name = "override")]
    Overrides(overrides::Args),
    Why(why::Args),
    Audit(audit::Args),
    State(state::Args),
    Evidence(evidence::Args),
    Daemon(daemon::Args),
    Stop(stop::Args),
    Doctor(doctor::Args),
    Mcp(mcp::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// The whole command line, for completions and the manual.
fn command_line() -> clap::Command {
    Cli::command()
}

/// What every verb is given.
struct Context<'a> {
    global: &'a Global,
    output: Output,
}

impl Context<'_> {
    fn place(&self) -> Result<Place> {
        let Global {
            repo,
            state,
            config,
            ..
        } = self.global;
        Place::find(repo.as_deref(), state.as_deref(), config.as_deref())
    }

    fn settings(&self) -> Result<Config> {
        Config::load(self.global.config.as_deref())
    }

    fn client(&self) -> Result<Client> {
        Client::connect(&self.place()?)
    }
}

/// Runs the verb; errors are printed here.
pub(crate) fn run(cli: &Cli) -> Exit {
    let output = Output::new(cli.global.json);
    let context = Context {
        global: &cli.global,
        output,
    };
    match dispatch(&cli.verb, &context) {
        Ok(exit) => exit,
        Err(error) => {
            output.error(&error);
            match error.downcast_ref::<Refused>() {
                Some(Refused(failure)) if failure.fixable => Exit::Usage,
                Some(Refused(failure)) if failure.code == "environment" => Exit::Environment,
                Some(_) => Exit::Internal,
                None => Exit::Usage,
            }
        }
    }
}

fn dispatch(verb: &Verb, context: &Context<'_>) -> Result<Exit> {
    match verb {
        Verb::Init(args) => init::run(args, context),
        Verb::Status(args) => status::run(args, context),
        Verb::Run(args) => run::run(args, context),
        Verb::Wait(args) => wait::run(args, context),
        Verb::Runs(args) => runs::run(args, context),
        Verb::Pull(args) => pull::run(args, context),
        Verb::Cancel(args) => cancel::run(args, context),
        Verb::Rerun(args) => rerun::run(args, context),
        Verb::Log(args) => log::run(args, context),
        Verb::Markers(args) => markers::run(args, context),
        Verb::Classify(args) => classify::run(args, context),
        Verb::Compare(args) => compare::run(args, context),
        Verb::Contrast(args) => contrast::run(args, context),
        Verb::Hypotheses(args) => hypotheses::run(args, context),
        Verb::Claims(args) => claims::run(args, context),
        Verb::Claim(args) => claim::run(args, context),
        Verb::Gates(args) => gates::run(args, context),
        Verb::Review(args) => review::run(args, context),
        Verb::Approve(args) => approve::run(args, context),
        Verb::Reject(args) => reject::run(args, context),
        Verb::Push(args) => push::run(args, context),
        Verb::Verify(args) => verify::run(args, context),
        Verb::Reopen(args) => reopen::run(args, context),
        Verb::Overrides(args) => overrides::run(args, context),
        Verb::Revert(args) => revert::run(args, context),
        Verb::Revive(args) => revive::run(args, context),
        Verb::Why(args) => why::run(args, context),
        Verb::Audit(args) => audit::run(args, context),
        Verb::State(args) => state::run(args, context),
        Verb::Evidence(args) => evidence::run(args, context),
        Verb::Daemon(args) => daemon::run(args, context),
        Verb::Stop(args) => stop::run(args, context),
        Verb::Doctor(args) => doctor::run(args, context),
        Verb::Mcp(args) => mcp::run(args, context),
        Verb::Completions(args) => completions::run(args, context),
        Verb::Man(args) => man::run(args, context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_says_what_it_does() {
        let text = Cli::command().render_long_help().to_string();
        insta::assert_snapshot!(text);
        for verb in Cli::command().get_subcommands() {
            assert!(
                verb.get_about().is_some(),
                "{} has no help",
                verb.get_name()
            );
        }
    }
}
