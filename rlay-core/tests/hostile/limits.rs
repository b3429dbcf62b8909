//! The limits of one frame: depth and count are exact, and counts cost nothing before they are checked.

use std::time::{Duration, Instant};

use rlay_core::{
    AnySpace, Discrete, Limits, Map, Space, Value,
    wire::{Header, Kind, Message, Reader, Row, Writer, payload_head, put_value},
};

const LIMITS: Limits = Limits { frame: 1 << 20, depth: 4, count: 10 };

fn lists(depth: usize) -> Value {
    (1..depth).fold(Value::None, |inner, _| Value::List(vec![inner]))
}

fn tuples(depth: usize) -> Value {
    (1..depth).fold(Value::None, |inner, _| Value::Tuple(vec![inner]))
}

fn read(value: &Value) -> bool {
    let mut bytes = Vec::new();
    put_value(&mut bytes, value);
    Reader::new(&bytes, 0, &LIMITS).value().is_ok()
}

#[test]
fn depth_is_exact() {
    assert!(read(&lists(4)) && !read(&lists(5)));
    let spaces = |depth| (1..depth).fold(Discrete::new(1).describe(), |inner, _| AnySpace::Tuple(vec![inner]));
    let read = |space: &AnySpace| {
        let mut bytes = Vec::new();
        Writer(&mut bytes).space(space);
        Reader::new(&bytes, 0, &LIMITS).space().is_ok()
    };
    assert!(read(&spaces(4)) && !read(&spaces(5)));
    // The key of a Dict space is one level below it.
    let keyed = |depth| AnySpace::Dict(vec![(tuples(depth), Discrete::new(1).describe())]);
    assert!(read(&keyed(3)) && !read(&keyed(4)));
}

#[test]
fn count_is_exact_and_counts_containers() {
    let items = |n| Value::List(vec![Value::None; n]);
    assert!(read(&items(9)) && !read(&items(10)));
    let pairs = |n| Value::Dict(Map(vec![(Value::None, Value::None); n]));
    assert!(read(&pairs(4)) && !read(&pairs(5)));
}

/// A Result of `n` rows that are 13 bytes on the wire and many more in memory.
fn result(n: usize, info: bool) -> Vec<u8> {
    let mut out = Vec::new();
    Header { kind: Kind::Result, seq: 1, ack: 0, re: 0 }.begin(&mut out);
    let row =
        Row { slot: 0, first: false, last: false, terminated: false, truncated: false, reward: 0.0, info: Value::None };
    Writer(&mut out).list(&vec![row; n], |w, row| row.put(w));
    for _ in 0..if info { n } else { 0 } {
        put_value(&mut out, &Map::new().into());
    }
    payload_head(&mut out, true, 0);
    out
}

#[test]
fn rows_count() {
    let read = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes, 0, &LIMITS);
        let header = Header::read(&mut reader)?;
        Message::read(header, reader).map(|_| ())
    };
    assert!(read(&result(5, true)).is_ok(), "five rows and their infos are ten");
    assert!(read(&result(6, true)).unwrap_err().to_string().contains("Limits::count"));
    assert!(read(&result(11, false)).unwrap_err().to_string().contains("Limits::count"));
    let mut reset = Vec::new();
    Header { kind: Kind::Reset, seq: 1, ack: 0, re: 0 }.begin(&mut reset);
    Writer(&mut reset).list(&[0u32; 10], |w, slot| w.put((*slot, false)));
    put_value(&mut reset, &Value::None);
    assert!(read(&reset).unwrap_err().to_string().contains("Limits::count"), "ten rows and the options are eleven");
}

#[test]
fn a_deep_value_does_not_reach_the_end_of_the_stack() {
    // Twelve bytes a level: a list of one list of one list...
    let mut bytes = Vec::new();
    for _ in 0..1_000_000 {
        Writer(&mut bytes).put((7u32, 1u64));
    }
    assert!(Reader::new(&bytes, 0, &Limits::default()).value().is_err());
    let mut bytes = Vec::new();
    for _ in 0..1_000_000 {
        Writer(&mut bytes).put((7u32, 0u8));
    }
    assert!(Reader::new(&bytes, 0, &Limits::default()).space().is_err());
}

#[test]
fn a_reader_beyond_the_end_of_its_frame_reads_nothing() {
    let mut reader = Reader::new(&[1, 2, 3], 100, &Limits::default());
    assert_eq!((reader.remaining(), reader.rest()), (0, &[][..]));
    assert!(reader.get::<u8>().is_err() && reader.take(1).is_err());
    assert!(reader.take(u64::MAX).is_err());
}

#[test]
fn keys_that_are_neither_str_nor_int_are_few() {
    let read = |keys: &dyn Fn(i64) -> Value, n: i64| {
        let map = Map((0..n).map(|i| (keys(i), Value::None)).collect());
        let mut bytes = Vec::new();
        put_value(&mut bytes, &Value::List(vec![Map::new().into(), map.into()]));
        Reader::new(&bytes, 0, &Limits::default()).value().is_ok()
    };
    let pair = |i| Value::Tuple(vec![Value::Int(i), Value::Int(-i)]);
    assert!(read(&pair, 4096) && !read(&pair, 4097));
    assert!(!read(&|i| Value::Float(i as f64), 4097));
    assert!(read(&Value::Int, 16384 + 4096) && !read(&Value::Int, 16384 + 4097));
    assert!(!read(&|i| Value::Int(-1 - i), 4097));
    assert!(read(&|i| i.to_string().into(), 20_000));
    // The bytes of a key count, too: 12 of its head, and 12 for each Int.
    let tuple = |n| move |_| Value::Tuple(vec![Value::Int(1); n]);
    assert!(read(&tuple(20), 1) && !read(&tuple(21), 1));
}

#[test]
fn keys_in_another_order_take_no_longer_by_the_square() {
    let key = |i: usize| Value::Str(format!("{}{i}", "x".repeat(400)));
    let space = AnySpace::Dict((0..40_000).map(|i| (key(i), Discrete::new(2).describe())).collect());
    let map = |last: i64| Map((0..40_000).rev().map(|i| (key(i), Value::Int(if i == 0 { last } else { 0 }))).collect());
    let began = Instant::now();
    assert!(space.contains(&map(0).into()) && !space.contains(&map(7).into()));
    assert!(space.from_value(&map(0).into()).is_ok());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
