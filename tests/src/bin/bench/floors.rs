//! The floors: minimal programs that do the same work, with which Archipel's figures are compared.
//!
//! A [`MinimalStore`] is a store with nothing but what such a program needs: an outbox of raw changes, the heads of
//! each document, the changes that came, the saved documents. [`durable`] moves what each of two lacks and makes it
//! durable without looking into any document; [`visible`] then brings the touched documents up to date.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use automerge::{Automerge, Change};
use redb::{
    Builder, Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction,
};
use schema::id::DocId;
use sync::limits::{CACHE_BYTES, FRAME_TARGET_BYTES};
use sync::store::{Source as _, Table};

use super::pair::{Missing, Pair};

type Numbered = TableDefinition<'static, u64, &'static [u8]>;
type ByDoc = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The document id (32 bytes) and the change, in the order in which they were made here.
const OUTBOX: Numbered = TableDefinition::new("outbox");
/// The same, in the order in which they came from the other.
const ARRIVED: Numbered = TableDefinition::new("arrived");
/// Hashes of the frontier of each document.
const HEADS: ByDoc = TableDefinition::new("heads");
/// The saved documents.
const SAVED: ByDoc = TableDefinition::new("saved");

const DOC: usize = 32;
const HASH: usize = 32;

/// The changes one after the other under zstd-3, in frames as large as ours.
pub fn compressed(changes: &[Missing]) -> anyhow::Result<usize> {
    let raw: Vec<u8> = changes.iter().flat_map(|missing| missing.change.iter().copied()).collect();
    raw.chunks(FRAME_TARGET_BYTES).try_fold(0, |total, frame| Ok(total + zstd::bulk::compress(frame, 3)?.len()))
}

/// A store with nothing but what is needed to exchange changes.
pub struct MinimalStore(Database);

impl MinimalStore {
    /// A store that holds what a site of the pair does: the heads of all its documents, the saved documents
    /// that it will have to bring up to date, and what the other one lacks.
    pub fn like(pair: &Pair, site: usize, name: &str, missing: &[Vec<Missing>; 2]) -> anyhow::Result<Self> {
        let path = pair.folder.join(format!("floor-{name}-{site}.redb"));
        let bare = Self(Builder::new().set_cache_size(CACHE_BYTES).create(path)?);
        let reading = pair.sites[site].read()?;
        bare.commit(|tx| {
            let (mut heads, mut saved) = (tx.open_table(HEADS)?, tx.open_table(SAVED)?);
            let (mut outbox, _) = (tx.open_table(OUTBOX)?, tx.open_table(ARRIVED)?);
            for (doc, _) in reading.prefixed(Table::Docs, &[])? {
                let doc = DocId::from_slice(&doc).context("a document's id has another length")?;
                let row = sync::docs::row(&reading, &doc)?.context("a document without a row")?;
                let hashes: Vec<u8> = row.heads.iter().flat_map(|hash| hash.0).collect();
                heads.insert(doc.0.as_slice(), hashes.as_slice())?;
            }
            for Missing { doc, .. } in &missing[1 - site] {
                saved.insert(doc.0.as_slice(), Pair::saved(&reading, doc)?.as_slice())?;
            }
            for (counter, Missing { doc, change }) in missing[site].iter().enumerate() {
                outbox.insert(counter as u64, [doc.0.as_slice(), change].concat().as_slice())?;
            }
            Ok(())
        })?;
        Ok(bare)
    }

    /// One durable transaction, as firm as those of our store.
    fn commit(&self, work: impl FnOnce(&WriteTransaction) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut tx = self.0.begin_write()?;
        tx.set_durability(Durability::Immediate)?;
        tx.set_two_phase_commit(true);
        tx.set_quick_repair(true);
        work(&tx)?;
        Ok(tx.commit()?)
    }

