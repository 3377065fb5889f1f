//! A certificate that is wrong in any way ends the connection before a byte of the request is written.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up should stop")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use serde_json::json;
use sms_core::{Fate, Kind, SendError};
use sms_rest::{Answer, Client, ClientOptions, HeaderMap, Url};
use tokio::time::Instant;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
}

fn leaf(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).unwrap()
}

/// Serves one certificate; the counter holds the bytes of plain text that clients sent.
fn serve(chain: CertificateDer<'static>, key: &KeyPair) -> (SocketAddr, Arc<AtomicUsize>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let bytes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&bytes);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = Stream::new(&mut session, &mut socket);
            let mut buffer = [0; 4096];
            let Ok(read) = tls.read(&mut buffer) else { continue };
            counter.fetch_add(read, Ordering::SeqCst);
            drop(tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"));
        }
    });
    (at, bytes)
}

async fn offer(authority: &Authority, at: SocketAddr) -> Result<Answer, SendError> {
    let options = ClientOptions {
        ca_pem: Some(authority.pem.clone().into_bytes()),
        connect_timeout: Duration::from_secs(5),
        ..ClientOptions::default()
    };
    let url = Url::parse(&format!("https://localhost:{}/sms", at.port())).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    Client::build(&options).unwrap().post_json(&url, &HeaderMap::new(), &json!({}), deadline).await
}

async fn is_refused(authority: &Authority, chain: CertificateDer<'static>, key: &KeyPair) {
    let (at, bytes) = serve(chain, key);
    let error = offer(authority, at).await.unwrap_err();
    assert_eq!((error.kind, error.fate), (Kind::Unavailable, Fate::NotSent), "{error}");
    assert!(error.detail.contains("certificate"), "{error}");
    assert_eq!(bytes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_good_certificate_is_taken() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let chain = leaf("localhost").signed_by(&key, &authority.issuer).unwrap();
    let (at, bytes) = serve(chain.into(), &key);
    assert_eq!(offer(&authority, at).await.unwrap().status, 200);
    assert!(bytes.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let chain = leaf("elsewhere.example").signed_by(&key, &authority.issuer).unwrap();
    is_refused(&authority, chain.into(), &key).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let mut params = leaf("localhost");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let chain = params.signed_by(&key, &authority.issuer).unwrap();
    is_refused(&authority, chain.into(), &key).await;
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let key = KeyPair::generate().unwrap();
    let chain = leaf("localhost").signed_by(&key, &Authority::new().issuer).unwrap();
    is_refused(&Authority::new(), chain.into(), &key).await;
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused() {
    let key = KeyPair::generate().unwrap();
    let chain = leaf("localhost").self_signed(&key).unwrap();
    is_refused(&Authority::new(), chain.into(), &key).await;
}
