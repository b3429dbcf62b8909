//! Promises 10 and 11: how a listener treats its address.

use std::{thread, time::Instant};

use rlay_core::ErrorKind;

use super::{assert_frame, assert_kind, send};
use crate::{
    endpoint::Listening,
    test_context::{LIVENESS, PATIENCE, STALL, TestContext, after, together},
};

/// Promise 10: the address of a listener leads to it, also if port 0 was asked for.
pub fn port_zero_is_resolved(context: &TestContext) {
    let asked = [context.fresh_address(), context.fresh_address()];
    let mut listening = asked.each_ref().map(|address| context.listen(address).expect("listens"));
    assert_ne!(listening[0].address(), listening[1].address(), "two listeners, two addresses");
    for (asked, listening) in asked.iter().zip(&mut listening) {
        let address = listening.address().clone();
        assert_eq!(asked.scheme(), address.scheme());
        assert!(!address.rest().ends_with(":0"), "{address} still has port 0");
        assert_reached(context, listening);
    }
}

/// Promise 11: the second listener is refused, the first one unharmed, and the address free once the first is gone.
pub fn two_listeners_on_one_address_is_an_error(context: &TestContext) {
    let mut first = context.listen(&context.fresh_address()).expect("listens");
    let address = first.address().clone();
    for _ in 0..2 {
        assert_kind(context.listen(&address).map(|_| "a second listener"), ErrorKind::AddressInUse);
    }
    assert_reached(context, &mut first);
    drop(first);
    let start = Instant::now();
    while let Err(error) = context.listen(&address) {
        assert!(start.elapsed() < PATIENCE, "the address of a listener that is gone is not free: {error}");
        thread::sleep(STALL / 10); // a transport may need a moment to free the address
    }
}

/// Panics unless a frame of a dialer arrives where the listener accepts. A transport may have connected to the address
/// to check whether it is in use, so the first connections may be empty.
fn assert_reached(context: &TestContext, listening: &mut Listening) {
    let address = listening.address().clone();
    let mut dialers = vec![];
    for _ in 0..5 {
        let (mut dialer, accepted) = context.meet(listening, |context| context.dial(&address));
        let mut accepted = context.open(accepted);
        let (sent, received) = together(|| send(&mut dialer, 0, 10), || accepted.recv(after(LIVENESS)));
        sent.expect("sends");
        dialers.push(dialer);
        if let Ok(Some(frame)) = received {
            return assert_frame(&frame, 0, 10);
        }
    }
    panic!("{address} does not lead to its listener");
}
