//! Several clients at once, who work, rest and go home together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::writer::Writer;

/// How often somebody at rest looks whether there is work.
const LOOK: Duration = Duration::from_millis(2);
/// How long the last request before a rest may take: a site may have to start first.
const PATIENCE: Duration = Duration::from_secs(65);

/// What the clients have in common.
#[derive(Default)]
struct Common {
    working: AtomicBool,
    ended: AtomicBool,
    /// Clients in the middle of something.
    busy: AtomicUsize,
    /// Acknowledged deeds.
    deeds: AtomicUsize,
    /// What went wrong; who met it went home.
    refused: Mutex<Vec<String>>,
}

/// Clients with a thread each; they rest at first.
pub struct Crowd {
    common: Arc<Common>,
    threads: Vec<JoinHandle<Writer>>,
}

/// What a crowd did.
pub struct Done {
    /// Acknowledged deeds.
    pub deeds: usize,
    /// Of these, such as a kill interrupted.
    pub broken: usize,
    /// What went wrong.
    pub refused: Vec<String>,
}

impl Crowd {
    /// Clients who do anything when they work, `pace` between two requests.
    pub fn new(writers: Vec<Writer>, pace: Duration) -> Self {
        let common = Arc::new(Common::default());
        let start = |writer| {
            let common = common.clone();
            std::thread::spawn(move || live(writer, &common, pace))
        };
        Self { threads: writers.into_iter().map(start).collect(), common }
    }

    /// Everybody works.
    pub fn work(&self) {
        self.common.working.store(true, Ordering::SeqCst);
    }

    /// Everybody finishes what they are at, and rests. Errors: somebody does not finish.
    pub fn rest(&self) -> anyhow::Result<()> {
        self.common.working.store(false, Ordering::SeqCst);
        let begun = Instant::now();
        while self.common.busy.load(Ordering::SeqCst) > 0 {
            ensure!(begun.elapsed() < PATIENCE, "a client is still not answered");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Acknowledged deeds so far.
    pub fn deeds(&self) -> usize {
        self.common.deeds.load(Ordering::SeqCst)
    }

    /// Everybody finishes and goes home.
    pub fn end(self) -> Done {
        self.common.ended.store(true, Ordering::SeqCst);
        let broken = self.threads.into_iter().filter_map(|thread| Some(thread.join().ok()?.broken)).sum();
        let refused = std::mem::take(&mut *self.common.refused.lock().unwrap_or_else(PoisonError::into_inner));
        Done { deeds: self.common.deeds.load(Ordering::SeqCst), broken, refused }
    }
}

fn live(mut writer: Writer, common: &Common, pace: Duration) -> Writer {
    while !common.ended.load(Ordering::SeqCst) {
        common.busy.fetch_add(1, Ordering::SeqCst);
        let done = common.working.load(Ordering::SeqCst).then(|| writer.anything());
        common.busy.fetch_sub(1, Ordering::SeqCst);
        match done {
            Some(Ok(())) => {
                common.deeds.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(pace);
            }
            Some(Err(error)) => {
                common.refused.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
                break;
            }
            None => std::thread::sleep(LOOK),
        }
    }
    writer
}

/// How many went home and what the first of them met, for people.
pub fn refusals(refused: &[String]) -> String {
    let first = refused.first().map_or(String::new(), |first| format!(", first: {first}"));
    format!("{} refused{first}", refused.len())
}
