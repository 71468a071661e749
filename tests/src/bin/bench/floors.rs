//! The shortest programs that do the same: what Archipel's figures are measured against.

use std::path::Path;
use std::time::{Duration, Instant};

use automerge::{Automerge, Change};
use redb::{Database, TableDefinition};

use super::pair::Pair;

/// Bytes of one compressed frame, as in the peers' trials.
const FRAME: usize = 256 * 1024;
const RAW: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("raw");

/// The changes one after the other under zstd-3, in frames of 256 KiB.
pub fn compressed(changes: &[Vec<u8>]) -> anyhow::Result<usize> {
    let mut total = 0;
    for frame in changes.concat().chunks(FRAME) {
        total += zstd::bulk::compress(frame, 3)?.len();
    }
    Ok(total)
}

/// Hashing the changes and appending them to a table, one durable commit a frame.
pub fn durable(folder: &Path, changes: &[Vec<u8>]) -> anyhow::Result<Duration> {
    let db = Database::create(folder.join("floor.redb"))?;
    let begun = Instant::now();
    let mut left = changes;
    while !left.is_empty() {
        let mut bytes = 0;
        let count = left.iter().take_while(|change| {
            bytes += change.len();
            bytes <= FRAME || bytes == change.len()
        });
        let (frame, rest) = left.split_at(count.count());
        let tx = db.begin_write()?;
        {
            let mut table = tx.open_table(RAW)?;
            for change in frame {
                let hash = sync::change::chunk_hash(change).map(|hash| hash.0).unwrap_or_default();
                table.insert(hash.as_slice(), change.as_slice())?;
            }
        }
        tx.commit()?;
        left = rest;
    }
    Ok(begun.elapsed())
}

/// Loading each touched document, applying its changes, saving: at both sites, as far as each lacks them.
pub fn visible(pair: &Pair, changes: &[Vec<u8>]) -> anyhow::Result<Duration> {
    let mut spent = Duration::ZERO;
    for (document, missing) in pair.documents_missing(changes)? {
        let changes: Vec<Change> = missing.into_iter().filter_map(|bytes| Change::from_bytes(bytes).ok()).collect();
        let begun = Instant::now();
        let mut loaded = Automerge::load(&document)?;
        loaded.apply_changes(changes)?;
        std::hint::black_box(loaded.save_nocompress());
        spent += begun.elapsed();
    }
    Ok(spent)
}
