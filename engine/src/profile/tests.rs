//! The resolver over all combinations.

use super::*;

/// Every variable with one value of each meaning.
const SWITCHES: [(&str, &[&str]); 12] = [
    ("ENGINE_PROFILE_FORWARD", &["", "1"]),
    ("ENGINE_FA_DEBUG_RING", &["", "1"]),
    ("ENGINE_PERDISPATCH", &["", "summary", "full"]),
    ("ENGINE_NOOP_DISPATCHES", &["", "50"]),
    ("ENGINE_FUSE_QKV", &["", "0", "1"]),
    ("ENGINE_FUSE_FFN", &["", "0", "1"]),
    ("ENGINE_FFN_DIVERGENCE", &["", "1"]),
    ("ENGINE_VALIDATE", &["", "1"]),
    ("ENGINE_FORCE_MULTI_SUBMIT", &["", "1"]),
    ("ENGINE_REQUIRE_DELTANET", &["", "1"]),
    ("ENGINE_REQUIRE_LORA_GPU", &["", "1"]),
    ("ENGINE_ROW_BLOCKING", &["", "narrow"]),
];

const ALL: &[RequestKind] = &RequestKind::ALL;
const PRODUCTION: &[RequestKind] = &[RequestKind::Production];
const REFERENCE: &[RequestKind] = &[RequestKind::Reference];
const SMOKE: &[RequestKind] = &[RequestKind::Smoke];
const VALIDATION: &[RequestKind] = &[RequestKind::Validation];

/// Kinds of requests, variables that must be set so, and what comes of it.
type Rule = (
    &'static [RequestKind],
    &'static [(&'static str, &'static str)],
    Result<Mode, &'static str>,
);

/// The first rule that fits a combination decides it.
const TABLE: &[Rule] = &[
    (
        ALL,
        &[("ENGINE_REQUIRE_DELTANET", "1")],
        Err("ENGINE_REQUIRE_DELTANET"),
    ),
    (
        ALL,
        &[("ENGINE_REQUIRE_LORA_GPU", "1")],
        Err("ENGINE_REQUIRE_LORA_GPU"),
    ),
    (
        PRODUCTION,
        &[("ENGINE_FORCE_MULTI_SUBMIT", "1")],
        Err("ENGINE_FORCE_MULTI_SUBMIT"),
    ),
    (
        PRODUCTION,
        &[("ENGINE_VALIDATE", "1")],
        Err("ENGINE_VALIDATE"),
    ),
    (
        PRODUCTION,
        &[("ENGINE_FFN_DIVERGENCE", "1")],
        Err("ENGINE_FFN_DIVERGENCE"),
    ),
    (PRODUCTION, &[], Ok(Mode::GpuSingleGraph)),
    (
        REFERENCE,
        &[("ENGINE_FORCE_MULTI_SUBMIT", "1")],
        Err("ENGINE_FORCE_MULTI_SUBMIT"),
    ),
    (
        REFERENCE,
        &[("ENGINE_PERDISPATCH", "full")],
        Err("ENGINE_PERDISPATCH"),
    ),
    (
        REFERENCE,
        &[("ENGINE_NOOP_DISPATCHES", "50")],
        Err("ENGINE_NOOP_DISPATCHES"),
    ),
    (
        REFERENCE,
        &[("ENGINE_FFN_DIVERGENCE", "1")],
        Err("ENGINE_FFN_DIVERGENCE"),
    ),
    (
        REFERENCE,
        &[("ENGINE_PROFILE_FORWARD", "1")],
        Err("ENGINE_PROFILE_FORWARD"),
    ),
    (REFERENCE, &[], Ok(Mode::CpuReference)),
    (
        VALIDATION,
        &[("ENGINE_FORCE_MULTI_SUBMIT", "1")],
        Ok(Mode::GpuValidationLegacy),
    ),
    (VALIDATION, &[], Ok(Mode::GpuValidationSingleGraph)),
    (
        SMOKE,
        &[("ENGINE_VALIDATE", "1"), ("ENGINE_FORCE_MULTI_SUBMIT", "1")],
        Ok(Mode::GpuValidationLegacy),
    ),
    (
        SMOKE,
        &[
            ("ENGINE_FFN_DIVERGENCE", "1"),
            ("ENGINE_FORCE_MULTI_SUBMIT", "1"),
        ],
        Ok(Mode::GpuValidationLegacy),
    ),
    (
        SMOKE,
        &[("ENGINE_VALIDATE", "1")],
        Ok(Mode::GpuValidationSingleGraph),
    ),
    (
        SMOKE,
        &[("ENGINE_FFN_DIVERGENCE", "1")],
        Ok(Mode::GpuValidationSingleGraph),
    ),
    (
        SMOKE,
        &[("ENGINE_FORCE_MULTI_SUBMIT", "1")],
        Ok(Mode::GpuLegacyMultiSubmit),
    ),
    (
        SMOKE,
        &[("ENGINE_PERDISPATCH", "full")],
        Ok(Mode::GpuSmokeFull),
    ),
    (SMOKE, &[], Ok(Mode::GpuSmokeSummary)),
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

fn expected(row: &[(&str, &str)], request: RequestKind) -> Result<Mode, &'static str> {
    let fits = |rule: &&Rule| {
        rule.0.contains(&request) && rule.1.iter().all(|wanted| row.contains(wanted))
    };
    TABLE.iter().find(fits).unwrap().2
}

