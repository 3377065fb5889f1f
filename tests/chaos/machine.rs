//! What this machine is and how busy: figures without it mean nothing.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// One line: processors, memory, load, kernel.
pub(crate) fn facts() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_default();
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores ({model}), {memory}, Linux {}, load {}", kernel.trim(), load())
}

/// The load averages of 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Resident memory of a process, in KiB.
pub(crate) fn rss_kib(pid: u32) -> u64 {
    let text = field(&format!("/proc/{pid}/status"), "VmRSS").expect("a running process");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number of KiB")
}

/// A window in which this process stood still for so long is repeated, so often at most.
const CALM: Duration = Duration::from_millis(500);
const AGAIN_MAX: usize = 20;

/// Notices when this process stood still: somebody stopped it, and what a row measured meanwhile means nothing.
pub(crate) struct Watch {
    longest_ms: Arc<AtomicU64>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let longest_ms = Arc::new(AtomicU64::new(0));
        let longest = Arc::clone(&longest_ms);
        std::thread::spawn(move || {
            loop {
                let began = Instant::now();
                std::thread::sleep(Duration::from_millis(50));
                let late = began.elapsed().as_millis();
                longest.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { longest_ms }
    }

    /// What a window saw during which nothing stood still; others are repeated, but not for ever.
    pub(crate) async fn calm<T>(&self, mut window: impl AsyncFnMut() -> T) -> T {
        for _ in 0..AGAIN_MAX {
            self.longest();
            let seen = window().await;
            if self.longest() < CALM {
                return seen;
            }
        }
        window().await
    }

    /// The longest standstill since it was last asked.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_millis(self.longest_ms.swap(0, Ordering::Relaxed))
    }
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
