//! What spaces do not contain, what they refuse to take, and what they pass on for the environment to judge.

use rlay_core::{
    AnySpace, Array, BoxSpace, DType, Discrete, ErrorKind, Graph, Map, MultiBinary, MultiDiscrete, OneOf, Sequence,
    Space, Text, Value, difference,
};

fn array<T: rlay_core::Scalar>(elements: &[T]) -> Value {
    Value::Array(Array::new(&[elements.len() as u64], elements))
}

fn scalar<T: rlay_core::Scalar>(x: T) -> Value {
    Value::Scalar(Array::new(&[], &[x]))
}

fn dict() -> AnySpace {
    AnySpace::Dict(vec![("a".into(), Discrete::new(2).describe()), ("b".into(), MultiBinary::new(1).describe())])
}

#[test]
fn typed_spaces_refuse_what_lies_outside() {
    let space = BoxSpace::<f32>::new([2], -1.0, 1.0);
    assert!(space.contains(&vec![-1.0, 1.0]));
    for x in [vec![1.1, 0.0], vec![0.0, -1.1], vec![f32::NAN, 0.0], vec![0.0], vec![0.0; 3], vec![]] {
        assert!(!space.contains(&x), "{x:?}");
    }
    assert!(!BoxSpace::<f64>::unbounded([1]).contains(&vec![f64::NAN]));
    assert!(BoxSpace::<f64>::unbounded([1]).contains(&vec![f64::INFINITY]));
    assert!(!BoxSpace::<i64>::new([1], i64::MIN, i64::MAX - 1).contains(&vec![i64::MAX]));
    assert!(!BoxSpace::<u64>::new([1], 1 << 63, u64::MAX).contains(&vec![1]));
    for (space, inside, outside) in [
        (Discrete::new(3), vec![0, 2], vec![-1, 3, i64::MIN, i64::MAX]),
        (Discrete::new(3).starting_at(-1), vec![-1, 1], vec![-2, 2]),
        (Discrete::new(3).starting_at(i64::MAX - 2), vec![i64::MAX], vec![i64::MIN, 0]),
    ] {
        assert!(inside.iter().all(|x| space.contains(x)));
        assert!(!outside.iter().any(|x| space.contains(x)), "{space:?}");
    }
    let multi = MultiDiscrete { start: vec![0, -5], ..MultiDiscrete::new(&[3, 2]) };
    assert!(multi.contains(&vec![2, -4]));
    for x in [vec![3, -4], vec![0, -6], vec![0, -3], vec![0], vec![0, -5, 0], vec![i64::MAX, i64::MIN]] {
        assert!(!multi.contains(&x), "{x:?}");
    }
    assert!(!MultiBinary::new(2).contains(&vec![0, 2]) && !MultiBinary::new(2).contains(&vec![0]));
    let text = Text { min_length: 1, max_length: 2, charset: "aß".into() };
    assert!(text.contains(&"ßa".into()), "length counts characters");
    for x in ["", "aaa", "b", "A"] {
        assert!(!text.contains(&x.into()), "{x:?}");
    }
    assert!(!OneOf(vec![Discrete::new(2), Discrete::new(9)]).contains(&(0, 8)));
    assert!(!OneOf(vec![Discrete::new(2)]).contains(&(1, 0)));
    assert!(!Sequence::new(Discrete::new(2)).contains(&vec![0, 1, 2]));
}

