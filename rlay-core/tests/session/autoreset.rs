//! What `first` and `last` must be in answers, by autoreset mode: every combination, beside the rules of `docs/wire.md`.

use rlay_core::{
    session::Call,
    wire::{AutoresetMode, Row},
};

use super::{
    several_slots::{Several, is_violation, orders},
    wire::row,
};

const MODES: [AutoresetMode; 3] = [AutoresetMode::Disabled, AutoresetMode::NextStep, AutoresetMode::SameStep];

/// Rows of this slot with every combination of flags.
fn every_row(slot: u32) -> impl Iterator<Item = Row> {
    (0..16).map(move |bits| Row {
        first: bits & 1 > 0,
        terminated: bits & 2 > 0,
        truncated: bits & 4 > 0,
        last: bits & 8 > 0,
        ..row(slot, false)
    })
}

fn has_ended(row: &Row) -> bool {
    row.terminated || row.truncated
}

/// Whether these rows may answer `call` of slot 0, by the words of `docs/wire.md`.
fn is_legal(mode: AutoresetMode, call: Call, was_done: bool, rows: &[Row]) -> bool {
    let ([row] | [row, _]) = rows else { return false };
    let last = rows.get(1);
    if row.slot != 0 || row.last {
        return false;
    }
    match (call, mode) {
        (Call::Reset, _) => row.first && !has_ended(row) && last.is_none(),
        (_, AutoresetMode::Disabled) => !row.first && last.is_none(),
        (_, AutoresetMode::NextStep) => row.first == was_done && !(row.first && has_ended(row)) && last.is_none(),
        (_, AutoresetMode::SameStep) => match last {
            None => !row.first && !has_ended(row),
            Some(last) => {
                let has_same_flags = (last.terminated, last.truncated) == (row.terminated, row.truncated);
                row.first && has_ended(row) && last.slot == 0 && last.last && !last.first && has_same_flags
            }
        },
    }
}

/// An agent whose slots 0 and 1 are Ready, but for slot 0 if it is to be Done.
fn agent(mode: AutoresetMode, is_done: bool) -> Several {
    let mut several = Several::started(2, mode);
    if is_done {
        let re = several.ask(Call::Step, &[0]);
        several.rows(re, &[Row { terminated: true, ..row(0, false) }]).unwrap();
    }
    assert_eq!(several.slots(), [if is_done { "Done" } else { "Ready" }, "Ready"]);
    several
}

#[test]
fn every_combination_of_flags_is_taken_or_refused_as_the_mode_says() {
    let (mut taken, mut tried) = (0, 0);
    for mode in MODES {
        // In mode SameStep no slot is ever Done.
        for was_done in [false, true].into_iter().filter(|done| !done || mode != AutoresetMode::SameStep) {
            for call in [Call::Reset, Call::Step] {
                let mut asked = agent(mode, was_done);
                let re = asked.ask(call, &[0]);
                let seconds = || [0, 1].into_iter().flat_map(every_row).map(Some).chain([None]);
                for rows in every_row(0).flat_map(|row| seconds().map(move |second| (row.clone(), second))) {
                    let rows: Vec<Row> = [rows.0].into_iter().chain(rows.1).collect();
                    let mut several = asked.clone();
                    let answered = several.rows(re, &rows);
                    let is_legal = is_legal(mode, call, was_done, &rows);
                    let at = format!("{mode:?} {call:?} was Done {was_done}: {rows:?}: {answered:?}");
                    assert_eq!(is_violation(&several, &answered), !is_legal, "{at}");
                    if is_legal {
                        let is_done = has_ended(&rows[0]) && !rows[0].first;
                        assert_eq!(several.slots(), [if is_done { "Done" } else { "Ready" }, "Ready"], "{at}");
                        taken += 1;
                    }
                    tried += 1;
                }
            }
        }
    }
    // Of each mode and state, one row of a reset; of steps: 4 rows, 4 and 1, one that goes on and 3 that end.
    assert_eq!((taken, tried), (5 + 2 * 4 + 4 + 1 + 4, 5 * 2 * 16 * 33));
}

#[test]
fn a_slot_that_was_never_reset_begins_with_a_first_row() {
    for mode in MODES {
        let mut asked = Several::new(2, mode);
        let re = asked.ask(Call::Reset, &[0]);
        for rows in every_row(0) {
            let mut several = asked.clone();
            let answered = several.rows(re, std::slice::from_ref(&rows));
            let is_legal = is_legal(mode, Call::Reset, false, std::slice::from_ref(&rows));
            assert_eq!(is_violation(&several, &answered), !is_legal, "{mode:?} {rows:?}");
        }
    }
}

/// Rows of a step of slots in mode SameStep, and those with `last`; the episodes of the slots in `ended` end.
fn same_step(order: &[u32], ended: &[u32]) -> (Vec<Row>, Vec<Row>) {
    // Each in another way.
    let flags = |slot: u32| Row { terminated: slot != 1, truncated: slot != 0, ..row(slot, false) };
    let rows = order.iter().map(|slot| match ended.contains(slot) {
        true => Row { first: true, ..flags(*slot) },
        false => row(*slot, false),
    });
    let lasts = order.iter().filter(|slot| ended.contains(slot)).map(|slot| Row { last: true, ..flags(*slot) });
    (rows.collect(), lasts.collect())
}

