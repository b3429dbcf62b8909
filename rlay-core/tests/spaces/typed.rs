//! Typed spaces: plain Rust elements, the same bytes as the description of the space writes.

use std::fmt::Debug;

use rlay_core::{
    AnySpace, BoxSpace, DType, Dict, Discrete, GraphSpace, Limits, MultiBinary, MultiDiscrete, OneOf, Rng, Sequence,
    Space, Text,
    wire::{Reader, Writer},
};

/// Everything that holds for every space and each of its samples.
fn check<S>(space: &S)
where
    S: Space + Debug + PartialEq,
    S::Element: Debug + PartialEq,
{
    let any = space.describe();
    assert_eq!(S::from_any(&any).unwrap(), *space, "the description describes it");
    assert!(space.is_described_by(&any), "{any}");
    assert!(!space.is_described_by(&Text::new(77, "another").describe()), "{any}");
    assert!(!space.is_described_by(&AnySpace::Tuple(vec![any.clone()])), "{any}");
    let mut bytes = Vec::new();
    Writer(&mut bytes).space(&any);
    assert_eq!(Reader::new(&bytes, 0, &Limits::default()).space().unwrap(), any);
    for seed in 0..50 {
        let x = space.sample(&mut Rng::seeded(seed));
        let again = space.sample(&mut Rng::seeded(seed));
        assert_eq!(x, again, "equal seeds give equal samples");
        assert!(space.contains(&x), "{space:?} does not contain its sample {x:?}");
        let value = space.to_value(&x);
        assert!(any.contains(&value), "{any:?} does not contain {value:?}");
        assert_eq!(space.from_value(&value).unwrap(), x);
        let (mut packed, mut by_value) = (Vec::new(), Vec::new());
        assert_eq!(space.pack(&x, &mut packed), any.is_fixed());
        assert_eq!(any.pack(&value, &mut by_value), any.is_fixed());
        if any.is_fixed() {
            assert_eq!(packed, by_value, "{any:?}: both write the same bytes");
            assert!(packed.len().is_multiple_of(8));
            let mut reader = Reader::new(&packed, 0, &Limits::default());
            assert_eq!(space.unpack(&mut reader).unwrap(), x);
            reader.end().unwrap();
            assert_eq!(any.unpack(&mut Reader::new(&packed, 0, &Limits::default())).unwrap(), value);
            if let Some(slab) = space.slab(&x) {
                assert_eq!(slab, packed, "what is sent in place is the packed form");
            }
            for len in 0..packed.len() {
                assert!(space.unpack(&mut Reader::new(&packed[..len], 0, &Limits::default())).is_err());
            }
        }
    }
}

#[test]
fn boxes_of_every_dtype() {
    check(&BoxSpace::<bool>::new([3], false, true));
    check(&BoxSpace::<i8>::new([3], i8::MIN, i8::MAX));
    check(&BoxSpace::<i16>::new([3], -7, 9));
    check(&BoxSpace::<i32>::new([3], i32::MIN, i32::MAX));
    check(&BoxSpace::<i64>::new([3], i64::MIN, i64::MAX));
    check(&BoxSpace::<u8>::new([2, 2], 0, 255));
    check(&BoxSpace::<u16>::new([3], 1, 2));
    check(&BoxSpace::<u32>::new([3], 5, 5));
    check(&BoxSpace::<u64>::new([3], 0, u64::MAX));
    check(&BoxSpace::<half::f16>::new([3], half::f16::from_f32(-1.0), half::f16::from_f32(1.0)));
    check(&BoxSpace::<f32>::new([3, 2], -1e30, 1e30));
    check(&BoxSpace::<f64>::new([3], f64::MIN, f64::MAX));
}

#[test]
fn boxes_of_every_shape_and_bound() {
    check(&BoxSpace::<f32>::new([], 0.0, 1.0));
    check(&BoxSpace::<f32>::new([0], 0.0, 1.0));
    check(&BoxSpace::<u8>::new([2, 0, 3], 0, 1));
    check(&BoxSpace::<f32, [f32; 4]>::new([4], -1.0, 1.0));
    check(&BoxSpace::<f64, [f64; 6]>::new([2, 3], 0.0, 0.0));
    check(&BoxSpace::<f32>::unbounded([5]));
    check(&BoxSpace::<f64>::unbounded([2, 2]));
    check(&BoxSpace::<f64>::with_bounds([2], &[f64::NEG_INFINITY, 3.0], &[-3.0, f64::INFINITY]));
    check(&BoxSpace::<i32>::with_bounds([2, 2], &[1, 2, 3, 4], &[1, 3, 5, 7]));
}

#[test]
fn integers() {
    check(&Discrete::new(1));
    check(&Discrete::new(3).starting_at(-1));
    check(&Discrete::new(u64::MAX).starting_at(i64::MIN));
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_integer()) {
        check(&Discrete { n: 100, start: 27, dtype });
        check(&MultiDiscrete { dtype, ..MultiDiscrete::new(&[3, 127, 1]) });
    }
    // The bits of 2^63 and beyond.
    check(&Discrete { n: u64::MAX, start: 0, dtype: DType::U64 });
    check(&MultiDiscrete::new(&[]));
    check(&MultiDiscrete::new(&[i64::MAX]));
    check(&MultiDiscrete { shape: vec![2, 2], start: vec![-5, 0, 5, i64::MIN], ..MultiDiscrete::new(&[1, 2, 3, 4]) });
    check(&MultiBinary::new(5));
    check(&MultiBinary { shape: vec![2, 0, 3], n_is_int: false });
}

