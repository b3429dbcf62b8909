//! Mutants: each breaks a session in the one place that names it, so that the tests of the model checker can see it
//! notice. There are none but in those tests.

/// A way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Takes frames that came before.
    Repeats = 1,
    /// Takes any reply about a slot for the answer to what was asked last.
    BelievesAnyReply,
    /// Takes a request and does not note that it owes the answer.
    ForgetsItsTurn,
    /// Answers, and does not note that it has.
    AnswersTwice,
    /// Does not note that a request was given up.
    ForgetsTheDeadline,
    /// Keeps a result to itself.
    KeepsTheRow,
    /// Steps where it was asked to render.
    StepsToRender,
    /// Gives two frames one number.
    CountsBadly,
    /// Keeps a failure to itself.
    HidesFailures,
    /// Takes calls after the end.
    GoesOn,
    /// Does not say that it has closed.
    NeverCloses,
    /// Does not end once it has closed.
    CannotLeave,
    /// Sends over a new connection what had arrived over the old one.
    SendsAgain,
    /// Does not send over a new connection what was lost with the old one.
    ForgetsWhatWasLost,
    /// Takes a handshake that was overtaken by a later one for a violation.
    AccusesTheOvertaken,
    /// Counts a frame that came over a connection which was given up.
    CountsLateFrames,
    /// Takes nothing that comes over the connection with which it goes on.
    StaysGivenUp,
    /// Takes the connection of an attempt after which another has begun.
    TakesAnyOffer,
    /// Keeps no frame but the last for another connection.
    KeepsNothing,
    /// Renews the reconnect budget for a connection that delivers nothing.
    RenewsTheBudget,
    /// Does not count the time for which a call has waited for another connection.
    WaitsForEver,
    /// Counts the time between an agent's calls, too.
    CountsWhatAnAgentThinks,
    /// Answers, and notes that for one slot of the request alone.
    FreesOneSlot,
    /// Takes an answer that leaves out slots of its request.
    TakesHalfAnAnswer,
    /// Takes the end of an episode of another slot.
    TakesAnyLast,
    /// Takes a row of a step whether or not it says that it begins an episode.
    TakesAnyFirst,
    /// Expects the environments of a request that failed to be as they were before.
    IsSureAfterFailures,
}

/// Whether the sessions of this process are wrong in this way.
#[cfg(not(test))]
pub(super) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(test)]
pub(super) use tests::is;

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    };

    use super::Mutant;

    static ACTIVE: AtomicU8 = AtomicU8::new(0);
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    pub(in crate::session) fn is(mutant: Mutant) -> bool {
        ACTIVE.load(SeqCst) == mutant as u8
    }

    /// Makes every session of this process wrong in this way, or right, until it is dropped.
    pub(in crate::session) struct Wrong(#[allow(dead_code)] MutexGuard<'static, ()>);

    impl Wrong {
        pub(in crate::session) fn with(mutant: Option<Mutant>) -> Self {
            let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            ACTIVE.store(mutant.map_or(0, |mutant| mutant as u8), SeqCst);
            Self(guard)
        }
    }

    impl Drop for Wrong {
        fn drop(&mut self) {
            ACTIVE.store(0, SeqCst);
        }
    }
}
