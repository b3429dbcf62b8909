//! A peer of another release's wire is told so, over every transport and in both directions, and the listener notes it.

use std::time::Instant;

use rlay::{
    ErrorKind, Limits, Result, TransportOptions,
    endpoint::{Acceptor, Wait, dial},
    session::{ClientHandshake, Local},
    wire::{HANDSHAKE_FRAME, Header, Hello, Kind, Role, Writer},
};

use crate::support::{PATIENCE, bounded, eventually, fresh, patient};

/// The built-in transports.
pub(crate) const SCHEMES: &[&str] = &[
    "mem",
    "tcp",
    "unix",
    #[cfg(feature = "tls")]
    "tls",
    #[cfg(feature = "zmq")]
    "zmq",
    #[cfg(feature = "zmq")]
    "zmq+ipc",
    #[cfg(feature = "quic")]
    "quic",
    #[cfg(all(feature = "shm", target_os = "linux"))]
    "shm",
    #[cfg(feature = "ws")]
    "ws",
    #[cfg(feature = "ws")]
    "wss",
];

/// The first bytes of a peer of wire 7 to 9.
fn hello(role: Role) -> Vec<u8> {
    let mut frame = vec![];
    Header { kind: Kind::Hello, seq: 0, ack: 0, re: 0 }.begin(&mut frame);
    let hello = Hello {
        wire_min: 7,
        wire_max: 9,
        role,
        auth: 0,
        features: 0,
        max_frame: 1 << 20,
        peer: "from the future".into(),
        nonce: None,
        resume: None,
    };
    hello.put(&mut Writer(&mut frame));
    frame.extend(b"what else wire 7 puts there");
    frame
}

/// Has a peer of another release dial a listener of the other role, and then one of this release.
fn attempt(scheme: &str, role: Role) -> Result<()> {
    let acceptor = Acceptor::bind(&fresh(scheme).parse()?, role.other(), patient().connection())?;
    let address = acceptor.address();
    let soon = || Some(Instant::now() + PATIENCE);

    let options = patient();
    let transport = options.connection().registry().find(address)?;
    let mut channel = transport.connect_blocking(address, &TransportOptions::default(), soon())?;
    channel.set_max_frame(HANDSHAKE_FRAME);
    channel.send(&hello(role), &[], soon())?;
    let answer = channel.recv(soon())?.expect("an answer");
    let local = Local { role, limits: Limits::default(), token: None, is_resumable: false };
    let error = ClientHandshake::begin(local, [0; 32], None, &mut vec![]).take(&answer, &mut vec![]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{scheme}: {error}");
    let text = "this side speaks wire 0, the dialer speaks 7 to 9; install matching releases of rlay";
    assert!(error.to_string().contains(text), "{scheme}: {error}");
    assert!(channel.recv(soon())?.is_none(), "{scheme}: the connection is closed after it");
    eventually("the listener notes it", || acceptor.notices().iter().any(|notice| notice.contains(text)));

    let (address, options) = (address.clone(), patient());
    let good = std::thread::spawn(move || dial(&address, role, options.connection(), &mut Wait::new(Some(PATIENCE))));
    acceptor.next(&mut Wait::new(Some(PATIENCE)))?;
    good.join().expect("no panic")?;
    acceptor.close();
    Ok(())
}

#[test]
fn one_of_another_release_is_told() {
    for &scheme in SCHEMES {
        for role in [Role::Agent, Role::Env] {
            bounded(move || attempt(scheme, role)).unwrap_or_else(|error| panic!("{scheme}: {error}"));
        }
    }
}
