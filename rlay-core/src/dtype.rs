//! The twelve element types of arrays, by NumPy's names.

use bytemuck::{CheckedBitPattern, NoUninit, Pod};
use half::f16;
use serde::{Deserialize, Serialize};

#[cfg(target_endian = "big")]
compile_error!("RLay's packed arrays are little-endian memory; big-endian hosts are not supported yet");

/// The element type of an array or a NumPy scalar. The discriminant is its code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the documentation
#[serde(rename_all = "lowercase")]
pub enum DType {
    Bool = 0,
    I8 = 1,
    I16 = 2,
    I32 = 3,
    I64 = 4,
    U8 = 5,
    U16 = 6,
    U32 = 7,
    U64 = 8,
    F16 = 9,
    F32 = 10,
    F64 = 11,
}

impl DType {
    /// All twelve, in the order of their codes.
    pub const ALL: [Self; 12] = [
        Self::Bool,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::F16,
        Self::F32,
        Self::F64,
    ];

    /// Whether this is an integer type that has `x`. For `uint64`, `x` are the bits of the number.
    pub fn has(self, x: i64) -> bool {
        match self {
            Self::I8 => i8::try_from(x).is_ok(),
            Self::I16 => i16::try_from(x).is_ok(),
            Self::I32 => i32::try_from(x).is_ok(),
            Self::U8 => u8::try_from(x).is_ok(),
            Self::U16 => u16::try_from(x).is_ok(),
            Self::U32 => u32::try_from(x).is_ok(),
            Self::I64 | Self::U64 => true,
            Self::Bool | Self::F16 | Self::F32 | Self::F64 => false,
        }
    }

    /// The type with this code on the wire.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// NumPy's name, such as `float32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::F16 => "float16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// Rust's name, such as `f32`.
    pub(crate) fn rust_name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F16 => "half::f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Whether the type is one of the three float types.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::F32 | Self::F64)
    }

    /// Whether the type is one of the eight integer types.
    pub fn is_integer(self) -> bool {
        self != Self::Bool && !self.is_float()
    }

    /// One little-endian element as a float; integers beyond 2^53 are rounded.
    ///
    /// # Panics
    /// If `bytes` holds less than one element.
    ///
    /// ```
    /// assert_eq!(rlay::DType::I16.read_f64(&[0xfe, 0xff]), -2.0);
    /// ```
    pub fn read_f64(self, bytes: &[u8]) -> f64 {
        match self {
            Self::Bool | Self::U8 => f64::from(bytes[0]),
            Self::I8 => f64::from(bytes[0] as i8),
            Self::F16 => f16::read(bytes).to_f64(),
            Self::F32 => f64::from(f32::read(bytes)),
            Self::F64 => f64::read(bytes),
            _ => self.read_i128(bytes) as f64,
        }
    }

    /// One little-endian element as an integer; floats are truncated. `bytes` holds one element.
    pub(crate) fn read_i128(self, bytes: &[u8]) -> i128 {
        match self {
            Self::Bool | Self::U8 => i128::from(bytes[0]),
            Self::I8 => i128::from(bytes[0] as i8),
            Self::I16 => i128::from(i16::read(bytes)),
            Self::I32 => i128::from(i32::read(bytes)),
            Self::I64 => i128::from(i64::read(bytes)),
            Self::U16 => i128::from(u16::read(bytes)),
            Self::U32 => i128::from(u32::read(bytes)),
            Self::U64 => i128::from(u64::read(bytes)),
            Self::F16 | Self::F32 | Self::F64 => self.read_f64(bytes) as i128,
        }
    }

    /// Appends `x` as one little-endian element, rounded and clamped to what the type holds.
    ///
    /// ```
    /// let mut bytes = Vec::new();
    /// rlay::DType::U8.write_f64(f64::INFINITY, &mut bytes);
    /// assert_eq!(bytes, [255]);
    /// ```
    pub fn write_f64(self, x: f64, out: &mut Vec<u8>) {
        match self {
            Self::F16 => out.extend(f16::from_f64(x).to_le_bytes()),
            Self::F32 => out.extend((x as f32).to_le_bytes()),
            Self::F64 => out.extend(x.to_le_bytes()),
            _ => self.write_i128(x as i128, out),
        }
    }

    /// Appends `x` as one little-endian element, clamped to what the type holds.
    pub(crate) fn write_i128(self, x: i128, out: &mut Vec<u8>) {
        match self {
            Self::Bool => out.push(u8::from(x != 0)),
            Self::I8 => out.extend((x.clamp(i8::MIN.into(), i8::MAX.into()) as i8).to_le_bytes()),
            Self::I16 => out.extend((x.clamp(i16::MIN.into(), i16::MAX.into()) as i16).to_le_bytes()),
            Self::I32 => out.extend((x.clamp(i32::MIN.into(), i32::MAX.into()) as i32).to_le_bytes()),
            Self::I64 => out.extend((x.clamp(i64::MIN.into(), i64::MAX.into()) as i64).to_le_bytes()),
            Self::U8 => out.push(x.clamp(0, u8::MAX.into()) as u8),
            Self::U16 => out.extend((x.clamp(0, u16::MAX.into()) as u16).to_le_bytes()),
            Self::U32 => out.extend((x.clamp(0, u32::MAX.into()) as u32).to_le_bytes()),
            Self::U64 => out.extend((x.clamp(0, u64::MAX.into()) as u64).to_le_bytes()),
            Self::F16 | Self::F32 | Self::F64 => self.write_f64(x as f64, out),
        }
    }
}

/// A Rust type that is one of the twelve [`DType`]s.
pub trait Scalar:
    Copy + PartialEq + PartialOrd + Default + std::fmt::Debug + NoUninit + CheckedBitPattern + Send + Sync + 'static
{
    /// Which one.
    const DTYPE: DType;

    /// Decodes the little-endian `bytes` into the elements `out`. Fails if a `bool` is not 0 or 1.
    ///
    /// # Panics
    /// If `bytes` does not hold exactly `out.len()` elements.
    fn copy_from(bytes: &[u8], out: &mut [Self]) -> bool;

    /// One element.
    #[doc(hidden)]
    fn read(bytes: &[u8]) -> Self {
        let mut out = [Self::default()];
        Self::copy_from(bytes, &mut out);
        out[0]
    }
}

fn copy_pod<T: Pod>(bytes: &[u8], out: &mut [T]) -> bool {
    bytemuck::cast_slice_mut::<T, u8>(out).copy_from_slice(bytes);
    true
}

macro_rules! scalars {
    ($($rust:ty => $dtype:ident),*) => {$(
        impl Scalar for $rust {
            const DTYPE: DType = DType::$dtype;
            fn copy_from(bytes: &[u8], out: &mut [Self]) -> bool {
                copy_pod(bytes, out)
            }
        }
    )*};
}
scalars!(i8 => I8, i16 => I16, i32 => I32, i64 => I64, u8 => U8, u16 => U16, u32 => U32, u64 => U64, f16 => F16, f32 => F32, f64 => F64);

impl Scalar for bool {
    const DTYPE: DType = DType::Bool;
    fn copy_from(bytes: &[u8], out: &mut [Self]) -> bool {
        assert_eq!(bytes.len(), out.len());
        for (x, byte) in out.iter_mut().zip(bytes) {
            *x = *byte == 1;
        }
        bytes.iter().all(|b| *b <= 1)
    }
}
