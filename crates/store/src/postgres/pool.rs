//! A few long-lived connections, and what is known of the server: while it is away every question fails at once and one
//! task looks for it, every 50 ms at first and every second at last.

use std::collections::HashMap;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::config::Host;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{PgError, away, text};
use crate::tables::Failure;

/// A value to send; owned by whoever asks.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// Connections to one database.
pub(super) struct Pool {
    config: Config,
    tls: MakeRustlsConnect,
    idle: Mutex<Vec<Conn>>,
    permits: Arc<Semaphore>,
    is_away: AtomicBool,
    is_closed: AtomicBool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", hosts(&self.config))
    }
}

/// One connection with its prepared statements.
pub(super) struct Conn {
    pub(super) client: Client,
    /// Longest wait for an answer.
    pub(super) patience: Duration,
    /// It did not answer in time.
    is_stuck: bool,
    statements: HashMap<&'static str, Statement>,
}

/// A statement with its values.
pub(super) type Asked<'a> = (&'static str, Vec<Value<'a>>);

/// A connection in use. One on which anything failed, or whose user went away, is not used again: what it was in the
/// middle of is rolled back.
pub(super) struct Lent {
    conn: Option<Conn>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    /// Gives it back: everything went well.
    pub(super) fn done(mut self) {
        if let Some(conn) = self.conn.take().filter(|_| !self.pool.is_closed()) {
            self.pool.lock().push(Conn { patience: PATIENCE, ..conn });
        }
    }
}

impl Deref for Lent {
    type Target = Conn;

    #[expect(clippy::expect_used, reason = "only `done` and `drop` take it")]
    fn deref(&self) -> &Conn {
        self.conn.as_ref().expect("in use")
    }
}

impl DerefMut for Lent {
    #[expect(clippy::expect_used, reason = "only `done` and `drop` take it")]
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("in use")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.conn.as_ref().is_some_and(|conn| conn.is_stuck || conn.client.is_closed()) {
            self.pool.look_for_it(); // what broke one has broken others
        }
    }
}

impl Pool {
    /// Reads a URL and connects once.
    pub(super) async fn open(url: &str) -> Result<Arc<Self>, PgError> {
        let mut config = Config::from_str(url).map_err(|error| PgError::Url(text(&error)))?;
        config
            .connect_timeout(CONNECT_MAX)
            .tcp_user_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3);
        if config.get_application_name().is_none() {
            config.application_name("sms-gateway");
        }
        let tls = tls().map_err(|detail| PgError::Connect { hosts: hosts(&config), detail })?;
        let pool = Self {
            config,
            tls,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            is_away: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        };
        let first = pool.connect().await.map_err(|detail| PgError::Connect { hosts: hosts(&pool.config), detail })?;
        let version: String = first.client.query_one("SHOW server_version", &[]).await?.get(0);
        if version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major < 15) {
            return Err(PgError::Server(version));
        }
        pool.lock().push(first);
        Ok(Arc::new(pool))
    }

    /// A connection for one piece of work. Fails at once while the server is away.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Lent, Failure> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(away("the server is away"));
        }
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| away("every connection is busy"))?;
        let permit = permit.map_err(|_| away("the store is closed"))?;
        let conn = self.take().await?;
        Ok(Lent { conn: Some(conn), pool: Arc::clone(self), _permit: permit })
    }

    /// Ends every connection; later questions fail.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.permits.close();
        self.lock().clear();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    async fn take(self: &Arc<Self>) -> Result<Conn, Failure> {
        while let Some(conn) = self.pop() {
            if !conn.client.is_closed() {
                return Ok(conn);
            }
        }
        self.connect().await.map_err(|detail| {
            self.look_for_it();
            away(&detail)
        })
    }

    fn pop(&self) -> Option<Conn> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody else asks until it is back.
    fn look_for_it(self: &Arc<Self>) {
        if self.is_away.swap(true, Ordering::SeqCst) {
            return;
        }
        self.lock().clear();
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let mut pause = PAUSE_MIN;
            while !pool.is_closed() {
                match pool.connect().await {
                    Ok(conn) => {
                        pool.lock().push(conn);
                        break;
                    }
                    Err(detail) if pause >= PAUSE_MAX => tracing::warn!("PostgreSQL is away: {detail}"),
                    Err(_) => {}
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            pool.is_away.store(false, Ordering::SeqCst);
        });
    }

    async fn connect(&self) -> Result<Conn, String> {
        let connecting = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await.map_err(|error| text(&error))?;
            tokio::spawn(async move { drop(connection.await) }); // whoever asks next sees that it ended
            client.batch_execute(SESSION).await.map_err(|error| text(&error))?;
            Ok(Conn { client, patience: PATIENCE, is_stuck: false, statements: HashMap::new() })
        };
        let within = tokio::time::timeout(CONNECT_MAX * 2, connecting);
        within.await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }
}

