//! Sets the scene of a story on the fixture project, runs its scope once, and holds everything until
//! its standard input ends: somewhere for strangers' clients to meet the product.
//!
//! Standard output carries one JSON object: `greenloop`, `repo` and `config`.

#![expect(clippy::print_stdout, reason = "its output is its interface")]

use std::io::Read;

use acceptance::story::Product;
use acceptance::support::bin;
use acceptance::support::project::{Project, Scene};
use anyhow::Result;
use serde_json::json;

fn main() -> Result<()> {
    let work = tempfile::tempdir()?;
    // A socket path has at most 108 bytes.
    let runtime = tempfile::Builder::new().prefix("gl-").tempdir()?;
    let scene = Scene::set(Project::Fixture, work.path(), runtime.path())?;
    let product = Product::new(&scene);
    product.expect(6, &["run", &scene.brief.scope])?;
    let stage =
        json!({ "greenloop": bin("greenloop")?, "repo": scene.repo, "config": scene.config });
    println!("{stage}");
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    product.expect(0, &["stop"])?;
    Ok(())
}
