//! The columns of a change, read by run lengths: rows are counted, never made.
//!
//! A column is a list of runs: (n > 0, value) repeats, (n < 0, n values) is literal, (0, n) is n nulls; booleans
//! alternate counts, false first. Delta columns hold differences. The work is bound by the bytes of the chunk.

use super::limits::{
    MAX_COUNTER, MAX_EXPANDED_BYTES, MAX_KEY_BYTES, MAX_OPERATIONS, MAX_PREDECESSORS, MAX_ROOT_OPERATIONS,
};
use super::reason::Reason;
use super::varint::Reader;

/// The columns of a canonical change, `None` where the change has none.
#[derive(Default)]
pub(super) struct Columns<'a> {
    object_actor: Option<&'a [u8]>,
    object_counter: Option<&'a [u8]>,
    key_actor: Option<&'a [u8]>,
    key_counter: Option<&'a [u8]>,
    key_string: Option<&'a [u8]>,
    insert: Option<&'a [u8]>,
    action: Option<&'a [u8]>,
    value_meta: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    predecessor_count: Option<&'a [u8]>,
    predecessor_actor: Option<&'a [u8]>,
    predecessor_counter: Option<&'a [u8]>,
}

/// How much a change holds, as far as run lengths tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) operations: u64,
    pub(super) root_operations: u64,
    pub(super) predecessors: u64,
    pub(super) expanded_bytes: u64,
}

impl<'a> Columns<'a> {
    /// Reads the column table and takes the bytes of each column. Nothing may follow them (extra bytes).
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Reason> {
        let mut table = *reader;
        let count = reader.unsigned().ok_or(Reason::BrokenField)?;
        for _ in 0..count {
            reader.unsigned().zip(reader.unsigned()).ok_or(Reason::BrokenField)?;
        }
        table.unsigned().ok_or(Reason::BrokenField)?;
        let (mut columns, mut previous) = (Self::default(), None);
        for _ in 0..count {
            let (id, length) = table.unsigned().zip(table.unsigned()).ok_or(Reason::BrokenField)?;
            let slot = columns.slot(id).ok_or(Reason::UnknownColumn)?;
            if previous >= Some(id) {
                return Err(Reason::ColumnOrder);
            }
            previous = Some(id);
            *slot = Some(reader.take(length).ok_or(Reason::BrokenField)?);
        }
        if reader.is_empty() { Ok(columns) } else { Err(Reason::HasExtraBytes) }
    }

