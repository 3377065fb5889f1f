//! `[store]`: where messages are kept, and the key that seals them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sms_core::options::SecretSource as _;
use sms_core::store::{PurgePolicy, Store};
use sms_core::{Clock, Secret};
use sms_store::{SqliteStore, StoreKey};

use crate::config::{Machine, schema};

/// Where the key is looked for when the configuration names none.
const KEY_VARIABLE: &str = "GATEWAY_STORE_KEY";

/// `[store]`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keeping {
    url: Secret,
    key: Option<Secret>,
    pub(crate) policy: PurgePolicy,
}

impl Keeping {
    pub(super) fn of(store: schema::Store) -> Self {
        let schema::Store { keep_messages, keep_numbers, key, url } = store;
        let policy =
            PurgePolicy { keep_messages: keep_messages.as_duration(), keep_numbers: keep_numbers.as_duration() };
        Self { url, key, policy }
    }
}

/// Opens the store; blocks on the disk.
///
/// # Errors
/// Why it cannot be opened, and what to do, for the operator.
pub(crate) fn open(keeping: &Keeping, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, String> {
    let url = keeping.url.expose();
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Err("store.url: this build keeps messages in SQLite only; write `sqlite:PATH`".to_owned());
    }
    let Some(path) = url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) else {
        return Err("store.url: expected `sqlite:PATH`".to_owned());
    };
    let path = Path::new(path);
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory).map_err(|error| format!("`{}` cannot be made: {error}", directory.display()))?;
    }
    let key = key(keeping, path)?;
    let store = SqliteStore::open(path, &key, clock).map_err(|error| error.to_string())?;
    Ok(Arc::new(store))
}

/// The configured key, else the environment's, else the one beside the database, which is made when there is none.
fn key(keeping: &Keeping, database: &Path) -> Result<StoreKey, String> {
    let given = match &keeping.key {
        Some(key) => Some(("store.key", key.clone())),
        None => Machine.env(KEY_VARIABLE).map(|text| (KEY_VARIABLE, Secret::new(text))),
    };
    if let Some((from, text)) = given {
        return StoreKey::parse(text.expose()).map_err(|error| format!("{from}: {error}"));
    }
    let path = key_path(database);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let text = Secret::new(text);
            StoreKey::parse(text.expose()).map_err(|error| format!("`{}`: {error}", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(&path, database),
        Err(error) => Err(format!("`{}` cannot be read: {error}", path.display())),
    }
}

fn make_key(path: &Path, database: &Path) -> Result<StoreKey, String> {
    if database.exists() {
        return Err(format!(
            "`{}` exists, but its key is nowhere: set {KEY_VARIABLE} or `store.key`, or put `{}` back",
            database.display(),
            path.display()
        ));
    }
    let key = StoreKey::generate().map_err(|error| error.to_string())?;
    write_private(path, &key.to_base64())
        .map_err(|error| format!("`{}` cannot be written: {error}", path.display()))?;
    tracing::warn!(
        "made a store key in `{}`: whoever has it and the database reads the messages; back it up, or set {KEY_VARIABLE}",
        path.display()
    );
    Ok(key)
}

/// Never replaces a file, and nobody else can read it at any moment.
fn write_private(path: &Path, key: &Secret) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(key.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn key_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".key");
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sms_core::SystemClock;

    fn keeping(url: &str) -> Keeping {
        Keeping::of(schema::Store { url: Secret::new(url), ..schema::Store::default() })
    }

    fn open_at(url: &str) -> Result<Arc<dyn Store>, String> {
        open(&keeping(url), Arc::new(SystemClock::start()))
    }

    #[tokio::test]
    async fn a_key_is_made_once_beside_the_database_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("data/gateway.db");
        let url = format!("sqlite:{}", database.display());
        open_at(&url).unwrap().close().await;
        let path = key_path(&database);
        let made = fs::read_to_string(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        open_at(&url).unwrap().close().await;
        assert_eq!(fs::read_to_string(&path).unwrap(), made);
    }

    #[tokio::test]
    async fn a_database_whose_key_is_gone_is_not_given_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("gateway.db");
        let url = format!("sqlite:{}", database.display());
        open_at(&url).unwrap().close().await;
        fs::remove_file(key_path(&database)).unwrap();
        assert!(open_at(&url).unwrap_err().contains("its key is nowhere"));
    }

    #[test]
    fn other_stores_are_refused_without_showing_the_url() {
        let error = open_at("postgres://u:secret@h/d").unwrap_err();
        assert!(error.contains("this build") && !error.contains("secret"), "{error}");
        assert!(open_at("sqlite:").is_err());
        assert!(open_at("data/gateway.db").is_err());
    }
}
