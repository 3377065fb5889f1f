//! A `PostgreSQL` server for tests, with an empty database for each: the one that `GATEWAY_TEST_POSTGRES` names, else one of
//! our own, which is started once for all test processes and ends half a minute after the last of them.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a failed set-up fails the test")]
#![allow(dead_code, reason = "each test program uses some of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sms_core::Clock;
use sms_store::postgres::PgOptions;
use sms_store::{PgStore, StoreKey};

/// The URL of an empty database; `None`, and said loudly, where there is no server.
pub(crate) fn database() -> Option<String> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let server = server()?;
    let name = format!("test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::SeqCst));
    apart(async {
        let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name} STRATEGY file_copy")).await.unwrap();
    });
    let (base, _) = server.rsplit_once('/').unwrap();
    Some(format!("{base}/{name}"))
}

/// A node on a database.
pub(crate) fn open(url: &str, key: &StoreKey, clock: Arc<dyn Clock>) -> PgStore {
    let options = PgOptions { node: "test".to_owned(), migrate: true };
    apart(PgStore::open(url, key, clock, options)).unwrap()
}

/// Runs it on a runtime that outlives the test, whose own cannot wait for anything.
pub(crate) fn apart<R: Send>(work: impl Future<Output = R> + Send) -> R {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    let runtime = RUNTIME
        .get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join().unwrap())
}

fn server() -> Option<String> {
    if let Some(url) = std::env::vars().find(|(name, _)| name == "GATEWAY_TEST_POSTGRES") {
        return Some(url.1);
    }
    let url = bin().and_then(|bin| own(&bin));
    if url.is_none() {
        let strict = std::env::vars_os().any(|(name, _)| name == "GATEWAY_TESTS_STRICT");
        assert!(!strict, "PostgreSQL 15 or newer is missing (apt install postgresql-15)");
        eprintln!("SKIPPED: PostgreSQL is not installed (apt postgresql-15), nothing of its store was tested");
    }
    url
}

/// Where the newest server's programs are.
fn bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let bins = versions.filter_map(|version| {
        let path = version.ok()?.path();
        let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
        Some((number, path.join("bin")))
    });
    bins.filter(|(number, bin)| *number >= 15 && bin.join("initdb").exists()).max().map(|(_, bin)| bin)
}

/// The server that all test processes of this machine share.
fn own(bin: &Path) -> Option<String> {
    let home = std::env::temp_dir().join("gateway-test-postgres");
    std::fs::create_dir_all(&home).ok()?;
    let lock = std::fs::File::create(home.join("lock")).ok()?;
    lock.lock().ok()?;
    let users = home.join("users");
    std::fs::create_dir_all(&users).ok()?;
    std::fs::write(users.join(std::process::id().to_string()), "").ok()?;
    let port_file = home.join("port");
    if let Ok(port) = std::fs::read_to_string(&port_file)
        && std::net::TcpStream::connect(("127.0.0.1", port.trim().parse().ok()?)).is_ok()
    {
        return Some(url(port.trim()));
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port().to_string();
    let script = home.join("run.sh");
    std::fs::write(&script, SCRIPT).ok()?;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let mut command = if is_root { Command::new("runuser") } else { Command::new("sh") };
    if is_root {
        assert!(Command::new("chown").args(["-R", "postgres"]).arg(&home).status().ok()?.success());
        command.args(["-u", "postgres", "--", "sh"]);
    }
    command
        .arg(&script)
        .arg(&home)
        .arg(bin)
        .arg(&port)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().ok()?;
    for _ in 0..300 {
        if std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok() {
            std::fs::write(port_file, &port).ok()?;
            std::thread::sleep(Duration::from_millis(300));
            return Some(url(&port));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}

fn url(port: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

const SCRIPT: &str = r#"
home=$1 bin=$2 port=$3
cd "$home" || exit 1
rm -rf data
"$bin/initdb" -D data -U postgres -A trust -N >initdb.log 2>&1 || exit 1
"$bin/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_connections=400 -c fsync=on -c shared_buffers=64MB >server.log 2>&1 &
server=$!
trap 'kill -INT $server; wait $server; rm -rf port data' EXIT
idle=0
while [ $idle -lt 6 ] && kill -0 $server 2>/dev/null; do
    sleep 5
    idle=$((idle + 1))
    for user in users/*; do
        if [ -d "/proc/${user#users/}" ]; then idle=0; else rm -f "$user"; fi
    done
done
"#;
