//! Guarantee 12: receipts before the answer, twice, in any order, of nobody; on the real binary over HTTP. The permutations
//! by the hundred thousand are a property test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use e2e::{Builder, Caller, Gateway, Luck, Mitto, MittoSend, eventually};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::audit::{messages, text};
use crate::load::{Load, Pace};
use crate::plan::Scale;
use crate::rows::cluster::{Cluster, MISSING};
use crate::table::{Outcome, note};

/// What the network may say, in Mitto's words.
const WORDS: [&str; 5] = ["Delivered", "Failure", "EXPIRED", "Sent", "SomethingNew"];

/// How long the answers of the upstream take; receipts are posted before and after.
const LATENCY: Duration = Duration::from_millis(150);

/// The status that a sequence of receipts must lead to: `delivered` wins over all, else the first final word.
fn expected(words: &[&str]) -> &'static str {
    if words.contains(&"Delivered") {
        return "delivered";
    }
    let last = words.iter().find_map(|word| match *word {
        "Failure" => Some("undelivered"),
        "EXPIRED" => Some("expired"),
        _ => None,
    });
    last.unwrap_or("sent")
}

pub(crate) async fn permutations(scale: Scale) -> Outcome {
    let upstream = Mitto::start();
    let gateway = builder(&upstream).start().await;
    try_out(scale, &upstream, gateway.acme(), &[gateway]).await
}

/// 12p: receipts come to other nodes than the one that sent the message.
pub(crate) async fn permutations_on_any_node(scale: Scale) -> Outcome {
    let upstream = Mitto::start();
    let Some(cluster) = Cluster::start(builder(&upstream)).await else { return Outcome::left_out(MISSING) };
    try_out(scale, &upstream, cluster.balancer.acme(), &cluster.nodes).await
}

fn builder(upstream: &Mitto) -> Builder {
    let builder = Gateway::builder().log("error").mitto_with("mitto", upstream, "concurrency = 256");
    builder.route("default", "use = [\"mitto\"]")
}

/// Receipts go to the nodes in turn.
async fn try_out(scale: Scale, upstream: &Mitto, caller: Caller, nodes: &[Gateway]) -> Outcome {
    let (count, mut luck) = (scale.of(5_000_u32, 200), Luck::thrown());
    upstream.answer_after(LATENCY);
    let load = tokio::spawn(Load::exactly(caller, Pace::otp(600), count));
    let (gateway, hosts) = (nodes.first().expect("a node"), nodes.iter().map(Gateway::url).collect::<Vec<_>>());
    let (mut plans, mut posts, mut before) = (BTreeMap::new(), JoinSet::new(), 0);
    let mut known = 0;
    while plans.len() < count as usize {
        let sends = upstream.sends();
        for send in sends.iter().skip(known) {
            let words: Vec<&'static str> = (0..luck.of_range(1..6)).map(|_| *luck.pick(&WORDS)).collect();
            let first = luck.pause(0..300);
            before += usize::from(first < LATENCY);
            let urls = at_each(&hosts, send.callback.as_deref().expect("a receipt URL"), luck.of_range(0..3));
            posts.spawn(post_all((gateway.http().clone(), urls), send.clone(), (first, words.clone())));
            plans.insert(send.reference.clone(), words);
        }
        known = sends.len();
        sleep(Duration::from_millis(40)).await;
    }
    let sent = load.await.expect("the load ends");
    let refused: usize = posts.join_all().await.into_iter().sum();
    let strangers = unknown_ids(gateway, upstream).await;
    let plans = Arc::new(plans);
    // Receipts become durable in batches; the last one a moment after its answer.
    let settled = async || {
        let wrong = wrong(gateway, &sent, &plans).await;
        wrong.is_empty().then_some(())
    };
    let done = tokio::time::timeout(
        Duration::from_secs(15),
        eventually("every status is right", Duration::from_mins(1), settled),
    );
    let wrong = if done.await.is_ok() { Vec::new() } else { wrong(gateway, &sent, &plans).await };
    for wrong in wrong.iter().take(5) {
        note(&format!("  {wrong}"));
    }
    let result = format!(
        "{} with a wrong final status; {before} sequences began before the answer; {refused} receipts not answered 200; {strangers} of 20 unknown ids not taken calmly",
        wrong.len()
    );
    Outcome::new(
        format!("{count} messages, 1–5 receipts each"),
        result,
        wrong.is_empty() && refused == 0 && strangers == 0,
    )
}

async fn wrong(
    gateway: &Gateway,
    sent: &[crate::load::Sent],
    plans: &BTreeMap<String, Vec<&'static str>>,
) -> Vec<String> {
    let told = messages(&gateway.acme(), sent).await;
    let off = told.iter().filter_map(|message| {
        let words = plans.get(text(message, "id"))?;
        let (is, should) = (text(message, "status"), expected(words));
        (is != should).then(|| format!("{is} instead of {should} after {words:?}"))
    });
    off.collect()
}

/// A receipt URL at each of these hosts, from one of them on.
fn at_each(hosts: &[String], callback: &str, first: u64) -> Vec<String> {
    let path = callback.find("/receipts/").and_then(|at| callback.get(at..)).expect("a path for receipts");
    let first = usize::try_from(first).expect("small");
    hosts.iter().cycle().skip(first).take(hosts.len()).map(|host| format!("{host}{path}")).collect()
}

/// Hands in the receipts of one message; how many were not answered 200.
async fn post_all(
    (http, urls): (reqwest::Client, Vec<String>),
    send: MittoSend,
    (first, words): (Duration, Vec<&'static str>),
) -> usize {
    sleep(first).await;
    let mut refused = 0;
    for (word, url) in words.into_iter().zip(urls.iter().cycle()) {
        let body = json!({ "messageId": send.id, "status": word, "errorcode": "0", "reference": send.reference });
        let answer = http.post(url).json(&body).send().await;
        refused += usize::from(!answer.is_ok_and(|answer| answer.status().is_success()));
    }
    refused
}

/// Receipts for messages that nobody sent: never a 5xx.
async fn unknown_ids(gateway: &Gateway, upstream: &Mitto) -> usize {
    let url = upstream.sends().last().and_then(|send| send.callback.clone()).expect("a receipt URL");
    let mut strange = 0;
    for n in 0..20 {
        let body: Value = json!({ "messageId": format!("{n:032x}"), "status": "Sent", "errorcode": "0" });
        let answer = gateway.http().post(url.as_str()).json(&body).send().await.expect("an answer");
        strange += usize::from(answer.status().is_server_error());
    }
    strange
}
