//! Concurrent writers: one thread for each client, all resumed, paused and stopped together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::writer::Writer;

/// How often a paused writer checks whether it may go on.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// How long the last request before a pause may take: a site may have to start first.
const TIMEOUT: Duration = Duration::from_secs(65);

/// What the writers share.
#[derive(Default)]
struct Shared {
    running: AtomicBool,
    stopped: AtomicBool,
    /// The number of writers in the middle of an operation.
    busy: AtomicUsize,
    /// The number of acknowledged operations.
    acknowledged: AtomicUsize,
    /// What went wrong; a writer ends at its first error.
    errors: Mutex<Vec<String>>,
}

/// Writers with a thread each; paused at first.
pub struct WriterPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Writer>>,
}

/// What the writers of a pool did.
pub struct Summary {
    /// The number of acknowledged operations.
    pub acknowledged: usize,
    /// How many of these took more than one request, because a site was killed.
    pub retried: usize,
    /// What went wrong; empty if nothing did.
    pub errors: Vec<String>,
}

impl WriterPool {
    /// A pool of writers that do random operations while it runs, with a pause of `pace` after each.
    pub fn new(writers: Vec<Writer>, pace: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let start = |writer| {
            let shared = shared.clone();
            std::thread::spawn(move || run(writer, &shared, pace))
        };
        Self { threads: writers.into_iter().map(start).collect(), shared }
    }

    /// Lets all writers write.
    pub fn resume(&self) {
        self.shared.running.store(true, Ordering::SeqCst);
    }

    /// Pauses all writers; returns when each has finished its operation. Errors: one does not within `TIMEOUT`.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.shared.running.store(false, Ordering::SeqCst);
        let begun = Instant::now();
        while self.shared.busy.load(Ordering::SeqCst) > 0 {
            ensure!(begun.elapsed() < TIMEOUT, "a client is still not answered");
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// The number of acknowledged operations so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Lets all writers finish their operation and ends them.
    pub fn stop(self) -> Summary {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let retried = self.threads.into_iter().filter_map(|thread| Some(thread.join().ok()?.retried)).sum();
        let errors = std::mem::take(&mut *self.shared.errors.lock().unwrap_or_else(PoisonError::into_inner));
        Summary { acknowledged: self.shared.acknowledged.load(Ordering::SeqCst), retried, errors }
    }
}

fn run(mut writer: Writer, shared: &Shared, pace: Duration) -> Writer {
    while !shared.stopped.load(Ordering::SeqCst) {
        shared.busy.fetch_add(1, Ordering::SeqCst);
        let result = shared.running.load(Ordering::SeqCst).then(|| writer.random_operation());
        shared.busy.fetch_sub(1, Ordering::SeqCst);
        match result {
            Some(Ok(())) => {
                shared.acknowledged.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(pace);
            }
            Some(Err(error)) => {
                shared.errors.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
                break;
            }
            None => std::thread::sleep(POLL_INTERVAL),
        }
    }
    writer
}

/// The number of errors and the first of them, as text.
pub fn error_summary(errors: &[String]) -> String {
    let first = errors.first().map_or(String::new(), |first| format!(", first: {first}"));
    format!("{} refused{first}", errors.len())
}