    /// The column with this specification: id in the high bits, bit 3 "deflated" (never ours), type below.
    fn slot(&mut self, specification: u64) -> Option<&mut Option<&'a [u8]>> {
        Some(match specification {
            0x01 => &mut self.object_actor,
            0x02 => &mut self.object_counter,
            0x11 => &mut self.key_actor,
            0x13 => &mut self.key_counter,
            0x15 => &mut self.key_string,
            0x34 => &mut self.insert,
            0x42 => &mut self.action,
            0x56 => &mut self.value_meta,
            0x57 => &mut self.value,
            0x70 => &mut self.predecessor_count,
            0x71 => &mut self.predecessor_actor,
            0x73 => &mut self.predecessor_counter,
            _ => return None,
        })
    }

    /// Walks every column once. `actors` is the size of the actor table, the author included.
    pub(super) fn count(&self, actors: u64) -> Result<Counts, Reason> {
        let operations = self.actions()?;
        let root_operations = self.objects(operations, actors)?;
        let key_bytes = self.keys(operations, actors)?;
        same_length(booleans(self.insert.ok_or(Reason::MissingColumn)?)?, operations)?;
        let value_bytes = self.values(operations)?;
        let predecessors = self.predecessors(operations, actors)?;
        let expanded_bytes = key_bytes.saturating_add(value_bytes);
        if expanded_bytes > MAX_EXPANDED_BYTES {
            return Err(Reason::ExpandsTooFar);
        }
        Ok(Counts { operations, root_operations, predecessors, expanded_bytes })
    }

    fn actions(&self) -> Result<u64, Reason> {
        let column = self.action.unwrap_or_default();
        let operations = runs(column, Reader::unsigned, |_, action| match action.ok_or(Reason::BrokenColumn)? {
            1 | 3 | 4 => Ok(()),
            0 | 2 | 6 => Err(Reason::NestedObject),
            5 => Err(Reason::Increment),
            7 => Err(Reason::Mark),
            _ => Err(Reason::UnknownAction),
        })?;
        if operations == 0 {
            Err(Reason::NoOperations)
        } else if operations > MAX_OPERATIONS {
            Err(Reason::TooManyOperations)
        } else {
            Ok(operations)
        }
    }

    /// Answers how many operations are on the root.
    fn objects(&self, operations: u64, actors: u64) -> Result<u64, Reason> {
        let mut in_text = 0_u64;
        if let Some(column) = self.object_actor {
            same_length(runs(column, Reader::unsigned, |_, actor| actor_index(actor, actors))?, operations)?;
        }
        if let Some(column) = self.object_counter {
            let rows = runs(column, Reader::unsigned, |rows, counter| {
                in_text = in_text.saturating_add(if counter.is_some() { rows } else { 0 });
                counter.map_or(Ok(()), |counter| in_range(1, counter, counter))
            })?;
            same_length(rows, operations)?;
        }
        let on_root = operations.saturating_sub(in_text);
        if on_root > MAX_ROOT_OPERATIONS { Err(Reason::TooManyRootOperations) } else { Ok(on_root) }
    }

    /// Answers the bytes of all keys, expanded.
    fn keys(&self, operations: u64, actors: u64) -> Result<u64, Reason> {
        let mut bytes = 0_u64;
        if let Some(column) = self.key_actor {
            same_length(runs(column, Reader::unsigned, |_, actor| actor_index(actor, actors))?, operations)?;
        }
        if let Some(column) = self.key_counter {
            same_length(counters(column, 0, true)?, operations)?;
        }
        if let Some(column) = self.key_string {
            let text = |reader: &mut Reader<'a>| reader.unsigned().and_then(|length| reader.take(length));
            let rows = runs(column, text, |rows, key| match key.map(|key| key.len() as u64) {
                Some(0) => Err(Reason::EmptyKey),
                Some(length) if length > MAX_KEY_BYTES => Err(Reason::KeyTooLong),
                length => {
                    bytes = bytes.saturating_add(rows.saturating_mul(length.unwrap_or(0)));
                    Ok(())
                }
            })?;
            same_length(rows, operations)?;
        }
        Ok(bytes)
    }

    /// Answers the bytes of all values.
    fn values(&self, operations: u64) -> Result<u64, Reason> {
        let mut bytes = 0_u64;
        let rows = runs(self.value_meta.ok_or(Reason::MissingColumn)?, Reader::unsigned, |rows, meta| {
            let meta = meta.ok_or(Reason::BrokenColumn)?;
            bytes = bytes.saturating_add(rows.saturating_mul(meta >> 4));
            match meta & 0xf {
                0..=7 => Ok(()),
                8 => Err(Reason::CounterValue),
                9 => Err(Reason::TimestampValue),
                _ => Err(Reason::UnknownValueType),
            }
        })?;
        same_length(rows, operations)?;
        if bytes > MAX_EXPANDED_BYTES {
            Err(Reason::ExpandsTooFar)
        } else if bytes != self.value.unwrap_or_default().len() as u64 {
            Err(Reason::ValueLength)
        } else {
            Ok(bytes)
        }
    }

    fn predecessors(&self, operations: u64, actors: u64) -> Result<u64, Reason> {
        let mut total = 0_u64;
        let counts = self.predecessor_count.ok_or(Reason::MissingColumn)?;
        let rows = runs(counts, Reader::unsigned, |rows, count| {
            total = total.saturating_add(rows.saturating_mul(count.ok_or(Reason::BrokenColumn)?));
            Ok(())
        })?;
        same_length(rows, operations)?;
        if total > MAX_PREDECESSORS {
            return Err(Reason::TooManyPredecessors);
        }
        let actor_rows = runs(self.predecessor_actor.unwrap_or_default(), Reader::unsigned, |_, actor| {
            actor_index(Some(actor.ok_or(Reason::BrokenColumn)?), actors)
        })?;
        same_length(actor_rows, total)?;
        same_length(counters(self.predecessor_counter.unwrap_or_default(), 1, false)?, total)?;
        Ok(total)
    }
}

