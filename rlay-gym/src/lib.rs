//! The native half of the Python package `rlay`: sessions, packing and arrays. Private; the package
//! in `python/rlay` is the surface.

mod acceptor;
mod agent;
mod array;
mod error;
mod host;
mod packing;
mod polled;
mod space;
mod value;
mod waiting;

use pyo3::prelude::*;

/// The native module `rlay._rlay`.
#[pymodule]
mod _rlay {
    #[pymodule_export]
    use crate::{
        acceptor::{Acceptor, Session, Stop, dial},
        agent::Agent,
        array::Memory,
        polled::Poll,
        space::roundtrip,
        value::roundtrip_value,
    };
}
