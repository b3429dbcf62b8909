//! How spaces and values print, and what is said of values that are in no space. The texts are Gymnasium's and NumPy's.

use half::f16;
use rlay_core::{
    AnySpace, Array, BoxSpace, DType, Dict, Discrete, GraphSpace, Map, MultiBinary, MultiDiscrete, OneOf, Sequence,
    Space, Text, Value, difference, violation,
};

fn array<T: rlay_core::Scalar>(shape: &[u64], elements: &[T]) -> Value {
    Array::new(shape, elements).into()
}

#[test]
fn spaces_print_as_in_gymnasium() {
    let infinite = f64::INFINITY;
    let numbers: Vec<f64> = (0..2000).map(f64::from).collect();
    let large = BoxSpace::<f64>::with_bounds([2000], &numbers, &numbers).describe();
    let edges = "[0.000e+00 1.000e+00 2.000e+00 ... 1.997e+03 1.998e+03 1.999e+03]";
    let big_endian = match BoxSpace::<f32>::new([3], -1.0, 1.0).describe() {
        AnySpace::Box(space) => AnySpace::Box(rlay_core::AnyBox { big_endian: true, ..space }),
        other => other,
    };
    let keys = vec![
        (Value::Int(2), Discrete::new(2).describe()),
        (Value::None, Discrete::new(3).describe()),
        (Value::Tuple(vec![1.into(), "a".into()]), MultiBinary::new(2).describe()),
    ];
    for (space, text) in [
        (BoxSpace::<f32>::new([3], -1.0, 1.0).describe(), "Box(-1.0, 1.0, (3,), float32)"),
        (BoxSpace::<f32>::new([2], 0.1, 1e10).describe(), "Box(0.1, 1e+10, (2,), float32)"),
        (BoxSpace::<f32>::unbounded([2, 2]).describe(), "Box(-inf, inf, (2, 2), float32)"),
        (BoxSpace::<f32>::new([], -1.0, 1.0).describe(), "Box(-1.0, 1.0, (), float32)"),
        (BoxSpace::<f32>::new([0], 0.0, 1.0).describe(), "Box([], [], (0,), float32)"),
        (BoxSpace::<f64>::new([1], -1.5, 2.5).describe(), "Box(-1.5, 2.5, (1,), float64)"),
        (BoxSpace::<u8>::new([84, 84, 3], 0, 255).describe(), "Box(0, 255, (84, 84, 3), uint8)"),
        (BoxSpace::<bool>::new([5], false, true).describe(), "Box(False, True, (5,), bool)"),
        (
            BoxSpace::<f16>::new([2], f16::from_f32(-1.0), f16::from_f32(0.1)).describe(),
            "Box(-1.0, 0.1, (2,), float16)",
        ),
        (
            BoxSpace::<f32>::with_bounds([3], &[-1.0, -2.0, 0.0], &[1.0, 2.0, 0.0]).describe(),
            "Box([-1. -2.  0.], [1. 2. 0.], (3,), float32)",
        ),
        (
            BoxSpace::<f64>::with_bounds([2], &[-infinite, 0.0], &[1.0, infinite]).describe(),
            "Box([-inf   0.], [ 1. inf], (2,), float64)",
        ),
        (large, &format!("Box({edges}, {edges}, (2000,), float64)")),
        (big_endian, "Box(-1.0, 1.0, (3,), >f4)"),
        (Discrete::new(5).describe(), "Discrete(5)"),
        (Discrete::new(5).starting_at(-1).describe(), "Discrete(5, start=-1)"),
        (Discrete { dtype: DType::I32, ..Discrete::new(3) }.describe(), "Discrete(3, dtype=int32)"),
        (MultiBinary::new(5).describe(), "MultiBinary(5)"),
        (MultiBinary { shape: vec![2, 3], n_is_int: false }.describe(), "MultiBinary((2, 3))"),
        (MultiBinary { shape: vec![5], n_is_int: false }.describe(), "MultiBinary((5,))"),
        (MultiDiscrete::new(&[3, 2]).describe(), "MultiDiscrete([3 2])"),
        (
            MultiDiscrete { start: vec![-1, 10], ..MultiDiscrete::new(&[3, 2]) }.describe(),
            "MultiDiscrete([3 2], start=[-1 10])",
        ),
        (
            MultiDiscrete { shape: vec![2, 3], ..MultiDiscrete::new(&[1, 2, 3, 4, 5, 6]) }.describe(),
            "MultiDiscrete([[1 2 3] [4 5 6]])",
        ),
        (Text::new(8, "zyxabc").describe(), "Text(1, 8, charset=abcxyz)"),
        (
            (Discrete::new(2), BoxSpace::<f32>::new([2], -1.0, 1.0)).describe(),
            "Tuple(Discrete(2), Box(-1.0, 1.0, (2,), float32))",
        ),
        (AnySpace::Tuple(vec![]), "Tuple()"),
        (
            Dict::new(["b", "a"], (Discrete::new(2), Discrete::new(3))).describe(),
            "Dict('b': Discrete(2), 'a': Discrete(3))",
        ),
        (AnySpace::Dict(keys), "Dict(2: Discrete(2), None: Discrete(3), (1, 'a'): MultiBinary(2))"),
        (Sequence::new(Discrete::new(3)).describe(), "Sequence(Discrete(3), stack=False)"),
        (
            GraphSpace::new(BoxSpace::<f32>::new([2], -1.0, 1.0), BoxSpace::<f32>::new([], 0.0, 1.0)).describe(),
            "Graph(Box(-1.0, 1.0, (2,), float32), Box(0.0, 1.0, (), float32))",
        ),
        (OneOf(vec![Discrete::new(2)]).describe(), "OneOf(Discrete(2))"),
    ] {
        assert_eq!(space.to_string(), text);
        assert_eq!(format!("{space:?}"), text);
    }
}

