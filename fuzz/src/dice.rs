//! Choices that do not have to be part of the input's structure: all from one number.

/// A xorshift generator: the same number gives the same choices.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u32);

impl Dice {
    pub(crate) fn new(seed: u32) -> Self {
        // Zero is the one state that yields nothing else.
        Self(seed.max(1))
    }

    pub(crate) fn roll(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.roll() % bound
    }

    /// The length of a read: often a few bytes, sometimes thousands.
    pub(crate) fn read_length(&mut self) -> usize {
        let scale = self.below(14);
        1 + (self.roll() % (1 << scale)) as usize
    }
}