fn same_length(rows: u64, expected: u64) -> Result<(), Reason> {
    if rows == expected { Ok(()) } else { Err(Reason::ColumnLength) }
}

fn actor_index(actor: Option<u64>, actors: u64) -> Result<(), Reason> {
    if actor.is_none_or(|actor| actor < actors) { Ok(()) } else { Err(Reason::ActorIndex) }
}

fn in_range(lowest: u64, from: u64, to: u64) -> Result<(), Reason> {
    let range = lowest..=MAX_COUNTER;
    if range.contains(&from) && range.contains(&to) { Ok(()) } else { Err(Reason::CounterOutOfRange) }
}

/// Walks the runs of `bytes` and answers the number of rows. `visit` gets rows and value, `None` for nulls.
fn runs<'a, T>(
    bytes: &'a [u8],
    read: impl Fn(&mut Reader<'a>) -> Option<T>,
    mut visit: impl FnMut(u64, Option<T>) -> Result<(), Reason>,
) -> Result<u64, Reason> {
    let (mut reader, mut rows) = (Reader(bytes), 0_u64);
    while !reader.is_empty() {
        let length = reader.signed().ok_or(Reason::BrokenColumn)?;
        let run = match length {
            0 => {
                let nulls = reader.unsigned().filter(|nulls| *nulls > 0).ok_or(Reason::BrokenColumn)?;
                visit(nulls, None)?;
                nulls
            }
            1.. => {
                let value = read(&mut reader).ok_or(Reason::BrokenColumn)?;
                visit(length.unsigned_abs(), Some(value))?;
                length.unsigned_abs()
            }
            _ => {
                for _ in 0..length.unsigned_abs() {
                    let value = read(&mut reader).ok_or(Reason::BrokenColumn)?;
                    visit(1, Some(value))?;
                }
                length.unsigned_abs()
            }
        };
        rows = rows.checked_add(run).ok_or(Reason::BrokenColumn)?;
    }
    Ok(rows)
}

/// Walks a delta column of counters, each between `lowest` and the highest counter.
fn counters(bytes: &[u8], lowest: u64, nulls: bool) -> Result<u64, Reason> {
    let mut last = 0_i64;
    runs(bytes, Reader::signed, |rows, delta| {
        let Some(delta) = delta else {
            return if nulls { Ok(()) } else { Err(Reason::BrokenColumn) };
        };
        let end =
            i64::try_from(rows).ok().and_then(|rows| delta.checked_mul(rows)).and_then(|sum| last.checked_add(sum));
        let (first, end) = last.checked_add(delta).zip(end).ok_or(Reason::CounterOutOfRange)?;
        last = end;
        let [first, end] = [first, end].map(|counter| u64::try_from(counter).unwrap_or(u64::MAX));
        in_range(lowest, first, end)
    })
}

/// Walks a column of booleans; only the first count may be 0.
fn booleans(bytes: &[u8]) -> Result<u64, Reason> {
    let (mut reader, mut rows, mut first) = (Reader(bytes), 0_u64, true);
    while !reader.is_empty() {
        let count = reader.unsigned().filter(|count| first || *count > 0).ok_or(Reason::BrokenColumn)?;
        rows = rows.checked_add(count).ok_or(Reason::BrokenColumn)?;
        first = false;
    }
    Ok(rows)
}