#[test]
fn values_print_as_in_python() {
    let info = Map::from([("lives", Value::from(3)), ("pos", array(&[2], &[1.0f32, 2.0])), ("won", false.into())]);
    assert_eq!(format!("{info:?}"), "{'lives': 3, 'pos': array([1., 2.], dtype=float32), 'won': False}");
    let graph = rlay_core::Graph { nodes: array(&[1], &[1i64]), ..rlay_core::Graph::default() };
    for (value, text) in [
        (Value::None, "None"),
        (0.1.into(), "0.1"),
        (1e16.into(), "1e+16"),
        (1e-5.into(), "1e-05"),
        (Value::Float(-0.0), "-0.0"),
        (Value::Float(f64::NAN), "nan"),
        (123_456_789.125.into(), "123456789.125"),
        ("it's".into(), "\"it's\""),
        ("a\n\u{200d}é'\"".into(), "'a\\n\\u200dé\\'\"'"),
        (Value::Bytes(b"a\x00'".to_vec()), "b\"a\\x00'\""),
        (Value::int(-(1 << 70)), "-1180591620717411303424"),
        (Value::BigInt(vec![0xff; 100]), "<int of 100 bytes>"),
        (Value::Tuple(vec![1.into()]), "(1,)"),
        (Value::List(vec![Value::Tuple(vec![]), Map::new().into()]), "[(), {}]"),
        (Value::Scalar(Array::new(&[], &[1.5f32])), "np.float32(1.5)"),
        (Value::Scalar(Array::new(&[], &[true])), "np.True_"),
        (array(&[], &[3i64]), "array(3)"),
        (array(&[3], &[true, false, true]), "array([ True, False,  True])"),
        (array(&[2, 2], &[1u8, 2, 30, 4]), "array([[ 1,  2], [30,  4]], dtype=uint8)"),
        (array::<f64>(&[0], &[]), "array([], dtype=float64)"),
        (array::<f32>(&[2, 0], &[]), "array([], shape=(2, 0), dtype=float32)"),
        (
            array(&[84, 84, 3], &[7u8; 84 * 84 * 3]),
            "array([[[7, ..., 7], ..., [7, ..., 7]], ..., [[7, ..., 7], ..., [7, ..., 7]]], shape=(84, 84, 3), dtype=uint8)",
        ),
        (Value::Graph(Box::new(graph)), "GraphInstance(nodes=array([1]), edges=None, edge_links=None)"),
        (Value::Opaque { type_name: "Lock".into(), repr: "<x>".into() }, "Opaque(type='Lock', repr='<x>')"),
    ] {
        assert_eq!(format!("{value:?}"), text);
    }
    // No shape makes it long, or take long.
    let nothing = Array { dtype: DType::U8, big_endian: false, shape: vec![u64::MAX, 0], data: vec![] };
    assert_eq!(format!("{nothing:?}"), "array([], shape=(18446744073709551615, 0), dtype=uint8)");
    let many = array(&[2; 12], &[0u8; 4096]);
    assert_eq!(format!("{many:?}").len(), 69);
}

