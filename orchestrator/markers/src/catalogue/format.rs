//! The TOML form of a catalogue file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Error, Unit};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkerFile {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) owner: String,
    /// The requirement of the specification that the kind answers, `M1`.
    #[serde(default)]
    pub(super) requirement: Option<String>,
    /// Ids of the host signatures that the kind shows.
    #[serde(default)]
    pub(super) signatures: Vec<String>,
    /// Literal tag at the start of a message, followed by `k=v` pairs.
    pub(super) tag: Option<String>,
    /// How strictly pairs are read.
    #[serde(default)]
    pub(super) pairs: PairsFile,
    /// What one row speaks about.
    #[serde(default)]
    pub(super) block: BlockFile,
    /// Block keys that a row sets for the rows after it: a text, or `{field}`.
    #[serde(default)]
    pub(super) opens: BTreeMap<String, String>,
    /// Whether every line carries `v run seq`.
    #[serde(default)]
    pub(super) enveloped: bool,
    /// Whether a row ends its emitter's telemetry.
    #[serde(default)]
    pub(super) trailer: bool,
    /// Values of one field that say that a process died.
    pub(super) death: Option<DeathFile>,
    /// Texts that make a line of this form something else.
    #[serde(default)]
    pub(super) unless: Vec<String>,
    #[serde(default)]
    pub(super) witness: Vec<WitnessFile>,
    #[serde(default, rename = "form")]
    pub(super) forms: Vec<FormFile>,
    #[serde(default, rename = "field")]
    pub(super) fields: Vec<FieldFile>,
    #[serde(rename = "match")]
    pub(super) matches: Vec<MatchFile>,
    pub(super) not_match: Vec<NotMatchFile>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PairsFile {
    #[default]
    Strict,
    Loose,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BlockFile {
    #[default]
    Cell,
    Test,
    Phase,
    Path,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeathFile {
    pub(super) field: String,
    pub(super) values: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WitnessFile {
    pub(super) marker: String,
    #[serde(default)]
    pub(super) fields: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FormFile {
    /// Literal text with `{field}` captures; `{..}` stands for pairs, `{{` and `}}` are braces.
    pub(super) text: String,
    pub(super) place: PlaceFile,
    /// Fields that this form fixes.
    #[serde(default)]
    pub(super) set: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PlaceFile {
    Line,
    Start,
    Anywhere,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldFile {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: TypeFile,
    pub(super) unit: Option<Unit>,
    #[serde(default)]
    pub(super) optional: bool,
    #[serde(default)]
    pub(super) needs: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    pub(super) values: Vec<String>,
    /// What its texts begin with.
    #[serde(default)]
    pub(super) prefix: String,
    #[serde(default)]
    pub(super) rename: BTreeMap<String, String>,
    /// A line that leaves the field out takes it from the block it stands in.
    #[serde(default)]
    pub(super) inherit: bool,
    /// `[value, limit]`: by how many percent the one exceeds the other.
    pub(super) margin: Option<[String; 2]>,
    /// The predicate that says that the field's side equals its reference.
    pub(super) recovered_when: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TypeFile {
    Int,
    Decimal,
    Text,
    Bool,
    IntList,
    DecimalList,
    TextList,
    Buckets,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatchFile {
    /// One or more log lines.
    pub(super) log: String,
    /// Fields of the first row, as text.
    #[serde(default)]
    pub(super) fields: BTreeMap<String, String>,
    /// Rows that the log must yield.
    #[serde(default = "one")]
    pub(super) rows: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NotMatchFile {
    pub(super) log: String,
    /// Why somebody might take it for the marker.
    pub(super) why: String,
}

fn one() -> usize {
    1
}

pub(super) fn parse(file: &str, text: &str) -> Result<MarkerFile, Error> {
    toml::from_str(text).map_err(|error| Error::CatalogueFile {
        file: file.to_owned(),
        reason: error.to_string().trim_end().replace('\n', " "),
    })
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}
