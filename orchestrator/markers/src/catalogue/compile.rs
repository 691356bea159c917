//! Catalogue files into [`Marker`]s, with every internal reference checked.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{BlockFile, FieldFile, MarkerFile, PairsFile, PlaceFile, TypeFile};
use super::quick::Expected;
use super::{Block, Field, FieldType, Form, Marker, Opened, Pairs, Place, Witness};
use crate::Error;
use crate::predicate::KEYWORDS;

/// Fields of the envelope, and the running test, which no file may redefine.
const RESERVED: [&str; 4] = ["v", "run", "seq", "test"];
/// Most fields of a marker: their positions are bits of a number.
const MAX_FIELDS: usize = 120;
/// Shortest phrase that may stand anywhere; shorter ones make every line a candidate.
const MIN_PHRASE: usize = 3;

pub(super) fn marker(file: &str, source: &MarkerFile) -> Result<Marker, Error> {
    let fail = |reason: String| Error::CatalogueFile {
        file: file.to_owned(),
        reason,
    };
    check_name(&source.name).map_err(fail)?;
    check_shape(source).map_err(fail)?;
    let mut fields: Vec<Field> = source.fields.iter().map(field).collect();
    let has_pairs = source.tag.is_some() || source.forms.iter().any(|f| f.text.contains("{..}"));
    let envelope = has_pairs.then(|| {
        let first = fields.len();
        fields.extend([
            plain("v", FieldType::Int, !source.enveloped),
            plain("run", FieldType::Text, !source.enveloped),
            plain("seq", FieldType::Int, !source.enveloped),
        ]);
        [first, first + 1, first + 2]
    });
    check_fields(&fields, source).map_err(fail)?;
    let forms = source
        .forms
        .iter()
        .map(|form| Form::compile(&form.text, place(form.place), &form.set, &fields))
        .collect::<Result<Vec<_>, _>>()
        .map_err(fail)?;
    if let Some(short) = forms
        .iter()
        .find(|form| form.place == Place::Anywhere && form.anchor().len() < MIN_PHRASE)
    {
        return Err(fail(format!(
            "phrase `{}` is too short to stand anywhere; begin the form with at least {MIN_PHRASE} bytes of fixed text",
            short.anchor()
        )));
    }
    Ok(Marker {
        name: source.name.clone(),
        title: source.title.clone(),
        owner: source.owner.clone(),
        tag: source.tag.clone(),
        enveloped: source.enveloped,
        requirement: source.requirement.clone(),
        signatures: source.signatures.clone(),
        block: match source.block {
            BlockFile::Cell => Block::Cell,
            BlockFile::Test => Block::Test,
            BlockFile::Phase => Block::Phase,
            BlockFile::Path => Block::Path,
        },
        pairs: match source.pairs {
            PairsFile::Strict => Pairs::Strict,
            PairsFile::Loose => Pairs::Loose,
        },
        opens: opens(source, &fields).map_err(fail)?,
        order: order(&fields, envelope),
        required: required(&fields),
        envelope,
        fields,
        witnesses: source
            .witness
            .iter()
            .map(|w| Witness {
                marker: w.marker.clone(),
                fields: w.fields.clone(),
            })
            .collect(),
        unless: source.unless.clone(),
        forms,
        trailer: source.trailer,
        death: source
            .death
            .as_ref()
            .map(|death| (death.field.clone(), death.values.clone())),
    })
}

/// Emitters print the envelope first.
fn order(fields: &[Field], envelope: Option<[usize; 3]>) -> Vec<Expected> {
    let first = envelope.into_iter().flatten();
    let rest = (0..fields.len()).filter(|at| !envelope.is_some_and(|e| e.contains(at)));
    let expected = first.chain(rest).map(|at| (at, fields.get(at)));
    expected
        .filter_map(|(at, field)| Some(Expected::new(at, field?)))
        .collect()
}

fn required(fields: &[Field]) -> u128 {
    let needed = fields
        .iter()
        .enumerate()
        .filter(|(_, field)| !field.optional);
    needed.fold(0, |mask, (at, _)| mask | (1 << at))
}

fn opens(source: &MarkerFile, fields: &[Field]) -> Result<Vec<(String, Opened)>, String> {
    let opened = |(key, text): (&String, &String)| {
        let field = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let Some(name) = field else {
            return Ok((key.clone(), Opened::Text(text.clone())));
        };
        let at = fields.iter().position(|field| field.name == name);
        let at = at.ok_or_else(|| format!("`opens` names `{name}`, which is no field"))?;
        Ok((key.clone(), Opened::Field(at)))
    };
    source.opens.iter().map(opened).collect()
}

