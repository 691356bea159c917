//! State that a newer version wrote is left as it is.

use std::path::{Path, PathBuf};

use acceptance::story::Product;
use sha2::{Digest, Sha256};

use super::{complains, fixture, place, text};

/// What a newer build would have written, by the file it stands in.
fn newer_journal(old: &[u8]) -> Vec<u8> {
    let mut new = old.to_vec();
    new[16..20].copy_from_slice(&2u32.to_le_bytes());
    let digest = Sha256::digest(&new[..20]);
    new[20..32].copy_from_slice(&digest[..12]);
    new
}

fn newer_anchor(old: &[u8]) -> Vec<u8> {
    let old = String::from_utf8(old.to_vec()).unwrap();
    let (front, _) = old.rsplit_once("sum ").unwrap();
    let front = front.replace("head v1", "head v2");
    let sum = hex::encode(Sha256::digest(&front));
    format!("{front}sum {sum}\n").into_bytes()
}

#[test]
fn a_state_folder_of_a_newer_version_is_refused_and_left_alone() {
    type Renew = fn(&[u8]) -> Vec<u8>;
    let changes: [(&str, Renew); 2] = [("journal/log", newer_journal), ("HEAD", newer_anchor)];
    let place = place();
    let scene = fixture(&place);
    let product = Product::new(&scene);
    let status = product.call(&["status"]).unwrap().1;
    product.expect(0, &["stop"]).unwrap();
    let state = PathBuf::from(text(&status["state_dir"]));
    for (name, renew) in changes {
        let file = state.join(name);
        let old = std::fs::read(&file).unwrap();
        std::fs::write(&file, renew(&old)).unwrap();
        let before = contents(&state);
        for verb in [
            &["status"][..],
            &["state", "verify"],
            &["state", "accept-restore", "--reason", "it is in the way"],
        ] {
            let (code, said) = complains(&product, verb);
            assert_ne!(code, 0, "{name}, {verb:?}: {said}");
            assert!(
                said.contains("format 2, this version reads up to 1")
                    && said.contains("install a newer greenloop"),
                "{name}, {verb:?}: {said}"
            );
        }
        assert_eq!(contents(&state), before, "{name}: the state was touched");
        std::fs::write(&file, old).unwrap();
    }
    product.call(&["status"]).unwrap();
    product.expect(0, &["stop"]).unwrap();
}

/// Journal and anchor, which nothing may touch.
fn contents(state: &Path) -> Vec<Vec<u8>> {
    let files = ["journal/log", "HEAD"];
    files
        .map(|name| std::fs::read(state.join(name)).unwrap())
        .to_vec()
}
