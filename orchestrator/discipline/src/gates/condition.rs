//! Whether the conditions (`cfg`) on changed code hold under what a gate builds with.
//!
//! rustc's dep-info says that a file was read, not that an item of it was kept. What is not known
//! here does not hold: the code then counts as not compiled.

use std::collections::BTreeSet;

use toml::Table;

use super::argv::CargoArgs;

/// What decides conditions in one gate's build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Folder of the gate's package, relative to the root; empty for the root itself. Features of
    /// other packages are not known.
    pub folder: String,
    /// Features that its package is built with, those they turn on included.
    pub features: BTreeSet<String>,
    /// What `rustc --print cfg` says of the target, such as `unix` or `target_os="linux"`.
    pub target: Vec<String>,
    /// `debug_assertions` of the profile.
    pub debug: bool,
}

impl Conditions {
    /// Conditions of a gate, from its arguments and its package's manifest.
    #[must_use]
    pub fn of(argv: &[String], folder: &str, manifest: &str, target: &[String]) -> Self {
        let cargo = CargoArgs::parse(argv).unwrap_or_default();
        let manifest: Table = manifest.parse().unwrap_or_default();
        Self {
            folder: folder.to_owned(),
            features: features(&cargo, &manifest),
            target: target.iter().map(|line| compact(line)).collect(),
            debug: !cargo.release,
        }
    }

    /// True when every condition of `cfgs` holds for code of this file.
    #[must_use]
    pub fn hold(&self, file: &str, cfgs: &[String]) -> bool {
        let own = super::coverage::is_below(file, &self.folder);
        cfgs.iter().all(|cfg| self.truth(cfg, own) == Some(true))
    }

    /// `None` when it is not known.
    fn truth(&self, cfg: &str, own: bool) -> Option<bool> {
        let inner = |name: &str| {
            let rest = cfg.strip_prefix(name)?.strip_prefix('(')?;
            rest.strip_suffix(')')
        };
        if let Some(negated) = inner("not") {
            // A library is built with `test` for its unit tests and without it for all others.
            return match negated {
                "test" => Some(true),
                other => self.truth(other, own).map(|truth| !truth),
            };
        }
        if let Some(parts) = inner("all") {
            let truths = self.truths(parts, own);
            return match truths.contains(&Some(false)) {
                true => Some(false),
                false => (!truths.contains(&None)).then_some(true),
            };
        }
        if let Some(parts) = inner("any") {
            let truths = self.truths(parts, own);
            return match truths.contains(&Some(true)) {
                true => Some(true),
                false => (!truths.contains(&None)).then_some(false),
            };
        }
        self.single(cfg, own)
    }

    fn truths(&self, parts: &str, own: bool) -> Vec<Option<bool>> {
        let parts = parts_of(parts).into_iter();
        parts.map(|part| self.truth(&part, own)).collect()
    }

    fn single(&self, cfg: &str, own: bool) -> Option<bool> {
        if let Some(feature) = cfg.strip_prefix("feature=") {
            return own.then(|| self.features.contains(feature.trim_matches('"')));
        }
        match cfg {
            "test" => Some(true),
            "debug_assertions" => Some(self.debug),
            "unix" | "windows" => Some(self.target.iter().any(|line| line == cfg)),
            _ => {
                let key = cfg.split('=').next().unwrap_or(cfg);
                let keyed = |line: &String| line.split('=').next() == Some(key);
                let known = self.target.iter().any(keyed);
                known.then(|| self.target.iter().any(|line| line == cfg))
            }
        }
    }
}

/// Parts between commas that no bracket encloses.
pub(crate) fn parts_of(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_i32;
    for c in text.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        match parts.last_mut() {
            Some(_) if c == ',' && depth == 0 => parts.push(String::new()),
            Some(last) => last.push(c),
            None => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn compact(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Default and named features, and every feature of the manifest that they turn on.
fn features(cargo: &CargoArgs, manifest: &Table) -> BTreeSet<String> {
    let declared = manifest.get("features").and_then(|value| value.as_table());
    let turned_on = |name: &str| -> Vec<String> {
        let list = declared
            .and_then(|table| table.get(name))
            .and_then(|value| value.as_array());
        let names = list
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_str());
        names.map(str::to_owned).collect()
    };
    let mut open: Vec<String> = cargo.features.iter().map(|name| local(name)).collect();
    if !cargo.no_default_features {
        open.push("default".to_owned());
    }
    if cargo.all_features {
        open.extend(declared.into_iter().flat_map(|table| table.keys().cloned()));
    }
    let mut on = BTreeSet::new();
    while let Some(name) = open.pop() {
        // `dep:x`, `x/y` and `x?/y` turn on something of another package.
        if !name.contains([':', '/']) && on.insert(name.clone()) {
            open.extend(turned_on(&name));
        }
    }
    on
}

/// `package/feature` on the command line names a feature of that package.
fn local(name: &str) -> String {
    name.rsplit_once('/')
        .map_or(name, |(_, feature)| feature)
        .to_owned()
}