    /// One frame of the outbox from a counter on, and where to go on; `None` at its end.
    fn frame(&self, from: u64) -> anyhow::Result<Option<(Vec<u8>, u64)>> {
        let outbox = self.0.begin_read()?.open_table(OUTBOX)?;
        let (mut frame, mut next) = (Vec::with_capacity(FRAME_TARGET_BYTES), from);
        for row in outbox.range(from..)? {
            let (counter, value) = row?;
            frame.extend_from_slice(&(value.value().len() as u32).to_be_bytes());
            frame.extend_from_slice(value.value());
            next = counter.value() + 1;
            if frame.len() >= FRAME_TARGET_BYTES {
                break;
            }
        }
        Ok((next > from).then_some((frame, next)))
    }

    /// Verifies each change of a frame, appends it, moves the heads of its document on; durable when it returns.
    fn take(&self, frame: &[u8], from: u64) -> anyhow::Result<()> {
        self.commit(|tx| {
            let (mut arrived, mut heads) = (tx.open_table(ARRIVED)?, tx.open_table(HEADS)?);
            let mut rest = frame;
            for counter in from.. {
                let Some((length, after)) = rest.split_first_chunk::<4>() else {
                    break;
                };
                let (value, after) = after.split_at(u32::from_be_bytes(*length) as usize);
                let (doc, change) = value.split_at(DOC);
                let hash = sync::change::chunk_hash(change).context("a change is not what its hash says")?;
                let before = heads.get(doc)?.map(|row| row.value().to_vec()).unwrap_or_default();
                heads.insert(doc, moved(&before, dependencies(change), &hash.0).as_slice())?;
                arrived.insert(counter, value)?;
                rest = after;
            }
            Ok(())
        })
    }

    /// Loads each touched document, applies its changes, saves it; all in one durable transaction.
    fn show(&self) -> anyhow::Result<()> {
        let reading = self.0.begin_read()?;
        let (arrived, saved) = (reading.open_table(ARRIVED)?, reading.open_table(SAVED)?);
        let mut by_doc: BTreeMap<Vec<u8>, Vec<Change>> = BTreeMap::new();
        for row in arrived.iter()? {
            let value = row?.1.value().to_vec();
            let (doc, change) = value.split_at(DOC);
            by_doc.entry(doc.to_owned()).or_default().push(Change::from_bytes(change.to_owned())?);
        }
        self.commit(|tx| {
            let mut fresh = tx.open_table(SAVED)?;
            for (doc, changes) in by_doc {
                let before = saved.get(doc.as_slice())?.context("a touched document is not saved")?;
                let mut document = Automerge::load(before.value())?;
                document.apply_changes(changes)?;
                fresh.insert(doc.as_slice(), document.save_nocompress().as_slice())?;
            }
            Ok(())
        })
    }
}

/// Both ways: reading the outbox, framing, handing over, and per frame one durable commit of changes and heads.
pub fn durable(stores: &[MinimalStore; 2]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    for (from, to) in [(&stores[0], &stores[1]), (&stores[1], &stores[0])] {
        let mut at = 0;
        while let Some((frame, next)) = from.frame(at)? {
            to.take(&frame, at)?;
            at = next;
        }
    }
    Ok(begun.elapsed())
}

/// At both: what came is in the documents, and these are saved. After [`durable`], without its time.
pub fn visible(stores: &[MinimalStore; 2]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    stores.iter().try_for_each(MinimalStore::show)?;
    Ok(begun.elapsed())
}

/// A frontier after a change.
fn moved(before: &[u8], dependencies: &[u8], change: &[u8; HASH]) -> Vec<u8> {
    let gone = |head: &&[u8]| !dependencies.chunks(HASH).any(|dependency| dependency == *head);
    let mut heads: Vec<&[u8]> = before.chunks(HASH).filter(gone).collect();
    heads.push(change);
    heads.concat()
}

/// The hashes that a change depends on, where they lie: behind magic bytes, checksum, kind and length (LEB128).
fn dependencies(change: &[u8]) -> &[u8] {
    let body = change.get(9..).unwrap_or_default();
    let length = body.iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let count = body.get(length).copied().unwrap_or_default();
    body.get(length + 1..length + 1 + usize::from(count) * HASH).unwrap_or_default()
}
