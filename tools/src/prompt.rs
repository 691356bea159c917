//! Prompts: text of the `prompts` crate with the facts of what they are asked about.

use prompts::{ClaimFacts, PROMPTS, PromptText, RunFacts, prompt_text};
use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};
use service::api::{GetClaimRequest, ListHypothesesRequest, LoopStatusRequest, WaitForRunRequest};
use service::{Caller, Service, ServiceError};

use crate::ask::ask;
use crate::brief::brief_of;

/// Every prompt as a client sees it.
pub(crate) fn list() -> Vec<Prompt> {
    PROMPTS.iter().map(describe).collect()
}

fn describe(text: &PromptText) -> Prompt {
    let arguments = text.arguments.iter().map(|argument| {
        PromptArgument::new(argument.name)
            .with_description(argument.description)
            .with_required(argument.required)
    });
    Prompt::new(text.name, Some(text.description), Some(arguments.collect())).with_title(text.title)
}

/// Why there is no such prompt.
pub(crate) enum NoPrompt {
    /// The request is not one for a prompt of ours; says what is valid.
    Invalid(String),
    /// The service could not say what it needs.
    Failed(ServiceError),
}

impl From<ServiceError> for NoPrompt {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error)
    }
}

/// Renders a prompt. Blocks.
pub(crate) fn render(
    service: &Service,
    caller: &Caller,
    name: &str,
    arguments: &JsonObject,
) -> Result<GetPromptResult, NoPrompt> {
    let Some(text) = prompt_text(name) else {
        let names: Vec<&str> = PROMPTS.iter().map(|prompt| prompt.name).collect();
        return Err(NoPrompt::Invalid(format!(
            "no such prompt; valid: {}",
            names.join(", ")
        )));
    };
    let given = Given::check(text, arguments)?;
    let brief = || -> Result<prompts::Brief, ServiceError> {
        let loop_id = given.get("loop_id").map(str::to_owned);
        let status = ask(service, caller, LoopStatusRequest { loop_id })?;
        Ok(brief_of(&status))
    };
    let rendered = match name {
        "gpu_green" => prompts::gpu_green(&brief()?),
        "resume_loop" => prompts::resume_loop(&brief()?),
        "write_claim" => {
            let cause = match given.get("hypothesis_id") {
                Some(id) => Some((id, statement(service, caller, id)?)),
                None => None,
            };
            let cause = cause.as_ref().map(|(id, text)| (*id, text.as_str()));
            prompts::write_claim(&brief()?, cause)
        }
        "triage_run" => prompts::triage_run(&run_facts(service, caller, &given)?),
        _ => prompts::postmortem(&claim_facts(service, caller, &given)?),
    };
    let message = PromptMessage::new_text(Role::User, rendered);
    Ok(GetPromptResult::new(vec![message]).with_description(text.description))
}

/// Arguments that are the prompt's own, all texts, the required ones there.
struct Given<'a>(&'a JsonObject);

impl<'a> Given<'a> {
    fn check(text: &PromptText, arguments: &'a JsonObject) -> Result<Self, NoPrompt> {
        let valid: Vec<&str> = text.arguments.iter().map(|own| own.name).collect();
        let invalid = |why: &str| {
            NoPrompt::Invalid(format!("{}: {why}; valid: {}", text.name, valid.join(", ")))
        };
        if arguments.keys().any(|name| !valid.contains(&name.as_str())) {
            return Err(invalid("unknown argument"));
        }
        if arguments.values().any(|value| !value.is_string()) {
            return Err(invalid("an argument is not a text"));
        }
        let given = Self(arguments);
        let missing = text
            .arguments
            .iter()
            .find(|own| own.required && given.get(own.name).is_none());
        match missing {
            Some(own) => Err(invalid(&format!("`{}` is missing", own.name))),
            None => Ok(given),
        }
    }

    /// The argument; clients send empty texts for what was left open.
    fn get(&self, name: &str) -> Option<&'a str> {
        let text = self.0.get(name)?.as_str()?;
        Some(text).filter(|text| !text.is_empty())
    }
}

fn statement(service: &Service, caller: &Caller, id: &str) -> Result<String, NoPrompt> {
    let mut cursor = None;
    loop {
        let page = ListHypothesesRequest {
            cursor,
            limit: Some(50),
            ..ListHypothesesRequest::default()
        };
        let page = ask(service, caller, page)?;
        let mut rows = page.hypotheses.into_iter();
        if let Some(found) = rows.find(|row| row.summary.hypothesis_id == id) {
            return Ok(found.summary.statement);
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Err(NoPrompt::Invalid(
                "`hypothesis_id` names none of the ledger; list_hypotheses lists them".into(),
            ));
        }
    }
}

fn run_facts(
    service: &Service,
    caller: &Caller,
    given: &Given<'_>,
) -> Result<RunFacts, ServiceError> {
    let request = WaitForRunRequest {
        run_id: given.get("run_id").unwrap_or_default().to_owned(),
        max_wait_s: 0,
    };
    let run = ask(service, caller, request)?.run;
    let cells = run.jobs.into_iter();
    Ok(RunFacts {
        run_id: run.run_id,
        scope: run.scope,
        head_sha: run.head_sha,
        status: run.status,
        class: run.class,
        cells: cells
            .map(|job| (job.cell, job.log.map(|log| log.log_id)))
            .collect(),
    })
}

fn claim_facts(
    service: &Service,
    caller: &Caller,
    given: &Given<'_>,
) -> Result<ClaimFacts, ServiceError> {
    let request = GetClaimRequest {
        claim_id: given.get("claim_id").unwrap_or_default().to_owned(),
    };
    let claim = ask(service, caller, request)?;
    let grades = claim.verdict.iter().flat_map(|verdict| &verdict.grades);
    let missed = grades.filter(|grade| grade.role == "prediction" && grade.truth != "holds");
    Ok(ClaimFacts {
        claim_id: claim.summary.claim_id,
        state: claim.summary.state,
        subject: claim.summary.subject,
        missed: missed.map(|grade| grade.predicate.clone()).collect(),
        rollback_due: claim.verdict.as_ref().is_some_and(|v| v.rollback_due),
        verdict: claim.verdict.map(|verdict| verdict.kind),
    })
}