#[test]
fn text_and_containers() {
    check(&Text::new(10, "abc"));
    check(&Text { min_length: 0, max_length: 4, charset: "ß漢🎮".into() });
    check(&Text { min_length: 3, max_length: 3, charset: "x".into() });
    check(&(Discrete::new(2),));
    check(&(Discrete::new(2), BoxSpace::<f32>::new([3], 0.0, 1.0), MultiBinary::new(3)));
    check(&(Discrete::new(2), Text::new(3, "ab")));
    let two = || (Discrete::new(2), Discrete::new(3));
    check(&(two(), two(), two(), two(), two(), two(), two(), two()));
    let twelve = || (two(), two(), two(), two(), two(), two(), two(), two(), two(), two(), two(), Discrete::new(4));
    check(&twelve());
    check(&Dict::new(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"], twelve()));
    check(&Dict::new(["b", "a"], (Discrete::new(2), BoxSpace::<u8>::new([3], 0, 255))));
    check(&Dict::new(["outer"], (Dict::new(["inner"], (MultiBinary::new(9),)),)));
    check(&OneOf(vec![Discrete::new(3), Discrete::new(4).starting_at(9)]));
    check(&Sequence::new(BoxSpace::<f32>::new([2], 0.0, 1.0)));
    check(&Sequence::new(Sequence::new(Discrete::new(3))));
    check(&GraphSpace::new(BoxSpace::<f32>::new([3], -1.0, 1.0), BoxSpace::<f32>::new([], 0.0, 1.0)));
    check(&GraphSpace::new(BoxSpace::<i64>::new([1], 0, 9), BoxSpace::<i64>::new([2, 2], 0, 9)));
}

#[test]
fn the_element_type_need_not_allocate() {
    let space = BoxSpace::<f32, [f32; 4]>::new([4], -1.0, 1.0);
    let x = [0.0, 0.5, -1.0, 1.0];
    assert_eq!(space.slab(&x).unwrap(), bytemuck::cast_slice::<f32, u8>(&x));
    let wrong = BoxSpace::<f32, [f32; 3]>::new([4], -1.0, 1.0);
    assert!(BoxSpace::<f32, [f32; 3]>::from_any(&space.describe()).is_err(), "three elements cannot hold four");
    let huge = BoxSpace::<f32>::new([1 << 38], 0.0, 1.0);
    assert_eq!(BoxSpace::<f32>::from_any(&huge.describe()).unwrap(), huge, "and no memory is asked for");
    assert!(!wrong.contains(&[0.0; 3]));
    assert!(!wrong.pack(&[0.0; 3], &mut Vec::new()));
    assert!(wrong.slab(&[0.0; 3]).is_none());
}

#[test]
fn a_space_of_another_type_is_named() {
    let spaces: Vec<AnySpace> = vec![
        BoxSpace::<f32>::new([3], 0.0, 1.0).describe(),
        Discrete::new(2).describe(),
        MultiBinary::new(2).describe(),
        MultiDiscrete::new(&[2]).describe(),
        Text::new(2, "a").describe(),
        (Discrete::new(2),).describe(),
        Dict::new(["a"], (Discrete::new(2),)).describe(),
        Sequence::new(Discrete::new(2)).describe(),
        GraphSpace::new(BoxSpace::<f32>::unbounded([1]), BoxSpace::<f32>::unbounded([1])).describe(),
        OneOf(vec![Discrete::new(2)]).describe(),
    ];
    let classes =
        ["Box", "Discrete", "MultiBinary", "MultiDiscrete", "Text", "Tuple", "Dict", "Sequence", "Graph", "OneOf"];
    for (any, class) in spaces.iter().zip(classes) {
        assert_eq!(any.class(), class);
        let fits = [
            BoxSpace::<f32>::from_any(any).is_ok(),
            Discrete::from_any(any).is_ok(),
            MultiBinary::from_any(any).is_ok(),
            MultiDiscrete::from_any(any).is_ok(),
            Text::from_any(any).is_ok(),
            <(Discrete,)>::from_any(any).is_ok(),
            Dict::<(Discrete,)>::from_any(any).is_ok(),
            Sequence::<Discrete>::from_any(any).is_ok(),
            GraphSpace::<f32>::from_any(any).is_ok(),
            OneOf::<Discrete>::from_any(any).is_ok(),
        ];
        assert_eq!(fits.iter().filter(|fits| **fits).count(), 1, "{any:?}: {fits:?}");
        assert!(fits[classes.iter().position(|name| *name == class).unwrap()], "{any:?}");
    }
    let error = <(Discrete, (Discrete, Discrete))>::from_any(
        &(Discrete::new(2), (Discrete::new(2), Text::new(1, "a"))).describe(),
    );
    assert!(
        error.unwrap_err().to_string().starts_with("[1][1]: Discrete was asked for, it is Text(1, 1, charset=a); "),
        "the path of the leaf"
    );
}
