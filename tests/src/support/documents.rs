//! Documents whose examples are run: fenced blocks with a directive in the comment before them.
//!
//! | directive | block |
//! |---|---|
//! | `<!-- part: NAME -->` | none: a part begins, which a test plays by its name |
//! | `<!-- file: PATH -->` | a file of the folder |
//! | `<!-- call: TOOL -->` | JSON arguments of an MCP tool |
//! | `<!-- answer -->` | JSON that the last answer must contain |
//! | `<!-- run -->` | `$ command` lines with what they print |
//!
//! A JSON text `$name` stands for a value: in an answer the first one binds it, everywhere else it
//! is put in its place. Commands see bound texts as variables, and their own last word becomes
//! `$printed`. `…` stands for anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::mcp::Mcp;

/// One example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line of its fence, 1-based.
    pub line: usize,
    /// Part that it stands in; empty before the first.
    pub part: String,
    /// First word of the directive.
    pub verb: String,
    /// The rest of the directive.
    pub object: String,
    /// What stands between the fences.
    pub text: String,
}

/// The examples of a document, in order. A fence without a directive is no example.
#[must_use]
pub fn blocks(document: &str) -> Vec<Block> {
    let (mut found, mut part, mut directive) = (Vec::new(), String::new(), None);
    let mut lines = document.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let comment = line
            .strip_prefix("<!-- ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(comment) = comment {
            let (verb, object) = comment.split_once(':').unwrap_or((comment, ""));
            match verb {
                "part" => object.trim().clone_into(&mut part),
                _ => directive = Some((verb.to_owned(), object.trim().to_owned())),
            }
        } else if line.starts_with("```") {
            let inner = lines.by_ref().map(|(_, line)| line);
            let text: Vec<&str> = inner.take_while(|line| *line != "```").collect();
            if let Some((verb, object)) = directive.take() {
                found.push(Block {
                    line: index + 1,
                    part: part.clone(),
                    verb,
                    object,
                    text: text.join("\n") + "\n",
                });
            }
        }
    }
    found
}

/// Follows a document to the letter.
pub struct Follower<'a> {
    folder: PathBuf,
    agent: Option<&'a Mcp>,
    shell: Shell,
    bound: BTreeMap<String, Value>,
    answer: Value,
}

