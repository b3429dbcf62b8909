//! Files that may change while a listener lives: checked at each use, read again when they have changed.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rlay_core::{Error, ErrorKind, Result};
use rustls::pki_types::pem;

/// No file that is read here is longer, in bytes.
const LONGEST: u64 = 4 << 20;
/// How long a handshake waits for its files to be checked; files of a network may block a reader for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// The content of a file. Whatever is found at the path, this does not block: not for a writer of a FIFO, and not for
/// the end of a device.
pub(crate) fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut options = fs::File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits() as i32);
    let opened = options.open(file)?;
    let found = opened.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file; put one in its place"));
    }
    let mut bytes = vec![];
    opened.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other(format!("it is longer than {LONGEST} bytes; take out what is not needed")));
    }
    Ok(bytes)
}

/// Tells one state of a file from the next: its size and its modification time. Where files are copied with their
/// times, as by backups and package managers, the inode number and the change time of the inode tell a new file.
type Stamp = Option<(u64, SystemTime, [i64; 4])>;

/// The content of some files.
pub(crate) struct Watched<T>(Arc<Shared<T>>);

struct Shared<T> {
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> Result<T> + Send + Sync>,
    state: Mutex<State<T>>,
    looked: Condvar,
}

struct State<T> {
    stamps: Vec<Stamp>,
    value: Arc<T>,
    /// Why the files could not be used at the last check.
    failure: Option<String>,
    /// Whether a thread is checking the files.
    is_looking: bool,
    /// Whether the check takes so long that handshakes do not wait for it.
    is_slow: bool,
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Reads `files` by `load`. The files must exist and be usable now.
    pub(crate) fn new(files: &[&Path], load: impl Fn() -> Result<T> + Send + Sync + 'static) -> Result<Self> {
        let files: Vec<_> = files.iter().map(|file| file.to_path_buf()).collect();
        let stamps = stamps(&files);
        let value = Arc::new(load()?);
        let state = State { stamps, value, failure: None, is_looking: false, is_slow: false };
        Ok(Self(Arc::new(Shared { files, load: Box::new(load), state: Mutex::new(state), looked: Condvar::new() })))
    }

    /// The files' present content; if that cannot be used, or not be read in time, their previous content.
    pub(crate) fn current(&self) -> Arc<T> {
        let shared = &self.0;
        let (mut state, deadline) = (shared.state(), Instant::now() + PATIENCE);
        if shared.files.is_empty() || (state.is_looking && state.is_slow) {
            return state.value.clone();
        }
        // A check that has begun already may miss later changes.
        state = shared.wait(state, deadline);
        if !state.is_looking {
            let for_thread = shared.clone();
            let spawned = thread::Builder::new().name("rlay-files".into()).spawn(move || for_thread.look());
            state.is_looking = spawned.is_ok();
            if let Err(error) = spawned {
                tracing::warn!("{self}: what was read before stays in use: a thread cannot be started: {error}");
            }
            state = shared.wait(state, deadline);
        }
        if state.is_looking && !std::mem::replace(&mut state.is_slow, true) {
            tracing::warn!("{self}: what was read before stays in use: reading takes more than {PATIENCE:?}");
        }
        state.value.clone()
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no check is under way, or until `deadline`.
    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>, deadline: Instant) -> MutexGuard<'a, State<T>> {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.looked.wait_timeout_while(state, left, |state| state.is_looking);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Reads the files if they have changed; other checks wait for that.
    fn look(&self) {
        let stamps = stamps(&self.files);
        let has_changed = stamps != self.state().stamps;
        let loaded = has_changed.then(|| (self.load)());
        let mut state = self.state();
        match loaded {
            None => {}
            Some(Ok(value)) => {
                tracing::info!("{self}: read again");
                (state.stamps, state.value, state.failure) = (stamps, Arc::new(value), None);
            }
            // Retried at the next check, for the reason may pass without a change of the file.
            Some(Err(error)) => {
                let why = error.to_string();
                if state.failure.as_ref() != Some(&why) {
                    tracing::warn!("{self}: what was read before stays in use: {why}");
                }
                state.stamps.clear();
                state.failure = Some(why);
            }
        }
        (state.is_looking, state.is_slow) = (false, false);
        self.looked.notify_all();
    }
}

