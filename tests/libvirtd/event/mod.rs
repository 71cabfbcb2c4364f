//! Events of real daemons: each kind is brought about, and what we make of it is what libvirt's
//! own library makes of it, listening at the same time.
//!
//! All kinds of 9.0.0 are there: what it takes a guest to do is done by a boot sector, or from
//! outside by what its monitor can do to its machine. What was heard is kept in `wire::event`, where
//! it is checked that no kind of that release is missing. Four kinds came after it, which the
//! library beside us does not know, however new the daemon is: changed addresses of network cards
//! (11.2.0), removed processors and channels that guests open (12.4.0), and changed metadata of
//! networks (9.8.0). They are told by scripts and by the simulator (`client::event::oracle`,
//! `client::event::kinds`, `simulator::event`).
//!
//! What the library tells of suspended and woken guests has a reason, which libvirt never uses, and
//! which we do not have.

mod connection;
mod control;
mod device;
mod disk;
mod host;
mod life;
mod machine;
mod memory;
mod pair;
mod seen;
mod sleep;
mod witness;

use pair::{Pair, assert_has};
