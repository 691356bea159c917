//! The resolver over all combinations.

use super::*;

const SWITCHES: [(&str, &[&str]); 5] = [
    ("ENGINE_FORCE_MULTI_SUBMIT", &["", "1"]),
    ("ENGINE_VALIDATE", &["", "1"]),
    ("ENGINE_PERDISPATCH", &["", "summary", "full"]),
    ("ENGINE_NOOP_DISPATCHES", &["", "50"]),
    ("ENGINE_REQUIRE_DELTANET", &["", "1"]),
];

fn combinations() -> Vec<Vec<(&'static str, &'static str)>> {
    SWITCHES
        .iter()
        .fold(vec![Vec::new()], |found, (name, values)| {
            found
                .iter()
                .flat_map(|row| {
                    values
                        .iter()
                        .map(move |value| [row.clone(), vec![(*name, *value)]].concat())
                })
                .collect()
        })
}

/// The whole table, written down a second time as rules over the row.
fn expected(row: &[(&str, &str)], request: RequestKind) -> Result<Mode, &'static str> {
    let set = |name: &str| {
        row.iter()
            .any(|(key, value)| *key == name && !value.is_empty())
    };
    let full = row.contains(&("ENGINE_PERDISPATCH", "full"));
    let legacy = set("ENGINE_FORCE_MULTI_SUBMIT");
    let validate = set("ENGINE_VALIDATE");
    if set("ENGINE_REQUIRE_DELTANET") {
        return Err("ENGINE_REQUIRE_DELTANET");
    }
    match (request, legacy, validate, full) {
        (RequestKind::Production, true, _, _) => Err("ENGINE_FORCE_MULTI_SUBMIT"),
        (RequestKind::Production, false, true, _) => Err("ENGINE_VALIDATE"),
        (RequestKind::Production, false, false, _) => Ok(Mode::GpuSingleGraph),
        (RequestKind::Reference, true, _, _) => Err("ENGINE_FORCE_MULTI_SUBMIT"),
        (RequestKind::Reference, false, _, true) => Err("ENGINE_PERDISPATCH"),
        (RequestKind::Reference, false, _, false) if set("ENGINE_NOOP_DISPATCHES") => {
            Err("ENGINE_NOOP_DISPATCHES")
        }
        (RequestKind::Reference, false, _, false) => Ok(Mode::CpuReference),
        (RequestKind::Validation, true, _, _) | (RequestKind::Smoke, true, true, _) => {
            Ok(Mode::GpuValidationLegacy)
        }
        (RequestKind::Validation, false, _, _) | (RequestKind::Smoke, false, true, _) => {
            Ok(Mode::GpuValidationSingleGraph)
        }
        (RequestKind::Smoke, true, false, _) => Ok(Mode::GpuLegacyMultiSubmit),
        (RequestKind::Smoke, false, false, true) => Ok(Mode::GpuSmokeFull),
        (RequestKind::Smoke, false, false, false) => Ok(Mode::GpuSmokeSummary),
    }
}

#[test]
fn every_combination_resolves_as_the_table_says() {
    let mut seen = std::collections::BTreeSet::new();
    for row in combinations() {
        for request in RequestKind::ALL {
            let env = EnvSnapshot::from_vars(row.iter().copied());
            let got = ExecutionProfile::resolve(&env, request);
            let want = expected(&row, request);
            assert_eq!(
                got.as_ref().map(|p| p.mode).map_err(|c| c.variable),
                want,
                "{row:?} {request:?}"
            );
            seen.extend(got.ok().map(|profile| profile.mode));
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), Mode::ALL);
}

#[test]
fn production_is_single_graph_or_nothing() {
    for row in combinations() {
        let env = EnvSnapshot::from_vars(row.iter().copied());
        if let Ok(profile) = ExecutionProfile::resolve(&env, RequestKind::Production) {
            assert_eq!(profile.mode, Mode::GpuSingleGraph, "{row:?}");
        }
    }
}

#[test]
fn no_gpu_request_resolves_to_the_cpu() {
    for row in combinations() {
        let env = EnvSnapshot::from_vars(row.iter().copied());
        for request in [
            RequestKind::Production,
            RequestKind::Smoke,
            RequestKind::Validation,
        ] {
            if let Ok(profile) = ExecutionProfile::resolve(&env, request) {
                assert!(profile.path().is_some(), "{row:?} {request:?}");
            }
        }
    }
}

#[test]
fn unverified_fusions_fall_back_to_the_unfused_variant_and_say_so() {
    let env = EnvSnapshot::from_vars([("ENGINE_FUSE_QKV", "1"), ("CORTEX_FUSE_FFN", "on")]);
    let profile = ExecutionProfile::resolve(&env, RequestKind::Production).unwrap();
    assert_eq!(profile.mode, Mode::GpuSingleGraph);
    assert_eq!(profile.notes.len(), 2);
    assert!(
        profile
            .notes
            .iter()
            .all(|note| note.contains("unfused variant runs"))
    );
}

#[test]
fn aliases_count_and_contradictions_are_refused() {
    let check = |vars: &[(&str, &str)], want: Result<Mode, &str>| {
        let got = ExecutionProfile::resolve(
            &EnvSnapshot::from_vars(vars.iter().copied()),
            RequestKind::Smoke,
        );
        assert_eq!(
            got.map(|p| p.mode).map_err(|c| c.variable),
            want,
            "{vars:?}"
        );
    };
    check(
        &[("CORTEX_FORCE_MULTI_SUBMIT", "1")],
        Ok(Mode::GpuLegacyMultiSubmit),
    );
    check(&[("CORTEX_PERDISPATCH", "full")], Ok(Mode::GpuSmokeFull));
    check(
        &[("ENGINE_VALIDATE", "1"), ("CORTEX_VALIDATE", "0")],
        Err("ENGINE_VALIDATE"),
    );
    check(&[("ENGINE_PERDISPATCH", "loud")], Err("ENGINE_PERDISPATCH"));
    check(
        &[("ENGINE_NOOP_DISPATCHES", "-1")],
        Err("ENGINE_NOOP_DISPATCHES"),
    );
    check(
        &[("ENGINE_NOOP_DISPATCHES", "4097")],
        Err("ENGINE_NOOP_DISPATCHES"),
    );
    check(&[("ENGINE_VALIDATE", "maybe")], Err("ENGINE_VALIDATE"));
    check(
        &[("PATH", "/bin"), ("ENGINE_NOOP_DISPATCHES", "100")],
        Ok(Mode::GpuSmokeSummary),
    );
}