/// The names of the files.
impl<T> fmt::Display for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        f.write_str(&names.join(" and "))
    }
}

impl<T> fmt::Display for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0.files).finish()
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

/// The error of a file that cannot be read.
pub(crate) fn unreadable(file: &Path, why: io::Error) -> Error {
    unusable(file, &why).with_source(why)
}

/// The error of a file that cannot be used.
pub(crate) fn unusable(file: &Path, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Usage, format!("{} cannot be used: {why}", file.display()))
}

/// The fault in the PEM of a file. The crate's own words list the bytes as numbers.
pub(crate) fn in_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its PEM breaks off, without an END line; copy the whole file",
        pem::Error::NoItemsFound => "it does not hold in PEM form what is looked for",
        _ => "its PEM is malformed; make it again",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    };

    use super::*;

    #[test]
    fn what_changes_is_read_again_however_it_changes() {
        let file = std::env::temp_dir().join(format!("rlay-tls-files-{}", std::process::id()));
        let write = |path: &Path, text: &str| {
            fs::write(path, text).unwrap();
            // As if the file was copied with its times.
            fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        write(&file, "one");
        let fails = Arc::new(AtomicBool::new(false));
        let (path, is_failing) = (file.clone(), fails.clone());
        let watched = Watched::new(&[&file], move || match is_failing.load(SeqCst) {
            true => Err(unusable(&path, "no descriptors are left")),
            false => fs::read_to_string(&path).map_err(|e| unreadable(&path, e)),
        });
        let watched = watched.unwrap();
        assert_eq!(*watched.current(), "one");

        let aside = file.with_extension("new");
        write(&aside, "two");
        fs::rename(&aside, &file).unwrap();
        assert_eq!(*watched.current(), "two", "another file of the same size and time");

        thread::sleep(Duration::from_millis(20)); // for clocks that tick slowly
        write(&file, "six");
        fails.store(true, SeqCst);
        assert_eq!(*watched.current(), "two", "what was read before stays");
        fails.store(false, SeqCst);
        assert_eq!(*watched.current(), "six", "the file is good although it has not changed since");
        fs::remove_file(&file).unwrap();
        assert_eq!(*watched.current(), "six");
    }

    #[test]
    fn nobody_waits_for_one_that_takes_for_ever() {
        let file = std::env::temp_dir().join(format!("rlay-tls-slow-{}", std::process::id()));
        fs::write(&file, "one").unwrap();
        let (go, gate) = mpsc::channel::<()>();
        let (path, gate, is_first) = (file.clone(), Mutex::new(gate), AtomicBool::new(true));
        let watched = Watched::new(&[&file], move || {
            if !is_first.swap(false, SeqCst) {
                let _ = gate.lock().unwrap().recv();
            }
            fs::read_to_string(&path).map_err(|e| unreadable(&path, e))
        });
        let watched = watched.unwrap();
        fs::write(&file, "another").unwrap();
        let began = Instant::now();
        for _ in 0..100 {
            assert_eq!(*watched.current(), "one");
        }
        assert!(began.elapsed() < 10 * PATIENCE, "each of them waits");
        drop(go);
        let deadline = Instant::now() + Duration::from_secs(60);
        while *watched.current() != "another" {
            assert!(Instant::now() < deadline, "it is read in the end");
        }
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn only_regular_files_of_some_length_are_read() {
        let folder = std::env::temp_dir().join(format!("rlay-tls-kinds-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name);
        fs::write(at("good"), "good").unwrap();
        assert_eq!(read(&at("good")).unwrap(), b"good");
        fs::File::create(at("long")).unwrap().set_len(1 << 42).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        for (bad, why) in [
            (at("long"), "longer than"),
            (at("fifo"), "regular"),
            (folder.clone(), "regular"),
            ("/dev/zero".into(), "regular"),
        ] {
            let error = read(&bad).unwrap_err().to_string();
            assert!(error.contains(why), "{}: {error}", bad.display());
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