impl<'a> Follower<'a> {
    /// Begins in `folder`, with exactly this environment.
    ///
    /// # Errors
    /// There is no bash.
    pub fn new(folder: &Path, environment: &[(OsString, OsString)]) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            agent: None,
            shell: Shell::start(folder, environment)?,
            bound: BTreeMap::new(),
            answer: Value::Null,
        })
    }

    /// With an agent that makes the calls.
    #[must_use]
    pub fn with(self, agent: &'a Mcp) -> Self {
        let agent = Some(agent);
        Self { agent, ..self }
    }

    /// Binds a name before the document does.
    pub fn bind(&mut self, name: &str, value: impl Into<Value>) {
        self.bound.insert(name.to_owned(), value.into());
    }

    /// What a name stands for.
    #[must_use]
    pub fn bound(&self, name: &str) -> Option<&Value> {
        self.bound.get(name)
    }

    /// Follows the examples of one part; says how many there were.
    ///
    /// # Errors
    /// The first example that does not do what it says, with its line.
    pub fn follow(&mut self, blocks: &[Block], part: &str) -> Result<usize> {
        let of_part: Vec<&Block> = blocks.iter().filter(|block| block.part == part).collect();
        for block in &of_part {
            self.step(block)
                .with_context(|| format!("part `{part}`, line {}", block.line))?;
        }
        Ok(of_part.len())
    }

    fn step(&mut self, block: &Block) -> Result<()> {
        match block.verb.as_str() {
            "file" => {
                let path = self.folder.join(&block.object);
                std::fs::create_dir_all(path.parent().context("no folder")?)?;
                Ok(std::fs::write(path, &block.text)?)
            }
            "call" => {
                let arguments = self.put_in(&serde_json::from_str(&block.text)?)?;
                let agent = self.agent.context("nobody makes calls here")?;
                self.answer = agent.call(&block.object, arguments)?;
                Ok(())
            }
            "answer" => {
                let wanted = serde_json::from_str(&block.text)?;
                let answer = std::mem::take(&mut self.answer);
                let contained = self.contains(&answer, &wanted, "answer");
                contained.with_context(|| answer.to_string())?;
                self.answer = answer;
                Ok(())
            }
            "run" => self.run(&block.text),
            other => bail!("nobody knows what `{other}` means"),
        }
    }

    /// The value with every bound name in it replaced.
    fn put_in(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::String(text) => match text.strip_prefix('$') {
                Some(name) => {
                    let bound = self.bound.get(name);
                    bound
                        .with_context(|| format!("`${name}` is not known yet"))?
                        .clone()
                }
                None => value.clone(),
            },
            Value::Array(items) => {
                let items = items.iter().map(|item| self.put_in(item));
                Value::Array(items.collect::<Result<_>>()?)
            }
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), self.put_in(field)?)));
                Value::Object(fields.collect::<Result<_>>()?)
            }
            other => other.clone(),
        })
    }

    /// Objects may have more fields and lists more items than the document shows.
    fn contains(&mut self, found: &Value, wanted: &Value, place: &str) -> Result<()> {
        match (found, wanted) {
            (found, Value::String(text)) if text.starts_with('$') => {
                let name = text.trim_start_matches('$').to_owned();
                let bound = self.bound.entry(name).or_insert_with(|| found.clone());
                ensure!(bound == found, "{place} is {found}, not {bound}");
            }
            (Value::String(found), Value::String(wanted)) => {
                ensure!(
                    resembles(found, wanted),
                    "{place} is {found:?}, not {wanted:?}"
                );
            }
            (Value::Object(found), Value::Object(wanted)) => {
                for (name, wanted) in wanted {
                    let place = format!("{place}.{name}");
                    let found = found.get(name).with_context(|| format!("no {place}"))?;
                    self.contains(found, wanted, &place)?;
                }
            }
            (Value::Array(found), Value::Array(wanted)) => {
                ensure!(
                    !wanted.is_empty() || found.is_empty(),
                    "{place} is not empty"
                );
                for (index, wanted) in wanted.iter().enumerate() {
                    let place = format!("{place}[{index}]");
                    let found = found.get(index).with_context(|| format!("no {place}"))?;
                    self.contains(found, wanted, &place)?;
                }
            }
            (found, wanted) => ensure!(found == wanted, "{place} is {found}, not {wanted}"),
        }
        Ok(())
    }

    /// Runs `$ command` lines, each of which must print what stands below it.
    ///
    /// # Errors
    /// The first command that fails, or prints something else.
    pub fn run(&mut self, text: &str) -> Result<()> {
        for (name, value) in &self.bound {
            if let Value::String(value) = value {
                self.shell.set(name, value)?;
            }
        }
        for (command, wanted) in commands(text) {
            let printed = self.shell.run(&command)?;
            let mut left = printed.lines();
            for line in wanted {
                let found = left.any(|printed| resembles(printed.trim_end(), line));
                ensure!(found, "`{command}` did not print `{line}`:\n{printed}");
            }
            let last = printed.split_whitespace().next_back().unwrap_or_default();
            self.bind("printed", last);
        }
        Ok(())
    }
}

/// Each command, with lines that go on after `> `, and what the document says that it prints.
fn commands(text: &str) -> Vec<(String, Vec<&str>)> {
    let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), Vec::new()));
        } else if let Some((command, wanted)) = commands.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) => *command = format!("{command}\n{more}"),
                None if line.trim() == "…" => {}
                None => wanted.push(line.trim_end()),
            }
        }
    }
    commands
}

