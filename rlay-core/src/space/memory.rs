//! What spaces take in memory: the arrays of their elements, and what Gymnasium allocates to make them.
//!
//! A few bytes can announce terabytes of either, so both are counted before a space is made of a description. Counted
//! is what `gymnasium.spaces` of Gymnasium 1.4 does: a `Box` holds both bounds and a mask for each; a stacked
//! `Sequence` and a `Graph` batch their spaces when they are made, which copies what cannot be batched, so that each
//! level of them doubles what is inside.

use super::AnySpace;

/// Bytes of an object without arrays, roughly, and of each of its dimensions.
const OBJECT: usize = 1 << 10;
const DIMENSION: usize = 128;

/// A copy counts as so many bytes, for it takes as long as to make several objects.
const COPY: usize = 8 << 10;

/// Bytes of a character in a charset: it stands in a set, a tuple, a dict and a str.
const CHARACTER: usize = 128;

/// A Box with larger arrays and uniform bounds does not hold the bounds in full.
pub(super) const SHARED: usize = 1 << 20;

/// What a space takes.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    /// To be made.
    made: usize,
    /// To be copied, as `copy.deepcopy` does.
    copied: usize,
    /// For a batch of it, as `gymnasium.vector.utils.batch_space` makes one.
    batched: usize,
}

impl Cost {
    /// Of an object with so many dimensions that takes `more` beside them.
    fn of(dimensions: usize, more: usize) -> Self {
        let bytes = (dimensions * DIMENSION).saturating_add(more);
        let copied = bytes.saturating_add(COPY);
        Self { made: bytes.saturating_add(OBJECT), copied, batched: copied }
    }

    fn and(self, other: Self) -> Self {
        Self {
            made: self.made.saturating_add(other.made),
            copied: self.copied.saturating_add(other.copied),
            batched: self.batched.saturating_add(other.batched),
        }
    }

    /// The sum of what is inside a container, and the container.
    fn sum(costs: impl IntoIterator<Item = Self>) -> Self {
        costs.into_iter().fold(Self::of(0, 0), Self::and)
    }

    /// Of a space that has a tuple of copies as its batch.
    fn not_batched(self) -> Self {
        Self { batched: self.copied, ..self }
    }

    /// Of a space that batches the one inside when it is made.
    fn with_batch(self) -> Self {
        Self { made: self.made.saturating_add(self.batched), copied: self.copied.saturating_add(self.batched), ..self }
    }
}

impl AnySpace {
    /// Bytes of one element of each leaf that is an array or a text, added up: as few as there can be.
    pub(crate) fn element_bytes(&self) -> usize {
        let bytes = |shape: &[u64], size: usize| (shape.iter().product::<u64>() as usize).saturating_mul(size);
        let sum = |spaces: &mut dyn Iterator<Item = &Self>| {
            spaces.fold(0, |sum: usize, space| sum.saturating_add(space.element_bytes()))
        };
        match self {
            Self::Box(space) => space.byte_len(),
            Self::MultiBinary(space) => bytes(&space.shape, 1),
            Self::MultiDiscrete(space) => bytes(&space.shape, space.dtype.size()),
            Self::Tuple(spaces) | Self::OneOf(spaces) => sum(&mut spaces.iter()),
            Self::Dict(spaces) => sum(&mut spaces.iter().map(|(_, space)| space)),
            Self::Sequence { space, .. } => space.element_bytes(),
            Self::Graph { node, edge } => {
                sum(&mut [Some(node), edge.as_ref()].into_iter().flatten().map(|space| &**space))
            }
            // A character has at least one byte.
            Self::Text(space) => space.min_length as usize,
            Self::Discrete(_) => 0,
        }
    }

    /// Bytes that Gymnasium allocates to make this space, roughly.
    pub(crate) fn gymnasium_bytes(&self) -> usize {
        self.cost().made
    }

    fn cost(&self) -> Cost {
        match self {
            Self::Box(space) => {
                // Two bounds, and a mask of one byte for each.
                let full = space.len().saturating_mul(2 * space.dtype.size() + 2);
                let leaf = Cost::of(space.shape.len(), full);
                let made = if space.is_shared() { Cost::of(space.shape.len(), 0).made } else { leaf.made };
                Cost { made, batched: leaf.batched.saturating_mul(2), ..leaf }
            }
            // A batch of it is a Box of int8.
            Self::MultiBinary(space) => {
                let batch = (space.shape.iter().product::<u64>() as usize).saturating_mul(8);
                let leaf = Cost::of(space.shape.len(), 0);
                Cost { batched: leaf.batched.saturating_add(batch), ..leaf }
            }
            Self::MultiDiscrete(space) => {
                let leaf = Cost::of(space.shape.len(), space.nvec.len().saturating_mul(2 * space.dtype.size()));
                Cost { batched: leaf.batched.saturating_mul(4), ..leaf }
            }
            Self::Discrete(_) => Cost::of(0, 0),
            Self::Text(space) => Cost::of(0, space.charset.len().saturating_mul(CHARACTER)),
            Self::Tuple(spaces) => Cost::sum(spaces.iter().map(Self::cost)),
            Self::Dict(spaces) => Cost::sum(spaces.iter().map(|(_, space)| space.cost())),
            Self::OneOf(spaces) => Cost::sum(spaces.iter().map(Self::cost)).not_batched(),
            Self::Sequence { space, stack } => {
                let cost = Cost::sum([space.cost()]);
                if *stack { cost.with_batch().not_batched() } else { cost.not_batched() }
            }
            Self::Graph { node, edge } => {
                let inside = [Some(node), edge.as_ref()].into_iter().flatten();
                Cost::sum(inside.map(|space| space.cost())).with_batch().not_batched()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{BoxSpace, Discrete, MultiBinary, Space};

    fn stacked(space: AnySpace) -> AnySpace {
        AnySpace::Sequence { space: Box::new(space), stack: true }
    }

    #[test]
    fn a_batch_is_counted_where_gymnasium_makes_one() {
        let bits = AnySpace::MultiBinary(MultiBinary { shape: vec![1 << 20], n_is_int: true });
        assert!(bits.gymnasium_bytes() < 1 << 12);
        assert!(stacked(bits.clone()).gymnasium_bytes() > 4 << 20);
        let graph = AnySpace::Graph { node: Box::new(Discrete::new(2).describe()), edge: Some(Box::new(bits.clone())) };
        assert!(graph.gymnasium_bytes() > 4 << 20);
        let tuple = AnySpace::Tuple(vec![AnySpace::Sequence { space: Box::new(bits), stack: false }]);
        assert!(tuple.gymnasium_bytes() < 1 << 13);
    }

    #[test]
    fn every_level_that_batches_doubles_what_is_inside() {
        let nested = (0..24).fold(Discrete::new(2).describe(), |space, _| stacked(space));
        assert!(nested.gymnasium_bytes() > 1 << 30);
        let graphs = |n| {
            (0..n).fold(Discrete::new(2).describe(), |space, _| AnySpace::Graph { node: Box::new(space), edge: None })
        };
        assert!(graphs(24).gymnasium_bytes() > 1 << 30);
        assert_eq!(graphs(200).gymnasium_bytes(), usize::MAX);
    }

    #[test]
    fn bounds_that_are_alike_cost_one_where_they_are_many() {
        let large = BoxSpace::<f32>::new([16 << 20], 0.0, 1.0).describe();
        assert!(large.gymnasium_bytes() < 1 << 12);
        assert_eq!(large.element_bytes(), 64 << 20);
        assert!(stacked(large).gymnasium_bytes() > 300 << 20);
    }
}
