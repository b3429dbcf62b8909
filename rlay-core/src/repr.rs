//! Repr: numbers, arrays and values as Python and NumPy print them, on one line and shortened, for messages.

use std::fmt::{self, Write};

use half::f16;

use crate::{
    dtype::{DType, Scalar},
    printable,
    value::{Array, Map, Value},
};

/// Arrays of more elements are shortened. NumPy's own limit of 1000 is too much for a message.
const SUMMARIZED: usize = 24;
/// Digits after the point, as NumPy prints them.
const PRECISION: usize = 8;
/// Larger integers are described by their size: their digits would take long to find.
const LARGEST_INT: usize = 64;

/// `text` cut to at most `most` characters.
pub(crate) fn cut(text: &impl fmt::Display, most: usize) -> String {
    /// Takes `left` characters and fails at the next one, so that no more of a long text is made than is shown.
    struct Cut {
        text: String,
        left: usize,
    }
    impl Write for Cut {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            for character in part.chars() {
                self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
                self.text.push(character);
            }
            Ok(())
        }
    }
    let mut cut = Cut { text: String::new(), left: most };
    if write!(cut, "{text}").is_err() {
        cut.text.push('…');
    }
    cut.text
}

/// Writes a `str` as Python's `repr` does.
pub(crate) fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    f.write_char(quote)?;
    for character in text.chars() {
        match character {
            '\\' => f.write_str("\\\\")?,
            _ if character == quote => write!(f, "\\{quote}")?,
            _ if character == '\'' || character == '"' || character.escape_debug().len() == 1 => {
                f.write_char(character)?;
            }
            _ => printable::escape(f, character)?,
        }
    }
    f.write_char(quote)
}

fn bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    write!(f, "b{quote}")?;
    for byte in bytes {
        match byte {
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            b'\\' => f.write_str("\\\\")?,
            _ if char::from(*byte) == quote => write!(f, "\\{quote}")?,
            0x20..0x7f => f.write_char(char::from(*byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_char(quote)
}

/// Digits and decimal exponent of a float: the number is 0.DIGITS times ten to the EXPONENT.
struct Digits {
    negative: bool,
    digits: Vec<u8>,
    exponent: i32,
}

impl Digits {
    /// From what `{:e}` prints.
    fn parse(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
        let exponent = exponent.parse::<i32>().unwrap_or(0) + 1;
        Self { negative: mantissa.starts_with('-'), digits, exponent }
    }

    /// The fewest digits that distinguish the number from its neighbours.
    fn shortest(dtype: DType, element: &[u8]) -> Self {
        let text = match dtype {
            DType::F16 => {
                let x = f16::read(element);
                let wide = x.to_f64();
                let is_enough = |text: &String| text.parse::<f64>().is_ok_and(|y| f16::from_f64(y) == x);
                let found = (0..6).map(|precision| format!("{wide:.precision$e}")).find(is_enough);
                found.unwrap_or_else(|| format!("{wide:e}"))
            }
            DType::F32 => format!("{:e}", f32::read(element)),
            _ => format!("{:e}", dtype.read_f64(element)),
        };
        let mut digits = Self::parse(&text);
        while digits.digits.len() > 1 && digits.digits.last() == Some(&b'0') {
            digits.digits.pop();
        }
        digits
    }

    /// Such as `-12.5` as (`-12`, `5`).
    fn positional(&self) -> (String, String) {
        let sign = if self.negative { "-" } else { "" };
        let digits: String = self.digits.iter().map(|digit| char::from(*digit)).collect();
        let (whole, fraction) = match usize::try_from(self.exponent) {
            _ if digits == "0" => ("0".to_owned(), String::new()),
            Ok(0) => ("0".to_owned(), digits),
            Ok(point) if point >= digits.len() => (format!("{digits:0<point$}"), String::new()),
            Ok(point) => (digits[..point].to_owned(), digits[point..].to_owned()),
            Err(_) => ("0".to_owned(), "0".repeat(self.exponent.unsigned_abs() as usize) + &digits),
        };
        (format!("{sign}{whole}"), fraction)
    }

    /// Such as `-1.25e-07` as (`-1`, `25`, -7).
    fn scientific(&self) -> (String, String, i32) {
        let sign = if self.negative { "-" } else { "" };
        let first = char::from(self.digits[0]);
        let rest: String = self.digits[1..].iter().map(|digit| char::from(*digit)).collect();
        let exponent = if self.digits == *b"0" { 0 } else { self.exponent - 1 };
        (format!("{sign}{first}"), rest, exponent)
    }
}

/// A number as Python's `repr` and NumPy's `str` of a scalar have it, such as `0.1`, `1e-07` or `-inf`.
pub(crate) fn number(dtype: DType, element: &[u8]) -> String {
    if !dtype.is_float() {
        return integer(dtype, element);
    }
    let x = dtype.read_f64(element);
    if !x.is_finite() {
        return infinite(x).into();
    }
    let digits = Digits::shortest(dtype, element);
    let most = match dtype {
        DType::F64 => 1e16,
        _ => most_positional(dtype),
    };
    if x == 0.0 || (1e-4..most).contains(&x.abs()) {
        let (whole, fraction) = digits.positional();
        return format!("{whole}.{}", if fraction.is_empty() { "0" } else { &fraction });
    }
    let (first, rest, exponent) = digits.scientific();
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}e{sign}{:02}", exponent.abs())
}

/// From here on NumPy writes elements of arrays with an exponent.
fn most_positional(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1e3,
        DType::F32 => 1e6,
        _ => 1e8,
    }
}

fn infinite(x: f64) -> &'static str {
    match x {
        _ if x.is_nan() => "nan",
        _ if x > 0.0 => "inf",
        _ => "-inf",
    }
}

