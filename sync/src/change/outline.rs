//! A change chunk as far as its author alone knows it (R2): what R6 fixes for every canonical change is left out.

use super::ids::{Actor, Hash, sealed};
use super::varint::{Reader, put_unsigned};

/// A chunk without magic bytes, checksum, time, message and lengths. Its columns lie here as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// What it depends on, in the order of the chunk.
    pub dependencies: Vec<Hash>,
    /// Its author.
    pub actor: Actor,
    /// Its place among those of its author.
    pub seq: u64,
    /// The counter of its first operation.
    pub start_op: u64,
    /// Other actors that its operations name.
    pub others: Vec<Actor>,
    /// Table of columns and their bytes.
    pub columns: Vec<u8>,
}

impl Outline {
    /// Takes a chunk apart. `None` if [`Outline::write`] would not give back these very bytes: the chunk is not
    /// canonical, and travels whole.
    pub fn read(chunk: &[u8]) -> Option<Self> {
        let outline = read(chunk)?;
        (outline.write() == chunk).then_some(outline)
    }

    /// The chunk.
    pub fn write(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.columns.len() + 64 + self.dependencies.len() * Hash::LEN);
        put_unsigned(&mut body, self.dependencies.len() as u64);
        self.dependencies.iter().for_each(|hash| body.extend_from_slice(&hash.0));
        put_actor(&mut body, &self.actor);
        put_unsigned(&mut body, self.seq);
        put_unsigned(&mut body, self.start_op);
        // No time and no message.
        body.extend_from_slice(&[0, 0]);
        put_unsigned(&mut body, self.others.len() as u64);
        self.others.iter().for_each(|actor| put_actor(&mut body, actor));
        body.extend_from_slice(&self.columns);
        sealed(&body)
    }
}

fn read(chunk: &[u8]) -> Option<Outline> {
    // Magic bytes, checksum and type.
    let mut reader = Reader(chunk.get(9..)?);
    reader.unsigned()?;
    let mut dependencies = Vec::new();
    for _ in 0..reader.unsigned()? {
        dependencies.push(Hash(reader.array()?));
    }
    let actor = actor(&mut reader)?;
    let (seq, start_op) = (reader.unsigned()?, reader.unsigned()?);
    if reader.array::<2>()? != [0, 0] {
        return None;
    }
    let mut others = Vec::new();
    for _ in 0..reader.unsigned()? {
        others.push(self::actor(&mut reader)?);
    }
    Some(Outline { dependencies, actor, seq, start_op, others, columns: reader.0.to_vec() })
}

fn actor(reader: &mut Reader<'_>) -> Option<Actor> {
    (reader.unsigned()? == Actor::LEN as u64).then_some(())?;
    Some(Actor(reader.array()?))
}

fn put_actor(out: &mut Vec<u8>, actor: &Actor) {
    put_unsigned(out, Actor::LEN as u64);
    out.extend_from_slice(&actor.0);
}

#[cfg(test)]
mod tests {
    use super::super::tests::desk::Desk;
    use super::*;

    #[test]
    fn an_honest_change_comes_back_to_the_byte_and_others_do_not_come_apart() {
        let chunk = Desk::new().plain();
        let outline = Outline::read(&chunk).expect("an honest change comes apart");
        assert_eq!(outline.write(), chunk);
        assert!(outline.columns.len() + 40 < chunk.len(), "dependencies, actors and the head are left out");
        for at in 0..9 {
            let mut other = chunk.clone();
            other[at] ^= 1;
            assert_eq!(Outline::read(&other), None, "another byte {at} would not come back");
        }
        for end in 0..chunk.len() {
            assert_eq!(Outline::read(&chunk[..end]), None, "cut at {end}");
        }
    }
}
