//! Refs, as names with object ids.

use git2::{ErrorCode, Reference};

use crate::{GitReadError, GitReader};

impl GitReader {
    /// The object a ref points to; `None` when there is no such ref. Symbolic refs are followed.
    ///
    /// # Errors
    /// When the ref store cannot be read.
    pub fn read_ref(&self, name: &str) -> Result<Option<String>, GitReadError> {
        match self.repository.find_reference(name) {
            Ok(reference) => Ok(target(&reference)),
            Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Names and objects of all refs whose name begins with `prefix`, sorted by name.
    ///
    /// # Errors
    /// When the ref store cannot be read. Refs whose name is not UTF-8 are an error too: they
    /// could not be named in a report.
    pub fn list_refs(&self, prefix: &str) -> Result<Vec<(String, String)>, GitReadError> {
        let mut refs = Vec::new();
        for reference in self.repository.references()? {
            let reference = reference?;
            let bytes = reference.name_bytes();
            if !bytes.starts_with(prefix.as_bytes()) {
                continue;
            }
            let name = std::str::from_utf8(bytes).map_err(|_| GitReadError::Git {
                detail: format!("ref name `{}` is not utf-8", bytes.escape_ascii()),
            })?;
            if let Some(id) = target(&reference) {
                refs.push((name.to_owned(), id));
            }
        }
        refs.sort();
        Ok(refs)
    }
}

fn target(reference: &Reference<'_>) -> Option<String> {
    let resolved = reference.resolve().ok()?;
    resolved.target().map(|id| id.to_string())
}
