//! Input: made-up bytes, read as decisions; and the changes that a bad network or peer makes to a frame.

/// The rest of the bytes. Once none are left, every number is 0.
#[derive(Debug)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    pub(super) fn yes(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let number = u16::from_le_bytes([self.byte(), if n > 256 { self.byte() } else { 0 }]);
        usize::from(number) % n.max(1)
    }

    /// The next `n` bytes, or as many as there are.
    pub(super) fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Changes `frame` in some way, perhaps into itself.
    pub(super) fn bend(&mut self, frame: &mut Vec<u8>) {
        let at = self.below(frame.len() + 1);
        let room = frame.len() - at;
        match self.byte() % 5 {
            0 => frame.truncate(at),
            1 if room > 0 => frame[at] ^= self.byte(),
            // Lengths, counts and numbers of frames.
            2 if room >= 8 => {
                let number = [0, 1, 2, 1 << 20, 1 << 32, 1 << 61, u64::MAX - 1, u64::MAX][self.below(8)];
                frame[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
            3 => {
                frame.truncate(at);
                let len = self.byte().into();
                frame.extend_from_slice(self.take(len));
            }
            _ => frame.insert(at, self.byte()),
        }
    }
}
