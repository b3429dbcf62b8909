//! The macro that turns one line per transport into one test per promise and form.

/// Tests that a transport keeps every promise of [`rlay_core::channel`], in both forms.
///
/// The macro makes a module with one `#[test]` per promise and form, so that a failure names the promise:
/// `mem_conformance::blocking::close_implies_flush`. `address` is a function from a number that is never given twice to
/// an address to listen on. A promise under `exceptions` is not tested; the reason for the exception is printed
/// instead, even where the output of passing tests is not shown.
///
/// ```
/// rlay_testkit::conformance! {
///     mod mem_conformance {
///         transport: rlay::Mem,
///         address: |n| format!("mem://conformance-{n}"),
///     }
/// }
/// ```
///
/// Where both ends of a channel must take part before the first frame moves, as with TLS, say `takes_two: true` behind
/// the address. With exceptions, the last entry reads `exceptions: [drop_aborts: "why it cannot", …]`. A name that is
/// no promise does not compile.
#[macro_export]
macro_rules! conformance {
    (mod $name:ident {
        transport: $transport:expr,
        address: $address:expr
        $(, takes_two: $takes_two:literal)?
        $(, exceptions: [$($promise:ident: $reason:literal),* $(,)?])? $(,)?
    }) => {
        #[cfg(test)]
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $($(const _: fn(&$crate::TestContext) = $crate::promises::$promise;)*)?

            fn subject() -> $crate::Subject {
                $crate::Subject::new($transport, $address)
                    $(.takes_two($takes_two))?
                    $($(.except(stringify!($promise), $reason))*)?
            }

            mod blocking {
                $crate::__each_promise!($crate::__test Blocking);
            }

            mod asynchronous {
                $crate::__each_promise!($crate::__test Async);
            }
        }
    };
}

/// Calls a macro with its arguments and the name of every promise.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_promise {
    ($krate:tt::$callback:ident $($argument:tt)*) => {
        $krate::$callback! {
            $($argument)*:
            frames_arrive_whole_in_order_exactly_once
            an_empty_frame_is_a_frame
            the_frame_limit_is_exact
            recv_loses_nothing_when_it_is_cancelled_or_times_out
            a_cancelled_send_breaks_the_channel_loudly
            close_implies_flush
            a_clean_close_reads_none_and_a_crash_reads_an_error
            a_dead_peer_is_noticed
            a_slow_reader_stops_the_writer
            port_zero_is_resolved
            two_listeners_on_one_address_is_an_error
            drop_aborts
            silence_is_not_death
            a_cancel_token_ends_a_wait
            a_look_ends_a_send
            a_watch_tells_a_crash_from_a_clean_close
            a_wait_for_several_misses_none
        }
    };
}

/// One test for each promise.
#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    ($form:ident: $($promise:ident)*) => {
        $(
            #[test]
            fn $promise() {
                let form = $crate::Form::$form;
                $crate::check(stringify!($promise), super::subject(), form, $crate::promises::$promise);
            }
        )*
    };
}

/// The names in an array.
#[doc(hidden)]
#[macro_export]
macro_rules! __names {
    (: $($promise:ident)*) => {
        [$(stringify!($promise)),*]
    };
}
