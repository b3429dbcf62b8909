// The values of Python that C# has no type for, and helpers for those that it has.

using System;
using System.Collections;
using System.Collections.Generic;
using System.Numerics;

namespace Rlay {

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
        : this(DTypes.Of(elements), elements, shape != null && shape.Length > 0 ? shape : new[] { elements.LongLength }) { }

    /// <summary>
    /// The same of any dtype and shape; <c>new long[0]</c> is the shape of an array without dimensions.
    /// </summary>
    public NdArray(DType dtype, Array elements, long[] shape, bool bigEndian = false) {
        if (elements == null) throw new ArgumentNullException(nameof(elements));
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

    /// <summary>
    /// A tuple of these items; C# takes a single null for no array at all, and it is a tuple of None.
    /// </summary>
    public PyTuple(params object[] items) { Items = items ?? new object[1]; }
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

}
