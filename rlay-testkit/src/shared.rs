//! SharedArray: an observation that costs nothing to hand out, however large it is.

use std::{ops::Deref, sync::Arc};

use rlay_core::{Elements, Scalar};

/// Elements of an array behind a counted reference, for a [`BoxSpace`](rlay_core::BoxSpace) of large observations.
///
/// An environment keeps one and gives out clones of it. By the time the environment writes again, its host has dropped
/// the clone, so [`make_mut`](Self::make_mut) writes in place: nothing is allocated and no page is touched that was not
/// touched before. An observation that is kept for longer stays unchanged; the environment then writes into a copy.
///
/// ```
/// use rlay_testkit::SharedArray;
///
/// let mut frame = SharedArray::from(vec![0u8; 8]);
/// let address = frame.as_ptr();
/// frame.make_mut()[0] = 1; // in place: there is no clone
/// assert_eq!(frame.as_ptr(), address);
///
/// let observation = frame.clone();
/// frame.make_mut()[0] = 2; // a copy: `observation` stays as it was
/// assert_eq!((observation[0], frame[0]), (1, 2));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SharedArray<T>(Arc<[T]>);

impl<T: Clone> SharedArray<T> {
    /// The elements, to be changed: in place if there is no other clone.
    pub fn make_mut(&mut self) -> &mut [T] {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> From<Vec<T>> for SharedArray<T> {
    fn from(elements: Vec<T>) -> Self {
        Self(elements.into())
    }
}

impl<T> Deref for SharedArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Scalar> Elements<T> for SharedArray<T> {
    fn elements(&self) -> &[T] {
        &self.0
    }

    fn build(len: usize, fill: impl FnOnce(&mut [T]) -> bool) -> Option<Self> {
        let mut out: Self = vec![T::default(); len].into();
        fill(out.make_mut()).then_some(out)
    }
}
