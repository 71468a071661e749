//! Fuzz targets: every place where bytes of strangers are decoded, as functions that a fuzzer calls. None may panic or take
//! more memory than its bound, and what is read is written back as it was.
//!
//! `tests/fuzz` runs them with coverage; [`replay`] runs the inputs that are kept.

use std::path::Path;

use automerge::{Automerge, Change, ReadDoc as _};
use schema::authority::{AuthorityRef, Body, Signed};
use schema::codec::Canonical;
use schema::credential::Credential;
use schema::identity::{Secret, organisation};
use schema::invitation::Invitation;
use schema::join::{JoinAnswer, JoinQuestion};
use schema::policy::AuthorityLog;
use schema::record::{Record, actor};
use schema::time::Hlc;
use sync::change::{Genesis, MemoryHistory, Verdict, check_place, judge, parse};
use sync::wire::{Message, decode, encode};

/// A fuzz target and the memory that it may take.
pub struct FuzzTarget {
    /// Names it to the fuzzer, and the folder of its inputs.
    pub name: &'static str,
    /// Decodes an input and checks what came of it.
    pub run: fn(&[u8]),
    /// Memory for each byte of an input.
    ratio: usize,
    /// Memory for an input of any size.
    floor: usize,
}

impl FuzzTarget {
    /// The most memory that an input of so many bytes may take.
    pub fn most_bytes(&self, input: usize) -> usize {
        self.floor + self.ratio * input
    }
}

/// Every fuzz target.
pub const FUZZ_TARGETS: [FuzzTarget; 7] = [
    FuzzTarget { name: "record", run: record, ratio: 16, floor: 4 << 10 },
    FuzzTarget { name: "frame", run: frame, ratio: 16, floor: 1 << 20 },
    FuzzTarget { name: "statement", run: statement, ratio: 64, floor: 64 << 10 },
    FuzzTarget { name: "change", run: change, ratio: 64, floor: 64 << 20 },
    FuzzTarget { name: "invitation", run: invitation, ratio: 16, floor: 4 << 10 },
    FuzzTarget { name: "kit", run: kit, ratio: 16, floor: 4 << 10 },
    FuzzTarget { name: "join", run: join, ratio: 16, floor: 4 << 10 },
];

/// Runs every input of a corpus, a folder with one for each target; how many there were.
pub fn replay(folder: &Path) -> std::io::Result<usize> {
    let mut inputs = 0;
    for target in &FUZZ_TARGETS {
        for file in std::fs::read_dir(folder.join(target.name))? {
            (target.run)(&std::fs::read(file?.path())?);
            inputs += 1;
        }
    }
    Ok(inputs)
}

/// What is read is the only form of its value.
fn is_canonical<T: Canonical + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<T> {
    let value = T::from_bytes(bytes).ok()?;
    assert_eq!(value.to_bytes(), bytes, "what is read is written back as it was");
    Some(value)
}

fn record(bytes: &[u8]) {
    // It may have fields of a newer version, which are passed over.
    let _ = Credential::from_bytes(bytes);
    if let Some(record) = is_canonical::<Record>(bytes) {
        let _ = (record.hash(), record.skeleton.hash(), record.body_bytes());
    }
}

/// A frame, compressed or not, with every run in it.
fn frame(bytes: &[u8]) {
    let Ok(message) = decode(bytes) else {
        return;
    };
    if let Message::Newer(_) = message {
        return;
    }
    if let Message::Runs { runs, .. } = &message {
        for head in runs.heads() {
            let _ = runs.open(head);
        }
    }
    assert_eq!(decode(&encode(&message)).ok().as_ref(), Some(&message), "what is said again is the same");
}

/// A statement as it comes; and any content, signed by a sequencer, where the rules of the log decide what it does.
fn statement(bytes: &[u8]) {
    if let Some(signed) = is_canonical::<Signed>(bytes) {
        let _ = AuthorityLog::default().push(&signed);
    }
    let (root, sequencer) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let org = organisation(&root.public());
    let genesis = Body::Genesis { name: "Fuzz".into(), root: root.public(), sequencer: sequencer.public() };
    let first = Signed::new(org, AuthorityRef { epoch: 1, position: 0 }, [0; 32], Hlc(1), &genesis, &root);
    let mut log = AuthorityLog::default();
    log.push(&first).expect("the first statement stands");
    // Several contents, one behind the other, each with its kind and its length before it.
    let mut rest = bytes;
    while let [kind, high, low, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (content, after) = more.split_at(more.len().min(length));
        rest = after;
        let Ok(Some(body)) = Body::from_bytes(u16::from(*kind), content) else {
            continue;
        };
        let Some((at, previous)) = log.head() else {
            return;
        };
        let at = AuthorityRef { position: at.position + 1, ..at };
        let signer = if matches!(body, Body::HandOver { .. }) { &root } else { &sequencer };
        let before = log.len();
        match log.push(&Signed::new(org, at, previous, Hlc(1 + at.position), &body, signer)) {
            Ok(()) => assert!(log.len() > before || matches!(body, Body::HandOver { .. }), "what stands is kept"),
            Err(_) => assert_eq!(log.len(), before, "what is refused changes nothing"),
        }
    }
}

/// A change, the first of its document: what the rules let through does Automerge no harm (R6).
fn change(bytes: &[u8]) {
    let Ok(parsed) = parse(bytes) else {
        return;
    };
    let (key, generation) = (Secret::from_bytes([5; 32]), schema::id::GenerationId([2; 16]));
    let doc = schema::id::DocId([3; 32]);
    let _ = check_place(&parsed, actor(&key.public(), &generation, &doc), Genesis::No);
    let judged = judge(&parsed, parsed.actor(), Genesis::Random, &MemoryHistory::default());
    let Ok(Verdict::Applied(_)) = judged else {
        return;
    };
    let mut document = Automerge::new_with_encoding(automerge::TextEncoding::UnicodeCodePoint);
    let change: Change = parsed.into_change();
    let hash = change.hash();
    document.apply_changes([change]).expect("what the rules let through applies");
    assert!(document.get_change_by_hash(&hash).is_some());
    let saved = document.save_nocompress();
    let loaded = Automerge::load(&saved).expect("what was saved is loaded");
    assert_eq!(loaded.get_heads(), document.get_heads());
}

fn invitation(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    if let Ok(invitation) = Invitation::from_line(&line) {
        assert_eq!(Invitation::from_line(&invitation.to_line()), Ok(invitation));
    }
    is_canonical::<Invitation>(bytes);
}

fn kit(bytes: &[u8]) {
    let Some(kit) = node::kit::Kit::from_text(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    let _ = kit.params();
    if !kit.organisation.contains(':') {
        let again = node::kit::Kit::from_text(&kit.to_text()).expect("what was read is written as a kit");
        assert_eq!((again.cost, again.salt, again.nonce, again.sealed), (kit.cost, kit.salt, kit.nonce, kit.sealed));
    }
}

fn join(bytes: &[u8]) {
    is_canonical::<JoinQuestion>(bytes);
    is_canonical::<JoinAnswer>(bytes);
}
