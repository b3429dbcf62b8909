//! Frames that no agent may send: wrong numbers and malformed bytes. Each ends the session with a fatal Error 8.

use rlay::{
    Map, Value,
    wire::{Kind, Make, Seed},
};

use super::{Check, limits};
use crate::{
    arguments::Level::Conversation,
    connection::{Connection, not_applicable},
    frames,
    session::Session,
    target::Wish,
};

/// Writes a frame for a session with an environment that was reset.
type Write = fn(&mut Connection) -> Vec<u8>;

pub(crate) fn checks() -> Vec<Check> {
    let cases: Vec<(u8, &str, Write)> = vec![
        (2, "a seq that was there already", |c| frames::frame(RENDER, c.sent, c.received, 0, &frames::slots(&[0]))),
        (2, "a seq too high by one", |c| frames::frame(RENDER, c.sent + 2, c.received, 0, &frames::slots(&[0]))),
        (2, "a seq of 0", |c| frames::frame(RENDER, 0, c.received, 0, &frames::slots(&[0]))),
        (2, "an ack above what the env has sent", |c| {
            frames::frame(RENDER, c.sent + 1, c.received + 1, 0, &frames::slots(&[0]))
        }),
        (2, "a re above what the env has sent", |c| {
            frames::frame(RENDER, c.sent + 1, c.received, c.received + 1, &frames::slots(&[0]))
        }),
        (2, "an unknown kind", |c| c.next_frame(0x7f, b"")),
        (2, "the kind 0", |c| c.next_frame(0, b"")),
        (2, "reserved byte 1 that is not 0", |c| reserved(c, 1)),
        (2, "reserved byte 3 that is not 0", |c| reserved(c, 3)),
        (2, "reserved byte 7 that is not 0", |c| reserved(c, 7)),
        (2, "a frame that is shorter than a header", |_| vec![RENDER; 31]),
        (1, "a frame of length 0", |_| vec![]),
        (3, "a body that ends too early", |c| {
            let mut frame = c.next_frame(RENDER, &frames::slots(&[0]));
            frame.pop();
            frame
        }),
        (3, "a byte behind the body", |c| c.next_frame(RENDER, &[frames::slots(&[0]), vec![0]].concat())),
        (12, "a count of 2^60 slots", |c| c.next_frame(RENDER, &(1u64 << 60).to_le_bytes())),
        (12, "a count of 2^31 slots", |c| c.next_frame(RENDER, &(1u64 << 31).to_le_bytes())),
        (12, "a text of 2^40 bytes", |c| {
            let body = frames::body(|w| {
                w.put(1u8);
                w.put(1u64 << 40);
            });
            c.next_frame(Kind::Make as u8, &body)
        }),
        (3, "an optional value marked 2", |c| c.next_frame(Kind::Make as u8, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        (3, "text that is no UTF-8", |c| {
            let body = frames::body(|w| {
                w.put(1u8);
                w.bytes(b"\xff\xfe");
                w.value(&Map::new().into());
                w.put(0u8);
                w.put((1u32, 0u8));
            });
            c.next_frame(Kind::Make as u8, &body)
        }),
        (8, "an env_id of 1025 bytes", |c| {
            let make = Make { env_id: Some("x".repeat(1025)), ..Make::default() };
            c.next_frame(Kind::Make as u8, &frames::make(&make))
        }),
        (8, "a render mode of 257 bytes", |c| {
            let make = Make { render_mode: Some("x".repeat(257)), ..Make::default() };
            c.next_frame(Kind::Make as u8, &frames::make(&make))
        }),
        (8, "an attribute name of 257 bytes", |c| {
            c.next_frame(Kind::Attribute as u8, &frames::attribute(&[0], &"x".repeat(257)))
        }),
        (8, "an autoreset mode that there is not", |c| {
            let mut body = frames::make(&Make::default());
            if let Some(mode) = body.last_mut() {
                *mode = 3;
            }
            c.next_frame(Kind::Make as u8, &body)
        }),
        (8, "a seed with a zero at its end", |c| seeded(c, &[1, 0])),
        (8, "a seed of 4097 bytes", |c| seeded(c, &[1; 4097])),
        (8, "an access that there is not", |c| {
            let mut body = frames::attribute(&[0], "gravity");
            if let Some(access) = body.last_mut() {
                *access = 3;
            }
            c.next_frame(Kind::Attribute as u8, &body)
        }),
        (8, "as many values to set as there are not slots", |c| {
            let body = frames::body(|w| {
                w.list(&[0u32], |w, slot| w.put(*slot));
                w.str("gravity");
                w.put((1u8, 0u64));
            });
            c.next_frame(Kind::Attribute as u8, &body)
        }),
        (8, "a call with keyword arguments that are no Dict", |c| call(c, &Value::List(vec![]))),
        (8, "a call with a keyword that is no Str", |c| call(c, &Value::Dict(Map(vec![(Value::Int(1), Value::None)])))),
        (5, "options with a value of an unknown tag", |c| optioned(c, &99u32.to_le_bytes())),
        (5, "options with a Bool that is neither 0 nor 1", |c| optioned(c, &frames::body(|w| w.put((1u32, 2u8))))),
        (5, "options with a key of more than 256 bytes", |c| {
            optioned(
                c,
                &frames::body(|w| {
                    w.put((9u32, 1u64, 6u32));
                    w.bytes(&[7; 300]);
                    w.put(0u32);
                }),
            )
        }),
        (5, "options with 4097 keys that can be chosen", |c| {
            optioned(
                c,
                &frames::body(|w| {
                    w.put((9u32, 4097u64));
                    (0..4097i64).for_each(|n| w.put((2u32, 16384 + n, 0u32)));
                }),
            )
        }),
        (4, "options with an array of 65 dimensions", |c| {
            optioned(
                c,
                &frames::body(|w| {
                    w.put((10u32, 5u32));
                    w.list(&[1u64; 65], |w, n| w.put(*n));
                    w.bytes(&[1]);
                }),
            )
        }),
        (5, "options with a list as a key", |c| optioned(c, &frames::body(|w| w.put((9u32, 1u64, 7u32, 0u64, 0u32))))),
        (5, "options with a BigInt that would be an Int", |c| {
            optioned(
                c,
                &frames::body(|w| {
                    w.put(3u32);
                    w.bytes(&[1]);
                }),
            )
        }),
        (5, "options with an array of fewer bytes than its shape says", |c| {
            optioned(
                c,
                &frames::body(|w| {
                    w.put((10u32, 5u32));
                    w.list(&[3u64], |w, n| w.put(*n));
                    w.bytes(&[1, 2]);
                }),
            )
        }),
        (5, "options with an array whose size overflows", |c| {
            optioned(
                c,
                &frames::body(|w| {
                    w.put((10u32, 11u32));
                    w.list(&[1u64 << 40, 1 << 40, 0], |w, n| w.put(*n));
                    w.bytes(&[]);
                }),
            )
        }),
        (4, "options with a dtype that there is not", |c| {
            optioned(
                c,
                &frames::body(|w| {
                    w.put((11u32, 12u32));
                    w.put(0u64);
                }),
            )
        }),
        (4, "options with a dtype of one byte that is marked big-endian", |c| {
            optioned(c, &frames::body(|w| w.put((11u32, 0x105u32, 7u8))))
        }),
        (4, "options with a dtype that has another mark", |c| {
            optioned(c, &frames::body(|w| w.put((11u32, 0x20bu32, 0u64))))
        }),
        (4, "options with an array of bools that are neither 0 nor 1", |c| {
            optioned(
                c,
                &frames::body(|w| {
                    w.put((10u32, 0u32));
                    w.list(&[3u64], |w, n| w.put(*n));
                    w.bytes(&[0, 1, 2]);
                }),
            )
        }),
        (4, "options with a scalar of dtype bool that is neither 0 nor 1", |c| {
            optioned(c, &frames::body(|w| w.put((11u32, 0u32, 2u8))))
        }),
        (12, "options nested a thousand times", |c| {
            let mut value: Vec<u8> = frames::body(|w| w.put((7u32, 1u64))).repeat(1000);
            value.extend(frames::value(&Value::None));
            optioned(c, &value)
        }),
        (8, "a fatal mark that is neither 0 nor 1", |c| {
            let body = frames::body(|w| {
                w.put((8u32, 2u8, 0u64));
                w.str("");
                w.str("");
                w.str("");
            });
            c.next_frame(Kind::Error as u8, &body)
        }),
    ];
    let mut checks: Vec<Check> = cases
        .into_iter()
        .map(|(section, name, write)| {
            Check::new(Conversation, section, name, move |target| {
                let mut session = Session::begin(target)?;
                session.reset(None)?;
                let frame = write(&mut session.connection);
                // That would be another violation, which some transports answer by rules of their own.
                if frame.len() as u64 > session.greeting.max_frame {
                    let len = frame.len();
                    return not_applicable(format!("it takes {len} bytes, which is more than the peer takes"));
                }
                session.connection.send_frame(&frame);
                session.connection.expect_violation(name)
            })
        })
        .collect();
    checks.extend(limits::checks());
    checks.push(Check::new(Conversation, 2, "a first frame with seq 2", |target| {
        let (mut connection, _) = target.begin(Wish::default())?;
        let frame = frames::frame(Kind::Make as u8, 2, 0, 0, &frames::make(&target.make()));
        connection.send_frame(&frame);
        connection.expect_violation("a first frame with seq 2")
    }));
    checks.push(Check::new(Conversation, 13, "after all that an agent is served", |target| {
        let mut session = Session::begin(target)?;
        session.reset(None)?;
        session.goodbye()
    }));
    checks
}

const RENDER: u8 = Kind::Render as u8;

fn reserved(connection: &mut Connection, at: usize) -> Vec<u8> {
    let mut frame = connection.next_frame(RENDER, &frames::slots(&[0]));
    frame[at] = 1;
    frame
}

fn seeded(connection: &mut Connection, seed: &[u8]) -> Vec<u8> {
    let seed = Seed(seed.iter().copied().collect());
    connection.next_frame(Kind::Reset as u8, &frames::reset(&[(0, Some(seed))], &Value::None))
}

/// A Reset with these bytes as its options.
fn optioned(connection: &mut Connection, options: &[u8]) -> Vec<u8> {
    let body = frames::body(|w| {
        w.put((1u64, 0u32, 0u8));
        w.0.extend_from_slice(options);
    });
    connection.next_frame(Kind::Reset as u8, &body)
}

/// A call of an attribute with these keyword arguments.
fn call(connection: &mut Connection, kwargs: &Value) -> Vec<u8> {
    let mut body = frames::attribute(&[0], "gravity");
    // In place of the access that gets: a call without positional arguments.
    body.pop();
    body.extend(frames::body(|w| {
        w.put((2u8, 0u64));
        w.value(kwargs);
    }));
    connection.next_frame(Kind::Attribute as u8, &body)
}
