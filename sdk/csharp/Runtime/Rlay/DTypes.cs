// The element types of arrays and scalars, and how their numbers are bits.

using System;
using System.Runtime.InteropServices;

namespace Rlay {

/// <summary>The element types of arrays and scalars, numbered as on the wire.</summary>
public enum DType {
    /** <summary>C#'s bool.</summary> */ Bool,
    /** <summary>C#'s sbyte.</summary> */ Int8,
    /** <summary>C#'s short.</summary> */ Int16,
    /** <summary>C#'s int.</summary> */ Int32,
    /** <summary>C#'s long.</summary> */ Int64,
    /** <summary>C#'s byte.</summary> */ UInt8,
    /** <summary>C#'s ushort.</summary> */ UInt16,
    /** <summary>C#'s uint.</summary> */ UInt32,
    /** <summary>C#'s ulong.</summary> */ UInt64,
    /** <summary>Half precision; C# arrays hold its bits as ushort.</summary> */ Float16,
    /** <summary>C#'s float.</summary> */ Float32,
    /** <summary>C#'s double.</summary> */ Float64,
}

/// <summary>What the element types are in C#, and how their numbers are bits.</summary>
internal static class DTypes {
    static readonly int[] Sizes = { 1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8 };

    static readonly Type[] Arrays = {
        typeof(bool[]), typeof(sbyte[]), typeof(short[]), typeof(int[]), typeof(long[]), typeof(byte[]),
        typeof(ushort[]), typeof(uint[]), typeof(ulong[]), typeof(ushort[]), typeof(float[]), typeof(double[]),
    };

    [StructLayout(LayoutKind.Explicit)]
    struct SingleBits {
        [FieldOffset(0)] public float Number;
        [FieldOffset(0)] public uint Bits;
    }

    public static int Size(DType dtype) => Sizes[(int)dtype];

    public static bool IsInteger(DType dtype) => dtype >= DType.Int8 && dtype <= DType.UInt64;

    static bool IsSigned(DType dtype) => dtype >= DType.Int8 && dtype <= DType.Int64;

    public static void CheckByteOrder() {
        if (BitConverter.IsLittleEndian) return;
        throw new RlayException(ErrorCode.Incompatible, "this client runs on little-endian machines alone");
    }

    /// <summary>The dtype of a C# array. By "is" C# takes an sbyte[] for a byte[], so types are compared.</summary>
    public static DType Of(Array elements) {
        if (elements == null) throw new ArgumentNullException(nameof(elements));
        int at = Array.IndexOf(Arrays, elements.GetType());
        if (at < 0) throw new ArgumentException("a " + elements.GetType().Name + " cannot be a NumPy array");
        return (DType)at;
    }

    public static bool Holds(Array elements, DType dtype) => elements.GetType() == Arrays[(int)dtype];

    public static Array NewArray(DType dtype, int count) {
        switch (dtype) {
            case DType.Bool: return new bool[count];
            case DType.Int8: return new sbyte[count];
            case DType.Int16: return new short[count];
            case DType.Int32: return new int[count];
            case DType.Int64: return new long[count];
            case DType.UInt8: return new byte[count];
            case DType.UInt32: return new uint[count];
            case DType.UInt64: return new ulong[count];
            case DType.Float32: return new float[count];
            case DType.Float64: return new double[count];
            default: return new ushort[count];
        }
    }

    /// <summary>How many elements a shape has. An ArgumentException if it is none that an array may have.</summary>
    public static long Count(long[] shape, int elementSize) {
        if (shape == null) throw new ArgumentNullException(nameof(shape));
        if (shape.Length > 64) throw new ArgumentException("a shape of more than 64 dimensions");
        // A dimension of 0 does not make up for others that are too large.
        long size = elementSize;
        bool isEmpty = false;
        foreach (long length in shape) {
            if (length < 0 || (length > 0 && size > long.MaxValue / length)) {
                throw new ArgumentException("a shape of too many elements");
            }
            size *= Math.Max(length, 1);
            isEmpty |= length == 0;
        }
        return isEmpty ? 0 : size / elementSize;
    }

    public static ulong BitsOf(DType dtype, long number) {
        if (dtype == DType.Bool) return number != 0 ? 1u : 0u;
        return dtype >= DType.Float16 ? BitsOf(dtype, (double)number) : (ulong)number & Mask(dtype);
    }

    public static ulong BitsOf(DType dtype, double number) {
        switch (dtype) {
            case DType.Float64: return (ulong)BitConverter.DoubleToInt64Bits(number);
            case DType.Float32: return new SingleBits { Number = (float)number }.Bits;
            case DType.Float16: return ToHalf(number);
            case DType.UInt64: return number >= 9223372036854775808.0 ? (ulong)number : (ulong)(long)number;
            default: return BitsOf(dtype, (long)number);
        }
    }

    public static long ToInt64(DType dtype, ulong bits) {
        if (dtype >= DType.Float16) return (long)ToDouble(dtype, bits);
        int unused = 64 - 8 * Size(dtype);
        return IsSigned(dtype) ? (long)(bits << unused) >> unused : (long)bits;
    }

    public static double ToDouble(DType dtype, ulong bits) {
        switch (dtype) {
            case DType.Float64: return BitConverter.Int64BitsToDouble((long)bits);
            case DType.Float32: return new SingleBits { Bits = (uint)bits }.Number;
            case DType.Float16: return OfHalf((int)bits);
            case DType.UInt64: return bits;
            default: return ToInt64(dtype, bits);
        }
    }

    /// <summary>The smallest or the largest value of an integer dtype.</summary>
    public static ulong Limit(DType dtype, bool isLargest) {
        ulong top = IsSigned(dtype) ? 1ul << (8 * Size(dtype) - 1) : 0;
        return isLargest ? Mask(dtype) ^ top : top;
    }

    static ulong Mask(DType dtype) => ulong.MaxValue >> (64 - 8 * Size(dtype));

    /// <summary>Rounds to half precision: to the nearest, ties to even, as NumPy does.</summary>
    static ulong ToHalf(double number) {
        ulong sign = (ulong)BitConverter.DoubleToInt64Bits(number) >> 63 << 15;
        double size = Math.Abs(number);
        if (double.IsNaN(number)) return sign | 0x7e00;
        if (size >= 65520) return sign | 0x7c00;
        // The exponent says how far apart the numbers lie that half precision has here.
        int exponent = -14;
        while (size >= Math.Pow(2, exponent + 1)) exponent++;
        var steps = (ulong)Math.Round(size * Math.Pow(2, 10 - exponent), MidpointRounding.ToEven);
        return sign | (((ulong)(exponent + 14) << 10) + steps);
    }

    static double OfHalf(int bits) {
        int exponent = bits >> 10 & 31, fraction = bits & 1023;
        double size = exponent == 0 ? fraction * Math.Pow(2, -24) : (fraction + 1024) * Math.Pow(2, exponent - 25);
        if (exponent == 31) size = fraction == 0 ? double.PositiveInfinity : double.NaN;
        return (bits & 0x8000) != 0 ? -size : size;
    }
}

}
