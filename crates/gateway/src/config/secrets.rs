//! Where references to secrets lead: the environment, files, credentials of the service manager.
//! The only place, beside the loader's list of variables, that reads the environment.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sms_core::options::SecretSource;

/// The machine itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl SecretSource for Machine {
    fn env(&self, name: &str) -> Option<String> {
        variable(name)
    }

    fn file(&self, path: &str) -> io::Result<String> {
        read_capped(Path::new(path))
    }

    fn credential(&self, name: &str) -> io::Result<String> {
        // A name, not a path: `../` must not lead out of the directory.
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let dir = variable("CREDENTIALS_DIRECTORY").ok_or(io::ErrorKind::NotFound)?;
        read_capped(&Path::new(&dir).join(name))
    }
}

/// Stand-ins for every secret, for commands that look at a configuration without being able to use
/// it (`routes explain` on a laptop). Never serve with these.
#[derive(Clone, Copy, Debug, Default)]
pub struct Placeholders;

impl SecretSource for Placeholders {
    fn env(&self, name: &str) -> Option<String> {
        Some(format!("placeholder-for-variable-{name}"))
    }

    fn file(&self, path: &str) -> io::Result<String> {
        Ok(format!("placeholder-for-the-file-{path}"))
    }

    fn credential(&self, name: &str) -> io::Result<String> {
        Ok(format!("placeholder-for-credential-{name}"))
    }
}

/// The process's variables for the loader; those that are no Unicode are left out.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?))).collect()
}

#[expect(clippy::disallowed_methods, reason = "config is the part that reads the environment")]
fn variable(name: impl AsRef<OsStr>) -> Option<String> {
    std::env::var(name).ok()
}

fn read_capped(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// A key or certificate fits; a log file given by mistake does not.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_name_and_not_a_path() {
        for name in ["", "../etc/passwd", "a/b", ".hidden"] {
            assert_eq!(Machine.credential(name).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_file_is_read_up_to_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "k\n").unwrap();
        assert_eq!(Machine.file(path.to_str().unwrap()).unwrap(), "k\n");
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert_eq!(Machine.file(path.to_str().unwrap()).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn placeholders_can_stand_for_keys() {
        assert!(Placeholders.env("A").unwrap().len() >= 20);
    }
}
