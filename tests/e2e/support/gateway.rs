//! One gateway: the real binary with a configuration, ports and a directory of its own. Its store and ports are kept
//! across restarts; everything goes when it is dropped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::answer::Answer;
use crate::binary::binary;
use crate::builder::{Builder, OPS_TOKEN, Place, key_of};
use crate::caller::Caller;
use crate::metrics::Metrics;
use crate::poll::{PATIENCE, eventually};
use crate::ports::free_address;
use crate::process::{Process, Signal};

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    env: BTreeMap<String, String>,
    under: Vec<String>,
    http: reqwest::Client,
    listen: String,
    ops: String,
    dir: TempDir,
}

impl Gateway {
    /// A configuration to start one with.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn start(builder: Builder) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (listen, ops) = (free_address().to_string(), free_address().to_string());
        let database = dir.path().join("gateway.db");
        let place = Place { listen: &listen, ops: &ops, database: database.to_str().expect("a path in UTF-8") };
        fs::write(dir.path().join(CONFIG), builder.text(&place)).expect("a file in the test's directory");
        let process = serve(dir.path(), &builder.env, &builder.under);
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build().expect("a client");
        let mut gateway = Self { process, env: builder.env, under: builder.under, http, listen, ops, dir };
        gateway.wait_ready().await;
        gateway
    }

    /// `http://127.0.0.1:PORT` of the public listener.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The same of the ops listener.
    pub fn ops_url(&self) -> String {
        format!("http://{}", self.ops)
    }

    /// `127.0.0.1:PORT` of the public listener, for raw sockets.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Configuration, store and logs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join(CONFIG)
    }

    /// What stands in the configuration file.
    pub fn config(&self) -> String {
        fs::read_to_string(self.config_path()).expect("the configuration")
    }

    /// Writes another configuration; the gateway reads it on [`Gateway::hup`] or when it starts again.
    pub fn configure(&self, text: &str) {
        fs::write(self.config_path(), text).expect("a file in the test's directory");
    }

    /// The database file; others of its name with an ending lie beside it.
    pub fn database(&self) -> PathBuf {
        self.dir.path().join("gateway.db")
    }

    /// Everything the gateway has printed on both streams, over all its starts.
    pub fn logs(&self) -> String {
        self.process.stdout() + &self.process.stderr()
    }

    /// The log lines that are JSON objects.
    pub fn log_lines(&self) -> Vec<Value> {
        self.logs().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The HTTP client of all callers, for requests without a key.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// An application of this tenant.
    pub fn tenant(&self, name: &str) -> Caller {
        self.caller(&key_of(name))
    }

    /// The application of the tenant that is there when the test names none.
    pub fn acme(&self) -> Caller {
        self.tenant("acme")
    }

    /// A caller with any key.
    pub fn caller(&self, key: &str) -> Caller {
        Caller::new(self.http.clone(), &self.url(), key)
    }

    /// The ops listener, with its token.
    pub fn operator(&self) -> Caller {
        Caller::new(self.http.clone(), &self.ops_url(), OPS_TOKEN)
    }

    /// One scrape.
    pub async fn metrics(&self) -> Metrics {
        let request = self.http.get(format!("{}/metrics", self.ops_url()));
        Metrics::new(Answer::to(request).await.expect("an answer").expect(200).text())
    }

    /// Scrapes until the sum of these series is at least `least`; returns that scrape.
    pub async fn wait_metric(&self, name: &str, labels: &[(&str, &str)], least: f64) -> Metrics {
        let what = format!("{name}{labels:?} >= {least}");
        eventually(&what, PATIENCE, async || {
            let metrics = self.metrics().await;
            (metrics.count(name, labels) >= least).then_some(metrics)
        })
        .await
    }

    /// The status of `/readyz`; `None` when nobody answers.
    pub async fn readyz(&self) -> Option<u16> {
        let request = self.http.get(format!("{}/readyz", self.ops_url()));
        Answer::to(request).await.ok().map(|answer| answer.status)
    }

    /// The code in the last message that the mock delivered to `to`, waiting for it.
    pub async fn code(&self, to: &str) -> String {
        let request = self.operator().request(Method::GET, "/inbox/v1/code").query(&[("to", to), ("wait", "10s")]);
        Answer::to(request).await.expect("an answer").expect(200).text()
    }

    /// Asks for a reload by signal.
    pub fn hup(&self) {
        self.process.signal(Signal::Hup);
    }

    /// Asks for the end; returns at once.
    pub fn term(&self) {
        self.process.signal(Signal::Term);
    }

    /// Sends any signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it at once (SIGKILL).
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Waits for its end after [`Gateway::term`].
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        self.process.wait(limit).await
    }

    /// Starts it again on the same configuration, store and ports, after ending whatever still runs.
    pub async fn restart(&mut self) {
        self.spawn();
        self.wait_ready().await;
    }

    /// [`Gateway::restart`] without waiting until it is ready.
    pub fn spawn(&mut self) {
        if self.process.ended().is_none() {
            self.process.kill9();
        }
        self.process = serve(self.dir.path(), &self.env, &self.under);
    }

    /// Waits for `/readyz`; panics with the log when the process ends instead.
    pub async fn wait_ready(&mut self) {
        let url = format!("{}/readyz", self.ops_url());
        let (http, process) = (&self.http, &mut self.process);
        let mut failed = false;
        eventually("the gateway is ready", PATIENCE, async || {
            if let Some(status) = process.ended() {
                failed = true;
                eprintln!("{status}\n{}{}", process.stdout(), process.stderr());
                return Some(());
            }
            Answer::to(http.get(&url)).await.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
        assert!(!failed, "the gateway ended at its start");
    }

    /// Runs the program with this gateway's environment and directory, to its end.
    pub fn cli(&self, args: &[&str]) -> Output {
        command(self.dir.path(), &self.env, &[]).args(args).output().expect("the program runs")
    }
}

/// `gateway serve --config …` in `dir`.
fn serve(dir: &Path, env: &BTreeMap<String, String>, under: &[String]) -> Process {
    let mut command = command(dir, env, under);
    command.arg("serve").arg("--config").arg(dir.join(CONFIG));
    Process::start(command, dir)
}

fn command(dir: &Path, env: &BTreeMap<String, String>, under: &[String]) -> Command {
    let mut command = match under {
        [] => Command::new(binary()),
        [program, words @ ..] => {
            let mut command = Command::new(program);
            command.args(words).arg(binary());
            command
        }
    };
    command.current_dir(dir).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(env);
    command
}

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const CONFIG: &str = "gateway.toml";
