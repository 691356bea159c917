//! The daemon's own signing keys, made once per state folder.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use attest::sshsig::SigningKey;

use crate::ServiceError;

/// One key per namespace: no key signs in two.
pub(crate) struct Keys {
    /// Signs gate results.
    pub(crate) gate: SigningKey,
    /// Signs envelopes and verdicts.
    pub(crate) verdict: SigningKey,
}

impl Keys {
    /// Reads the keys below `folder`, making those that are missing.
    pub(crate) fn open(folder: &Path) -> Result<Keys, ServiceError> {
        fs::create_dir_all(folder).map_err(ServiceError::io(format!(
            "cannot create {}",
            folder.display()
        )))?;
        Ok(Keys {
            gate: open_key(&folder.join("gate"))?,
            verdict: open_key(&folder.join("verdict"))?,
        })
    }
}

fn open_key(path: &Path) -> Result<SigningKey, ServiceError> {
    match fs::read_to_string(path) {
        Ok(text) => return Ok(SigningKey::from_openssh(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(ServiceError::io(format!("cannot read {}", path.display()))(
                source,
            ));
        }
    }
    let key = SigningKey::from_seed(&random()?, "greenloop daemon");
    let text = key.to_openssh()?;
    let write = || {
        let half = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&half)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, path)?;
        fs::write(path.with_extension("pub"), key.public_openssh() + "\n")
    };
    write().map_err(ServiceError::io(format!("cannot write {}", path.display())))?;
    Ok(key)
}

/// 32 bytes of the kernel's randomness.
pub(crate) fn random() -> Result<[u8; 32], ServiceError> {
    use std::io::Read;
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(ServiceError::io("cannot read random bytes"))?;
    Ok(bytes)
}
