//! Playbook files into [`Playbooks`], with every reference and example checked.

use std::collections::BTreeMap;

use markers::Catalogue;
use sha2::{Digest, Sha256};

use crate::class::class;

use crate::format::{self, ClassFile, ScopeFile};
use crate::{
    CLASS_FILES, Class, ClassName, Classification, Error, ProofScope, RunFacts, SCOPE_FILES,
    classify,
};

/// What stands before the name of a file that ships with the product, where its path is shown.
const SHIPPED: &str = "builtin:";

/// Every failure class in order, and every proof scope.
#[derive(Debug, Clone)]
pub struct Playbooks {
    classes: Vec<Class>,
    scopes: Vec<ProofScope>,
    claim_rule_files: Vec<(String, String)>,
    digest: String,
}

impl Playbooks {
    /// The playbooks that ship with the product.
    ///
    /// # Errors
    /// As [`Self::load`]; never happens with the builtin catalogue of a released build.
    pub fn builtin(catalogue: &Catalogue) -> Result<Self, Error> {
        Self::load(
            CLASS_FILES.iter().copied(),
            SCOPE_FILES.iter().copied(),
            catalogue,
        )
    }

    /// The builtin playbooks and a project's own classes.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn with_project<'a>(
        classes: impl IntoIterator<Item = (&'a str, &'a str)>,
        catalogue: &Catalogue,
    ) -> Result<Self, Error> {
        Self::load(
            CLASS_FILES.iter().copied().chain(classes),
            SCOPE_FILES.iter().copied(),
            catalogue,
        )
    }

    /// Playbooks of exactly these (file name, text) pairs.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Predicate`], [`Error::Duplicate`], [`Error::MissingClass`], and [`Error::Example`]
    /// naming the example that is not classified as it says.
    pub fn load<'a>(
        classes: impl IntoIterator<Item = (&'a str, &'a str)>,
        scopes: impl IntoIterator<Item = (&'a str, &'a str)>,
        catalogue: &Catalogue,
    ) -> Result<Self, Error> {
        let class_files: Vec<(&str, &str)> = classes.into_iter().collect();
        let scope_files: Vec<(&str, &str)> = scopes.into_iter().collect();
        let sources = class_files
            .iter()
            .map(|(file, text)| Ok((*file, format::parse::<ClassFile>(file, text)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        unique(
            sources
                .iter()
                .map(|(file, source)| (*file, format!("class `{}`", source.name))),
        )?;
        unique(
            sources
                .iter()
                .map(|(file, source)| (*file, format!("order {}", source.order))),
        )?;
        let mut classes = sources
            .iter()
            .map(|(file, source)| class(file, source, catalogue))
            .collect::<Result<Vec<_>, _>>()?;
        classes.sort_by_key(|class| class.order);
        let scopes = load_scopes(&scope_files)?;
        let digest = digest(&class_files, &scope_files);
        let playbooks = Self {
            classes,
            scopes,
            claim_rule_files: claim_rule_files(&class_files, &sources),
            digest,
        };
        for needed in [ClassName::PASSED, ClassName::UNCLASSIFIED] {
            playbooks
                .class(needed.as_str())
                .ok_or_else(|| Error::MissingClass(needed.to_string()))?;
        }
        for (file, source) in &sources {
            check_examples(&playbooks, catalogue, file, source)?;
        }
        Ok(playbooks)
    }

    /// `sha256:<hex>` over the names and texts of all files. Every classification names it.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Path and text of each class file with `[claim_rule.NAME]` tables, sorted by path; a shipped file's
    /// path begins with `builtin:`.
    #[must_use]
    pub fn claim_rule_files(&self) -> &[(String, String)] {
        &self.claim_rule_files
    }

    /// The class of this name.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == name)
    }

    /// Every class, first winner first.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// Every proof scope.
    #[must_use]
    pub fn scopes(&self) -> &[ProofScope] {
        &self.scopes
    }

    /// The scope of this name.
    #[must_use]
    pub fn scope(&self, name: &str) -> Option<&ProofScope> {
        self.scopes.iter().find(|scope| scope.name == name)
    }
}

fn claim_rule_files(
    texts: &[(&str, &str)],
    sources: &[(&str, ClassFile)],
) -> Vec<(String, String)> {
    let both = texts.iter().zip(sources);
    let ruling = both.filter(|(_, (_, source))| !source.claim_rules.is_empty());
    let mut files: Vec<(String, String)> = ruling
        .map(|((file, text), _)| {
            let shipped = CLASS_FILES.contains(&(*file, *text));
            let before = if shipped { SHIPPED } else { "" };
            (format!("{before}{file}"), (*text).to_owned())
        })
        .collect();
    files.sort();
    files
}

fn load_scopes(files: &[(&str, &str)]) -> Result<Vec<ProofScope>, Error> {
    let sources = files
        .iter()
        .map(|(file, text)| Ok((*file, format::parse::<ScopeFile>(file, text)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    unique(
        sources
            .iter()
            .map(|(file, source)| (*file, format!("scope `{}`", source.name))),
    )?;
    unique(
        sources
            .iter()
            .map(|(file, source)| (*file, format!("workflow `{}`", source.workflow))),
    )?;
    let scope = |source: ScopeFile| ProofScope {
        name: source.name,
        workflow: source.workflow,
        proves: source.proves,
        cells: source.cells,
    };
    Ok(sources
        .into_iter()
        .map(|(_, source)| scope(source))
        .collect())
}

fn unique<'a>(claims: impl Iterator<Item = (&'a str, String)>) -> Result<(), Error> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (file, what) in claims {
        if let Some(first) = seen.insert(what.clone(), file) {
            return Err(Error::Duplicate {
                what,
                first: first.to_owned(),
                second: file.to_owned(),
            });
        }
    }
    Ok(())
}

fn check_examples(
    playbooks: &Playbooks,
    catalogue: &Catalogue,
    file: &str,
    source: &ClassFile,
) -> Result<(), Error> {
    let fail = |example: String, reason| Error::Example {
        file: file.to_owned(),
        example,
        reason,
    };
    for (index, example) in source.matches.iter().enumerate() {
        let result = run_example(playbooks, catalogue, &example.facts, &example.log);
        if result.class != source.name.as_str() {
            let reason = format!("it is classified as {}", result.class);
            return Err(fail(format!("match {}", index + 1), reason));
        }
        if example.sub.is_some() && result.sub != example.sub {
            let reason = format!(
                "its sub-class is {:?}, {:?} expected",
                result.sub, example.sub
            );
            return Err(fail(format!("match {}", index + 1), reason));
        }
    }
    for (index, example) in source.not_match.iter().enumerate() {
        let result = run_example(playbooks, catalogue, &example.facts, &example.log);
        if result.class == source.name.as_str()
            || result
                .hits
                .iter()
                .any(|hit| hit.class == source.name.as_str())
        {
            return Err(fail(
                format!("not_match {}", index + 1),
                format!("a rule holds although {}", example.why),
            ));
        }
    }
    Ok(())
}

fn run_example(
    playbooks: &Playbooks,
    catalogue: &Catalogue,
    facts: &RunFacts,
    log: &str,
) -> Classification {
    let cell = markers::scan(catalogue, log.as_bytes()).into_cell("example");
    classify(playbooks, catalogue, facts, &[cell])
}

/// Digest of named texts that cannot confuse where one ends or which list it is of.
fn digest(classes: &[(&str, &str)], scopes: &[(&str, &str)]) -> String {
    let mut hasher = Sha256::new();
    for (list, files) in [("classes", classes), ("scopes", scopes)] {
        let mut sorted = files.to_vec();
        sorted.sort_unstable();
        hasher.update(list);
        hasher.update((sorted.len() as u64).to_be_bytes());
        for part in sorted.into_iter().flat_map(|(name, text)| [name, text]) {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    format!("sha256:{}", hex::encode(hasher.finalize()))
}
