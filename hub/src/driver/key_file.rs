//! Files of 32 secret bytes, as hex: readable by this user alone, durable before they are used.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use yingxue_sync_core::id::Hash;

use super::StartError;

/// Reads the secret of a key file, or makes a new one.
pub(super) fn load_or_create(path: &Path) -> Result<[u8; 32], StartError> {
    let failed = |reason: String| StartError::Key { path: path.display().to_string(), reason };
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse::<Hash>().map(|key| key.0).map_err(|e| failed(e.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|e| failed(e.to_string()))?;
            create(path, &secret).map_err(|e| failed(e.to_string()))?;
            Ok(secret)
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

fn create(path: &Path, secret: &[u8; 32]) -> io::Result<()> {
    let half_made = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&half_made)?;
    writeln!(file, "{}", Hash(*secret))?;
    file.sync_all()?;
    fs::rename(&half_made, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_for_this_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.key");
        let secret = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), secret);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_an_error_and_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.key");
        fs::write(&path, "abc").unwrap();
        assert!(load_or_create(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"abc");
    }
}
