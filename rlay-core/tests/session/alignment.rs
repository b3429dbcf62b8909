//! The row returned by the k-th step is the environment's answer to the k-th action, come what may.

use rlay_core::{
    ErrorKind,
    session::{AgentSession, Call},
};

use super::world::{Heard, World};

/// The only row of an answer: (observation, reward, late).
fn one(heard: Heard) -> ([i64; 3], f64, bool) {
    match heard {
        Heard::Rows { late, rows, .. } if rows.len() == 1 => (rows[0].1, rows[0].0.reward, late),
        other => panic!("not one row: {other:?}"),
    }
}

#[test]
fn the_kth_row_answers_the_kth_action() {
    for packed in [false, true] {
        let mut world = World::new(1, packed);
        for episode in 1..4 {
            world.reset(&[0]).unwrap();
            assert_eq!(one(world.settle()), ([episode, 0, -1], 0.0, false));
            // Beyond the end of the episode too: the environment decides what that means.
            for k in 1..15 {
                let action = 7 * k % 1000;
                world.step(&[0], &[action]).unwrap();
                assert_eq!(one(world.settle()), ([episode, k, action], (100 * k + action) as f64, false));
            }
        }
        assert_eq!(world.steps, 3 * 14, "every action was executed once");
    }
}

#[test]
fn two_slots_stepped_together() {
    let mut world = World::new(2, true);
    world.reset(&[0, 1]).unwrap();
    world.settle();
    for k in 1..20 {
        // Rows come in the order of the request, which need not be that of the slots.
        world.step(&[1, 0], &[k + 500, k]).unwrap();
        let Heard::Rows { rows, .. } = world.settle() else { panic!() };
        assert_eq!((rows[0].0.slot, rows[0].1), (1, [1, k, k + 500]));
        assert_eq!((rows[1].0.slot, rows[1].1), (0, [1, k, k]));
    }
}

#[test]
fn two_slots_stepped_alternately_and_answered_in_the_other_order() {
    let mut world = World::new(2, true);
    world.reset(&[1]).unwrap();
    world.reset(&[0]).unwrap();
    world.settle();
    for k in 1..20 {
        world.step(&[0], &[k]).unwrap();
        world.step(&[1], &[k + 500]).unwrap();
        world.host_receives();
        world.host_receives();
        world.host_answers(1);
        world.host_answers(0);
        let (first, second) = (world.agent_receives(), world.agent_receives());
        assert_eq!(one(first), ([1, k, k + 500], (100 * k + k + 500) as f64, false));
        assert_eq!(one(second), ([1, k, k], (101 * k) as f64, false));
    }
}

#[test]
fn a_late_reply_answers_no_other_call() {
    let mut world = World::new(1, true);
    world.reset(&[0]).unwrap();
    world.settle();
    world.step(&[0], &[1]).unwrap();
    world.agent.give_up();
    assert_eq!(world.agent.waiting(0), Some((Call::Step, true)));
    // Nothing can be asked until the answer is there: neither a step nor a reset nor a render.
    for _ in 0..3 {
        assert_eq!(world.step(&[0], &[2]).unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(world.reset(&[0]).unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(world.render(&[0]).unwrap_err().kind(), ErrorKind::Busy);
    }
    assert_eq!(world.to_env.len(), 1, "refused calls sent nothing");
    assert_eq!(one(world.settle()), ([1, 1, 1], 101.0, true), "the answer says that it is late");
    world.step(&[0], &[2]).unwrap();
    assert_eq!(one(world.settle()), ([1, 2, 2], 202.0, false), "the next call gets its own answer");
}

#[test]
fn giving_up_one_slot_leaves_the_answers_of_others_alone() {
    let mut world = World::new(2, false);
    world.reset(&[0, 1]).unwrap();
    world.settle();
    world.step(&[0], &[10]).unwrap();
    world.agent.give_up();
    world.step(&[1], &[20]).unwrap();
    world.host_receives();
    world.host_receives();
    world.host_answers(1);
    world.host_answers(0);
    assert_eq!(one(world.agent_receives()), ([1, 1, 20], 120.0, false));
    assert_eq!(one(world.agent_receives()), ([1, 1, 10], 110.0, true));
}

#[test]
fn a_late_failure_and_a_late_frame_free_the_slot_too() {
    let mut world = World::new(1, true);
    world.reset(&[0]).unwrap();
    world.settle();
    world.render(&[0]).unwrap();
    world.agent.give_up();
    assert_eq!(world.settle(), Heard::Other { call: Call::Render, late: true, slots: vec![0] });
    world.step(&[0], &[3]).unwrap();
    world.agent.give_up();
    world.host_receives();
    world.host_fails(0);
    assert_eq!(world.agent_receives(), Heard::Failed { call: Some(Call::Step), late: true });
    world.step(&[0], &[4]).unwrap();
    assert_eq!(one(world.settle()).0, [1, 1, 4], "the failed step was not executed");
}

#[test]
fn late_answers_still_arrive_while_the_environment_is_closing() {
    let mut world = World::new(1, true);
    world.reset(&[0]).unwrap();
    world.settle();
    world.step(&[0], &[3]).unwrap();
    world.agent.give_up();
    world.host_receives();
    let mut frame = Vec::new();
    AgentSession::close(&mut world.agent, &mut frame).unwrap();
    world.to_env.push_back(frame);
    world.host_answers(0);
    world.host_receives();
    assert_eq!(one(world.agent_receives()), ([1, 1, 3], 103.0, true));
    assert_eq!(world.agent_receives(), Heard::Closed);
}
