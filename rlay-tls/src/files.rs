//! Files that may change while somebody listens: looked at whenever they matter, read when they have changed.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rlay_core::{Error, ErrorKind, Result};

/// What tells one state of a file from the next.
type Stamp = Option<(SystemTime, u64)>;

/// What some files hold.
pub(crate) struct Watched<T> {
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> Result<T> + Send + Sync>,
    state: Mutex<(Vec<Stamp>, Arc<T>)>,
}

impl<T> Watched<T> {
    /// Reads `files` by `load`. They must be there and good now.
    pub(crate) fn new(files: &[&Path], load: impl Fn() -> Result<T> + Send + Sync + 'static) -> Result<Self> {
        let files: Vec<_> = files.iter().map(|file| file.to_path_buf()).collect();
        let stamps = stamps(&files);
        let value = Arc::new(load()?);
        Ok(Self { files, load: Box::new(load), state: Mutex::new((stamps, value)) })
    }

    /// What they hold now; if that cannot be used, what they held before.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.files);
        if stamps != state.0 {
            // Whether or not it can be used: what is half-written now changes once more.
            state.0 = stamps;
            match (self.load)() {
                Ok(value) => {
                    tracing::info!("{self:?}: read again");
                    state.1 = Arc::new(value);
                }
                Err(error) => tracing::warn!("{self:?}: what was read before stays in use: {error}"),
            }
        }
        state.1.clone()
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.files).finish()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| fs::metadata(file).and_then(|m| Ok((m.modified()?, m.len()))).ok()).collect()
}

/// The error of a file that cannot be used.
pub(crate) fn unusable(file: &Path, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("{} cannot be used: {why}", file.display()))
}
