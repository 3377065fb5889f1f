//! A `PostgreSQL` server of a test's own: its own directory and port, on loopback, as a user who is not root. Can be killed,
//! started again, followed by a synchronous standby, and goes when it is dropped, whatever became of the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::luck::strict;
use crate::poll::{PATIENCE, eventually};
use crate::ports::free_port;
use crate::process::{Process, Signal};

/// A running server with an empty database `gateway`.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    programs: PathBuf,
    port: u16,
    dir: TempDir,
}

impl Postgres {
    /// A new server; `None`, said loudly, where there is no `PostgreSQL`. Under `tests/run` that is a failure.
    pub async fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(!strict(), "no PostgreSQL: apt-get install postgresql-15");
            eprintln!("SKIPPED: no PostgreSQL here (apt-get install postgresql-15)");
            return None;
        };
        let (dir, port) = (private_dir(), free_port());
        run(
            &programs,
            "initdb",
            &["-D", "data", "-U", "gateway", "-A", "trust", "-E", "UTF8", "--no-sync"],
            dir.path(),
        );
        let server = Self::serve(dir, programs, port).await;
        server.sql("postgres", "CREATE DATABASE gateway");
        Some(server)
    }

    /// A standby of this server, for which every commit waits from now on.
    pub async fn standby(&self) -> Self {
        let (dir, port) = (private_dir(), free_port());
        let source = format!("host=127.0.0.1 port={} user=gateway application_name=standby", self.port);
        run(
            &self.programs,
            "pg_basebackup",
            &["-D", "data", "-R", "-X", "stream", "-c", "fast", "-d", &source],
            dir.path(),
        );
        let standby = Self::serve(dir, self.programs.clone(), port).await;
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        self.sql("postgres", "SELECT pg_reload_conf()");
        let following = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        eventually("the standby follows", PATIENCE, async || (self.sql("postgres", following) == "1").then_some(()))
            .await;
        standby
    }

    /// Has it speak TLS too, under a certificate that is made for it and returned: nobody else has signed it.
    pub fn speak_tls(&self) -> PathBuf {
        let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 \
            -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout tls.key -out tls.crt";
        let words: Vec<_> = words.split_whitespace().collect();
        run(Path::new(""), "openssl", &words, self.dir.path());
        let certificate = self.dir.path().join("tls.crt");
        let key = self.dir.path().join("tls.key");
        self.sql("postgres", &format!("ALTER SYSTEM SET ssl_cert_file = '{}'", certificate.display()));
        self.sql("postgres", &format!("ALTER SYSTEM SET ssl_key_file = '{}'", key.display()));
        self.sql("postgres", "ALTER SYSTEM SET ssl = on");
        self.sql("postgres", "SELECT pg_reload_conf()");
        certificate
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
        self.sql("postgres", "SELECT pg_promote(true, 30)");
    }

    /// `store.url` of a gateway that uses these servers, whichever takes writes.
    pub fn url_of(servers: &[&Self]) -> String {
        let hosts: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        let hosts = hosts.join(",");
        format!(
            "postgres://gateway:{DATABASE_PASSWORD}@{hosts}/gateway?sslmode=disable&target_session_attrs=read-write"
        )
    }

    /// [`Postgres::url_of`] this one.
    pub fn url(&self) -> String {
        Self::url_of(&[self])
    }

    /// What one statement answers, as text.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "gateway", "-d", database]);
        let done = psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement]).output();
        let done = done.expect("psql runs");
        assert!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// SIGKILL for the server and all its processes.
    pub fn kill9(&mut self) {
        let pid = self.process.pid().to_string();
        drop(Command::new("pkill").args(["-KILL", "-P", &pid]).status()); // they would end by themselves a little later
        self.process.kill9();
    }

    /// Starts it again on the same directory and port, after [`Postgres::kill9`].
    pub async fn restart(&mut self) {
        self.process = serve(&self.programs, self.port, self.dir.path());
        self.wait_ready().await;
    }

    async fn serve(dir: TempDir, programs: PathBuf, port: u16) -> Self {
        let mut server = Self { process: serve(&programs, port, dir.path()), programs, port, dir };
        server.wait_ready().await;
        server
    }

    async fn wait_ready(&mut self) {
        let port = self.port.to_string();
        let ready = self.programs.join("pg_isready");
        eventually("PostgreSQL is ready", Duration::from_mins(1), async || {
            assert!(self.process.ended().is_none(), "{}", self.process.stderr());
            let asked = Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-p", &port]).status();
            asked.is_ok_and(|status| status.success()).then_some(())
        })
        .await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.process.ended().is_none() {
            self.process.signal(Signal::Quit); // its processes end with it
            for _ in 0..100 {
                if self.process.ended().is_some() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            self.kill9();
        }
    }
}

/// Not asked for, because nobody but this machine reaches the server; but it must never be seen in a log.
pub const DATABASE_PASSWORD: &str = "database-password-of-the-tests";

fn serve(programs: &Path, port: u16, dir: &Path) -> Process {
    let mut command = unprivileged(&programs.join("postgres"));
    command.args(["-D", "data", "-h", "127.0.0.1", "-p", &port.to_string(), "-c", "unix_socket_directories="]);
    for setting in ["shared_buffers=64MB", "max_connections=200", "wal_level=replica", "hot_standby=on"] {
        command.args(["-c", setting]);
    }
    command.current_dir(dir);
    Process::start(command, dir)
}

fn run(programs: &Path, program: &str, words: &[&str], dir: &Path) {
    let done = unprivileged(&programs.join(program)).args(words).current_dir(dir).output().expect("the program runs");
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

/// `PostgreSQL` refuses root. What is started dies with the test's process.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig=KILL", "--"]).arg(program);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
    command
}

fn private_dir() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    if is_root() {
        let owned = Command::new("chown").arg("postgres:postgres").arg(dir.path()).status();
        assert!(owned.is_ok_and(|status| status.success()), "the package makes the user postgres");
    }
    dir
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.starts_with(b"0\n")
}

/// Where Debian keeps the newest version, 15 or later.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(|entry| version(entry.ok()?)).filter(|version| *version >= 15).max()?;
    let found = PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"));
    found.join("initdb").exists().then_some(found)
}
