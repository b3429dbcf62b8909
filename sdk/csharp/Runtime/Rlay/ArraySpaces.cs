// The spaces whose elements are arrays: Box, MultiBinary and MultiDiscrete.

using System;

namespace Rlay {

/// <summary>
/// What Box, MultiBinary and MultiDiscrete have in common: elements are arrays of one dtype and shape.
/// </summary>
public abstract class ArraySpace : EnvSpace {
    internal readonly DType DType;
    internal readonly long[] Shape;
    internal readonly bool BigEndian;
    readonly long count;

    internal ArraySpace(DType dtype, long[] shape, bool bigEndian, int elementSize) {
        DType = dtype;
        Shape = shape;
        BigEndian = bigEndian;
        count = DTypes.Count(shape, elementSize);
        if (count > (1L << 40) / elementSize) throw new ArgumentException("a space of more than 2^40 bytes");
    }

    /// <summary>How many numbers an element has.</summary>
    internal long Count => count;

    internal override bool HasPackedForm => !BigEndian;

    internal override bool Pack(Writer writer, Rows rows) {
        for (int row = 0; row < rows.Count; row++) {
            object element = rows[row];
            var array = element as NdArray;
            var elements = array != null ? array.Elements : element as Array;
            bool fits = array != null ? array.DType == DType && !array.BigEndian && HasShape(array.Shape)
                : elements != null && DTypes.Holds(elements, DType) && elements.LongLength == count;
            if (!fits) return false;
            writer.Elements(elements, DType);
        }
        writer.Align();
        return true;
    }

    internal override void Unpack(Reader reader, Rows rows) {
        int start = reader.At;
        for (int row = 0; row < rows.Count; row++) {
            var array = rows[row] as NdArray;
            if (array == null || array.DType != DType || array.Elements.LongLength != count) {
                reader.Need((ulong)count * (ulong)DTypes.Size(DType));
                rows[row] = array = NdArray.Zeros(DType, Shape);
            }
            reader.Elements(array.Elements, DType);
        }
        reader.Align(start);
    }

    internal bool HasShape(long[] other) {
        bool isSame = other.Length == Shape.Length;
        for (int i = 0; isSame && i < other.Length; i++) isSame = other[i] == Shape[i];
        return isSame;
    }
}

/// <summary>
/// Box: arrays of numbers between bounds. Its elements are <see cref="NdArray"/>; an observation may also be a plain
/// C# array of the dtype, such as <c>float[]</c>, whose elements lie in C order.
/// </summary>
public sealed class BoxSpace : ArraySpace {
    internal readonly Bound Low, High;

    /// <summary>
    /// The same integer bounds for every element: <c>new BoxSpace(0, 255, DType.UInt8, 84, 84, 3)</c>. Without a
    /// shape the arrays have no dimensions.
    /// </summary>
    public BoxSpace(long low, long high, DType dtype, params long[] shape)
        : this(dtype, shape, false, Bound.Of(dtype, low), Bound.Of(dtype, high)) {
        CheckOrder(low, high);
    }

    /// <summary>
    /// The same bounds for every element; infinite ones mean that there is none, and an integer dtype then stores
    /// its own smallest or largest value.
    /// </summary>
    public BoxSpace(double low, double high, DType dtype, params long[] shape)
        : this(dtype, shape, false, Bound.Of(dtype, low), Bound.Of(dtype, high)) {
        CheckOrder(low, high);
    }

    /// <summary>Bounds for each element. Both arrays have the dtype and the shape of the space.</summary>
    public BoxSpace(NdArray low, NdArray high) : this(low.DType, low.Shape, false, Bound.Of(low), Bound.Of(high)) {
        if (high.DType != low.DType || !HasShape(high.Shape)) {
            throw new ArgumentException("the bounds have one dtype and shape");
        }
        for (int i = 0; i < low.Elements.Length; i++) CheckOrder(Bound.At(low, i), Bound.At(high, i));
    }

    internal BoxSpace(DType dtype, long[] shape, bool bigEndian, Bound low, Bound high)
        : base(dtype, shape, bigEndian, DTypes.Size(dtype)) {
        Low = low;
        High = high;
    }

    static void CheckOrder(double low, double high) {
        if (low <= high && low < double.PositiveInfinity && high > double.NegativeInfinity) return;
        throw new ArgumentException("a Box with a low bound of " + low + " and a high bound of " + high);
    }

    internal override void Write(Writer writer) {
        writer.U32(0).DType(DType, BigEndian).Numbers(Shape);
        Low.Write(writer);
        High.Write(writer);
    }
}

/// <summary>One bound of a Box: one element and one flag, or those of each element.</summary>
internal sealed class Bound {
    public readonly byte[] Values;
    public readonly bool[] Bounded;
    public readonly bool IsUniform;

    public Bound(byte[] values, bool[] bounded, bool isUniform) {
        Values = values;
        Bounded = bounded;
        IsUniform = isUniform;
    }

