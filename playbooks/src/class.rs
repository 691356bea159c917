//! One class and one scope, compiled from their files with every predicate checked.

use markers::{Catalogue, Predicate, check};
use serde::{Deserialize, Serialize};

use crate::format::{ClassFile, DispositionFile, FamilyFile, GroupingFile, RuleFile};
use crate::{ClassName, Error, Exhibit, FactRule};

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
    pub(crate) notes: Vec<Note>,
    /// Tests by the prefix of their names.
    pub(crate) families: Vec<Family>,
    pub(crate) grouping: Option<Grouping>,
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

/// How failing tests collapse to groups.
#[derive(Debug, Clone)]
pub(crate) struct Grouping {
    pub(crate) form: GroupingFile,
    /// What, seen in a test, explains its panic.
    pub(crate) explained_by: Vec<Predicate>,
}

/// Tests that share a prefix; failing alone they are a sub-class.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    pub(crate) prefix: String,
    pub(crate) name: String,
    pub(crate) exhibit: Option<Exhibit>,
}

/// Something worth saying of a run, whatever its class.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) when: Predicate,
    pub(crate) text: String,
    pub(crate) blames_reference: bool,
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

pub(crate) fn class(file: &str, source: &ClassFile, catalogue: &Catalogue) -> Result<Class, Error> {
    let predicate = |text: &String| predicate(file, text, catalogue);
    if source.matches.is_empty() || source.not_match.is_empty() {
        let reason = "needs at least one `match` and one `not_match` example".to_owned();
        return Err(Error::File {
            file: file.to_owned(),
            reason,
        });
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
            .map(|note| {
                Ok(Note {
                    when: predicate(&note.when)?,
                    text: note.text.clone(),
                    blames_reference: note.blames_reference,
                })
            })
            .collect::<Result<_, Error>>()?,
        families: source
            .families
            .iter()
            .map(|source| family(file, source, catalogue))
            .collect::<Result<_, _>>()?,
        grouping: source
            .grouping
            .as_ref()
            .map(|form| grouping(file, form, catalogue))
            .transpose()?,
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

fn family(file: &str, source: &FamilyFile, catalogue: &Catalogue) -> Result<Family, Error> {
    let exhibit = source.exhibit.as_ref();
    Ok(Family {
        prefix: source.prefix.clone(),
        name: source.name.clone(),
        exhibit: exhibit
            .map(|form| Exhibit::compile(file, &source.name, form, catalogue))
            .transpose()?,
    })
}

fn disposition(kind: DispositionFile, remedy: &str) -> Disposition {
    match kind {
        DispositionFile::FixLocally => Disposition::FixLocally,
        DispositionFile::FixEnvironment => Disposition::FixEnvironment {
            remedy: remedy.to_owned(),
        },
        DispositionFile::Debug => Disposition::Debug,
        DispositionFile::NoSignal => Disposition::NoSignal,
    }
}

pub(crate) fn predicate(file: &str, text: &str, catalogue: &Catalogue) -> Result<Predicate, Error> {
    let fail = |source: markers::Error| Error::Predicate {
        file: file.to_owned(),
        predicate: text.to_owned(),
        source: Box::new(source),
    };
    let predicate: Predicate = text.parse().map_err(fail)?;
    check(&predicate, catalogue).map_err(fail)?;
    Ok(predicate)
}

fn grouping(file: &str, form: &GroupingFile, catalogue: &Catalogue) -> Result<Grouping, Error> {
    check_grouping(file, form, catalogue)?;
    let explained = form
        .explained_by
        .iter()
        .map(|text| predicate(file, text, catalogue));
    Ok(Grouping {
        form: form.clone(),
        explained_by: explained.collect::<Result<_, _>>()?,
    })
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
    for text in texts {
        match predicate(file, &text, catalogue) {
            Ok(_) => {}
            // A field with a closed set of values exists all the same.
            Err(Error::Predicate { source, .. })
                if matches!(*source, markers::Error::Type { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
