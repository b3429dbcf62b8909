//! Where two spaces first differ, in words, for errors that a person can act on.

use super::AnySpace;

/// The path of the first leaf at which the spaces differ and how, or `None` if they are equal.
///
/// ```
/// use rlay::{Discrete, Space, difference};
///
/// let (a, b) = (((Discrete::new(2),),).describe(), ((Discrete::new(3),),).describe());
/// assert!(difference(&a, &b).unwrap().starts_with("[0][0]: Discrete"));
/// ```
pub fn difference(a: &AnySpace, b: &AnySpace) -> Option<String> {
    find(a, b, &mut String::new())
}

fn find(a: &AnySpace, b: &AnySpace, path: &mut String) -> Option<String> {
    let mut step = |part: String, a: &AnySpace, b: &AnySpace| {
        let length = path.len();
        path.push_str(&part);
        let found = find(a, b, path);
        path.truncate(length);
        found
    };
    match (a, b) {
        (AnySpace::Tuple(x), AnySpace::Tuple(y)) | (AnySpace::OneOf(x), AnySpace::OneOf(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().find_map(|(i, (a, b))| step(format!("[{i}]"), a, b))
        }
        (AnySpace::Dict(x), AnySpace::Dict(y)) if x.iter().map(|e| &e.0).eq(y.iter().map(|e| &e.0)) => {
            x.iter().zip(y).find_map(|((key, a), (_, b))| {
                let key = key.as_str().map_or_else(|| format!("{key:?}"), |key| format!("{key:?}"));
                step(format!("[{key}]"), a, b)
            })
        }
        (AnySpace::Sequence { space: x, stack: s }, AnySpace::Sequence { space: y, stack: t }) if s == t => {
            step("[*]".into(), x, y)
        }
        _ if a == b => None,
        _ => Some(format!("{path}{}{a:?} is not {b:?}", if path.is_empty() { "" } else { ": " })),
    }
}
