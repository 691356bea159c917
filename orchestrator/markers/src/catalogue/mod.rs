//! The catalogue: every kind of marker, compiled and with its examples checked.

mod builtin;
mod compile;
mod examples;
mod fields;
mod format;
mod index;
mod quick;
mod slot;
mod template;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

pub use builtin::BUILTIN_FILES;
pub(crate) use fields::parse_pairs;
pub(crate) use index::{Anchor, FormRef, Index, first_word};
pub(crate) use slot::{Number, Scratch, Slot, non_finite, small};
pub(crate) use template::{Form, Place};

use crate::error::nearest;
use crate::{Error, Unit};

/// A closed set of marker kinds with one digest.
#[derive(Debug, Clone)]
pub struct Catalogue {
    markers: Vec<Marker>,
    by_name: BTreeMap<String, usize>,
    digest: String,
    files: BTreeMap<String, String>,
    pub(crate) index: Index,
}

/// One kind of marker.
#[derive(Debug, Clone)]
pub struct Marker {
    /// Catalogue name in snake case, as predicates use it.
    pub name: String,
    /// What a row of it says, one line.
    pub title: String,
    /// Who prints it: `engine`, `cargo`, `forge`, …
    pub owner: String,
    /// The literal tag that starts its lines, if it has one.
    pub tag: Option<String>,
    /// Whether its lines carry `v run seq` and count towards completeness.
    pub enveloped: bool,
    /// Its fields, the envelope's included.
    pub fields: Vec<Field>,
    /// Rows that prove that a cell could have shown this marker. Empty: every complete cell could.
    pub witnesses: Vec<Witness>,
    /// The requirement of the specification that it answers, `M1`.
    pub requirement: Option<String>,
    /// Ids of the host signatures that it shows, `nvidia.xid`.
    pub signatures: Vec<String>,
    /// What one row speaks about.
    pub block: Block,
    /// How strictly its pairs are read.
    pub(crate) pairs: Pairs,
    /// Block keys that a row sets for the rows after it: a text, or a field by position.
    pub(crate) opens: Vec<(String, Opened)>,
    /// Keys in the order in which emitters print them.
    pub(crate) order: Vec<quick::Expected>,
    /// Positions of the fields that every line must give.
    pub(crate) required: u128,
    /// Positions of `v`, `run` and `seq`, for lines of pairs.
    pub(crate) envelope: Option<[usize; 3]>,
    /// A line that holds one of these is another thing that only looks alike.
    pub(crate) unless: Vec<String>,
    pub(crate) forms: Vec<Form>,
    /// Whether a row ends its emitter's telemetry.
    pub(crate) trailer: bool,
    /// The field and its values that say that a process died, which explains a trailer that never came.
    pub(crate) death: Option<(String, Vec<String>)>,
}

/// One typed field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name, as it stands in the line.
    pub name: String,
    /// Type.
    pub kind: FieldType,
    /// Unit of its numbers.
    pub unit: Option<Unit>,
    /// Whether a line may leave it out.
    pub optional: bool,
    /// What other fields of the row must say for this one to be evidence: `ts` → `["full"]`.
    pub needs: BTreeMap<String, Vec<String>>,
    /// The texts it may hold; empty: any.
    pub values: Vec<String>,
    /// What its texts begin with.
    pub(crate) prefix: String,
    /// Texts that are read as another: `FAILED` → `failed`.
    pub(crate) rename: BTreeMap<String, String>,
    /// Whether a line that leaves it out takes it from the block it stands in.
    pub(crate) inherit: bool,
    /// Value and limit, by name, of which it is the margin in percent.
    pub(crate) margin: Option<[String; 2]>,
    /// The predicate that says that the field's side equals its reference: a value that merely moved
    /// away from zero has not recovered.
    pub recovered_when: Option<String>,
}

/// What one row of a marker speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// The whole cell.
    Cell,
    /// The test that was running.
    Test,
    /// One phase of one path.
    Phase,
    /// One path.
    Path,
}

/// How strictly pairs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// `k=v` and nothing else.
    Strict,
    /// Also `k:v`, commas after values, and words between pairs.
    Loose,
}

