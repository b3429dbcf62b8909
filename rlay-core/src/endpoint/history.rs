//! History: what an endpoint remembers of sessions that ended: how long to pause before the next, and what was said.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// The first pause after a session that came to nothing; each further one doubles it. No session is dialed sooner after
/// another.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What was not said for so long is news again.
const MEMORY: Duration = Duration::from_secs(60);
/// Most different things that are remembered; peers can make up any number.
const MOST: usize = 1000;

/// What the sessions of one endpoint have in common: the back-off between those that come to nothing, and the log,
/// which says once what happens again and again.
///
/// ```
/// use rlay::endpoint::History;
/// use std::time::Duration;
///
/// let history = History::default();
/// assert_eq!(history.pause(), Duration::ZERO);
/// (0..20).for_each(|_| history.came_to_nothing());
/// assert_eq!(history.pause(), Duration::from_secs(5));
/// history.played();
/// assert_eq!(history.pause(), Duration::ZERO);
///
/// let said: Vec<u64> = (0..100).filter_map(|_| history.count("no display")).collect();
/// assert_eq!(said, [1, 10, 100]);
/// ```
#[derive(Debug, Default)]
pub struct History {
    /// Sessions in a row that came to nothing.
    failures: AtomicU32,
    has_played: AtomicBool,
    /// Whether one has since that was last asked.
    is_played_anew: AtomicBool,
    /// Hashes of what was said, how often it would have been, and when last.
    said: Mutex<HashMap<u64, (u64, Instant)>>,
    hashes: RandomState,
}

impl History {
    /// How long to wait before the next session: not at all after one that played, else 20 ms that double up to 5 s.
    pub fn pause(&self) -> Duration {
        match self.failures.load(SeqCst) {
            0 => Duration::ZERO,
            n => FIRST_PAUSE.saturating_mul(1 << (n - 1).min(16)).min(LONGEST_PAUSE),
        }
    }

    /// How long after one session was dialed the next may be, by a host that dials: 20 ms, or [`pause`](Self::pause).
    pub fn pace(&self) -> Duration {
        self.pause().max(FIRST_PAUSE)
    }

    /// A session has taken its first step.
    pub fn played(&self) {
        self.has_played.store(true, SeqCst);
        self.is_played_anew.store(true, SeqCst);
        self.failures.store(0, SeqCst);
    }

    /// A session ended before its first step, and its agent did not close it in order.
    pub fn came_to_nothing(&self) {
        let _ = self.failures.fetch_update(SeqCst, SeqCst, |n| n.checked_add(1));
    }

    /// Whether any session has played yet.
    pub fn has_played(&self) -> bool {
        self.has_played.load(SeqCst)
    }

    /// Whether any session has played since this was last asked.
    pub fn take_played(&self) -> bool {
        self.is_played_anew.swap(false, SeqCst)
    }

    /// Counts what is to be said: how often that is now, if it is to be said once more. That is the first time, the
    /// tenth, the hundredth and so on, and again the first after a minute without it.
    pub fn count(&self, text: &str) -> Option<u64> {
        let (hash, now) = (self.hashes.hash_one(text), Instant::now());
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= MOST && !said.contains_key(&hash) {
            said.clear();
        }
        let (times, last) = said.entry(hash).or_insert((0, now));
        if now.duration_since(*last) >= MEMORY {
            *times = 0;
        }
        (*times, *last) = (*times + 1, now);
        is_power_of_ten(*times).then_some(*times)
    }

    /// The line to log for `text` about `peer`, if it is due again, and how often it has happened.
    /// Connections of one machine are the same, whatever their ports.
    pub fn line(&self, peer: &str, text: &str) -> Option<(String, u64)> {
        let machine = peer.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let times = self.count(&format!("{}: {text}", machine.map_or(peer, |(machine, _)| machine)))?;
        Some((format!("{peer}: {text}{}", so_far(times)), times))
    }

    /// What to log of something that `what` names, to whichever peer it happens, if it is due again.
    pub(super) fn again(&self, what: &str, text: &str) -> Option<String> {
        self.count(what).map(|times| format!("{text}{}", so_far(times)))
    }
}

fn so_far(times: u64) -> String {
    if times == 1 { String::new() } else { format!(" ({times} times so far)") }
}

fn is_power_of_ten(n: u64) -> bool {
    n != 0 && 10_u64.pow(n.ilog10()) == n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double() {
        let history = History::default();
        let pauses: Vec<u128> = (0..10)
            .map(|_| {
                history.came_to_nothing();
                history.pause().as_millis()
            })
            .collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]);
    }

    #[test]
    fn what_many_say_is_forgotten_before_it_fills_the_memory() {
        let history = History::default();
        for i in 0..10 * MOST {
            assert_eq!(history.count(&i.to_string()), Some(1));
        }
        assert!(history.said.lock().unwrap().len() <= MOST);
    }

    #[test]
    fn a_machine_is_one_peer() {
        let history = History::default();
        assert_eq!(history.line("tcp://[::1]:81", "gone"), Some(("tcp://[::1]:81: gone".into(), 1)));
        assert_eq!(history.line("tcp://[::1]:82", "gone"), None);
        assert!(history.line("tcp://10.0.0.1:82", "gone").is_some());
        assert!(history.line("unix socket", "gone").is_some());
    }
}
