//! `Cargo.lock`, as far as downloads are concerned.

use serde::Deserialize;

/// One locked package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Locked {
    /// Name.
    pub(crate) name: String,
    /// Exact version.
    pub(crate) version: String,
    /// Where it comes from; none for members of the workspace.
    #[serde(default)]
    pub(crate) source: Option<String>,
}

#[derive(Deserialize)]
struct Lockfile {
    #[serde(default)]
    package: Vec<Locked>,
}

/// Packages that come from a registry. A file that cannot be read has none: cargo itself will say
/// what is wrong with it.
pub(crate) fn registry_packages(text: &str) -> Vec<Locked> {
    let parsed: Lockfile = toml::from_str(text).unwrap_or(Lockfile {
        package: Vec::new(),
    });
    let from_registry = |locked: &Locked| {
        let source = locked.source.as_deref().unwrap_or_default();
        (source.starts_with("registry+") || source.starts_with("sparse+"))
            && is_plain(&locked.name)
            && is_plain(&locked.version)
    };
    parsed.package.into_iter().filter(from_registry).collect()
}

/// The same, or `None` where a package comes from anywhere else, such as a git repository, or the file cannot be read.
pub(crate) fn registry_packages_alone(text: &str) -> Option<Vec<Locked>> {
    let parsed: Lockfile = toml::from_str(text).ok()?;
    let foreign = parsed
        .package
        .iter()
        .filter(|locked| locked.source.is_some());
    let packages = registry_packages(text);
    (packages.len() == foreign.count()).then_some(packages)
}

/// Names become parts of paths.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    !text.is_empty() && !text.starts_with('.') && text.chars().all(plain)
}

/// Path of a crate's entry below a registry index's `.cache` (cargo book, "Index files").
pub(crate) fn index_path(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.len() {
        1 => format!("1/{name}"),
        2 => format!("2/{name}"),
        3 => format!("3/{}/{name}", &name[..1]),
        _ => format!("{}/{}/{name}", &name[..2], &name[2..4]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_paths_follow_the_book() {
        let paths = ["a", "ab", "abc", "cargo", "SHA2"].map(index_path);
        assert_eq!(
            paths,
            ["1/a", "2/ab", "3/a/abc", "ca/rg/cargo", "sh/a2/sha2"]
        );
    }

    #[test]
    fn only_registry_packages_with_plain_names_count() {
        let text = "[[package]]\nname='mine'\nversion='1.0.0'\n[[package]]\nname='ash'\nversion='0.38.0'\nsource='registry+https://x'\n[[package]]\nname='../x'\nversion='1'\nsource='registry+https://x'\n";
        let names: Vec<String> = registry_packages(text)
            .into_iter()
            .map(|p| p.name)
            .collect();
        assert_eq!(names, ["ash"]);
        assert!(registry_packages("][").is_empty());
        assert_eq!(
            registry_packages_alone(text),
            None,
            "`../x` is no plain name"
        );
        let git = "[[package]]\nname='a'\nversion='1.0.0'\nsource='git+https://x'\n";
        assert_eq!(registry_packages_alone(git), None);
        assert_eq!(registry_packages_alone(""), Some(Vec::new()));
    }
}
