//! `[store]`: where messages are kept, and the key that seals them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sms_core::options::SecretSource as _;
use sms_core::store::{PurgePolicy, Store};
use sms_core::{Clock, Secret};
use sms_store::postgres::{PgOptions, PgStore};
use sms_store::{SqliteStore, StoreKey};

use crate::config::{Machine, schema};

/// Where the key is looked for when the configuration names none.
const KEY_VARIABLE: &str = "GATEWAY_STORE_KEY";

/// `[store]`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    url: Secret,
    key: Option<Secret>,
    node: Option<String>,
    pub(crate) policy: PurgePolicy,
}

/// An open store, and in words what it is.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) what: &'static str,
    /// What this node is called, where there may be several.
    pub(crate) node: Option<String>,
}

impl Keeping {
    pub(super) fn of(store: schema::Store) -> Self {
        let schema::Store { keep_messages, keep_numbers, key, node, url } = store;
        let policy =
            PurgePolicy { keep_messages: keep_messages.as_duration(), keep_numbers: keep_numbers.as_duration() };
        Self { url, key, node, policy }
    }

    /// A store by its URL alone.
    pub fn at(url: Secret) -> Self {
        Self::of(schema::Store { url, ..schema::Store::default() })
    }

    /// The file of a `SQLite` store.
    pub fn file(&self) -> Option<&Path> {
        self.url.expose().strip_prefix("sqlite:").filter(|path| !path.is_empty()).map(Path::new)
    }

    /// The URL of a `PostgreSQL` database; `None` for a file.
    pub fn postgres(&self) -> Option<&str> {
        let url = self.url.expose();
        (url.starts_with("postgres://") || url.starts_with("postgresql://")).then_some(url)
    }

    /// The key that all nodes on a `PostgreSQL` database share.
    ///
    /// # Errors
    /// None was given, or it is no key.
    pub fn shared_key(&self) -> Result<StoreKey, String> {
        given_key(self)?.ok_or_else(|| {
            format!("PostgreSQL needs the key that all nodes share: set {KEY_VARIABLE} or `store.key` (openssl rand -base64 32)")
        })
    }

    /// The key of a file: the one that is configured, else the one beside it.
    ///
    /// # Errors
    /// There is none, or it is no key.
    pub fn key_of(&self, database: &Path) -> Result<StoreKey, String> {
        key(self, database)
    }
}

/// Opens the store.
///
/// # Errors
/// Why it cannot be opened, and what to do, for the operator.
pub(crate) async fn open(keeping: Keeping, clock: Arc<dyn Clock>) -> Result<Opened, String> {
    if let Some(url) = keeping.postgres() {
        let node = keeping.node.clone().unwrap_or_else(machine);
        let options = PgOptions { node: node.clone(), migrate: true };
        let store = PgStore::open(url, &keeping.shared_key()?, clock, options).await;
        let store = Arc::new(store.map_err(|error| error.to_string())?);
        return Ok(Opened { store, what: "PostgreSQL", node: Some(node) });
    }
    // On a thread of its own: opening reads the file back.
    let opened = tokio::task::spawn_blocking(move || open_file(&keeping, clock)).await;
    let store = opened.map_err(|error| error.to_string())??;
    Ok(Opened { store, what: "SQLite", node: None })
}

fn open_file(keeping: &Keeping, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, String> {
    let Some(path) = keeping.file() else {
        return Err("store.url: expected `sqlite:PATH`".to_owned());
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory).map_err(|error| format!("`{}` cannot be made: {error}", directory.display()))?;
    }
    let key = key(keeping, path)?;
    let store = SqliteStore::open(path, &key, clock).map_err(|error| error.to_string())?;
    Ok(Arc::new(store))
}

/// The machine's name, as the kernel knows it.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("gateway").to_owned()
}

/// The configured key, else the environment's, else the one beside the database, which is made when there is none.
fn key(keeping: &Keeping, database: &Path) -> Result<StoreKey, String> {
    if let Some(key) = given_key(keeping)? {
        return Ok(key);
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

/// The configured key, else the environment's.
fn given_key(keeping: &Keeping) -> Result<Option<StoreKey>, String> {
    let given = match &keeping.key {
        Some(key) => Some(("store.key", key.clone())),
        None => Machine.env(KEY_VARIABLE).map(|text| (KEY_VARIABLE, Secret::new(text))),
    };
    let parse =
        |(from, text): (&str, Secret)| StoreKey::parse(text.expose()).map_err(|error| format!("{from}: {error}"));
    given.map(parse).transpose()
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
        Keeping::at(Secret::new(url))
    }

    async fn open_at(url: &str) -> Result<Arc<dyn Store>, String> {
        Ok(open(keeping(url), Arc::new(SystemClock::start())).await?.store)
    }

    #[tokio::test]
    async fn a_key_is_made_once_beside_the_database_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("data/gateway.db");
        let url = format!("sqlite:{}", database.display());
        open_at(&url).await.unwrap().close().await;
        let path = key_path(&database);
        let made = fs::read_to_string(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        open_at(&url).await.unwrap().close().await;
        assert_eq!(fs::read_to_string(&path).unwrap(), made);
    }

    #[tokio::test]
    async fn a_database_whose_key_is_gone_is_not_given_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("gateway.db");
        let url = format!("sqlite:{}", database.display());
        open_at(&url).await.unwrap().close().await;
        fs::remove_file(key_path(&database)).unwrap();
        assert!(open_at(&url).await.unwrap_err().contains("its key is nowhere"));
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_opened_is_refused_without_showing_the_url() {
        let error = open_at("postgres://u:secret@127.0.0.1:1/d").await.unwrap_err();
        assert!(error.contains("GATEWAY_STORE_KEY") && !error.contains("secret"), "{error}");
        let key = Some(Secret::new("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));
        let keeping = Keeping { key, ..keeping("postgres://u:secret@127.0.0.1:1/d") };
        let error = open(keeping, Arc::new(SystemClock::start())).await.unwrap_err();
        assert!(error.contains("127.0.0.1") && !error.contains("secret"), "{error}");
        assert!(open_at("sqlite:").await.is_err());
        assert!(open_at("data/gateway.db").await.is_err());
    }
}