/// Checks that witnesses name markers and fields that exist.
pub(super) fn check_references(
    files: &[(&str, MarkerFile)],
    by_name: &BTreeMap<String, usize>,
) -> Result<(), Error> {
    for (file, source) in files {
        let fail = |reason: String| Error::CatalogueFile {
            file: (*file).to_owned(),
            reason,
        };
        for witness in &source.witness {
            let Some((_, other)) = by_name
                .get(&witness.marker)
                .and_then(|index| files.get(*index))
            else {
                return Err(fail(format!(
                    "witness `{}` is no marker of this catalogue",
                    witness.marker
                )));
            };
            let known = |name: &String| other.fields.iter().any(|field| field.name == *name);
            if let Some(name) = witness.fields.keys().find(|name| !known(name)) {
                return Err(fail(format!(
                    "witness field `{}.{name}` does not exist",
                    witness.marker
                )));
            }
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let snake = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    match snake {
        true if !KEYWORDS.contains(&name) => Ok(()),
        true => Err(format!(
            "`{name}` is a keyword of the predicate grammar; choose another name"
        )),
        false => Err(format!("name `{name}` is not snake case")),
    }
}

fn check_shape(source: &MarkerFile) -> Result<(), String> {
    if source.tag.is_none() == source.forms.is_empty() {
        return Err("needs either a `tag` or at least one `[[form]]`, not both".to_owned());
    }
    if source.enveloped && source.tag.is_none() {
        return Err(
            "only tagged lines carry `v run seq`; remove `enveloped` or give a tag".to_owned(),
        );
    }
    let bracketed = |part: &str| {
        part.strip_prefix('[')
            .is_some_and(|rest| !rest.is_empty() && !rest.contains(['[', ']']))
    };
    let tag_ok = |tag: &String| match tag.strip_suffix(']') {
        Some(parts) => parts.split("] ").all(bracketed),
        None => tag.starts_with(|c: char| c.is_ascii_alphabetic()) && !tag.contains([' ', '[']),
    };
    if source.tag.as_ref().is_some_and(|tag| !tag_ok(tag)) {
        return Err("a tag is one word or `[BRACKETED TEXT]`, once or several times".to_owned());
    }
    if source.matches.is_empty() || source.not_match.is_empty() {
        return Err("needs at least one `match` and one `not_match` example".to_owned());
    }
    Ok(())
}

fn check_fields(fields: &[Field], source: &MarkerFile) -> Result<(), String> {
    if let Some(field) = source
        .fields
        .iter()
        .find(|field| RESERVED.contains(&field.name.as_str()))
    {
        return Err(format!("field name `{}` is reserved", field.name));
    }
    if fields.len() > MAX_FIELDS {
        return Err(format!("more than {MAX_FIELDS} fields"));
    }
    let mut seen = BTreeSet::new();
    for field in fields {
        let mut parts = field.margin.iter().flatten();
        if let Some(missing) = parts.find(|name| !fields.iter().any(|f| f.name == **name)) {
            return Err(format!("`margin` names `{missing}`, which is no field"));
        }
        if !seen.insert(field.name.as_str()) {
            return Err(format!("field `{}` is defined twice", field.name));
        }
        if let Some(missing) = field
            .needs
            .keys()
            .find(|name| !fields.iter().any(|f| f.name == **name))
        {
            return Err(format!(
                "field `{}` needs `{missing}`, which is no field",
                field.name
            ));
        }
    }
    let death = source.death.as_ref().map(|death| death.field.as_str());
    match death.filter(|name| !seen.contains(name)) {
        Some(name) => Err(format!("death field `{name}` is no field")),
        None => Ok(()),
    }
}

fn field(source: &FieldFile) -> Field {
    Field {
        name: source.name.clone(),
        kind: match source.kind {
            TypeFile::Int => FieldType::Int,
            TypeFile::Decimal => FieldType::Decimal,
            TypeFile::Text => FieldType::Text,
            TypeFile::Bool => FieldType::Bool,
            TypeFile::IntList => FieldType::IntList,
            TypeFile::DecimalList => FieldType::DecimalList,
            TypeFile::TextList => FieldType::TextList,
            TypeFile::Buckets => FieldType::Buckets,
        },
        unit: source.unit,
        optional: source.optional || source.inherit || source.margin.is_some(),
        needs: source
            .needs
            .iter()
            .map(|(name, texts)| (name.clone(), texts.clone().into_vec()))
            .collect(),
        values: source.values.clone(),
        prefix: source.prefix.clone(),
        rename: source.rename.clone(),
        inherit: source.inherit,
        margin: source.margin.clone(),
        recovered_when: source.recovered_when.clone(),
    }
}

fn plain(name: &str, kind: FieldType, optional: bool) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        unit: None,
        optional,
        needs: BTreeMap::new(),
        values: Vec::new(),
        prefix: String::new(),
        rename: BTreeMap::new(),
        inherit: false,
        margin: None,
        recovered_when: None,
    }
}

fn place(place: PlaceFile) -> Place {
    match place {
        PlaceFile::Line => Place::Line,
        PlaceFile::Start => Place::Start,
        PlaceFile::Anywhere => Place::Anywhere,
    }
}
