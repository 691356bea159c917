//! The TOML forms of playbook files.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ExclusionReach;
use crate::{Error, FactRule, RunFacts};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassFile {
    pub(crate) name: String,
    /// Place in the order; the lowest class that holds wins.
    pub(crate) order: u32,
    pub(crate) title: String,
    pub(crate) disposition: DispositionFile,
    pub(crate) remedy: String,
    #[serde(default, rename = "rule")]
    pub(crate) rules: Vec<RuleFile>,
    #[serde(default, rename = "exclude")]
    pub(crate) exclusions: Vec<ExclusionFile>,
    #[serde(default, rename = "note")]
    pub(crate) notes: Vec<NoteFile>,
    #[serde(default, rename = "family")]
    pub(crate) families: Vec<FamilyFile>,
    pub(crate) grouping: Option<GroupingFile>,
    /// Rules over claims, by name. What they say is read where claims are judged.
    #[serde(default, rename = "claim_rule")]
    pub(crate) claim_rules: toml::Table,
    #[serde(rename = "match")]
    pub(crate) matches: Vec<ExampleFile>,
    pub(crate) not_match: Vec<NotExampleFile>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DispositionFile {
    FixLocally,
    FixEnvironment,
    Debug,
    NoSignal,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleFile {
    pub(crate) id: String,
    /// Predicates that must all hold in one cell.
    #[serde(default)]
    pub(crate) when: Vec<String>,
    #[serde(default)]
    pub(crate) facts: FactRule,
    /// Sub-class that the rule names.
    pub(crate) sub: Option<String>,
    /// Instead of the class's remedy.
    pub(crate) remedy: Option<String>,
    /// Rows of a test that passed prove nothing: the test provoked them.
    #[serde(default)]
    pub(crate) ignore_passed_tests: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExclusionFile {
    pub(crate) reason: String,
    pub(crate) reach: ExclusionReach,
    pub(crate) when: Option<String>,
    #[serde(default)]
    pub(crate) facts: FactRule,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoteFile {
    pub(crate) when: String,
    pub(crate) text: String,
    /// What holds says that the reference is at fault, and nothing about the device.
    #[serde(default)]
    pub(crate) blames_reference: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FamilyFile {
    pub(crate) prefix: String,
    pub(crate) name: String,
    /// What a fix of such a test cites besides its failure.
    pub(crate) exhibit: Option<ExhibitFile>,
}

/// Lines that stand in the log of every run of a family's tests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExhibitFile {
    pub(crate) marker: String,
    /// Field whose values tell the lines apart.
    pub(crate) field: String,
    /// One line of each.
    pub(crate) values: Vec<String>,
    /// Command that prints them without a run.
    pub(crate) show: String,
}

/// How failing tests collapse to groups of one signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupingFile {
    /// Marker, field and value of a failed test; the field of its name.
    pub(crate) test: TestFile,
    /// Marker and fields of a panic site, and the field with the thread's name.
    pub(crate) panic: PanicFile,
    /// Marker whose first row in a test is its signature.
    pub(crate) signature: SignatureFile,
    /// Predicates that, over the rows of one test, explain its panic.
    pub(crate) explained_by: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestFile {
    pub(crate) marker: String,
    pub(crate) name: String,
    pub(crate) outcome: String,
    pub(crate) failed: String,
    pub(crate) passed: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PanicFile {
    pub(crate) marker: String,
    pub(crate) site: Vec<String>,
    pub(crate) thread: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignatureFile {
    pub(crate) marker: String,
    pub(crate) fields: Vec<String>,
    pub(crate) order: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExampleFile {
    #[serde(default)]
    pub(crate) log: String,
    #[serde(default)]
    pub(crate) facts: RunFacts,
    /// Sub-class it must have.
    pub(crate) sub: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotExampleFile {
    #[serde(default)]
    pub(crate) log: String,
    #[serde(default)]
    pub(crate) facts: RunFacts,
    /// Why somebody might take it for the class.
    pub(crate) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeFile {
    pub(crate) name: String,
    pub(crate) workflow: String,
    pub(crate) proves: Vec<String>,
    #[serde(default)]
    pub(crate) cells: Vec<String>,
}

pub(crate) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| Error::File {
        file: file.to_owned(),
        reason: error.to_string().trim_end().replace('\n', " "),
    })
}
