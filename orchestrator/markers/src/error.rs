//! The crate's error type.

/// What can be wrong with a catalogue, a number or a predicate. Bad log bytes are never an error:
/// the scanner reports them as [`crate::Diagnostic`]s.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is not of the form `-12.5e-3`.
    #[error(
        "`{0}` is no decimal number; write digits, a point and an optional exponent such as 1.5e-4"
    )]
    Number(String),
    /// A number has more digits or a larger exponent than any measured quantity has.
    #[error(
        "number of {0} characters is out of range; use at most 400 digits and exponents within ±1000"
    )]
    NumberRange(usize),
    /// A predicate does not follow the grammar.
    #[error("column {column}: expected {expected}, found {found}")]
    Syntax {
        /// 1-based column, counted in characters.
        column: usize,
        /// What would have been right there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A predicate names a marker that the catalogue lacks.
    #[error("no marker `{name}` in the catalogue{}", did_you_mean(nearest))]
    UnknownMarker {
        /// The name as written.
        name: String,
        /// The closest name there is.
        nearest: Option<String>,
    },
    /// A predicate names a field that its marker lacks.
    #[error("marker `{marker}` has no field `{field}`{}", did_you_mean(nearest))]
    UnknownField {
        /// The marker.
        marker: String,
        /// The field path as written.
        field: String,
        /// The closest name there is.
        nearest: Option<String>,
    },
    /// A predicate compares a field with something of another type or unit.
    #[error("`{marker}.{field}` {reason}")]
    Type {
        /// The marker.
        marker: String,
        /// The field path as written.
        field: String,
        /// What does not fit, and what would.
        reason: String,
    },
    /// A catalogue file is not valid TOML of the catalogue's form.
    #[error("catalogue file {file}: {reason}")]
    CatalogueFile {
        /// The file's name.
        file: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// Two catalogue files define one marker.
    #[error("marker `{name}` is defined by {first} and again by {second}; rename one")]
    DuplicateMarker {
        /// The marker.
        name: String,
        /// The file that came first.
        first: String,
        /// The file that came second.
        second: String,
    },
    /// An example of a catalogue file does not do what it says.
    #[error(
        "catalogue file {file}: {example} is wrong: {reason}; correct the example or the grammar"
    )]
    Example {
        /// The file's name.
        file: String,
        /// Which example, `match 2` or `not_match 1`.
        example: String,
        /// What the scanner read instead.
        reason: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// The name among `names` that a writer most likely meant.
pub(crate) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(written, name), name))
        .filter(|(score, _)| *score > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}
