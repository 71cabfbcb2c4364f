//! How fast a job may go.

use std::fmt::{self, Debug, Display, Formatter};

use thiserror::Error;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A limit on a job's speed, or the absence of one.
///
/// libvirt's calls take megabytes or bytes depending on a flag whose bit differs from call to call,
/// and understand zero as "no limit". This type knows bytes only, every call made with it says so to
/// the daemon, and a limit never becomes [`Bandwidth::UNLIMITED`] by being small or large.
///
/// ```
/// # use virtwire::Bandwidth;
/// let limit = Bandwidth::mib_per_s(8)?;
/// assert_eq!(limit.bytes(), Some(8 << 20));
/// assert_eq!(limit.to_string(), "8 MiB/s");
/// assert!(Bandwidth::mib_per_s(0).is_err());
/// # Ok::<(), virtwire::InvalidBandwidth>(())
/// ```
// The derived order would put "unlimited" below every limit, so there is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Bandwidth(u64);

/// A number that is no bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidBandwidth {
    /// Zero would mean "no limit" to the daemon.
    #[error("a bandwidth of 0 would mean no limit; ask for no limit by name")]
    Zero,
    /// More than libvirt can express.
    #[error("a bandwidth cannot exceed {} bytes per second", Bandwidth::MAX_BYTES)]
    TooLarge,
}

impl Bandwidth {
    /// No limit.
    pub const UNLIMITED: Self = Self(0);

    /// The largest limit in bytes per second; libvirt and QEMU count in signed 64-bit integers.
    pub const MAX_BYTES: u64 = i64::MAX as u64;

    /// Limits to a number of bytes per second.
    ///
    /// # Errors
    ///
    /// When `bytes` is zero or more than [`Bandwidth::MAX_BYTES`].
    pub const fn bytes_per_s(bytes: u64) -> Result<Self, InvalidBandwidth> {
        match bytes {
            0 => Err(InvalidBandwidth::Zero),
            1..=Self::MAX_BYTES => Ok(Self(bytes)),
            _ => Err(InvalidBandwidth::TooLarge),
        }
    }

    /// Limits to a number of KiB (1,024 bytes) per second.
    ///
    /// # Errors
    ///
    /// As [`Bandwidth::bytes_per_s`].
    pub const fn kib_per_s(kib: u64) -> Result<Self, InvalidBandwidth> {
        Self::multiple(kib, KIB)
    }

    /// Limits to a number of MiB (1,048,576 bytes) per second.
    ///
    /// # Errors
    ///
    /// As [`Bandwidth::bytes_per_s`].
    pub const fn mib_per_s(mib: u64) -> Result<Self, InvalidBandwidth> {
        Self::multiple(mib, MIB)
    }

    const fn multiple(count: u64, unit: u64) -> Result<Self, InvalidBandwidth> {
        match count.checked_mul(unit) {
            Some(bytes) => Self::bytes_per_s(bytes),
            None => Err(InvalidBandwidth::TooLarge),
        }
    }

    /// Takes bytes per second as the daemon counts them, zero for no limit.
    #[must_use]
    pub const fn from_wire_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns bytes per second as the daemon counts them, zero for no limit.
    #[must_use]
    pub const fn to_wire_bytes(self) -> u64 {
        self.0
    }

    /// Returns the limit in bytes per second, `None` when there is no limit.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        match self.0 {
            0 => None,
            bytes => Some(bytes),
        }
    }

    /// Returns the limit in MiB per second, rounded up as libvirt does, `None` for no limit.
    #[must_use]
    pub const fn mib_rounded_up(self) -> Option<u64> {
        match self.0 {
            0 => None,
            bytes => Some(bytes.div_ceil(MIB)),
        }
    }

    /// Says whether there is no limit.
    #[must_use]
    pub const fn is_unlimited(self) -> bool {
        self.0 == 0
    }
}

impl Display for Bandwidth {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.bytes() else {
            return f.pad("unlimited");
        };
        let (unit, name) = match bytes {
            GIB.. => (GIB, "GiB/s"),
            MIB.. => (MIB, "MiB/s"),
            KIB.. => (KIB, "KiB/s"),
            _ => (1, "B/s"),
        };
        let (whole, tenths) = (bytes / unit, bytes % unit * 10 / unit);
        let text = match tenths {
            0 => format!("{whole} {name}"),
            _ => format!("{whole}.{tenths} {name}"),
        };
        f.pad(&text)
    }
}

impl Debug for Bandwidth {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.bytes() {
            Some(bytes) => write!(f, "Bandwidth({bytes} B/s)"),
            None => f.write_str("Bandwidth(unlimited)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zero_is_refused_in_every_unit() {
        assert_eq!(Bandwidth::bytes_per_s(0), Err(InvalidBandwidth::Zero));
        assert_eq!(Bandwidth::kib_per_s(0), Err(InvalidBandwidth::Zero));
        assert_eq!(Bandwidth::mib_per_s(0), Err(InvalidBandwidth::Zero));
    }

    #[test]
    fn limits_end_where_libvirt_ends() {
        assert_eq!(
            Bandwidth::bytes_per_s(1 << 63),
            Err(InvalidBandwidth::TooLarge)
        );
        assert_eq!(
            Bandwidth::mib_per_s(1 << 43),
            Err(InvalidBandwidth::TooLarge)
        );
        // Would wrap around to zero.
        assert_eq!(
            Bandwidth::mib_per_s(1 << 44),
            Err(InvalidBandwidth::TooLarge)
        );
        assert!(Bandwidth::mib_per_s((1 << 43) - 1).is_ok());
        assert!(Bandwidth::bytes_per_s(Bandwidth::MAX_BYTES).is_ok());
    }

    #[test]
    fn text_names_the_unit() {
        for (bytes, text) in [
            (0, "unlimited"),
            (1, "1 B/s"),
            (1023, "1023 B/s"),
            (1536, "1.5 KiB/s"),
            (8 << 20, "8 MiB/s"),
            (3 << 29, "1.5 GiB/s"),
        ] {
            assert_eq!(Bandwidth::from_wire_bytes(bytes).to_string(), text);
        }
        assert_eq!(
            format!("{:?}", Bandwidth::UNLIMITED),
            "Bandwidth(unlimited)"
        );
        assert_eq!(
            format!("{:>10}", Bandwidth::from_wire_bytes(1)),
            "     1 B/s"
        );
    }

    proptest! {
        #[test]
        fn limits_never_become_unlimited(count: u64) {
            for made in
                [Bandwidth::bytes_per_s(count), Bandwidth::kib_per_s(count), Bandwidth::mib_per_s(count)]
            {
                let Ok(limit) = made else { continue };
                prop_assert!(!limit.is_unlimited());
                prop_assert!(limit.to_wire_bytes() > 0 && limit.to_wire_bytes() <= Bandwidth::MAX_BYTES);
                prop_assert!(limit.bytes() >= Some(count));
                prop_assert!(limit.mib_rounded_up() > Some(0));
                prop_assert_eq!(Bandwidth::from_wire_bytes(limit.to_wire_bytes()), limit);
            }
        }
    }
}