impl Conn {
    /// The rows of one statement.
    pub(super) async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        let statement = self.prepare(sql).await?;
        within(self.patience, &mut self.is_stuck, self.client.query(&statement, values)).await
    }

    /// How many rows one statement touched.
    pub(super) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Failure> {
        let statement = self.prepare(sql).await?;
        within(self.patience, &mut self.is_stuck, self.client.execute(&statement, values)).await
    }

    /// Statements without values or answers.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), Failure> {
        within(self.patience, &mut self.is_stuck, self.client.batch_execute(sql)).await
    }

    /// Opens a transaction and runs statements in it, all on their way at once; the rows of each.
    pub(super) async fn begin(&mut self, begin: &str, batch: &[Asked<'_>]) -> Result<Vec<Vec<Row>>, Failure> {
        let statements = self.prepare_all(batch).await?;
        let asked = batch.iter().zip(&statements).map(|((_, values), sql)| self.client.query(sql, values));
        let both = async {
            let (begun, answers) = tokio::join!(biased; self.client.batch_execute(begin), join_all(asked));
            begun?;
            answers.into_iter().collect()
        };
        within(self.patience, &mut self.is_stuck, both).await
    }

    /// Runs statements and commits, all on their way at once. On an error nothing was committed, unless the connection
    /// broke.
    pub(super) async fn commit(&mut self, commit: &str, batch: &[Asked<'_>]) -> Result<(), Failure> {
        let statements = self.prepare_all(batch).await?;
        let asked = batch.iter().zip(&statements).map(|((_, values), sql)| self.client.execute(sql, values));
        let both = async {
            // A transaction in which anything failed is rolled back by its COMMIT.
            let (answers, committed) = tokio::join!(biased; join_all(asked), self.client.batch_execute(commit));
            for answer in answers {
                answer?;
            }
            committed
        };
        within(self.patience, &mut self.is_stuck, both).await
    }

    async fn prepare_all(&mut self, batch: &[Asked<'_>]) -> Result<Vec<Statement>, Failure> {
        let mut statements = Vec::with_capacity(batch.len());
        for (sql, _) in batch {
            statements.push(self.prepare(sql).await?);
        }
        Ok(statements)
    }

    async fn prepare(&mut self, sql: &'static str) -> Result<Statement, Failure> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = within(self.patience, &mut self.is_stuck, self.client.prepare(sql)).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

/// A server that does not answer is as good as away.
async fn within<R>(
    patience: Duration,
    is_stuck: &mut bool,
    asked: impl Future<Output = Result<R, tokio_postgres::Error>>,
) -> Result<R, Failure> {
    let answer = tokio::time::timeout(patience, asked).await;
    *is_stuck |= answer.is_err();
    Ok(answer.map_err(|_| away("no answer in time"))??)
}

/// Hosts and ports of a configuration: what may be told.
fn hosts(config: &Config) -> String {
    let ports = config.get_ports();
    let one = |(at, host): (usize, &Host)| {
        let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    };
    config.get_hosts().iter().enumerate().map(one).collect::<Vec<_>>().join(",")
}

/// Certificates are verified against the operating system's store whenever TLS is on.
fn tls() -> Result<MakeRustlsConnect, String> {
    use rustls_platform_verifier::BuilderVerifierExt;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.and_then(BuilderVerifierExt::with_platform_verifier).map_err(|error| error.to_string())?;
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

/// Plans are made once, on empty tables, where a scan of everything looks cheapest. So is a join that reads a whole index:
/// statements say which rows they want with `= ANY` or a `LATERAL … LIMIT` beside every join. A client that stands still
/// must not hold rows.
const SESSION: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off; \
    SET statement_timeout = '2s'; SET lock_timeout = '1s'; SET idle_in_transaction_session_timeout = '4s'; \
    SET client_min_messages = warning; SET timezone = 'UTC'";

/// Connections of one node: three batches of each operation, where they take long, and a few questions.
const CONNECTIONS: usize = 12;

/// Longest wait for a server's greeting.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Longest wait for a connection, or for an answer where nobody asks for something that takes long.
const PATIENCE: Duration = Duration::from_millis(2_500);

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
