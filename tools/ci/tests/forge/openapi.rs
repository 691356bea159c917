//! Our questions against the published description of the API, which a validator of somebody else reads.
//! It answers with the description's examples and refuses what does not fit, so that an answer here
//! says that the question was one the forge takes and that our models read what it gives.

use ci::forge::{Fetched, Forge, ForgeError, RunQuery, Target};
use ci::github::{Credential, Github, GithubSettings, Patience, Rerun, SecretSource};
use exec::Cancel;

/// Run of the description's examples.
const RUN: &str = "30433642";

fn client() -> Github {
    let api_url = std::env::var("GREENLOOP_OPENAPI").expect("`script/openapi` sets it");
    Github::new(GithubSettings {
        api_url,
        repository: "octo/gpu".into(),
        credential: Credential::Token(SecretSource::Env("T".into())),
        allow_insecure_loopback: true,
        environment: [("T".into(), "ghp_x".into())].into(),
        patience: Patience::default(),
    })
    .unwrap()
}

#[test]
#[ignore = "needs a validator, which `script/openapi` installs and starts"]
fn every_question_fits_the_published_description() {
    let (client, cancel) = (client(), Cancel::new().unwrap());
    assert_eq!(client.run(RUN, None, &cancel).unwrap().id.to_string(), RUN);
    let attempt = client.run(RUN, None, &cancel).unwrap().attempt();
    client.run(RUN, Some(attempt), &cancel).unwrap();
    let jobs = client.jobs(RUN, attempt, &cancel).unwrap();
    assert!(!jobs.is_empty() && jobs.iter().all(|job| !job.steps.is_empty()));
    // The example of artifacts counts two and lists two; that of runners likewise.
    assert!(!client.artifacts(RUN, &cancel).unwrap().is_empty());
    assert!(
        client
            .runners(&cancel)
            .unwrap()
            .is_some_and(|runners| { runners.iter().all(|runner| !runner.labels.is_empty()) })
    );
    let query = RunQuery {
        workflow: Some("gpu-tests.yml".into()),
        branch: Some("main".into()),
        head_sha: Some("acb5820ced9479c074f688cc328bf03f341a511d".into()),
        most: 1,
    };
    assert_eq!(client.runs(&query, &cancel).unwrap().len(), 1);
    let every = RunQuery {
        most: 1,
        ..RunQuery::default()
    };
    assert_eq!(client.runs(&every, &cancel).unwrap().len(), 1);
}

#[test]
#[ignore = "needs a validator, which `script/openapi` installs and starts"]
fn every_file_and_order_fits_the_published_description() {
    let (client, cancel) = (client(), Cancel::new().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let run_id = || RUN.to_owned();
    for target in [
        Target::JobLog {
            run_id: run_id(),
            attempt: 1,
            job_id: 1,
        },
        Target::AttemptLogs {
            run_id: run_id(),
            attempt: 1,
        },
        Target::Artifact {
            run_id: run_id(),
            artifact_id: 1,
            name: "a".into(),
        },
    ] {
        // The example's address is signed for a place that is not there: what counts is that it was given.
        let spool = folder.path();
        let found = client.fetch(
            &target,
            &mut ci::forge::FetchHooks {
                cancel: &cancel,
                spool,
                on_bytes: &mut |_, _| {},
            },
        );
        match found {
            Ok(Fetched::Absent(..)) | Err(ForgeError::Network { .. }) => {}
            other => panic!("{target:?}: {other:?}"),
        }
    }
    // The example run has not ended, so it is one to cancel; to run it again is refused before it is sent.
    let order = client.cancel_run(RUN, &cancel);
    assert!(order.is_ok(), "{order:?}");
    let again = client.rerun(RUN, Rerun::Failed, &cancel);
    assert!(again.is_err_and(|error| error.to_string().contains("has not ended")));
}