#[test]
fn every_variable_is_in_the_table_of_combinations() {
    let names = |pairs: &mut dyn Iterator<Item = &'static str>| pairs.collect::<Vec<_>>();
    assert_eq!(
        names(&mut SWITCHES.iter().map(|(name, _)| *name)),
        names(&mut VARIABLES.iter().map(|(name, _)| *name))
    );
    assert_eq!(combinations().len(), 512 * 27);
}

#[test]
fn every_rule_of_the_table_decides_something() {
    let rows = combinations();
    for (at, rule) in TABLE.iter().enumerate() {
        let decides = |row: &Vec<(&str, &str)>, request: RequestKind| {
            let fits = |rule: &Rule| {
                rule.0.contains(&request) && rule.1.iter().all(|wanted| row.contains(wanted))
            };
            fits(rule) && !TABLE[..at].iter().any(fits)
        };
        let used = rows
            .iter()
            .any(|row| ALL.iter().any(|request| decides(row, *request)));
        assert!(used, "{rule:?}");
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
            if let Ok(profile) = &got {
                check_settings(&row, profile);
            }
            seen.extend(got.ok().map(|profile| profile.mode));
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), Mode::ALL);
}

/// What does not decide the mode arrives as it was set.
fn check_settings(row: &[(&str, &str)], profile: &ExecutionProfile) {
    let set = |name: &str, value: &str| row.contains(&(name, value));
    let switch = |name: &str| match (set(name, "1"), set(name, "0")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let fusions = FusionWishes {
        qkv: switch("ENGINE_FUSE_QKV"),
        ffn: switch("ENGINE_FUSE_FFN"),
    };
    let noops = if set("ENGINE_NOOP_DISPATCHES", "50") {
        50
    } else {
        0
    };
    let full = profile.timestamps == Timestamps::Full;
    assert_eq!(profile.fusions, fusions, "{row:?}");
    assert_eq!(profile.noop_dispatches, noops, "{row:?}");
    assert_eq!(
        profile.attention_ring,
        set("ENGINE_FA_DEBUG_RING", "1"),
        "{row:?}"
    );
    assert_eq!(full, set("ENGINE_PERDISPATCH", "full"), "{row:?}");
    assert_eq!(
        profile.profile_forward,
        set("ENGINE_PROFILE_FORWARD", "1"),
        "{row:?}"
    );
    assert_eq!(
        profile.ffn_divergence,
        set("ENGINE_FFN_DIVERGENCE", "1"),
        "{row:?}"
    );
    assert!(
        !profile.ffn_divergence || profile.mode.has_taps(),
        "{row:?}"
    );
}

#[test]
fn a_request_overrides_the_environment_under_either_name() {
    let outer = EnvSnapshot::from_vars([("CORTEX_PERDISPATCH", "full")]);
    let inner = outer.with("ENGINE_PERDISPATCH", "summary");
    let profile = ExecutionProfile::resolve(&inner, RequestKind::Smoke).unwrap();
    assert_eq!(profile.timestamps, Timestamps::Summary);
    assert_eq!(canonical_name("CORTEX_VALIDATE"), Some("ENGINE_VALIDATE"));
    assert_eq!(canonical_name("ENGINE_SURPRISE"), None);
}

#[test]
fn row_blocking_follows_the_device_unless_it_is_set() {
    let read = |value: &str, kind: &str| {
        row_blocking(
            &EnvSnapshot::from_vars([("ENGINE_ROW_BLOCKING", value)]),
            kind,
        )
    };
    assert_eq!(read("", "cpu"), Ok(RowBlocking::Wide));
    assert_eq!(read("", "discrete"), Ok(RowBlocking::Narrow));
    assert_eq!(read("narrow", "cpu"), Ok(RowBlocking::Narrow));
    assert_eq!(read("wide", "discrete"), Ok(RowBlocking::Wide));
    assert_eq!(
        read("huge", "cpu").unwrap_err().variable,
        "ENGINE_ROW_BLOCKING"
    );
}

#[test]
fn every_alias_is_read_as_its_variable() {
    for (canonical, alias) in VARIABLES {
        let values = SWITCHES
            .iter()
            .find(|(name, _)| name == canonical)
            .unwrap()
            .1;
        for value in values.iter().filter(|value| !value.is_empty()) {
            for request in RequestKind::ALL {
                let resolve = |name: &str| {
                    ExecutionProfile::resolve(&EnvSnapshot::from_vars([(name, *value)]), request)
                };
                assert_eq!(resolve(alias), resolve(canonical), "{alias}={value}");
            }
        }
    }
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
