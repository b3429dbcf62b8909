//! The native half of the Python package `rlay`: sessions, packing and arrays. Private; the package
//! in `python/rlay` is the surface.

mod acceptor;
mod array;
mod attributes;
mod building;
mod command;
mod error;
mod host;
mod host_vector;
mod options;
mod packing;
mod polled;
mod printable;
mod raw_env;
mod raw_vector_env;
mod results;
mod session_pool;
mod space;
mod value;
mod waiting;

use pyo3::prelude::*;

/// The native module `rlay._rlay`.
#[pymodule]
mod _rlay {
    use numpy::{PyArray1, PyArrayMethods};
    use pyo3::prelude::*;

    /// Lets the `numpy` crate look up NumPy's functions now: it runs Python for that, at first use, and
    /// panics if Ctrl-C comes in between.
    #[pymodule_init]
    fn look_up_numpy(module: &Bound<'_, PyModule>) -> PyResult<()> {
        PyArray1::from_slice(module.py(), &[0u8]).try_readonly()?;
        Ok(())
    }

    /// The version of the package, which `pyproject.toml` takes from the crate, too.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use crate::{
        acceptor::{Acceptor, History, Session},
        array::Memory,
        attributes::check_attributes,
        building::read_value,
        command::run_command,
        options::check,
        polled::Poll,
        printable::{indented, log_entry, printable_text, sentence},
        raw_env::{RawEnv, await_programs, close_all},
        raw_vector_env::RawVectorEnv,
        session_pool::{HostedSession, SessionPool},
        space::{difference, read_space, roundtrip, show_space},
        value::{check_data, roundtrip_value, show_value},
        waiting::forked,
    };
}
