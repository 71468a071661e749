//! A simulated disk in memory that distinguishes synced from only written data.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use crate::rng::Rng;

/// The unit that a power cut either keeps or loses, in bytes.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
struct State {
    /// What was synced: a power cut keeps it.
    synced: Vec<u8>,
    /// What was written: the program reads it.
    current: Vec<u8>,
    /// Writes since the last sync: offset and length in `current`.
    pending: Vec<(u64, usize)>,
    resized: bool,
    /// The number of calls so far, and from which call on all fail; `None`: none does.
    calls: u64,
    fail_at: Option<u64>,
    /// Set by a power cut: all later calls of the old program fail.
    dead: bool,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// A disk with this content.
    pub fn with(content: Vec<u8>) -> Self {
        let state = State { synced: content.clone(), current: content, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// What was written to it, synced or not.
    pub fn content(&self) -> Vec<u8> {
        self.lock().current.clone()
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.lock().current.len()
    }

    /// Cuts the power: a random subset of the sectors not synced is lost. Returns the disk as it is afterwards.
    pub fn power_cut(&self, rng: &mut Rng) -> Self {
        let mut state = self.lock();
        state.dead = true;
        let mut left = state.synced.clone();
        if state.resized && rng.chance(50) {
            left.resize(state.current.len(), 0);
        }
        for (offset, length) in &state.pending {
            let mut at = *offset as usize;
            let end = at + length;
            while at < end {
                let stop = ((at / SECTOR + 1) * SECTOR).min(end);
                if stop <= left.len() && rng.chance(50) {
                    left[at..stop].copy_from_slice(&state.current[at..stop]);
                }
                at = stop;
            }
        }
        Self::with(left)
    }

    /// Makes the `call`-th call from now on fail, and all after it.
    pub fn fail_at(&self, call: u64) {
        let mut state = self.lock();
        state.fail_at = Some(state.calls + call);
    }

    /// Whether a call has failed.
    pub fn has_failed(&self) -> bool {
        let state = self.lock();
        state.fail_at.is_some_and(|at| state.calls >= at)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) -> io::Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.calls += 1;
        let fails = state.fail_at.is_some_and(|at| state.calls >= at);
        if state.dead || fails { Err(io::Error::other("the disk has failed")) } else { Ok(state) }
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.call()?.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.call()?;
        let from = offset as usize;
        let bytes = state.current.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::other("read beyond the end"))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.call()?;
        state.current.resize(len as usize, 0);
        state.resized = true;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.call()?;
        let State { synced, current, pending, resized, .. } = &mut *state;
        if *resized {
            synced.resize(current.len(), 0);
            *resized = false;
        }
        for (offset, length) in pending.drain(..) {
            let range = offset as usize..(offset as usize + length).min(current.len());
            synced[range.clone()].copy_from_slice(&current[range]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.call()?;
        let range = offset as usize..offset as usize + data.len();
        let target = state.current.get_mut(range).ok_or_else(|| io::Error::other("write beyond the end"))?;
        target.copy_from_slice(data);
        state.pending.push((offset, data.len()));
        Ok(())
    }
}
