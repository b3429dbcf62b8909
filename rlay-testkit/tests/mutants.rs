//! The suite can fail: transports that break one promise each, and the test that has to detect it.

mod buggy_transport;

use std::thread;

use buggy_transport::{Bug, BuggyTransport};
use rlay_core::Mem;
use rlay_testkit::{Form, Subject, TestContext, check, promises};

/// Runs the test of the promise; the handle gives an error if it fails.
fn start(promise: &'static str, subject: Subject, form: Form, test: fn(&TestContext)) -> thread::JoinHandle<()> {
    thread::spawn(move || check(promise, subject, form, test))
}

/// Panics unless the test fails over the transport with the bug, in both forms.
fn caught(bug: Bug, scheme: &'static str, test: fn(&TestContext)) {
    let run = |form| {
        let subject = Subject::new(BuggyTransport(bug), move |n| format!("{scheme}://buggy-{n}"));
        (form, start("a promise", subject, form, test))
    };
    for (form, verdict) in [Form::Blocking, Form::Async].map(run) {
        assert!(verdict.join().is_err(), "{bug:?} went unnoticed in the {form:?} form");
    }
}

macro_rules! caught {
    ($($name:ident: $bug:ident over $scheme:literal breaks $promise:ident;)*) => {$(
        #[test]
        fn $name() {
            caught(Bug::$bug, $scheme, promises::$promise);
        }
    )*};
}
caught! {
    a_repeated_frame: RepeatsFrames over "mem" breaks frames_arrive_whole_in_order_exactly_once;
    two_frames_made_one: JoinsFrames over "mem" breaks frames_arrive_whole_in_order_exactly_once;
    a_lost_empty_frame: LosesEmptyFrames over "mem" breaks an_empty_frame_is_a_frame;
    a_limit_off_by_one: LimitOffByOne over "mem" breaks the_frame_limit_is_exact;
    a_receiver_that_refuses_too_late: CollectsBeforeRefusing over "faulty" breaks the_frame_limit_is_exact;
    a_receiver_that_goes_on_after_it_refused: ForgivesLargeFrames over "mem" breaks the_frame_limit_is_exact;
    a_frame_lost_with_a_cancelled_recv: LosesFramesWhenCancelled over "mem"
        breaks recv_loses_nothing_when_it_is_cancelled_or_times_out;
    a_cancelled_frame_that_arrives: SendsCancelledFramesLater over "mem"
        breaks a_cancelled_send_breaks_the_channel_loudly;
    a_frame_lost_with_close: ForgetsTheLastFrame over "mem" breaks close_implies_flush;
    a_crash_that_reads_none: CrashReadsNone over "mem" breaks a_clean_close_reads_none_and_a_crash_reads_an_error;
    a_close_that_reads_an_error: CloseReadsError over "mem" breaks a_clean_close_reads_none_and_a_crash_reads_an_error;
    a_death_that_nobody_notices: NeverNotices over "mem" breaks a_dead_peer_is_noticed;
    a_writer_that_nothing_stops: TakesEverything over "mem" breaks a_slow_reader_stops_the_writer;
    a_second_listener: ListensTwice over "mem" breaks two_listeners_on_one_address_is_an_error;
    an_address_that_leads_nowhere: WrongAddress over "mem" breaks port_zero_is_resolved;
    a_drop_that_waits: DropBlocks over "mem" breaks drop_aborts;
    a_drop_that_says_goodbye: DropCloses over "mem" breaks drop_aborts;
    a_silence_taken_for_death: TiresOfSilence over "mem" breaks silence_is_not_death;
    a_watch_that_sees_nothing: WatchesNothing over "mem" breaks a_watch_tells_a_crash_from_a_clean_close;
    a_watch_that_sees_no_goodbye: WatchesTheStreamAlone over "mem" breaks a_watch_tells_a_crash_from_a_clean_close;
}

#[test]
fn one_who_is_deaf_while_it_waits_is_caught() {
    let promises: [fn(&TestContext); 3] =
        [promises::a_cancel_token_ends_a_wait, promises::a_look_ends_a_send, promises::a_wait_for_several_misses_none];
    for promise in promises {
        let subject = Subject::new(BuggyTransport(Bug::HeedsNothing), |n| format!("mem://buggy-{n}"));
        assert!(start("a promise", subject, Form::Blocking, promise).join().is_err(), "it went unnoticed");
    }
}

#[test]
fn an_unresolved_port_is_caught() {
    let subject = Subject::new(Mem, |n| format!("mem://port-{n}:0"));
    assert!(start("a promise", subject, Form::Async, promises::port_zero_is_resolved).join().is_err());
}

#[test]
fn an_honest_transport_in_the_same_clothes_is_not_accused() {
    for form in [Form::Blocking, Form::Async] {
        let subject = Subject::new(BuggyTransport(Bug::None), |n| format!("mem://honest-{n}"));
        check("a promise", subject, form, promises::close_implies_flush);
    }
}

#[test]
fn an_exception_is_not_tested_but_any_other_promise_is() {
    let subject = || Subject::new(Mem, |n| format!("mem://{n}")).except("drop_aborts", "as a demonstration");
    let broken: fn(&TestContext) = |_| panic!("the promise is broken");
    check("drop_aborts", subject(), Form::Async, broken);
    assert!(start("close_implies_flush", subject(), Form::Async, broken).join().is_err());
}

#[test]
fn the_suite_has_one_test_for_each_promise_of_the_contract() {
    let contract = include_str!("../../rlay-core/src/channel.rs");
    let numbered = contract.lines().filter_map(|line| line.strip_prefix("//! ")?.split_once(". `"));
    let promised: Vec<_> = numbered
        .filter(|(number, _)| number.parse::<u32>().is_ok())
        .map(|(_, rest)| rest.split('`').next().unwrap_or_default())
        .collect();
    assert_eq!(promised, promises::NAMES);
}
