//! Inputs of the targets, written the way `arbitrary` reads them.

use virtwire_fuzz::message::{Body, ProgramName};

/// A file of a corpus.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) target: &'static str,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Writes fields in the order in which a derived `Arbitrary` reads them.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// The variant `index` of an enum that has `count`: the derived code scales a word.
    pub(crate) fn variant(self, index: usize, count: usize) -> Self {
        let scaled = ((index as u64) << 32).div_ceil(count as u64);
        self.u32(u32::try_from(scaled).expect("the index is below the count"))
    }

    /// The next element of the list at the end.
    pub(crate) fn next(self) -> Self {
        self.u8(1)
    }

    /// A length and as many bytes.
    pub(crate) fn blob(self, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).expect("long packets were left out");
        self.u16(length).rest(bytes)
    }

    /// All that is left of the input.
    pub(crate) fn rest(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn seed(self, target: &'static str, name: impl Into<String>) -> Seed {
        Seed {
            target,
            name: name.into(),
            bytes: self.0,
        }
    }
}

/// The input of the target `message`.
pub(crate) fn message(program: ProgramName, number: u16, body: Body, message: &[u8]) -> Fields {
    Fields::default()
        .variant(program as usize, 6)
        .u16(number)
        .variant(body as usize, 2)
        .u16(0)
        .rest(message)
}

#[cfg(test)]
mod tests {
    use arbitrary::{Arbitrary, Unstructured};
    use virtwire_fuzz::message::Input;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let programs = [
            ProgramName::Remote,
            ProgramName::Qemu,
            ProgramName::Lxc,
            ProgramName::Admin,
            ProgramName::Keepalive,
            ProgramName::Net,
        ];
        for program in programs {
            let seed = message(program, 7, Body::Ret, b"abc").seed("message", "x");
            let input = Input::arbitrary_take_rest(Unstructured::new(&seed.bytes)).unwrap();
            assert_eq!((input.program, input.number), (program, 7));
            assert_eq!((input.body, input.message), (Body::Ret, b"abc".as_slice()));
        }
    }
}