fn integer(dtype: DType, element: &[u8]) -> String {
    match (dtype, dtype.read_i128(element)) {
        (DType::Bool, 0) => "False".into(),
        (DType::Bool, _) => "True".into(),
        (_, x) => x.to_string(),
    }
}

/// The dtype as NumPy prints it, such as `float32` or `>f4`.
pub(crate) fn dtype(dtype: DType, big_endian: bool) -> String {
    if big_endian { format!(">{}{}", &dtype.name()[..1], dtype.size()) } else { dtype.name().into() }
}

/// A shape as Python prints the tuple.
pub(crate) fn shape(shape: &[u64]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// The place of element `i` of an array of `shape`, such as `[3, 4]`; nothing where there is but one.
pub(crate) fn index(i: usize, shape: &[u64]) -> String {
    let mut places = vec![0; shape.len()];
    let mut rest = i as u64;
    for (place, n) in places.iter_mut().zip(shape).rev() {
        (*place, rest) = (rest % n, rest / n);
    }
    if places.is_empty() { String::new() } else { format!("{places:?}") }
}

/// The elements of an array as NumPy prints them, with `separator` between them: `[-1. -2.  0.]`.
pub(crate) fn elements(dtype: DType, shape: &[u64], data: &[u8], separator: &str) -> String {
    let size = dtype.size();
    let len = data.len() / size;
    if shape.iter().try_fold(1u64, |len, n| len.checked_mul(*n)) != Some(len as u64) {
        // Made by hand, and impossible in NumPy.
        return "[…]".into();
    }
    if len == 0 {
        return "[]".into();
    }
    let edge = match shape.len() {
        _ if len <= SUMMARIZED => usize::MAX,
        0 | 1 => 3,
        2 => 2,
        3 | 4 => 1,
        _ => return "[...]".into(),
    };
    let mut shown = Vec::new();
    visit(shape, 0, edge, &mut |i| shown.push(&data[i * size..(i + 1) * size]));
    let texts = if dtype.is_float() {
        floats(dtype, &shown)
    } else {
        let texts: Vec<String> = shown.iter().map(|element| integer(dtype, element)).collect();
        let least = if dtype == DType::Bool && !shape.is_empty() { 5 } else { 0 };
        let width = texts.iter().map(String::len).max().unwrap_or(0).max(least);
        texts.iter().map(|text| format!("{text:>width$}")).collect()
    };
    let mut out = String::new();
    nested(shape, edge, separator, &mut texts.iter(), &mut out);
    out
}

/// The places along an axis of `n` elements that are shown, and the one before which others are left out.
fn places(n: u64, edge: usize) -> (impl Iterator<Item = usize>, Option<usize>) {
    let n = n as usize;
    let gap = (n > edge.saturating_mul(2)).then(|| n - edge);
    ((0..gap.map_or(n, |_| edge)).chain(gap.unwrap_or(n)..n), gap)
}

/// Calls `each` with the place of every element that is shown.
fn visit(shape: &[u64], first: usize, edge: usize, each: &mut dyn FnMut(usize)) {
    let Some((n, inner)) = shape.split_first() else { return each(first) };
    let stride = inner.iter().product::<u64>() as usize;
    for i in places(*n, edge).0 {
        visit(inner, first + i * stride, edge, each);
    }
}

fn nested<'a>(
    shape: &[u64],
    edge: usize,
    separator: &str,
    texts: &mut impl Iterator<Item = &'a String>,
    out: &mut String,
) {
    let Some((n, inner)) = shape.split_first() else {
        return out.push_str(texts.next().map_or("", String::as_str));
    };
    out.push('[');
    let (places, gap) = places(*n, edge);
    for i in places {
        if i > 0 {
            out.push_str(separator);
        }
        if Some(i) == gap {
            out.push_str("...");
            out.push_str(separator);
        }
        nested(inner, edge, separator, texts, out);
    }
    out.push(']');
}

