//! A change chunk taken apart and put together again, right or wrong; and panics as values.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use automerge::Change;

use crate::change::scan;
use crate::change::varint::{Reader, put_unsigned};

/// The fields of a change chunk as they lie there.
#[derive(Clone, Debug)]
pub(in crate::change) struct Raw {
    pub(in crate::change) dependencies: Vec<[u8; 32]>,
    pub(in crate::change) actor: Vec<u8>,
    pub(in crate::change) seq: u64,
    pub(in crate::change) start_op: u64,
    pub(in crate::change) time: i64,
    pub(in crate::change) message: Vec<u8>,
    pub(in crate::change) others: Vec<Vec<u8>>,
    pub(in crate::change) columns: Vec<(u64, Vec<u8>)>,
    pub(in crate::change) extra: Vec<u8>,
}

impl Raw {
    /// Takes a well-formed chunk apart.
    pub(in crate::change) fn read(chunk: &[u8]) -> Option<Self> {
        let mut reader = Reader(chunk.get(9..)?);
        reader.unsigned()?;
        let mut dependencies = Vec::new();
        for _ in 0..reader.unsigned()? {
            dependencies.push(reader.array()?);
        }
        let actor = prefixed(&mut reader)?;
        let (seq, start_op, time) = (reader.unsigned()?, reader.unsigned()?, reader.signed()?);
        let message = prefixed(&mut reader)?;
        let mut others = Vec::new();
        for _ in 0..reader.unsigned()? {
            others.push(prefixed(&mut reader)?);
        }
        let mut table = Vec::new();
        for _ in 0..reader.unsigned()? {
            table.push((reader.unsigned()?, reader.unsigned()?));
        }
        let mut columns = Vec::new();
        for (id, length) in table {
            columns.push((id, reader.take(length)?.to_vec()));
        }
        let extra = reader.0.to_vec();
        Some(Self { dependencies, actor, seq, start_op, time, message, others, columns, extra })
    }

    /// The chunk of these fields, sealed.
    pub(in crate::change) fn write(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_unsigned(&mut body, self.dependencies.len() as u64);
        self.dependencies.iter().for_each(|hash| body.extend_from_slice(hash));
        put_prefixed(&mut body, &self.actor);
        put_unsigned(&mut body, self.seq);
        put_unsigned(&mut body, self.start_op);
        put_signed(&mut body, self.time);
        put_prefixed(&mut body, &self.message);
        put_unsigned(&mut body, self.others.len() as u64);
        self.others.iter().for_each(|actor| put_prefixed(&mut body, actor));
        put_unsigned(&mut body, self.columns.len() as u64);
        for (id, bytes) in &self.columns {
            put_unsigned(&mut body, *id);
            put_unsigned(&mut body, bytes.len() as u64);
        }
        self.columns.iter().for_each(|(_, bytes)| body.extend_from_slice(bytes));
        body.extend_from_slice(&self.extra);
        chunk(&body)
    }

    /// The bytes of column `id`, made if there is none, for a test to write in.
    pub(in crate::change) fn column(&mut self, id: u64) -> &mut Vec<u8> {
        let place = self.columns.partition_point(|(other, _)| *other < id);
        if self.columns.get(place).is_none_or(|(other, _)| *other != id) {
            self.columns.insert(place, (id, Vec::new()));
        }
        &mut self.columns[place].1
    }
}

/// A change chunk around `body`, sealed.
pub(in crate::change) fn chunk(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1];
    put_unsigned(&mut bytes, body.len() as u64);
    bytes.extend_from_slice(body);
    seal(bytes)
}

/// Sets the right checksum. What the scan or Automerge's parser refuses anyway keeps a wrong one.
pub(in crate::change) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    if scan(&bytes).is_ok()
        && let Ok(Ok(change)) = quietly(|| Change::try_from(&bytes[..]))
    {
        bytes[4..8].copy_from_slice(&change.hash().0[..4]);
    }
    bytes
}

/// The body of a chunk: all after the length.
pub(in crate::change) fn body(chunk: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(chunk.get(9..)?);
    reader.unsigned()?;
    Some(reader.0)
}

fn prefixed(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let length = reader.unsigned()?;
    reader.take(length).map(<[u8]>::to_vec)
}

fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    put_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends `value` as signed LEB128.
pub(in crate::change) fn put_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 && low & 0x40 == 0 || value == -1 && low & 0x40 != 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Keeps panics that [`quietly`] catches off the screen; all others are shown as before.
pub(in crate::change) fn quieten_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                shown(info);
            }
        }));
    });
}

/// Runs `work` and answers a panic as its message.
pub(in crate::change) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".to_owned())
    })
}