#[test]
fn dynamic_spaces_refuse_what_lies_outside() {
    let unit = BoxSpace::<f32>::new([2], -1.0, 1.0).describe();
    let graph = |edge| AnySpace::Graph { node: Box::new(unit.clone()), edge };
    let nodes = |x: f32| Value::Array(Array::new(&[1, 2], &[x, 0.0]));
    let instance = |nodes, edges, edge_links| Value::Graph(Box::new(Graph { nodes, edges, edge_links }));
    let link = Value::Array(Array::new(&[1, 2], &[0i32, 0]));
    let two = Map::from([("a", 0), ("b", 0)]);
    let with_edges = graph(Some(Box::new(Discrete::new(3).describe())));
    let cases: Vec<(AnySpace, Vec<Value>)> = vec![
        (
            unit.clone(),
            vec![
                array(&[1.5f32, 0.0]),
                array(&[0.0f32]),
                array(&[0.0f64, 0.0]),
                scalar(0.0f32),
                Value::List(vec![0.0.into(), 0.0.into()]),
                Value::Array(Array::new(&[2, 1], &[0.0f32; 2])),
                Value::None,
            ],
        ),
        (
            Discrete::new(3).describe(),
            vec![
                Value::Int(3),
                Value::Int(-1),
                scalar(3i64),
                Value::Float(1.0),
                array(&[1i64]),
                Value::int(1 << 70),
                Value::None,
            ],
        ),
        (MultiBinary::new(2).describe(), vec![array(&[0i8, 2]), array(&[0i8]), array(&[0.0f32, 1.0]), Value::None]),
        (
            MultiDiscrete::new(&[3, 2]).describe(),
            vec![array(&[3i64, 0]), array(&[0i64]), array(&[0.0f64, 0.0]), Value::None],
        ),
        (Text::new(2, "ab").describe(), vec!["abc".into(), "c".into(), "".into(), Value::Bytes(b"a".to_vec())]),
        (
            AnySpace::Tuple(vec![unit.clone(), Discrete::new(2).describe()]),
            vec![
                Value::Tuple(vec![array(&[0.0f32, 0.0])]),
                Value::Tuple(vec![array(&[0.0f32, 9.0]), Value::Int(0)]),
                Value::Tuple(vec![]),
                Value::None,
            ],
        ),
        (
            dict(),
            vec![
                Value::Dict(two),
                Value::Dict(Map::from([("a", 0)])),
                Value::Dict(Map::from([("a", 0), ("c", 0)])),
                Value::None,
            ],
        ),
        (
            Sequence::new(Discrete::new(2)).describe(),
            vec![Value::Tuple(vec![Value::Int(2)]), array(&[0i64]), Value::None],
        ),
        (
            AnySpace::Sequence { space: Box::new(unit.clone()), stack: true },
            vec![nodes(9.0), Value::Tuple(vec![nodes(9.0)]), Value::None],
        ),
        (
            graph(None),
            vec![
                instance(nodes(9.0), Value::None, Value::None),
                instance(nodes(0.0), array(&[0i64]), link.clone()),
                instance(nodes(0.0), Value::None, link.clone()),
                Value::None,
            ],
        ),
        (with_edges, vec![instance(nodes(0.0), array(&[3i64]), link), Value::None]),
        (
            AnySpace::OneOf(vec![Discrete::new(2).describe(), unit]),
            vec![
                Value::Tuple(vec![Value::Int(0), Value::Int(2)]),
                Value::Tuple(vec![Value::Int(1), Value::Int(0)]),
                Value::Tuple(vec![Value::Int(2), Value::Int(0)]),
                Value::Tuple(vec![Value::Int(-1), Value::Int(0)]),
                Value::Tuple(vec![Value::Int(0)]),
                Value::None,
            ],
        ),
    ];
    for (space, outside) in cases {
        for x in outside {
            assert!(!space.contains(&x), "{} contains {x:?}", space.class());
        }
    }
}

#[test]
fn wrong_structure_is_refused_and_wrong_values_are_passed_on() {
    let space = AnySpace::Tuple(vec![dict(), BoxSpace::<f32>::new([2], 0.0, 1.0).describe()]);
    let element = |a: Value, image: Value| {
        Value::Tuple(vec![Value::Dict(Map(vec![("a".into(), a), ("b".into(), array(&[1i8]))])), image])
    };
    // Out of range, another dtype, another type: the environment decides.
    for x in [
        element(Value::Int(9), array(&[5.0f32, 5.0])),
        element(Value::Float(0.5), array(&[0.0f64, 0.0])),
        element(Value::None, Value::List(vec![])),
    ] {
        assert_eq!(space.from_value(&x).unwrap(), x);
    }
    let pair = || Value::Dict(Map::from([("a", 0), ("c", 0)]));
    for (x, path) in [
        (Value::Tuple(vec![]), ""),
        (Value::Int(0), ""),
        (Value::Tuple(vec![pair(), array(&[0.0f32; 2])]), "[0]"),
        (element(Value::Int(0), array(&[0.0f32; 3])), "[1]"),
    ] {
        let error = space.from_value(&x).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidAction);
        assert!(error.to_string().starts_with(path), "{error}");
    }
}

