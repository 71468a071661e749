//! Honest edits and honest histories, made by Automerge's own transactions as the node makes them.

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value};

use super::rng::Rng;

const KEYS: [&str; 9] = ["status", "title", "priority", "assignee", "due", "c/01hx", "c/02ké", "🔧", "x"];
const WORDS: [&str; 9] = ["badge reader ", "é", "naïve ", "👩‍👩‍👧‍👦", "🇫🇷", "e\u{301}", "\u{fffc}", "dead\n", "日本"];

/// The changes of a random history in causal order: two to five actors, 10 to 400 steps, a quarter of them merges.
pub(super) fn history(rng: &mut Rng, natural_key: bool) -> Vec<Vec<u8>> {
    let actors = 2 + rng.below(4);
    let steps = 10 + mostly_small(rng);
    let mut first = AutoCommit::new().with_actor(actor(rng));
    genesis(rng, &mut first, natural_key);
    let mut documents = vec![first];
    for _ in 1..actors {
        let mut document = documents[0].fork();
        if natural_key && rng.chance(40) {
            document = AutoCommit::new().with_actor(actor(rng));
            genesis(rng, &mut document, true);
        }
        document.set_actor(actor(rng));
        documents.push(document);
    }
    for _ in 0..steps {
        let at = rng.below(actors);
        let mut document = documents.swap_remove(at);
        if rng.chance(25) {
            let other = rng.below(documents.len());
            document.merge(&mut documents[other]).expect("honest documents merge");
        } else {
            edit(rng, &mut document);
        }
        documents.push(document);
    }
    let mut all = documents.swap_remove(0);
    for other in &mut documents {
        all.merge(other).expect("honest documents merge");
    }
    all.get_changes(&[]).iter().map(|change| change.raw_bytes().to_vec()).collect()
}

/// Up to 390, mostly small: long histories are dear and teach little more.
fn mostly_small(rng: &mut Rng) -> usize {
    let most = 1 + rng.below(20).pow(2);
    rng.below(most) + rng.below(30)
}

pub(super) fn actor(rng: &mut Rng) -> ActorId {
    rng.bytes::<16>().into()
}

fn genesis(rng: &mut Rng, document: &mut AutoCommit, natural_key: bool) {
    put(rng, document);
    for key in ["description", "notes"] {
        if !natural_key && rng.chance(75) {
            let text = document.put_object(ROOT, key, ObjType::Text).expect("the root is a map");
            document.splice_text(&text, 0, 0, &words(rng)).expect("a new text is empty");
        }
    }
    document.commit();
}

/// One honest change: one to five edits of the root and its Texts, committed. May come out empty, so no change.
pub(super) fn edit(rng: &mut Rng, document: &mut AutoCommit) {
    for _ in 0..=rng.below(5) {
        match rng.below(10) {
            0..4 => put(rng, document),
            4 => keep_winner(rng, document),
            5 => drop(document.delete(ROOT, key(rng))),
            _ => splice(rng, document),
        }
    }
    document.commit();
}

fn key(rng: &mut Rng) -> String {
    if rng.chance(2) {
        return "k".repeat(256);
    }
    (*rng.pick(&KEYS).unwrap_or(&"x")).to_owned()
}

fn put(rng: &mut Rng, document: &mut AutoCommit) {
    document.put(ROOT, key(rng), scalar(rng)).expect("the root takes scalars");
}

/// Writes the winner's value over a conflict, which Automerge encodes as a delete of the losers.
fn keep_winner(rng: &mut Rng, document: &mut AutoCommit) {
    let key = key(rng);
    if let Ok(Some((Value::Scalar(value), _))) = document.get(ROOT, &key) {
        let value = value.into_owned();
        document.put(ROOT, key, value).expect("the root takes scalars");
    }
}

fn splice(rng: &mut Rng, document: &mut AutoCommit) {
    let texts = texts(document);
    let Some(text) = rng.pick(&texts) else {
        return put(rng, document);
    };
    let length = document.length(text);
    let at = rng.below(length + 1);
    let deleted = rng.below(6).min(length - at);
    let inserted = match rng.below(4_000) {
        0 => "w".repeat(12_000),
        1..1_000 => String::new(),
        _ => words(rng),
    };
    document.splice_text(text, at, deleted as isize, &inserted).expect("the range lies in the text");
}

/// The Texts under keys of the root.
pub(super) fn texts(document: &impl ReadDoc) -> Vec<ObjId> {
    let keys: Vec<String> = document.keys(ROOT).collect();
    let values = keys.iter().flat_map(|key| document.get_all(ROOT, key.as_str()).unwrap_or_default());
    values.filter(|(value, _)| matches!(value, Value::Object(ObjType::Text))).map(|(_, id)| id).collect()
}

pub(super) fn words(rng: &mut Rng) -> String {
    (0..rng.below(5)).filter_map(|_| rng.pick(&WORDS).copied()).collect()
}

/// A scalar of any type a document may hold, edges included.
pub(super) fn scalar(rng: &mut Rng) -> ScalarValue {
    match rng.below(12) {
        0 => ScalarValue::Null,
        1 => ScalarValue::Boolean(rng.chance(50)),
        2 => ScalarValue::Int(rng.odd_number() as i64),
        3 => ScalarValue::Int(i64::MIN),
        4 => ScalarValue::Uint(rng.odd_number()),
        5 => ScalarValue::F64(*rng.pick(&[0.0, -0.0, f64::NAN, f64::INFINITY, 1.5]).unwrap_or(&0.0)),
        6 => ScalarValue::Bytes(rng.bytes::<5>().to_vec()),
        7 => ScalarValue::Bytes(Vec::new()),
        8 => ScalarValue::Str("open".into()),
        _ => ScalarValue::Str(words(rng).into()),
    }
}
