//! Packed payloads of any number of rows: for each leaf of the space, the rows' elements one after another.

use rlay_core::{AnySpace, Limits, Result, Space, Value, wire::Reader};

/// What one row takes in each part of a leaf: its elements and, for Discrete, its mark.
fn parts(space: &AnySpace, out: &mut Vec<usize>) {
    match space {
        AnySpace::Box(space) => out.push(space.byte_len()),
        AnySpace::Discrete(_) => out.extend([8, 1]),
        AnySpace::MultiBinary(space) => out.push(space.len()),
        AnySpace::MultiDiscrete(space) => out.push(space.nvec.len() * space.dtype.size()),
        AnySpace::Tuple(spaces) => spaces.iter().for_each(|space| parts(space, out)),
        AnySpace::Dict(spaces) => spaces.iter().for_each(|(_, space)| parts(space, out)),
        _ => {}
    }
}

/// The elements in a packed payload of `rows` rows.
pub(crate) fn unpack_rows(space: &AnySpace, rows: usize, bytes: &[u8], limits: &Limits) -> Result<Vec<Value>> {
    let unpack = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes, 0, limits);
        let value = space.unpack(&mut reader)?;
        reader.end()?;
        Ok(value)
    };
    if rows == 1 || !space.is_fixed() {
        return Ok(vec![unpack(bytes)?]);
    }
    let mut sizes = Vec::new();
    parts(space, &mut sizes);
    let mut each = vec![Vec::new(); rows];
    let mut reader = Reader::new(bytes, 0, limits);
    for size in sizes {
        for row in &mut each {
            row.extend_from_slice(reader.take(size as u64)?);
            row.resize(row.len().next_multiple_of(8), 0);
        }
        let pad = (rows * size).next_multiple_of(8) - rows * size;
        if reader.take(pad as u64)?.iter().any(|byte| *byte != 0) {
            return Err(reader.error("padding that is not zero, ending"));
        }
    }
    reader.end()?;
    each.iter().map(|row| unpack(row)).collect()
}

/// The packed payload of `values`, one per row; `None` if there is none.
pub(crate) fn pack_rows(space: &AnySpace, values: &[Value]) -> Option<Vec<u8>> {
    let pack = |value: &Value| {
        let mut out = Vec::new();
        space.pack(value, &mut out).then_some(out)
    };
    if let [value] = values {
        return pack(value);
    }
    let each: Vec<Vec<u8>> = values.iter().map(pack).collect::<Option<_>>()?;
    let (mut sizes, mut out, mut at) = (Vec::new(), Vec::new(), 0);
    parts(space, &mut sizes);
    for size in sizes {
        each.iter().for_each(|row| out.extend_from_slice(&row[at..at + size]));
        out.resize(out.len().next_multiple_of(8), 0);
        at += size.next_multiple_of(8);
    }
    Some(out)
}
