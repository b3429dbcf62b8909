//! RowBuffer: the packed rows of all env slots in memory that is reused, with room for the last rows of episodes.

use super::{
    AnySpace,
    batch::SlabsMut,
    stacked::{SlabSizes, no_packed_form},
};
use crate::{
    error::Result,
    frame::{Frame, Pool},
};

/// One row for each slot, in the packed form and aligned; while an answer has last rows, those behind them.
#[derive(Debug)]
pub(crate) struct RowBuffer {
    sizes: SlabSizes,
    slots: usize,
    /// Where each leaf starts, and what one row takes in it, while there are no last rows.
    slabs: Vec<(usize, usize)>,
    frame: Frame,
    /// How many rows there are.
    rows: usize,
}

impl RowBuffer {
    /// Zeros, for elements of `space`.
    pub(crate) fn new(space: &AnySpace, slots: usize) -> Result<Self> {
        let sizes = SlabSizes::of(space).ok_or_else(no_packed_form)?;
        let mut frame = Pool::new().take(sizes.len(slots));
        frame.fill(0);
        Ok(Self { slabs: sizes.slabs(slots).collect(), sizes, slots, frame, rows: slots })
    }

    /// How the rows are laid out.
    pub(crate) fn sizes(&self) -> &SlabSizes {
        &self.sizes
    }

    /// All rows.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.frame
    }

    /// The memory that holds them.
    pub(crate) fn into_frame(self) -> Frame {
        self.frame
    }

    /// One row for each slot, to write to.
    pub(crate) fn slabs_mut(&mut self) -> SlabsMut<'_> {
        SlabsMut::new(&mut self.frame, self.slots)
    }

    /// Writes the packed form of one element over the row of a slot.
    pub(crate) fn write(&mut self, slot: usize, element: &[u8]) -> Result<()> {
        self.sizes.check(element, 1)?;
        self.sizes.copy_row((element, 1, 0), (&mut self.frame, self.slots, slot));
        Ok(())
    }

    /// Appends the packed form of the row of a slot.
    pub(crate) fn read(&self, slot: usize, out: &mut Vec<u8>) {
        self.sizes.row(&self.frame, self.rows, slot, out);
    }

    /// Drops the last rows. What the other rows hold then is not specified, but for leaves that hold only some values,
    /// such as of dtype bool: one of those.
    pub(crate) fn drop_lasts(&mut self) {
        if self.rows == self.slots {
            return;
        }
        // The first leaf has not moved; where the others were lies what may not be in theirs.
        let first = self.slabs.first().map_or(0, |(_, size)| size * self.slots);
        self.rows = self.slots;
        self.frame.resize(self.sizes.len(self.slots));
        self.frame[first..].fill(0);
    }

    /// Adds last rows, the packed forms of so many elements one after another: the leaves behind the first make room.
    pub(crate) fn add_lasts(&mut self, lasts: &[u8], count: usize) {
        let (slots, rows, element) = (self.slots, self.slots + count, self.sizes.len(1));
        let mut end = self.sizes.len(rows);
        self.frame.resize(end);
        for (at, size) in self.slabs.iter().rev() {
            let to = end - (size * rows).next_multiple_of(8);
            self.frame.copy_within(*at..at + size * slots, to);
            self.frame[to + size * rows..end].fill(0);
            end = to;
        }
        self.rows = rows;
        for (i, last) in lasts.chunks_exact(element.max(1)).enumerate() {
            self.sizes.copy_row((last, 1, 0), (&mut self.frame, rows, slots + i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{BoxSpace, Discrete, Space, Stack};

    fn element(x: u8) -> Vec<u8> {
        let space = (BoxSpace::<u8>::new([3], 0, 255), BoxSpace::<bool>::new([1], false, true), Discrete::new(50));
        let mut out = Vec::new();
        assert!(space.pack(&(vec![x, x + 1, x + 2], vec![x % 2 == 1], i64::from(x)), &mut out));
        out
    }

    #[test]
    fn last_rows_come_behind_all_others_and_go() {
        let space = (BoxSpace::<u8>::new([3], 0, 255), BoxSpace::<bool>::new([1], false, true), Discrete::new(50));
        let mut rows = RowBuffer::new(&space.describe(), 3).unwrap();
        for round in [[1, 2, 3], [11, 12, 13]] {
            rows.drop_lasts();
            let mut wanted = Stack::new(rows.sizes().clone());
            for (slot, x) in round.into_iter().enumerate() {
                rows.write(slot, &element(x)).unwrap();
                wanted.push(&element(x)).unwrap();
            }
            let mut out = Vec::new();
            wanted.finish(&mut out);
            assert_eq!(rows.bytes(), out);
            let mut lasts = Vec::new();
            for x in [21, 25] {
                lasts.extend(element(x));
                wanted.push(&element(x)).unwrap();
            }
            rows.add_lasts(&lasts, 2);
            out.clear();
            wanted.finish(&mut out);
            assert_eq!(rows.bytes(), out);
            rows.sizes().check(rows.bytes(), 5).unwrap();
            let mut one = Vec::new();
            rows.read(1, &mut one);
            assert_eq!(one, element(round[1]));
        }
    }
}
