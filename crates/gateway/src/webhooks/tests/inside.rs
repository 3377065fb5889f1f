//! No URL leads inside: every address of the list, in the URL and behind a name, on listeners that count.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;

const LIST: &str = include_str!("ssrf.txt");

/// Takes connections at every address of this machine, over both protocols, on a port of its own.
struct Trap {
    port: u16,
    caught: Arc<AtomicUsize>,
}

impl Trap {
    async fn set() -> Self {
        let every = [SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))];
        let listener = TcpListener::bind(every.as_slice()).await.unwrap();
        let (port, caught) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&caught);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, caught }
    }

    /// Connections so far, with time for those on their way.
    async fn caught(&self) -> usize {
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.caught.load(Ordering::SeqCst)
    }
}

/// Lines of one kind, with the port in place.
fn lines(kind: &str, port: u16) -> Vec<String> {
    let lines = LIST.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    lines.map(|line| line.trim().replace("{port}", &port.to_string())).collect()
}

/// Names with scripted answers, one after the other; the last stays.
#[derive(Debug, Default)]
struct Script {
    answers: BTreeMap<String, Vec<Vec<IpAddr>>>,
    asked: std::sync::Mutex<BTreeMap<String, usize>>,
}

#[async_trait]
impl Lookup for Script {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let answers = self.answers.get(&name).ok_or_else(|| io::Error::other("no such name"))?;
        let mut asked = self.asked.lock().unwrap();
        let times = asked.entry(name).or_default();
        let answer = answers.get(*times).or_else(|| answers.last()).cloned().unwrap_or_default();
        *times += 1;
        Ok(answer.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect())
    }
}

fn scripted(answers: &[(&str, &[&[&str]])]) -> Arc<Script> {
    let ips = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
    let answers = answers.iter().map(|(name, turns)| ((*name).to_owned(), turns.iter().map(ips).collect()));
    Arc::new(Script { answers: answers.collect(), ..Script::default() })
}

async fn refused(webhooks: &Webhooks, url: &str) {
    for reach in [Reach::Caller, Reach::Outside] {
        let answer = webhooks.post(call(url, reach)).await;
        assert!(matches!(answer, Err(WebhookFault::Address | WebhookFault::Url)), "{url}: {answer:?}");
    }
}

#[tokio::test]
async fn the_list_is_long_and_the_trap_catches() {
    let trap = Trap::set().await;
    let urls = lines("url", trap.port);
    assert!(urls.len() >= 200, "{}", urls.len());
    let different: std::collections::BTreeSet<_> = urls.iter().collect();
    assert_eq!(different.len(), urls.len(), "no line stands twice");
    for url in ["http://127.0.0.1:{port}/", "http://127.77.1.2:{port}/", "http://2130706433:{port}/"] {
        let url = url.replace("{port}", &trap.port.to_string());
        let webhooks = of(Bounds { call: Duration::from_millis(300), ..BOUNDS });
        assert!(webhooks.post(inside(&url)).await.is_err(), "the trap says nothing");
    }
    assert_eq!(trap.caught().await, 3, "whoever gets in is counted");
}

#[tokio::test]
async fn no_url_of_the_list_leads_anywhere() {
    let (trap, webhooks) = (Trap::set().await, Webhooks::new().unwrap());
    for url in lines("url", trap.port) {
        refused(&webhooks, &url).await;
    }
    assert_eq!(trap.caught().await, 0);
}

/// Every address that the list spells out, behind an innocent name; and the names of the list.
#[tokio::test]
async fn no_name_leads_to_an_address_of_the_list() {
    let trap = Trap::set().await;
    let literal = |url: &String| Url::parse(url).ok()?.host_str()?.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let mut ips: Vec<IpAddr> = lines("url", trap.port).iter().filter_map(literal).collect();
    ips.sort_unstable();
    ips.dedup();
    assert!(ips.len() > 100, "{}", ips.len());
    let mut script = Script::default();
    let mut urls = Vec::new();
    for (n, ip) in ips.iter().enumerate() {
        let name = format!("n{n}.example.com");
        urls.push(format!("https://{name}:{}/", trap.port));
        script.answers.insert(name, vec![vec![*ip]]);
    }
    for line in lines("name", trap.port) {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap();
        script
            .answers
            .insert(name.trim_end_matches('.').to_owned(), vec![words.map(|ip| ip.parse().unwrap()).collect()]);
        urls.push(format!("https://{name}:{}/", trap.port));
    }
    let webhooks = Webhooks::with(&(Arc::new(script) as Arc<dyn Lookup>), BOUNDS).unwrap();
    for url in &urls {
        for reach in [Reach::Caller, Reach::Outside] {
            assert_eq!(webhooks.post(call(url, reach)).await, Err(WebhookFault::Address), "{url}");
        }
    }
    assert_eq!(trap.caught().await, 0);
}

