//! Files of a recorded folder, within bounds.

use std::io::{Read, Write};

use discipline::model::WhyEmpty;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::folder::{Folder, Item};
use crate::forge::model::typed;
use crate::forge::{FetchHooks, ForgeError, Spool, SpoolWriter};

/// Largest description that is read.
const MAX_JSON: u64 = 64 << 20;
/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// A description, when the folder has it.
pub(super) fn object<T: DeserializeOwned>(
    folder: &Folder,
    name: &str,
) -> Result<Option<T>, ForgeError> {
    let Some(value) = value(folder, name)? else {
        return Ok(None);
    };
    typed(value)
        .map(Some)
        .map_err(|error| ForgeError::malformed(&format!("reading {name}"), error))
}

/// A listing as the API answers it: `{total_count, KEY: […]}`, several of those in a list (pages),
/// or a plain list.
pub(super) fn list<T: DeserializeOwned>(
    folder: &Folder,
    name: &str,
    key: &str,
) -> Result<Option<Vec<T>>, ForgeError> {
    let Some(value) = value(folder, name)? else {
        return Ok(None);
    };
    let doing = format!("reading {name}");
    let mut total = None;
    let mut rows = Vec::new();
    let pages = match value {
        Value::Array(pages) if pages.first().is_some_and(|page| page.get(key).is_some()) => pages,
        Value::Array(plain) => vec![serde_json::json!({ key: plain })],
        page => vec![page],
    };
    for mut page in pages {
        if let Some(count) = page.get("total_count").and_then(Value::as_u64) {
            total = total.max(Some(count));
        }
        match page.get_mut(key).map(Value::take) {
            Some(Value::Array(page)) => rows.extend(page),
            _ => return Err(ForgeError::malformed(&doing, format!("it has no `{key}`"))),
        }
    }
    if let Some(total) = total.filter(|total| *total != rows.len() as u64) {
        return Err(ForgeError::malformed(
            &doing,
            format!(
                "it counts {total} {key} and lists {}; record every page",
                rows.len()
            ),
        ));
    }
    let rows: Result<Vec<T>, String> = rows.into_iter().map(typed).collect();
    rows.map(Some)
        .map_err(|error| ForgeError::malformed(&doing, error))
}

fn value(folder: &Folder, name: &str) -> Result<Option<Value>, ForgeError> {
    let Some(item) = folder.file(name) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    let file = item.open()?;
    file.take(MAX_JSON + 1)
        .read_to_end(&mut bytes)
        .map_err(ForgeError::io(format!("read {name}")))?;
    let doing = format!("reading {name}");
    if bytes.len() as u64 > MAX_JSON {
        return Err(ForgeError::malformed(
            &doing,
            format!("more than {MAX_JSON} bytes"),
        ));
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| ForgeError::malformed(&doing, error.to_string()))
}

/// Why a log was absent when the run was recorded: one word in `jobs/ID.why`.
pub(super) fn why(places: &[Folder], name: &str) -> Result<Option<WhyEmpty>, ForgeError> {
    for place in places {
        let jobs = place.folder("jobs")?;
        let Some(item) = jobs.as_ref().and_then(|jobs| jobs.file(name)) else {
            continue;
        };
        let mut word = String::new();
        item.open()?
            .take(64)
            .read_to_string(&mut word)
            .map_err(ForgeError::io(format!("read {name}")))?;
        let parsed = serde_json::from_value(Value::String(word.trim().to_owned()));
        return parsed.map(Some).map_err(|_| {
            ForgeError::malformed(
                &format!("reading {name}"),
                "write never_started, in_progress, expired, missing, suppressed, zero_bytes or forbidden",
            )
        });
    }
    Ok(None)
}

/// A copy of the file, and the length it had at first.
pub(super) fn spool(item: &Item, hooks: &mut FetchHooks<'_>) -> Result<(Spool, u64), ForgeError> {
    let failed = || ForgeError::io(format!("read {}", item.name));
    let mut file = item.open()?;
    let stated = file.metadata().map_err(failed())?.len();
    let mut writer = SpoolWriter::new(hooks.spool)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        if hooks.cancel.is_cancelled() {
            return Err(ForgeError::Cancelled);
        }
        let count = file.read(&mut chunk).map_err(failed())?;
        if count == 0 {
            return Ok((writer.finish(), stated));
        }
        writer
            .write_all(chunk.get(..count).unwrap_or_default())
            .map_err(ForgeError::io("write a temporary file"))?;
        (hooks.on_bytes)(writer.bytes(), Some(stated));
    }
}
