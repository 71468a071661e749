//! The canonical encoding: one way to write a value, and a reader that accepts nothing else.
//!
//! Everything hashed, signed or stored goes through here (`docs/formats/README.md`). Integers are
//! big-endian and fixed; varints exist for frames and index entries only.

use thiserror::Error;

/// Why bytes were refused.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum CodecError {
    /// The bytes end before the value does.
    #[error("bytes end at {at}, inside {what}")]
    Short {
        /// What was being read.
        what: &'static str,
        /// Offset where the bytes ended.
        at: usize,
    },
    /// A value that the format does not allow, or not in this form.
    #[error("{what} is not canonical")]
    Invalid {
        /// What was being read.
        what: &'static str,
    },
    /// A length or count beyond its named limit.
    #[error("{what} is {found}, more than {limit}")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// The length or count found.
        found: u64,
        /// The named limit.
        limit: u64,
    },
    /// A tag of a newer version where this one must know it (R13).
    #[error("{what} is of a newer version")]
    Newer {
        /// What was being read.
        what: &'static str,
    },
    /// Bytes left over after the value.
    #[error("{left} bytes left over")]
    Trailing {
        /// How many.
        left: usize,
    },
}

/// Bytes that an encoding has room for at first: most headers, skeletons and rows are shorter.
const ROOM: usize = 256;

/// A value with exactly one encoding.
pub trait Canonical: Sized {
    /// Appends the encoding.
    fn write(&self, out: &mut Writer);
    /// Reads the value, refusing every other encoding of it.
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError>;

    /// The encoding as bytes.
    fn to_bytes(&self) -> Vec<u8> {
        // Room for a header or a skeleton: a vector that grows from nothing is copied five times on the way there.
        let mut out = Writer(Vec::with_capacity(ROOM));
        self.write(&mut out);
        out.0
    }

    /// Reads a value that fills `bytes` exactly.
    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut input = Reader::new(bytes);
        let value = Self::read(&mut input)?;
        input.end()?;
        Ok(value)
    }
}

/// Bytes of a tagged value: an id, a kind and a key.
pub const MAX_TAGGED_BYTES: usize = 40;

/// A tagged value that this version may not know: kept as it is, so that it can be stored, hashed and sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tagged {
    tag: u8,
    length: u8,
    bytes: [u8; MAX_TAGGED_BYTES],
}

impl Tagged {
    /// What says how to read the content.
    pub fn tag(&self) -> u8 {
        self.tag
    }
    /// The content.
    pub fn content(&self) -> Reader<'_> {
        Reader::new(&self.bytes[..usize::from(self.length)])
    }
}

impl Canonical for Tagged {
    fn write(&self, out: &mut Writer) {
        out.tagged(self.tag, |out| out.raw(&self.bytes[..usize::from(self.length)]));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (tag, length) = (input.u8("tag")?, input.u8("tagged length")?);
        let limit = MAX_TAGGED_BYTES as u64;
        if u64::from(length) > limit {
            return Err(CodecError::TooLong { what: "tagged value", found: length.into(), limit });
        }
        let mut bytes = [0; MAX_TAGGED_BYTES];
        bytes[..usize::from(length)].copy_from_slice(input.take(length.into(), "tagged value")?);
        Ok(Self { tag, length, bytes })
    }
}

/// Appends canonical fields.
#[derive(Debug, Default, Clone)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    /// LEB128, minimal form.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
    /// Bytes of a length both sides know.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    /// `u32` length and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.raw(bytes);
    }
    /// Varint length and the bytes (frames).
    pub fn var_bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }
    /// A text as bytes.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
    /// 0 or 1.
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }
    /// A flag, then the value.
    pub fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
    /// A tag, the length of what `write` writes, at most `MAX_TAGGED_BYTES`, and that: whoever does not know the tag
    /// keeps it as a [`Tagged`].
    pub fn tagged(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        self.u8(tag);
        let at = self.0.len();
        self.u8(0);
        write(self);
        let length = self.0.len() - at - 1;
        debug_assert!(length <= MAX_TAGGED_BYTES, "a tagged value is short");
        self.0[at] = length as u8;
    }
    /// A count, then the items.
    pub fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.u32(items.len() as u32);
        for item in items {
            write(self, item);
        }
    }
}

/// Reads canonical fields from bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }
    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }
    /// Errors if bytes are left over.
    pub fn end(&self) -> Result<(), CodecError> {
        match self.left() {
            0 => Ok(()),
            left => Err(CodecError::Trailing { left }),
        }
    }
    /// The next `length` bytes.
    pub fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(CodecError::Short { what, at: self.bytes.len() });
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }
    /// All bytes not read yet.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }
    /// A fixed array.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let taken = self.take(N, what)?;
        Ok(taken.try_into().expect("take returned exactly N bytes"))
    }
    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        Ok(self.array::<1>(what)?[0])
    }
    /// Two bytes, big-endian.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, CodecError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }
    /// Four bytes, big-endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, CodecError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }
    /// Eight bytes, big-endian.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, CodecError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }
    /// LEB128; a form longer than needed is refused.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(CodecError::Invalid { what });
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(CodecError::Invalid { what });
                }
                return Ok(value);
            }
        }
        Err(CodecError::Invalid { what })
    }
    /// A varint that must not exceed `limit`.
    pub fn var_count(&mut self, limit: u64, what: &'static str) -> Result<usize, CodecError> {
        let found = self.varint(what)?;
        if found > limit {
            return Err(CodecError::TooLong { what, found, limit });
        }
        Ok(found as usize)
    }
    /// `u32` length, at most `limit`, and the bytes.
    pub fn bytes(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let found = self.u32(what)?;
        if found as usize > limit {
            return Err(CodecError::TooLong { what, found: found.into(), limit: limit as u64 });
        }
        self.take(found as usize, what)
    }
    /// Varint length, at most `limit`, and the bytes.
    pub fn var_bytes(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let found = self.var_count(limit as u64, what)?;
        self.take(found, what)
    }
    /// A text of at most `limit` bytes.
    pub fn text(&mut self, limit: usize, what: &'static str) -> Result<String, CodecError> {
        let bytes = self.bytes(limit, what)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(CodecError::Invalid { what }),
        }
    }
    /// 0 or 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, CodecError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Invalid { what }),
        }
    }
    /// A flag, then the value.
    pub fn option<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        match self.flag(what)? {
            true => read(self).map(Some),
            false => Ok(None),
        }
    }
    /// A count of at most `limit`, then the items.
    pub fn list<T>(
        &mut self,
        limit: usize,
        what: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let count = self.u32(what)? as usize;
        if count > limit {
            return Err(CodecError::TooLong { what, found: count as u64, limit: limit as u64 });
        }
        (0..count).map(|_| read(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_one_form() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Writer::default();
            out.varint(value);
            assert_eq!(Reader::new(&out.0).varint("n"), Ok(value), "what is written is read back");
        }
        assert!(Reader::new(&[0x80, 0x00]).varint("n").is_err(), "zero written in two bytes is another form");
        assert!(Reader::new(&[0xff; 11]).varint("n").is_err(), "more than 64 bits");
    }

    #[test]
    fn lengths_are_bounded_before_memory_is_taken() {
        let mut input = Reader::new(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(input.bytes(10, "text"), Err(CodecError::TooLong { .. })));
        assert!(matches!(Reader::new(&[2]).flag("flag"), Err(CodecError::Invalid { .. })));
    }
}
