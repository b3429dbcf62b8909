//! The table of bounds in SECURITY.md agrees with the code: every row is compared with the lines that hold its number.

use std::{collections::BTreeMap, fs, path::Path};

/// The second cell of a row, and the lines of code that it is about. Rows of RLay's own defaults are compared with the
/// lines that set them.
type Row = (&'static str, &'static [(&'static str, &'static str)]);

const OPTIONS: &str = "rlay-core/src/endpoint/options";
const CODEC: &str = "rlay-core/src/wire/codec.rs";

/// By the beginning of the first cell.
const ROWS: &[(&str, Row)] = &[
    ("a frame, in either direction", ("64 MiB", &[(CODEC, "frame: 64 << 20,")])),
    (
        "the arrays of an environment's observation",
        ("a frame", &[("rlay-core/src/wire/message.rs", "\"observation space\", observations.element_bytes()")]),
    ),
    (
        "what Gymnasium allocates",
        ("64 MiB, or a frame", &[("rlay-core/src/wire/message.rs", "SPACES: usize = 64 << 20;")]),
    ),
    ("a seed", ("4096 bytes", &[("rlay-core/src/wire/message.rs", "SEED: usize = 4096;")])),
    (
        "keys of dicts in a frame",
        (
            "4096, of 256 bytes",
            &[
                ("rlay-core/src/wire/keys.rs", "MOST_KEYS: u32 = 4096;"),
                ("rlay-core/src/wire/keys.rs", "SMALL: i64 = 1 << 14;"),
                ("rlay-core/src/wire/keys.rs", "LONGEST: usize = 256;"),
            ],
        ),
    ),
    (
        "the time for which Python makes objects",
        ("4096 objects", &[("rlay-gym/src/building.rs", "OBJECTS_PER_LOOK: u32 = 4096;")]),
    ),
    ("levels of a value or space", ("32", &[(CODEC, "depth: 32,")])),
    ("values, spaces and rows in a frame", ("2^20", &[(CODEC, "count: 1 << 20")])),
    (
        "what was sent and not read yet",
        (
            "`shm`: 8 MiB in each direction, of memory that is given back with the session. `quic`: a frame, at least 2 \
             and at most 16 MiB. `zmq`: 8 MiB and one frame of any length. `ws`, `wss`: the kernel's buffers, 64 KiB, \
             and a frame",
            &[
                ("rlay-shm/src/region.rs", "RING: usize = 8 << 20;"),
                ("rlay-quic/src/options.rs", "SMALLEST_WINDOW: usize = 2 << 20;"),
                ("rlay-quic/src/options.rs", "LARGEST_WINDOW: usize = 16 << 20;"),
                ("rlay-zmq/src/link.rs", "WINDOW: u64 = 8 << 20;"),
                ("rlay-ws/src/connection.rs", "READ_AHEAD: usize = HANDSHAKE_FRAME;"),
                ("rlay-core/src/mem.rs", "QUEUE: usize = 4;"),
            ],
        ),
    ),
    (
        "the same before the handshake is over",
        (
            "128 KiB",
            &[
                ("rlay-quic/src", "2 * HANDSHAKE_FRAME"),
                ("rlay-ws/src/connection.rs", "READ_AHEAD: usize = HANDSHAKE_FRAME;"),
                ("rlay-ws/src/endpoint.rs", "Role::Server, name, HANDSHAKE_FRAME"),
            ],
        ),
    ),
    ("memory for a frame that is announced", ("256 KiB", &[("rlay-core/src/frame.rs", "MAPPED: usize = 256 << 10;")])),
    (
        "memory of frames that a session keeps",
        (
            "16 blocks, 128 MiB",
            &[
                ("rlay-core/src/frame.rs", "KEEP_BLOCKS: usize = 16;"),
                ("rlay-core/src/frame.rs", "KEEP_BYTES: usize = 128 << 20;"),
            ],
        ),
    ),
    (
        "environments that the agent of one session",
        ("1024", &[("rlay-core/src/endpoint/hosts/host.rs", "MAX_SLOTS: u32 = 1024;")]),
    ),
    (
        "sessions, those included",
        ("64; 4096", &[(OPTIONS, "max_sessions: 64,"), ("rlay-gym/python/rlay/_envs.py", "max_sessions: int = 4096,")]),
    ),
    (
        "environments that wait for an agent",
        ("64, or `max_sessions`", &[("rlay-core/src/endpoint/accept/permits.rs", "LONGEST_QUEUE: usize = 64;")]),
    ),
    ("the time that a session keeps its permit", ("5 s", &[(OPTIONS, "handshake_timeout: Duration::from_secs(5),")])),
    (
        "environments that an agent asks at a time",
        ("64", &[("rlay-core/src/endpoint/accept/permits.rs", "LONGEST_QUEUE: usize = 64;")]),
    ),
    (
        "descriptors for sessions",
        (
            "a quarter of those beyond 128, at most 256 of them",
            &[("rlay-core/src/net/reserve.rs", "(most.saturating_sub(128) / 4).min(256)")],
        ),
    ),
    (
        "the time that a session waits for a peer",
        (
            "2 s for an agent's call, 30 s at a host",
            &[(OPTIONS, "Role::Agent => Duration::from_secs(2),"), (OPTIONS, "Role::Env => Duration::from_secs(30),")],
        ),
    ),
    (
        "frames that are kept until",
        (
            "up to a frame",
            &[("rlay-core/src/session/agent_core.rs", "self.session.unacknowledged(), self.limits.frame")],
        ),
    ),
    ("handshakes under way", ("64", &[(OPTIONS, "max_handshakes: 64,")])),
    ("the time of each", ("5 s", &[(OPTIONS, "handshake_timeout: Duration::from_secs(5),")])),
    ("a frame of it", ("64 KiB", &[("rlay-core/src/wire/mod.rs", "HANDSHAKE_FRAME: usize = 64 << 10;")])),
    (
        "connections that wait for their handshake",
        (
            "`zmq`: 1024; `mem`: 128",
            &[("rlay-zmq/src/router.rs", "BACKLOG: i32 = 1024;"), ("rlay-core/src/mem.rs", "BACKLOG: usize = 128;")],
        ),
    ),
    (
        "a text in an error, and an entry of a log",
        ("16 KiB", &[("rlay-core/src/printable.rs", "LONGEST: usize = 16 << 10;")]),
    ),
    ("what a peer says of itself", ("500 bytes", &[("rlay-core/src/printable.rs", "SENTENCE: usize = 500;")])),
    (
        "how often a session or connection",
        (
            "20 ms that double, up to 5 s for sessions and 1 s for connections",
            &[
                ("rlay-core/src/endpoint/history.rs", "FIRST_PAUSE: Duration = Duration::from_millis(20);"),
                ("rlay-core/src/endpoint/history.rs", "LONGEST_PAUSE: Duration = Duration::from_secs(5);"),
                ("rlay-core/src/session/redial.rs", "FIRST_PAUSE: Duration = Duration::from_millis(20);"),
                ("rlay-core/src/session/redial.rs", "LONGEST_PAUSE: Duration = Duration::from_secs(1);"),
            ],
        ),
    ),
    (
        "warnings that wait for the log",
        ("100", &[("rlay-core/src/endpoint/accept/acceptor.rs", "NOTICES: usize = 100;")]),
    ),
    ("what is remembered of a log's lines", ("1000", &[("rlay-core/src/endpoint/history.rs", "MOST: usize = 1000;")])),
    (
        "the time that a launched program has",
        (
            "10 s, and five more",
            &[
                (OPTIONS, "close_timeout: Duration::from_secs(10),"),
                ("rlay-core/src/endpoint/programs/process.rs", "TERM_TIME: Duration = Duration::from_secs(5);"),
            ],
        ),
    ),
    (
        "what a launched program prints",
        (
            "64 MiB in its file, ten lines of 500 bytes",
            &[
                ("rlay-core/src/endpoint/programs/process.rs", "LONGEST_LOG: u64 = 64 << 20;"),
                ("rlay-core/src/endpoint/programs/output.rs", "LINES: usize = 10;"),
                ("rlay-core/src/endpoint/programs/output.rs", "LINE: usize = 500;"),
            ],
        ),
    ),
    (
        "a daemon that a launched program leaves",
        // The sum of these, and a check once a second.
        (
            "about 8 s",
            &[
                ("rlay-core/src/endpoint/programs/process.rs", "TERM_TIME: Duration = Duration::from_secs(5);"),
                ("rlay-core/src/endpoint/programs/process.rs", "KILL_TIME: Duration = Duration::from_secs(2);"),
                ("rlay-core/src/endpoint/programs/process.rs", "READING_TIME: Duration = Duration::from_millis(300);"),
            ],
        ),
    ),
    ("a file of certificates", ("4 MiB", &[("rlay-tls/src/files.rs", "LONGEST: u64 = 4 << 20;")])),
    (
        "the time that a handshake waits for each such file",
        ("1 s", &[("rlay-tls/src/files.rs", "PATIENCE: Duration = Duration::from_secs(1);")]),
    ),
];

/// The text of a file, or of all files of a folder.
fn text(path: &Path) -> String {
    if path.is_dir() {
        let files = fs::read_dir(path).expect("a folder").map(|entry| text(&entry.expect("an entry").path()));
        return files.collect();
    }
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_table_of_bounds_says_what_the_code_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = text(&root.join("SECURITY.md"));
    let (_, table) = page.split_once("| what | at most |").expect("the table");
    let rows: BTreeMap<&str, &str> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.split('|').skip(1).map(str::trim);
            (cells.next().expect("a name"), cells.next().expect("a bound"))
        })
        .collect();
    for (beginning, (said, lines)) in ROWS {
        let found: Vec<_> = rows.iter().filter(|(name, _)| name.starts_with(beginning)).collect();
        let [(_, bound)] = found[..] else { panic!("{beginning}: {} such rows", found.len()) };
        assert!(bound.contains(said), "{beginning}: the table says {bound:?} and not {said:?}");
        for (file, line) in *lines {
            assert!(text(&root.join(file)).contains(line), "{beginning}: {file} has no {line:?}");
        }
    }
    for name in rows.keys() {
        assert!(ROWS.iter().any(|(beginning, _)| name.starts_with(beginning)), "no code is named for the row {name:?}");
    }
}
