//! Files that may change while somebody listens: looked at whenever they matter, read when they have changed.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use rlay_core::{Error, ErrorKind, Result};
use rustls::pki_types::pem;

/// What tells one state of a file from the next: its size, and when it was written. Where files are copied with
/// their times, as by backups and package managers, a new one is told by its number and by when that was changed.
type Stamp = Option<(u64, SystemTime, [i64; 4])>;

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
            match (self.load)() {
                Ok(value) => {
                    tracing::info!("{self}: read again");
                    *state = (stamps, Arc::new(value));
                }
                // It is tried again the next time, for the reason may pass without a change of the file.
                Err(error) => {
                    tracing::warn!("{self}: what was read before stays in use: {error}");
                    state.0.clear();
                }
            }
        }
        state.1.clone()
    }
}

/// The names of the files.
impl<T> fmt::Display for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        f.write_str(&names.join(" and "))
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.files).finish()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.len(), metadata.modified().ok()?, identity(&metadata)))
    };
    files.iter().map(stamp).collect()
}

#[cfg(unix)]
fn identity(metadata: &fs::Metadata) -> [i64; 4] {
    use std::os::unix::fs::MetadataExt;
    [metadata.ctime(), metadata.ctime_nsec(), metadata.ino() as i64, metadata.dev() as i64]
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> [i64; 4] {
    [0; 4]
}

/// The error of a file that cannot be used.
pub(crate) fn unusable(file: &Path, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("{} cannot be used: {why}", file.display()))
}

/// What is wrong with the PEM in a file. The crate's own words list the bytes as numbers.
pub(crate) fn in_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its PEM breaks off, without an END line; copy the whole file",
        pem::Error::NoItemsFound => "it does not hold in PEM form what is looked for",
        _ => "its PEM is malformed; make it again",
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering::SeqCst},
        time::Duration,
    };

    use super::*;

    #[test]
    fn what_changes_is_read_again_however_it_changes() {
        let file = std::env::temp_dir().join(format!("rlay-tls-files-{}", std::process::id()));
        let write = |path: &Path, text: &str| {
            fs::write(path, text).unwrap();
            // As where files are copied with their times.
            fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        write(&file, "one");
        let fails = Arc::new(AtomicBool::new(false));
        let (path, is_failing) = (file.clone(), fails.clone());
        let watched = Watched::new(&[&file], move || match is_failing.load(SeqCst) {
            true => Err(unusable(&path, "no descriptors are left")),
            false => fs::read_to_string(&path).map_err(|e| unusable(&path, e)),
        });
        let watched = watched.unwrap();
        assert_eq!(*watched.current(), "one");

        let aside = file.with_extension("new");
        write(&aside, "two");
        fs::rename(&aside, &file).unwrap();
        assert_eq!(*watched.current(), "two", "another file of the same size and time");

        std::thread::sleep(Duration::from_millis(20)); // for clocks that tick slowly
        write(&file, "six");
        fails.store(true, SeqCst);
        assert_eq!(*watched.current(), "two", "what was read before stays");
        fails.store(false, SeqCst);
        assert_eq!(*watched.current(), "six", "the file is good although it has not changed since");
        fs::remove_file(&file).unwrap();
        assert_eq!(*watched.current(), "six");
    }
}
