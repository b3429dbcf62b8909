//! Stacked: packed elements of several rows, the rows of each leaf one after another (`docs/wire.md`, "Packed payloads").

use super::AnySpace;
use crate::error::{Error, Result};

/// The error of a packed payload where there can be none.
pub(crate) fn no_packed_form() -> Error {
    Error::protocol("a packed payload for a space that has no packed form")
}

/// How many bytes one row takes in each slab of the packed form of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlabSizes(Vec<usize>);

impl SlabSizes {
    /// `None`: the space has no packed form.
    pub fn of(space: &AnySpace) -> Option<Self> {
        if !space.is_fixed() {
            return None;
        }
        let mut sizes = Vec::new();
        collect(space, &mut sizes);
        Some(Self(sizes))
    }

    /// Bytes of so many rows.
    pub fn len(&self, rows: usize) -> usize {
        self.0
            .iter()
            .map(|size| size.saturating_mul(rows).checked_next_multiple_of(8).unwrap_or(usize::MAX))
            .fold(0, usize::saturating_add)
    }

    /// Refuses what are not so many rows.
    pub fn check(&self, stacked: &[u8], rows: usize) -> Result<()> {
        if stacked.len() != self.len(rows) {
            return Err(Error::protocol(format!(
                "a packed payload of {} bytes, where {rows} rows of the space take {}",
                stacked.len(),
                self.len(rows)
            )));
        }
        for (at, size) in self.slabs(rows) {
            let end = at + size * rows;
            if stacked[end..end.next_multiple_of(8)].iter().any(|byte| *byte != 0) {
                return Err(Error::protocol("padding that is not zero in a packed payload"));
            }
        }
        Ok(())
    }

    /// Where each slab of so many rows starts, and what one row takes in it.
    pub fn slabs(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut at = 0;
        self.0.iter().map(move |size| {
            let start = at;
            at += (size * rows).next_multiple_of(8);
            (start, *size)
        })
    }

    /// Appends the packed form of one of so many rows that were [checked](Self::check).
    pub fn row(&self, stacked: &[u8], rows: usize, row: usize, out: &mut Vec<u8>) {
        for (at, size) in self.slabs(rows) {
            out.extend_from_slice(&stacked[at + row * size..at + (row + 1) * size]);
            super::pad8(out);
        }
    }

    /// Appends stacks one behind the other, as one: the first `firsts` rows of each, and then the rest of each.
    pub(crate) fn join<'s>(&self, stacks: impl Iterator<Item = Joined<'s>> + Clone, out: &mut Vec<u8>) {
        for (slab, size) in self.0.iter().enumerate() {
            let rows_of = |stack: &Joined<'s>| {
                let at: usize = self.0[..slab].iter().map(|size| (size * stack.rows).next_multiple_of(8)).sum();
                stack.stacked[at..at + size * stack.rows].split_at(size * stack.firsts)
            };
            stacks.clone().for_each(|stack| out.extend_from_slice(rows_of(&stack).0));
            stacks.clone().for_each(|stack| out.extend_from_slice(rows_of(&stack).1));
            super::pad8(out);
        }
    }

    /// Writes the zeros between the slabs of so many rows.
    pub(crate) fn fill_padding(&self, stacked: &mut [u8], rows: usize) {
        for (at, size) in self.slabs(rows) {
            let end = at + size * rows;
            stacked[end..end.next_multiple_of(8)].fill(0);
        }
    }

    /// Writes one of so many rows over one of as many others, without a detour.
    pub fn copy_row(&self, from: (&[u8], usize, usize), to: (&mut [u8], usize, usize)) {
        let ((from, from_rows, from_row), (to, to_rows, to_row)) = (from, to);
        for ((at, size), (to_at, _)) in self.slabs(from_rows).zip(self.slabs(to_rows)) {
            let row = &from[at + from_row * size..at + (from_row + 1) * size];
            to[to_at + to_row * size..to_at + (to_row + 1) * size].copy_from_slice(row);
        }
    }
}

/// Rows that [`SlabSizes::join`] joins to others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined<'s> {
    /// The rows in the packed form.
    pub(crate) stacked: &'s [u8],
    /// How many there are.
    pub(crate) rows: usize,
    /// How many of them come before the rest of other stacks.
    pub(crate) firsts: usize,
}

fn collect(space: &AnySpace, sizes: &mut Vec<usize>) {
    match space {
        AnySpace::Box(space) => sizes.push(space.byte_len()),
        AnySpace::Discrete(_) => sizes.extend([8, 1]),
        AnySpace::MultiBinary(space) => sizes.push(space.len()),
        AnySpace::MultiDiscrete(space) => sizes.push(space.nvec.len() * space.dtype.size()),
        AnySpace::Tuple(spaces) => spaces.iter().for_each(|space| collect(space, sizes)),
        AnySpace::Dict(spaces) => spaces.iter().for_each(|(_, space)| collect(space, sizes)),
        AnySpace::Text(_) | AnySpace::Sequence { .. } | AnySpace::Graph { .. } | AnySpace::OneOf(_) => {
            unreachable!("a space with a packed form holds none of these")
        }
    }
}

