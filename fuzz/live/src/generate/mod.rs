//! Arguments for any procedure, along the description of their types.

mod flags;
mod value;

use bytes::BytesMut;
use virtwire_lab::Driver;

use self::flags::Flags;
use self::value::Writing;
use crate::random::Random;
use crate::script::Callable;
use crate::vocabulary::Vocabulary;

/// How well made arguments shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// They are what a user could mean.
    Plain,
    /// They can be decoded as what they are.
    Good,
    /// They can probably not.
    Bad,
}

/// Makes arguments.
#[derive(Debug)]
pub struct Generator {
    flags: Flags,
    guest: &'static str,
}

impl Generator {
    /// A generator for connections to this driver.
    #[must_use]
    pub fn new(driver: Driver) -> Self {
        Self {
            flags: Flags::read(),
            guest: match driver {
                Driver::Qemu => "qemu",
                _ => "test",
            },
        }
    }

    /// Arguments for a call.
    pub fn arguments(
        &self,
        callable: Callable,
        form: Form,
        vocabulary: &Vocabulary,
        random: &mut Random,
    ) -> Vec<u8> {
        let mut buffer = BytesMut::new();
        if let Some(layout) = callable.0.args {
            let mut writing = Writing {
                generator: self,
                callable,
                // Most of a bad call is good, or the daemon would not look at the rest.
                plain: form == Form::Plain,
                beyond: form == Form::Bad && random.once_in(2),
                vocabulary,
                random,
                out: &mut buffer,
            };
            writing.structure(layout, true);
        }
        let mut bytes = buffer.to_vec();
        if form == Form::Bad {
            spoil(&mut bytes, random);
        }
        bytes
    }
}

/// Changes encoded arguments in a way that their types do not know.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => {
            let bit = random.below(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        2 => {
            let more = random.choose([1, 4, 64]);
            bytes.extend(random.bytes(more));
        }
        3 => {
            // A word that is a count, a discriminant or a length as often as not.
            let word = random.choose([u32::MAX, 1 << 31, 0x7fff_ffff, 0x0100_0000, 2, 0]);
            if let Some(place) = bytes
                .get_mut(at & !3..)
                .and_then(|rest| rest.first_chunk_mut())
            {
                *place = word.to_be_bytes();
            }
        }
        // As it is: what was written may be beyond its bounds.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use virtwire_protocol::generated::dispatch::visit;
    use virtwire_protocol::procedure::{Event, Procedure, Visitor};
    use virtwire_xdr::{Decode as _, Encode as _, Reader, Writer};

    use super::*;
    use crate::script::all;
    use crate::walk::walk;

    /// Decodes arguments as their type and encodes them again.
    struct Again<'a>(&'a [u8]);

    impl Visitor for Again<'_> {
        type Output = Vec<u8>;

        fn procedure<P: Procedure>(self) -> Vec<u8> {
            let mut reader = Reader::new(self.0);
            let args = P::Args::decode(&mut reader)
                .unwrap_or_else(|error| panic!("{}: {error}: {:x?}", P::NAME, self.0));
            reader.finish().unwrap();
            let mut buffer = BytesMut::new();
            args.encode(&mut Writer::new(&mut buffer)).unwrap();
            buffer.to_vec()
        }

        fn event<E: Event>(self) -> Vec<u8> {
            panic!("{} is called", E::NAME)
        }
    }

    #[test]
    fn what_is_well_made_is_what_its_type_says() {
        let generator = Generator::new(Driver::Test);
        let mut random = Random::new(11);
        let mut vocabulary = Vocabulary::default();
        for round in 0..20 {
            for callable in all() {
                let form = [Form::Plain, Form::Good][round % 2];
                let bytes = generator.arguments(callable, form, &vocabulary, &mut random);
                let again = visit(callable.0.id, callable.0.number, Again(&bytes));
                assert_eq!(again.unwrap(), bytes, "{}", callable.0.name);
                // Its own words are good enough to learn from.
                let learned = walk(callable.0.args, &bytes, &mut vocabulary);
                learned.unwrap_or_else(|error| panic!("{round} {}: {error}", callable.0.name));
            }
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_arguments() {
        let generator = Generator::new(Driver::Qemu);
        let make = |seed| {
            let mut random = Random::new(seed);
            let make = |callable| {
                let nothing = Vocabulary::default();
                generator.arguments(callable, Form::Bad, &nothing, &mut random)
            };
            all().map(make).collect::<Vec<_>>()
        };
        assert_eq!(make(5), make(5));
        assert_ne!(make(5), make(6));
    }

    #[test]
    fn what_is_badly_made_stays_sendable() {
        let generator = Generator::new(Driver::Test);
        let mut random = Random::new(2);
        let nothing = Vocabulary::default();
        for callable in all() {
            for _ in 0..20 {
                let bytes = generator.arguments(callable, Form::Bad, &nothing, &mut random);
                assert!(bytes.len() < 4 << 20, "{}", callable.0.name);
            }
        }
    }
}
