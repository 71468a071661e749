//! Why a change is void. One arm per rule, with a code that is stored, shown and counted: codes never change.

macro_rules! reasons {
    ($($(#[$doc:meta])* $arm:ident = $code:literal,)*) => {
        /// Why a change is void, the same at every site. Each arm names the rule of `docs/rules.md` it comes from.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
        #[error("{}", self.code())]
        pub enum Reason {
            $($(#[$doc])* $arm,)*
        }

        impl Reason {
            /// All reasons, in the order the gates ask.
            pub const ALL: &[Reason] = &[$(Reason::$arm,)*];

            /// The stable name of this reason, in kebab case.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Reason::$arm => $code,)*
                }
            }

            /// The reason with this code, `None` if no version of ours gave it.
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    /// R6 scan: does not begin with Automerge's magic bytes and a whole header.
    NotAChunk = "not-a-chunk",
    /// R6: an uncompressed change chunk, not a document, a compressed change, a bundle or something unknown.
    WrongChunkType = "wrong-chunk-type",
    /// R6 scan: the chunk is shorter or longer than its header says.
    WrongChunkLength = "wrong-chunk-length",
    /// R6 scan: a field ends beyond the chunk, or a number is not in its shortest form or beyond 64 bits.
    BrokenField = "broken-field",
    /// R6: an actor that is not 16 bytes, so not derived from (site or device, generation, document).
    ActorLength = "actor-length",
    /// R6: time is 0; times are facts of the record.
    HasTime = "has-time",
    /// R6: no message.
    HasMessage = "has-message",
    /// R6: no extra bytes, so no author either.
    HasExtraBytes = "has-extra-bytes",
    /// R6 envelope: more than 64 other actors.
    TooManyActors = "too-many-actors",
    /// R6 envelope: dependencies are sorted, each listed once.
    DependenciesNotSorted = "dependencies-not-sorted",
    /// R6 envelope: seq is at least 1 and at most 2^21 - 1.
    SeqOutOfRange = "seq-out-of-range",
    /// R6 envelope: at least one operation.
    NoOperations = "no-operations",
    /// R6 envelope: operations are numbered from at least 1 to at most 2^21 - 1.
    LastOperationTooHigh = "last-operation-too-high",
    /// R6 scan: a column no canonical change has (marks, compressed, unknown).
    UnknownColumn = "unknown-column",
    /// R6 scan: columns in ascending order, each once.
    ColumnOrder = "column-order",
    /// R6 scan: a column that every change has is not there.
    MissingColumn = "missing-column",
    /// R6 scan: a column does not decode into runs.
    BrokenColumn = "broken-column",
    /// R6 scan: a column is not as long as the column of actions (predecessors: as the sum of their counts).
    ColumnLength = "column-length",
    /// R6 scan: value bytes are not the sum of the value lengths.
    ValueLength = "value-length",
    /// R6 scan: more than 65,536 operations.
    TooManyOperations = "too-many-operations",
    /// R6 scan: more than 4,096 operations on the root map.
    TooManyRootOperations = "too-many-root-operations",
    /// R6 scan: more than 131,072 predecessors.
    TooManyPredecessors = "too-many-predecessors",
    /// R6 scan: more than 4 MiB of keys and values once expanded.
    ExpandsTooFar = "expands-too-far",
    /// R6 operations: an operation names an actor index that is not in the table of actors.
    ActorIndex = "actor-index",
    /// R6 operations: an operation names a counter below 1 or above 2^21 - 1.
    CounterOutOfRange = "counter-out-of-range",
    /// R5: map, list or table; a document is one flat map and its genesis Texts.
    NestedObject = "nested-object",
    /// R5: no counters, so nothing increments.
    Increment = "increment",
    /// R5: no marks.
    Mark = "mark",
    /// R5: an action this version does not know.
    UnknownAction = "unknown-action",
    /// R5: no counters.
    CounterValue = "counter-value",
    /// R5, R28: no timestamps; a moment is an integer or the HLC of its record.
    TimestampValue = "timestamp-value",
    /// R5: a value type this version does not know.
    UnknownValueType = "unknown-value-type",
    /// R6 operations: a key of the root is at least one byte.
    EmptyKey = "empty-key",
    /// R6 operations: a key of the root is at most 256 bytes.
    KeyTooLong = "key-too-long",
    /// R6: Automerge's parser refuses the bytes.
    DoesNotParse = "does-not-parse",
    /// R6, R8: decoding or encoding these bytes panics, whatever is held; a panic later is never a reason.
    PanicsOnDecode = "panics-on-decode",
    /// R6: encoding the decoded change gives other bytes (the checksum counts).
    NotCanonical = "not-canonical",
    /// R6 operations: the root has map keys.
    ElementOnRoot = "element-on-root",
    /// R6 operations: nothing is inserted into the root.
    InsertOnRoot = "insert-on-root",
    /// R6 operations: a Text has elements, not map keys.
    MapKeyInText = "map-key-in-text",
    /// R5: Text takes inserts and deletes; an element is never overwritten.
    OverwriteInText = "overwrite-in-text",
    /// R5: Text holds strings only.
    TextValueNotString = "text-value-not-string",
    /// R5: no object inside a Text.
    ObjectInText = "object-in-text",
    /// R6 operations: the head of a Text is no element, so it cannot be deleted.
    DeleteOfHead = "delete-of-head",
    /// R6 operations: a delete that is an insert.
    DeleteInserts = "delete-inserts",
    /// R6 operations: an insert inserts something.
    EmptyInsert = "empty-insert",
    /// R6 operations: an insert has no predecessor.
    InsertWithPredecessor = "insert-with-predecessor",
    /// R6 operations: a delete has at least one predecessor.
    DeleteWithoutPredecessor = "delete-without-predecessor",
    /// R6 operations: a predecessor is listed once.
    PredecessorTwice = "predecessor-twice",
    /// R6 operations: the predecessor of a delete in a Text is the element it names.
    PredecessorNotTheElement = "predecessor-not-the-element",
    /// R6: the actor is derived from the record's author and document, and this is another.
    ActorNotAuthor = "actor-not-author",
    /// R5: a genesis has no dependencies.
    GenesisWithDependencies = "genesis-with-dependencies",
    /// R5: a genesis is the first change of its actor.
    GenesisSeq = "genesis-seq",
    /// R5: a genesis starts at operation 1.
    GenesisStart = "genesis-start",
    /// R5: only the genesis has no dependencies.
    NoDependencies = "no-dependencies",
    /// R5: Texts are made by the genesis alone.
    TextOutsideGenesis = "text-outside-genesis",
    /// R5: no Text in a document with a natural key, which two sites may create alike.
    TextWithNaturalKey = "text-with-natural-key",
    /// R6 envelope: seq is 1 + the seq of the actor's previous change.
    WrongSeq = "wrong-seq",
    /// R6 envelope: the actor's previous change is among the dependencies themselves.
    PreviousNotADependency = "previous-not-a-dependency",
    /// R6 envelope: the first operation is 1 + the last operation of the dependencies.
    WrongStart = "wrong-start",
    /// R6 envelope: each other actor is the author of an ancestor.
    ActorOfNoAncestor = "actor-of-no-ancestor",
    /// R6 operations: the Text an operation names is made by no ancestor and not earlier in this change.
    TextUnknown = "text-unknown",
    /// R5: the object an operation names is no Text of a genesis.
    NotAGenesisText = "not-a-genesis-text",
    /// R6 operations: an element is inserted by no ancestor and not earlier in this change.
    ElementUnknown = "element-unknown",
    /// R6 operations: an element is not an insert of the same Text.
    ElementElsewhere = "element-elsewhere",
    /// R6 operations: a predecessor is made by no ancestor and not earlier in this change.
    PredecessorUnknown = "predecessor-unknown",
    /// R6 operations: a predecessor is a put on another key.
    PredecessorElsewhere = "predecessor-elsewhere",
    /// R6 operations: a predecessor is not a put (a Text is neither overwritten nor deleted).
    PredecessorNotAPut = "predecessor-not-a-put",
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn codes_are_kebab_case_and_unique() {
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert!(reason.code().chars().all(|c| c == '-' || c.is_ascii_lowercase()), "{reason}");
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert!(!Reason::ALL[..i].iter().any(|other| other.code() == reason.code()), "{reason}");
        }
    }
}
