//! `engine sim`: a pass on the simulated device against the reference.

use clap::Args;
use engine::ir::Region;
use engine::model::HostData;
use engine::profile::ExecutionProfile;
use engine::record::Recording;
use engine::sim::{Fill, Trial, Verdict, judge};
use engine::validate::{TapPlan, plan_all_taps};
use serde_json::json;

use super::super::{Failure, Outcome, say, say_json};
use super::{ModeArg, PassArgs, SCHEMA, Subject, tokens};

#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    #[command(flatten)]
    pass: PassArgs,
    /// How the pass reaches the device.
    #[arg(long, value_enum, default_value = "single-graph")]
    mode: ModeArg,
    /// Fault to play it with, as in docs/faults.md.
    #[cfg(feature = "faults")]
    #[arg(long)]
    fault: Option<engine::faults::Fault>,
}

/// What is played, with the fault in it where there is one.
struct Prepared {
    recording: Recording,
    data: HostData,
    taps: TapPlan,
}

/// `engine sim`
pub(crate) fn sim(args: &SimArgs) -> Outcome {
    let subject = Subject::open(&args.pass)?;
    let profile = args.mode.profile()?;
    let prepared = prepare(args, &subject, &profile)?;
    let context = tokens(&subject.model, 0, subject.request.pos);
    let fill = packed(args, &subject)?;
    let verdict = judge(&Trial {
        model: &subject.model,
        file: &subject.file,
        request: &subject.request,
        context: &context,
        profile: &profile,
        recording: &prepared.recording,
        data: &prepared.data,
        taps: &prepared.taps,
        fill: fill.as_deref(),
    })?;
    if args.pass.json {
        say_json(&json!({
            "schema": SCHEMA,
            "mode": profile.mode.name(),
            "fault": fault_name(args),
            "digest": prepared.recording.ir.digest(),
            "verdict": verdict,
        }))?;
    } else {
        say(&sentence(&verdict))?;
    }
    if verdict.bits_equal {
        Ok(())
    } else {
        Err(Failure::Found)
    }
}

fn sentence(verdict: &Verdict) -> String {
    if let Some(why) = &verdict.invalidated {
        return format!("invalidated {}: {}", why.reason_code, why.message);
    }
    let Some(found) = &verdict.first_divergence else {
        let equal = if verdict.bits_equal {
            "the logits are the reference's, bit for bit".to_owned()
        } else {
            format!("the logits are off by {:e}", verdict.logits_error)
        };
        return format!("no divergence: {equal}");
    };
    format!(
        "first divergence: layer {} {} ({}) cpu {} sim {} op {} dispatched={} inputs_ok={} last_writer {} in {}; \
         logits off by {:e}",
        found.layer,
        found.stage.name(),
        found.kind.name(),
        found.cpu,
        found.gpu,
        found.op,
        found.dispatched,
        found.inputs_ok,
        found.last_writer,
        found.region,
        verdict.logits_error
    )
}

#[cfg(not(feature = "faults"))]
fn prepare(
    _args: &SimArgs,
    subject: &Subject,
    profile: &ExecutionProfile,
) -> Result<Prepared, Failure> {
    clean(subject, profile)
}

#[cfg(not(feature = "faults"))]
fn packed<'s>(_args: &SimArgs, _subject: &'s Subject) -> Result<Option<Box<Fill<'s>>>, Failure> {
    Ok(None)
}

#[cfg(not(feature = "faults"))]
fn fault_name(_args: &SimArgs) -> Option<String> {
    None
}

#[cfg(feature = "faults")]
fn prepare(
    args: &SimArgs,
    subject: &Subject,
    profile: &ExecutionProfile,
) -> Result<Prepared, Failure> {
    let Some(fault) = &args.fault else {
        return clean(subject, profile);
    };
    let (model, request) = (&subject.model, &subject.request);
    let recording = fault.record(model, request, profile, subject.envelope)?;
    let mut taps = all_taps(&recording)?;
    fault.taps(&mut taps);
    let data = fault.host_data(model, request)?;
    Ok(Prepared {
        recording,
        data,
        taps,
    })
}

#[cfg(feature = "faults")]
fn packed<'s>(args: &SimArgs, subject: &'s Subject) -> Result<Option<Box<Fill<'s>>>, Failure> {
    let Some(fault) = args.fault else {
        return Ok(None);
    };
    let weights = subject.model.weights_plan()?;
    let sources = subject.model.sources();
    let names: Vec<String> = sources.map(|source| source.name.clone()).collect();
    Ok(Some(Box::new(move |chunk, offset, out| {
        weights.fill(&subject.file, chunk, offset, out);
        fault.weights(&weights, &names, (chunk, offset), out);
    })))
}

#[cfg(feature = "faults")]
fn fault_name(args: &SimArgs) -> Option<String> {
    args.fault.map(|fault| fault.to_string())
}

fn clean(subject: &Subject, profile: &ExecutionProfile) -> Result<Prepared, Failure> {
    let recording = subject.recording(profile)?;
    Ok(Prepared {
        taps: all_taps(&recording)?,
        data: subject.model.host_data(&subject.request)?,
        recording,
    })
}

fn all_taps(recording: &Recording) -> Result<TapPlan, Failure> {
    let used = recording.ir.region_size(Region::Readback);
    Ok(plan_all_taps(&recording.graph, &recording.plan, used)?)
}
