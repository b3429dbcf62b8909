//! The layout of numbers, text and lists is not bincode's alone: wincode's default reads and writes the same bytes.

use rlay_core::{
    Limits, Result,
    wire::{Reader, Writer},
};
use wincode::{SchemaRead, SchemaWrite};

/// Every kind of field that messages are made of.
#[derive(Debug, Clone, PartialEq, SchemaWrite, SchemaRead)]
struct Fields {
    unsigned: (u8, u16, u32, u64),
    signed: (i8, i16, i32, i64),
    float: f32,
    double: f64,
    flag: bool,
    magic: [u8; 4],
    text: String,
    bytes: Vec<u8>,
    numbers: Vec<u64>,
    maybe: Option<String>,
    nothing: Option<u64>,
    rows: Vec<Row>,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, SchemaWrite, SchemaRead)]
struct Row {
    slot: u32,
    flags: u8,
    reward: f64,
}

/// A tag and its fields.
#[derive(Debug, Clone, PartialEq, SchemaWrite, SchemaRead)]
enum Value {
    None,
    Bool(bool),
    Pair { key: String, int: i64 },
}

impl Fields {
    fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let w = &mut Writer(&mut out);
        w.put((self.unsigned, self.signed, self.float, self.double, self.flag, self.magic));
        w.str(&self.text);
        w.bytes(&self.bytes);
        w.list(&self.numbers, |w, x| w.put(*x));
        w.option(self.maybe.as_ref(), |w, text| w.str(text));
        w.option(self.nothing.as_ref(), |w, x| w.put(*x));
        w.list(&self.rows, |w, row| w.put((row.slot, row.flags, row.reward)));
        match &self.value {
            Value::None => w.put(0u32),
            Value::Bool(x) => w.put((1u32, *x)),
            Value::Pair { key, int } => {
                w.put(2u32);
                w.str(key);
                w.put(*int);
            }
        }
        out
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let r = &mut Reader::new(bytes, 0, &Limits::default());
        let (unsigned, signed, float, double, flag, magic) = r.get()?;
        let fields = Self {
            unsigned,
            signed,
            float,
            double,
            flag,
            magic,
            text: r.str()?.to_owned(),
            bytes: r.bytes()?.to_vec(),
            numbers: r.list(8, Reader::get)?,
            maybe: r.option(|r| r.str().map(str::to_owned))?,
            nothing: r.option(Reader::get)?,
            rows: r.list(13, |r| {
                let (slot, flags, reward) = r.get()?;
                Ok(Row { slot, flags, reward })
            })?,
            value: match r.get::<u32>()? {
                0 => Value::None,
                1 => Value::Bool(r.get()?),
                2 => Value::Pair { key: r.str()?.to_owned(), int: r.get()? },
                tag => return Err(r.error(tag)),
            },
        };
        r.end()?;
        Ok(fields)
    }
}

fn examples() -> Vec<Fields> {
    let plain = Fields {
        unsigned: (0, 0, 0, 0),
        signed: (0, 0, 0, 0),
        float: 0.0,
        double: 0.0,
        flag: false,
        magic: [0; 4],
        text: String::new(),
        bytes: vec![],
        numbers: vec![],
        maybe: None,
        nothing: None,
        rows: vec![],
        value: Value::None,
    };
    let full = Fields {
        unsigned: (u8::MAX, 0x1234, u32::MAX, 1 << 63),
        signed: (-1, i16::MIN, i32::MAX, i64::MIN),
        float: -0.1,
        double: f64::from_bits(0x7ff8_dead_beef_0001).copysign(1.0),
        flag: true,
        magic: *b"RLAY",
        text: "Größe 漢字 🎮".into(),
        bytes: vec![0xff, 0, 1],
        numbers: vec![0, 251, 65536, u64::MAX],
        maybe: Some("here".into()),
        nothing: Some(7),
        rows: vec![Row { slot: 0, flags: 7, reward: -1.5 }, Row { slot: 9, flags: 0, reward: f64::INFINITY }],
        value: Value::Pair { key: "k".into(), int: -2 },
    };
    vec![plain.clone(), full, Fields { value: Value::Bool(true), ..plain }]
}

#[test]
fn both_write_the_same_bytes() {
    for fields in examples() {
        assert_eq!(fields.write(), wincode::serialize(&fields).unwrap());
    }
}

#[test]
fn each_reads_what_the_other_wrote() {
    for fields in examples() {
        let (ours, theirs) = (fields.write(), wincode::serialize(&fields).unwrap());
        // NaN is not equal to itself; its bytes are.
        assert_eq!(Fields::read(&theirs).unwrap().write(), theirs);
        assert_eq!(wincode::deserialize::<Fields>(&ours).unwrap().write(), ours);
    }
}

#[test]
fn both_refuse_the_same_bytes() {
    for fields in examples() {
        let good = fields.write();
        for len in 0..good.len() {
            assert!(Fields::read(&good[..len]).is_err(), "cut at {len}");
            assert!(wincode::deserialize::<Fields>(&good[..len]).is_err(), "cut at {len}");
        }
        // The flag, the tag of an option, and the tag of the value at the end.
        let tag_of_value = good.len() - wincode::serialize(&fields.value).unwrap().len();
        for at in [42, tag_of_value] {
            let mut bad = good.clone();
            bad[at] = 9;
            assert!(Fields::read(&bad).is_err(), "{at}");
            assert!(wincode::deserialize::<Fields>(&bad).is_err(), "{at}");
        }
    }
}
