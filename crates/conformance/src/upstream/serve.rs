//! The thread: takes connections, reads requests, and does to them what the script says.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::later::{self, Callbacks, Called};
use super::{Behaviour, Dialect, Reply, Request};

/// A running upstream; dropping it ends the thread and breaks its connections.
pub struct Upstream {
    at: SocketAddr,
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
}

struct Shared {
    callbacks: Callbacks,
    connections: AtomicUsize,
    dialect: Box<dyn Dialect>,
    open: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    behaviour: Behaviour,
    read: usize,
    requests: VecDeque<Arc<Request>>,
}

/// Answered when it has taken effect.
struct Command {
    behaviour: Behaviour,
    done: blocking::Sender<()>,
}

impl Upstream {
    /// Listens on a free port of 127.0.0.1 and accepts.
    ///
    /// # Panics
    /// When loopback cannot be listened on.
    #[expect(clippy::expect_used, reason = "a test without its upstream should stop")]
    pub fn start(dialect: impl Dialect) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let at = listener.local_addr().expect("a bound socket");
        let state = State { behaviour: Behaviour::Accept, read: 0, requests: VecDeque::new() };
        let shared = Arc::new(Shared {
            callbacks: Callbacks::default(),
            connections: AtomicUsize::new(0),
            dialect: Box::new(dialect),
            open: AtomicUsize::new(0),
            state: Mutex::new(state),
        });
        let (commands, inbox) = mpsc::unbounded_channel();
        let theirs = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let thread = std::thread::Builder::new().name("upstream".to_owned());
        let running = thread.spawn(move || runtime.block_on(run(at, listener, theirs, inbox)));
        drop(running.expect("a thread")); // it ends when `commands` is dropped
        Self { at, commands, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// Changes what happens to requests from now on; in effect when this returns.
    pub fn behave(&self, behaviour: Behaviour) {
        let (done, wait) = blocking::channel();
        if self.commands.send(Command { behaviour, done }).is_ok() {
            wait.recv().unwrap_or_default(); // an error says that the thread is gone, and with it everything else
        }
    }

    /// The requests read so far, oldest first; the last two hundred thousand.
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.shared.state().requests.iter().cloned().collect()
    }

    /// How many requests were read, ever.
    pub fn wire_requests(&self) -> usize {
        self.shared.state().read
    }

    /// How many connections were taken, ever.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The callbacks made so far.
    pub fn called(&self) -> Vec<Called> {
        self.shared.callbacks.made()
    }

    /// Forgets requests and callbacks; counts go on.
    pub fn forget(&self) {
        self.shared.state().requests.clear();
        self.shared.callbacks.forget();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides, records and numbers.
    fn record(&self, mut request: Request) -> Arc<Request> {
        let mut state = self.state();
        state.read += 1;
        request.number = state.read;
        request.behaviour = self.dialect.behaviour(&request).unwrap_or(state.behaviour);
        let request = Arc::new(request);
        if state.requests.len() == REQUESTS_MAX {
            state.requests.pop_front();
        }
        state.requests.push_back(Arc::clone(&request));
        request
    }
}

async fn run(
    at: SocketAddr,
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut listener = TcpListener::from_std(listener).ok();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some(Command { behaviour, done }) = command else { return };
                if behaviour == Behaviour::RefuseConnect {
                    listener = None;
                    connections.shutdown().await;
                } else if listener.is_none() {
                    listener = Some(bind(at).await);
                }
                shared.state().behaviour = behaviour;
                done.send(()).unwrap_or_default(); // nobody may be waiting any more
            }
            Some(stream) = accept(listener.as_ref()) => {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let _open = Open::new(&shared.open);
                    drop(serve(stream, &shared).await); // a peer that breaks off is no news here
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Counts a connection for as long as it lives.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// The port was ours a moment ago; whoever holds it now lets go soon.
async fn bind(at: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(at).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        if buffer.is_empty() {
            stream.readable().await?;
        }
        if shared.state().behaviour == Behaviour::HangBeforeRead {
            std::future::pending::<()>().await;
        }
        let Some(request) = Request::read(&mut stream, &mut buffer).await? else { return Ok(()) };
        let request = shared.record(request);
        let behaviour = request.behaviour;
        let latency = shared.dialect.latency(&request);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let calls = shared.dialect.calls(&request, behaviour);
        if let Some(verdict) = behaviour.verdict() {
            stream.write_all(&shared.dialect.reply(&request, verdict).bytes()).await?;
        }
        for call in calls {
            let shared = Arc::clone(shared);
            tokio::spawn(async move { later::make(call, &shared.callbacks).await });
        }
        match behaviour {
            Behaviour::Garbage => stream.write_all(&garbage(&request).bytes()).await?,
            Behaviour::HangAfterRead | Behaviour::HangBeforeRead | Behaviour::RefuseConnect => {
                return gone(&mut stream).await;
            }
            Behaviour::HugeBody => return flood(&mut stream).await,
            Behaviour::ResetAfterRead => return stream.set_zero_linger(),
            Behaviour::SlowHeaders => return dribble(&mut stream).await,
            Behaviour::Accept
            | Behaviour::BadCredentials
            | Behaviour::RejectContent
            | Behaviour::RejectNumber
            | Behaviour::ServerError
            | Behaviour::Throttle(_) => {}
        }
    }
}

/// A page that quotes the request, as careless servers do.
fn garbage(request: &Request) -> Reply {
    let headers: Vec<_> = request.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    let body = String::from_utf8_lossy(&request.body);
    let page = format!("<html>{} {}\n{}{body}</html>", request.method, request.target, headers.concat());
    Reply::text(200, &page).with("content-type", "text/html")
}

/// Waits for the peer to go.
async fn gone(stream: &mut TcpStream) -> io::Result<()> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

async fn flood(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{").await?;
    let chunk = vec![b' '; 16 * 1024];
    loop {
        stream.write_all(&chunk).await?;
        tokio::time::sleep(Duration::from_millis(1)).await; // a reader without a bound lives to be caught
    }
}

async fn dribble(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").await?;
    let (mut reading, mut writing) = stream.split();
    let mut ignored = [0; 1];
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(20)) => writing.write_all(b"a").await?,
            read = reading.read(&mut ignored) => if read? == 0 { return Ok(()) },
        }
    }
}

const REQUESTS_MAX: usize = 200_000;
