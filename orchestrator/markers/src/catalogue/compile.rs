//! Catalogue files into [`Marker`]s, with every internal reference checked.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{FieldFile, MarkerFile, PlaceFile, TypeFile};
use super::{Field, FieldType, Form, Marker, Place, Witness};
use crate::Error;
use crate::predicate::KEYWORDS;

/// Fields of the envelope, and the running test, which no file may redefine.
const RESERVED: [&str; 4] = ["v", "run", "seq", "test"];

pub(super) fn marker(file: &str, source: &MarkerFile) -> Result<Marker, Error> {
    let fail = |reason: String| Error::CatalogueFile {
        file: file.to_owned(),
        reason,
    };
    check_name(&source.name).map_err(fail)?;
    check_shape(source).map_err(fail)?;
    let mut fields: Vec<Field> = source.fields.iter().map(field).collect();
    if source.enveloped {
        fields.extend([
            plain("v", FieldType::Int),
            plain("run", FieldType::Text),
            plain("seq", FieldType::Int),
        ]);
    }
    check_fields(&fields, source).map_err(fail)?;
    let forms = source
        .forms
        .iter()
        .map(|form| Form::compile(&form.text, place(form.place), &form.set, &fields))
        .collect::<Result<Vec<_>, _>>()
        .map_err(fail)?;
    Ok(Marker {
        name: source.name.clone(),
        title: source.title.clone(),
        owner: source.owner.clone(),
        tag: source.tag.clone(),
        enveloped: source.enveloped,
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
    let tag_ok = |tag: &String| match tag.strip_prefix('[') {
        Some(rest) => rest.len() > 1 && rest.find(']') == Some(rest.len() - 1),
        None => !tag.is_empty() && !tag.contains(' '),
    };
    if source.tag.as_ref().is_some_and(|tag| !tag_ok(tag)) {
        return Err("a tag is one word or one `[BRACKETED TEXT]`".to_owned());
    }
    if source.matches.is_empty() || source.not_match.is_empty() {
        return Err("needs at least one `match` and one `not_match` example".to_owned());
    }
    Ok(())
}

fn check_fields(fields: &[Field], source: &MarkerFile) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for field in fields {
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
    if let Some(field) = source
        .fields
        .iter()
        .find(|field| RESERVED.contains(&field.name.as_str()))
    {
        return Err(format!("field name `{}` is reserved", field.name));
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
        optional: source.optional,
        needs: source
            .needs
            .iter()
            .map(|(name, texts)| (name.clone(), texts.clone().into_vec()))
            .collect(),
        values: source.values.clone(),
        prefix: source.prefix.clone(),
        rename: source.rename.clone(),
    }
}

fn plain(name: &str, kind: FieldType) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        unit: None,
        optional: false,
        needs: BTreeMap::new(),
        values: Vec::new(),
        prefix: String::new(),
        rename: BTreeMap::new(),
    }
}

fn place(place: PlaceFile) -> Place {
    match place {
        PlaceFile::Line => Place::Line,
        PlaceFile::Start => Place::Start,
        PlaceFile::Anywhere => Place::Anywhere,
    }
}