#[test]
fn packing_never_changes_what_arrives() {
    let float32 = BoxSpace::<f32>::new([2], 0.0, 1.0).describe();
    let big = Value::Array(Array { dtype: DType::F32, big_endian: true, shape: vec![2], data: vec![0; 8] });
    for x in [array(&[0.0f64, 0.0]), array(&[0.0f32; 3]), big, Value::List(vec![]), Value::None] {
        assert!(!float32.pack(&x, &mut Vec::new()), "{x:?}");
    }
    let discrete = Discrete::new(2).describe();
    for x in [Value::Bool(true), scalar(1i32), array(&[1i64]), Value::Float(1.0), Value::int(1 << 70)] {
        assert!(!discrete.pack(&x, &mut Vec::new()), "{x:?}");
    }
    let other_order = Map(vec![("b".into(), array(&[1i8])), ("a".into(), Value::Int(0))]);
    assert!(dict().contains(&Value::Dict(other_order.clone())));
    assert!(!dict().pack(&Value::Dict(other_order), &mut Vec::new()), "the order of keys is a fact about a dict");
    let pair = AnySpace::Tuple(vec![discrete.clone(), discrete]);
    assert!(!pair.pack(&Value::List(vec![Value::Int(0), Value::Int(0)]), &mut Vec::new()), "a list is no tuple");
    assert!(!MultiBinary::new(2).describe().pack(&array(&[true, false]), &mut Vec::new()), "a bool is no int8");
}

#[test]
fn rows_without_elements_cost_nothing_in_any_number() {
    let empty = BoxSpace::<u8>::new([0], 0, 255).describe();
    let stack = AnySpace::Sequence { space: Box::new(empty.clone()), stack: true };
    let rows = |n: u64| Value::Array(Array { dtype: DType::U8, big_endian: false, shape: vec![n, 0], data: vec![] });
    assert!(stack.contains(&rows(3)) && stack.contains(&rows(u64::MAX)), "all of them are alike");
    let pair = AnySpace::Tuple(vec![empty.clone(), empty]);
    let pairs = AnySpace::Sequence { space: Box::new(pair), stack: true };
    assert!(pairs.contains(&Value::Tuple(vec![rows(1 << 40), rows(1 << 40)])));
    assert!(!pairs.contains(&Value::Tuple(vec![rows(1 << 40), rows(1)])), "one column ends before the other");
    assert!(!pairs.contains(&Value::Tuple(vec![rows(1), rows(1 << 40)])), "one column ends before the other");
}

#[test]
fn spaces_that_differ_in_one_field_differ() {
    let pairs = [
        (Discrete::new(2).describe(), Discrete::new(2).starting_at(1).describe()),
        (Discrete::new(2).describe(), AnySpace::Discrete(Discrete { dtype: DType::I32, ..Discrete::new(2) })),
        (MultiBinary::new(5).describe(), AnySpace::MultiBinary(MultiBinary { n_is_int: false, ..MultiBinary::new(5) })),
        (Text::new(3, "ab").describe(), Text::new(3, "ba").describe()),
        (BoxSpace::<f32>::unbounded([1]).describe(), BoxSpace::<f64>::unbounded([1]).describe()),
        (
            dict(),
            match dict() {
                AnySpace::Dict(members) => AnySpace::Dict(members.into_iter().rev().collect()),
                other => other,
            },
        ),
    ];
    for (a, b) in pairs {
        let text = difference(&a, &b).unwrap();
        assert!(text.contains(&format!("{a} is not {b}")), "{text}");
        let nested = |x: AnySpace| AnySpace::Dict(vec![("k".into(), AnySpace::Tuple(vec![x]))]);
        let below = difference(&nested(a), &nested(b)).unwrap();
        assert!(below == format!("[\"k\"][0]: {text}") || below == format!("[\"k\"][0]{text}"), "{below}");
    }
}

#[test]
fn rows_without_elements_are_no_numbers() {
    let nodes = Value::Array(Array { dtype: DType::I8, big_endian: false, shape: vec![3, 0], data: vec![] });
    let graph = Value::Graph(Box::new(Graph { nodes, edges: Value::None, edge_links: Value::None }));
    let space = AnySpace::Graph { node: Box::new(Discrete::new(1).describe()), edge: None };
    assert!(!space.contains(&graph));
    let empty = Value::Scalar(Array { dtype: DType::U64, big_endian: false, shape: vec![], data: vec![] });
    assert_eq!(empty.as_i64(), None);
    assert!(Discrete::new(1).describe().from_value(&empty).is_ok(), "the environment judges");
    assert!(!Discrete::new(1).describe().contains(&empty));
}
