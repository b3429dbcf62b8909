//! Spaces: sets of values, and therefore how to write one down.
//!
//! Typed spaces ([`BoxSpace`], [`Discrete`], tuples, [`Dict`] …) have plain Rust elements.
//! [`AnySpace`] is the description that crosses the wire; it is itself a space over [`Value`].

mod any;
mod batch;
mod box_space;
mod composite;
mod difference;
mod discrete;
mod display;
mod dynamic;
mod frame_array;
mod lookup;
mod memory;
mod row_buffer;
pub(crate) mod stacked;
mod text;
mod variable;
mod violation;

pub use any::{AnyBox, AnySpace, Bound};
pub use batch::{BatchSpace, Slabs, SlabsMut};
pub use box_space::{BoxSpace, Elements};
pub use composite::{Dict, Members, OneOf};
pub use difference::difference;
pub use discrete::{Discrete, MultiBinary, MultiDiscrete};
pub(crate) use display::short;
pub use frame_array::FrameArray;
pub(crate) use row_buffer::RowBuffer;
pub use stacked::{SlabSizes, Stack};
pub use text::Text;
pub use variable::{GraphSpace, Sequence};
pub(crate) use violation::part;
pub use violation::violation;

use crate::{
    error::{Error, ErrorKind, Result},
    frame::Frame,
    rng::Rng,
    value::Value,
    wire::Reader,
};

/// A set of values that environments take as actions or give as observations.
///
/// ```
/// use rlay::{BoxSpace, Discrete, Rng, Space};
///
/// let observation = BoxSpace::<f32, [f32; 4]>::new([4], -1.0, 1.0);
/// assert!(observation.contains(&[0.0, 0.5, -1.0, 1.0]));
/// let action = Discrete::new(2);
/// assert!(action.contains(&action.sample(&mut Rng::seeded(0))));
/// ```
pub trait Space {
    /// What the space contains, as a plain Rust type.
    type Element;

    /// Whether `x` lies in the space.
    fn contains(&self, x: &Self::Element) -> bool;

    /// A random element.
    fn sample(&self, rng: &mut Rng) -> Self::Element;

    /// The description sent to the peer, once, in the handshake.
    fn describe(&self) -> AnySpace;

    /// The space that `any` describes, if it is of this type; the error says at which leaf it is not.
    fn from_any(any: &AnySpace) -> Result<Self>
    where
        Self: Sized,
    {
        Err(other_class(std::any::type_name::<Self>(), any))
    }

    /// The element as Python would hold it.
    fn to_value(&self, x: &Self::Element) -> Value;

    /// The element that Python's `value` stands for; an error of kind
    /// [`InvalidAction`](ErrorKind::InvalidAction) if this space's type cannot hold it.
    #[allow(clippy::wrong_self_convention)] // only the space knows what the value stands for
    fn from_value(&self, value: &Value) -> Result<Self::Element>;

    /// Appends the packed form (`docs/wire.md`, "Packed payloads"); `false`, with `out` in any state,
    /// if the space or the element has none.
    fn pack(&self, _x: &Self::Element, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Reads what [`pack`](Space::pack) wrote.
    fn unpack(&self, input: &mut Reader<'_>) -> Result<Self::Element> {
        Err(input.error("a packed payload for a space that has no packed form"))
    }

    /// The element that has all of `frame` from `at` on as its packed form, left in that memory; gives the frame back
    /// if it is to be unpacked instead.
    fn adopt(&self, frame: Frame, _at: usize) -> Result<Self::Element, Frame> {
        Err(frame)
    }

    /// Whether `any` is this space's description, as [`describe`](Space::describe) gives it. Asked once per episode.
    fn is_described_by(&self, any: &AnySpace) -> bool {
        self.describe() == *any
    }

    /// The element's own memory, if that is its whole packed form: it is then sent from where it lies.
    fn slab<'a>(&self, _x: &'a Self::Element) -> Option<&'a [u8]> {
        None
    }
}

/// The error of [`Space::from_value`].
pub(crate) fn mismatch(space: &AnySpace, value: &Value) -> Error {
    Error::new(ErrorKind::InvalidAction, violation::Unreadable(space, value).to_string())
}

/// Refuses an action of wrong structure, and one that holds a placeholder for an object, before anything is sent.
pub(crate) fn check_action<A: Space>(space: &A, action: &Value) -> Result<()> {
    space.from_value(action).map_err(|error| error.at("action"))?;
    action.check_held("action").map_err(|text| Error::new(ErrorKind::InvalidAction, text))
}

/// The error of [`Space::from_any`].
pub(crate) fn other_class(wanted: &str, any: &AnySpace) -> Error {
    let fits = any.rust_type();
    let space = short(any);
    let text = format!("{wanted} was asked for, it is {space}; the Rust type of that is {fits}, or AnySpace");
    Error::new(ErrorKind::Incompatible, text)
}

/// The shape of `len` elements that should have `shape`. Elements of another number are no element of
/// the space, but have a shape all the same: one axis.
pub(crate) fn shape_of(len: usize, shape: &[u64]) -> Vec<u64> {
    if shape.iter().product::<u64>() == len as u64 { shape.to_vec() } else { vec![len as u64] }
}

/// Zeros up to the next multiple of eight bytes; leaves of a packed payload start at one.
pub(crate) fn pad8(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Skips what [`pad8`] wrote after a leaf of `len` bytes.
pub(crate) fn skip8(input: &mut Reader<'_>, len: usize) -> Result<()> {
    let pad = input.take((len.next_multiple_of(8) - len) as u64)?;
    if pad.iter().any(|byte| *byte != 0) {
        return Err(input.error("padding that is not zero, ending"));
    }
    Ok(())
}
