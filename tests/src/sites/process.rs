//! A running `archipel`: started, watched, restarted when it ends unexpectedly, and ended with this program.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::program;

/// How often the watcher checks whether a process has ended: a killed site is back after this and its own start.
const WATCH_INTERVAL: Duration = Duration::from_millis(20);
/// The shortest time between two starts, so that a site that cannot start does not use a whole core.
const RESTART_DELAY: Duration = Duration::from_millis(700);
/// How long a site may take to end after SIGTERM; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

struct State {
    child: Option<Child>,
    /// Whether the watcher restarts it.
    should_run: bool,
    started: Instant,
    /// The number of starts so far.
    starts: u64,
}

/// Every process, so that whoever ends this program at any moment ends them all.
static RUNNING: Mutex<Vec<Weak<Process>>> = Mutex::new(Vec::new());
/// This program is ending: nothing is started any more.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Ends every process; none is started again.
pub fn end_all() {
    ENDING.store(true, Ordering::SeqCst);
    let running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
    std::thread::scope(|scope| {
        for process in running.iter().filter_map(Weak::upgrade) {
            scope.spawn(move || process.stop());
        }
    });
}

/// A process that is kept running. It ends when this value is dropped.
pub struct Process {
    folder: PathBuf,
    log: PathBuf,
    state: Mutex<State>,
}

impl Process {
    /// A process on a site's folder, not running yet; it writes its log to `log`.
    pub fn new(folder: &Path, log: &Path) -> Arc<Self> {
        let state = State { child: None, should_run: false, started: Instant::now(), starts: 0 };
        let process = Arc::new(Self { folder: folder.to_owned(), log: log.to_owned(), state: Mutex::new(state) });
        let watched = Arc::downgrade(&process);
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(watched.clone());
        std::thread::spawn(move || watch(&watched));
        process
    }

    /// Starts it, and from now on again whenever it ends.
    pub fn start(&self) -> anyhow::Result<()> {
        let mut state = self.lock();
        state.should_run = true;
        self.spawn(&mut state)
    }

    /// Sends SIGTERM and waits; kills it after `STOP_TIMEOUT`.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.should_run = false;
        let Some(mut child) = state.child.take() else {
            return;
        };
        terminate(&child);
        let until = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < until {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(WATCH_INTERVAL);
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// kill -9; the watcher starts it again unless it was stopped.
    pub fn kill(&self) {
        if let Some(child) = self.lock().child.as_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// kill -9; it stays down until [`Process::start`].
    pub fn kill_without_restart(&self) {
        let mut state = self.lock();
        state.should_run = false;
        if let Some(mut child) = state.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The number of starts so far: distinguishes a process from the one before it.
    pub fn starts(&self) -> u64 {
        self.lock().starts
    }

    /// Its process id; `None` while it does not run.
    pub fn id(&self) -> Option<u32> {
        self.lock().child.as_ref().map(Child::id)
    }

    fn spawn(&self, state: &mut State) -> anyhow::Result<()> {
        anyhow::ensure!(!ENDING.load(Ordering::SeqCst), "this program is ending");
        let log = OpenOptions::new().create(true).append(true).open(&self.log).context("cannot write a log")?;
        let mut command = program::command(&self.folder)?;
        command.arg("run").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A group of its own: Ctrl-C in the terminal ends this program, which ends the sites.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        state.child = Some(command.spawn().context("archipel did not start")?);
        state.started = Instant::now();
        state.starts += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn watch(watched: &Weak<Process>) {
    while let Some(process) = watched.upgrade() {
        let mut state = process.lock();
        let ended = state.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        if state.should_run && ended && state.started.elapsed() >= RESTART_DELAY {
            // A start that fails is tried again in a later round; the log beside the folder says why.
            let _ = process.spawn(&mut state);
        }
        drop(state);
        drop(process);
        std::thread::sleep(WATCH_INTERVAL);
    }
}

/// SIGTERM, which the standard library does not have. Elsewhere the process is killed at once.
fn terminate(child: &Child) {
    signal("TERM", child.id());
}

/// Uses the shell's built-in `kill`: a program of that name is not on every machine.
fn signal(name: &str, process: u32) {
    if cfg!(unix) {
        let _ = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status();
    }
}

/// Ends processes that an earlier run left on these folders (it was killed and could not end them).
/// Needs `/proc`; a process is recognised by the site's folder in its arguments.
pub fn end_leftovers(folders: &[PathBuf]) {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return;
    };
    for entry in entries.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let on = |folder: &PathBuf| arguments.contains(&folder.as_os_str().as_encoded_bytes());
        let ours = arguments.first().is_some_and(|program| program.ends_with(b"archipel"));
        if ours && arguments.contains(&b"run".as_slice()) && folders.iter().any(on) {
            eprintln!("A site of an earlier run is ended (process {id}).");
            signal("KILL", id);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
