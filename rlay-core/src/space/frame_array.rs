//! FrameArray: the elements of a large array in the frame they arrived in.

use std::{fmt, marker::PhantomData, ops::Deref};

use bytemuck::Pod;

use super::Elements;
use crate::{
    dtype::Scalar,
    frame::{Frame, Pool},
};

/// Elements that were not copied out of the frame they arrived in: an agent's type for large observations.
///
/// The memory returns to the channel's pool when the array is dropped, so a warm step allocates
/// nothing however large the observation is, and copies nothing either.
///
/// ```no_run
/// use rlay::{BoxSpace, ClientEnv, Discrete, Env, FrameArray};
///
/// let env = ClientEnv::connect("mem://camera", rlay::agent_options())?;
/// let mut env = env.typed::<BoxSpace<u8, FrameArray<u8>>, Discrete>()?;
/// let image = env.step(1)?.observation;
/// println!("the first pixel is {}", image[0]);
/// # Ok::<(), rlay::EnvError>(())
/// ```
pub struct FrameArray<T> {
    frame: Frame,
    at: usize,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Pod> Deref for FrameArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // The constructor has checked that the elements lie there, aligned.
        bytemuck::cast_slice(&self.frame[self.at..][..self.len * size_of::<T>()])
    }
}

impl<T: Pod + Scalar> Elements<T> for FrameArray<T> {
    fn elements(&self) -> &[T] {
        self
    }

    fn build(len: usize, fill: impl FnOnce(&mut [T]) -> bool) -> Option<Self> {
        let mut frame = Pool::new().take(len * size_of::<T>());
        fill(bytemuck::cast_slice_mut(&mut frame)).then_some(Self { frame, at: 0, len, elements: PhantomData })
    }

    fn adopt(frame: Frame, at: usize, len: usize) -> Result<Self, Frame> {
        let fits =
            frame.get(at..).is_some_and(|bytes| bytemuck::try_cast_slice::<_, T>(bytes).is_ok_and(|x| x.len() == len));
        if fits { Ok(Self { frame, at, len, elements: PhantomData }) } else { Err(frame) }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for FrameArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_elements_stay_where_they_arrived() {
        let mut frame = Pool::new().take(64 + 16);
        frame[64..].copy_from_slice(bytemuck::cast_slice(&[1.5f32, -2.0, 0.0, 7.0]));
        let address = frame[64..].as_ptr();
        let array = FrameArray::<f32>::adopt(frame, 64, 4).unwrap();
        assert_eq!(array[..], [1.5, -2.0, 0.0, 7.0]);
        assert_eq!(array.as_ptr().cast(), address);
    }

    #[test]
    fn what_does_not_fit_is_given_back() {
        let pool = Pool::new();
        for (at, len) in [(0, 1), (0, 3), (2, 1), (100, 0)] {
            assert_eq!(FrameArray::<f32>::adopt(pool.take(8), at, len).unwrap_err().len(), 8, "{len} at {at}");
        }
    }
}
