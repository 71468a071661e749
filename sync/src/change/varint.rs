//! Reading bytes without trust: LEB128 in its shortest form only, and slices that exist.

/// What is left to read. Every method answers `None` at the end of the bytes, and moves only when it succeeds or
/// the caller gives up.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    /// An unsigned LEB128 in its shortest form.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 || shift > 0 && byte == 0 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A signed LEB128 in its shortest form.
    pub(super) fn signed(&mut self) -> Option<i64> {
        let (mut value, mut previous) = (0_i64, 0_u8);
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte != 0 && byte != 0x7f {
                return None;
            }
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let sign_repeats = byte == 0 && previous & 0x40 == 0 || byte == 0x7f && previous & 0x40 != 0;
                if shift > 0 && sign_repeats {
                    return None;
                }
                let negative = byte & 0x40 != 0 && shift < 57;
                return Some(if negative { value | -1 << (shift + 7) } else { value });
            }
            previous = byte;
        }
        None
    }
}

/// Appends `value` as unsigned LEB128.
pub(super) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_round_trips_and_refuses_longer_forms() {
        for value in [0, 1, 127, 128, 300, 1 << 31, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_unsigned(&mut bytes, value);
            assert_eq!(Reader(&bytes).unsigned(), Some(value));
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push(0);
            assert_eq!(Reader(&bytes).unsigned(), None, "an overlong {value} is refused");
        }
        assert_eq!(Reader(&[0xff; 10]).unsigned(), None, "more than 64 bits");
        assert_eq!(Reader(&[0x80]).unsigned(), None, "ends early");
    }

    #[test]
    fn signed_reads_the_shortest_form_only() {
        let cases: [(&[u8], Option<i64>); 10] = [
            (&[0], Some(0)),
            (&[0x7f], Some(-1)),
            (&[0x40], Some(-64)),
            (&[0xc0, 0x00], Some(64)),
            (&[0xbf, 0x7f], Some(-65)),
            (&[0xff, 0x7f], None),
            (&[0x80, 0x00], None),
            (&[0x80; 11], None),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f], Some(i64::MIN)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], Some(i64::MAX)),
        ];
        for (bytes, value) in cases {
            assert_eq!(Reader(bytes).signed(), value, "{bytes:02x?}");
        }
    }
}
