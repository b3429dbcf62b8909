//! Output: the log of what a launched program prints, and the last lines of it.

use std::{
    collections::VecDeque,
    fs::{DirBuilder, File, Metadata},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use rustix::{fs::OFlags, process::geteuid};

use crate::{net::why, printable::sentence, token::nonce};

/// Of what a program printed last, so many lines are kept for errors, each cut to so many bytes.
const LINES: usize = 10;
const LINE: usize = 500;

/// Why there is no log, and the error of the system that led to it, if one did.
type Unopened = (String, Option<io::Error>);

/// Where the log of a program lies.
#[derive(Debug)]
pub(in crate::endpoint) struct Log {
    pub(in crate::endpoint) path: PathBuf,
    /// The folder of a log that was not asked for. Both are of no more use after a clean end, unless people were told
    /// of them.
    folder: Option<PathBuf>,
    is_named: AtomicBool,
}

impl Log {
    /// Opens the one that the user wants, by default a new one in a new folder among the temporary files, which others
    /// can neither foretell nor look into. The error says which it was to be.
    pub(in crate::endpoint) fn open(wanted: Option<&Path>) -> Result<(Self, File), Unopened> {
        let folder = wanted.is_none().then(new_folder).transpose()?;
        let path = folder.as_ref().map(|folder| folder.join("output.log"));
        let path = path.or_else(|| wanted.map(Path::to_path_buf)).unwrap_or_default();
        let log = Self { path, folder, is_named: AtomicBool::new(false) };
        match log.create() {
            Ok(file) => Ok((log, file)),
            Err((why, cause)) => {
                log.discard();
                Err((format!("the log {}: {why}", log.path.display()), cause))
            }
        }
    }

    /// Makes a file that only its user can read. To one that is there is added, if it is the user's own: it may hold
    /// why the program has ended that this one takes the place of, or be that of several programs.
    fn create(&self) -> Result<File, Unopened> {
        // A FIFO is opened once a process reads from it, unless that is not waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut options = File::options();
        options.append(true).create(true).create_new(self.folder.is_some());
        let opened = options.mode(0o600).custom_flags(flags.bits() as i32).open(&self.path);
        let found = match &opened {
            Ok(file) => file.metadata(),
            Err(_) => self.path.symlink_metadata(),
        };
        match found.ok().and_then(|found| unfit(&found)) {
            Some(what) => {
                Err((format!("it is {what}; give the path of a file of your own, or of one that is not there"), None))
            }
            None => opened.map_err(|e| (why(&e), Some(e))),
        }
    }

    /// Its path for people: they may look there from now on.
    pub(in crate::endpoint) fn name(&self) -> String {
        self.is_named.store(true, Relaxed);
        self.path.display().to_string()
    }

    /// Removes it, if it was neither asked for nor named to people.
    pub(in crate::endpoint) fn discard(&self) {
        if let Some(folder) = self.folder.as_ref().filter(|_| !self.is_named.load(Relaxed)) {
            let _ = std::fs::remove_file(&self.path);
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Makes a folder that only this user can look into, among the temporary files of everybody.
fn new_folder() -> Result<PathBuf, Unopened> {
    let random = nonce().map_err(|e| (e.to_string(), None))?.map(|byte| format!("{byte:02x}")).concat();
    let folder = std::env::temp_dir().join(format!("rlay-launch-{}", &random[..32]));
    // It is an error if something is there, be it a link to nowhere.
    let made = DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|e| (format!("a folder for its log, {}: {e}", folder.display()), Some(e)))?;
    Ok(folder)
}

/// What it is that can be no log: it would keep its writer waiting, or is another user's. Devices, such as /dev/null,
/// are the system's.
fn unfit(found: &Metadata) -> Option<String> {
    let (kind, user) = (found.file_type(), found.uid());
    let is_own = user == geteuid().as_raw() || (kind.is_char_device() && user == 0) || is_null(found);
    let what = match kind {
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_dir() => "a directory",
        _ if kind.is_symlink() => "a link",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_block_device() => "a disk",
        // Where the system lets others give a second name to a file, that may be one which is precious.
        _ if kind.is_file() && found.nlink() > 1 => "a file with a second name, a hard link",
        _ if is_own => return None,
        _ => return Some(format!("a file of user {user}")),
    };
    Some(what.to_owned())
}

/// Whether it is `/dev/null`. In a user namespace the system's devices belong to a user that the namespace does not
/// have.
#[cfg(target_os = "linux")]
fn is_null(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == rustix::fs::makedev(1, 3)
}

/// Elsewhere there are no user namespaces.
#[cfg(not(target_os = "linux"))]
fn is_null(_: &Metadata) -> bool {
    false
}

/// The last lines of what was printed.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct Tail {
    lines: VecDeque<Vec<u8>>,
    is_amid_line: bool,
}

impl Tail {
    pub(in crate::endpoint) fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_amid_line {
                if self.lines.len() == LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(vec![]);
            }
            let line = self.lines.back_mut().expect("one was just begun");
            let room = LINE.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            self.is_amid_line = !piece.ends_with(b"\n");
        }
    }

    pub(in crate::endpoint) fn lines(&self) -> impl Iterator<Item = String> {
        self.lines.iter().map(|line| {
            let text = String::from_utf8_lossy(line).trim_end().replace('\t', "    ");
            sentence(&text).into_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_no_more() {
        let mut tail = Tail::default();
        for i in 0..100 {
            tail.add(format!("line {i}\nand ").as_bytes());
            tail.add(&vec![b'x'; 2 * LINE]);
        }
        let lines: Vec<_> = tail.lines().collect();
        assert_eq!(lines.len(), LINES);
        assert!(lines.iter().all(|line| line.len() <= LINE), "{lines:?}");
        assert!(lines[LINES - 1].starts_with("and xxx"), "{lines:?}");
        tail.add(b"\n\x1b[31mred\n");
        assert_eq!(tail.lines().last().as_deref(), Some("\\x1b[31mred"));
    }
}
