//! Bodies that grow: tagged fields in ascending order, each once (R13).
//!
//! A field is a tag (u8), a length (u32) and its content. Whoever reads skips a field with a tag of 128 or more
//! that it does not know; any other unknown field makes the whole body one of a newer version. A field with the
//! value that its absence means is left out, so that a body has one encoding.

use crate::codec::{Canonical, CodecError, Reader, Writer};

/// Tags from here on may be skipped by whoever does not know them.
pub const SKIPPABLE: u8 = 128;

/// Writes fields in ascending order of their tags.
#[derive(Debug, Default)]
pub struct FieldWriter {
    out: Writer,
    last: u8,
}

impl FieldWriter {
    /// A field with what `write` writes.
    pub fn put(&mut self, tag: u8, write: impl FnOnce(&mut Writer)) {
        debug_assert!(tag > self.last, "fields are written in ascending order, from 1");
        self.last = tag;
        let mut content = Writer::default();
        write(&mut content);
        self.out.u8(tag);
        self.out.bytes(&content.0);
    }
    /// A field with a value.
    pub fn value(&mut self, tag: u8, value: &impl Canonical) {
        self.put(tag, |out| value.write(out));
    }
    /// A field with a value, left out if there is none.
    pub fn option(&mut self, tag: u8, value: Option<&impl Canonical>) {
        if let Some(value) = value {
            self.value(tag, value);
        }
    }
    /// A field with a text.
    pub fn text(&mut self, tag: u8, text: &str) {
        self.put(tag, |out| out.raw(text.as_bytes()));
    }
    /// A field with a list, left out if it is empty.
    pub fn list(&mut self, tag: u8, items: &[impl Canonical]) {
        if !items.is_empty() {
            self.put(tag, |out| out.list(items, |out, item| item.write(out)));
        }
    }
    /// A field with a list of texts, left out if it is empty.
    pub fn texts(&mut self, tag: u8, items: &[String]) {
        if !items.is_empty() {
            self.put(tag, |out| out.list(items, |out, item| out.text(item)));
        }
    }
    /// The bytes of all fields.
    pub fn finish(self) -> Vec<u8> {
        self.out.0
    }
}

/// Reads fields: each is taken by its tag, in any order, and [`Fields::end`] says whether any was left.
#[derive(Debug)]
pub struct Fields<'a> {
    left: Vec<(u8, &'a [u8])>,
}

impl<'a> Fields<'a> {
    /// Splits `bytes` into fields. Linear in the bytes; at most 255 fields.
    pub fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut input = Reader::new(bytes);
        let mut left: Vec<(u8, &[u8])> = Vec::new();
        while input.left() > 0 {
            let tag = input.u8("field")?;
            if left.last().map_or(tag == 0, |(last, _)| *last >= tag) {
                return Err(CodecError::Invalid { what: "order of fields" });
            }
            left.push((tag, input.bytes(usize::MAX, "field")?));
        }
        Ok(Self { left })
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let found = self.left.iter().position(|(other, _)| *other == tag)?;
        Some(self.left.remove(found).1)
    }

    /// The field with this tag, read by `read`, which must use all of it.
    pub fn get<T>(
        &mut self,
        tag: u8,
        what: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, CodecError>,
    ) -> Result<T, CodecError> {
        let content = self.take(tag).ok_or(CodecError::Invalid { what })?;
        let mut input = Reader::new(content);
        let value = read(&mut input)?;
        input.end()?;
        Ok(value)
    }
    /// A field that must be there.
    pub fn value<T: Canonical>(&mut self, tag: u8, what: &'static str) -> Result<T, CodecError> {
        self.get(tag, what, T::read)
    }
    /// A field that may be left out.
    pub fn option<T: Canonical>(&mut self, tag: u8) -> Result<Option<T>, CodecError> {
        self.take(tag).map(T::from_bytes).transpose()
    }
    /// A text of at most `limit` bytes.
    pub fn text(&mut self, tag: u8, limit: usize, what: &'static str) -> Result<String, CodecError> {
        self.get(tag, what, |input| {
            let bytes = input.rest();
            if bytes.len() > limit {
                return Err(CodecError::TooLong { what, found: bytes.len() as u64, limit: limit as u64 });
            }
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| CodecError::Invalid { what })
        })
    }
    /// A list of at most `limit` items; absent if it is empty.
    pub fn list<T: Canonical>(&mut self, tag: u8, limit: usize, what: &'static str) -> Result<Vec<T>, CodecError> {
        self.items(tag, what, |input| input.list(limit, what, T::read))
    }
    /// A list of texts; absent if it is empty.
    pub fn texts(
        &mut self,
        tag: u8,
        limit: usize,
        bytes: usize,
        what: &'static str,
    ) -> Result<Vec<String>, CodecError> {
        self.items(tag, what, |input| input.list(limit, what, |input| input.text(bytes, what)))
    }

    fn items<T>(
        &mut self,
        tag: u8,
        what: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<Vec<T>, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        if !self.left.iter().any(|(other, _)| *other == tag) {
            return Ok(Vec::new());
        }
        let items = self.get(tag, what, read)?;
        // An empty list is left out, never written.
        if items.is_empty() { Err(CodecError::Invalid { what }) } else { Ok(items) }
    }

    /// Errors with `Newer` if a field is left that may not be skipped.
    pub fn end(&self) -> Result<(), CodecError> {
        match self.left.iter().any(|(tag, _)| *tag < SKIPPABLE) {
            true => Err(CodecError::Newer { what: "field" }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_skipped_or_makes_the_body_newer() {
        let with = |extra: Option<u8>| {
            let mut out = FieldWriter::default();
            out.text(1, "Paris");
            extra.into_iter().for_each(|tag| out.text(tag, "of tomorrow"));
            out.finish()
        };
        let read = |bytes: &[u8]| -> Result<String, CodecError> {
            let mut fields = Fields::read(bytes)?;
            let name = fields.text(1, 10, "name")?;
            fields.end()?;
            Ok(name)
        };
        assert_eq!(read(&with(None)), Ok("Paris".into()));
        assert_eq!(read(&with(Some(200))), Ok("Paris".into()), "a field that may be skipped");
        assert_eq!(read(&with(Some(2))), Err(CodecError::Newer { what: "field" }), "one that may not");
        let twice = [with(None), with(None)].concat();
        assert!(read(&twice).is_err(), "each field once, in order: a body has one encoding");
    }
}
