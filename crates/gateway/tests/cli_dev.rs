//! `gateway dev`, and the commands that talk to a running gateway: over real sockets, with the real binary.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod cli_support;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use cli_support::{Dev, Ran, gateway, is_missing, run};

const TO: &str = "+447700900000";

fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A code that was sent to `to`.
fn sent(dev: &Dev, to: &str, text: &str) -> Ran {
    let sent = dev.run(&["send", "--to", to, "--text", text, "--wait", "delivered", "-o", "json"]);
    assert_eq!(sent.code, 0, "{}{}", sent.out, sent.err);
    sent
}

#[test]
fn the_printed_lines_work_as_they_stand() {
    if is_missing("curl") {
        return;
    }
    let dev = Dev::start();
    let first = dev.lines.first().unwrap();
    let ready_ms = first.strip_prefix("ready in ").and_then(|rest| rest.split_once(" ms")).unwrap().0;
    assert!(ready_ms.parse::<u32>().is_ok(), "{first}");
    let [send, read] = dev.curls().try_into().unwrap();
    let answer = shell(&format!("{send} -s -w ' %{{http_code}}'"));
    assert!(answer.ends_with(" 202") && answer.contains("\"msg_"), "{answer}");
    assert_eq!(shell(&format!("{read} -s")).trim(), "123456");
}

#[test]
fn the_key_is_kept_private_and_used_again() {
    let dev = Dev::start();
    let key = dev.env("GATEWAY_KEY");
    assert!(key.starts_with("sk_dev_"));
    assert!(dev.lines.iter().any(|line| line.contains(&key)));
    let file = dev.dir.path().join(".gateway/dev.env");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let sent = sent(&dev, TO, "123456 is your code").json();
    let (code, dir) = dev.stop();
    assert_eq!(code, Some(0), "asked to stop, it ends well");

    let dev = Dev::start_in(dir);
    assert_eq!(dev.env("GATEWAY_KEY"), key);
    let shown = dev.run(&["messages", "show", sent["id"].as_str().unwrap(), "-o", "json"]);
    assert_eq!(shown.json()["status"], "delivered", "what was accepted before is still known");
}

#[test]
fn a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let ran = run(dir.path(), &["dev", "--listen", &address, "--ops", "127.0.0.1:0"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains(&address) && ran.err.contains("--listen"), "{}", ran.err);
    assert!(!dir.path().join(".gateway/dev.env").exists(), "nothing to connect with was left behind");
}

#[test]
fn a_second_dev_in_the_same_place_is_refused() {
    let dev = Dev::start();
    let url = dev.env("GATEWAY_URL");
    let second = dev.run(&["dev", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"]);
    assert_eq!(second.code, 1, "{}", second.err);
    assert!(second.err.contains("store"), "{}", second.err);
    assert_eq!(dev.env("GATEWAY_URL"), url, "the first one is still found");
}

#[test]
fn the_environment_cannot_make_dev_send_for_real() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = gateway(dir.path(), &["dev", "--listen", &taken.local_addr().unwrap().to_string()]);
    command.env("GATEWAY__PROVIDERS__MOCK__KIND", "mitto").env("GATEWAY__SERVER__LISTEN", "127.0.0.1:0");
    command.env("GATEWAY_STORE_KEY", "no key at all");
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 1, "neither a faulty mitto (78) nor another address: {}", ran.err);
}

#[test]
fn a_code_is_read_as_digits_and_its_absence_is_exit_75() {
    let dev = Dev::start();
    sent(&dev, "+447700900100", "Your code: 4711 42");
    sent(&dev, "+447700900101", "987654 is your code");
    let code = dev.run(&["inbox", "code", "--to", "+447700900101"]);
    assert_eq!((code.code, code.out.as_str()), (0, "987654\n"));
    let json = dev.run(&["inbox", "code", "--to", "+447700900101", "-o", "json"]);
    assert_eq!(json.json(), serde_json::json!({ "code": "987654" }));

    let cursor = dev.run(&["inbox", "last", "-o", "json"]).json()["cursor"].as_str().unwrap().to_owned();
    let none = dev.run(&["inbox", "code", "--to", "+447700900101", "--after", &cursor, "--wait", "100ms"]);
    assert_eq!((none.code, none.out.as_str()), (75, ""), "{}", none.err);
    assert!(none.err.contains("inbox_no_message"), "{}", none.err);
}

#[test]
fn the_inbox_is_listed_and_its_newest_message_shown() {
    let dev = Dev::start();
    assert_eq!(dev.run(&["inbox", "last"]).code, 1);
    for (to, text) in [("+447700900100", "111111 a"), ("+447700900101", "222222 b"), ("+447700900102", "333333 c")] {
        sent(&dev, to, text);
    }
    let last = dev.run(&["inbox", "last", "-o", "json"]).json();
    assert_eq!((last["to"].as_str(), last["text"].as_str()), (Some("+447700900102"), Some("333333 c")));
    let all = dev.run(&["inbox", "list", "-o", "json"]).json();
    assert_eq!(all["messages"].as_array().unwrap().len(), 3);
    let one = dev.run(&["inbox", "list", "--to", "+447700900101"]);
    assert!(one.out.contains("222222 b") && !one.out.contains("111111"), "{}", one.out);
}

#[test]
fn a_message_is_followed_to_its_end() {
    let dev = Dev::start();
    let text = dev.run(&["send", "--to", TO, "--text", "123456 is your code", "--wait", "delivered"]);
    assert_eq!(text.code, 0, "{}", text.err);
    assert!(text.out.lines().last().unwrap().contains("delivered"), "{}", text.out);

    let absent = dev.run(&["send", "--to", "+447700900001", "--text", "123456", "--wait", "delivered", "-o", "json"]);
    assert_eq!(absent.code, 1);
    assert_eq!(absent.json()["status"], "undelivered");

    let no_receipt = ["send", "--to", "+447700900007", "--text", "1234", "--wait", "delivered", "--timeout", "1s"];
    assert_eq!(dev.run(&no_receipt).code, 75);
}

#[test]
fn messages_are_listed_without_their_texts() {
    let dev = Dev::start();
    let id = sent(&dev, TO, "123456 is your code").json()["id"].as_str().unwrap().to_owned();
    let list = dev.run(&["messages", "list"]);
    assert!(list.out.contains(&id) && list.out.contains("delivered"), "{}", list.out);
    let none = dev.run(&["messages", "list", "--status", "failed", "-o", "json"]);
    assert_eq!(none.json()["messages"], serde_json::json!([]));
    let shown = dev.run(&["messages", "show", &id]);
    assert!(shown.out.contains("mock accepted"), "{}", shown.out);
    for out in [list.out, shown.out, dev.run(&["messages", "show", &id, "-o", "json"]).out] {
        assert!(!out.contains("123456"), "{out}");
    }
    assert_eq!(dev.run(&["messages", "show", "msg_00000000000000000000000000000000"]).code, 1);
}

#[test]
fn refusals_have_their_exit_codes() {
    let dev = Dev::start();
    let refused = dev.run(&["send", "--to", "12", "--text", "1234"]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("invalid_recipient"), "{}", refused.err);
    let wrong_key = dev.run(&["messages", "list", "--key", "sk_dev_0000000000000000"]);
    assert_eq!(wrong_key.code, 77, "{}", wrong_key.err);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = dev.run(&["messages", "list", "--url", &format!("http://{free}")]);
    assert_eq!(nobody.code, 69, "{}", nobody.err);
    assert_eq!(dev.run(&["messages", "list", "--url", "nonsense"]).code, 2);
}
