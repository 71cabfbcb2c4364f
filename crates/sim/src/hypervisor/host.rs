//! The machine that everything pretends to run on.

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) model: String,
    /// In KiB.
    pub(crate) memory: u64,
    pub(crate) cpus: u32,
    pub(crate) mhz: u32,
    pub(crate) nodes: u32,
    pub(crate) sockets: u32,
    pub(crate) cores: u32,
    pub(crate) threads: u32,
}

impl Host {
    /// How many processors there can be.
    pub(crate) const MAX_CPUS: u32 = 4096;

    /// That of libvirt's test driver.
    pub(crate) fn test() -> Self {
        Self {
            model: String::from("i686"),
            memory: 3 << 20,
            cpus: 16,
            mhz: 1400,
            nodes: 2,
            sockets: 2,
            cores: 2,
            threads: 2,
        }
    }

    /// One for QEMU.
    pub(crate) fn qemu() -> Self {
        Self {
            model: String::from("x86_64"),
            memory: 32 << 20,
            cpus: 16,
            mhz: 2400,
            nodes: 1,
            sockets: 1,
            cores: 16,
            threads: 1,
        }
    }

    /// Its processors, a bit each.
    pub(crate) fn cpu_map(&self) -> Vec<u8> {
        let bits = (0..self.cpus.div_ceil(8)).map(|byte| {
            let there = self.cpus.saturating_sub(byte * 8).min(8);
            u8::try_from((1_u32 << there) - 1).unwrap_or(u8::MAX)
        });
        bits.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_has_its_bit() {
        let host = |cpus| Host {
            cpus,
            ..Host::test()
        };
        assert_eq!(host(16).cpu_map(), [0xff, 0xff]);
        assert_eq!(host(11).cpu_map(), [0xff, 0x07]);
        assert_eq!(host(0).cpu_map(), [0_u8; 0]);
    }
}
