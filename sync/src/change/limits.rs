//! Every bound of a canonical change (R6). They decide what is void, so a change here changes the rules of the
//! log: a page in `docs/decisions/` first.

/// Operations in one change. A Text of N characters is N operations, so this is the longest paste or cut; at this
/// cap a change of 64 bytes costs 42 ms and 24 MB to apply.
pub const MAX_OPERATIONS: u64 = 65_536;

/// Operations on the root map in one change. A flat document never needs more than a few hundred; at this cap a
/// bomb costs 2.4 ms, and the next put over its key stays cheap.
pub const MAX_ROOT_OPERATIONS: u64 = 4_096;

/// Predecessors in one change, all operations together: twice [`MAX_OPERATIONS`], for conflicts that are
/// resolved. Ten million of them cost 100 MB in Automerge's parser, before anything of its own could refuse.
pub const MAX_PREDECESSORS: u64 = 131_072;

/// Bytes of keys and values once run lengths are expanded (4 MiB): 200,000 operations on one key of 8 KB are a
/// change of 8 KB and 1.6 GB of memory.
pub const MAX_EXPANDED_BYTES: u64 = 4 << 20;

/// Actors a change may name beside its own: the predecessors of one edit come from few hands.
pub const MAX_OTHER_ACTORS: u64 = 64;

/// The highest operation counter of a document (R6): what a document costs to load grows with its operations, so
/// whoever may write to one could otherwise make each touch of it cost minutes. A document that outgrows this is
/// closed with a successor (R7). Automerge itself keeps counters in 32 bits, and panics beyond.
pub const MAX_COUNTER: u64 = (1 << 21) - 1;

/// The highest seq of an actor: each change has at least one operation, so no more than [`MAX_COUNTER`].
pub const MAX_SEQ: u64 = MAX_COUNTER;

/// Bytes of a key of the root map, in UTF-8. Keys are field names and, for entries, an id with a prefix.
pub const MAX_KEY_BYTES: u64 = 256;
