//! Which artifacts carry the harness's own output, as configuration names them.

/// `ARTIFACT/FILE`, both with at most one `*` or `{cell}`; `{cell}` binds the cell's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HarnessPattern {
    artifact: Part,
    file: Part,
}

/// A name with at most one open place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    before: String,
    after: Option<String>,
    binds: bool,
}

/// A pattern that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{pattern}` is no harness pattern: {why}; write `ARTIFACT/FILE`, such as `gpu-test-output-{{cell}}/*.log`"
)]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// Why not.
    pub why: &'static str,
}

impl HarnessPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It has no `/`, an empty side, or more than one open place on a side.
    pub fn parse(pattern: &str) -> Result<HarnessPattern, PatternError> {
        let wrong = |why| PatternError {
            pattern: pattern.to_owned(),
            why,
        };
        let (artifact, file) = pattern
            .split_once('/')
            .ok_or_else(|| wrong("it names no file"))?;
        if artifact.is_empty() || file.is_empty() {
            return Err(wrong("one side is empty"));
        }
        let part = |text| Part::parse(text).ok_or_else(|| wrong("a side has two open places"));
        Ok(HarnessPattern {
            artifact: part(artifact)?,
            file: part(file)?,
        })
    }

    /// Whether an artifact of that name is meant.
    #[must_use]
    pub fn takes(&self, artifact: &str) -> bool {
        self.artifact.open(artifact).is_some()
    }

    /// `None` when this is no harness output; else the cell that the names bind, if they bind one.
    #[must_use]
    pub fn cell<'a>(&self, artifact: &'a str, file: &'a str) -> Option<Option<&'a str>> {
        let (from_artifact, from_file) = (self.artifact.open(artifact)?, self.file.open(file)?);
        Some(match (self.artifact.binds, self.file.binds) {
            (true, _) => Some(from_artifact),
            (false, true) => Some(from_file),
            (false, false) => None,
        })
    }
}

impl Part {
    fn parse(text: &str) -> Option<Part> {
        let binds = text.contains("{cell}");
        let text = text.replace("{cell}", "*");
        let (before, after) = match text.split_once('*') {
            None => (text, None),
            Some((before, after)) => (before.to_owned(), Some(after.to_owned())),
        };
        let one = after.as_ref().is_none_or(|after| !after.contains('*'));
        one.then_some(Part {
            before,
            after,
            binds,
        })
    }

    /// What stands in the open place; the whole name is empty there when there is none.
    fn open<'a>(&self, name: &'a str) -> Option<&'a str> {
        match &self.after {
            None => (name == self.before).then_some(""),
            Some(after) => name
                .strip_prefix(&self.before)?
                .strip_suffix(after.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_bind_cells() {
        let pattern = HarnessPattern::parse("gpu-test-output-{cell}/*.log").unwrap();
        let cell = |artifact, file| pattern.cell(artifact, file);
        assert_eq!(
            cell("gpu-test-output-noop-50", "gpu_test_output.log"),
            Some(Some("noop-50"))
        );
        assert_eq!(cell("gpu-test-output-noop-50", "crash.dmp"), None);
        assert_eq!(cell("other", "a.log"), None);
        let plain = HarnessPattern::parse("cold/cold.log").unwrap();
        assert_eq!(plain.cell("cold", "cold.log"), Some(None));
        for bad in ["cold", "/a", "a/", "*-*/a", "a/{cell}*"] {
            assert!(HarnessPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
