// The RLay client for C#: hosts environments that agents in Python use as Gymnasium environments.
//
//     sealed class Coin : Rlay.Env {
//         readonly System.Random random = new System.Random();
//         public override EnvSpace ObservationSpace => new DiscreteSpace(2);
//         public override EnvSpace ActionSpace => new DiscreteSpace(2);
//         public override ResetResult Reset(Seed seed, object options) => new ResetResult(0);
//         public override StepResult Step(object guess) {
//             int side = random.Next(2);
//             return new StepResult(side, Value.ToInt64(guess) == side ? 1 : 0, terminated: true);
//         }
//     }
//
//     new ServerBackend(make => new Coin(), "tcp://127.0.0.1:5005").Run();
//
// The parts, from top to bottom: errors, values, spaces, environments, sessions and turns, the poll form, backends;
// then, not public, connections, the handshake, frames and bytes, which docs/wire.md specifies.

using System;
using System.Collections;
using System.Collections.Generic;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace Rlay {

/// <summary>Which side caused an error, numbered as on the wire.</summary>
public enum ErrorCode {
    /** <summary>A request that makes no sense here.</summary> */ Usage = 1,
    /** <summary>A step before the first reset.</summary> */ ResetNeeded = 2,
    /** <summary>The structure of the action is not that of the action space.</summary> */ InvalidAction = 3,
    /** <summary>The environment or the other end was closed.</summary> */ Closed = 4,
    /** <summary>Another request is under way, or there is no room for another session.</summary> */ Busy = 5,
    /** <summary>An address that cannot be used.</summary> */ Address = 6,
    /** <summary>Wire number, role, limits or spaces do not fit.</summary> */ Incompatible = 7,
    /** <summary>The peer broke the protocol.</summary> */ Protocol = 8,
    /** <summary>The code of the environment failed.</summary> */ Env = 9,
    /** <summary>The connection was lost.</summary> */ ConnectionLost = 10,
    /** <summary>Something took too long.</summary> */ Timeout = 11,
    /** <summary>Another program listens at this address.</summary> */ AddressInUse = 12,
    /** <summary>A token is missing or wrong, at either end.</summary> */ Unauthorized = 13,
}

/// <summary>
/// What this library throws. An environment may throw it, too: the agent then gets an error of the same code in
/// place of <see cref="ErrorCode.Env"/>.
/// </summary>
public sealed class RlayException : Exception {
    /// <summary>An error of this code.</summary>
    public RlayException(ErrorCode code, string message) : base(message) { Code = code; }
    /// <summary>Which side caused it.</summary>
    public ErrorCode Code { get; }
}

// -------------------------------------------------------------------------------------------------------------- values

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

/// <summary>
/// Helpers for values. Python's values arrive as, and are sent as: None <c>null</c>, bool <c>bool</c>, int
/// <c>long</c> or, beyond 64 bits, <c>BigInteger</c>, float <c>double</c>, str <c>string</c>, bytes <c>byte[]</c>,
/// list <c>List&lt;object&gt;</c>, tuple <see cref="PyTuple"/>, dict <see cref="Dict"/>, NumPy array
/// <see cref="NdArray"/>, NumPy scalar <see cref="Scalar"/>, GraphInstance <see cref="Graph"/>; what nothing else
/// can hold, <see cref="Opaque"/>. The smaller integer types of C# and <c>float</c> may be sent, too, and arrive
/// in Python as int and float; any other C# array of numbers arrives as a NumPy array of one dimension.
/// </summary>
public static class Value {
    static readonly object[] Small = new object[256];

    static Value() {
        for (int i = 0; i < Small.Length; i++) Small[i] = (long)i;
    }

    /// <summary>
    /// The integer in a value that is an int or a NumPy integer: the action of a Discrete space comes as either.
    /// Anything else is an error of code InvalidAction.
    /// </summary>
    public static long ToInt64(object value) {
        if (TryInt64(value, out long number)) return number;
        var scalar = value as Scalar;
        if (scalar != null && DTypes.IsInteger(scalar.DType)) return scalar.ToInt64();
        throw new RlayException(ErrorCode.InvalidAction, "an integer, not " + NameOf(value));
    }

    /// <summary>The number in a value that is a float, an int or a NumPy number; else an error.</summary>
    public static double ToDouble(object value) {
        if (value is double) return (double)value;
        if (value is float) return (float)value;
        var scalar = value as Scalar;
        return scalar != null ? scalar.ToDouble() : ToInt64(value);
    }

    /// <summary>Whether this is an integer of C# that fits into a long; bool is none.</summary>
    internal static bool TryInt64(object value, out long number) {
        bool isInteger = value is long || value is int || value is byte || value is short || value is uint
            || value is sbyte || value is ushort || (value is ulong && (ulong)value <= long.MaxValue);
        number = value is long ? (long)value : isInteger ? Convert.ToInt64(value) : 0;
        return isInteger;
    }

    /// <summary>The int as an object. Small ones are made once, to leave an engine's garbage collector alone.</summary>
    internal static object Boxed(long number) => number >= 0 && number < Small.Length ? Small[number] : number;

    internal static string NameOf(object value) => value == null ? "None" : value.GetType().Name;
}

/// <summary>A NumPy array: a C# array of its elements in C order (the last index runs fastest), and a shape.</summary>
public sealed class NdArray {
    /// <summary>
    /// An array of these elements, which are not copied. Without a shape it has one dimension. A <c>ushort[]</c>
    /// is of dtype uint16. Throws ArgumentException if the shape does not hold so many elements.
    /// </summary>
    public NdArray(Array elements, params long[] shape)
        : this(DTypes.Of(elements), elements, shape.Length > 0 ? shape : new[] { elements.LongLength }) { }

    /// <summary>
    /// The same of any dtype and shape; <c>new long[0]</c> is the shape of an array without dimensions.
    /// </summary>
    public NdArray(DType dtype, Array elements, long[] shape, bool bigEndian = false) {
        if (!DTypes.Holds(elements, dtype)) throw new ArgumentException("the elements are not of " + dtype);
        if (bigEndian && DTypes.Size(dtype) == 1) throw new ArgumentException("one byte has no order");
        if (DTypes.Count(shape, 1) != elements.LongLength) {
            throw new ArgumentException("the shape does not hold " + elements.LongLength + " elements");
        }
        DType = dtype;
        Elements = elements;
        Shape = shape;
        BigEndian = bigEndian;
    }

    /// <summary>An array of zeros; without a shape it has no dimensions and one element.</summary>
    public static NdArray Zeros(DType dtype, params long[] shape) =>
        new NdArray(dtype, DTypes.NewArray(dtype, checked((int)DTypes.Count(shape, 1))), shape);

    /// <summary>The type of the elements.</summary>
    public DType DType { get; }

    /// <summary>
    /// The elements: a <c>float[]</c>, <c>byte[]</c> and so on; of float16, their bits as <c>ushort[]</c>.
    /// </summary>
    public Array Elements { get; }
    /// <summary>The length of each dimension.</summary>
    public long[] Shape { get; }
    /// <summary>Whether Python's array is big-endian, such as <c>&gt;f4</c>. The elements here are not.</summary>
    public bool BigEndian { get; }
    /// <summary>The elements as an array of this type; an InvalidCastException if they are of another.</summary>
    public T[] As<T>() => (T[])(object)Elements;
}

/// <summary>A NumPy scalar, such as <c>np.float32(1)</c>.</summary>
public sealed class Scalar {
    internal ulong Bits;

    /// <summary>The scalar of this dtype and value; an integer loses the bits that the dtype does not have.</summary>
    public Scalar(DType dtype, long value) : this(dtype, DTypes.BitsOf(dtype, value), false) { }
    /// <summary>The same of a float; for integer dtypes it is cut toward zero.</summary>
    public Scalar(DType dtype, double value) : this(dtype, DTypes.BitsOf(dtype, value), false) { }

    internal Scalar(DType dtype, ulong bits, bool bigEndian) {
        DType = dtype;
        Bits = bits;
        BigEndian = bigEndian;
    }

    /// <summary>Its type.</summary>
    public DType DType { get; }
    /// <summary>Whether Python's scalar is big-endian.</summary>
    public bool BigEndian { get; }
    /// <summary>The value as a long: the bits of a uint64; a float is cut toward zero.</summary>
    public long ToInt64() => DTypes.ToInt64(DType, Bits);
    /// <summary>The value as a double.</summary>
    public double ToDouble() => DTypes.ToDouble(DType, Bits);
}

/// <summary>Python's tuple.</summary>
public sealed class PyTuple : IEnumerable<object> {
    internal readonly object[] Items;

    /// <summary>A tuple of these items.</summary>
    public PyTuple(params object[] items) { Items = items; }
    /// <summary>How many items there are.</summary>
    public int Count => Items.Length;

    /// <summary>One of the items. It can be replaced, so that an engine can use a tuple again.</summary>
    public object this[int index] {
        get { return Items[index]; }
        set { Items[index] = value; }
    }

    /// <summary>All items, in order.</summary>
    public IEnumerator<object> GetEnumerator() => ((IEnumerable<object>)Items).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => Items.GetEnumerator();
}

/// <summary>
/// Python's dict: keeps the order in which its keys were added. Meant for the few keys of an info or an
/// observation; finding a key takes time by their number. <c>new Dict { { "level", 3 } }</c> makes one.
/// </summary>
public sealed class Dict : IEnumerable<KeyValuePair<object, object>> {
    readonly List<object> keys = new List<object>();
    readonly List<object> values = new List<object>();

    /// <summary>How many keys there are.</summary>
    public int Count => keys.Count;

    /// <summary>The value of a key; null if there is none. To set it adds or replaces it.</summary>
    public object this[object key] {
        get {
            int at = Find(key);
            return at < 0 ? null : values[at];
        }
        set {
            int at = Find(key);
            if (at < 0) Append(key, value);
            else values[at] = value;
        }
    }

    /// <summary>Adds a key, usually a string; one that is there already is an ArgumentException.</summary>
    public void Add(object key, object value) {
        if (Find(key) >= 0) throw new ArgumentException("the key " + key + " is there already");
        Append(key, value);
    }

    /// <summary>Whether there is such a key.</summary>
    public bool ContainsKey(object key) => Find(key) >= 0;
    /// <summary>The key at a place, counted from 0.</summary>
    public object KeyAt(int index) => keys[index];
    /// <summary>The value at a place, counted from 0.</summary>
    public object ValueAt(int index) => values[index];

    /// <summary>All keys and values, in order.</summary>
    public IEnumerator<KeyValuePair<object, object>> GetEnumerator() {
        for (int i = 0; i < keys.Count; i++) yield return new KeyValuePair<object, object>(keys[i], values[i]);
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Adds a key without looking whether it is there: many that a peer sends would take too long.</summary>
    internal void Append(object key, object value) {
        keys.Add(key);
        values.Add(value);
    }

    internal void SetAt(int index, object value) => values[index] = value;

    int Find(object key) {
        for (int i = 0; i < keys.Count; i++) {
            if (AreEqual(key, keys[i])) return i;
        }
        return -1;
    }

    /// <summary>Whether two keys are one. An int and a long of one value are.</summary>
    internal static bool AreEqual(object a, object b) {
        var text = a as string;
        if (text != null) return text == b as string;
        return Value.TryInt64(a, out long m) && Value.TryInt64(b, out long n) ? m == n : Equals(a, b);
    }
}

/// <summary>Gymnasium's GraphInstance.</summary>
public sealed class Graph {
    /// <summary>A batch of nodes, a batch of edges or null, and an array of links or null.</summary>
    public Graph(object nodes, object edges, object edgeLinks) {
        Nodes = nodes;
        Edges = edges;
        EdgeLinks = edgeLinks;
    }

    /// <summary>The nodes.</summary>
    public object Nodes { get; }
    /// <summary>The edges, or null.</summary>
    public object Edges { get; }
    /// <summary>From which node to which each edge leads, an array of shape (edges, 2), or null.</summary>
    public object EdgeLinks { get; }
}

/// <summary>What no other type can hold, to be shown to people. Only infos, metadata and details may have it.</summary>
public sealed class Opaque {
    /// <summary>An object of a type of this name, and what it looks like.</summary>
    public Opaque(string typeName, string repr) {
        TypeName = typeName;
        Repr = repr;
    }

    /// <summary>The name of its type.</summary>
    public string TypeName { get; }
    /// <summary>What it looks like.</summary>
    public string Repr { get; }
}

/// <summary>Gymnasium's seed: an integer of any size that is not negative.</summary>
public sealed class Seed {
    /// <summary>The seed of this number.</summary>
    public Seed(BigInteger number) { Number = number; }
    /// <summary>The whole number.</summary>
    public BigInteger Number { get; }
    /// <summary>Its low 64 bits, which are enough for most generators.</summary>
    public ulong Low64 => (ulong)(Number & ulong.MaxValue);
}

// -------------------------------------------------------------------------------------------------------------- spaces

/// <summary>
/// A space of Gymnasium. The classes have the names of Gymnasium's with <c>Space</c> behind them, because C# and
/// engines have a Tuple, Text and Space of their own.
/// </summary>
public abstract class EnvSpace {
    internal EnvSpace() { }

    /// <summary>Whether elements can travel packed: nothing in the space varies in size.</summary>
    internal virtual bool HasPackedForm => false;

    internal abstract void Write(Writer writer);

    /// <summary>
    /// Writes the elements at the current place of all rows; false, with bytes to drop, if one does not fit.
    /// </summary>
    internal virtual bool Pack(Writer writer, Rows rows) => false;

    /// <summary>Reads the elements of all rows. What an earlier call has left in the rows is filled anew.</summary>
    internal virtual void Unpack(Reader reader, Rows rows) {
        throw Reader.Malformed("packed bytes for a space that has no packed form");
    }

    internal static bool ArePacked(IList<EnvSpace> spaces) {
        for (int i = 0; i < spaces.Count; i++) {
            if (!spaces[i].HasPackedForm) return false;
        }
        return true;
    }
}

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

    bool HasShape(long[] other) {
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
        : this(dtype, shape, false, Bound.Of(dtype, low), Bound.Of(dtype, high)) { }

    /// <summary>
    /// The same bounds for every element; infinite ones mean that there is none, and an integer dtype then stores
    /// its own smallest or largest value.
    /// </summary>
    public BoxSpace(double low, double high, DType dtype, params long[] shape)
        : this(dtype, shape, false, Bound.Of(dtype, low), Bound.Of(dtype, high)) { }

    /// <summary>Bounds for each element. Both arrays have the dtype and the shape of the space.</summary>
    public BoxSpace(NdArray low, NdArray high) : this(low.DType, low.Shape, false, Bound.Of(low), Bound.Of(high)) {
        if (high.DType != low.DType || high.Elements.Length != low.Elements.Length) {
            throw new ArgumentException("the bounds have one dtype and shape");
        }
    }

    internal BoxSpace(DType dtype, long[] shape, bool bigEndian, Bound low, Bound high)
        : base(dtype, shape, bigEndian, DTypes.Size(dtype)) {
        Low = low;
        High = high;
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

    public static Bound Of(DType dtype, long value) => Uniform(dtype, DTypes.BitsOf(dtype, value), true);

    public static Bound Of(DType dtype, double value) {
        bool isBounded = !double.IsInfinity(value);
        bool isLimit = !isBounded && DTypes.IsInteger(dtype);
        return Uniform(dtype, isLimit ? DTypes.Limit(dtype, value > 0) : DTypes.BitsOf(dtype, value), isBounded);
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
            bounded[i] = !double.IsInfinity(DTypes.ToDouble(values.DType, bits));
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

/// <summary>
/// Discrete: n integers from start on. An element is an int or a <see cref="Scalar"/> of the dtype;
/// <see cref="Value.ToInt64"/> takes both.
/// </summary>
public sealed class DiscreteSpace : EnvSpace {
    internal readonly DType DType;
    internal readonly ulong N;
    internal readonly long Start;

    /// <summary>The integers start, start + 1, … start + n - 1. The dtype is one of the integers.</summary>
    public DiscreteSpace(long n, long start = 0, DType dtype = DType.Int64)
        : this(dtype, (ulong)Math.Max(n, 0), start) { }

    internal DiscreteSpace(DType dtype, ulong n, long start) {
        if (n == 0 || !DTypes.IsInteger(dtype)) throw new ArgumentException("Discrete has at least one integer");
        N = n;
        Start = start;
        DType = dtype;
    }

    internal override bool HasPackedForm => true;

    internal override void Write(Writer writer) => writer.U32(1).DType(DType, false).U64(N).I64(Start);

    internal override bool Pack(Writer writer, Rows rows) {
        for (int row = 0; row < rows.Count; row++) {
            var scalar = rows[row] as Scalar;
            bool isScalar = scalar != null && scalar.DType == DType && !scalar.BigEndian;
            if (!Value.TryInt64(rows[row], out long number) && !isScalar) return false;
            writer.I64(isScalar ? scalar.ToInt64() : number);
        }
        for (int row = 0; row < rows.Count; row++) writer.Bool(rows[row] is Scalar);
        writer.Align();
        return true;
    }

    internal override void Unpack(Reader reader, Rows rows) {
        int numbers = reader.At;
        reader.Skip(8 * (ulong)rows.Count);
        int marks = reader.At;
        for (int row = 0; row < rows.Count; row++) {
            long number = (long)Reader.Little(reader.Data, numbers + 8 * row, 8);
            if (!reader.Bool()) {
                rows[row] = Value.Boxed(number);
                continue;
            }
            ulong bits = DTypes.BitsOf(DType, number);
            if (DTypes.ToInt64(DType, bits) != number) throw Reader.Malformed("a number that the dtype does not have");
            var scalar = rows[row] as Scalar;
            if (scalar?.DType == DType) scalar.Bits = bits;
            else rows[row] = new Scalar(DType, bits, false);
        }
        reader.Align(marks);
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
        : this(nvec, start ?? new long[nvec.Length], dtype, shape ?? new[] { nvec.LongLength }, false) { }

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

/// <summary>Text: strings of some characters. Lengths count code points.</summary>
public sealed class TextSpace : EnvSpace {
    internal readonly ulong MinLength, MaxLength;
    internal readonly string Charset;

    /// <summary>Gymnasium's characters unless others are named: 0 to 9, A to Z, a to z.</summary>
    public const string Alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    /// <summary>Strings of this length at most, and of these characters.</summary>
    public TextSpace(long maxLength, long minLength = 1, string charset = Alphanumeric)
        : this(charset, (ulong)minLength, (ulong)maxLength) { }

    internal TextSpace(string charset, ulong minLength, ulong maxLength) {
        if (minLength > maxLength) throw new ArgumentException("the smallest length is above the largest");
        MaxLength = maxLength;
        MinLength = minLength;
        Charset = charset;
    }

    internal override void Write(Writer writer) => writer.U32(4).U64(MinLength).U64(MaxLength).Str(Charset);
}

/// <summary>Tuple: an element of each of several spaces, as a <see cref="PyTuple"/>.</summary>
public sealed class TupleSpace : EnvSpace {
    internal readonly EnvSpace[] Spaces;

    /// <summary>A tuple of these spaces.</summary>
    public TupleSpace(params EnvSpace[] spaces) { Spaces = spaces; }

    internal override bool HasPackedForm => ArePacked(Spaces);

    internal override void Write(Writer writer) => writer.U32(5).Spaces(Spaces);

    internal override bool Pack(Writer writer, Rows rows) {
        for (int row = 0; row < rows.Count; row++) {
            if ((rows[row] as PyTuple)?.Count != Spaces.Length) return false;
        }
        return rows.PackMembers(writer, Spaces);
    }

    internal override void Unpack(Reader reader, Rows rows) {
        for (int row = 0; row < rows.Count; row++) {
            if ((rows[row] as PyTuple)?.Count != Spaces.Length) rows[row] = new PyTuple(new object[Spaces.Length]);
        }
        rows.UnpackMembers(reader, Spaces);
    }
}

/// <summary>
/// Dict: an element of each of several named spaces, as a <see cref="Dict"/> with the keys in the same order.
/// <c>new DictSpace { { "speed", new BoxSpace(0, 1, DType.Float32, 1) } }</c> makes one.
/// </summary>
public sealed class DictSpace : EnvSpace, IEnumerable<KeyValuePair<object, EnvSpace>> {
    readonly List<object> keys = new List<object>();
    readonly List<EnvSpace> spaces = new List<EnvSpace>();

    /// <summary>Adds a space; keys keep the order in which they are added.</summary>
    public void Add(object key, EnvSpace space) {
        keys.Add(key);
        spaces.Add(space);
    }

    /// <summary>All keys and spaces, in order.</summary>
    public IEnumerator<KeyValuePair<object, EnvSpace>> GetEnumerator() {
        for (int i = 0; i < keys.Count; i++) yield return new KeyValuePair<object, EnvSpace>(keys[i], spaces[i]);
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    internal override bool HasPackedForm => ArePacked(spaces);

    internal override void Write(Writer writer) {
        writer.U32(6).U64((ulong)keys.Count);
        for (int i = 0; i < keys.Count; i++) writer.Key(keys[i]).Space(spaces[i]);
    }

    internal override bool Pack(Writer writer, Rows rows) {
        for (int row = 0; row < rows.Count; row++) {
            var dict = rows[row] as Dict;
            if (dict?.Count != keys.Count) return false;
            for (int i = 0; i < keys.Count; i++) {
                if (!Dict.AreEqual(keys[i], dict.KeyAt(i))) return false;
            }
        }
        return rows.PackMembers(writer, spaces);
    }

    internal override void Unpack(Reader reader, Rows rows) {
        for (int row = 0; row < rows.Count; row++) {
            if ((rows[row] as Dict)?.Count == keys.Count) continue;
            var dict = new Dict();
            foreach (object key in keys) dict.Append(key, null);
            rows[row] = dict;
        }
        rows.UnpackMembers(reader, spaces);
    }
}

/// <summary>
/// Sequence: any number of elements of one space, as a <see cref="PyTuple"/>; if stacked, as their batch: for most
/// spaces one array with one dimension more in front.
/// </summary>
public sealed class SequenceSpace : EnvSpace {
    internal readonly EnvSpace Space;
    internal readonly bool Stack;

    /// <summary>Sequences of elements of this space.</summary>
    public SequenceSpace(EnvSpace space, bool stack = false) {
        Space = space;
        Stack = stack;
    }

    internal override void Write(Writer writer) => writer.U32(7).Bool(Stack).Space(Space);
}

/// <summary>Graph: see the value <see cref="Graph"/>.</summary>
public sealed class GraphSpace : EnvSpace {
    internal readonly EnvSpace Node, Edge;

    /// <summary>
    /// Graphs with nodes of one space, and edges of another or, if that is null, edges that carry nothing.
    /// </summary>
    public GraphSpace(EnvSpace node, EnvSpace edge) {
        Node = node;
        Edge = edge;
    }

    internal override void Write(Writer writer) {
        writer.U32(8).Space(Node).Bool(Edge != null);
        if (Edge != null) writer.Space(Edge);
    }
}

/// <summary>
/// OneOf: a <see cref="PyTuple"/> of the index of one of several spaces, a Scalar of int64, and an element of it.
/// </summary>
public sealed class OneOfSpace : EnvSpace {
    internal readonly EnvSpace[] Spaces;

    /// <summary>An element of one of these spaces, of which there is at least one.</summary>
    public OneOfSpace(params EnvSpace[] spaces) {
        if (spaces.Length == 0) throw new ArgumentException("OneOf has at least one space");
        Spaces = spaces;
    }

    internal override void Write(Writer writer) => writer.U32(9).Spaces(Spaces);
}

// -------------------------------------------------------------------------------------------------------- environments

/// <summary>What a reset gives.</summary>
public struct ResetResult {
    /// <summary>The first observation of the episode.</summary>
    public readonly object Observation;
    /// <summary>Anything else for the agent's user; null is an empty Dict.</summary>
    public readonly Dict Info;

    /// <summary>A result of a reset.</summary>
    public ResetResult(object observation, Dict info = null) {
        Observation = observation;
        Info = info;
    }
}

/// <summary>What a step gives, in Gymnasium's words.</summary>
public struct StepResult {
    /// <summary>The observation after the step.</summary>
    public readonly object Observation;
    /// <summary>The reward.</summary>
    public readonly double Reward;
    /// <summary>Whether the episode has ended by its own rules.</summary>
    public readonly bool Terminated;
    /// <summary>Whether the episode was cut short, as by a limit of time.</summary>
    public readonly bool Truncated;
    /// <summary>Anything else for the agent's user; null is an empty Dict.</summary>
    public readonly Dict Info;

    /// <summary>A result of a step.</summary>
    public StepResult(
        object observation, double reward, bool terminated = false, bool truncated = false, Dict info = null) {
        Observation = observation;
        Reward = reward;
        Terminated = terminated;
        Truncated = truncated;
        Info = info;
    }
}

/// <summary>
/// An environment, as Gymnasium's Env. All calls come one after another on one thread. What an environment throws
/// is raised at the agent as rlay.EnvError, with its type, message and stack trace, and the session goes on.
/// </summary>
public abstract class Env {
    /// <summary>The space of observations. An observation outside it arrives all the same.</summary>
    public abstract EnvSpace ObservationSpace { get; }
    /// <summary>The space of actions.</summary>
    public abstract EnvSpace ActionSpace { get; }
    /// <summary>Starts an episode. Without a seed (null) the random generator goes on as it is.</summary>
    public abstract ResetResult Reset(Seed seed, object options);

    /// <summary>
    /// Takes an action, a value as <see cref="Value"/> says. The next step fills the same objects with another
    /// action: copy what you want to keep. The objects that are returned may be used again, too.
    /// </summary>
    public abstract StepResult Step(object action);

    /// <summary>Gymnasium's metadata. An agent may ask for the modes listed in "render_modes" alone.</summary>
    public virtual Dict Metadata => new Dict();
    /// <summary>"reward_threshold", "nondeterministic", "max_episode_steps", as far as they are known.</summary>
    public virtual Dict Details => new Dict();

    /// <summary>
    /// A frame: of rgb_array an <see cref="NdArray"/> of uint8 of shape (height, width, 3), of ansi a string.
    /// </summary>
    public virtual object Render() {
        throw new RlayException(ErrorCode.Usage, "this environment does not render");
    }

    /// <summary>Closes the environment; called once, at the end of the session.</summary>
    public virtual void Close() { }
}

/// <summary>What an environment is to the agent: its spaces and the rest of Gymnasium's description.</summary>
public sealed class Spec {
    internal readonly EnvSpace ObservationSpace, ActionSpace;
    internal readonly Dict Metadata, Details;

    /// <summary>A description. Metadata and details may be null.</summary>
    public Spec(EnvSpace observationSpace, EnvSpace actionSpace, Dict metadata = null, Dict details = null) {
        if (observationSpace == null || actionSpace == null) throw new ArgumentException("there are two spaces");
        ObservationSpace = observationSpace;
        ActionSpace = actionSpace;
        Metadata = metadata ?? new Dict();
        Details = details ?? new Dict();
    }

    /// <summary>The description of an environment.</summary>
    public Spec(Env env) : this(env.ObservationSpace, env.ActionSpace, env.Metadata, env.Details) { }
}

/// <summary>What the agent wants made.</summary>
public sealed class Make {
    internal uint Slots;
    internal byte Autoreset;

    /// <summary>Which environment, or null.</summary>
    public string EnvId { get; internal set; }
    /// <summary>Keyword arguments: only those that <see cref="Options.AllowedKwargs"/> lists.</summary>
    public Dict Kwargs { get; internal set; }
    /// <summary>The render mode, or null.</summary>
    public string RenderMode { get; internal set; }
}

/// <summary>What backends, the poll form and sessions can be told.</summary>
public sealed class Options {
    /// <summary>
    /// A secret that both ends know, of at least eight visible characters; null for none. It is never sent.
    /// </summary>
    public string Token { get; set; }
    /// <summary>How many sessions at a time, each with an environment and a thread of its own.</summary>
    public int MaxSessions { get; set; } = 1;
    /// <summary>The longest frame that is accepted, in bytes, from 65536 to 2^29.</summary>
    public int MaxFrame { get; set; } = 64 << 20;

    /// <summary>
    /// How long a session whose connection was lost is kept. Null: 30 s, and a dialer gives up at once if nothing
    /// listens any more.
    /// </summary>
    public TimeSpan? ReconnectTimeout { get; set; }

    /// <summary>The names of keyword arguments that agents may pass; none unless listed.</summary>
    public ICollection<string> AllowedKwargs { get; set; } = new string[0];
    /// <summary>Takes each line of the log, on any thread; the standard error output unless set.</summary>
    public Action<string> Log { get; set; } = Console.Error.WriteLine;
    /// <summary>The address that a program dials which an agent has launched (RLAY_ADDRESS), else null.</summary>
    public static string LaunchedAddress => FromVariable("RLAY_ADDRESS");
    /// <summary>The token of a program that an agent has launched (RLAY_TOKEN), else null.</summary>
    public static string LaunchedToken => FromVariable("RLAY_TOKEN");

    static string FromVariable(string name) {
        string text = Environment.GetEnvironmentVariable(name);
        return string.IsNullOrEmpty(text) ? null : text;
    }

    internal ulong FrameLimit => (ulong)Math.Min(Math.Max(MaxFrame, Handshake.FrameLimit), 1 << 29);

    internal long ReconnectMilliseconds => (long)(ReconnectTimeout ?? TimeSpan.FromSeconds(30)).TotalMilliseconds;

    /// <summary>Logs one line: short, and without characters of a peer that act on a terminal.</summary>
    internal void Say(string text) {
        var line = new StringBuilder("rlay: ");
        for (int i = 0; i < Math.Min(text.Length, 500); i++) {
            char c = text[i];
            line.Append(char.IsControl(c) || c == '\u2028' || c == '\u2029' ? ' ' : c);
        }
        Log?.Invoke(line.ToString());
    }

    internal void Check() {
        int visible = 0;
        foreach (char c in Token ?? "") {
            if (!char.IsWhiteSpace(c) && !char.IsControl(c) && !char.IsLowSurrogate(c)) visible++;
        }
        if (Token != null && visible < 8) {
            throw new RlayException(ErrorCode.Usage, "the token has less than eight visible characters");
        }
        if (MaxSessions < 1) throw new RlayException(ErrorCode.Usage, "there is at least one session");
    }
}

// -------------------------------------------------------------------------------------------------- sessions and turns

/// <summary>What an agent asks for.</summary>
public enum TurnKind {
    /** <summary>To make an environment: Turn.Make. The poll form answers it by itself.</summary> */ Make,
    /** <summary>To start an episode: Turn.Seed, Turn.Options.</summary> */ Reset,
    /** <summary>To take an action: Turn.Action.</summary> */ Step,
    /** <summary>To draw a frame.</summary> */ Render,
    /** <summary>To close the environment, or the agent is gone: Turn.Reason. Needs no answer.</summary> */ Close,
}

/// <summary>
/// One request of an agent. Answer it once, by the method for its kind or by Fail; an answer to an agent that is
/// gone is dropped. Replies throw if what they are given cannot be sent: then call Fail. A session has one such
/// object and uses it for every turn.
/// </summary>
public sealed class Turn {
    readonly EnvSession session;

    internal Turn(EnvSession session) { this.session = session; }

    /// <summary>What the agent asks for.</summary>
    public TurnKind Kind { get; internal set; }
    /// <summary>Of Make: which environment.</summary>
    public Make Make { get; internal set; }
    /// <summary>Of Reset: Gymnasium's seed, or null.</summary>
    public Seed Seed { get; internal set; }
    /// <summary>Of Reset: Gymnasium's options, usually null or a <see cref="Dict"/>.</summary>
    public object Options { get; internal set; }
    /// <summary>Of Step: the action. The next step fills the same objects anew.</summary>
    public object Action { get; internal set; }
    /// <summary>Of Close: why, for people.</summary>
    public string Reason { get; internal set; }

    /// <summary>
    /// Answers Make. Throws if the metadata's "render_modes" do not have the mode that was asked for.
    /// </summary>
    public void Reply(Spec spec) => session.AnswerMake(spec);

    /// <summary>Answers Reset.</summary>
    public void Reply(ResetResult result) =>
        session.AnswerRow(TurnKind.Reset, new StepResult(result.Observation, 0, false, false, result.Info));

    /// <summary>Answers Step.</summary>
    public void Reply(StepResult result) => session.AnswerRow(TurnKind.Step, result);
    /// <summary>Answers Render.</summary>
    public void ReplyFrame(object frame) => session.AnswerFrame(frame);
    /// <summary>Answers Close, as soon as the environment is closed. To ask for the next turn does the same.</summary>
    public void ReplyClosed() => session.AnswerClosed();

    /// <summary>
    /// Answers any turn with an error: the agent's call raises it, with the type, message and stack trace, and the
    /// session goes on.
    /// </summary>
    public void Fail(Exception error) {
        var known = error as RlayException;
        if (known != null) session.AnswerFailure(known.Code, "", known.Message, "");
        else Fail(error.GetType().FullName, error.Message, error.ToString());
    }

    /// <summary>The same without an exception.</summary>
    public void Fail(string errorType, string message, string trace = "") =>
        session.AnswerFailure(ErrorCode.Env, errorType, message, trace);
}

/// <summary>
/// One session without sockets, clocks or threads: bytes in, turns out; answers in, bytes out. For programs that dial
/// with a socket of their own:
/// <code>
/// session.Connected();                          // after each connect
/// session.Receive(bytes, 0, count);             // what the socket has brought
/// Turn turn = session.NextTurn();               // null: nothing to do yet
/// session.Output, session.Sent(count)           // what is to be sent, also after the session is over
/// session.ConnectionLost("why");                // then dial again while CanResume, or GiveUp("why")
/// </code>
/// </summary>
public sealed class EnvSession {
    enum State { NoEnv, Making, Open, Closing, Closed }

    /// <summary>
    /// Output beyond which no more requests are taken: an agent that does not read gets no more work done.
    /// </summary>
    const int UnsentLimit = 1 << 16;

    static readonly Dict NoInfo = new Dict();
    static readonly ArraySegment<byte> Nothing = new ArraySegment<byte>(new byte[0]);

    readonly Options options;
    readonly Turn turn;
    readonly Reader reader = new Reader();
    readonly Outbox outbox = new Outbox();
    readonly Rows actions = new Rows(1), observations = new Rows(1);
    readonly Message message = new Message();
    FrameReader inbox = new FrameReader();
    DialerHandshake handshake;
    State state;
    Spec spec;
    string renderMode;
    byte[] ticket;
    ulong request, peerAcked, frameLimit;
    bool isReady, isOwed, isCloseDue;

    /// <summary>A session that will dial.</summary>
    public EnvSession(Options options) {
        options.Check();
        this.options = options;
        turn = new Turn(this);
        IsSuspended = true;
    }

    /// <summary>A session whose handshake a listener has done. Without a ticket it ends with its connection.</summary>
    internal EnvSession(Options options, ulong frameLimit, byte[] ticket) : this(options) {
        Admit(frameLimit, ticket);
    }

    void Admit(ulong limit, byte[] newTicket) {
        IsAdmitted = true;
        frameLimit = limit;
        ticket = newTicket;
        outbox.Keeps = newTicket != null;
    }

    /// <summary>Whether the session has ended.</summary>
    public bool IsOver => Error != null;
    /// <summary>Why the session has ended; null while it has not.</summary>
    public RlayException Error { get; private set; }
    /// <summary>Whether another connection can take the place of one that was lost, or has to be the first.</summary>
    public bool CanResume => !IsOver && (ticket != null || !IsAdmitted);
    /// <summary>Whether the listener has let the dialer in, over any connection.</summary>
    internal bool IsAdmitted { get; private set; }
    /// <summary>Whether the agent has asked for an environment.</summary>
    internal bool HasBegun { get; private set; }
    /// <summary>Whether an episode was started.</summary>
    internal bool HasPlayed { get; private set; }
    /// <summary>Whether it has no connection, or takes nothing from it any more.</summary>
    internal bool IsSuspended { get; private set; }
    /// <summary>Whether a dialer's handshake is under way.</summary>
    internal bool IsShaking => handshake != null;
    /// <summary>The number of the last frame that was received.</summary>
    internal ulong Received { get; private set; }
    /// <summary>Held while the session changes, for a listener's threads look at it.</summary>
    internal readonly object Gate = new object();
    /// <summary>Called after each answer, to send it at once.</summary>
    internal Action Answered;

    /// <summary>
    /// Begins the handshake over a new connection. It resumes the session if that was admitted before.
    /// </summary>
    public void Connected() => Connected(new FrameReader());

    internal void Connected(FrameReader bytes) {
        lock (Gate) {
            inbox = bytes;
            inbox.Limit = Handshake.FrameLimit;
            handshake = new DialerHandshake(options, ticket, Received);
            IsSuspended = false;
        }
    }

    /// <summary>
    /// Goes on over a connection whose other end has received the frames up to this number; false if that
    /// connection is to be closed, for a later one has overtaken it. May end the session.
    /// </summary>
    internal bool Resume(FrameReader bytes, ulong peerReceived) {
        lock (Gate) {
            if (peerReceived < peerAcked) return false;
            inbox = bytes;
            inbox.Limit = frameLimit;
            IsSuspended = false;
            if (peerReceived > outbox.Last) {
                Abort(Reader.Malformed("frame " + peerReceived + " was never sent"));
            } else if (!outbox.RewindTo(peerReceived)) {
                GiveUp("more was lost with the connection than was kept");
            } else {
                peerAcked = peerReceived;
            }
            return true;
        }
    }

    /// <summary>
    /// Takes nothing more from the connection, for another one replaces it. Returns how many frames have arrived.
    /// </summary>
    internal ulong Suspend() {
        lock (Gate) {
            IsSuspended = true;
            return Received;
        }
    }

    /// <summary>
    /// Says that the connection has ended. The session ends with it unless CanResume; else dial again and call
    /// Connected, or GiveUp.
    /// </summary>
    public void ConnectionLost(string why) {
        lock (Gate) {
            IsSuspended = true;
            handshake = null;
            if (!CanResume) GiveUp(why);
        }
    }

    /// <summary>Ends a session that has no connection.</summary>
    public void GiveUp(string why) {
        lock (Gate) End(new RlayException(ErrorCode.ConnectionLost, why));
    }

    /// <summary>Ends the session in an orderly way; what is left of the output is to be sent.</summary>
    public void Goodbye(ErrorCode code = 0, string why = "this end said goodbye") {
        lock (Gate) {
            if (IsOver) return;
            if (IsAdmitted) {
                outbox.Begin(Kind.Goodbye, Received, 0).U32((uint)code).Str(why);
                outbox.Commit();
            }
            End(new RlayException(ErrorCode.Closed, why));
        }
    }

    /// <summary>Takes bytes that have arrived.</summary>
    public void Receive(byte[] data, int offset, int count) {
        while (count > 0) {
            ArraySegment<byte> room = inbox.Room();
            int part = Math.Min(count, room.Count);
            Buffer.BlockCopy(data, offset, room.Array, room.Offset, part);
            inbox.Add(part);
            offset += part;
            count -= part;
        }
    }

    /// <summary>Bytes that have to be sent, and still have to be after the session is over.</summary>
    public ArraySegment<byte> Output {
        get { lock (Gate) return handshake != null ? handshake.Output : IsSuspended ? Nothing : outbox.Output; }
    }

    /// <summary>Says that so many bytes of the output were sent.</summary>
    public void Sent(int count) {
        lock (Gate) {
            if (handshake != null) handshake.Sent(count);
            else outbox.Sent(count);
        }
    }

    /// <summary>
    /// What the agent wants, or null if nothing yet. While a turn is not answered, only Close can come, because the
    /// agent is gone.
    /// </summary>
    public Turn NextTurn() {
        lock (Gate) {
            if (isOwed && turn.Kind == TurnKind.Close) AnswerClosed();
            while (!IsOver && !IsSuspended && (handshake != null || outbox.Output.Count <= UnsentLimit)) {
                try {
                    if (inbox.Next(reader)) {
                        if (handshake != null) {
                            Shake();
                        } else if (Take()) {
                            isOwed = true;
                            return turn;
                        }
                    } else if (inbox.IsClosed) {
                        GiveUp("the peer closed the connection");
                    } else {
                        return null;
                    }
                } catch (RlayException error) {
                    Abort(error);
                }
            }
            if (!IsOver || !isCloseDue) return null;
            isCloseDue = false;
            turn.Kind = TurnKind.Close;
            turn.Reason = Error.Message;
            return turn;
        }
    }

    void Shake() {
        Welcome welcome = handshake.Take(reader);
        if (welcome == null) return;
        handshake = null;
        if (!IsAdmitted) {
            Admit(Handshake.Agree(options, welcome.MaxFrame), welcome.Ticket);
            inbox.Limit = frameLimit;
        } else if (!Resume(inbox, welcome.Received)) {
            throw Reader.Malformed("the listener has received less than it had acknowledged");
        }
    }

    /// <summary>Takes a frame; whether it is a turn.</summary>
    bool Take() {
        message.Read(reader);
        if (message.Seq != Received + 1) throw Reader.Malformed("frame " + message.Seq + " after frame " + Received);
        if (message.Ack > outbox.Last || message.Re > outbox.Last) {
            throw Reader.Malformed("an answer to a frame that was never sent");
        }
        Received = message.Seq;
        peerAcked = Math.Max(peerAcked, message.Ack);
        outbox.Acknowledged = peerAcked;
        switch (message.Kind) {
            case Kind.Goodbye:
                End(new RlayException(ErrorCode.Closed, "the agent said goodbye: " + message.Text));
                return false;
            case Kind.Error:
                if (!message.IsFatal) throw Reader.Malformed("an Error of an agent that is not fatal");
                End(new RlayException(ErrorCode.Protocol, "the agent ended the session: " + message.Text));
                return false;
            case Kind.Make:
                return state == State.NoEnv ? TakeMake() : Refuse(ErrorCode.Usage, "there is an environment already");
            case Kind.Reset: case Kind.Step: case Kind.Render: case Kind.Attribute: case Kind.Close:
                if (state > State.Open) return Refuse(ErrorCode.Closed, "the environment was closed");
                if (state < State.Open) return Refuse(ErrorCode.Usage, "there is no environment");
                if (message.Kind != Kind.Close && (message.Slots.Count != 1 || message.Slots[0] != 0)) {
                    return Refuse(ErrorCode.Usage, "there is slot 0 and no other");
                }
                return isOwed ? Refuse(ErrorCode.Busy, "another request is under way") : TakeRequest();
            case Kind.StepAgents: case Kind.ResultAgents:
                return Refuse(ErrorCode.Usage, "a kind of message that has no meaning yet");
            default:
                throw Reader.Malformed("a " + message.Kind + " does not come from an agent");
        }
    }

    bool TakeMake() {
        HasBegun = true;
        for (int i = 0; i < message.Make.Kwargs.Count; i++) {
            var name = message.Make.Kwargs.KeyAt(i) as string;
            if (name == null || !options.AllowedKwargs.Contains(name)) {
                return Refuse(ErrorCode.Usage, "no keyword " + (name ?? "that is no text") + " is allowed");
            }
        }
        state = State.Making;
        turn.Make = message.Make;
        return Owe(TurnKind.Make);
    }

    bool TakeRequest() {
        switch (message.Kind) {
            case Kind.Reset:
                turn.Seed = message.Seeds[0];
                turn.Options = message.Value;
                return Owe(TurnKind.Reset);
            case Kind.Step:
                return isReady ? TakeStep() : Refuse(ErrorCode.ResetNeeded, "call reset() before step()");
            case Kind.Render:
                return renderMode != null ? Owe(TurnKind.Render)
                    : Refuse(ErrorCode.Usage, "the environment was made without a render mode");
            case Kind.Close:
                state = State.Closing;
                isCloseDue = false;
                turn.Reason = "the agent closed the environment";
                return Owe(TurnKind.Close);
            default:
                return Refuse(ErrorCode.Usage, "no attributes are offered");
        }
    }

    bool TakeStep() {
        if (message.Wrong != null) return Refuse(ErrorCode.Protocol, message.Wrong.Message);
        if (message.IsPacked) {
            try {
                spec.ActionSpace.Unpack(reader, actions);
                reader.CheckEnd();
            } catch (RlayException error) {
                // What is wrong with a payload ends the request, not the session.
                return Refuse(ErrorCode.Protocol, error.Message);
            }
        }
        turn.Action = message.IsPacked ? actions[0] : message.Values[0];
        return Owe(TurnKind.Step);
    }

    bool Owe(TurnKind kind) {
        turn.Kind = kind;
        request = message.Seq;
        return true;
    }

    bool Refuse(ErrorCode code, string text) {
        WriteError(code, false, message.Seq, "", text, "");
        return false;
    }

    internal void AnswerMake(Spec made) {
        lock (Gate) {
            if (!Owes(TurnKind.Make)) return;
            string mode = turn.Make.RenderMode;
            if (mode != null && !HasMode(made.Metadata, mode)) {
                throw new ArgumentException("the environment has no render mode " + mode);
            }
            Writer writer = outbox.Begin(Kind.Spec, Received, request).Str(turn.Make.EnvId ?? "");
            writer.Space(made.ObservationSpace).Space(made.ActionSpace).U32(1).U8(0).OptionalStr(mode);
            writer.Message(made.Metadata, true).Message(made.Details, true).U64(0);
            Answer(State.Open);
            spec = made;
            renderMode = mode;
            isCloseDue = true;
        }
        Answered?.Invoke();
    }

    static bool HasMode(Dict metadata, string mode) {
        var modes = metadata["render_modes"] as IEnumerable;
        if (modes == null) return false;
        foreach (object known in modes) {
            if (known as string == mode) return true;
        }
        return false;
    }

    internal void AnswerRow(TurnKind kind, StepResult result) {
        lock (Gate) {
            if (!Owes(kind)) return;
            int flags = (kind == TurnKind.Reset ? 1 : 0) | (result.Terminated ? 2 : 0) | (result.Truncated ? 4 : 0);
            Writer writer = outbox.Begin(Kind.Result, Received, request).U64(1).U32(0).U8((byte)flags);
            observations[0] = result.Observation;
            writer.F64(result.Reward).Message(result.Info ?? NoInfo, true).Payload(spec.ObservationSpace, observations);
            Answer(State.Open);
            HasPlayed = isReady = true;
        }
        Answered?.Invoke();
    }

    internal void AnswerFrame(object frame) {
        lock (Gate) {
            if (!Owes(TurnKind.Render)) return;
            outbox.Begin(Kind.Frames, Received, request).U64(1).U32(0).Message(frame, renderMode == "human");
            Answer(State.Open);
        }
        Answered?.Invoke();
    }

    internal void AnswerClosed() {
        lock (Gate) {
            if (!Owes(TurnKind.Close)) return;
            outbox.Begin(Kind.Closed, Received, request).U64(0);
            Answer(State.Closed);
        }
        Answered?.Invoke();
    }

    internal void AnswerFailure(ErrorCode code, string errorType, string text, string trace) {
        lock (Gate) {
            if (!Owes(turn.Kind)) return;
            WriteError(code, false, request, errorType, text, trace);
            if (turn.Kind == TurnKind.Make) state = State.NoEnv;
            if (turn.Kind == TurnKind.Close) state = State.Closed;
            isOwed = false;
        }
        Answered?.Invoke();
    }

    /// <summary>Whether there is a request to answer. Throws if nothing, or something else, was asked.</summary>
    bool Owes(TurnKind kind) {
        if (IsOver) return false;
        if (isOwed && turn.Kind == kind) return true;
        throw new RlayException(ErrorCode.Usage, isOwed ? "the turn is a " + turn.Kind : "there is no turn to answer");
    }

    /// <summary>Has the frame that was written sent, unless it is too long.</summary>
    void Answer(State next) {
        ulong length = (ulong)outbox.FrameLength;
        if (length > frameLimit) {
            string text = "an answer of " + length + " bytes, where " + frameLimit + " are the most";
            throw new RlayException(ErrorCode.Usage, text);
        }
        outbox.Commit();
        state = next;
        isOwed = false;
    }

    void WriteError(ErrorCode code, bool isFatal, ulong re, string errorType, string text, string trace) {
        Writer writer = outbox.Begin(Kind.Error, Received, re).U32((uint)code).Bool(isFatal).U64(0);
        writer.CutText(errorType).CutText(text).CutText(trace);
        outbox.Commit();
    }

    /// <summary>
    /// The peer broke the protocol, or has refused the dialer. Before the handshake is over it is told nothing.
    /// </summary>
    void Abort(RlayException error) {
        if (handshake == null && !IsOver) WriteError(ErrorCode.Protocol, true, 0, "", error.Message, "");
        End(error);
    }

    void End(RlayException why) {
        if (IsOver) return;
        Error = why;
        isOwed = false;
        outbox.CloseMark();
    }
}

// ------------------------------------------------------------------------------------------ the poll form and backends

/// <summary>
/// Hosts one environment in the loop of an engine, which must never block: call Poll once a frame.
/// <code>
/// var host = PolledEnv.Dial(spec, "tcp://127.0.0.1:5005", new Options());
/// Turn turn = host.Poll();                                                   // each frame
/// if (turn != null &amp;&amp; turn.Kind == TurnKind.Step) turn.Reply(Play(turn.Action));
/// </code>
/// One agent after another is served, whatever Options.MaxSessions says. All methods are for one thread.
/// </summary>
public sealed class PolledEnv {
    readonly Spec spec;
    readonly Options options;
    readonly Address address;
    readonly Acceptor acceptor;
    readonly Queue<Driver> admitted = new Queue<Driver>();
    readonly Pauses pauses = new Pauses();
    Driver driver;
    bool isClosed;

    PolledEnv(Spec spec, string address, Options options, bool listens) {
        options.Check();
        this.spec = spec;
        this.options = options;
        this.address = new Address(address);
        if (listens) acceptor = new Acceptor(this.address, options, 1, Enqueue);
    }

    /// <summary>
    /// Dials an agent that listens (ServerEnv) for as long as there is none, and again after each session.
    /// </summary>
    public static PolledEnv Dial(Spec spec, string address, Options options) =>
        new PolledEnv(spec, address, options, false);

    /// <summary>Listens for agents that dial (ClientEnv); port 0 takes any that is free.</summary>
    public static PolledEnv Listen(Spec spec, string address, Options options) =>
        new PolledEnv(spec, address, options, true);

    /// <summary>The address, with the port that it has.</summary>
    public string Address => acceptor != null ? acceptor.Address : address.Text;
    /// <summary>Whether an agent has asked for the environment and has not left.</summary>
    public bool IsPlaying => driver != null && driver.Session.HasBegun && !driver.Session.IsOver;

    /// <summary>
    /// What the agent wants, or null: Reset, Step, Render or Close. It waits so many milliseconds for an agent that
    /// is playing; 0 never blocks. Answer a turn before you ask for the next one: until then only Close can come,
    /// because the agent is gone. Throws if the listener has refused this end for good, as over a wrong token; a
    /// later call dials again.
    /// </summary>
    public Turn Poll(int waitMilliseconds = 0) {
        long deadline = Clock.After(waitMilliseconds);
        while (!isClosed && (driver = driver ?? Next()) != null) {
            Turn turn = driver.Poll(IsPlaying ? Clock.Until(deadline) : 0);
            if (turn != null && turn.Kind != TurnKind.Make) return turn;
            if (turn != null) {
                AnswerMake(turn);
            } else if (driver.Session.IsOver) {
                Driver ended = driver;
                driver = null;
                ended.Finish();
                ended.ThrowIfRefused();
                return null;
            } else if (!IsPlaying || Clock.Until(deadline) == 0) {
                return null;
            }
        }
        return null;
    }

    /// <summary>Ends the session with a goodbye, and takes no others.</summary>
    public void Close() {
        isClosed = true;
        acceptor?.Close();
        while ((driver = driver ?? Next()) != null) {
            driver.Session.Goodbye();
            driver.Finish();
            driver = null;
        }
    }

    void AnswerMake(Turn turn) {
        try {
            turn.Reply(spec);
        } catch (Exception error) {
            turn.Fail(error);
        }
    }

    void Enqueue(Driver next) {
        lock (admitted) admitted.Enqueue(next);
    }

    Driver Next() {
        if (acceptor == null) return isClosed ? null : new DialDriver(address, options, pauses);
        lock (admitted) return admitted.Count > 0 ? admitted.Dequeue() : null;
    }
}

/// <summary>What both backends have in common: the function that makes environments, and running.</summary>
public abstract class Backend {
    readonly Func<Make, Env> make;
    readonly List<Thread> threads = new List<Thread>();
    internal readonly Options Options;
    internal volatile bool IsClosing;

    internal Backend(Func<Make, Env> make, Options options) {
        this.make = make;
        Options = options ?? new Options();
        Options.Check();
    }

    /// <summary>The address, with the port that it has.</summary>
    public abstract string Address { get; }
    /// <summary>Serves until Close is called from another thread.</summary>
    public abstract void Run();

    /// <summary>Serves on a thread of its own, which does not keep the program alive.</summary>
    public void Start() => StartThread(() => {
        try {
            Run();
        } catch (RlayException error) {
            Options.Say(error.Message);
        }
    });

    /// <summary>
    /// Says goodbye to the agents and closes the environments; returns within two seconds, though an environment may
    /// still be in the middle of a step. May be called twice.
    /// </summary>
    public virtual void Close() {
        IsClosing = true;
        long deadline = Clock.After(2000);
        Thread[] running;
        lock (threads) running = threads.ToArray();
        foreach (Thread thread in running) {
            if (thread != Thread.CurrentThread) thread.Join(Clock.Until(deadline));
        }
    }

    internal void StartThread(ThreadStart run) {
        var thread = new Thread(run) { IsBackground = true, Name = "rlay" };
        lock (threads) {
            threads.RemoveAll(old => !old.IsAlive);
            thread.Start();
            threads.Add(thread);
        }
    }

    /// <summary>
    /// Plays one session on this thread. Calls <paramref name="begun"/> once an agent has asked for something.
    /// </summary>
    internal void Play(Driver driver, Action begun) {
        EnvSession session = driver.Session;
        Env env = null;
        try {
            while (!session.IsOver) {
                if (IsClosing) session.Goodbye();
                Turn turn = driver.Poll(100);
                if (turn == null) continue;
                begun?.Invoke();
                begun = null;
                try {
                    Answer(turn, ref env);
                } catch (Exception error) {
                    turn.Fail(error);
                }
            }
            if (session.HasBegun) Options.Say("session over: " + session.Error.Message);
        } finally {
            driver.Finish();
            CloseQuietly(env);
        }
    }

    void Answer(Turn turn, ref Env env) {
        switch (turn.Kind) {
            case TurnKind.Make:
                Env made = make(turn.Make);
                try {
                    turn.Reply(new Spec(made));
                } catch {
                    CloseQuietly(made);
                    throw;
                }
                env = made;
                break;
            case TurnKind.Reset:
                turn.Reply(env.Reset(turn.Seed, turn.Options));
                break;
            case TurnKind.Step:
                turn.Reply(env.Step(turn.Action));
                break;
            case TurnKind.Render:
                turn.ReplyFrame(env.Render());
                break;
            case TurnKind.Close:
                Env closed = env;
                env = null;
                closed?.Close();
                turn.ReplyClosed();
                break;
        }
    }

    void CloseQuietly(Env env) {
        try {
            env?.Close();
        } catch (Exception error) {
            Options.Say("the environment could not be closed: " + error.Message);
        }
    }
}

/// <summary>
/// Hosts environments by dialing agents that listen (ServerEnv, ServerVectorEnv), as a game does that a person
/// starts. It dials again after each session. One session waits for an agent at any time; as soon as it is taken a
/// spare one dials, up to Options.MaxSessions. Each environment is made, stepped and closed on one thread.
/// </summary>
public sealed class ClientBackend : Backend {
    readonly Address address;
    readonly SemaphoreSlim spare = new SemaphoreSlim(1);
    RlayException refusal;

    /// <summary>Will dial the address; <paramref name="make"/> makes each environment.</summary>
    public ClientBackend(Func<Make, Env> make, string address, Options options = null) : base(make, options) {
        this.address = new Address(address);
    }

    /// <inheritdoc/>
    public override string Address => address.Text;

    /// <summary>Serves until Close. Throws if the listener refuses this end for good, as over a wrong token.</summary>
    public override void Run() {
        for (int i = 1; i < Options.MaxSessions; i++) StartThread(PlayOn);
        PlayOn();
        if (refusal != null) throw refusal;
    }

    void PlayOn() {
        var pauses = new Pauses();
        while (!IsClosing) {
            if (!spare.Wait(100)) continue;
            bool isSpare = true;
            Action begun = () => {
                isSpare = false;
                spare.Release();
            };
            try {
                var driver = new DialDriver(address, Options, pauses);
                Play(driver, begun);
                driver.ThrowIfRefused();
            } catch (RlayException error) {
                refusal = error;
                IsClosing = true;
            } finally {
                if (isSpare) spare.Release();
            }
        }
    }
}

/// <summary>
/// Hosts environments by listening for agents that dial (ClientEnv), as a simulator on a server does. Each session has
/// a thread, on which its environment is made, stepped and closed; agents beyond Options.MaxSessions are told that
/// there is no room.
/// </summary>
public sealed class ServerBackend : Backend {
    readonly Acceptor acceptor;
    readonly ManualResetEventSlim closed = new ManualResetEventSlim();

    /// <summary>
    /// Listens at the address, port 0 being any that is free; agents are admitted at once. <paramref name="make"/>
    /// makes each environment.
    /// </summary>
    public ServerBackend(Func<Make, Env> make, string address, Options options = null) : base(make, options) {
        Action<Driver> play = driver => StartThread(() => Play(driver, null));
        acceptor = new Acceptor(new Address(address), Options, Options.MaxSessions, play);
    }

    /// <inheritdoc/>
    public override string Address => acceptor.Address;

    /// <inheritdoc/>
    public override void Run() => closed.Wait();

    /// <inheritdoc/>
    public override void Close() {
        acceptor.Close();
        closed.Set();
        base.Close();
    }
}

// --------------------------------------------------------------------------------------------------------- connections

/// <summary>A clock in milliseconds that is never set.</summary>
internal static class Clock {
    public static long Now => (long)(Stopwatch.GetTimestamp() * (1000.0 / Stopwatch.Frequency));

    public static long After(long milliseconds) => Now + milliseconds;

    /// <summary>How long until then, at least 0.</summary>
    public static int Until(long then) => (int)Math.Min(Math.Max(then - Now, 0), int.MaxValue);
}

/// <summary>The pauses of a dialer, from 20 ms to 1 s. The first is none.</summary>
internal sealed class Pauses {
    int next;
    long over;

    public int Left => Clock.Until(over);

    public void Begin() {
        over = Clock.After(next);
        next = Math.Min(Math.Max(20, 2 * next), 1000);
    }

    /// <summary>Begins anew, because all went well.</summary>
    public void Forget() => next = 0;
}

/// <summary>A place to dial or to listen at.</summary>
internal sealed class Address {
    public readonly string Text, Host;
    public readonly ushort Port;

    public Address(string text) {
        const string scheme = "tcp://";
        Text = text ?? "";
        if (!Text.StartsWith(scheme, StringComparison.Ordinal)) {
            throw Bad("this client knows tcp:// alone; use tcp://host:port at both ends, such as tcp://127.0.0.1:5005");
        }
        int colon = Text.LastIndexOf(':');
        if (colon <= scheme.Length || !ushort.TryParse(Text.Substring(colon + 1), out Port)) {
            throw Bad("an address is tcp://host:port, and has no options here");
        }
        Host = Text.Substring(scheme.Length, colon - scheme.Length);
    }

    RlayException Bad(string why) =>
        new RlayException(ErrorCode.Address, "the address '" + Text + "' cannot be used: " + why);

    /// <summary>What the host's name stands for. It blocks while a name is looked up.</summary>
    public IPAddress[] Resolve() {
        string name = Host.Trim('[', ']');
        return IPAddress.TryParse(name, out IPAddress number) ? new[] { number } : Dns.GetHostAddresses(name);
    }
}

internal enum Arrival { Nothing, Bytes, End }

/// <summary>A socket that never blocks, and the frames that have arrived.</summary>
internal sealed class Connection {
    readonly Socket socket;
    public readonly FrameReader Inbox = new FrameReader();

    public Connection(Socket socket) {
        this.socket = socket;
        socket.NoDelay = true;
        socket.Blocking = false;
        try {
            // So that the system finds out within a minute that the other machine is gone: after 10 s, every 2 s.
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            byte[] times = { 1, 0, 0, 0, 0x10, 0x27, 0, 0, 0xd0, 7, 0, 0 };
            socket.IOControl(IOControlCode.KeepAliveValues, times, null);
        } catch (Exception) {
            // Some systems have their own times alone.
        }
    }

    /// <summary>Sends what can be sent at once; how many bytes, or -1 if the connection is lost.</summary>
    public int Send(ArraySegment<byte> bytes) {
        try {
            int sent = socket.Send(bytes.Array, bytes.Offset, bytes.Count, SocketFlags.None, out SocketError error);
            return error == SocketError.Success ? sent : error == SocketError.WouldBlock ? 0 : -1;
        } catch (Exception) {
            return -1;
        }
    }

    /// <summary>Waits until more can be sent; what arrives meanwhile waits for 20 ms at most.</summary>
    public void WaitForRoom(int milliseconds) {
        try {
            socket.Poll(Math.Min(milliseconds, 20) * 1000, SelectMode.SelectWrite);
        } catch (Exception) {
            // To receive tells what is wrong.
        }
    }

    /// <summary>Waits for bytes.</summary>
    public Arrival Receive(int milliseconds) {
        try {
            if (!socket.Poll(Math.Min(milliseconds, 1000000) * 1000, SelectMode.SelectRead)) return Arrival.Nothing;
            ArraySegment<byte> room = Inbox.Room();
            int count = socket.Receive(room.Array, room.Offset, room.Count, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock) return Arrival.Nothing;
            if (error != SocketError.Success || count == 0) return Arrival.End;
            Inbox.Add(count);
            return Arrival.Bytes;
        } catch (Exception) {
            return Arrival.End;
        }
    }

    /// <summary>Ends both directions at once, which wakes a thread that waits for bytes.</summary>
    public void Cut() {
        try {
            socket.Shutdown(SocketShutdown.Both);
        } catch (Exception) {
            // It has ended by itself.
        }
    }

    /// <summary>
    /// Closes it once the peer has, or after 1 s: to close it with bytes unread would reset the connection.
    /// </summary>
    public void Close() => Task.Run(() => {
        try {
            socket.Shutdown(SocketShutdown.Send);
            long deadline = Clock.After(1000);
            var rest = new byte[4096];
            int left;
            while ((left = Clock.Until(deadline)) > 0 && socket.Poll(left * 1000, SelectMode.SelectRead)
                && socket.Receive(rest, 0, rest.Length, SocketFlags.None, out SocketError _) > 0) { }
        } catch (Exception) {
            // It has ended by itself.
        }
        socket.Close();
    });
}

/// <summary>Moves the bytes of one session, and brings it another connection where one is lost.</summary>
internal abstract class Driver {
    /// <summary>How long a peer may take no bytes although there are some for it.</summary>
    const int StuckLimit = 60000;

    public readonly EnvSession Session;
    protected readonly Options Options;
    protected volatile Connection Connection;
    protected long LostAt;
    bool isStuck;
    long stuckSince;

    protected Driver(EnvSession session, Options options) {
        Session = session;
        Options = options;
        session.Answered = () => Flush();
    }

    /// <summary>Looks for another connection within this time; whether there is one.</summary>
    protected abstract bool Connect(int milliseconds);
    /// <summary>Ends the session, or its connection, where it is time for that.</summary>
    protected abstract void CheckTime();

    /// <summary>The next turn, or null if there is none within this time or the session is over.</summary>
    public Turn Poll(int milliseconds) {
        long deadline = Clock.After(milliseconds);
        while (true) {
            Turn turn = Session.NextTurn();
            if (turn != null) return turn;
            CheckTime();
            if (Session.IsOver) return Session.NextTurn();
            int left = Clock.Until(deadline);
            if (Connection == null) {
                if (!Connect(left)) return null;
                continue;
            }
            Arrival arrival = Arrival.End;
            if (Flush()) {
                if (isStuck) Connection.WaitForRoom(left);
                arrival = Connection.Receive(isStuck ? 0 : left);
            }
            if (arrival == Arrival.End) Drop("the connection was lost");
            else if (arrival == Arrival.Nothing && Clock.Until(deadline) == 0) return null;
        }
    }

    protected virtual void Drop(string why) {
        Connection.Cut();
        Connection.Close();
        Connection = null;
        LostAt = Clock.Now;
        Session.ConnectionLost(why);
    }

    /// <summary>Sends what there is to send, as far as possible; false if the connection is lost.</summary>
    bool Flush() {
        lock (Session.Gate) {
            Connection connection = Connection;
            while (connection != null && Session.Output.Count > 0) {
                int sent = connection.Send(Session.Output);
                if (sent < 0) return false;
                if (sent == 0) {
                    stuckSince = isStuck ? stuckSince : Clock.Now;
                    isStuck = true;
                    return Clock.Now - stuckSince < StuckLimit;
                }
                Session.Sent(sent);
                isStuck = false;
            }
            isStuck = false;
            return true;
        }
    }

    /// <summary>Sends the last words of a session that is over, and closes the connection.</summary>
    public virtual void Finish() {
        long deadline = Clock.After(200);
        Connection connection = Connection;
        if (connection == null) return;
        while (Flush() && isStuck && Clock.Until(deadline) > 0) connection.WaitForRoom(Clock.Until(deadline));
        Connection = null;
        connection.Close();
    }

    /// <summary>Throws what ended the session if to dial again does not help.</summary>
    public void ThrowIfRefused() {
        ErrorCode code = Session.Error != null ? Session.Error.Code : 0;
        if (Session.IsAdmitted || (code != ErrorCode.Unauthorized && code != ErrorCode.Incompatible)) return;
        throw Session.Error;
    }
}

/// <summary>Dials, for one session. The dialing itself goes on in the background, for it blocks.</summary>
internal sealed class DialDriver : Driver {
    const int ConnectTimeout = 5000;

    readonly Address address;
    readonly Pauses pauses;
    Task<Socket> dialing;
    long handshakeEnd;
    ulong receivedBefore;
    bool hasSaid;

    public DialDriver(Address address, Options options, Pauses pauses) : base(new EnvSession(options), options) {
        this.address = address;
        this.pauses = pauses;
        pauses.Begin();
    }

    protected override bool Connect(int milliseconds) {
        long deadline = Clock.After(milliseconds);
        if (dialing == null) {
            Thread.Sleep(Math.Min(pauses.Left, milliseconds));
            if (pauses.Left > 0) return false;
            dialing = Task.Run((Func<Socket>)Dial);
        }
        Task<Socket> dialed = dialing;
        try {
            if (!dialed.Wait(Clock.Until(deadline))) return false;
            dialing = null;
            Connection = new Connection(dialed.Result);
        } catch (Exception error) {
            dialing = null;
            Failed((error as AggregateException)?.InnerException ?? error);
            return false;
        }
        receivedBefore = Session.Received;
        handshakeEnd = Clock.After(Handshake.Timeout);
        Session.Connected(Connection.Inbox);
        return true;
    }

    Socket Dial() {
        Exception last = new SocketException((int)SocketError.HostNotFound);
        foreach (IPAddress number in address.Resolve()) {
            var socket = new Socket(number.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            try {
                IAsyncResult connecting = socket.BeginConnect(number, address.Port, null, null);
                if (!connecting.AsyncWaitHandle.WaitOne(ConnectTimeout)) {
                    throw new SocketException((int)SocketError.TimedOut);
                }
                socket.EndConnect(connecting);
                if (socket.LocalEndPoint.Equals(socket.RemoteEndPoint)) {
                    // A kernel may connect a socket to itself, where nothing listens at the port yet.
                    socket.LingerState = new LingerOption(true, 0);
                    throw new SocketException((int)SocketError.ConnectionRefused);
                }
                return socket;
            } catch (Exception error) {
                socket.Close();
                last = error;
            }
        }
        throw last;
    }

    void Failed(Exception error) {
        pauses.Begin();
        bool isRefused = (error as SocketException)?.SocketErrorCode == SocketError.ConnectionRefused;
        if (Session.IsAdmitted && isRefused && Options.ReconnectTimeout == null) {
            Session.GiveUp("the connection was lost, and nothing listens at " + address.Text + " any more");
        } else if (!hasSaid) {
            hasSaid = true;
            Options.Say("no agent at " + address.Text + " yet (" + error.Message + "); dialing on");
        }
    }

    protected override void Drop(string why) {
        base.Drop(why);
        if (Session.Received > receivedBefore) pauses.Forget();
        pauses.Begin();
    }

    protected override void CheckTime() {
        if (Connection != null && Session.IsShaking && Clock.Until(handshakeEnd) == 0) {
            Drop("the listener did not answer the handshake within 5 s");
        }
        if (Connection == null && Session.IsAdmitted && Clock.Now - LostAt > Options.ReconnectMilliseconds) {
            Session.GiveUp("the connection was lost and could not be made again in time");
        }
    }

    public override void Finish() {
        base.Finish();
        if (Session.HasPlayed) pauses.Forget();
        // Its failure is looked at, so that the runtime does not report it as unobserved.
        dialing?.ContinueWith(late => {
            if (late.Exception == null) late.Result.Close();
        });
    }
}

/// <summary>
/// A session that a listener has admitted. The listener brings it the connections of a dialer that comes back.
/// </summary>
internal sealed class ListenDriver : Driver {
    readonly Acceptor acceptor;
    readonly long admittedAt = Clock.Now;
    Connection offered;
    ulong offeredReceived;
    int attempts;
    RlayException ending;

    public readonly byte[] Ticket;

    public ListenDriver(Acceptor acceptor, Options options, ulong frameLimit, byte[] ticket, Connection connection)
        : base(new EnvSession(options, frameLimit, ticket), options) {
        this.acceptor = acceptor;
        Ticket = ticket;
        Session.Resume(connection.Inbox, 0);
        Connection = connection;
    }

    /// <summary>Since when the session has had no connection; else null.</summary>
    public long? LostSince => Connection == null ? LostAt : (long?)null;
    /// <summary>Whether the agent has had the time of a handshake to ask for an environment, and has not.</summary>
    public bool IsIdle => !Session.HasBegun && Clock.Now - admittedAt > Handshake.Timeout;

    /// <summary>Has the session's own thread end it.</summary>
    public void EndSoon(RlayException why) {
        lock (Session.Gate) {
            ending = why;
            Monitor.PulseAll(Session.Gate);
        }
    }

    /// <summary>
    /// Gives up the old connection for another one. Returns the number of the attempt, or 0 if the session is over,
    /// and how many frames have arrived.
    /// </summary>
    public int BeginTakeover(out ulong received) {
        lock (Session.Gate) {
            received = Session.Suspend();
            if (Session.IsOver || ending != null) return 0;
            Connection?.Cut();
            return ++attempts;
        }
    }

    /// <summary>Offers the connection of an attempt; it is closed if there was a later attempt.</summary>
    public void Offer(int attempt, Connection connection, ulong peerReceived) {
        lock (Session.Gate) {
            Connection useless = attempt == attempts && !Session.IsOver ? offered : connection;
            useless?.Close();
            if (useless == connection) return;
            offered = connection;
            offeredReceived = peerReceived;
            Monitor.PulseAll(Session.Gate);
        }
    }

    protected override bool Connect(int milliseconds) {
        lock (Session.Gate) {
            if (offered == null && ending == null && milliseconds > 0) Monitor.Wait(Session.Gate, milliseconds);
            Connection next = offered;
            offered = null;
            if (next == null) return false;
            if (Session.Resume(next.Inbox, offeredReceived)) Connection = next;
            else next.Close();
            return Connection != null;
        }
    }

    protected override void CheckTime() {
        lock (Session.Gate) {
            if (ending != null) Session.Goodbye(ending.Code, ending.Message);
            if (Connection == null && offered == null && Clock.Now - LostAt > Options.ReconnectMilliseconds) {
                Session.GiveUp("the connection was lost, and the agent did not come back in time");
            }
        }
    }

    public override void Finish() {
        base.Finish();
        lock (Session.Gate) {
            Session.GiveUp("the session is over");
            offered?.Close();
            offered = null;
        }
        acceptor.Release(this);
    }
}

/// <summary>Listens: shakes hands with dialers, and lets them into new sessions or back into theirs.</summary>
internal sealed class Acceptor {
    const int HandshakesAtOnce = 64;

    readonly Options options;
    readonly int maxSessions;
    readonly Action<Driver> admitted;
    readonly Socket listener;
    readonly List<ListenDriver> sessions = new List<ListenDriver>();
    volatile bool isClosed;
    int handshakes;

    public Acceptor(Address address, Options options, int maxSessions, Action<Driver> admitted) {
        this.options = options;
        this.maxSessions = maxSessions;
        this.admitted = admitted;
        try {
            IPAddress number = address.Resolve()[0];
            listener = new Socket(number.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            listener.Bind(new IPEndPoint(number, address.Port));
            listener.Listen(512);
        } catch (SocketException error) {
            listener?.Close();
            bool isTaken = error.SocketErrorCode == SocketError.AddressAlreadyInUse;
            throw new RlayException(isTaken ? ErrorCode.AddressInUse : ErrorCode.Address,
                "cannot listen at " + address.Text + ": " + error.Message);
        }
        Address = "tcp://" + address.Host + ":" + ((IPEndPoint)listener.LocalEndPoint).Port;
        new Thread(Accept) { IsBackground = true, Name = "rlay-accept" }.Start();
    }

    public string Address { get; }

    public void Close() {
        isClosed = true;
        listener.Close();
    }

    public void Release(ListenDriver session) {
        lock (sessions) sessions.Remove(session);
    }

    void Accept() {
        while (!isClosed) {
            Socket socket;
            try {
                socket = listener.Accept();
            } catch (Exception) {
                // Closed; or out of descriptors, which other sessions may soon free.
                Thread.Sleep(50);
                continue;
            }
            if (Interlocked.Increment(ref handshakes) <= HandshakesAtOnce) {
                new Thread(() => Shake(socket)) { IsBackground = true, Name = "rlay-handshake" }.Start();
            } else {
                Interlocked.Decrement(ref handshakes);
                socket.Close();
            }
        }
    }

    void Shake(Socket socket) {
        Connection connection = null;
        bool isLetIn = false;
        try {
            connection = new Connection(socket);
            var handshake = new ListenerHandshake(options, connection);
            handshake.Run();
            isLetIn = handshake.Hello.IsResuming ? Readmit(handshake) : Admit(handshake);
        } catch (Exception error) {
            options.Say("a dialer was not let in: " + error.Message);
        }
        Interlocked.Decrement(ref handshakes);
        if (!isLetIn) connection?.Close();
    }

    bool Readmit(ListenerHandshake handshake) {
        byte[] ticket = handshake.Hello.Ticket;
        ListenDriver session;
        lock (sessions) session = sessions.Find(one => one.Ticket != null && Handshake.AreEqual(one.Ticket, ticket));
        ulong received = 0;
        int attempt = session == null ? 0 : session.BeginTakeover(out received);
        if (attempt == 0) throw handshake.Refuse(ErrorCode.ConnectionLost, "the session has ended; open a new one");
        handshake.Welcome(null, received);
        session.Offer(attempt, handshake.Connection, handshake.Hello.Received);
        return true;
    }

    bool Admit(ListenerHandshake handshake) {
        ListenDriver session = null;
        bool canResume = (handshake.Hello.Features & Handshake.Resumable) != 0;
        lock (sessions) {
            if (!isClosed && sessions.Count < maxSessions) {
                ulong limit = Handshake.Agree(options, handshake.Hello.MaxFrame);
                byte[] ticket = canResume ? Handshake.Random() : null;
                session = new ListenDriver(this, options, limit, ticket, handshake.Connection);
                sessions.Add(session);
            } else {
                MakeRoom();
            }
        }
        if (session == null) {
            throw handshake.Refuse(ErrorCode.Busy, "all " + maxSessions + " sessions of this host are taken");
        }
        try {
            handshake.Welcome(session.Ticket, 0);
        } catch {
            Release(session);
            throw;
        }
        admitted(session);
        return true;
    }

    /// <summary>
    /// Has the session end whose dialer is away the longest, or one that never began, for the next dialer.
    /// </summary>
    void MakeRoom() {
        ListenDriver longest = null;
        foreach (ListenDriver session in sessions) {
            if (session.LostSince < (longest?.LostSince ?? long.MaxValue)) longest = session;
        }
        longest = longest ?? sessions.Find(session => session.IsIdle);
        longest?.EndSoon(new RlayException(ErrorCode.Busy, "another agent needs the session"));
    }
}

// ------------------------------------------------------------------------------------------------------- the handshake

internal static class Handshake {
    public const int FrameLimit = 65536;
    public const int Timeout = 5000;
    public const uint Magic = 0x59414c52;
    public const ulong Resumable = 1, Resuming = 2;
    public const ushort Wire = 0;
    public const byte EnvRole = 1;
    public const string Peer = "rlay-csharp 0.1.0";

    /// <summary>
    /// The frame limit of a session: the smaller of both sides', but not below that of the handshake.
    /// </summary>
    public static ulong Agree(Options options, ulong theirs) =>
        Math.Max(Math.Min(options.FrameLimit, theirs), FrameLimit);

    public static byte[] Random() {
        var bytes = new byte[32];
        using (var random = RandomNumberGenerator.Create()) random.GetBytes(bytes);
        return bytes;
    }

    /// <summary>What one side sends to prove that it knows the token.</summary>
    public static byte[] Prove(string token, string role, byte[] hello, byte[] challenge) {
        Writer secret = new Writer().Str(token);
        Writer said = new Writer().Raw(Encoding.ASCII.GetBytes(role)).Raw(hello).Raw(challenge);
        using (var hash = SHA256.Create())
        using (var hmac = new HMACSHA256(hash.ComputeHash(secret.Buffer, 0, secret.Length))) {
            return hmac.ComputeHash(said.Buffer, 0, said.Length);
        }
    }

    /// <summary>Compares secrets in a time that does not tell where they differ.</summary>
    public static bool AreEqual(byte[] a, byte[] b) {
        int different = a.Length ^ b.Length;
        for (int i = 0; i < a.Length && i < b.Length; i++) different |= a[i] ^ b[i];
        return different == 0;
    }

    public static Writer Begin(Kind kind) => new Writer().BeginFrame(kind, 0, 0, 0);
}

internal sealed class Hello {
    public ushort WireMin = Handshake.Wire, WireMax = Handshake.Wire;
    public byte Role = Handshake.EnvRole, Auth;
    public ulong Features, MaxFrame, Received;
    public string Peer = Handshake.Peer;
    public byte[] Nonce, Ticket;

    public bool IsResuming => (Features & Handshake.Resuming) != 0;

    /// <summary>Reads what has the same form in every wire number.</summary>
    public void ReadStart(Reader reader) {
        if (reader.U32() != Handshake.Magic) throw Reader.Malformed("the peer is no RLay endpoint");
        WireMin = reader.U16();
        WireMax = reader.U16();
        Role = reader.U8();
        Auth = reader.U8();
    }

    public void ReadRest(Reader reader) {
        if (Role > 1) throw Reader.Malformed("an unknown role");
        Features = reader.U64();
        MaxFrame = reader.U64();
        Peer = reader.Str(256);
        Nonce = Auth == 1 ? reader.Take(32) : null;
        Ticket = IsResuming ? reader.Take(32) : null;
        Received = IsResuming ? reader.U64() : 0;
        reader.CheckEnd();
    }

    public void Write(Writer writer) {
        writer.U32(Handshake.Magic).U16(WireMin).U16(WireMax).U8(Role).U8(Auth).U64(Features).U64(MaxFrame).Str(Peer);
        if (Auth == 1) writer.Raw(Nonce);
        if (IsResuming) writer.Raw(Ticket).U64(Received);
    }
}

internal sealed class Welcome {
    public ushort Wire = Handshake.Wire;
    public ulong Features, MaxFrame, Received;
    public string Peer = Handshake.Peer;
    public byte[] Proof, Ticket;

    public bool IsResuming => (Features & Handshake.Resuming) != 0;

    public void Read(Reader reader) {
        Wire = reader.U16();
        Features = reader.U64();
        MaxFrame = reader.U64();
        Peer = reader.Str(256);
        Proof = reader.Bool() ? reader.Take(32) : null;
        Ticket = (Features & Handshake.Resumable) != 0 ? reader.Take(32) : null;
        Received = IsResuming ? reader.U64() : 0;
        reader.CheckEnd();
    }

    public void Write(Writer writer) {
        writer.U16(Wire).U64(Features).U64(MaxFrame).Str(Peer).Bool(Proof != null);
        if (Proof != null) writer.Raw(Proof);
        if (Ticket != null) writer.Raw(Ticket);
        if (IsResuming) writer.U64(Received);
    }
}

/// <summary>The handshake of a dialer over one connection.</summary>
internal sealed class DialerHandshake {
    readonly string token;
    readonly bool isResuming;
    readonly byte[] hello;
    Writer output;
    int sent;
    byte[] challenge;

    public DialerHandshake(Options options, byte[] ticket, ulong received) {
        token = options.Token;
        isResuming = ticket != null;
        output = Handshake.Begin(Kind.Hello);
        new Hello {
            Auth = (byte)(token != null ? 1 : 0),
            Features = isResuming ? Handshake.Resuming : Handshake.Resumable,
            MaxFrame = options.FrameLimit,
            Nonce = token != null ? Handshake.Random() : null,
            Ticket = ticket,
            Received = received,
        }.Write(output);
        hello = output.EndFrame().Frame();
    }

    public ArraySegment<byte> Output => new ArraySegment<byte>(output.Buffer, sent, output.Length - sent);

    public void Sent(int count) => sent += count;

    /// <summary>
    /// Takes a frame of the listener; null as long as it is not the Welcome. Throws if the listener refuses.
    /// </summary>
    public Welcome Take(Reader reader) {
        Kind kind = reader.Header(out ulong seq, out ulong ack, out ulong re);
        if (kind == Kind.Reject) {
            var code = (ErrorCode)reader.U32();
            string wires = " (it speaks wire numbers " + reader.U16() + " to " + reader.U16() + ")";
            throw new RlayException(code, "the listener refused the connection: " + reader.Str()
                + (code == ErrorCode.Incompatible ? wires : ""));
        }
        if (kind == Kind.Challenge && token != null && challenge == null) {
            reader.Skip(32);
            reader.CheckEnd();
            challenge = reader.Frame();
            byte[] proof = Handshake.Prove(token, "rlay dialer", hello, challenge);
            output = Handshake.Begin(Kind.Proof).Raw(proof).EndFrame();
            sent = 0;
            return null;
        }
        if (kind != Kind.Welcome) throw Reader.Malformed("a " + kind + " in place of a Welcome");
        var welcome = new Welcome();
        welcome.Read(reader);
        bool isProven = token == null || (challenge != null && welcome.Proof != null
            && Handshake.AreEqual(welcome.Proof, Handshake.Prove(token, "rlay listener", hello, challenge)));
        if (!isProven) throw new RlayException(ErrorCode.Unauthorized, "the listener does not know the token");
        bool fits = welcome.IsResuming == isResuming && !(isResuming && welcome.Ticket != null);
        if (welcome.Wire != Handshake.Wire || !fits) {
            throw Reader.Malformed("a Welcome that does not fit the Hello");
        }
        return welcome;
    }
}

/// <summary>The handshake of a listener over one connection. It blocks, for 5 seconds at most.</summary>
internal sealed class ListenerHandshake {
    readonly Options options;
    readonly Reader reader = new Reader();
    readonly long deadline = Clock.After(Handshake.Timeout);
    byte[] helloFrame, challengeFrame;

    public readonly Connection Connection;
    public readonly Hello Hello = new Hello();

    public ListenerHandshake(Options options, Connection connection) {
        this.options = options;
        Connection = connection;
    }

    /// <summary>Hears the dialer up to where it can be let in. Throws where it cannot, and has told it so.</summary>
    public void Run() {
        ReadFrame(Kind.Hello);
        helloFrame = reader.Frame();
        Hello.ReadStart(reader);
        if (Hello.WireMin > Handshake.Wire || Hello.WireMax < Handshake.Wire) {
            throw Refuse(ErrorCode.Incompatible, "this end speaks wire number " + Handshake.Wire + " alone");
        }
        if (Hello.Role == Handshake.EnvRole) {
            throw Refuse(ErrorCode.Incompatible, "both ends host environments; an agent dials this one");
        }
        if (Hello.Auth > 1) throw Refuse(ErrorCode.Incompatible, "an unknown kind of authentication");
        Hello.ReadRest(reader);
        bool asks = options.Token != null;
        if (Hello.Auth == 1 != asks) {
            throw Refuse(ErrorCode.Unauthorized, asks ? "this host asks for a token" : "this host has no token");
        }
        if (!asks) return;
        Writer challenge = Handshake.Begin(Kind.Challenge).Raw(Handshake.Random()).EndFrame();
        challengeFrame = challenge.Frame();
        Send(challenge);
        ReadFrame(Kind.Proof);
        byte[] proof = reader.Take(32);
        reader.CheckEnd();
        if (!Handshake.AreEqual(proof, Handshake.Prove(options.Token, "rlay dialer", helloFrame, challengeFrame))) {
            throw Refuse(ErrorCode.Unauthorized, "the token is wrong");
        }
    }

    /// <summary>Lets the dialer in: with the ticket of a new session, or back into its own.</summary>
    public void Welcome(byte[] ticket, ulong received) {
        Writer writer = Handshake.Begin(Kind.Welcome);
        new Welcome {
            Features = Hello.IsResuming ? Handshake.Resuming : ticket != null ? Handshake.Resumable : 0,
            MaxFrame = options.FrameLimit,
            Proof = challengeFrame == null ? null
                : Handshake.Prove(options.Token, "rlay listener", helloFrame, challengeFrame),
            Ticket = ticket,
            Received = received,
        }.Write(writer);
        Send(writer.EndFrame());
    }

    /// <summary>Tells the dialer why it is not let in; the result is to be thrown.</summary>
    public RlayException Refuse(ErrorCode code, string text) {
        Writer writer = Handshake.Begin(Kind.Reject).U32((uint)code).U16(Handshake.Wire).U16(Handshake.Wire).Str(text);
        Send(writer.EndFrame().U32(uint.MaxValue));
        return new RlayException(code, text);
    }

    void ReadFrame(Kind wanted) {
        while (!Connection.Inbox.Next(reader)) {
            int left = Clock.Until(deadline);
            if (left == 0) throw new RlayException(ErrorCode.Timeout, "no handshake within 5 s");
            if (Connection.Inbox.IsClosed || Connection.Receive(left) == Arrival.End) throw Left();
        }
        if (reader.Header(out ulong seq, out ulong ack, out ulong re) != wanted) throw Reader.Malformed("no " + wanted);
        if (seq != 0 || ack != 0 || re != 0) throw Reader.Malformed("numbers in the handshake");
    }

    void Send(Writer bytes) {
        int sent = 0;
        while (sent < bytes.Length) {
            int count = Connection.Send(new ArraySegment<byte>(bytes.Buffer, sent, bytes.Length - sent));
            if (count < 0 || Clock.Until(deadline) == 0) throw Left();
            if (count == 0) Connection.WaitForRoom(20);
            sent += count;
        }
    }

    static RlayException Left() =>
        new RlayException(ErrorCode.ConnectionLost, "the dialer left before the handshake was over");
}

// -------------------------------------------------------------------------------------------------------------- frames

/// <summary>What a frame says.</summary>
internal enum Kind : byte {
    Hello = 0x01, Challenge = 0x02, Proof = 0x03, Welcome = 0x04, Reject = 0x05, Goodbye = 0x09, Error = 0x0a,
    Make = 0x20, Reset = 0x21, Step = 0x22, Render = 0x23, Attribute = 0x24, Close = 0x25, StepAgents = 0x30,
    Spec = 0x40, Result = 0x41, Frames = 0x42, Returned = 0x43, Closed = 0x44, ResultAgents = 0x50,
}

/// <summary>A frame of an agent, read. One object serves for all frames of a session.</summary>
internal sealed class Message {
    public Kind Kind;
    public ulong Seq, Ack, Re;

    // Of Goodbye and Error.
    public uint Code;
    public bool IsFatal;
    public string ErrorType, Text, Trace;

    public Make Make;
    public readonly List<uint> Slots = new List<uint>();
    public readonly List<Seed> Seeds = new List<Seed>();

    /// <summary>The options of a Reset, or the keyword arguments of a call.</summary>
    public object Value;
    /// <summary>The actions of a Step, unless they are packed: then the reader stands at their bytes.</summary>
    public readonly List<object> Values = new List<object>();
    public bool IsPacked;
    /// <summary>What is wrong with these actions, or null: that ends the request, not the session.</summary>
    public RlayException Wrong;

    // Of Attribute.
    public string Name;
    public byte Access;

    public void Read(Reader reader) {
        Kind = reader.Header(out Seq, out Ack, out Re);
        Slots.Clear();
        Seeds.Clear();
        Values.Clear();
        IsPacked = false;
        Wrong = null;
        switch (Kind) {
            case Kind.Goodbye:
                Code = reader.U32();
                Text = reader.Str();
                break;
            case Kind.Error:
                Code = reader.U32();
                IsFatal = reader.Bool();
                ReadSlots(reader);
                ErrorType = reader.Str();
                Text = reader.Str();
                Trace = reader.Str();
                break;
            case Kind.Make:
                ReadMake(reader);
                break;
            case Kind.Reset:
                ReadReset(reader);
                break;
            case Kind.Step:
                ReadSlots(reader);
                ReadPayload(reader);
                break;
            case Kind.Render: case Kind.Close:
                ReadSlots(reader);
                break;
            case Kind.Attribute:
                ReadAttribute(reader);
                break;
            default:
                // Reserved, or none that an agent sends: the rest is not read.
                return;
        }
        if (!IsPacked) reader.CheckEnd();
    }

    void ReadSlots(Reader reader) {
        for (int left = reader.Count(4); left > 0; left--) Slots.Add(reader.U32());
    }

    void ReadMake(Reader reader) {
        Make = new Make { EnvId = reader.Bool() ? reader.Str(1024) : null, Kwargs = reader.Value() as Dict };
        if (Make.Kwargs == null) throw Reader.Malformed("kwargs that are no Dict");
        Make.RenderMode = reader.Bool() ? reader.Str(256) : null;
        Make.Slots = reader.U32();
        Make.Autoreset = reader.U8();
        if (Make.Autoreset > 2) throw Reader.Malformed("an unknown autoreset mode");
    }

    void ReadReset(Reader reader) {
        for (int left = reader.Count(5); left > 0; left--) {
            reader.Enter();
            Slots.Add(reader.U32());
            Seeds.Add(reader.Bool() ? ReadSeed(reader) : null);
            reader.Leave();
        }
        Value = reader.Value();
    }

    static Seed ReadSeed(Reader reader) {
        int length = reader.Count(1);
        if (length > 4096) throw Reader.Malformed("a seed of more than 4096 bytes");
        byte[] bytes = reader.Take(length);
        if (length > 0 && bytes[length - 1] == 0) throw Reader.Malformed("a seed with a zero byte at its end");
        // A zero behind them makes the number positive.
        Array.Resize(ref bytes, length + 1);
        return new Seed(new BigInteger(bytes));
    }

    void ReadPayload(Reader reader) {
        uint form = reader.U32();
        if (form > 1) throw Reader.Malformed("an unknown form of a payload");
        IsPacked = form == 0;
        if (!IsPacked) {
            try {
                for (int i = 0; i < Slots.Count; i++) Values.Add(reader.Value());
                reader.CheckEnd();
            } catch (RlayException error) {
                Wrong = error;
                reader.Take(reader.Left);
            }
            return;
        }
        ulong length = reader.U64();
        uint pad = reader.U32();
        if (pad >= 64 || (reader.At - reader.Start + (int)pad) % 64 != 0) {
            throw Reader.Malformed("packed bytes that do not start at a multiple of 64");
        }
        reader.Zeros((int)pad);
        if (length != (ulong)reader.Left) throw Reader.Malformed(length + " bytes announced, " + reader.Left + " left");
    }

    void ReadAttribute(Reader reader) {
        ReadSlots(reader);
        Name = reader.Str(256);
        Access = reader.U8();
        if (Access > 2) throw Reader.Malformed("an unknown access");
        if (Access == 0) return;
        for (int left = reader.Count(4); left > 0; left--) Values.Add(reader.Value());
        if (Access == 1 && Values.Count != Slots.Count) throw Reader.Malformed("values that are not one for each slot");
        if (Access == 1) return;
        Value = reader.Value();
        var kwargs = Value as Dict;
        for (int i = 0; i < kwargs?.Count; i++) {
            if (!(kwargs.KeyAt(i) is string)) throw Reader.Malformed("a keyword that is no text");
        }
        if (kwargs == null) throw Reader.Malformed("kwargs that are no Dict");
    }
}

/// <summary>Bytes that have arrived, cut into frames.</summary>
internal sealed class FrameReader {
    const int Least = 1 << 14;

    byte[] buffer = new byte[Least];
    int start, end;

    /// <summary>The longest frame that is taken.</summary>
    public ulong Limit = Handshake.FrameLimit;
    /// <summary>Whether the mark was read behind which nothing follows.</summary>
    public bool IsClosed { get; private set; }
    /// <summary>How many bytes do not make a frame yet.</summary>
    public int Rest => end - start;

    /// <summary>
    /// Room for more bytes. The buffer grows with what has arrived, not with what is announced; frames that were
    /// read before are overwritten.
    /// </summary>
    public ArraySegment<byte> Room() {
        if (IsClosed || start == end) start = end = 0;
        if (buffer.Length - end < Least / 4) {
            byte[] larger = end - start > buffer.Length / 2 ? new byte[2 * buffer.Length] : buffer;
            Buffer.BlockCopy(buffer, start, larger, 0, end - start);
            buffer = larger;
            end -= start;
            start = 0;
        }
        return new ArraySegment<byte>(buffer, end, buffer.Length - end);
    }

    /// <summary>Says that so many bytes were put there.</summary>
    public void Add(int count) => end += count;

    /// <summary>Sets the reader to the next frame, if there is a whole one.</summary>
    public bool Next(Reader reader) {
        if (IsClosed || end - start < 4) return false;
        uint length = (uint)Reader.Little(buffer, start, 4);
        IsClosed = length == uint.MaxValue;
        if (IsClosed) return false;
        if (length > Limit) throw Reader.Malformed("a frame of " + length + " bytes, where " + Limit + " are the most");
        if (end - start - 4 < length) return false;
        reader.Begin(buffer, start + 4, start + 4 + (int)length);
        start += 4 + (int)length;
        return true;
    }
}

/// <summary>The frames that a session has written, in order, kept until the peer has acknowledged them.</summary>
internal sealed class Outbox {
    const int MostFrames = 2048;
    const int MostBytes = 1 << 26;

    readonly Writer bytes = new Writer();

    /// <summary>Where each frame that is kept begins in the bytes.</summary>
    readonly List<int> starts = new List<int>();
    /// <summary>The number of the first frame that is kept.</summary>
    ulong first = 1;

    /// <summary>
    /// How many of the bytes were sent, and how many may be: a frame that is not written yet may not.
    /// </summary>
    int sent, committed;
    /// <summary>Whether frames are kept when they were sent, because the session can be resumed.</summary>
    public bool Keeps;
    /// <summary>The number of the last frame that the peer has received, as far as it has said.</summary>
    public ulong Acknowledged;
    /// <summary>The number of the last frame.</summary>
    public ulong Last => first + (ulong)starts.Count - 1;
    /// <summary>How long the frame is that was begun last.</summary>
    public int FrameLength => bytes.FrameLength;

    public ArraySegment<byte> Output => new ArraySegment<byte>(bytes.Buffer, sent, committed - sent);

    public void Sent(int count) => sent += count;

    /// <summary>Begins a frame. Without a Commit it is dropped when the next one begins.</summary>
    public Writer Begin(Kind kind, ulong received, ulong re) {
        Trim();
        bytes.Length = committed;
        return bytes.BeginFrame(kind, Last + 1, received, re);
    }

    public void Commit() {
        starts.Add(committed);
        committed = bytes.EndFrame().Length;
    }

    /// <summary>Says that nothing follows, and the connection is closed.</summary>
    public void CloseMark() {
        bytes.Length = committed;
        committed = bytes.U32(uint.MaxValue).Length;
    }

    /// <summary>Sends again what follows this frame; false if not all of that was kept.</summary>
    public bool RewindTo(ulong received) {
        if (received + 1 < first) return false;
        int index = (int)(received + 1 - first);
        sent = index < starts.Count ? starts[index] : committed;
        return true;
    }

    /// <summary>Forgets frames that the peer has acknowledged and, where there are too many, all that were sent.</summary>
    void Trim() {
        bool isTooMuch = starts.Count >= MostFrames || (starts.Count > 1 && committed - starts[0] > MostBytes);
        int count = 0, cut = 0;
        while (count < starts.Count) {
            int end = count + 1 < starts.Count ? starts[count + 1] : committed;
            if (end > sent || (Keeps && !isTooMuch && first + (ulong)count > Acknowledged)) break;
            cut = end;
            count++;
        }
        starts.RemoveRange(0, count);
        first += (ulong)count;
        // To move the rest each time would take time by the square of the number of frames.
        if (cut == 0 || committed - cut > cut) return;
        Buffer.BlockCopy(bytes.Buffer, cut, bytes.Buffer, 0, committed - cut);
        committed -= cut;
        sent -= cut;
        for (int i = 0; i < starts.Count; i++) starts[i] -= cut;
    }
}

// --------------------------------------------------------------------------------------------------------------- bytes

/// <summary>Reads one frame. Whatever is malformed is a RlayException of code Protocol.</summary>
internal sealed class Reader {
    public const int MostDepth = 32, MostItems = 1 << 20;
    const int MostKeys = 4096;

    static readonly UTF8Encoding Utf8 = new UTF8Encoding(false, true);

    public byte[] Data;
    public int Start, At, Limit;
    int depth, items, keys;

    public void Begin(byte[] data, int start, int limit) {
        Data = data;
        Start = At = start;
        Limit = limit;
        depth = items = keys = 0;
    }

    public int Left => Limit - At;

    public static RlayException Malformed(string what) => new RlayException(ErrorCode.Protocol, what);

    /// <summary>The number of so many bytes, the lowest first.</summary>
    public static ulong Little(byte[] data, int at, int size) {
        ulong number = 0;
        for (int i = size - 1; i >= 0; i--) number = number << 8 | data[at + i];
        return number;
    }

    /// <summary>Refuses if there are not so many bytes.</summary>
    public void Need(ulong count) {
        if (count > (ulong)Left) throw Malformed(count + " bytes announced, " + Left + " left");
    }

    public void CheckEnd() {
        if (Left != 0) throw Malformed(Left + " bytes too many");
    }

    public void Skip(ulong count) {
        Need(count);
        At += (int)count;
    }

    ulong Number(int size) {
        Skip((ulong)size);
        return Little(Data, At - size, size);
    }

    public byte U8() => (byte)Number(1);
    public ushort U16() => (ushort)Number(2);
    public uint U32() => (uint)Number(4);
    public ulong U64() => Number(8);
    public long I64() => (long)Number(8);

    public bool Bool() {
        byte flag = U8();
        if (flag > 1) throw Malformed("a bool is 0 or 1");
        return flag == 1;
    }

    public byte[] Take(int count) {
        Skip((ulong)count);
        var bytes = new byte[count];
        Buffer.BlockCopy(Data, At - count, bytes, 0, count);
        return bytes;
    }

    /// <summary>A copy of the whole frame.</summary>
    public byte[] Frame() {
        var bytes = new byte[Limit - Start];
        Buffer.BlockCopy(Data, Start, bytes, 0, bytes.Length);
        return bytes;
    }

    /// <summary>A count of items that take at least so many bytes each.</summary>
    public int Count(int size) {
        ulong count = U64();
        if (count > (ulong)(Left / size)) throw Malformed(count + " items announced, " + Left + " bytes left");
        return (int)count;
    }

    public string Str(int most = int.MaxValue) {
        int length = Count(1);
        if (length > most) throw Malformed("a text of " + length + " bytes, where " + most + " are the most");
        At += length;
        try {
            return Utf8.GetString(Data, At - length, length);
        } catch (ArgumentException) {
            throw Malformed("a text that is not UTF-8");
        }
    }

    public void Zeros(int count) {
        Need((ulong)count);
        for (; count > 0; count--) {
            if (Data[At++] != 0) throw Malformed("padding that is not zero");
        }
    }

    /// <summary>Reads the zeros behind a slab that began there.</summary>
    public void Align(int slab) => Zeros((8 - (At - slab) % 8) % 8);

    /// <summary>Reads the header, and returns the kind.</summary>
    public Kind Header(out ulong seq, out ulong ack, out ulong re) {
        byte code = U8();
        Zeros(7);
        seq = U64();
        ack = U64();
        re = U64();
        bool isKnown = (code >= 0x01 && code <= 0x05) || code == 0x09 || code == 0x0a || (code >= 0x20 && code <= 0x25)
            || code == 0x30 || (code >= 0x40 && code <= 0x44) || code == 0x50;
        if (!isKnown) throw Malformed("the unknown kind " + code);
        return (Kind)code;
    }

    /// <summary>Goes one level deeper, into a value, space or row. All of them are counted.</summary>
    public void Enter() {
        if (++depth > MostDepth) throw Malformed("nested deeper than " + MostDepth + " levels");
        if (++items > MostItems) throw Malformed("more than 2^20 values");
    }

    public void Leave() => depth--;

    public DType DType(out bool bigEndian) {
        uint code = U32();
        bigEndian = (code & 0x100) != 0;
        var dtype = (DType)(code & ~0x100u);
        bool isKnown = dtype <= Rlay.DType.Float64 && !(bigEndian && DTypes.Size(dtype) == 1);
        if (!isKnown) throw Malformed("the unknown dtype " + code);
        return dtype;
    }

    public long[] Shape(int elementSize) {
        var shape = new long[Count(8)];
        for (int i = 0; i < shape.Length; i++) shape[i] = I64();
        try {
            DTypes.Count(shape, elementSize);
        } catch (ArgumentException error) {
            throw Malformed(error.Message);
        }
        return shape;
    }

    /// <summary>Fills a C# array whose elements are of this dtype.</summary>
    public void Elements(Array elements, DType dtype) {
        int count = Buffer.ByteLength(elements);
        Skip((ulong)count);
        for (int i = At - count; dtype == Rlay.DType.Bool && i < At; i++) {
            if (Data[i] > 1) throw Malformed("a bool is 0 or 1");
        }
        DTypes.CheckByteOrder();
        Buffer.BlockCopy(Data, At - count, elements, 0, count);
    }

    /// <summary>A value, as <see cref="Rlay.Value"/> says.</summary>
    public object Value() {
        Enter();
        object value = ReadValue();
        Leave();
        return value;
    }

    object ReadValue() {
        uint tag = U32();
        switch (tag) {
            case 0: return null;
            case 1: return Bool();
            case 2: return Rlay.Value.Boxed(I64());
            case 3: return ReadBigInt();
            case 4: return BitConverter.Int64BitsToDouble(I64());
            case 5: return Str();
            case 6: return Take(Count(1));
            case 7: return new List<object>(ReadItems(Count(4)));
            case 8: return new PyTuple(ReadItems(Count(4)));
            case 9: return ReadDict();
            case 10: return ReadArray();
            case 11: return ReadScalar();
            case 12:
                object[] parts = ReadItems(3);
                return new Graph(parts[0], parts[1], parts[2]);
            case 13:
                string typeName = Str();
                return new Opaque(typeName, Str());
            default: throw Malformed("the unknown value tag " + tag);
        }
    }

    object ReadBigInt() {
        byte[] bytes = Take(Count(1));
        int last = bytes.Length - 1;
        bool isLong = last < 8 || bytes[last] == (bytes[last - 1] < 0x80 ? 0 : 0xff);
        if (isLong) throw Malformed("a large integer that is not in its shortest form");
        return new BigInteger(bytes);
    }

    object[] ReadItems(int count) {
        if (count > MostItems - items) throw Malformed("more than 2^20 values");
        var read = new object[count];
        for (int i = 0; i < count; i++) read[i] = Value();
        return read;
    }

    Dict ReadDict() {
        var dict = new Dict();
        for (int left = Count(8); left > 0; left--) {
            object key = Key();
            dict.Append(key, Value());
        }
        return dict;
    }

    /// <summary>The key of a Dict or Dict space.</summary>
    public object Key() {
        int start = At;
        object key = Value();
        if (!Keys.CanBe(key)) throw Malformed("a " + Rlay.Value.NameOf(key) + " as a key");
        if (!Keys.IsOdd(key)) return key;
        if (!(key is Opaque) && At - start > 256) throw Malformed("a key of more than 256 bytes");
        if (++keys > MostKeys) throw Malformed("too many keys that are neither texts nor small integers");
        return key;
    }

    NdArray ReadArray() {
        DType dtype = DType(out bool bigEndian);
        int size = DTypes.Size(dtype);
        long[] shape = Shape(size);
        int length = Count(1);
        if (DTypes.Count(shape, size) * size != length) throw Malformed("an array whose shape does not hold its data");
        Array elements = DTypes.NewArray(dtype, length / size);
        Elements(elements, dtype);
        return new NdArray(dtype, elements, shape, bigEndian);
    }

    Scalar ReadScalar() {
        DType dtype = DType(out bool bigEndian);
        ulong bits = Number(DTypes.Size(dtype));
        if (dtype == Rlay.DType.Bool && bits > 1) throw Malformed("a bool is 0 or 1");
        return new Scalar(dtype, bits, bigEndian);
    }
}

/// <summary>Writes frames into a buffer that grows. What cannot be sent is an ArgumentException.</summary>
internal sealed class Writer {
    const int MostKeys = 2048;
    const int MostText = 16384;

    static readonly UTF8Encoding Utf8 = new UTF8Encoding(false, true);

    public byte[] Buffer = new byte[256];
    public int Length;
    int frame, depth, items, keys;
    bool allowsOpaque;

    /// <summary>How long the frame is by now.</summary>
    public int FrameLength => Length - frame;

    /// <summary>Begins a frame, behind a place for its length.</summary>
    public Writer BeginFrame(Kind kind, ulong seq, ulong ack, ulong re) {
        U32(0);
        frame = Length;
        items = 0;
        return U64((ulong)kind).U64(seq).U64(ack).U64(re);
    }

    public Writer EndFrame() => Put((ulong)FrameLength, frame - 4, 4);

    /// <summary>A copy of the frame.</summary>
    public byte[] Frame() {
        var bytes = new byte[FrameLength];
        System.Buffer.BlockCopy(Buffer, frame, bytes, 0, bytes.Length);
        return bytes;
    }

    /// <summary>Makes room for so many bytes, and returns where. The buffer is another one then.</summary>
    int Grow(int count) {
        long length = (long)Length + count;
        if (length > 1 << 30) throw new ArgumentException("more than a frame can hold");
        if (length > Buffer.Length) Array.Resize(ref Buffer, (int)Math.Max(length, 2L * Buffer.Length));
        Length += count;
        return Length - count;
    }

    Writer Put(ulong number, int at, int size) {
        for (int i = 0; i < size; i++) Buffer[at + i] = (byte)(number >> (8 * i));
        return this;
    }

    public Writer U8(byte number) => Put(number, Grow(1), 1);
    public Writer U16(ushort number) => Put(number, Grow(2), 2);
    public Writer U32(uint number) => Put(number, Grow(4), 4);
    public Writer U64(ulong number) => Put(number, Grow(8), 8);
    public Writer I64(long number) => U64((ulong)number);
    public Writer F64(double number) => I64(BitConverter.DoubleToInt64Bits(number));
    public Writer Bool(bool flag) => U8((byte)(flag ? 1 : 0));

    public Writer Raw(byte[] bytes) => Raw(bytes, 0, bytes.Length);

    public Writer Raw(byte[] bytes, int offset, int count) {
        int at = Grow(count);
        System.Buffer.BlockCopy(bytes, offset, Buffer, at, count);
        return this;
    }

    public Writer Bytes(byte[] bytes) => U64((ulong)bytes.Length).Raw(bytes);

    public Writer Str(string text) {
        int count = Utf8.GetByteCount(text);
        U64((ulong)count);
        int at = Grow(count);
        Utf8.GetBytes(text, 0, text.Length, Buffer, at);
        return this;
    }

    public Writer OptionalStr(string text) => text == null ? Bool(false) : Bool(true).Str(text);

    /// <summary>A text for people, cut where it is too long.</summary>
    public Writer CutText(string text) {
        byte[] bytes = Encoding.UTF8.GetBytes(text ?? "");
        if (bytes.Length <= MostText) return Bytes(bytes);
        byte[] mark = Encoding.UTF8.GetBytes("…");
        int count = MostText - mark.Length;
        while ((bytes[count] & 0xc0) == 0x80) count--;
        return U64((ulong)(count + mark.Length)).Raw(bytes, 0, count).Raw(mark);
    }

    public Writer DType(DType dtype, bool bigEndian) => U32((uint)dtype | (bigEndian ? 0x100u : 0));

    /// <summary>A shape, or other integers.</summary>
    public Writer Numbers(long[] numbers) {
        U64((ulong)numbers.Length);
        foreach (long number in numbers) I64(number);
        return this;
    }

    public void Elements(Array elements, DType dtype) {
        int count = elements.Length * DTypes.Size(dtype);
        DTypes.CheckByteOrder();
        int at = Grow(count);
        System.Buffer.BlockCopy(elements, 0, Buffer, at, count);
    }

    /// <summary>
    /// Fills a slab up with zeros. Packed bytes start at a multiple of 64 of the frame, so that is what counts.
    /// </summary>
    public void Align() => Zeros((8 - FrameLength % 8) % 8);

    void Zeros(int count) {
        int at = Grow(count);
        Array.Clear(Buffer, at, count);
    }

    public Writer Space(EnvSpace space) {
        Enter();
        space.Write(this);
        depth--;
        return this;
    }

    public void Spaces(EnvSpace[] spaces) {
        U64((ulong)spaces.Length);
        foreach (EnvSpace space in spaces) Space(space);
    }

    /// <summary>A payload of one element for each row: packed if all of them fit the space, else as values.</summary>
    public void Payload(EnvSpace space, Rows rows) {
        int start = Length;
        if (space.HasPackedForm) {
            U32(0);
            int length = Grow(8);
            int pad = (64 - (FrameLength + 4) % 64) % 64;
            U32((uint)pad);
            Zeros(pad);
            int packed = Length;
            if (space.Pack(this, rows)) {
                Put((ulong)(Length - packed), length, 8);
                return;
            }
            Length = start;
        }
        U32(1);
        for (int row = 0; row < rows.Count; row++) Message(rows[row], false);
    }

    /// <summary>A value that stands in a message by itself.</summary>
    public Writer Message(object value, bool mayHoldOpaque) {
        depth = keys = 0;
        allowsOpaque = mayHoldOpaque;
        return Value(value);
    }

    void Enter() {
        if (++depth > Reader.MostDepth) throw new ArgumentException("nested too deep");
        if (++items > Reader.MostItems) throw new ArgumentException("more than 2^20 values");
    }

    public Writer Value(object value) {
        Enter();
        if (value == null) U32(0);
        else if (value is bool) U32(1).Bool((bool)value);
        else if (Rlay.Value.TryInt64(value, out long number)) U32(2).I64(number);
        else if (value is double) U32(4).F64((double)value);
        else if (value is float) U32(4).F64((float)value);
        else if (value is string) U32(5).Str((string)value);
        else if (value is BigInteger) BigInt((BigInteger)value);
        else if (value is ulong) BigInt((ulong)value);
        else if (value is Dict) Dict((Dict)value);
        else if (value is NdArray) NdArray((NdArray)value);
        else if (value is PyTuple) U32(8).Items(((PyTuple)value).Items);
        else if (value is List<object>) U32(7).Items((List<object>)value);
        else if (value is Scalar) Scalar((Scalar)value);
        else if (value is Graph) Graph((Graph)value);
        else if (value is Opaque && allowsOpaque) U32(13).Str(((Opaque)value).TypeName).Str(((Opaque)value).Repr);
        else if (value.GetType() == typeof(byte[])) U32(6).Bytes((byte[])value);
        else if (value is Array) NdArray(new NdArray((Array)value));
        else throw new ArgumentException("a " + Rlay.Value.NameOf(value) + " cannot be sent here");
        depth--;
        return this;
    }

    void BigInt(BigInteger number) {
        if (number >= long.MinValue && number <= long.MaxValue) U32(2).I64((long)number);
        else U32(3).Bytes(number.ToByteArray());
    }

    void Items(IList<object> items) {
        U64((ulong)items.Count);
        for (int i = 0; i < items.Count; i++) Value(items[i]);
    }

    void Dict(Dict dict) {
        U32(9).U64((ulong)dict.Count);
        for (int i = 0; i < dict.Count; i++) Key(dict.KeyAt(i)).Value(dict.ValueAt(i));
    }

    void NdArray(NdArray array) {
        U32(10).DType(array.DType, array.BigEndian).Numbers(array.Shape);
        U64((ulong)array.Elements.Length * (ulong)DTypes.Size(array.DType)).Elements(array.Elements, array.DType);
    }

    void Scalar(Scalar scalar) {
        int size = DTypes.Size(scalar.DType);
        U32(11).DType(scalar.DType, scalar.BigEndian).Put(scalar.Bits, Grow(size), size);
    }

    void Graph(Graph graph) => U32(12).Value(graph.Nodes).Value(graph.Edges).Value(graph.EdgeLinks);

    /// <summary>The key of a Dict or Dict space.</summary>
    public Writer Key(object key) {
        int start = Length;
        Value(key);
        bool isTooLong = !(key is Opaque) && Length - start > 256;
        if (!Keys.CanBe(key)) throw new ArgumentException("a " + Rlay.Value.NameOf(key) + " cannot be a key");
        if (Keys.IsOdd(key) && (isTooLong || ++keys > MostKeys)) {
            throw new ArgumentException("a key too long, or too many that are neither texts nor small integers");
        }
        return this;
    }
}

/// <summary>
/// The elements of a payload, one for each row, and the place in each that is packed or unpacked just now.
/// </summary>
internal sealed class Rows {
    readonly object[] elements;
    readonly int[] path = new int[Reader.MostDepth];
    int depth;

    public Rows(int count) { elements = new object[count]; }

    public int Count => elements.Length;

    /// <summary>What is at the current place of a row.</summary>
    public object this[int row] {
        get { return Walk(row, depth); }
        set {
            object container = depth > 0 ? Walk(row, depth - 1) : null;
            if (container == null) elements[row] = value;
            else if (container is PyTuple) ((PyTuple)container)[path[depth - 1]] = value;
            else ((Dict)container).SetAt(path[depth - 1], value);
        }
    }

    object Walk(int row, int levels) {
        object at = elements[row];
        for (int i = 0; i < levels; i++) at = at is PyTuple ? ((PyTuple)at)[path[i]] : ((Dict)at).ValueAt(path[i]);
        return at;
    }

    public bool PackMembers(Writer writer, IList<EnvSpace> spaces) {
        bool fits = true;
        depth++;
        for (int i = 0; i < spaces.Count && fits; i++) {
            path[depth - 1] = i;
            fits = spaces[i].Pack(writer, this);
        }
        depth--;
        return fits;
    }

    public void UnpackMembers(Reader reader, IList<EnvSpace> spaces) {
        depth++;
        try {
            for (int i = 0; i < spaces.Count; i++) {
                path[depth - 1] = i;
                spaces[i].Unpack(reader, this);
            }
        } finally {
            depth--;
        }
    }
}

/// <summary>
/// Which values can be keys, and of which a message has few, because a peer could make their hashes collide.
/// </summary>
internal static class Keys {
    public static bool CanBe(object key) {
        var tuple = key as PyTuple;
        for (int i = 0; i < tuple?.Count; i++) {
            if (!CanBe(tuple[i])) return false;
        }
        bool isMutable = key is List<object> || key is Dict || key is NdArray || key is Graph || key is Array;
        return !isMutable || key.GetType() == typeof(byte[]);
    }

    public static bool IsOdd(object key) =>
        !(key is string) && !(Value.TryInt64(key, out long number) && number >= 0 && number < 16384);
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
