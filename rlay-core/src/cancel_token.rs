//! CancelToken: a flag that ends waits, of threads and of tasks, without polling.

use std::{
    fmt,
    io::{self, PipeReader, PipeWriter, Read, Write},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::SeqCst, fence},
    },
};

use tokio::sync::Notify;

use crate::error::{Error, ErrorKind, Result};

/// Set once, by the call that closes something, and seen at once by all threads and tasks that wait on behalf of it.
///
/// Clones are the same flag. A forked child's copy is the child's own: setting it there wakes no thread or task.
///
/// ```
/// use rlay::CancelToken;
///
/// let token = CancelToken::default();
/// assert!(token.check().is_ok());
/// token.clone().cancel();
/// assert!(token.check().is_err());
/// ```
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Inner>);

struct Inner {
    is_set: AtomicBool,
    tasks: Notify,
    /// For threads, which wait with poll(2). Created on first use; the byte that `cancel` writes is never read, so that
    /// the pipe stays readable.
    pipe: OnceLock<Option<(PipeReader, PipeWriter)>>,
    children: Mutex<Vec<Weak<Self>>>,
    /// Whether waits end at once from their beginning on, see [`CancelToken::is_prompt`].
    is_prompt: bool,
    pid: u32,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            is_set: AtomicBool::new(false),
            tasks: Notify::new(),
            pipe: OnceLock::new(),
            children: Mutex::default(),
            is_prompt: false,
            pid: std::process::id(),
        }
    }
}

impl CancelToken {
    /// Ends the waits. May be called from any thread, twice.
    pub fn cancel(&self) {
        if self.0.is_set.swap(true, SeqCst) {
            return;
        }
        // In a forked child the pipe is the parent's, and a lock may be held by a thread that does not exist in the
        // child.
        if self.0.pid == std::process::id() {
            self.0.tasks.notify_waiters();
            self.tell_threads();
            let children = std::mem::take(&mut *self.0.children.lock().unwrap_or_else(PoisonError::into_inner));
            children.iter().filter_map(Weak::upgrade).for_each(|child| Self(child).cancel());
        }
    }

    /// A separate flag that is also set when this one is.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::default();
        self.adopt(&child);
        child
    }

    /// Sets `child` when this is set.
    pub(crate) fn adopt(&self, child: &Self) {
        let mut children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|other| other.strong_count() > 0 && other.as_ptr() != Arc::as_ptr(&child.0));
        children.push(Arc::downgrade(&child.0));
        drop(children);
        // `cancel` may have come before there was a child.
        if self.is_cancelled() {
            child.cancel();
        }
    }

    /// One for waits that are expected to end with it. Its pipe exists from the start, if descriptors allow it, so that
    /// each time it is set writes one byte.
    pub(crate) fn prompt() -> Self {
        let token = Self(Arc::new(Inner { is_prompt: true, ..Inner::default() }));
        let _ = token.pipe();
        token
    }

    /// Whether a wait has to look at the token from its beginning on. Others may first wait for a moment in a way that
    /// costs less and does not see it.
    pub(crate) fn is_prompt(&self) -> bool {
        self.0.is_prompt
    }

    /// Undoes [`cancel`](Self::cancel), for a [`prompt`](Self::prompt) token with one thread that waits: that thread
    /// calls it.
    pub(crate) fn rearm(&self) {
        if self.0.is_set.swap(false, SeqCst)
            && self.0.pid == std::process::id()
            && let Some(Some((reader, _))) = self.0.pipe.get()
        {
            // Set once, it has written one byte, or is about to.
            let _ = (&*reader).read(&mut [0]);
        }
    }

    /// Whether it was set.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_set.load(SeqCst)
    }

    /// An error of kind [`Closed`](ErrorKind::Closed) once it was set.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::new(ErrorKind::Closed, "the host was closed")) } else { Ok(()) }
    }

    /// Waits until it is set, for code inside a runtime.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: waiting changes nothing, and a flag that was set stays set.
    pub async fn cancelled(&self) {
        let mut told = std::pin::pin!(self.0.tasks.notified());
        // From here on no `cancel` is missed.
        told.as_mut().enable();
        if !self.is_cancelled() {
            told.await;
        }
    }

    /// A pipe that becomes readable, and stays so, when the flag is set; `None` where descriptors have run out.
    pub fn pipe(&self) -> Option<&PipeReader> {
        let mut is_new = false;
        let pipe = self.0.pipe.get_or_init(|| {
            is_new = true;
            io::pipe().ok()
        });
        // `cancel` may have come before there was a pipe.
        if is_new {
            fence(SeqCst);
            if self.is_cancelled() {
                self.tell_threads();
            }
        }
        pipe.as_ref().map(|(reader, _)| reader)
    }

    fn tell_threads(&self) {
        // Of `cancel` and the thread that makes the pipe, at least one sees what the other has done.
        fence(SeqCst);
        if let Some(Some((_, writer))) = self.0.pipe.get() {
            let _ = (&*writer).write(&[1]);
        }
    }
}

/// Two are equal if setting one sets the other.
impl PartialEq for CancelToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CancelToken {}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelToken({})", self.is_cancelled())
    }
}