/// Rows that come one after another, whose number is not known before the last one.
#[derive(Debug)]
pub struct Stack {
    sizes: SlabSizes,
    slabs: Vec<Vec<u8>>,
    rows: usize,
}

impl Stack {
    /// No rows yet.
    pub fn new(sizes: SlabSizes) -> Self {
        Self { slabs: vec![Vec::new(); sizes.0.len()], sizes, rows: 0 }
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.slabs.iter_mut().for_each(Vec::clear);
        self.rows = 0;
    }

    /// Appends the packed form of one element, if it has the length of one.
    pub fn push(&mut self, element: &[u8]) -> Result<()> {
        if element.len() != self.sizes.len(1) {
            let text = format!("an element of {} bytes, of which its space takes {}", element.len(), self.sizes.len(1));
            return Err(Error::protocol(text));
        }
        let mut at = 0;
        for (slab, size) in self.slabs.iter_mut().zip(&self.sizes.0) {
            slab.extend_from_slice(&element[at..at + size]);
            at += size.next_multiple_of(8);
        }
        self.rows += 1;
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The packed form of row `row`.
    pub fn row(&self, row: usize, out: &mut Vec<u8>) {
        for (slab, size) in self.slabs.iter().zip(&self.sizes.0) {
            out.extend_from_slice(&slab[row * size..(row + 1) * size]);
            super::pad8(out);
        }
    }

    /// Appends all rows in the packed form.
    pub fn finish(&self, out: &mut Vec<u8>) {
        for slab in &self.slabs {
            out.extend_from_slice(slab);
            super::pad8(out);
        }
    }

    /// Moves these rows and then those of `last` into `out`, which is empty. Where each row is one leaf that takes their
    /// memory along: they are copied no further.
    pub(crate) fn finish_with(&mut self, last: &Self, out: &mut Vec<u8>) {
        if let ([slab], [more]) = (&mut self.slabs[..], &last.slabs[..])
            && out.is_empty()
        {
            slab.extend_from_slice(more);
            super::pad8(slab);
            std::mem::swap(slab, out);
            self.rows = 0;
            return;
        }
        for (slab, more) in self.slabs.iter().zip(&last.slabs) {
            out.extend_from_slice(slab);
            out.extend_from_slice(more);
            super::pad8(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{BoxSpace, Discrete, Space};

    fn space() -> AnySpace {
        (BoxSpace::<u8>::new([3], 0, 255), Discrete::new(5)).describe()
    }

    fn element(x: u8) -> Vec<u8> {
        let mut out = vec![x, x + 1, x + 2, 0, 0, 0, 0, 0];
        out.extend(i64::from(x).to_le_bytes());
        out.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        out
    }

    #[test]
    fn rows_come_back_as_they_went() {
        let sizes = SlabSizes::of(&space()).unwrap();
        let (mut stack, mut last) = (Stack::new(sizes.clone()), Stack::new(sizes.clone()));
        [1, 5].iter().for_each(|x| stack.push(&element(*x)).unwrap());
        last.push(&element(9)).unwrap();
        let mut out = Vec::new();
        stack.finish_with(&last, &mut out);
        assert_eq!(out.len(), sizes.len(3));
        sizes.check(&out, 3).unwrap();
        assert_eq!(&out[..16], [1, 2, 3, 5, 6, 7, 9, 10, 11, 0, 0, 0, 0, 0, 0, 0]);
        for (row, x) in [1, 5, 9].into_iter().enumerate() {
            let mut one = Vec::new();
            sizes.row(&out, 3, row, &mut one);
            assert_eq!(one, element(x));
        }
        let (mut alone, mut joined) = (Vec::new(), Vec::new());
        last.finish(&mut alone);
        let parts = [(&out, 3, 2), (&alone, 1, 1)];
        let parts = parts.iter().map(|(stacked, rows, firsts)| Joined { stacked, rows: *rows, firsts: *firsts });
        sizes.join(parts, &mut joined);
        sizes.check(&joined, 4).unwrap();
        for (row, x) in [1, 5, 9, 9].into_iter().enumerate() {
            let mut one = Vec::new();
            sizes.row(&joined, 4, row, &mut one);
            assert_eq!(one, element(x));
        }
        let mut other = vec![0; sizes.len(2)];
        sizes.copy_row((&out, 3, 1), (&mut other, 2, 0));
        let mut one = Vec::new();
        sizes.row(&other, 2, 0, &mut one);
        assert_eq!(one, element(5));
    }

    #[test]
    fn other_lengths_and_padding_are_refused() {
        let sizes = SlabSizes::of(&space()).unwrap();
        assert!(Stack::new(sizes.clone()).push(&[0; 8]).is_err());
        let mut stacked = vec![0; sizes.len(2)];
        sizes.check(&stacked, 2).unwrap();
        assert!(sizes.check(&stacked, 3).is_err());
        stacked[7] = 1;
        assert!(sizes.check(&stacked, 2).is_err());
        assert!(sizes.check(&[], usize::MAX).is_err());
    }
}
