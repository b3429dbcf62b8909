//! The bounds of what a frame holds, checked on the side that sends: the peer would end the session over it.

use super::{
    Attribute, Limits, Reader, Writer,
    codec::Bound,
    keys::{MOST_KEYS, is_small},
    message::{Make, Reset, Seed, Spec},
    value::MIN_VALUE,
};
use crate::{
    error::{Error, ErrorKind, Result},
    value::Value,
};

/// Fewest bytes of an entry of a dict: a key and a value without content.
const MIN_ENTRY: usize = 2 * MIN_VALUE;
/// Fewest bytes of a list, which a value is nested in: its tag and how many items it has.
const MIN_LIST: usize = MIN_VALUE + 8;

/// Most bytes of [`Make::env_id`] and [`Spec::env_id`].
pub(super) const ENV_ID: usize = 1024;
/// Most bytes of a render mode.
pub(super) const RENDER_MODE: usize = 256;

impl Limits {
    /// Refuses `what` if its values, which take `parts` of a frame that also has so many rows, are more than a peer with
    /// these limits reads. Call before a message gets a number, since a numbered message must be sent.
    pub(crate) fn check_values(&self, kind: ErrorKind, what: &str, rows: usize, parts: &[&[u8]]) -> Result<()> {
        let count = u32::try_from(rows).ok().and_then(|rows| self.count.checked_sub(rows));
        let Some(count) = count else { return Err(self.broken(kind, what, Bound::Count)) };
        if !self.may_break(parts.iter().map(|part| part.len()).sum(), count) {
            return Ok(());
        }
        let mut reader = Reader::new(&[], 0, &Self { count, ..*self });
        for part in parts {
            reader = reader.over(part);
            self.blame(kind, what, &mut reader, |r| {
                while r.remaining() > 0 {
                    r.skip_value()?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Refuses a request to make an environment.
    pub(crate) fn check_make(&self, make: &Make) -> Result<()> {
        let what = "request to make an environment";
        check_text("env_id", make.env_id.as_deref().unwrap_or_default(), ENV_ID)?;
        check_text("render mode", make.render_mode.as_deref().unwrap_or_default(), RENDER_MODE)?;
        self.check_message(what, |w| make.put(w), |r| Make::get(r).map(drop))
    }

    /// Refuses a request for episodes.
    pub(crate) fn check_reset(&self, reset: &Reset) -> Result<()> {
        if reset.options == Value::None && reset.rows.len() < self.count as usize {
            let bytes = |seed: &Option<Seed>| seed.as_ref().map_or(0, |seed| 8 + seed.0.len());
            return self.fit(ErrorKind::Usage, "reset", reset.rows.iter().map(|(_, seed)| 5 + bytes(seed)).sum());
        }
        self.check_message("reset", |w| reset.put(w), |r| Reset::get(r).map(drop))
    }

    /// Refuses a request about an attribute.
    pub(crate) fn check_attribute(&self, attribute: &Attribute) -> Result<()> {
        self.check_message("request", |w| attribute.put(w), |r| Attribute::get(r).map(drop))
    }

    /// Refuses the description of an environment.
    pub(crate) fn check_spec(&self, spec: &Spec) -> Result<()> {
        check_text("env_id", &spec.env_id, ENV_ID)?;
        check_text("render mode", spec.render_mode.as_deref().unwrap_or_default(), RENDER_MODE)?;
        for (what, value) in [("metadata", &spec.metadata), ("details", &spec.details)] {
            if !matches!(value, Value::Dict(_)) {
                let text = format!("the {what} of the environment are a {} and no dict", value.type_name());
                return Err(Error::new(ErrorKind::Usage, text));
            }
        }
        self.check_message("description of the environment", |w| spec.put(w), |r| Spec::get(r).map(drop))
    }

    fn check_message(
        &self,
        what: &str,
        put: impl FnOnce(&mut Writer<'_>),
        get: impl FnOnce(&mut Reader<'_>) -> Result<()>,
    ) -> Result<()> {
        // Not where the last frame stands, which may be needed again.
        let mut message = Vec::new();
        put(&mut Writer(&mut message));
        self.fit(ErrorKind::Usage, what, message.len())?;
        if !self.may_break(message.len(), self.count) {
            return Ok(());
        }
        self.blame(ErrorKind::Usage, what, &mut Reader::new(&message, 0, self), get)
    }

    /// Whether so many bytes can hold more than may be.
    fn may_break(&self, len: usize, count: u32) -> bool {
        let bounds = [MIN_LIST * self.depth as usize, MIN_VALUE * count as usize, MIN_ENTRY * MOST_KEYS as usize];
        bounds.into_iter().any(|least| len >= least)
    }

    /// Reads what this side has written, and says at which bound that fails. What else is wrong with a message the session
    /// says, which has yet to write it.
    fn blame<'a>(
        &self,
        kind: ErrorKind,
        what: &str,
        reader: &mut Reader<'a>,
        read: impl FnOnce(&mut Reader<'a>) -> Result<()>,
    ) -> Result<()> {
        match (read(reader), reader.broken) {
            (Err(_), Some(bound)) => Err(self.broken(kind, what, bound)),
            _ => Ok(()),
        }
    }

    fn broken(&self, kind: ErrorKind, what: &str, bound: Bound) -> Error {
        let why = match bound {
            Bound::Count => format!("more than {} values in one frame, where an array is one; send arrays", self.count),
            Bound::Keys => format!("more than {MOST_KEYS} keys of dicts that are neither str nor a small int; use str"),
            Bound::Depth => format!("values that are nested more than {} deep", self.depth),
        };
        Error::new(kind, format!("the {what} has {why}"))
    }
}

fn check_text(what: &str, text: &str, most: usize) -> Result<()> {
    if text.len() <= most {
        return Ok(());
    }
    let text = format!("{what} has {} bytes, where {most} are the most; choose a shorter one", text.len());
    Err(Error::new(ErrorKind::Usage, text))
}

impl<'a> Reader<'a> {
    /// Goes on with other bytes of the same frame.
    fn over<'b>(self, part: &'b [u8]) -> Reader<'b> {
        Reader { frame: part, at: 0, depth: self.depth, count: self.count, keys: self.keys, broken: self.broken }
    }

    /// Passes over a value that this side has written. Counts what is bounded, as [`value`](Self::value) does, and makes
    /// nothing.
    fn skip_value(&mut self) -> Result<()> {
        self.nested(|r| {
            match r.get::<u32>()? {
                0 => {}
                1 => drop(r.take(1)?),
                2 | 4 => drop(r.take(8)?),
                3 | 5 | 6 => drop(r.bytes()?),
                7 | 8 => {
                    for _ in 0..r.count(MIN_VALUE)? {
                        r.skip_value()?;
                    }
                }
                9 => {
                    for _ in 0..r.count(MIN_ENTRY)? {
                        r.skip_key()?;
                        r.skip_value()?;
                    }
                }
                10 => {
                    r.dtype()?;
                    let dimensions = r.count(8)?;
                    r.take(8 * dimensions as u64)?;
                    r.bytes()?;
                }
                11 => {
                    let (dtype, _) = r.dtype()?;
                    r.take(dtype.size() as u64)?;
                }
                12 => (0..3).try_for_each(|_| r.skip_value())?,
                13 => {
                    r.bytes()?;
                    r.bytes()?;
                }
                tag => return Err(r.error(format_args!("unknown value tag {tag}"))),
            }
            Ok(())
        })
    }

    fn skip_key(&mut self) -> Result<()> {
        let mut after = self.clone();
        let is_free = match after.get::<u32>()? {
            5 => true,
            2 => is_small(after.get()?),
            _ => false,
        };
        if is_free { self.skip_value() } else { self.key().map(drop) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dtype::DType,
        value::{Array, Graph, Map},
        wire::put_value,
    };

    fn array(shape: &[u64], len: usize) -> Array {
        Array { dtype: DType::F32, big_endian: false, shape: shape.to_vec(), data: vec![0; len] }
    }

    fn nested(depth: u32) -> Value {
        (1..depth).fold(Value::None, |inner, _| Value::List(vec![inner]))
    }

    fn encoded(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_value(&mut bytes, value);
        bytes
    }

    #[test]
    fn a_value_is_counted_as_it_is_read() {
        let graph = Graph { nodes: nested(2), edges: Value::None, edge_links: Value::Array(array(&[0, 2], 0)) };
        let keys = [Value::from("a"), 7.into(), (-7).into(), Value::Tuple(vec![1.into()]), Value::Bool(true)];
        let values = [
            Value::None,
            Value::Bool(true),
            (-1).into(),
            Value::BigInt(vec![1; 9]),
            Value::from(0.5),
            Value::from("text"),
            Value::Bytes(vec![1, 2, 3]),
            Value::List(vec![1.into(), nested(3)]),
            Value::Tuple(vec![Value::None, Value::from("x")]),
            Value::Dict(Map(keys.into_iter().map(|key| (key, nested(2))).collect())),
            Value::Array(array(&[2, 3], 24)),
            Value::Scalar(array(&[], 4)),
            Value::Graph(Box::new(graph)),
            Value::Opaque { type_name: "A".into(), repr: "a".into() },
        ];
        for value in values {
            let bytes = encoded(&value);
            let mut read = Reader::new(&bytes, 0, &Limits::default());
            let mut passed = read.clone();
            assert_eq!(read.value().unwrap(), value);
            passed.skip_value().unwrap();
            assert_eq!(format!("{passed:?}"), format!("{read:?}"), "{value:?}");
        }
    }

    #[test]
    fn each_bound_has_its_error() {
        let limits = Limits { depth: 8, count: 1000, ..Limits::default() };
        let check = |rows: usize, values: &[Value]| {
            let parts: Vec<_> = values.iter().map(encoded).collect();
            let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
            limits.check_values(ErrorKind::Usage, "answer", rows, &parts).map_err(|error| error.to_string())
        };
        let list = |len: usize| Value::List(vec![Value::None; len]);
        assert!(check(0, &[list(999)]).is_ok());
        assert!(check(1, &[list(997), Value::None]).is_ok());
        for (rows, values) in [(0, vec![list(1000)]), (1, vec![list(997), Value::None, Value::None]), (1001, vec![])] {
            let why = check(rows, &values).unwrap_err();
            assert!(why.contains("the answer has more than 1000 values in one frame"), "{why}");
        }
        assert!(check(0, &[nested(8), nested(8)]).is_ok());
        let why = check(0, &[nested(2), nested(9)]).unwrap_err();
        assert!(why.contains("the answer has values that are nested more than 8 deep"), "{why}");
    }

    #[test]
    fn the_keys_of_all_rows_count() {
        let dict =
            |from: i64, len: i64| Value::Dict(Map((from..from + len).map(|x| (x.into(), Value::None)).collect()));
        let (small, large) = (encoded(&dict(0, 5000)), encoded(&dict(1 << 20, 2048)));
        let check = |parts: &[&[u8]]| Limits::default().check_values(ErrorKind::Usage, "answer", 2, parts);
        assert!(check(&[&small, &large, &large]).is_ok());
        let why = check(&[&large, &large, &encoded(&dict(-1, 1))]).unwrap_err().to_string();
        assert!(why.contains("the answer has more than 4096 keys of dicts"), "{why}");
    }
}
