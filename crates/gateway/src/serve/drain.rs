//! The polite end: not ready, accept nothing, finish what callers wait for, finish or park attempts, flush, leave.

use tokio::time::{Instant, timeout_at};

use super::Server;

impl Server {
    /// Ends everything within `server.drain`.
    pub async fn shutdown(self) {
        let drain = self.control.drain();
        let began = Instant::now();
        tracing::info!("stopping: accepting nothing new, {} s to finish", drain.as_secs());
        self.stages.drain.cancel();
        self.stages.callers.close();
        // Callers wait for verdicts, so the engine goes on meanwhile; but it needs its own share of the time.
        let patience = began + drain * 2 / 3;
        if timeout_at(patience, self.stages.callers.wait()).await.is_err() {
            tracing::warn!("{} connections did not end in time", self.stages.callers.len());
        }
        self.engine.shutdown(began + drain).await;
        self.stages.end.cancel();
        tracing::info!("stopped after {} ms", began.elapsed().as_millis());
    }
}
