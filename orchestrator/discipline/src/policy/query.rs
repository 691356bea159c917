//! Questions to a policy about a set of changed paths.

use attest::claim::Guard;
use globset::{Glob, GlobBuilder, GlobMatcher};

use super::{CellPolicy, Policy};
use crate::model::Environment;

/// A glob over paths from the root: `*` stays within one folder, `**` crosses folders.
pub(super) fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern).literal_separator(true).build()
}

/// Compiled globs. One that does not compile matches every path, so that it never opens a door.
#[derive(Debug)]
pub(crate) struct PathSet {
    matchers: Vec<GlobMatcher>,
    broken: bool,
}

impl PathSet {
    pub(crate) fn new(globs: &[String]) -> Self {
        let compiled: Vec<_> = globs.iter().map(|pattern| glob(pattern)).collect();
        Self {
            broken: compiled.iter().any(Result::is_err),
            matchers: compiled
                .into_iter()
                .flatten()
                .map(|glob| glob.compile_matcher())
                .collect(),
        }
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.broken || self.matchers.iter().any(|matcher| matcher.is_match(path))
    }
}

impl Policy {
    /// Names of the gates that a change of these paths requires, sorted.
    #[must_use]
    pub fn required_gates<S: AsRef<str>>(&self, changed: &[S]) -> Vec<String> {
        let required = self
            .gate
            .iter()
            .filter(|(_, gate)| reaches(&gate.when, changed));
        required.map(|(name, _)| name.clone()).collect()
    }

    /// Names of the scopes whose runs a change of these paths can reach, sorted.
    #[must_use]
    pub fn scopes_reached<S: AsRef<str>>(&self, changed: &[S]) -> Vec<String> {
        let reached = self
            .scope
            .iter()
            .filter(|(_, scope)| reaches(&scope.when, changed));
        reached.map(|(name, _)| name.clone()).collect()
    }

    /// Guards that a claim of `scope` which changes these paths has to state: the scope's own and those of every scope
    /// that the paths reach, by scope.
    #[must_use]
    pub fn demanded_guards<S: AsRef<str>>(&self, scope: &str, changed: &[S]) -> Vec<Guard> {
        let mut reached = self.scopes_reached(changed);
        reached.push(scope.to_owned());
        reached.sort();
        reached.dedup();
        let scopes = reached
            .into_iter()
            .filter_map(|name| self.scope.get_key_value(&name));
        let guards =
            scopes.flat_map(|(name, scope)| scope.guards.iter().map(move |text| (name, text)));
        guards
            .map(|(scope, predicate)| Guard {
                scope: scope.clone(),
                predicate: predicate.clone(),
            })
            .collect()
    }

    /// Cells of a scope: its matrix, or one cell named `default`. Empty for an unknown scope.
    #[must_use]
    pub fn effective_cells(&self, scope: &str) -> Vec<CellPolicy> {
        match self.scope.get(scope) {
            None => Vec::new(),
            Some(scope) if scope.cells.is_empty() => {
                vec![CellPolicy {
                    name: "default".into(),
                    env: Environment::new(),
                    job: None,
                }]
            }
            Some(scope) => scope.cells.clone(),
        }
    }

    /// True when the path never rides with code.
    #[must_use]
    pub fn is_protected(&self, path: &str) -> bool {
        self.protected_paths().contains(path)
    }

    /// The protected globs, compiled once for many paths. The files that the policy names itself
    /// (law, signers, the policy, the project's own markers and playbooks) are protected whether or not a
    /// glob says so.
    pub(crate) fn protected_paths(&self) -> PathSet {
        let mut globs = self.repo.protected.clone();
        globs.extend([
            "greenloop.toml".into(),
            globset::escape(&self.repo.law),
            globset::escape(&self.repo.signers),
        ]);
        let dirs = self.markers.dirs.iter().chain(&self.playbooks.dirs);
        globs.extend(dirs.map(|dir| format!("{}/**/*.toml", globset::escape(dir))));
        PathSet::new(&globs)
    }
}

fn reaches<S: AsRef<str>>(when: &[String], changed: &[S]) -> bool {
    let globs = PathSet::new(when);
    when.is_empty() || changed.iter().any(|path| globs.contains(path.as_ref()))
}