    public static Bound Of(DType dtype, long value) {
        ulong bits = DTypes.BitsOf(dtype, value);
        bool fits = dtype >= DType.Float16
            || (DTypes.ToInt64(dtype, bits) == value && (dtype != DType.UInt64 || value >= 0));
        if (!fits) throw new ArgumentException(dtype + " has no " + value);
        return Uniform(dtype, bits, true);
    }

    public static Bound Of(DType dtype, double value) {
        bool isBounded = !double.IsInfinity(value);
        bool isInteger = DTypes.IsInteger(dtype);
        ulong bits = isInteger && !isBounded ? DTypes.Limit(dtype, value > 0) : DTypes.BitsOf(dtype, value);
        if (isInteger && isBounded && DTypes.ToDouble(dtype, bits) != value) {
            throw new ArgumentException(dtype + " has no " + value);
        }
        return Uniform(dtype, bits, isBounded);
    }

    /// <summary>The number at a place of an array.</summary>
    public static double At(NdArray values, int index) {
        int size = DTypes.Size(values.DType);
        ulong bits = 0;
        for (int i = size - 1; i >= 0; i--) bits = bits << 8 | Buffer.GetByte(values.Elements, index * size + i);
        return DTypes.ToDouble(values.DType, bits);
    }

    /// <summary>Takes the short form where all elements are alike, so that equal spaces are equal bytes.</summary>
    public static Bound Of(NdArray values) {
        int count = values.Elements.Length, size = DTypes.Size(values.DType);
        var bytes = new byte[count * size];
        Buffer.BlockCopy(values.Elements, 0, bytes, 0, bytes.Length);
        var bounded = new bool[count];
        bool isUniform = count > 0;
        for (int i = 0; i < count; i++) {
            ulong bits = Reader.Little(bytes, i * size, size);
            bounded[i] = !double.IsInfinity(At(values, i));
            isUniform &= bits == Reader.Little(bytes, 0, size);
        }
        return isUniform ? Uniform(values.DType, Reader.Little(bytes, 0, size), bounded[0])
            : new Bound(bytes, bounded, false);
    }

    static Bound Uniform(DType dtype, ulong bits, bool isBounded) {
        var values = new byte[DTypes.Size(dtype)];
        for (int i = 0; i < values.Length; i++) values[i] = (byte)(bits >> (8 * i));
        return new Bound(values, new[] { isBounded }, true);
    }

    public void Write(Writer writer) {
        writer.U32(IsUniform ? 0u : 1u).Raw(Values);
        foreach (bool isBounded in Bounded) writer.Bool(isBounded);
    }
}

/// <summary>MultiBinary: arrays of int8 that are 0 or 1. An observation may be an <c>sbyte[]</c>.</summary>
public sealed class MultiBinarySpace : ArraySpace {
    internal readonly bool NIsInt;

    /// <summary>MultiBinary(n), in Python with an int.</summary>
    public MultiBinarySpace(long n) : this(new[] { n }, true) { }
    /// <summary>MultiBinary([…]), in Python with a list: arrays of this shape.</summary>
    public MultiBinarySpace(long[] shape) : this(shape, false) { }

    internal MultiBinarySpace(long[] shape, bool nIsInt) : base(DType.Int8, shape, false, 1) { NIsInt = nIsInt; }

    internal override void Write(Writer writer) => writer.U32(2).Numbers(Shape).Bool(NIsInt);
}

/// <summary>
/// MultiDiscrete: arrays of integers, each from a range of its own. An observation may be a <c>long[]</c>.
/// </summary>
public sealed class MultiDiscreteSpace : ArraySpace {
    internal readonly long[] NVec, Start;

    /// <summary>MultiDiscrete([n, m, …]): one dimension, int64, from 0.</summary>
    public MultiDiscreteSpace(params long[] nvec) : this(nvec, null) { }

    /// <summary>
    /// How many integers each element chooses from, and which is the first (0 if start is null). The shape is that
    /// of one dimension unless given.
    /// </summary>
    public MultiDiscreteSpace(long[] nvec, long[] start, DType dtype = DType.Int64, long[] shape = null)
        : this(Checked(nvec), start ?? new long[nvec.Length], dtype, shape ?? new[] { nvec.LongLength }, false) { }

    static long[] Checked(long[] nvec) => nvec ?? throw new ArgumentNullException(nameof(nvec));

    internal MultiDiscreteSpace(long[] nvec, long[] start, DType dtype, long[] shape, bool bigEndian)
        : base(dtype, shape, bigEndian, 8) {
        bool isWhole = nvec.LongLength == Count && start.LongLength == Count && !Array.Exists(nvec, n => n < 1);
        if (!isWhole || !DTypes.IsInteger(dtype)) {
            throw new ArgumentException("MultiDiscrete has integers, and nvec and start for each of them");
        }
        NVec = nvec;
        Start = start;
    }

    internal override void Write(Writer writer) =>
        writer.U32(3).DType(DType, BigEndian).Numbers(Shape).Numbers(NVec).Numbers(Start);
}

}