/// What a row sets a block key to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opened {
    Text(String),
    /// A field by position.
    Field(usize),
}

/// Type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// A whole number.
    Int,
    /// A decimal number, or `nan`, `inf`, `-inf`.
    Decimal,
    /// Text.
    Text,
    /// `true` or `false`.
    Bool,
    /// `[1,2]`.
    IntList,
    /// `[0.5,1]`.
    DecimalList,
    /// `[a,b]`.
    TextList,
    /// `[name:count:us,…]`, `[]` or `disabled(…)`.
    Buckets,
}

/// A row that proves that the emitter of a marker was at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Marker of the row.
    pub marker: String,
    /// What the row must say.
    pub fields: BTreeMap<String, String>,
}

impl Catalogue {
    /// The catalogue that ships with the product.
    ///
    /// # Errors
    /// The first file that is malformed or has a wrong example; never happens in a released build.
    pub fn builtin() -> Result<Self, Error> {
        Self::load(BUILTIN_FILES.iter().copied())
    }

    /// The builtin catalogue and a project's own files.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn with_project<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        Self::load(BUILTIN_FILES.iter().copied().chain(files))
    }

    /// A catalogue of exactly these (file name, text) pairs.
    ///
    /// # Errors
    /// [`Error::CatalogueFile`] for a file that is malformed, [`Error::DuplicateMarker`], and [`Error::Example`]
    /// naming the example that does not do what it says.
    pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let files: Vec<(&str, &str)> = files.into_iter().collect();
        let mut parsed = Vec::with_capacity(files.len());
        let mut by_name = BTreeMap::new();
        for (file, text) in &files {
            let source = format::parse(file, text)?;
            if let Some(first) = by_name.insert(source.name.clone(), parsed.len()) {
                let first = files.get(first).map_or("", |(name, _)| name).to_owned();
                return Err(Error::DuplicateMarker {
                    name: source.name,
                    first,
                    second: (*file).to_owned(),
                });
            }
            parsed.push((*file, source));
        }
        let markers = parsed
            .iter()
            .map(|(file, source)| compile::marker(file, source))
            .collect::<Result<Vec<_>, _>>()?;
        compile::check_references(&parsed, &by_name)?;
        let catalogue = Self {
            index: Index::build(&markers)?,
            markers,
            by_name,
            digest: digest(&files),
            files: parsed
                .iter()
                .zip(&files)
                .map(|((_, source), (_, text))| (source.name.clone(), digest(&[("", text)])))
                .collect(),
        };
        for (file, source) in &parsed {
            examples::check(&catalogue, file, source)?;
        }
        Ok(catalogue)
    }

    /// `sha256:<hex>` over the names and texts of all files, in order of names. Every observation rests on it.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Digest of each marker's file, by marker: what [`crate::Scan::under`] compares.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }

    /// The marker of this name.
    #[must_use]
    pub fn marker(&self, name: &str) -> Option<&Marker> {
        self.markers.get(*self.by_name.get(name)?)
    }

    /// Every marker, in file order.
    #[must_use]
    pub fn markers(&self) -> &[Marker] {
        &self.markers
    }

    /// The marker of this name, or an error that names the nearest.
    ///
    /// # Errors
    /// [`Error::UnknownMarker`].
    pub fn require(&self, name: &str) -> Result<&Marker, Error> {
        self.marker(name).ok_or_else(|| Error::UnknownMarker {
            name: name.to_owned(),
            nearest: nearest(name, self.by_name.keys().map(String::as_str)),
        })
    }
}

impl FieldType {
    /// Whether its values are numbers.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Decimal)
    }
}

impl Marker {
    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// Digest of named texts that does not depend on their order and cannot confuse where one ends.
fn digest(files: &[(&str, &str)]) -> String {
    let mut sorted = files.to_vec();
    sorted.sort_unstable();
    let mut hasher = Sha256::new();
    for (name, text) in sorted {
        for part in [name, text] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    format!("sha256:{}", hex::encode(hasher.finalize()))
}
