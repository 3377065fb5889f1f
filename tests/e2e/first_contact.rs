//! The first minute of a newcomer: `gateway dev` and the lines it prints.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use e2e::{PATIENCE, Process, binary, eventually};
use tempfile::TempDir;

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// `gateway dev` on free ports in a directory of its own.
struct Dev {
    process: Process,
    dir: TempDir,
}

impl Dev {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let process = dev(&dir);
        let dev = Self { process, dir };
        dev.wait_greeting(1).await;
        dev
    }

    async fn restart(&mut self) {
        self.process.kill9();
        self.process = dev(&self.dir);
        self.wait_greeting(2).await;
    }

    /// Waits until the process printed both lines for the `nth` time.
    async fn wait_greeting(&self, nth: usize) {
        let what = format!("two curl lines, {nth} times");
        eventually(&what, PATIENCE, async || (self.curl_lines().len() == 2 * nth).then_some(())).await;
    }

    /// The lines to copy, newest last.
    fn curl_lines(&self) -> Vec<String> {
        let printed = self.process.stdout();
        printed.lines().map(str::trim).filter(|line| line.starts_with("curl ")).map(str::to_owned).collect()
    }

    /// The two lines of the newest start.
    fn newest(&self) -> (String, String) {
        let mut lines = self.curl_lines();
        let inbox = lines.pop().expect("a line that reads the inbox");
        (lines.pop().expect("a line that sends"), inbox)
    }

    fn shell(&self, line: &str) -> Output {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(line).current_dir(self.dir.path()).env_clear().env("PATH", PATH);
        shell.output().expect("a shell")
    }

    fn gateway(&self, args: &[&str]) -> Output {
        let mut gateway = Command::new(binary());
        gateway.args(args).current_dir(self.dir.path()).env_clear().output().expect("the program runs")
    }

    fn env(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(".gateway/dev.env")).expect("what other commands connect with")
    }
}

fn dev(dir: &TempDir) -> Process {
    let mut command = Command::new(binary());
    command.args(["dev", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"]);
    command.current_dir(dir.path()).env_clear().env("PATH", PATH);
    Process::start(command, dir.path())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[tokio::test]
async fn the_printed_lines_work_as_they_stand() {
    let dev = Dev::start().await;
    let (send, inbox) = dev.newest();

    let sent = stdout(&dev.shell(&send));
    let answer: serde_json::Value = serde_json::from_str(&sent).unwrap();
    assert!(answer["id"].as_str().unwrap().starts_with("msg_"), "{sent}");
    assert_eq!(answer["status"], "queued");
    let code = answer_code(&send);
    assert_eq!(stdout(&dev.shell(&inbox)).trim(), code);

    let again = stdout(&dev.shell(&send));
    assert!(again.contains("\"queued\""), "test numbers are exempt from limits: {again}");
    assert_eq!(stdout(&dev.shell(&format!("{send} -s -o /dev/null -w '%{{http_code}}'"))), "202");
}

/// The digits of the text that the printed line sends.
fn answer_code(send: &str) -> String {
    let (_, text) = send.split_once("\"text\":\"").expect("a text");
    text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect()
}

#[tokio::test]
async fn what_it_prints_is_all_there() {
    let dev = Dev::start().await;
    let printed = dev.process.stdout();
    for piece in ["/v1/messages", "/inbox/v1/code", "/metrics", "sk_dev_", "demo", ".gateway/dev.env"] {
        assert!(printed.contains(piece), "{piece} is missing in {printed}");
    }
    let url = |name: &str| {
        let env = dev.env();
        let line = env.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned);
        line.expect("a line of dev.env")
    };
    let status = async |url: &str| reqwest::get(url).await.unwrap().status().as_u16();
    let ops = url("GATEWAY_OPS_URL");
    assert_eq!(status(&format!("{ops}/readyz")).await, 200);
    assert_eq!(status(&format!("{ops}/livez")).await, 200);
    assert_eq!(status(&format!("{ops}/metrics")).await, 200);
    assert_eq!(status(&format!("{ops}/inbox/v1/messages")).await, 200, "dev needs no token on loopback");
    assert_eq!(status(&format!("{}/v1/messages", url("GATEWAY_URL"))).await, 401, "the API wants a key even here");
}

#[tokio::test]
async fn the_key_survives_a_restart_and_is_nobody_elses_business() {
    let mut dev = Dev::start().await;
    let (file, before) = (dev.dir.path().join(".gateway/dev.env"), dev.env());
    let key = before.lines().find_map(|line| line.strip_prefix("GATEWAY_KEY=")).unwrap().to_owned();
    assert!(key.starts_with("sk_dev_") && key.len() >= 20);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "readable by its owner only");

    dev.restart().await;
    assert!(dev.env().contains(&format!("GATEWAY_KEY={key}\n")));
    let (send, inbox) = dev.newest();
    assert!(send.contains(&key), "the same key is printed");
    assert!(stdout(&dev.shell(&send)).contains("msg_"));
    assert_eq!(stdout(&dev.shell(&inbox)).trim(), answer_code(&send));
}

#[tokio::test]
async fn other_commands_find_the_running_gateway() {
    let dev = Dev::start().await;
    let sent = dev.gateway(&["send", "--to", "+447700900123", "--text", "Your code is 918273"]);
    assert!(sent.status.success(), "{sent:?}");
    let code = dev.gateway(&["inbox", "code", "--to", "+447700900123", "--wait", "10s"]);
    assert_eq!((stdout(&code).trim(), code.status.code()), ("918273", Some(0)));

    let none = dev.gateway(&["inbox", "code", "--to", "+447700900124", "--wait", "1s"]);
    assert_eq!(none.status.code(), Some(75), "the wait timed out: {none:?}");
    assert_eq!(stdout(&none), "");
}

#[tokio::test]
async fn commands_without_a_gateway_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["inbox", "code", "--to", "+447700900000", "--ops-url", "http://127.0.0.1:1"]);
    let output = command.current_dir(dir.path()).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
}

#[tokio::test]
async fn a_second_gateway_on_the_same_store_is_refused_clearly() {
    let dev = Dev::start().await;
    let mut second = Command::new(binary());
    second.args(["dev", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"]);
    let second = second.current_dir(dev.dir.path()).env_clear().output().unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(told.contains("gateway.db"), "names the file: {told}");
    assert!(stdout(&dev.shell(&dev.newest().0)).contains("msg_"), "the first one is not disturbed");
}