/// Equal, but for what `…` stands for.
fn resembles(found: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('…');
    let Some(mut rest) = found.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = "";
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        last = part;
    }
    rest.is_empty() || (wanted.contains('…') && (last.is_empty() || rest.ends_with(last)))
}

/// One bash that keeps its folder and variables between commands; it ends when one of them fails.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

const END: &str = "--- the command has ended ---";

impl Shell {
    fn start(folder: &Path, environment: &[(OsString, OsString)]) -> Result<Self> {
        let mut child = Command::new("bash")
            .args([
                "-c",
                "exec 2>&1; set -euo pipefail; while IFS= read -r -d '' c; do eval \"$c\"; done",
            ])
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run bash")?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self {
            child,
            input,
            output,
        })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let quoted = value.replace('\'', "'\\''");
        Ok(write!(self.input, "export {name}='{quoted}'\0")?)
    }

    /// Runs it and answers with everything it printed.
    fn run(&mut self, command: &str) -> Result<String> {
        // Commands must not eat the ones that follow them.
        write!(
            self.input,
            "{{ {command}\n}} </dev/null; echo; echo '{END}'\0"
        )?;
        self.input.flush()?;
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                bail!("`{command}` failed:\n{printed}");
            }
            if line.trim_end() == END {
                return Ok(printed);
            }
            printed.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It waits for nothing but input.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(folder: &Path) -> Follower<'static> {
        let path = std::env::var_os("PATH").unwrap();
        Follower::new(folder, &[("PATH".into(), path)]).unwrap()
    }

    #[test]
    fn commands_keep_folder_and_variables_and_must_print_what_stands_there() {
        let folder = tempfile::tempdir().unwrap();
        let document = "\
<!-- part: one -->
```text
no example
```
<!-- file: a/b.txt -->
```
words
```
<!-- run -->
```console
$ cd a
$ cat b.txt; x=1
wo…
$ for i in 1 2
> do echo $i
> done
1
…
$ echo \"$x $name\"
1 it's
```
";
        let blocks = blocks(document);
        let mut follower = follower(folder.path());
        follower.bind("name", "it's");
        assert_eq!(follower.follow(&blocks, "one").unwrap(), 2);
        assert_eq!(follower.bound("printed").unwrap(), "it's");
        for (text, why) in [("$ echo a\nb\n", "did not print"), ("$ false\n", "failed")] {
            let said = follower.run(text).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn answers_bind_compare_and_may_hold_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut follower = follower(folder.path());
        let found =
            serde_json::json!({ "id": "R1", "rows": [{ "n": 3, "more": true }, 4], "none": [] });
        let mut check = |wanted: &str| {
            let wanted = serde_json::from_str(wanted).unwrap();
            follower.contains(&found, &wanted, "answer").is_ok()
        };
        assert!(check(
            r#"{ "id": "$run", "rows": [{ "n": "$n" }], "none": [] }"#
        ));
        assert!(check(r#"{ "id": "R…" }"#) && check(r#"{ "id": "$run" }"#));
        assert!(!check(r#"{ "id": "R2" }"#) && !check(r#"{ "other": 1 }"#));
        assert!(!check(r#"{ "rows": [] }"#) && !check(r#"{ "rows": [{ "n": "$run" }] }"#));
        let put = follower
            .put_in(&serde_json::json!(["$n", "$run", "x"]))
            .unwrap();
        assert_eq!(put, serde_json::json!([3, "R1", "x"]));
        assert!(follower.put_in(&serde_json::json!("$unknown")).is_err());
    }

    #[test]
    fn dots_stand_for_anything() {
        for (found, wanted) in [
            ("abc", "abc"),
            ("abc", "a…"),
            ("abc", "…c"),
            ("abc", "a…c"),
            ("", "…"),
        ] {
            assert!(resembles(found, wanted), "{found} {wanted}");
        }
        for (found, wanted) in [("abc", "ab"), ("abc", "a…b"), ("abc", "b…"), ("abc", "…d…")]
        {
            assert!(!resembles(found, wanted), "{found} {wanted}");
        }
    }
}