/// Floats as NumPy prints those of one array: alike, with at most [`PRECISION`] digits after the point.
fn floats(dtype: DType, shown: &[&[u8]]) -> Vec<String> {
    let values: Vec<f64> = shown.iter().map(|element| dtype.read_f64(element)).collect();
    let finite = || shown.iter().zip(&values).filter(|(_, x)| x.is_finite()).map(|(element, x)| (*element, *x));
    let (mut least, mut most) = (f64::INFINITY, 0.0f64);
    for (_, x) in finite().filter(|(_, x)| *x != 0.0) {
        (least, most) = (least.min(x.abs()), most.max(x.abs()));
    }
    let is_scientific = most >= most_positional(dtype) || (most > 0.0 && (least < 1e-4 || most / least > 1000.0));
    let (mut left, mut right, mut exponent_size) = (0, 0, 0);
    for (element, x) in finite() {
        if is_scientific {
            let (whole, fraction, exponent) = rounded_scientific(dtype, element, x);
            (left, right) = (left.max(whole.len()), right.max(fraction.len()));
            exponent_size = exponent_size.max(exponent.abs().to_string().len().max(2));
        } else {
            let (whole, fraction) = rounded_positional(dtype, element, x);
            (left, right) = (left.max(whole.len()), right.max(fraction.len()));
        }
    }
    let tail = if is_scientific { right + exponent_size + 2 } else { right };
    for x in values.iter().filter(|x| !x.is_finite()) {
        left = left.max(infinite(*x).len().saturating_sub(tail + 1));
    }
    let text = |(element, x): (&&[u8], &f64)| {
        if !x.is_finite() {
            format!("{:>width$}", infinite(*x), width = left + tail + 1)
        } else if is_scientific {
            let (mut whole, mut fraction, mut exponent) = rounded_scientific(dtype, element, *x);
            if fraction.len() < right {
                // Filled up with the digits that the number has, not with zeros.
                (whole, fraction, exponent) = Digits::parse(&format!("{x:.right$e}")).scientific();
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{whole:>left$}.{fraction:0<right$}e{sign}{:0exponent_size$}", exponent.abs())
        } else {
            let (whole, fraction) = rounded_positional(dtype, element, *x);
            format!("{whole:>left$}.{fraction:<right$}")
        }
    };
    shown.iter().zip(&values).map(text).collect()
}

fn rounded_positional(dtype: DType, element: &[u8], x: f64) -> (String, String) {
    let (whole, fraction) = Digits::shortest(dtype, element).positional();
    if fraction.len() <= PRECISION {
        return (whole, fraction);
    }
    let text = format!("{x:.PRECISION$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    (whole.into(), fraction.trim_end_matches('0').into())
}

fn rounded_scientific(dtype: DType, element: &[u8], x: f64) -> (String, String, i32) {
    let found = Digits::shortest(dtype, element).scientific();
    if found.1.len() <= PRECISION {
        return found;
    }
    let (whole, fraction, exponent) = Digits::parse(&format!("{x:.PRECISION$e}")).scientific();
    (whole, fraction.trim_end_matches('0').to_owned(), exponent)
}

/// An array as NumPy's `repr` has it: `array([1., 2.], dtype=float32)`.
fn array(f: &mut fmt::Formatter<'_>, array: &Array) -> fmt::Result {
    write!(f, "array({}", elements(array.dtype, &array.shape, &array.data, ", "))?;
    if array.len() > SUMMARIZED || (array.is_empty() && array.shape.len() > 1) {
        write!(f, ", shape={}", shape(&array.shape))?;
    }
    if array.big_endian {
        write!(f, ", dtype='{}'", dtype(array.dtype, true))?;
    } else if array.is_empty() || !matches!(array.dtype, DType::Bool | DType::I64 | DType::F64) {
        write!(f, ", dtype={}", array.dtype.name())?;
    }
    f.write_char(')')
}

/// An integer of any size from its little-endian two's complement.
fn big_int(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    if bytes.len() > LARGEST_INT {
        return write!(f, "<int of {} bytes>", bytes.len());
    }
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut magnitude = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in &mut magnitude {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
        if carry {
            magnitude.push(1);
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0u32;
        for byte in magnitude.iter_mut().rev() {
            let here = rest << 8 | u32::from(*byte);
            (*byte, rest) = ((here / 10) as u8, here % 10);
        }
        digits.push(char::from(b'0' + rest as u8));
    }
    if digits.is_empty() {
        digits.push('0');
    }
    write!(f, "{}{}", if negative { "-" } else { "" }, digits.iter().rev().collect::<String>())
}

fn list(f: &mut fmt::Formatter<'_>, items: &[Value]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        write!(f, "{}{item:?}", if i > 0 { ", " } else { "" })?;
    }
    Ok(())
}

/// Prints the value as Python's `repr` does, on one line, arrays of more than 24 elements shortened.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(x) => f.write_str(if *x { "True" } else { "False" }),
            Self::Int(x) => write!(f, "{x}"),
            Self::BigInt(x) => big_int(f, x),
            Self::Float(x) => f.write_str(&number(DType::F64, &x.to_le_bytes())),
            Self::Str(text) => string(f, text),
            Self::Bytes(x) => bytes(f, x),
            Self::List(items) => {
                f.write_char('[')?;
                list(f, items)?;
                f.write_char(']')
            }
            Self::Tuple(items) => {
                f.write_char('(')?;
                list(f, items)?;
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
            Self::Dict(map) => map.fmt(f),
            Self::Array(x) => array(f, x),
            // One made by hand may have no element.
            Self::Scalar(x) if x.data.len() != x.dtype.size() => array(f, x),
            Self::Scalar(x) if x.dtype == DType::Bool => write!(f, "np.{}_", number(x.dtype, &x.data)),
            Self::Scalar(x) => write!(f, "np.{}({})", x.dtype.name(), number(x.dtype, &x.data)),
            Self::Graph(graph) => write!(
                f,
                "GraphInstance(nodes={:?}, edges={:?}, edge_links={:?})",
                graph.nodes, graph.edges, graph.edge_links
            ),
            Self::Opaque { type_name, repr } => {
                f.write_str("Opaque(type=")?;
                string(f, &cut(type_name, printable::SENTENCE))?;
                f.write_str(", repr=")?;
                string(f, &cut(repr, printable::SENTENCE))?;
                f.write_char(')')
            }
        }
    }
}

/// Prints the dict as Python's `repr` does: `{'lives': 3}`.
impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (i, (key, value)) in self.0.iter().enumerate() {
            write!(f, "{}{key:?}: {value:?}", if i > 0 { ", " } else { "" })?;
        }
        f.write_char('}')
    }
}

/// Prints the array as NumPy's `repr` does: `array([1., 2.], dtype=float32)`.
impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        array(f, self)
    }
}