#[test]
fn the_last_rows_of_a_step_come_once_each_behind_all_others_and_in_their_order() {
    let mut asked = Several::started(4, AutoresetMode::SameStep);
    let re = asked.ask(Call::Step, &[2, 0, 1]);
    let refuse = |rows: &[Row], why: &str| {
        let mut several = asked.clone();
        let answered = several.rows(re, rows);
        assert!(is_violation(&several, &answered), "{why}: {rows:?}");
    };
    for order in orders(&[0, 1, 2]) {
        for bits in 0..8u32 {
            let ended: Vec<u32> = (0..3).filter(|slot| bits & (1 << slot) != 0).collect();
            let (rows, lasts) = same_step(&order, &ended);
            let all = [&rows[..], &lasts].concat();
            let mut several = asked.clone();
            assert_eq!(several.rows(re, &all).unwrap(), (Some(Call::Step), false), "{all:?}");
            assert_eq!(several.slots(), ["Ready"; 4]);

            for i in 0..lasts.len() {
                let mut some = lasts.clone();
                let last = some.remove(i);
                refuse(&[&rows[..], &some].concat(), "one is missing");
                refuse(&[&all[..], std::slice::from_ref(&last)].concat(), "one comes twice");
                refuse(&[&rows[..], &some, &[last.clone(), last.clone()]].concat(), "one comes twice");
                refuse(&[std::slice::from_ref(&last), &rows, &some].concat(), "one comes first");
                refuse(&[&rows[..1], std::slice::from_ref(&last), &rows[1..], &some].concat(), "one comes between");
                for wrong in every_row(last.slot).filter(|row| *row != last) {
                    let mut some = lasts.clone();
                    some[i] = wrong;
                    refuse(&[&rows[..], &some].concat(), "one has other flags");
                }
                for slot in (0..5).filter(|slot| *slot != last.slot) {
                    let mut some = lasts.clone();
                    some[i].slot = slot;
                    refuse(&[&rows[..], &some].concat(), "one is of another slot");
                }
            }
            for slot in (0..5).filter(|slot| !ended.contains(slot)) {
                let last = Row { last: true, terminated: true, ..row(slot, false) };
                refuse(&[&all[..], &[last]].concat(), "a slot goes on, or was not asked about");
            }
            for others in orders(&(0..lasts.len() as u32).collect::<Vec<_>>()).iter().skip(1) {
                let others: Vec<Row> = others.iter().map(|i| lasts[*i as usize].clone()).collect();
                refuse(&[&rows[..], &others].concat(), "another order");
            }
        }
    }
}

#[test]
fn a_reset_of_a_slot_that_is_due_is_its_first_row_and_the_step_after_that_none() {
    let mut several = agent(AutoresetMode::NextStep, true);
    let re = several.ask(Call::Reset, &[0]);
    several.rows(re, &[row(0, true)]).unwrap();
    assert_eq!(several.slots(), ["Ready", "Ready"]);
    let re = several.ask(Call::Step, &[1, 0]);
    let mut other = several.clone();
    let answered = other.rows(re, &[row(1, false), row(0, true)]);
    assert!(is_violation(&other, &answered), "the step after a reset resets again");
    several.rows(re, &[row(1, false), row(0, false)]).unwrap();
}

#[test]
fn a_step_after_the_end_is_the_first_row_of_that_slot_alone() {
    let mut asked = agent(AutoresetMode::NextStep, true);
    let re = asked.ask(Call::Step, &[0, 1]);
    for (first, other) in [(false, false), (false, true), (true, true)] {
        let mut several = asked.clone();
        let answered = several.rows(re, &[row(1, other), row(0, first)]);
        assert!(is_violation(&several, &answered), "{first} {other}");
    }
    asked.rows(re, &[row(1, false), row(0, true)]).unwrap();
    let re = asked.ask(Call::Step, &[0]);
    asked.rows(re, &[row(0, false)]).unwrap();
}

#[test]
fn after_a_failure_the_env_alone_knows_whether_it_begins_the_next_episode() {
    for (was_done, call) in
        [false, true].into_iter().flat_map(|done| [Call::Reset, Call::Step].map(|call| (done, call)))
    {
        let mut asked = agent(AutoresetMode::NextStep, was_done);
        let re = asked.ask(call, &[1, 0]);
        asked.fail(re);
        // A failure that follows, a render and an attribute change nothing about that.
        for call in [Call::Render, Call::Attribute, Call::Step] {
            let re = asked.ask(call, &[0]);
            asked.fail(re);
        }
        let re = asked.ask(Call::Step, &[0]);
        for row in every_row(0) {
            let mut several = asked.clone();
            let answered = several.rows(re, std::slice::from_ref(&row));
            let is_legal = !(row.last || row.first && has_ended(&row));
            assert_eq!(is_violation(&several, &answered), !is_legal, "{was_done} {call:?} {row:?}");
            if is_legal {
                let re = several.ask(Call::Step, &[0]);
                let first = Row { first: has_ended(&row), ..super::wire::row(0, false) };
                several.rows(re, &[first]).unwrap();
            }
        }
    }
}

#[test]
fn a_failure_leaves_slots_as_they_were_where_the_env_begins_no_episode_with_a_step() {
    for (mode, call, is_done) in [
        (AutoresetMode::Disabled, Call::Step, true),
        (AutoresetMode::Disabled, Call::Reset, true),
        (AutoresetMode::SameStep, Call::Step, false),
        (AutoresetMode::NextStep, Call::Render, true),
        (AutoresetMode::NextStep, Call::Render, false),
        (AutoresetMode::NextStep, Call::Attribute, true),
    ] {
        let mut several = agent(mode, is_done);
        let before = several.slots();
        let re = several.ask(call, &[1, 0]);
        several.fail(re);
        assert_eq!(several.slots(), before, "{mode:?} {call:?}");
    }
    let mut several = Several::new(2, AutoresetMode::NextStep);
    let re = several.ask(Call::Reset, &[0]);
    several.fail(re);
    assert_eq!(several.slots(), ["Idle", "Idle"], "a reset that failed is none");
}
