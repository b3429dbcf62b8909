//! Sequence and Graph: elements of variable size, which have no packed form and travel as values.

use super::{AnySpace, BoxSpace, Space, mismatch, other_class};
use crate::{
    dtype::Scalar,
    error::Result,
    rng::Rng,
    value::{Array, Graph, Value},
};

/// Any number of elements of one space.
///
/// ```
/// use rlay::{Discrete, Sequence, Space};
/// assert!(Sequence::new(Discrete::new(5)).contains(&vec![4, 0, 4]));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence<S> {
    space: S,
}

impl<S: Space> Sequence<S> {
    /// Tuples of elements of `space`.
    pub fn new(space: S) -> Self {
        Self { space }
    }
}

impl<S: Space> Space for Sequence<S> {
    type Element = Vec<S::Element>;

    fn contains(&self, x: &Self::Element) -> bool {
        x.iter().all(|x| self.space.contains(x))
    }

    fn sample(&self, rng: &mut Rng) -> Self::Element {
        let mut items = Vec::new();
        // Gymnasium's lengths are geometric with p = 1/4.
        while rng.below(4) != 0 {
            items.push(self.space.sample(rng));
        }
        items
    }

    fn describe(&self) -> AnySpace {
        AnySpace::Sequence { space: Box::new(self.space.describe()), stack: false }
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        match any {
            AnySpace::Sequence { space, stack: false } => {
                Ok(Self { space: S::from_any(space).map_err(|e| e.at("[*]"))? })
            }
            _ => Err(other_class("a Sequence", any)),
        }
    }

    fn to_value(&self, x: &Self::Element) -> Value {
        Value::Tuple(x.iter().map(|x| self.space.to_value(x)).collect())
    }

    fn from_value(&self, value: &Value) -> Result<Self::Element> {
        match value {
            Value::Tuple(items) | Value::List(items) => {
                let item = |(i, x)| self.space.from_value(x).map_err(|e| e.at(format_args!("[{i}]")));
                items.iter().enumerate().map(item).collect()
            }
            _ => Err(mismatch(&self.describe(), value)),
        }
    }
}

/// Graphs with arrays of `T` as nodes and edges (`gymnasium.spaces.Graph` over two Boxes).
///
/// An element is (nodes, edges, edge links): flat elements of all nodes, of all edges, and the pair
/// of nodes that each edge joins.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphSpace<T> {
    node: BoxSpace<T>,
    edge: BoxSpace<T>,
}

impl<T: Scalar> GraphSpace<T> {
    /// Graphs with an element of `node` on every node and one of `edge` on every edge.
    pub fn new(node: BoxSpace<T>, edge: BoxSpace<T>) -> Self {
        Self { node, edge }
    }
}

fn rows<T: Scalar>(space: &BoxSpace<T>, flat: &[T]) -> Value {
    let each = space.shape().iter().product::<u64>().max(1);
    let shape: Vec<u64> = std::iter::once(flat.len() as u64 / each).chain(space.shape().iter().copied()).collect();
    Value::Array(Array::new(&shape, flat))
}

impl<T: Scalar> Space for GraphSpace<T> {
    type Element = (Vec<T>, Vec<T>, Vec<[i32; 2]>);

    fn contains(&self, (nodes, edges, links): &Self::Element) -> bool {
        let count = |space: &BoxSpace<T>, flat: &[T]| {
            let each = space.shape().iter().product::<u64>().max(1) as usize;
            let whole = flat.len().is_multiple_of(each);
            (whole && flat.chunks(each).all(|x| space.contains(&x.to_vec()))).then_some(flat.len() / each)
        };
        let (Some(nodes), Some(edges)) = (count(&self.node, nodes), count(&self.edge, edges)) else { return false };
        edges == links.len() && links.iter().flatten().all(|node| *node >= 0 && (*node as usize) < nodes)
    }

    fn sample(&self, rng: &mut Rng) -> Self::Element {
        let nodes = 1 + rng.below(9);
        let edges = rng.below(nodes * nodes);
        (
            (0..nodes).flat_map(|_| self.node.sample(rng)).collect(),
            (0..edges).flat_map(|_| self.edge.sample(rng)).collect(),
            (0..edges).map(|_| [rng.below(nodes) as i32, rng.below(nodes) as i32]).collect(),
        )
    }

    fn describe(&self) -> AnySpace {
        AnySpace::Graph { node: Box::new(self.node.describe()), edge: Some(Box::new(self.edge.describe())) }
    }

    fn from_any(any: &AnySpace) -> Result<Self> {
        match any {
            AnySpace::Graph { node, edge: Some(edge) } => {
                let node = BoxSpace::from_any(node).map_err(|e| e.at(".node_space"))?;
                Ok(Self { node, edge: BoxSpace::from_any(edge).map_err(|e| e.at(".edge_space"))? })
            }
            _ => Err(other_class("a Graph with edges", any)),
        }
    }

    fn to_value(&self, (nodes, edges, links): &Self::Element) -> Value {
        let (edges, edge_links) = if links.is_empty() {
            (Value::None, Value::None)
        } else {
            (rows(&self.edge, edges), Value::Array(Array::new(&[links.len() as u64, 2], links.as_flattened())))
        };
        Value::Graph(Box::new(Graph { nodes: rows(&self.node, nodes), edges, edge_links }))
    }

    fn from_value(&self, value: &Value) -> Result<Self::Element> {
        let bad = || mismatch(&self.describe(), value);
        let Value::Graph(graph) = value else { return Err(bad()) };
        let flat = |value: &Value| match value {
            Value::None => Ok(vec![]),
            Value::Array(array) => array.to_vec::<T>().ok_or_else(bad),
            _ => Err(bad()),
        };
        let links = match &graph.edge_links {
            Value::None => vec![],
            Value::Array(array) if !array.dtype.is_float() => {
                array.data.chunks(array.dtype.size()).map(|x| array.dtype.read_i128(x) as i32).collect()
            }
            _ => return Err(bad()),
        };
        Ok((flat(&graph.nodes)?, flat(&graph.edges)?, links.chunks_exact(2).map(|link| [link[0], link[1]]).collect()))
    }
}