#[test]
fn values_are_read_by_key_and_type() {
    let info: Map = [
        ("lives", Value::from(3)),
        ("fuel", Value::Scalar(Array::new(&[], &[0.5f32]))),
        ("won", Value::Scalar(Array::new(&[], &[true]))),
        ("pos", array(&[2], &[1i32, 2])),
        ("agent", Map::from([("name", "red")]).into()),
    ]
    .into();
    assert_eq!((info["lives"].as_f64(), info["lives"].as_i64(), info["lives"].as_bool()), (Some(3.0), Some(3), None));
    assert_eq!((info["fuel"].as_f64(), info["fuel"].as_i64()), (Some(0.5), None));
    assert_eq!((info["won"].as_bool(), info["won"].as_f64()), (Some(true), None));
    assert_eq!((info["pos"].as_array::<i32>(), info["pos"].as_array::<i64>()), (Some(vec![1, 2]), None));
    assert_eq!(info["agent"]["name"].as_str(), Some("red"));
    assert_eq!(info["agent"].get("colour"), None);
    assert_eq!((&info["nothing"]["at"]["all"], info.get("nothing")), (&Value::None, None));
    assert_eq!(Value::int(-(1 << 70)).as_f64(), Some(-(2f64.powi(70))));
    assert_eq!(Value::int(1 << 70).as_f64(), Some(2f64.powi(70)));
}

#[test]
fn the_leaf_that_is_not_in_its_space_is_named() {
    let image = BoxSpace::<u8>::new([2, 2], 0, 9);
    let space =
        Dict::new(["lives", "image", "bag"], (Discrete::new(4), image, (Text::new(3, "abc"), MultiBinary::new(2))));
    let space = space.describe();
    let value = |lives: Value, image: Value, bag: Value| {
        Value::from(Map::from([("lives", lives), ("image", image), ("bag", bag)]))
    };
    let pixels = || array(&[2, 2], &[0u8; 4]);
    let bag = |text: &str, flags: &[i8]| Value::Tuple(vec![text.into(), array(&[flags.len() as u64], flags)]);
    assert_eq!(violation(&space, &value(3.into(), pixels(), bag("ab", &[0, 1])), "observation"), None);
    let mut missing = Map::from([("lives", Value::from(3)), ("image", pixels())]);
    let mut cases = vec![
        (Value::from(missing.clone()), "observation is not in Dict(…): the key \"bag\" is missing"),
        (value(4.into(), pixels(), bag("", &[])), "observation[\"lives\"] is not in Discrete(4): it is 4"),
        (
            value(3.into(), array(&[2, 2], &[0.0f64; 4]), Value::None),
            "observation[\"image\"] is not in Box(0, 9, (2, 2), uint8): dtype float64 where uint8 was declared",
        ),
        (
            value(3.into(), array(&[4], &[0u8; 4]), Value::None),
            "observation[\"image\"] is not in Box(0, 9, (2, 2), uint8): shape (4,) where (2, 2) was declared",
        ),
        (
            value(3.into(), array(&[2, 2], &[0u8, 1, 77, 200]), Value::None),
            "observation[\"image\"] is not in Box(0, 9, (2, 2), uint8): element [1, 0] is 77, above 9",
        ),
        (
            value(3.into(), Value::List(vec![]), Value::None),
            "observation[\"image\"] is not in Box(0, 9, (2, 2), uint8): it is a list of 0",
        ),
        (
            value(3.into(), pixels(), bag("abca", &[0, 1])),
            "observation[\"bag\"][0] is not in Text(1, 3, charset=abc): it has 4 characters",
        ),
        (
            value(3.into(), pixels(), bag("a b", &[0, 1])),
            "observation[\"bag\"][0] is not in Text(1, 3, charset=abc): it has the character ' '",
        ),
        (
            value(3.into(), pixels(), bag("a", &[0, 2])),
            "observation[\"bag\"][1] is not in MultiBinary(2): element [1] is neither 0 nor 1",
        ),
        (
            value(3.into(), pixels(), Value::Tuple(vec!["a".into()])),
            "observation[\"bag\"] is not in Tuple(…): it is a tuple of 1",
        ),
    ];
    missing.insert("bag", bag("a", &[0, 1]));
    missing.insert("gun", 1);
    cases.push((missing.into(), "observation is not in Dict(…): the key \"gun\" was not declared"));
    for (value, expected) in cases {
        let text = violation(&space, &value, "observation").unwrap();
        let (head, tail) = expected.split_once('…').unwrap_or((expected, ""));
        assert!(text.starts_with(head) && text.ends_with(tail), "{text}");
    }
    let nan = BoxSpace::<f32>::new([], 0.0, 1.0).describe();
    assert_eq!(
        violation(&nan, &array(&[], &[f32::NAN]), "observation").unwrap(),
        "observation is not in Box(0.0, 1.0, (), float32): it is nan"
    );
    let many = AnySpace::MultiDiscrete(MultiDiscrete::new(&[3, 2]));
    assert_eq!(
        violation(&many, &array(&[2], &[2i64, 2]), "observation").unwrap(),
        "observation is not in MultiDiscrete([3 2]): element [1] is 2, not from 0 to 1"
    );
}

