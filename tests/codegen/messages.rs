//! Every message's codec, driven with the least bytes that it can have.

use bytes::BytesMut;
use virtwire_protocol::generated::dispatch::visit;
use virtwire_protocol::generated::schema::PROCEDURES;
use virtwire_protocol::procedure::{Event, Procedure, Visitor};
use virtwire_xdr::{Decode, Encode, IntoOwned, Reader, Writer};

/// Zeros are a value of every message: no string, no element, no optional part.
fn check_smallest<'a, T>(zeros: &'a [u8])
where
    T: Encode + Decode<'a> + IntoOwned,
    T::Owned: Encode,
{
    let zeros = &zeros[..T::MIN_SIZE];
    let mut reader = Reader::new(zeros);
    let value = T::decode(&mut reader).unwrap();
    reader.finish().unwrap();
    assert_eq!(encoded(&value), zeros);
    assert_eq!(encoded(&value.into_owned()), zeros);
}

/// Every shorter message is an error.
fn check_truncated<'a, T: Decode<'a>>(zeros: &'a [u8]) {
    for length in 0..T::MIN_SIZE {
        assert!(T::decode(&mut Reader::new(&zeros[..length])).is_err());
    }
}

fn encoded(value: &impl Encode) -> BytesMut {
    let mut buffer = BytesMut::new();
    value.encode(&mut Writer::new(&mut buffer)).unwrap();
    buffer
}

struct Check<'z> {
    zeros: &'z [u8],
}

impl<'z> Visitor for Check<'z> {
    type Output = ();

    fn procedure<P: Procedure>(self) {
        check_smallest::<P::Args<'z>>(self.zeros);
        check_smallest::<P::Ret<'z>>(self.zeros);
        check_truncated::<P::Args<'z>>(self.zeros);
        check_truncated::<P::Ret<'z>>(self.zeros);
    }

    fn event<E: Event>(self) {
        check_smallest::<E::Msg<'z>>(self.zeros);
        check_truncated::<E::Msg<'z>>(self.zeros);
    }
}

#[test]
fn smallest_form_of_every_message_survives_and_every_truncation_fails() {
    let zeros = [0; 512];
    for procedure in PROCEDURES {
        visit(procedure.id, procedure.number, Check { zeros: &zeros }).unwrap();
    }
}