/// The address that was judged is the one that is connected to: a name is asked once a call, and judged every time.
#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let trap = Trap::set().await;
    let script = scripted(&[("rebind.example.com", &[&["10.0.0.1"], &["127.0.0.1"], &["::1", "::ffff:127.0.0.1"]])]);
    let webhooks = Webhooks::with(&(Arc::clone(&script) as Arc<dyn Lookup>), BOUNDS).unwrap();
    let url = format!("https://rebind.example.com:{}/", trap.port);
    for turn in 1..=5 {
        assert_eq!(webhooks.post(call(&url, Reach::Caller)).await, Err(WebhookFault::Address));
        assert_eq!(script.asked.lock().unwrap().values().sum::<usize>(), turn, "no second look between check and use");
    }
    assert_eq!(trap.caught().await, 0);
}

#[tokio::test]
async fn a_public_answer_before_makes_no_private_one_pass() {
    use reqwest::dns::Resolve as _;
    let script =
        scripted(&[("rebind.example.com", &[&["93.184.216.34"], &["127.0.0.1"], &["93.184.216.34", "127.0.0.1"]])]);
    let resolver = PublicOnly(script);
    let ask = || resolver.resolve("rebind.example.com".parse().unwrap());
    let ips = |addrs: reqwest::dns::Addrs| addrs.map(|address| address.ip().to_string()).collect::<Vec<_>>();
    assert_eq!(ips(ask().await.unwrap()), ["93.184.216.34"]);
    assert_eq!(ask().await.err().unwrap().to_string(), resolver::REFUSED);
    assert_eq!(ips(ask().await.unwrap()), ["93.184.216.34"], "of several only the public ones are tried");
}

/// Even where the operator lets a webhook go inside, its answer leads nowhere else.
#[tokio::test]
async fn no_redirect_is_followed() {
    let (trap, webhooks) = (Trap::set().await, Webhooks::new().unwrap());
    let targets = [
        "http://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "/elsewhere",
        "\\\\127.0.0.1:{port}\\",
    ];
    for status in [300, 301, 302, 303, 304, 305, 306, 307, 308] {
        for target in targets {
            let target = target.replace("{port}", &trap.port.to_string());
            let answer = format!(
                "HTTP/1.1 {status} Moved\r\nlocation: {target}\r\nrefresh: 0;url={target}\r\nlink: <{target}>; rel=next\r\n\
                 content-length: 0\r\n\r\n"
            );
            let (url, served) = server(answer.into_bytes()).await;
            assert_eq!(webhooks.post(inside(&url)).await, Ok(answered(status)), "{status} {target}");
            assert!(served.await.unwrap().starts_with("POST /hook?token=t "), "one request");
        }
    }
    let body = format!("<meta http-equiv=refresh content=\"0;url=http://127.0.0.1:{}/\">", trap.port);
    let (url, _served) = server(format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n{body}").into_bytes()).await;
    assert_eq!(webhooks.post(inside(&url)).await, Ok(answered(200)));
    assert_eq!(trap.caught().await, 0);
}

/// A server may say that it is elsewhere, too; nobody goes there.
#[tokio::test]
async fn no_alternative_service_is_called() {
    let (trap, webhooks) = (Trap::set().await, Webhooks::new().unwrap());
    let answer =
        format!("HTTP/1.1 200 OK\r\nalt-svc: h2=\":{0}\", h3=\":{0}\"\r\ncontent-length: 0\r\n\r\n", trap.port);
    let (url, _served) = server(answer.into_bytes()).await;
    assert_eq!(webhooks.post(inside(&url)).await, Ok(answered(200)));
    assert_eq!(webhooks.post(inside(&url)).await, Err(WebhookFault::Connect), "the server took one call");
    assert_eq!(trap.caught().await, 0);
}
