//! Playbook files into [`Playbooks`], with every reference and example checked.

use std::collections::BTreeMap;

use markers::{Catalogue, Predicate, check};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::classify::{self, Classification};
use crate::format::{self, ClassFile, DispositionFile, GroupingFile, RuleFile, ScopeFile};
use crate::{CLASS_FILES, ClassName, Error, FactRule, RunFacts, SCOPE_FILES};

/// Every failure class in order, and every proof scope.
#[derive(Debug, Clone)]
pub struct Playbooks {
    classes: Vec<Class>,
    scopes: Vec<ProofScope>,
    digest: String,
}

/// One failure class.
#[derive(Debug, Clone)]
pub struct Class {
    /// Its name.
    pub name: ClassName,
    /// Place in the order; the lowest class that holds wins.
    pub order: u32,
    /// What it means, one line.
    pub title: String,
    /// What to do about it.
    pub disposition: Disposition,
    pub(crate) rules: Vec<Rule>,
    pub(crate) exclusions: Vec<Exclusion>,
    pub(crate) notes: Vec<(Predicate, String)>,
    /// Prefix of test names → sub-class.
    pub(crate) families: Vec<(String, String)>,
    pub(crate) grouping: Option<GroupingFile>,
}

/// What the loop does about a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Disposition {
    /// Reproducible without the runner: fix and gate it here.
    FixLocally,
    /// The machine is at fault, never the engine: the exact remedy.
    FixEnvironment {
        /// What to do, word for word.
        remedy: String,
    },
    /// Evidence of the engine's behaviour: open hypotheses.
    Debug,
    /// Nothing ran that says anything.
    NoSignal,
}

#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) when: Vec<Predicate>,
    pub(crate) facts: FactRule,
    pub(crate) sub: Option<String>,
    pub(crate) remedy: Option<String>,
    pub(crate) ignore_passed_tests: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Exclusion {
    pub(crate) reason: String,
    pub(crate) reach: ExclusionReach,
    pub(crate) when: Option<Predicate>,
    pub(crate) facts: FactRule,
}

/// How far an exclusion reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExclusionReach {
    /// Hits that rest on the same line.
    Line,
    /// Every hit of the class in the run.
    Run,
}

/// What one workflow may prove. Scopes are a partition: one workflow, one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofScope {
    /// Name of the scope, `vulkan_kernel_correctness`.
    pub name: String,
    /// The one workflow that proves it.
    pub workflow: String,
    /// What it proves.
    pub proves: Vec<String>,
    /// Cells that a complete run has; empty where the project's policy says.
    pub cells: Vec<String>,
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

fn class(file: &str, source: &ClassFile, catalogue: &Catalogue) -> Result<Class, Error> {
    let predicate = |text: &String| predicate(file, text, catalogue);
    if source.matches.is_empty() || source.not_match.is_empty() {
        let reason = "needs at least one `match` and one `not_match` example".to_owned();
        return Err(Error::File {
            file: file.to_owned(),
            reason,
        });
    }
    if let Some(grouping) = &source.grouping {
        check_grouping(file, grouping, catalogue)?;
    }
    Ok(Class {
        name: ClassName::from(source.name.as_str()),
        order: source.order,
        title: source.title.clone(),
        disposition: disposition(source.disposition, &source.remedy),
        rules: source
            .rules
            .iter()
            .map(|source| rule(file, source, catalogue))
            .collect::<Result<_, _>>()?,
        exclusions: source
            .exclusions
            .iter()
            .map(|source| {
                Ok(Exclusion {
                    reason: source.reason.clone(),
                    reach: source.reach,
                    when: source.when.as_ref().map(predicate).transpose()?,
                    facts: source.facts.clone(),
                })
            })
            .collect::<Result<_, Error>>()?,
        notes: source
            .notes
            .iter()
            .map(|note| Ok((predicate(&note.when)?, note.text.clone())))
            .collect::<Result<_, Error>>()?,
        families: source
            .families
            .iter()
            .map(|family| (family.prefix.clone(), family.name.clone()))
            .collect(),
        grouping: source.grouping.clone(),
    })
}

fn rule(file: &str, source: &RuleFile, catalogue: &Catalogue) -> Result<Rule, Error> {
    if source.when.is_empty() && source.facts.is_empty() {
        let reason = format!(
            "rule `{}` has no condition; give it `when` or `facts`",
            source.id
        );
        return Err(Error::File {
            file: file.to_owned(),
            reason,
        });
    }
    Ok(Rule {
        id: source.id.clone(),
        when: source
            .when
            .iter()
            .map(|text| predicate(file, text, catalogue))
            .collect::<Result<_, _>>()?,
        facts: source.facts.clone(),
        sub: source.sub.clone(),
        remedy: source.remedy.clone(),
        ignore_passed_tests: source.ignore_passed_tests,
    })
}

pub(crate) fn disposition(kind: DispositionFile, remedy: &str) -> Disposition {
    match kind {
        DispositionFile::FixLocally => Disposition::FixLocally,
        DispositionFile::FixEnvironment => Disposition::FixEnvironment {
            remedy: remedy.to_owned(),
        },
        DispositionFile::Debug => Disposition::Debug,
        DispositionFile::NoSignal => Disposition::NoSignal,
    }
}

fn predicate(file: &str, text: &str, catalogue: &Catalogue) -> Result<Predicate, Error> {
    let fail = |source| Error::Predicate {
        file: file.to_owned(),
        predicate: text.to_owned(),
        source,
    };
    let predicate: Predicate = text.parse().map_err(fail)?;
    check(&predicate, catalogue).map_err(fail)?;
    Ok(predicate)
}

/// Checks the markers and fields a grouping names, by writing them as predicates.
fn check_grouping(file: &str, grouping: &GroupingFile, catalogue: &Catalogue) -> Result<(), Error> {
    let test = &grouping.test;
    let mut texts = vec![
        format!(
            "present {}{{{}={}}}",
            test.marker, test.outcome, test.failed
        ),
        format!(
            "present {}{{{}={}}}",
            test.marker, test.outcome, test.passed
        ),
        format!("{}.{} != none", test.marker, test.name),
        format!(
            "{}.{} != none",
            grouping.panic.marker, grouping.panic.thread
        ),
    ];
    texts.extend(
        grouping
            .panic
            .site
            .iter()
            .map(|field| format!("{}.{field} != none", grouping.panic.marker)),
    );
    let signature = &grouping.signature;
    let fields = signature.fields.iter().chain(&signature.order);
    texts.extend(fields.map(|field| format!("{}.{field} != none", signature.marker)));
    texts.extend(
        grouping
            .explained_by
            .iter()
            .map(|marker| format!("present {marker}")),
    );
    for text in texts {
        match predicate(file, &text, catalogue) {
            // A field with a closed set of values exists all the same.
            Ok(_)
            | Err(Error::Predicate {
                source: markers::Error::Type { .. },
                ..
            }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
    classify::classify(playbooks, catalogue, facts, &[cell])
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
