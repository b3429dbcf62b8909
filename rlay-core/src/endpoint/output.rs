//! Output: the log of what a launched program prints, and the last lines of it.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Of what a program printed last, so many lines are kept for errors, each cut to so many bytes.
const LINES: usize = 10;
const LINE: usize = 500;

/// Where the log of a program lies.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) path: PathBuf,
    /// Whether it is of no more use after a clean end.
    is_temporary: bool,
}

impl Log {
    /// The one that the user wants, by default a new one among the temporary files.
    pub(super) fn new(wanted: Option<&Path>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let fresh = || {
            let name = format!("rlay-launch-{}-{}.log", process::id(), NEXT.fetch_add(1, Relaxed));
            std::env::temp_dir().join(name)
        };
        Self { path: wanted.map_or_else(fresh, Path::to_path_buf), is_temporary: wanted.is_none() }
    }

    /// Makes a file that only its user can read. To one that is there is added, unless it is another user's or a link:
    /// it may hold why the program has ended that this one takes the place of, or be that of several programs.
    pub(super) fn create(&self) -> io::Result<File> {
        let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        File::options().append(true).create(true).mode(0o600).custom_flags(no_follow).open(&self.path)
    }

    /// Removes a temporary one.
    pub(super) fn discard(&self) {
        if self.is_temporary {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The last lines of what was printed.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<Vec<u8>>,
    is_amid_line: bool,
}

impl Tail {
    pub(super) fn add(&mut self, bytes: &[u8]) {
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

    /// Without what a terminal would take for a command.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.lines.iter().map(|line| {
            let text = String::from_utf8_lossy(line).trim_end().replace('\t', "    ");
            text.chars().filter(|c| !c.is_control()).collect()
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
        assert_eq!(tail.lines().last().as_deref(), Some("[31mred"));
    }
}