#[test]
fn messages_stay_short_however_large_the_space() {
    let numbers: Vec<f32> = (0..60_000u16).map(f32::from).collect();
    let large = BoxSpace::<f32>::with_bounds([60_000], &numbers, &numbers).describe();
    let keys = (0..5000).map(|i| (Value::from(format!("key {i}").repeat(50)), large.clone())).collect();
    let dict = AnySpace::Dict(keys);
    let text = violation(&dict, &Map::new().into(), "observation").unwrap();
    assert!(text.len() < 500, "{text}");
    let error = BoxSpace::<u8>::from_any(&dict).unwrap_err().to_string();
    assert!(error.len() < 500, "{error}");
    let error = dict.from_value(&Value::None).unwrap_err().to_string();
    assert!(error.len() < 500, "{error}");
}

#[test]
fn two_spaces_that_print_alike_are_told_apart() {
    let all = BoxSpace::<i8>::new([2], i8::MIN, i8::MAX).describe();
    let unbounded = match all.clone() {
        AnySpace::Box(space) => AnySpace::Box(rlay_core::AnyBox {
            low: rlay_core::Bound::Uniform { value: vec![0x80], bounded: false },
            ..space
        }),
        other => other,
    };
    assert_eq!(
        difference(&all, &unbounded).unwrap(),
        "Box(-128, 127, (2,), int8) is not Box(-128, 127, (2,), int8) (low[0] is bounded, and unbounded)"
    );
    let (a, b) = (
        BoxSpace::<f64>::with_bounds([2, 2], &[0.0; 4], &[1.0, 2.0, 3.0, 4.0]).describe(),
        BoxSpace::<f64>::with_bounds([2, 2], &[0.0; 4], &[1.0, 2.0, 9.0, 4.0]).describe(),
    );
    assert!(difference(&a, &b).unwrap().ends_with("(high[1, 0] is 3.0, and 9.0)"));
    let graph = |nodes: u64| AnySpace::Graph { node: Box::new(Discrete::new(nodes).describe()), edge: None };
    assert_eq!(difference(&graph(2), &graph(3)).unwrap(), ".node_space: Discrete(2) is not Discrete(3)");
    let text = |charset: &str| Text::new(3, charset).describe();
    assert!(difference(&text("ab"), &text("ba")).unwrap().contains("in another order"));
}
