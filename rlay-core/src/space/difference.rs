//! Where two spaces first differ, in words, for errors that a person can act on.

use super::{AnyBox, AnySpace, display::short, violation::part};
use crate::repr;

/// The path of the first leaf at which the spaces differ, both leaves in Gymnasium's notation, and the difference if
/// the notation does not show it; `None` if the spaces are equal.
///
/// ```
/// use rlay::{Discrete, Space, difference};
///
/// let (a, b) = (((Discrete::new(2),),).describe(), ((Discrete::new(3),),).describe());
/// assert_eq!(difference(&a, &b).unwrap(), "[0][0]: Discrete(2) is not Discrete(3)");
/// ```
pub fn difference(a: &AnySpace, b: &AnySpace) -> Option<String> {
    find(a, b, &mut String::new())
}

fn find(a: &AnySpace, b: &AnySpace, path: &mut String) -> Option<String> {
    let mut step = |part: &str, a: &AnySpace, b: &AnySpace| {
        let length = path.len();
        path.push_str(part);
        let found = find(a, b, path);
        path.truncate(length);
        found
    };
    match (a, b) {
        (AnySpace::Tuple(x), AnySpace::Tuple(y)) | (AnySpace::OneOf(x), AnySpace::OneOf(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().find_map(|(i, (a, b))| step(&format!("[{i}]"), a, b))
        }
        (AnySpace::Dict(x), AnySpace::Dict(y)) if x.iter().map(|e| &e.0).eq(y.iter().map(|e| &e.0)) => {
            x.iter().zip(y).find_map(|((key, a), (_, b))| step(&part(key), a, b))
        }
        (AnySpace::Sequence { space: x, stack: s }, AnySpace::Sequence { space: y, stack: t }) if s == t => {
            step("[*]", x, y)
        }
        (AnySpace::Graph { node: n, edge: e }, AnySpace::Graph { node: m, edge: f })
            if e.is_some() == f.is_some() && a != b =>
        {
            let of_nodes = step(".node_space", n, m);
            of_nodes.or_else(|| e.as_deref().zip(f.as_deref()).and_then(|(e, f)| step(".edge_space", e, f)))
        }
        _ if a == b => None,
        _ => {
            let colon = if path.is_empty() { "" } else { ": " };
            let detail = detail(a, b).map(|text| format!(" ({text})")).unwrap_or_default();
            Some(format!("{path}{colon}{} is not {}{detail}", short(a), short(b)))
        }
    }
}

/// What differs of two leaves of one class, where their texts do not show it.
fn detail(a: &AnySpace, b: &AnySpace) -> Option<String> {
    match (a, b) {
        (AnySpace::Box(a), AnySpace::Box(b)) if (a.dtype, &a.shape) == (b.dtype, &b.shape) => first_bound(a, b),
        (AnySpace::Text(a), AnySpace::Text(b)) if a.to_string() == b.to_string() => {
            Some("the characters come in another order, by which samples are drawn".into())
        }
        (AnySpace::MultiDiscrete(a), AnySpace::MultiDiscrete(b))
            if (a.dtype, a.big_endian) != (b.dtype, b.big_endian) =>
        {
            let dtypes = [repr::dtype(a.dtype, a.big_endian), repr::dtype(b.dtype, b.big_endian)];
            Some(format!("dtype {} and {}", dtypes[0], dtypes[1]))
        }
        (AnySpace::MultiDiscrete(a), AnySpace::MultiDiscrete(b)) if a.shape == b.shape => {
            let i = (0..a.nvec.len()).find(|i| (a.nvec[*i], a.start[*i]) != (b.nvec[*i], b.start[*i]))?;
            Some(format!("first at {}", repr::index(i, &a.shape)))
        }
        _ => None,
    }
}

fn first_bound(a: &AnyBox, b: &AnyBox) -> Option<String> {
    let size = a.dtype.size();
    for (side, a_bound, b_bound) in [("low", &a.low, &b.low), ("high", &a.high, &b.high)] {
        if a_bound == b_bound {
            continue; // without a check of each element, since a peer may claim any number of them
        }
        let Some(i) = (0..a.len()).find(|i| a_bound.get(*i, size) != b_bound.get(*i, size)) else { continue };
        let ((x, x_limits), (y, y_limits)) = (a_bound.get(i, size), b_bound.get(i, size));
        let place = repr::index(i, &a.shape);
        let [p, q] = [x, y].map(|bound| repr::number(a.dtype, bound));
        if p != q {
            return Some(format!("{side}{place} is {p}, and {q}"));
        }
        if x_limits != y_limits {
            let says = |limits| if limits { "bounded" } else { "unbounded" };
            return Some(format!("{side}{place} is {}, and {}", says(x_limits), says(y_limits)));
        }
    }
    None
}
