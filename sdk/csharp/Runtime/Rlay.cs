// The RLay client for C#: hosts environments that agents in Python use as Gymnasium environments.
//
//     using Rlay;
//
//     sealed class Coin : Env
//     {
//         readonly System.Random random = new System.Random();
//         public override EnvSpace ObservationSpace => new DiscreteSpace(2);
//         public override EnvSpace ActionSpace => new DiscreteSpace(2);
//         public override ResetResult Reset(Seed seed, object options) => new ResetResult(0);
//         public override StepResult Step(object guess)
//         {
//             int side = random.Next(2);
//             return new StepResult(side, Value.ToInt64(guess) == side ? 1 : 0, terminated: true);
//         }
//     }
//
//     new ServerBackend(make => new Coin(), "tcp://127.0.0.1:5005").Run();
//
// The parts, from top to bottom: values, spaces, environments, sessions and turns, the poll form, backends; then,
// not public, bytes, framing, the handshake and sockets. The bytes are specified in docs/wire.md.

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
    // ---------------------------------------------------------------------------------------------- errors

    /// <summary>Which side caused an error, as numbers on the wire.</summary>
    public enum ErrorCode {
        /// <summary>A request that makes no sense here.</summary>
        Usage = 1,
        /// <summary>A step before the first reset.</summary>
        ResetNeeded = 2,
        /// <summary>The structure of the action is not that of the action space.</summary>
        InvalidAction = 3,
        /// <summary>The environment or the other end was closed.</summary>
        Closed = 4,
        /// <summary>Another request is under way, or there is no room for another session.</summary>
        Busy = 5,
        /// <summary>An address that cannot be used.</summary>
        Address = 6,
        /// <summary>Wire number, role, limits or spaces do not fit.</summary>
        Incompatible = 7,
        /// <summary>The peer broke the protocol.</summary>
        Protocol = 8,
        /// <summary>The code of the environment failed.</summary>
        Env = 9,
        /// <summary>The connection was lost.</summary>
        ConnectionLost = 10,
        /// <summary>Something took too long.</summary>
        Timeout = 11,
        /// <summary>Another program listens at this address.</summary>
        AddressInUse = 12,
        /// <summary>A token is missing or wrong, at either end.</summary>
        Unauthorized = 13,
    }

    /// <summary>
    /// What this library throws. An environment may throw it, too: the agent then gets an error of the same code
    /// in place of <see cref="ErrorCode.Env"/>.
    /// </summary>
    public sealed class RlayException : Exception {
        /// <summary>Makes an error of this code.</summary>
        public RlayException(ErrorCode code, string message) : base(message) {
            Code = code;
        }

        /// <summary>Which side caused it.</summary>
        public ErrorCode Code { get; }
    }

    // ---------------------------------------------------------------------------------------------- values

    /// <summary>The element types of arrays and scalars, numbered as on the wire.</summary>
    public enum DType {
        /// <summary>NumPy's bool, C#'s bool.</summary>
        Bool,
        /// <summary>C#'s sbyte.</summary>
        Int8,
        /// <summary>C#'s short.</summary>
        Int16,
        /// <summary>C#'s int.</summary>
        Int32,
        /// <summary>C#'s long.</summary>
        Int64,
        /// <summary>C#'s byte.</summary>
        UInt8,
        /// <summary>C#'s ushort.</summary>
        UInt16,
        /// <summary>C#'s uint.</summary>
        UInt32,
        /// <summary>C#'s ulong.</summary>
        UInt64,
        /// <summary>Half precision; C# arrays hold its bits as ushort.</summary>
        Float16,
        /// <summary>C#'s float.</summary>
        Float32,
        /// <summary>C#'s double.</summary>
        Float64,
    }

    /// <summary>
    /// Helpers for values. Python's values arrive as, and are sent as: None null, bool <c>bool</c>, int <c>long</c>
    /// or, beyond 64 bits, <c>BigInteger</c>, float <c>double</c>, str <c>string</c>, bytes <c>byte[]</c>, list
    /// <c>List&lt;object&gt;</c>, tuple <see cref="PyTuple"/>, dict <see cref="Dict"/>, NumPy array
    /// <see cref="NdArray"/>, NumPy scalar <see cref="Scalar"/>, GraphInstance <see cref="Graph"/>; what nothing
    /// else can hold, <see cref="Opaque"/>. The smaller integer types of C# and <c>float</c> may be sent, too, and
    /// arrive in Python as int and float; a C# array of numbers is an array of one dimension.
    /// </summary>
    public static class Value {
        /// <summary>
        /// The integer in a value that is an int or a NumPy integer: the action of a Discrete space comes as either.
        /// Anything else is an <see cref="ErrorCode.InvalidAction"/>.
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

        /// <summary>Whether this is an integer of C# that fits into a long, bool not being one.</summary>
        internal static bool TryInt64(object value, out long number) {
            number = 0;
            if (value is long) {
                number = (long)value;
            } else if (value is int) {
                number = (int)value;
            } else if (value is byte) {
                number = (byte)value;
            } else if (value is short) {
                number = (short)value;
            } else if (value is uint) {
                number = (uint)value;
            } else if (value is sbyte) {
                number = (sbyte)value;
            } else if (value is ushort) {
                number = (ushort)value;
            } else if (value is ulong) {
                number = (long)(ulong)value;
                return number >= 0;
            } else {
                return false;
            }
            return true;
        }

        /// <summary>The int as an object. Small ones are made once, for an engine's garbage collector.</summary>
        internal static object Boxed(long number) => number >= 0 && number < Small.Length ? Small[number] : number;

        internal static string NameOf(object value) => value == null ? "None" : value.GetType().Name;

        static readonly object[] Small = MakeSmall();

        static object[] MakeSmall() {
            var small = new object[256];
            for (int i = 0; i < small.Length; i++) small[i] = (long)i;
            return small;
        }
    }

    /// <summary>A NumPy array: a C# array of its elements in C order (the last index runs fastest), and a shape.</summary>
    public sealed class NdArray {
        /// <summary>
        /// An array of these elements, which are not copied. Without a shape it has one dimension. A <c>ushort[]</c>
        /// is of dtype uint16. Throws ArgumentException if the shape does not hold so many elements.
        /// </summary>
        public NdArray(Array elements, params long[] shape)
            : this(DTypes.Of(elements), elements, shape.Length > 0 ? shape : new[] { elements.LongLength }) {
        }

        /// <summary>The same of any dtype and shape; <c>new long[0]</c> is the shape of an array without dimensions.</summary>
        public NdArray(DType dtype, Array elements, long[] shape, bool bigEndian = false) {
            if (!DTypes.Holds(elements, dtype)) {
                throw new ArgumentException("an array of " + dtype + " is no " + elements.GetType().Name);
            }
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

        /// <summary>The elements, as a <c>float[]</c>, <c>byte[]</c> and so on; of float16, their bits as <c>ushort[]</c>.</summary>
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
        public Scalar(DType dtype, long value) : this(dtype, DTypes.BitsOf(dtype, value), false) {
        }

        /// <summary>The same of a float; for integer dtypes it is cut toward zero.</summary>
        public Scalar(DType dtype, double value) : this(dtype, DTypes.BitsOf(dtype, value), false) {
        }

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
        public PyTuple(params object[] items) {
            Items = items;
        }

        /// <summary>How many items there are.</summary>
        public int Count => Items.Length;

        /// <summary>One of the items.</summary>
        public object this[int index] => Items[index];

        /// <summary>Replaces an item, so that an engine can use a tuple again.</summary>
        public void Set(int index, object item) {
            Items[index] = item;
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
                if (at < 0) {
                    Append(key, value);
                } else {
                    values[at] = value;
                }
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

        /// <summary>Adds a key without looking whether it is there.</summary>
        internal void Append(object key, object value) {
            keys.Add(key is int ? (int)key : key);
            values.Add(value);
        }

        internal void SetAt(int index, object value) {
            values[index] = value;
        }

        int Find(object key) {
            var text = key as string;
            for (int i = 0; i < keys.Count; i++) {
                if (text != null ? text == keys[i] as string : SameKey(key, keys[i])) return i;
            }
            return -1;
        }

        internal static bool SameKey(object a, object b) =>
            Value.TryInt64(a, out long m) && Value.TryInt64(b, out long n) ? m == n : Equals(a, b);
    }

    /// <summary>Gymnasium's GraphInstance: a batch of nodes, a batch of edges or null, and an array of links or null.</summary>
    public sealed class Graph {
        /// <summary>A graph of these parts.</summary>
        public Graph(object nodes, object edges, object edgeLinks) {
            Nodes = nodes;
            Edges = edges;
            EdgeLinks = edgeLinks;
        }

        /// <summary>The nodes.</summary>
        public object Nodes { get; }

        /// <summary>The edges.</summary>
        public object Edges { get; }

        /// <summary>From which node to which each edge leads: int32 or int64, shape (edges, 2).</summary>
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

    /// <summary>Gymnasium's seed: an integer that is not negative, of any size.</summary>
    public sealed class Seed {
        /// <summary>The seed of this number.</summary>
        public Seed(BigInteger number) {
            Number = number;
            Low64 = (ulong)(number & ulong.MaxValue);
        }

        /// <summary>The whole number.</summary>
        public BigInteger Number { get; }

        /// <summary>Its low 64 bits, which are enough for most generators.</summary>
        public ulong Low64 { get; }
    }

    // ---------------------------------------------------------------------------------------------- spaces

    /// <summary>
    /// A space of Gymnasium. The classes are named after Gymnasium's, with <c>Space</c> behind it, because C# and
    /// engines have types such as Tuple and Text of their own.
    /// </summary>
    public abstract class EnvSpace {
        internal EnvSpace() {
        }

        /// <summary>Whether elements can travel packed: nothing in the space varies in size.</summary>
        internal virtual bool HasPackedForm => false;

        internal abstract void Write(Writer writer);

        /// <summary>Writes the elements at the current place of all rows; false, with bytes to be dropped, if one does not fit.</summary>
        internal virtual bool Pack(Writer writer, Rows rows) => false;

        /// <summary>Reads the elements of all rows. What an earlier call has left in the rows is filled anew.</summary>
        internal virtual void Unpack(Reader reader, Rows rows) {
            throw Reader.Malformed("a space that has no packed form");
        }
    }

    /// <summary>What Box, MultiBinary and MultiDiscrete have in common: elements are arrays of one dtype and shape.</summary>
    public abstract class ArraySpace : EnvSpace {
        internal readonly bool BigEndian;
        internal readonly long Count;

        internal ArraySpace(DType dtype, long[] shape, bool bigEndian, int elementSize) {
            DType = dtype;
            Shape = shape;
            BigEndian = bigEndian;
            Count = DTypes.Count(shape, elementSize);
            if (Count > (1L << 40) / elementSize) throw new ArgumentException("a space of more than 2^40 bytes");
        }

        /// <summary>The dtype of the elements; of MultiBinary, int8.</summary>
        public DType DType { get; }

        /// <summary>The shape of the elements.</summary>
        public long[] Shape { get; }

        internal override bool HasPackedForm => !BigEndian;

        internal override bool Pack(Writer writer, Rows rows) {
            for (int row = 0; row < rows.Count; row++) {
                object element = rows[row];
                var array = element as NdArray;
                var elements = array != null ? array.Elements : element as Array;
                bool fits = array != null
                    ? array.DType == DType && !array.BigEndian && SameShape(array.Shape)
                    : elements != null && DTypes.Holds(elements, DType) && elements.LongLength == Count;
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
                if (array == null || array.DType != DType || array.Elements.LongLength != Count) {
                    reader.Need((ulong)Count * (ulong)DTypes.Size(DType));
                    array = NdArray.Zeros(DType, Shape);
                    rows[row] = array;
                }
                reader.Elements(array.Elements, DType);
            }
            reader.Align(start);
        }

        bool SameShape(long[] other) {
            if (other.Length != Shape.Length) return false;
            for (int i = 0; i < other.Length; i++) {
                if (other[i] != Shape[i]) return false;
            }
            return true;
        }
    }

    /// <summary>
    /// Box: arrays of numbers between bounds. Its elements are <see cref="NdArray"/>; an observation may also be a
    /// plain C# array of the dtype, such as <c>float[]</c>, whose elements lie in C order.
    /// </summary>
    public sealed class BoxSpace : ArraySpace {
        internal readonly Bound Low, High;

        /// <summary>
        /// The same integer bounds for every element: <c>new BoxSpace(0, 255, DType.UInt8, 84, 84, 3)</c>.
        /// Without a shape the arrays have no dimensions.
        /// </summary>
        public BoxSpace(long low, long high, DType dtype, params long[] shape)
            : this(dtype, shape, false, Bound.Of(dtype, low), Bound.Of(dtype, high)) {
        }

        /// <summary>
        /// The same bounds for every element; infinite ones mean that there is none, and an integer dtype then stores
        /// its own smallest or largest value.
        /// </summary>
        public BoxSpace(double low, double high, DType dtype, params long[] shape)
            : this(dtype, shape, false, Bound.Of(dtype, low), Bound.Of(dtype, high)) {
        }

        /// <summary>Bounds for each element. Both arrays have the dtype and the shape of the space.</summary>
        public BoxSpace(NdArray low, NdArray high)
            : this(low.DType, low.Shape, false, Bound.Of(low), Bound.Of(high)) {
            if (high.DType != low.DType || high.Elements.Length != low.Elements.Length) {
                throw new ArgumentException("bounds of one dtype and shape");
            }
        }

        internal BoxSpace(DType dtype, long[] shape, bool bigEndian, Bound low, Bound high)
            : base(dtype, shape, bigEndian, DTypes.Size(dtype)) {
            Low = low;
            High = high;
        }

        internal override void Write(Writer writer) {
            writer.U32(0);
            writer.DType(DType, BigEndian);
            writer.Shape(Shape);
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
            ulong limit = value < 0 ? DTypes.Smallest(dtype) : DTypes.Largest(dtype);
            return Uniform(dtype, isLimit ? limit : DTypes.BitsOf(dtype, value), isBounded);
        }

        /// <summary>The short form where all elements are alike, so that equal spaces are equal bytes.</summary>
        public static Bound Of(NdArray values) {
            int count = values.Elements.Length;
            int size = DTypes.Size(values.DType);
            var bytes = new byte[count * size];
            Buffer.BlockCopy(values.Elements, 0, bytes, 0, bytes.Length);
            var bounded = new bool[count];
            bool isUniform = count > 0;
            for (int i = 0; i < count; i++) {
                ulong bits = Reader.Little(bytes, i * size, size);
                bounded[i] = !double.IsInfinity(DTypes.ToDouble(values.DType, bits));
                isUniform &= bits == Reader.Little(bytes, 0, size);
            }
            return isUniform ? Uniform(values.DType, Reader.Little(bytes, 0, size), bounded[0]) : new Bound(bytes, bounded, false);
        }

        static Bound Uniform(DType dtype, ulong bits, bool isBounded) {
            var values = new byte[DTypes.Size(dtype)];
            for (int i = 0; i < values.Length; i++) values[i] = (byte)(bits >> (8 * i));
            return new Bound(values, new[] { isBounded }, true);
        }

        public void Write(Writer writer) {
            writer.U32(IsUniform ? 0u : 1u);
            writer.Raw(Values, 0, Values.Length);
            for (int i = 0; i < Bounded.Length; i++) writer.Bool(Bounded[i]);
        }
    }

    /// <summary>
    /// Discrete: n integers from start on. An element is a long or a <see cref="Scalar"/> of the dtype; see
    /// <see cref="Value.ToInt64"/> for actions.
    /// </summary>
    public sealed class DiscreteSpace : EnvSpace {
        /// <summary>The integers start, start + 1, … start + n - 1. The dtype is one of the integers.</summary>
        public DiscreteSpace(long n, long start = 0, DType dtype = DType.Int64) : this(dtype, n > 0 ? (ulong)n : 0, start) {
        }

        internal DiscreteSpace(DType dtype, ulong n, long start) {
            if (n == 0 || !DTypes.IsInteger(dtype)) {
                throw new ArgumentException("a Discrete space of at least one integer");
            }
            N = n;
            Start = start;
            DType = dtype;
        }

        /// <summary>How many integers.</summary>
        public ulong N { get; }

        /// <summary>The first of them; for uint64, its bits.</summary>
        public long Start { get; }

        /// <summary>The dtype of elements that are NumPy scalars.</summary>
        public DType DType { get; }

        internal override bool HasPackedForm => true;

        internal override void Write(Writer writer) {
            writer.U32(1);
            writer.DType(DType, false);
            writer.U64(N);
            writer.I64(Start);
        }

        internal override bool Pack(Writer writer, Rows rows) {
            for (int row = 0; row < rows.Count; row++) {
                object element = rows[row];
                var scalar = element as Scalar;
                bool isScalar = scalar != null && scalar.DType == DType && !scalar.BigEndian;
                if (!Value.TryInt64(element, out long number) && !isScalar) return false;
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
                ulong number = Reader.Little(reader.Data, numbers + 8 * row, 8);
                if (!reader.Bool()) {
                    rows[row] = Value.Boxed((long)number);
                    continue;
                }
                ulong bits = DTypes.BitsOf(DType, (long)number);
                if (DTypes.ToInt64(DType, bits) != (long)number) {
                    throw Reader.Malformed("a number that " + DType + " does not have");
                }
                var scalar = rows[row] as Scalar;
                if (scalar?.DType != DType) {
                    rows[row] = new Scalar(DType, bits, false);
                } else {
                    scalar.Bits = bits;
                }
            }
            reader.Align(marks);
        }
    }

    /// <summary>MultiBinary: arrays of int8 that are 0 or 1. An observation may be an <c>sbyte[]</c>.</summary>
    public sealed class MultiBinarySpace : ArraySpace {
        internal readonly bool NIsInt;

        /// <summary>MultiBinary(n), in Python with an int.</summary>
        public MultiBinarySpace(long n) : this(new[] { n }, true) {
        }

        /// <summary>MultiBinary([…]), in Python with a list: arrays of this shape.</summary>
        public MultiBinarySpace(long[] shape) : this(shape, false) {
        }

        internal MultiBinarySpace(long[] shape, bool nIsInt) : base(DType.Int8, shape, false, 1) {
            NIsInt = nIsInt;
        }

        internal override void Write(Writer writer) {
            writer.U32(2);
            writer.Shape(Shape);
            writer.Bool(NIsInt);
        }
    }

    /// <summary>MultiDiscrete: arrays of integers, each from a range of its own. An observation may be a <c>long[]</c>.</summary>
    public sealed class MultiDiscreteSpace : ArraySpace {
        /// <summary>MultiDiscrete([n, m, …]): one dimension, int64, from 0.</summary>
        public MultiDiscreteSpace(params long[] nvec) : this(nvec, null) {
        }

        /// <summary>
        /// How many integers each element chooses from, and which is the first (0 unless said otherwise). The shape is
        /// that of one dimension unless given.
        /// </summary>
        public MultiDiscreteSpace(long[] nvec, long[] start, DType dtype = DType.Int64, long[] shape = null)
            : this(nvec, start ?? new long[nvec.Length], dtype, shape ?? new[] { nvec.LongLength }, false) {
        }

        internal MultiDiscreteSpace(long[] nvec, long[] start, DType dtype, long[] shape, bool bigEndian)
            : base(dtype, shape, bigEndian, 8) {
            bool isValid = nvec.LongLength == Count && start.LongLength == Count && DTypes.IsInteger(dtype);
            for (int i = 0; isValid && i < nvec.Length; i++) isValid = nvec[i] > 0;
            if (!isValid) {
                throw new ArgumentException("a MultiDiscrete space of integers, with nvec and start for each element");
            }
            NVec = nvec;
            Start = start;
        }

        /// <summary>How many integers each element chooses from.</summary>
        public long[] NVec { get; }

        /// <summary>The first integer of each element.</summary>
        public long[] Start { get; }

        internal override void Write(Writer writer) {
            writer.U32(3);
            writer.DType(DType, BigEndian);
            writer.Shape(Shape);
            writer.Shape(NVec);
            writer.Shape(Start);
        }
    }

    /// <summary>Text: strings of some characters. Lengths count code points.</summary>
    public sealed class TextSpace : EnvSpace {
        /// <summary>Gymnasium's characters unless others are named: 0 to 9, A to Z, a to z.</summary>
        public const string Alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

        /// <summary>Strings of this length at most, and of these characters.</summary>
        public TextSpace(long maxLength, long minLength = 1, string charset = Alphanumeric)
            : this(charset, (ulong)minLength, (ulong)maxLength) {
        }

        internal TextSpace(string charset, ulong minLength, ulong maxLength) {
            if (minLength > maxLength) throw new ArgumentException("the smallest length is above the largest");
            MaxLength = maxLength;
            MinLength = minLength;
            Charset = charset;
        }

        /// <summary>The largest length.</summary>
        public ulong MaxLength { get; }

        /// <summary>The smallest length.</summary>
        public ulong MinLength { get; }

        /// <summary>The characters, in order.</summary>
        public string Charset { get; }

        internal override void Write(Writer writer) {
            writer.U32(4);
            writer.U64(MinLength);
            writer.U64(MaxLength);
            writer.Str(Charset);
        }
    }

    /// <summary>Tuple: an element of each of several spaces, as a <see cref="PyTuple"/>.</summary>
    public sealed class TupleSpace : EnvSpace {
        internal readonly EnvSpace[] Spaces;

        /// <summary>A tuple of these spaces.</summary>
        public TupleSpace(params EnvSpace[] spaces) {
            Spaces = spaces;
        }

        internal override bool HasPackedForm => AllPacked(Spaces);

        internal static bool AllPacked(IList<EnvSpace> spaces) {
            for (int i = 0; i < spaces.Count; i++) {
                if (!spaces[i].HasPackedForm) return false;
            }
            return true;
        }

        internal override void Write(Writer writer) {
            writer.U32(5);
            writer.U64((ulong)Spaces.Length);
            foreach (var space in Spaces) writer.Space(space);
        }

        internal override bool Pack(Writer writer, Rows rows) {
            for (int row = 0; row < rows.Count; row++) {
                var tuple = rows[row] as PyTuple;
                if (tuple == null || tuple.Count != Spaces.Length) return false;
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
        internal readonly List<object> Keys = new List<object>();
        internal readonly List<EnvSpace> Spaces = new List<EnvSpace>();

        /// <summary>Adds a space; keys keep the order in which they are added.</summary>
        public void Add(object key, EnvSpace space) {
            Keys.Add(key is int ? (int)key : key);
            Spaces.Add(space);
        }

        /// <summary>All keys and spaces, in order.</summary>
        public IEnumerator<KeyValuePair<object, EnvSpace>> GetEnumerator() {
            for (int i = 0; i < Keys.Count; i++) yield return new KeyValuePair<object, EnvSpace>(Keys[i], Spaces[i]);
        }

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

        internal override bool HasPackedForm => TupleSpace.AllPacked(Spaces);

        internal override void Write(Writer writer) {
            writer.U32(6);
            writer.U64((ulong)Keys.Count);
            for (int i = 0; i < Keys.Count; i++) {
                writer.Key(Keys[i]);
                writer.Space(Spaces[i]);
            }
        }

        internal override bool Pack(Writer writer, Rows rows) {
            for (int row = 0; row < rows.Count; row++) {
                var dict = rows[row] as Dict;
                if (dict == null || dict.Count != Keys.Count) return false;
                for (int i = 0; i < Keys.Count; i++) {
                    if (!Dict.SameKey(Keys[i], dict.KeyAt(i))) return false;
                }
            }
            return rows.PackMembers(writer, Spaces);
        }

        internal override void Unpack(Reader reader, Rows rows) {
            for (int row = 0; row < rows.Count; row++) {
                if ((rows[row] as Dict)?.Count == Keys.Count) continue;
                var dict = new Dict();
                foreach (object key in Keys) dict.Append(key, null);
                rows[row] = dict;
            }
            rows.UnpackMembers(reader, Spaces);
        }
    }

    /// <summary>
    /// Sequence: any number of elements of one space, as a <see cref="PyTuple"/>; if stacked, as their batch: for
    /// most spaces one array with one dimension more in front.
    /// </summary>
    public sealed class SequenceSpace : EnvSpace {
        internal readonly EnvSpace Space;
        internal readonly bool Stack;

        /// <summary>Sequences of elements of this space.</summary>
        public SequenceSpace(EnvSpace space, bool stack = false) {
            Space = space;
            Stack = stack;
        }

        internal override void Write(Writer writer) {
            writer.U32(7);
            writer.Bool(Stack);
            writer.Space(Space);
        }
    }

    /// <summary>Graph: see the value <see cref="Graph"/>.</summary>
    public sealed class GraphSpace : EnvSpace {
        internal readonly EnvSpace Node, Edge;

        /// <summary>Graphs with nodes of one space and edges of another, or, if that is null, edges that carry nothing.</summary>
        public GraphSpace(EnvSpace node, EnvSpace edge) {
            Node = node;
            Edge = edge;
        }

        internal override void Write(Writer writer) {
            writer.U32(8);
            writer.Space(Node);
            writer.Bool(Edge != null);
            if (Edge != null) writer.Space(Edge);
        }
    }

    /// <summary>OneOf: a <see cref="PyTuple"/> of the index of one of several spaces, a Scalar of int64, and an element of it.</summary>
    public sealed class OneOfSpace : EnvSpace {
        internal readonly EnvSpace[] Spaces;

        /// <summary>An element of one of these spaces, of which there is at least one.</summary>
        public OneOfSpace(params EnvSpace[] spaces) {
            if (spaces.Length == 0) throw new ArgumentException("a OneOf of no spaces");
            Spaces = spaces;
        }

        internal override void Write(Writer writer) {
            writer.U32(9);
            writer.U64((ulong)Spaces.Length);
            foreach (var space in Spaces) writer.Space(space);
        }
    }

    // ---------------------------------------------------------------------------------------------- environments

    /// <summary>What a reset gives: the first observation, and an info or null.</summary>
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
        public StepResult(object observation, double reward, bool terminated = false, bool truncated = false, Dict info = null) {
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
    /// <see cref="Env"/> has defaults for all but the first four.
    /// </summary>
    public interface IEnv {
        /// <summary>The space of observations. An observation outside it arrives all the same.</summary>
        EnvSpace ObservationSpace { get; }

        /// <summary>The space of actions.</summary>
        EnvSpace ActionSpace { get; }

        /// <summary>Starts an episode. Without a seed (null) the random generator goes on as it is.</summary>
        ResetResult Reset(Seed seed, object options);

        /// <summary>
        /// Takes an action, a value as <see cref="Value"/> says. The next step fills the same objects with another
        /// action: copy what you want to keep. The observation that is returned may be used again, too.
        /// </summary>
        StepResult Step(object action);

        /// <summary>Gymnasium's metadata. An agent may ask for the modes listed in "render_modes" alone.</summary>
        Dict Metadata { get; }

        /// <summary>"reward_threshold", "nondeterministic", "max_episode_steps", as far as they are known.</summary>
        Dict Details { get; }

        /// <summary>A frame: of rgb_array an <see cref="NdArray"/> of uint8 of shape (height, width, 3), of ansi a string.</summary>
        object Render();

        /// <summary>Closes the environment; called once, at the end of the session.</summary>
        void Close();
    }

    /// <summary>An environment with defaults: no metadata, no details, no rendering, nothing to close.</summary>
    public abstract class Env : IEnv {
        /// <inheritdoc/>
        public abstract EnvSpace ObservationSpace { get; }

        /// <inheritdoc/>
        public abstract EnvSpace ActionSpace { get; }

        /// <inheritdoc/>
        public abstract ResetResult Reset(Seed seed, object options);

        /// <inheritdoc/>
        public abstract StepResult Step(object action);

        /// <inheritdoc/>
        public virtual Dict Metadata => new Dict();

        /// <inheritdoc/>
        public virtual Dict Details => new Dict();

        /// <inheritdoc/>
        public virtual object Render() {
            throw new RlayException(ErrorCode.Usage, "this environment does not render");
        }

        /// <inheritdoc/>
        public virtual void Close() {
        }
    }

    /// <summary>What an environment is to the agent: its spaces and the rest of Gymnasium's description.</summary>
    public sealed class Spec {
        /// <summary>A description. Metadata and details may be null.</summary>
        public Spec(EnvSpace observationSpace, EnvSpace actionSpace, Dict metadata = null, Dict details = null) {
            if (observationSpace == null || actionSpace == null) {
                throw new ArgumentException("an environment has an observation space and an action space");
            }
            ObservationSpace = observationSpace;
            ActionSpace = actionSpace;
            Metadata = metadata ?? new Dict();
            Details = details ?? new Dict();
        }

        /// <summary>The description of an environment.</summary>
        public Spec(IEnv env) : this(env.ObservationSpace, env.ActionSpace, env.Metadata, env.Details) {
        }

        /// <summary>The space of observations.</summary>
        public EnvSpace ObservationSpace { get; }

        /// <summary>The space of actions.</summary>
        public EnvSpace ActionSpace { get; }

        /// <summary>Gymnasium's metadata.</summary>
        public Dict Metadata { get; }

        /// <summary>Reward threshold, determinism, limit of steps.</summary>
        public Dict Details { get; }
    }

    /// <summary>What the agent wants made.</summary>
    public sealed class Make {
        /// <summary>Which environment, or null.</summary>
        public string EnvId { get; internal set; }

        /// <summary>Keyword arguments: only those that <see cref="Rlay.Options.AllowedKwargs"/> lists.</summary>
        public Dict Kwargs { get; internal set; }

        /// <summary>The render mode, or null.</summary>
        public string RenderMode { get; internal set; }

        internal uint Slots;
        internal byte Autoreset;
    }

    /// <summary>What backends, the poll form and sessions can be told.</summary>
    public sealed class Options {
        /// <summary>
        /// A secret that both ends know, of at least eight visible characters; null for none. It is never sent.
        /// </summary>
        public string Token { get; set; }

        /// <summary>How many sessions at a time, each with an environment and a thread of its own.</summary>
        public int MaxSessions { get; set; } = 1;

        /// <summary>The longest frame that is accepted, in bytes, from 65536 on.</summary>
        public int MaxFrame { get; set; } = 64 << 20;

        /// <summary>
        /// How long a session whose connection was lost is kept. Null: 30 s, and a dialer gives up at once if nobody
        /// listens any more.
        /// </summary>
        public TimeSpan? ReconnectTimeout { get; set; }

        /// <summary>The names of keyword arguments that agents may pass; none unless listed.</summary>
        public ICollection<string> AllowedKwargs { get; set; } = new string[0];

        /// <summary>Takes each line of the log, on any thread; the standard error output unless set.</summary>
        public Action<string> Log { get; set; } = Console.Error.WriteLine;

        /// <summary>The address that a program dials which an agent has launched, else null: RLAY_ADDRESS.</summary>
        public static string LaunchedAddress => FromVariable("RLAY_ADDRESS");

        /// <summary>The token of a program that an agent has launched, else null: RLAY_TOKEN.</summary>
        public static string LaunchedToken => FromVariable("RLAY_TOKEN");

        static string FromVariable(string name) {
            string text = Environment.GetEnvironmentVariable(name);
            return string.IsNullOrEmpty(text) ? null : text;
        }

        internal int FrameLimit => Math.Max(MaxFrame, Handshake.FrameLimit);

        internal long ReconnectMilliseconds => (long)(ReconnectTimeout ?? TimeSpan.FromSeconds(30)).TotalMilliseconds;

        internal void Say(string line) => Log?.Invoke("rlay: " + Texts.OneLine(line));

        internal void Check() {
            if (MaxSessions < 1) throw new RlayException(ErrorCode.Usage, "at least one session");
            int visible = 0;
            foreach (char c in Token ?? "") {
                visible += char.IsWhiteSpace(c) || char.IsControl(c) || char.IsLowSurrogate(c) ? 0 : 1;
            }
            if (Token != null && visible < 8) {
                throw new RlayException(ErrorCode.Usage, "the token has less than eight visible characters");
            }
        }
    }

    // ---------------------------------------------------------------------------------------------- sessions and turns

    /// <summary>What an agent asks for.</summary>
    public enum TurnKind {
        /// <summary>To make an environment: <see cref="Turn.Make"/>. The poll form answers it by itself.</summary>
        Make,
        /// <summary>To start an episode: <see cref="Turn.Seed"/>, <see cref="Turn.Options"/>.</summary>
        Reset,
        /// <summary>To take an action: <see cref="Turn.Action"/>.</summary>
        Step,
        /// <summary>To draw a frame.</summary>
        Render,
        /// <summary>To close the environment, or the agent is gone: <see cref="Turn.Reason"/>. Needs no answer.</summary>
        Close,
    }

    /// <summary>
    /// One request of an agent. Answer it once, by the method for its kind or by <see cref="Fail(Exception)"/>; an
    /// answer to an agent that is gone is dropped. A session has one such object and uses it for every turn.
    /// </summary>
    public sealed class Turn {
        readonly EnvSession session;

        internal Turn(EnvSession session) {
            this.session = session;
        }

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
        /// Answers Make. An error if the render mode that was asked for is none of the metadata's "render_modes".
        /// </summary>
        public void Reply(Spec spec) => session.AnswerMake(spec);

        /// <summary>Answers Reset. An error if the observation or info cannot be sent: then call Fail.</summary>
        public void Reply(ResetResult result) =>
            session.AnswerRow(TurnKind.Reset, new StepResult(result.Observation, 0, false, false, result.Info));

        /// <summary>Answers Step. An error if the observation or info cannot be sent: then call Fail.</summary>
        public void Reply(StepResult result) => session.AnswerRow(TurnKind.Step, result);

        /// <summary>Answers Render. An error if the frame cannot be sent: then call Fail.</summary>
        public void ReplyFrame(object frame) => session.AnswerFrame(frame);

        /// <summary>Answers Close, as soon as the environment is closed. To ask for the next turn does the same.</summary>
        public void ReplyClosed() => session.AnswerClosed();

        /// <summary>
        /// Answers any turn with an error: the agent's call raises it, with the type, message and stack trace, and
        /// the session goes on.
        /// </summary>
        public void Fail(Exception error) {
            var known = error as RlayException;
            if (known != null) {
                session.AnswerFailure(known.Code, "", known.Message, "");
                return;
            }
            session.AnswerFailure(ErrorCode.Env, error.GetType().FullName, error.Message, error.ToString());
        }

        /// <summary>The same without an exception.</summary>
        public void Fail(string errorType, string message, string trace = "") {
            session.AnswerFailure(ErrorCode.Env, errorType, message, trace);
        }
    }

    /// <summary>
    /// One session without sockets, clocks or threads: bytes in, turns out; answers in, bytes out. For programs that
    /// dial with a socket of their own:
    ///
    /// <code>
    /// session.Connected();                                   // after each connect
    /// socket.Send(session.Output …); session.Sent(count);    // as long as there is some
    /// session.Receive(bytes, 0, count);                      // what the socket brings
    /// Turn turn = session.NextTurn();                        // null: nothing to do yet
    /// session.ConnectionLost("why");                         // then dial again while CanResume, or GiveUp("why")
    /// </code>
    /// </summary>
    public sealed class EnvSession {
        enum State {
            NoEnv,
            Making,
            Open,
            Closing,
            Closed,
        }

        /// <summary>Output beyond which no more requests are taken: an agent that does not read gets no more work done.</summary>
        const int UnsentLimit = 1 << 16;

        readonly Options options;
        readonly Turn turn;
        readonly Reader reader = new Reader();
        readonly Outbox outbox = new Outbox();
        readonly Rows actions = new Rows(1);
        readonly Rows observations = new Rows(1);
        readonly Message message = new Message();
        FrameReader inbox = new FrameReader();
        DialerHandshake handshake;
        State state;
        Spec spec;
        string renderMode;
        byte[] ticket;
        ulong request;
        ulong peerAcked;
        uint frameLimit;
        bool isReady;
        bool isOwed;
        bool isCloseDue;

        /// <summary>A session that will dial.</summary>
        public EnvSession(Options options) {
            options.Check();
            this.options = options;
            turn = new Turn(this);
            IsSuspended = true;
        }

        /// <summary>A session whose handshake a listener has done. Without a ticket it ends with its connection.</summary>
        internal EnvSession(Options options, uint frameLimit, byte[] ticket) : this(options) {
            this.frameLimit = frameLimit;
            this.ticket = ticket;
            outbox.Keeps = ticket != null;
            IsAdmitted = true;
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

        /// <summary>Whether it has no connection that it goes on over.</summary>
        internal bool IsSuspended { get; private set; }

        /// <summary>The number of the last frame that was received.</summary>
        internal ulong Received { get; private set; }

        /// <summary>Held while the session changes, for a listener's threads look at it.</summary>
        internal readonly object Gate = new object();

        /// <summary>Called after each answer, to send it at once.</summary>
        internal Action Answered;

        // Connections

        /// <summary>
        /// Begins over a new connection of a dialer: the handshake, which resumes the session if it was admitted
        /// before.
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

        /// <summary>Whether a handshake is under way.</summary>
        internal bool IsShaking => handshake != null;

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
                    End(new RlayException(ErrorCode.ConnectionLost, "more was lost with the connection than was kept"));
                } else {
                    peerAcked = peerReceived;
                }
                return true;
            }
        }

        /// <summary>
        /// Takes nothing more from the connection, for another one replaces it. Returns the number of the last frame
        /// that was received.
        /// </summary>
        internal ulong Suspend() {
            lock (Gate) {
                IsSuspended = true;
                return Received;
            }
        }

        /// <summary>
        /// Says that the connection has ended. The session ends with it unless <see cref="CanResume"/>; else dial
        /// again and call <see cref="Connected()"/>, or give up.
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
            lock (Gate) {
                End(new RlayException(ErrorCode.ConnectionLost, why));
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
            get {
                lock (Gate) {
                    return handshake != null ? handshake.Output : IsSuspended ? new ArraySegment<byte>(new byte[0]) : outbox.Output;
                }
            }
        }

        /// <summary>Says that so many bytes of the output were sent.</summary>
        public void Sent(int count) {
            lock (Gate) {
                if (handshake != null) {
                    handshake.Sent(count);
                } else {
                    outbox.Sent(count);
                }
            }
        }

        /// <summary>Ends the session in an orderly way; what is left of the output is to be sent.</summary>
        public void Goodbye(ErrorCode code = 0, string why = "") {
            lock (Gate) {
                if (IsOver) return;
                if (IsAdmitted) {
                    Writer writer = outbox.Begin(Kind.Goodbye, Received, 0);
                    writer.U32((uint)code);
                    writer.Str(why);
                    outbox.Commit();
                }
                End(new RlayException(ErrorCode.Closed, why.Length > 0 ? why : "this end said goodbye"));
            }
        }

        // Turns

        /// <summary>
        /// What the agent wants, or null if nothing yet. While a turn is not answered, only Close can come, because
        /// the agent is gone.
        /// </summary>
        public Turn NextTurn() {
            lock (Gate) {
                if (isOwed && turn.Kind == TurnKind.Close) AnswerClosed();
                while (!IsOver && !IsSuspended && (handshake != null || outbox.Output.Count <= UnsentLimit)) {
                    try {
                        if (!inbox.Next(reader)) {
                            if (!inbox.IsClosed) return null;
                            End(new RlayException(ErrorCode.ConnectionLost, "the peer closed the connection"));
                        } else if (handshake != null) {
                            Shake();
                        } else if (Take()) {
                            isOwed = true;
                            return turn;
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
            if (IsAdmitted) {
                if (!Resume(inbox, welcome.Received)) {
                    // The listener has heard of more than it says now. Only a listener that errs does so.
                    throw Reader.Malformed("the listener has received less than it had acknowledged");
                }
                return;
            }
            IsAdmitted = true;
            ticket = welcome.Ticket;
            outbox.Keeps = ticket != null;
            frameLimit = Handshake.Agree(options, welcome.MaxFrame);
            inbox.Limit = frameLimit;
        }

        /// <summary>Takes a frame; whether it is a turn.</summary>
        bool Take() {
            message.Read(reader);
            if (message.Seq != Received + 1) {
                throw Reader.Malformed("frame " + message.Seq + " came after frame " + Received);
            }
            if (message.Ack > outbox.Last || message.Re > outbox.Last) {
                throw Reader.Malformed("an answer to a frame that was never sent");
            }
            Received = message.Seq;
            peerAcked = Math.Max(peerAcked, message.Ack);
            outbox.Acknowledge(peerAcked);
            switch (message.Kind) {
                case Kind.Goodbye:
                    End(new RlayException(ErrorCode.Closed, "the agent said goodbye" + Texts.Behind(message.Text)));
                    return false;
                case Kind.Error:
                    if (!message.IsFatal) throw Reader.Malformed("an agent answers nothing");
                    End(new RlayException(ErrorCode.Protocol, "the agent ended the session" + Texts.Behind(message.Text)));
                    return false;
                case Kind.Make:
                    return state != State.NoEnv ? Refuse(ErrorCode.Usage, "there is an environment") : TakeMake();
                case Kind.Close:
                    return TakeClose();
                case Kind.Reset:
                case Kind.Step:
                case Kind.Render:
                case Kind.Attribute:
                    return TakeRequest();
                case Kind.StepAgents:
                case Kind.ResultAgents:
                    return Refuse(state >= State.Closing ? ErrorCode.Closed : ErrorCode.Usage, "a kind that nobody speaks yet");
                default:
                    throw Reader.Malformed("a " + message.Kind + " does not come from an agent");
            }
        }

        bool TakeMake() {
            HasBegun = true;
            for (int i = 0; i < message.Make.Kwargs.Count; i++) {
                var name = message.Make.Kwargs.KeyAt(i) as string;
                if (name == null || !options.AllowedKwargs.Contains(name)) {
                    return Refuse(ErrorCode.Usage, "no keyword argument " + (name ?? "that is no text") + " is allowed here");
                }
            }
            state = State.Making;
            turn.Make = message.Make;
            return Owe(TurnKind.Make);
        }

        bool TakeClose() {
            if (state != State.Open) {
                return state < State.Open ? Refuse(ErrorCode.Usage, "there is no environment")
                    : Refuse(ErrorCode.Closed, "the environment was closed");
            }
            if (isOwed) return Refuse(ErrorCode.Busy, "another request is under way");
            state = State.Closing;
            isCloseDue = false;
            turn.Reason = "the agent closed the environment";
            return Owe(TurnKind.Close);
        }

        bool TakeRequest() {
            if (state != State.Open) {
                return state < State.Open ? Refuse(ErrorCode.Usage, "there is no environment")
                    : Refuse(ErrorCode.Closed, "the environment was closed");
            }
            if (message.Slots.Count != 1 || message.Slots[0] != 0) {
                return Refuse(ErrorCode.Usage, "there is slot 0 and no other");
            }
            if (isOwed) return Refuse(ErrorCode.Busy, "another request is under way");
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
                default:
                    return Refuse(ErrorCode.Usage, "no attributes are offered");
            }
        }

        bool TakeStep() {
            if (!message.IsPacked) {
                turn.Action = message.Values[0];
                return Owe(TurnKind.Step);
            }
            try {
                spec.ActionSpace.Unpack(reader, actions);
                reader.CheckEnd();
            } catch (RlayException error) {
                // What is wrong with a payload ends the request, not the session.
                return Refuse(ErrorCode.Protocol, error.Message);
            }
            turn.Action = actions[0];
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

        // Answers

        internal void AnswerMake(Spec made) {
            lock (Gate) {
                if (!Owes(TurnKind.Make)) return;
                string mode = turn.Make.RenderMode;
                if (mode != null && !HasMode(made.Metadata, mode)) {
                    throw new ArgumentException("the environment has no render mode " + mode);
                }
                Writer writer = outbox.Begin(Kind.Spec, Received, request);
                try {
                    writer.Str(turn.Make.EnvId ?? "");
                    writer.Space(made.ObservationSpace);
                    writer.Space(made.ActionSpace);
                    writer.U32(1);
                    writer.U8(0);
                    writer.Bool(mode != null);
                    if (mode != null) writer.Str(mode);
                    writer.Message(made.Metadata, true);
                    writer.Message(made.Details, true);
                    writer.U64(0);
                    CheckSize(writer);
                } catch {
                    outbox.Cancel();
                    throw;
                }
                outbox.Commit();
                spec = made;
                renderMode = mode;
                isReady = false;
                actions[0] = null;
                state = State.Open;
                isCloseDue = true;
                isOwed = false;
            }
            Answered?.Invoke();
        }

        static bool HasMode(Dict metadata, string mode) {
            var modes = metadata["render_modes"] as IEnumerable;
            if (modes != null) {
                foreach (object known in modes) {
                    if (known as string == mode) return true;
                }
            }
            return false;
        }

        internal void AnswerRow(TurnKind kind, StepResult result) {
            lock (Gate) {
                if (!Owes(kind)) return;
                bool isFirst = kind == TurnKind.Reset;
                Writer writer = outbox.Begin(Kind.Result, Received, request);
                try {
                    writer.U64(1);
                    writer.U32(0);
                    writer.U8((byte)((isFirst ? 1 : 0) | (result.Terminated ? 2 : 0) | (result.Truncated ? 4 : 0)));
                    writer.F64(result.Reward);
                    writer.Message(result.Info ?? Empty, true);
                    observations[0] = result.Observation;
                    writer.Payload(spec.ObservationSpace, observations);
                    CheckSize(writer);
                } catch {
                    outbox.Cancel();
                    throw;
                }
                outbox.Commit();
                HasPlayed = true;
                isReady = true;
                isOwed = false;
            }
            Answered?.Invoke();
        }

        static readonly Dict Empty = new Dict();

        internal void AnswerFrame(object frame) {
            lock (Gate) {
                if (!Owes(TurnKind.Render)) return;
                Writer writer = outbox.Begin(Kind.Frames, Received, request);
                try {
                    writer.U64(1);
                    writer.U32(0);
                    writer.Message(frame, renderMode == "human");
                    CheckSize(writer);
                } catch {
                    outbox.Cancel();
                    throw;
                }
                outbox.Commit();
                isOwed = false;
            }
            Answered?.Invoke();
        }

        internal void AnswerClosed() {
            lock (Gate) {
                if (!Owes(TurnKind.Close)) return;
                outbox.Begin(Kind.Closed, Received, request).U64(0);
                outbox.Commit();
                state = State.Closed;
                isOwed = false;
            }
            Answered?.Invoke();
        }

        internal void AnswerFailure(ErrorCode code, string errorType, string text, string trace) {
            lock (Gate) {
                if (!Owes(turn.Kind)) return;
                WriteError(code, false, request, errorType, text, trace);
                if (turn.Kind == TurnKind.Make) {
                    state = State.NoEnv;
                } else if (turn.Kind == TurnKind.Close) {
                    state = State.Closed;
                }
                isOwed = false;
            }
            Answered?.Invoke();
        }

        /// <summary>Whether there is somebody to answer to. An error if nothing, or something else, was asked.</summary>
        bool Owes(TurnKind kind) {
            if (IsOver) return false;
            if (!isOwed || turn.Kind != kind) {
                throw new RlayException(ErrorCode.Usage, isOwed ? "the turn is a " + turn.Kind : "the turn was answered already");
            }
            return true;
        }

        void CheckSize(Writer writer) {
            if (writer.FrameLength > frameLimit) {
                string text = "an answer of " + writer.FrameLength + " bytes; a frame has " + frameLimit + " at most";
                throw new RlayException(ErrorCode.Usage, text);
            }
        }

        void WriteError(ErrorCode code, bool isFatal, ulong re, string errorType, string text, string trace) {
            Writer writer = outbox.Begin(Kind.Error, Received, re);
            writer.U32((uint)code);
            writer.Bool(isFatal);
            writer.U64(0);
            writer.CutText(errorType);
            writer.CutText(text);
            writer.CutText(trace);
            outbox.Commit();
        }

        /// <summary>The peer broke the protocol, or has refused the dialer.</summary>
        void Abort(RlayException error) {
            if (IsOver) return;
            if (handshake != null || !IsAdmitted) {
                // Nothing is said to a peer before the handshake is over.
                End(error);
                return;
            }
            WriteError(ErrorCode.Protocol, true, 0, "", error.Message, "");
            End(error);
        }

        void End(RlayException why) {
            if (IsOver) return;
            Error = why;
            isOwed = false;
            outbox.CloseMark();
        }
    }

    // ---------------------------------------------------------------------------------------------- the poll form

    /// <summary>
    /// Hosts one environment in the loop of an engine, which must never block: call <see cref="Poll"/> once a frame.
    ///
    /// <code>
    /// var host = PolledEnv.Dial(spec, "tcp://127.0.0.1:5005", new Options());
    /// // each frame:
    /// Turn turn = host.Poll();
    /// if (turn != null &amp;&amp; turn.Kind == TurnKind.Step) { Apply(turn.Action); turn.Reply(new StepResult(…)); }
    /// </code>
    ///
    /// One agent after another is served. All methods are for one thread.
    /// </summary>
    public sealed class PolledEnv {
        readonly Spec spec;
        readonly Options options;
        readonly Address address;
        readonly Acceptor acceptor;
        readonly Queue<Driver> admitted = new Queue<Driver>();
        Driver driver;
        bool isClosed;

        PolledEnv(Spec spec, string address, Options options, bool listens) {
            options.Check();
            this.spec = spec;
            this.options = options;
            this.address = new Address(address);
            if (listens) acceptor = new Acceptor(this.address, options, Admit);
        }

        /// <summary>
        /// Dials an agent that listens (ServerEnv), and again after each session, for as long as nobody listens there.
        /// </summary>
        public static PolledEnv Dial(Spec spec, string address, Options options) =>
            new PolledEnv(spec, address, options, false);

        /// <summary>Listens for agents that dial (ClientEnv); port 0 takes any that is free.</summary>
        public static PolledEnv Listen(Spec spec, string address, Options options) =>
            new PolledEnv(spec, address, options, true);

        /// <summary>The address, with the port that it has.</summary>
        public string Address => acceptor != null ? acceptor.Address : address.Text;

        /// <summary>Whether an agent has made the environment and has not left.</summary>
        public bool IsPlaying => driver != null && driver.Session.HasBegun && !driver.Session.IsOver;

        /// <summary>
        /// What the agent wants, or null: Reset, Step, Render or Close. It waits so many milliseconds for an agent
        /// that is there; 0 never blocks. Answer a turn before you ask for the next one: until then only Close can
        /// come, because the agent is gone. Throws if the listener has refused this end for good, as over a wrong token; a
        /// later call dials again.
        /// </summary>
        public Turn Poll(int waitMilliseconds = 0) {
            if (isClosed) return null;
            long deadline = Clock.After(waitMilliseconds);
            while (true) {
                driver = driver ?? Next();
                if (driver == null) return null;
                Turn turn = driver.Poll(IsPlaying ? Clock.Until(deadline) : 0);
                if (turn != null && turn.Kind == TurnKind.Make) {
                    AnswerMake(turn);
                } else if (turn != null) {
                    return turn;
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
        }

        /// <summary>Ends the session with a goodbye, and takes no others.</summary>
        public void Close() {
            isClosed = true;
            acceptor?.Close();
            Driver last;
            while ((last = driver ?? Next()) != null) {
                driver = null;
                last.Session.Goodbye();
                last.Finish();
                if (acceptor == null) return;
            }
        }

        void AnswerMake(Turn turn) {
            try {
                turn.Reply(spec);
            } catch (Exception error) {
                turn.Fail(error);
            }
        }

        void Admit(Driver session) {
            lock (admitted) {
                admitted.Enqueue(session);
            }
        }

        readonly Pauses pauses = new Pauses();

        Driver Next() {
            if (acceptor == null) return isClosed ? null : new DialDriver(address, options, pauses);
            lock (admitted) {
                return admitted.Count > 0 ? admitted.Dequeue() : null;
            }
        }
    }

    // ---------------------------------------------------------------------------------------------- backends

    /// <summary>What both backends have in common: the function that makes environments, and running.</summary>
    public abstract class Backend {
        readonly Func<Make, IEnv> make;
        readonly List<Thread> threads = new List<Thread>();
        internal readonly Options Options;
        internal volatile bool IsClosing;

        internal Backend(Func<Make, IEnv> make, Options options) {
            Options = options ?? new Options();
            Options.Check();
            this.make = make;
        }

        /// <summary>The address, with the port that it has.</summary>
        public abstract string Address { get; }

        /// <summary>Serves until <see cref="Close"/> is called from another thread.</summary>
        public abstract void Run();

        /// <summary>Serves on a thread of its own, which does not keep the program alive.</summary>
        public void Start() {
            StartThread(() => {
                try {
                    Run();
                } catch (RlayException error) {
                    Options.Say(error.Message);
                }
            });
        }

        /// <summary>
        /// Says goodbye to the agents and closes the environments; returns within two seconds, though an environment
        /// may still be in the middle of a step. May be called twice.
        /// </summary>
        public virtual void Close() {
            IsClosing = true;
            long deadline = Clock.After(2000);
            Thread[] running;
            lock (threads) {
                running = threads.ToArray();
            }
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

        /// <summary>Plays one session on this thread. <paramref name="begun"/> is called when an agent has asked for something.</summary>
        internal void Play(Driver driver, Action begun) {
            EnvSession session = driver.Session;
            IEnv env = null;
            try {
                while (!session.IsOver) {
                    if (IsClosing) {
                        session.Goodbye();
                        break;
                    }
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

        void Answer(Turn turn, ref IEnv env) {
            switch (turn.Kind) {
                case TurnKind.Make:
                    IEnv made = make(turn.Make);
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
                    IEnv closed = env;
                    env = null;
                    closed?.Close();
                    turn.ReplyClosed();
                    break;
            }
        }

        void CloseQuietly(IEnv env) {
            try {
                env?.Close();
            } catch (Exception error) {
                Options.Say("the environment could not be closed: " + error.Message);
            }
        }
    }

    /// <summary>
    /// Hosts environments by dialing agents that listen (ServerEnv, ServerVectorEnv), as a game does that a person
    /// starts. It dials again after each session. One session waits for an agent at any time; as soon as it is taken
    /// a spare one dials, up to <see cref="Options.MaxSessions"/>. Each environment is made, stepped and closed on
    /// one thread.
    /// </summary>
    public sealed class ClientBackend : Backend {
        readonly Address address;
        readonly SemaphoreSlim spare = new SemaphoreSlim(1);
        RlayException refusal;

        /// <summary>Will dial; <paramref name="make"/> makes each environment.</summary>
        public ClientBackend(Func<Make, IEnv> make, string address, Options options = null) : base(make, options) {
            this.address = new Address(address);
        }

        /// <inheritdoc/>
        public override string Address => address.Text;

        /// <summary>
        /// Serves until <see cref="Backend.Close"/>. Throws if the listener refuses this end for good, as over a wrong
        /// token.
        /// </summary>
        public override void Run() {
            for (int i = 1; i < Options.MaxSessions; i++) StartThread(PlayOn);
            PlayOn();
            if (refusal != null) throw refusal;
        }

        void PlayOn() {
            var pauses = new Pauses();
            while (!IsClosing) {
                if (!spare.Wait(100)) continue;
                var driver = new DialDriver(address, Options, pauses);
                bool isSpare = true;
                try {
                    Play(driver, () => {
                        isSpare = false;
                        spare.Release();
                    });
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
    /// Hosts environments by listening for agents that dial (ClientEnv), as a simulator on a server does. Each session
    /// has a thread, on which its environment is made, stepped and closed; agents beyond
    /// <see cref="Options.MaxSessions"/> are told that there is no room.
    /// </summary>
    public sealed class ServerBackend : Backend {
        readonly Acceptor acceptor;
        readonly ManualResetEventSlim closed = new ManualResetEventSlim();

        /// <summary>
        /// Listens at the address, port 0 being any that is free; agents are admitted at once. <paramref name="make"/>
        /// makes each environment.
        /// </summary>
        public ServerBackend(Func<Make, IEnv> make, string address, Options options = null) : base(make, options) {
            acceptor = new Acceptor(new Address(address), Options, driver => StartThread(() => Play(driver, null)));
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

    // ---------------------------------------------------------------------------------------------- connections

    /// <summary>A clock in milliseconds that is never set.</summary>
    internal static class Clock {
        public static long Now => (long)(Stopwatch.GetTimestamp() * (1000.0 / Stopwatch.Frequency));

        public static long After(long milliseconds) => Now + milliseconds;

        /// <summary>How long until then, at least 0.</summary>
        public static int Until(long then) => (int)Math.Min(Math.Max(then - Now, 0), int.MaxValue);
    }

    /// <summary>The pauses of a dialer, from 20 ms to 1 s.</summary>
    internal sealed class Pauses {
        int next;
        long over;

        /// <summary>How long the pause lasts.</summary>
        public int Left => Clock.Until(over);

        /// <summary>Begins one that is longer than that before; none if that was never, or was forgotten.</summary>
        public void Begin() {
            over = Clock.After(next);
            next = Math.Min(Math.Max(20, 2 * next), 1000);
        }

        /// <summary>Forgets them, because all went well.</summary>
        public void Forget() {
            next = 0;
        }
    }

    /// <summary>A place to dial or to listen at.</summary>
    internal sealed class Address {
        public readonly string Text, Host;
        public readonly int Port;

        public Address(string text) {
            const string scheme = "tcp://";
            int colon = text == null ? -1 : text.LastIndexOf(':');
            if (text == null || !text.StartsWith(scheme, StringComparison.Ordinal)) {
                throw Bad(text, "this client knows tcp:// alone; use tcp://host:port at both ends, for example tcp://127.0.0.1:5005");
            }
            if (colon < scheme.Length || !ushort.TryParse(text.Substring(colon + 1), out ushort port)) {
                throw Bad(text, "an address is tcp://host:port, and has no options here");
            }
            Text = text;
            Host = text.Substring(scheme.Length, colon - scheme.Length).Trim('[', ']');
            Port = port;
            if (Host.Length == 0) throw Bad(text, "the host is missing");
        }

        static RlayException Bad(string text, string why) =>
            new RlayException(ErrorCode.Address, "the address " + text + " cannot be used: " + why);

        /// <summary>What the host's name stands for. It blocks while a name is looked up.</summary>
        public IPAddress[] Resolve() =>
            IPAddress.TryParse(Host, out IPAddress number) ? new[] { number } : Dns.GetHostAddresses(Host);
    }

    /// <summary>What waiting for bytes has brought.</summary>
    internal enum Arrival {
        Nothing,
        Bytes,
        End,
    }

    /// <summary>A socket that never blocks, and the frames that have arrived.</summary>
    internal sealed class Connection {
        readonly Socket socket;
        public readonly FrameReader Inbox = new FrameReader();

        public Connection(Socket socket) {
            this.socket = socket;
            socket.NoDelay = true;
            socket.Blocking = false;
            KeepAlive();
        }

        /// <summary>Lets the system find out within a minute that the other machine is gone.</summary>
        void KeepAlive() {
            try {
                socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
                var times = new byte[12];
                BitConverter.GetBytes(1).CopyTo(times, 0);
                BitConverter.GetBytes(10000).CopyTo(times, 4);
                BitConverter.GetBytes(2000).CopyTo(times, 8);
                socket.IOControl(IOControlCode.KeepAliveValues, times, null);
            } catch (Exception) {
                // Some platforms have their own times alone.
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

        /// <summary>Waits until something has arrived, or until more can be sent.</summary>
        public Arrival Receive(int milliseconds, bool orCanSend) {
            try {
                if (orCanSend) {
                    // A socket is asked for one of both. What arrives meanwhile waits a little.
                    socket.Poll(Math.Min(milliseconds, 20) * 1000, SelectMode.SelectWrite);
                    milliseconds = 0;
                }
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
        /// Closes it so that what was sent arrives: a socket that is closed with bytes unread resets the connection.
        /// </summary>
        public void Close() {
            try {
                socket.Shutdown(SocketShutdown.Send);
            } catch (Exception) {
                socket.Close();
                return;
            }
            Task.Run(() => {
                long deadline = Clock.After(1000);
                var rest = new byte[4096];
                try {
                    while (socket.Poll(Clock.Until(deadline) * 1000, SelectMode.SelectRead)
                        && socket.Receive(rest, 0, rest.Length, SocketFlags.None, out SocketError _) > 0) {
                    }
                } catch (Exception) {
                    // It is closed in any case.
                }
                socket.Close();
            });
        }
    }

    /// <summary>Moves the bytes of one session, and brings it another connection where one is lost.</summary>
    internal abstract class Driver {
        public readonly EnvSession Session;
        protected readonly Options Options;
        protected volatile Connection Connection;
        protected long LostAt;
        bool isStuck;

        protected Driver(EnvSession session, Options options) {
            Session = session;
            Options = options;
            session.Answered = () => Flush();
        }

        /// <summary>Finds another connection within this time; whether there is one.</summary>
        protected abstract bool Connect(int milliseconds);

        /// <summary>Notes that the connection is gone.</summary>
        protected virtual void Lost() {
        }

        /// <summary>Whether an end of the session is wanted by another thread, or by the time.</summary>
        protected virtual void CheckTime() {
        }

        /// <summary>The next turn, or null if there is none within this time or the session is over.</summary>
        public Turn Poll(int milliseconds) {
            long deadline = Clock.After(milliseconds);
            while (true) {
                Turn turn = Session.NextTurn();
                if (turn != null) return turn;
                CheckTime();
                if (Session.IsOver) {
                    // What is due now is the turn that says so, if there is one.
                    return Session.NextTurn();
                }
                int left = Clock.Until(deadline);
                if (Connection == null) {
                    if (!Connect(left)) return null;
                    continue;
                }
                Arrival arrival = Flush() ? Connection.Receive(left, isStuck) : Arrival.End;
                if (arrival == Arrival.End) {
                    Drop("the connection was lost");
                } else if (arrival == Arrival.Nothing && Clock.Until(deadline) == 0) {
                    return null;
                }
            }
        }

        protected void Drop(string why) {
            Connection.Cut();
            Connection.Close();
            Connection = null;
            LostAt = Clock.Now;
            Session.ConnectionLost(why);
            Lost();
        }

        /// <summary>Sends what there is to send; false if the connection is lost.</summary>
        bool Flush() {
            lock (Session.Gate) {
                Connection connection = Connection;
                isStuck = false;
                while (connection != null && Session.Output.Count > 0) {
                    int sent = connection.Send(Session.Output);
                    if (sent <= 0) {
                        isStuck = sent == 0;
                        return isStuck;
                    }
                    Session.Sent(sent);
                }
                return true;
            }
        }

        /// <summary>Sends the last words of a session that is over, and closes the connection.</summary>
        public virtual void Finish() {
            long deadline = Clock.After(200);
            Connection connection = Connection;
            if (connection != null) {
                while (Flush() && isStuck && Clock.Until(deadline) > 0) {
                    if (connection.Receive(Clock.Until(deadline), true) == Arrival.End) break;
                }
                Connection = null;
                connection.Close();
            }
        }

        /// <summary>Throws what ended the session if dialing again does not help.</summary>
        public void ThrowIfRefused() {
            ErrorCode code = Session.Error != null ? Session.Error.Code : 0;
            if (!Session.IsAdmitted && (code == ErrorCode.Unauthorized || code == ErrorCode.Incompatible)) {
                throw Session.Error;
            }
        }
    }

    /// <summary>Dials, for one session. The dialing itself goes on in the background, for it blocks.</summary>
    internal sealed class DialDriver : Driver {
        const int ConnectTimeout = 5000;

        readonly Address address;
        readonly Pauses pauses;
        Task<Socket> dialing;
        long shakenBy;
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
            try {
                if (!dialing.Wait(Clock.Until(deadline))) return false;
                Connection = new Connection(dialing.Result);
                dialing = null;
            } catch (Exception error) {
                dialing = null;
                Failed((error as AggregateException)?.InnerException ?? error);
                return false;
            }
            receivedBefore = Session.Received;
            shakenBy = Clock.After(Handshake.Timeout);
            Session.Connected(Connection.Inbox);
            return true;
        }

        Socket Dial() {
            Exception last = null;
            foreach (IPAddress number in address.Resolve()) {
                var socket = new Socket(number.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                try {
                    IAsyncResult connecting = socket.BeginConnect(number, address.Port, null, null);
                    if (!connecting.AsyncWaitHandle.WaitOne(ConnectTimeout)) {
                        throw new SocketException((int)SocketError.TimedOut);
                    }
                    socket.EndConnect(connecting);
                    return socket;
                } catch (Exception error) {
                    socket.Close();
                    last = error;
                }
            }
            throw last ?? new SocketException((int)SocketError.HostNotFound);
        }

        void Failed(Exception error) {
            pauses.Begin();
            var known = error as SocketException;
            bool isRefused = known != null && known.SocketErrorCode == SocketError.ConnectionRefused;
            if (Session.IsAdmitted && isRefused && Options.ReconnectTimeout == null) {
                Session.GiveUp("the connection was lost, and nobody listens at " + address.Text + " any more");
            } else if (!hasSaid) {
                hasSaid = true;
                Options.Say("no agent at " + address.Text + " yet (" + error.Message + "); dialing on");
            }
        }

        protected override void Lost() {
            if (Session.Received > receivedBefore) pauses.Forget();
            pauses.Begin();
        }

        protected override void CheckTime() {
            if (Session.HasPlayed) pauses.Forget();
            if (Connection != null) {
                if (Session.IsShaking && Clock.Until(shakenBy) == 0) {
                    Drop("the listener did not answer the handshake within 5 s");
                }
            } else if (Session.IsAdmitted && Clock.Now - LostAt > Options.ReconnectMilliseconds) {
                Session.GiveUp("the connection was lost and could not be made again in time");
            }
        }

        public override void Finish() {
            base.Finish();
            dialing?.ContinueWith(late => {
                if (late.Status == TaskStatus.RanToCompletion) {
                    late.Result.Close();
                } else {
                    // Looked at, so that nobody reports it as unobserved.
                    GC.KeepAlive(late.Exception);
                }
            });
        }
    }

    /// <summary>A session that a listener has admitted. The listener brings it the connections of a dialer that comes back.</summary>
    internal sealed class ListenDriver : Driver {
        readonly Acceptor acceptor;
        readonly long admittedAt = Clock.Now;
        Connection offered;
        ulong offeredReceived;
        int attempts;
        RlayException ending;

        public readonly byte[] Ticket;

        public ListenDriver(Acceptor acceptor, Options options, uint frameLimit, byte[] ticket, Connection connection)
            : base(new EnvSession(options, frameLimit, ticket), options) {
            this.acceptor = acceptor;
            Ticket = ticket;
            Session.Resume(connection.Inbox, 0);
            Connection = connection;
        }

        /// <summary>Whether the session has no connection, and since when.</summary>
        public bool IsLost => Connection == null;

        /// <summary>When the last connection was lost.</summary>
        public long LostSince => LostAt;

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
        /// Gives up the old connection for another one. Returns the number of the attempt, and of the last frame that
        /// has arrived; 0 attempts if the session is over.
        /// </summary>
        public int BeginTakeover(out ulong received) {
            lock (Session.Gate) {
                received = Session.Suspend();
                if (Session.IsOver || ending != null) return 0;
                Connection?.Cut();
                return ++attempts;
            }
        }

        /// <summary>Offers the connection of an attempt; without effect if there was a later attempt.</summary>
        public void Offer(int attempt, Connection connection, ulong peerReceived) {
            lock (Session.Gate) {
                if (attempt != attempts || Session.IsOver) {
                    connection.Close();
                    return;
                }
                offered?.Close();
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
                if (!Session.Resume(next.Inbox, offeredReceived)) {
                    next.Close();
                    return false;
                }
                Connection = next;
                return true;
            }
        }

        protected override void CheckTime() {
            lock (Session.Gate) {
                if (ending != null) {
                    Session.Goodbye(ending.Code, ending.Message);
                } else if (Connection == null && offered == null && Clock.Now - LostAt > Options.ReconnectMilliseconds) {
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
        readonly Action<Driver> admitted;
        readonly Socket listener;
        readonly List<ListenDriver> sessions = new List<ListenDriver>();
        volatile bool isClosed;
        int handshakes;

        public Acceptor(Address address, Options options, Action<Driver> admitted) {
            this.options = options;
            this.admitted = admitted;
            try {
                IPAddress number = address.Resolve()[0];
                listener = new Socket(number.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
                if (Environment.OSVersion.Platform == PlatformID.Unix) {
                    // There it lets a program that was just ended start again; elsewhere it would let two listen.
                    listener.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
                }
                listener.Bind(new IPEndPoint(number, address.Port));
                listener.Listen(512);
            } catch (SocketException error) {
                listener?.Close();
                bool isTaken = error.SocketErrorCode == SocketError.AddressAlreadyInUse;
                throw new RlayException(isTaken ? ErrorCode.AddressInUse : ErrorCode.Address,
                    "cannot listen at " + address.Text + ": " + error.Message);
            }
            string host = address.Host.IndexOf(':') >= 0 ? "[" + address.Host + "]" : address.Host;
            Address = "tcp://" + host + ":" + ((IPEndPoint)listener.LocalEndPoint).Port;
            new Thread(Accept) { IsBackground = true, Name = "rlay-accept" }.Start();
        }

        public string Address { get; }

        public void Close() {
            isClosed = true;
            listener.Close();
        }

        public void Release(ListenDriver session) {
            lock (sessions) {
                sessions.Remove(session);
            }
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
                if (Interlocked.Increment(ref handshakes) > HandshakesAtOnce) {
                    Interlocked.Decrement(ref handshakes);
                    socket.Close();
                    continue;
                }
                new Thread(() => Shake(socket)) { IsBackground = true, Name = "rlay-handshake" }.Start();
            }
        }

        void Shake(Socket socket) {
            Connection connection = null;
            try {
                connection = new Connection(socket);
                var handshake = new ListenerHandshake(options, connection);
                handshake.Run();
                if (handshake.Hello.IsResuming ? Readmit(handshake) : Admit(handshake)) connection = null;
            } catch (RlayException error) {
                options.Say("a dialer was refused: " + error.Message);
            } catch (Exception error) {
                options.Say("a handshake failed: " + error.Message);
            } finally {
                Interlocked.Decrement(ref handshakes);
                connection?.Close();
            }
        }

        bool Readmit(ListenerHandshake handshake) {
            ListenDriver session = null;
            lock (sessions) {
                foreach (ListenDriver candidate in sessions) {
                    if (candidate.Ticket != null && Handshake.AreEqual(candidate.Ticket, handshake.Hello.Ticket)) {
                        session = candidate;
                    }
                }
            }
            ulong received = 0;
            int attempt = session == null ? 0 : session.BeginTakeover(out received);
            if (attempt == 0) {
                handshake.Reject(ErrorCode.ConnectionLost, "the session has ended; open a new one");
                return false;
            }
            handshake.Welcome(null, received);
            session.Offer(attempt, handshake.Connection, handshake.Hello.Received);
            return true;
        }

        bool Admit(ListenerHandshake handshake) {
            ListenDriver session = null;
            bool canResume = (handshake.Hello.Features & Handshake.Resumable) != 0;
            lock (sessions) {
                if (!isClosed && sessions.Count < options.MaxSessions) {
                    byte[] ticket = canResume ? Handshake.Random() : null;
                    uint limit = Handshake.Agree(options, handshake.Hello.MaxFrame);
                    session = new ListenDriver(this, options, limit, ticket, handshake.Connection);
                    sessions.Add(session);
                } else {
                    MakeRoom();
                }
            }
            if (session == null) {
                handshake.Reject(ErrorCode.Busy, "all " + options.MaxSessions + " sessions of this host are taken");
                return false;
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

        /// <summary>Has a session end that waits for its dialer, or that never began, so that the next dialer finds room.</summary>
        void MakeRoom() {
            ListenDriver longest = null, idle = null;
            foreach (ListenDriver session in sessions) {
                if (session.IsLost && (longest == null || session.LostSince < longest.LostSince)) longest = session;
                if (session.IsIdle) idle = session;
            }
            (longest ?? idle)?.EndSoon(new RlayException(ErrorCode.Busy, "another agent needs the session"));
        }
    }

    // ---------------------------------------------------------------------------------------------- the handshake

    internal static class Handshake {
        public const int FrameLimit = 65536;
        public const int Timeout = 5000;
        public const ulong Resumable = 1, Resuming = 2;
        public const ushort Wire = 0;
        public const byte Env = 1;
        public const string Peer = "rlay-csharp 0.1.0";

        /// <summary>The frame limit of a session: the smaller of both sides', but not below that of the handshake.</summary>
        public static uint Agree(Options options, ulong theirs) =>
            (uint)Math.Max(Math.Min((ulong)options.FrameLimit, theirs), FrameLimit);

        public static byte[] Random() {
            var bytes = new byte[32];
            using (var random = RandomNumberGenerator.Create()) {
                random.GetBytes(bytes);
            }
            return bytes;
        }

        /// <summary>What one side sends to prove that it knows the token.</summary>
        public static byte[] Prove(string token, string who, byte[] hello, byte[] challenge) {
            var text = new Writer();
            text.Str(token);
            var said = new Writer();
            foreach (byte[] part in new[] { Encoding.ASCII.GetBytes(who), hello, challenge }) {
                said.Raw(part, 0, part.Length);
            }
            using (var hash = SHA256.Create())
            using (var hmac = new HMACSHA256(hash.ComputeHash(text.Buffer, 0, text.Length))) {
                return hmac.ComputeHash(said.Buffer, 0, said.Length);
            }
        }

        /// <summary>Compares secrets in a time that does not tell where they differ.</summary>
        public static bool AreEqual(byte[] a, byte[] b) {
            int different = a.Length ^ b.Length;
            for (int i = 0; i < a.Length && i < b.Length; i++) different |= a[i] ^ b[i];
            return different == 0;
        }

        /// <summary>Begins a frame of the handshake, behind its length, whose place is kept.</summary>
        public static Writer Begin(Kind kind) {
            var writer = new Writer();
            writer.BeginFrame(kind, 0, 0, 0);
            return writer;
        }
    }

    /// <summary>The fields of Hello.</summary>
    internal sealed class Hello {
        public ushort WireMin, WireMax;
        public byte Role, Auth;
        public ulong Features, MaxFrame, Received;
        public string Peer = "";
        public byte[] Nonce, Ticket;

        public bool IsResuming => (Features & Handshake.Resuming) != 0;

        /// <summary>Reads what has the same form in every wire number.</summary>
        public void ReadStart(Reader reader) {
            if (reader.U32() != 0x59414c52) throw Reader.Malformed("no RLay endpoint");
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
            writer.U32(0x59414c52);
            writer.U16(WireMin);
            writer.U16(WireMax);
            writer.U8(Role);
            writer.U8(Auth);
            writer.U64(Features);
            writer.U64(MaxFrame);
            writer.Str(Peer);
            if (Auth == 1) writer.Raw(Nonce, 0, 32);
            if (IsResuming) {
                writer.Raw(Ticket, 0, 32);
                writer.U64(Received);
            }
        }
    }

    /// <summary>The fields of Welcome.</summary>
    internal sealed class Welcome {
        public ushort Wire;
        public ulong Features, MaxFrame, Received;
        public string Peer = "";
        public byte[] Proof, Ticket;

        public void Read(Reader reader) {
            Wire = reader.U16();
            Features = reader.U64();
            MaxFrame = reader.U64();
            Peer = reader.Str(256);
            Proof = reader.Bool() ? reader.Take(32) : null;
            Ticket = (Features & Handshake.Resumable) != 0 ? reader.Take(32) : null;
            Received = (Features & Handshake.Resuming) != 0 ? reader.U64() : 0;
            reader.CheckEnd();
        }

        public void Write(Writer writer) {
            writer.U16(Wire);
            writer.U64(Features);
            writer.U64(MaxFrame);
            writer.Str(Peer);
            writer.Bool(Proof != null);
            if (Proof != null) writer.Raw(Proof, 0, 32);
            if ((Features & Handshake.Resumable) != 0) writer.Raw(Ticket, 0, 32);
            if ((Features & Handshake.Resuming) != 0) writer.U64(Received);
        }
    }

    /// <summary>The handshake of a dialer, over one connection.</summary>
    internal sealed class DialerHandshake {
        readonly Options options;
        readonly bool isResuming;
        readonly byte[] hello;
        Writer output;
        int sent;
        byte[] challenge;

        public DialerHandshake(Options options, byte[] ticket, ulong received) {
            this.options = options;
            isResuming = ticket != null;
            output = Handshake.Begin(Kind.Hello);
            new Hello {
                WireMin = Handshake.Wire,
                WireMax = Handshake.Wire,
                Role = Handshake.Env,
                Auth = (byte)(options.Token != null ? 1 : 0),
                Features = isResuming ? Handshake.Resuming : Handshake.Resumable,
                MaxFrame = (ulong)options.FrameLimit,
                Peer = Handshake.Peer,
                Nonce = options.Token != null ? Handshake.Random() : null,
                Ticket = ticket,
                Received = received,
            }.Write(output);
            output.EndFrame();
            hello = output.Frame();
        }

        public ArraySegment<byte> Output => new ArraySegment<byte>(output.Buffer, sent, output.Length - sent);

        public void Sent(int count) => sent += count;

        /// <summary>Takes a frame of the listener; null as long as it is not the Welcome. Throws if the listener refuses.</summary>
        public Welcome Take(Reader reader) {
            Kind kind = reader.Header(out ulong seq, out ulong ack, out ulong re);
            if (kind == Kind.Reject) {
                var code = (ErrorCode)reader.U32();
                int lowest = reader.U16(), highest = reader.U16();
                string wire = code == ErrorCode.Incompatible ? " (it speaks wire " + lowest + " to " + highest + ")" : "";
                throw new RlayException(code, "the listener refused the connection" + Texts.Behind(reader.Str()) + wire);
            }
            if (kind == Kind.Challenge && options.Token != null && challenge == null) {
                reader.Take(32);
                reader.CheckEnd();
                challenge = reader.Frame();
                output = Handshake.Begin(Kind.Proof);
                output.Raw(Handshake.Prove(options.Token, "rlay dialer", hello, challenge), 0, 32);
                output.EndFrame();
                sent = 0;
                return null;
            }
            if (kind != Kind.Welcome) throw Reader.Malformed("a " + kind + " in place of a Welcome");
            var welcome = new Welcome();
            welcome.Read(reader);
            if (options.Token != null) {
                bool isProven = challenge != null && welcome.Proof != null && Handshake.AreEqual(
                    welcome.Proof, Handshake.Prove(options.Token, "rlay listener", hello, challenge));
                if (!isProven) throw new RlayException(ErrorCode.Unauthorized, "the listener does not know the token");
            }
            bool resumes = (welcome.Features & Handshake.Resuming) != 0;
            if (welcome.Wire != Handshake.Wire || resumes != isResuming || (resumes && welcome.Ticket != null)) {
                throw Reader.Malformed("a Welcome that does not fit the Hello");
            }
            return welcome;
        }
    }

    /// <summary>The handshake of a listener, over one connection. It blocks, for 5 seconds at most.</summary>
    internal sealed class ListenerHandshake {
        readonly Options options;
        readonly Reader reader = new Reader();
        readonly long deadline = Clock.After(Handshake.Timeout);
        byte[] helloFrame;
        byte[] challengeFrame;

        public readonly Connection Connection;
        public readonly Hello Hello = new Hello();

        public ListenerHandshake(Options options, Connection connection) {
            this.options = options;
            Connection = connection;
            connection.Inbox.Limit = Handshake.FrameLimit;
        }

        /// <summary>Hears the dialer up to where it can be let in. Throws where it cannot, and has told it so.</summary>
        public void Run() {
            ReadFrame(Kind.Hello);
            helloFrame = reader.Frame();
            Hello.ReadStart(reader);
            if (Hello.WireMin > Handshake.Wire || Hello.WireMax < Handshake.Wire) {
                throw Refuse(ErrorCode.Incompatible, "this end speaks wire number " + Handshake.Wire + " alone");
            }
            if (Hello.Role == Handshake.Env) {
                throw Refuse(ErrorCode.Incompatible, "both ends host environments; an agent dials this one");
            }
            if (Hello.Auth > 1) throw Refuse(ErrorCode.Incompatible, "an unknown kind of authentication");
            Hello.ReadRest(reader);
            if (Hello.Auth == 1 != (options.Token != null)) {
                throw Refuse(ErrorCode.Unauthorized, options.Token != null ? "this host asks for a token" : "this host has no token");
            }
            if (options.Token == null) return;
            Writer challenge = Handshake.Begin(Kind.Challenge);
            challenge.Raw(Handshake.Random(), 0, 32);
            Send(challenge);
            challengeFrame = challenge.Frame();
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
                Wire = Handshake.Wire,
                Features = Hello.IsResuming ? Handshake.Resuming : ticket != null ? Handshake.Resumable : 0,
                MaxFrame = (ulong)options.FrameLimit,
                Peer = Handshake.Peer,
                Proof = options.Token == null ? null
                    : Handshake.Prove(options.Token, "rlay listener", helloFrame, challengeFrame),
                Ticket = ticket,
                Received = received,
            }.Write(writer);
            Send(writer);
        }

        public void Reject(ErrorCode code, string text) {
            Writer writer = Handshake.Begin(Kind.Reject);
            writer.U32((uint)code);
            writer.U16(Handshake.Wire);
            writer.U16(Handshake.Wire);
            writer.Str(text);
            writer.EndFrame();
            writer.U32(uint.MaxValue);
            SendAll(writer);
        }

        RlayException Refuse(ErrorCode code, string text) {
            Reject(code, text);
            return new RlayException(code, text);
        }

        void ReadFrame(Kind wanted) {
            while (!Connection.Inbox.Next(reader)) {
                int left = Clock.Until(deadline);
                if (Connection.Inbox.IsClosed || Connection.Receive(left, false) == Arrival.End) {
                    throw Reader.Malformed("it left before the handshake was over");
                }
                if (left == 0) throw new RlayException(ErrorCode.Timeout, "no handshake within 5 s");
            }
            if (reader.Header(out ulong seq, out ulong ack, out ulong re) != wanted) {
                throw Reader.Malformed("no " + wanted);
            }
        }

        void Send(Writer frame) {
            frame.EndFrame();
            SendAll(frame);
        }

        void SendAll(Writer bytes) {
            int sent = 0;
            while (sent < bytes.Length) {
                // So few bytes always fit, unless the peer is hostile.
                int count = Connection.Send(new ArraySegment<byte>(bytes.Buffer, sent, bytes.Length - sent));
                if (count < 0 || (count == 0 && Clock.Until(deadline) == 0)) {
                    throw new RlayException(ErrorCode.ConnectionLost, "it left before the handshake was over");
                }
                if (count == 0) Thread.Sleep(10);
                sent += count;
            }
        }
    }

    // ---------------------------------------------------------------------------------------------- frames

    /// <summary>What a frame says.</summary>
    internal enum Kind : byte {
        Hello = 0x01,
        Challenge = 0x02,
        Proof = 0x03,
        Welcome = 0x04,
        Reject = 0x05,
        Goodbye = 0x09,
        Error = 0x0a,
        Make = 0x20,
        Reset = 0x21,
        Step = 0x22,
        Render = 0x23,
        Attribute = 0x24,
        Close = 0x25,
        StepAgents = 0x30,
        Spec = 0x40,
        Result = 0x41,
        Frames = 0x42,
        Returned = 0x43,
        Closed = 0x44,
        ResultAgents = 0x50,
    }

    /// <summary>A frame of an agent, read. One object serves for all frames of a session.</summary>
    internal sealed class Message {
        public Kind Kind;
        public ulong Seq, Ack, Re;

        /// <summary>Of Goodbye and Error.</summary>
        public uint Code;
        public bool IsFatal;
        public string ErrorType, Text, Trace;

        public Make Make;

        public readonly List<uint> Slots = new List<uint>();

        /// <summary>Of Reset: the seeds, one for each slot, and the options. Of Attribute: kwargs of a call.</summary>
        public readonly List<Seed> Seeds = new List<Seed>();
        public object Value;

        /// <summary>Of Step: the actions, unless they are packed; then the reader stands at their bytes.</summary>
        public readonly List<object> Values = new List<object>();
        public bool IsPacked;

        /// <summary>Of Attribute.</summary>
        public string Name;
        public byte Access;

        public void Read(Reader reader) {
            Kind = reader.Header(out Seq, out Ack, out Re);
            Slots.Clear();
            Seeds.Clear();
            Values.Clear();
            IsPacked = false;
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
                case Kind.Render:
                case Kind.Close:
                    ReadSlots(reader);
                    break;
                case Kind.Attribute:
                    ReadAttribute(reader);
                    break;
                default:
                    // Reserved, or none that an agent sends: nobody reads the rest.
                    return;
            }
            if (!IsPacked) reader.CheckEnd();
        }

        void ReadSlots(Reader reader) {
            for (int left = reader.Count(4); left > 0; left--) Slots.Add(reader.U32());
        }

        void ReadMake(Reader reader) {
            Make = new Make { EnvId = reader.Bool() ? reader.Str(1024) : null };
            object kwargs = reader.Value();
            Make.Kwargs = kwargs as Dict;
            if (Make.Kwargs == null) throw Reader.Malformed("kwargs are a Dict");
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
            if (form == 1) {
                for (int i = 0; i < Slots.Count; i++) Values.Add(reader.Value());
                return;
            }
            ulong length = reader.U64();
            uint pad = reader.U32();
            if (pad >= 64 || (reader.At - reader.Start + (int)pad) % 64 != 0) {
                throw Reader.Malformed("packed bytes start at a multiple of 64");
            }
            reader.Zeros((int)pad);
            if (length != (ulong)reader.Left) {
                throw Reader.Malformed(length + " packed bytes announced, " + reader.Left + " there");
            }
            IsPacked = true;
        }

        void ReadAttribute(Reader reader) {
            ReadSlots(reader);
            Name = reader.Str(256);
            Access = reader.U8();
            if (Access > 2) throw Reader.Malformed("an unknown access");
            if (Access == 0) return;
            for (int left = reader.Count(4); left > 0; left--) Values.Add(reader.Value());
            if (Access == 1 && Values.Count != Slots.Count) throw Reader.Malformed("a value for each slot");
            if (Access == 2) {
                Value = reader.Value();
                var kwargs = Value as Dict;
                for (int i = 0; kwargs != null && i < kwargs.Count; i++) {
                    kwargs = kwargs.KeyAt(i) is string ? kwargs : null;
                }
                if (kwargs == null) throw Reader.Malformed("keyword arguments are a Dict of texts");
            }
        }
    }

    /// <summary>Bytes that have arrived, cut into frames.</summary>
    internal sealed class FrameReader {
        const int Least = 1 << 14;

        byte[] buffer = new byte[Least];
        int start, end;

        /// <summary>The longest frame that is taken.</summary>
        public uint Limit = Handshake.FrameLimit;

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
                int count = end - start;
                byte[] larger = count > buffer.Length / 2 ? new byte[2 * buffer.Length] : buffer;
                Buffer.BlockCopy(buffer, start, larger, 0, count);
                buffer = larger;
                start = 0;
                end = count;
            }
            return new ArraySegment<byte>(buffer, end, buffer.Length - end);
        }

        /// <summary>Says that so many bytes were put there.</summary>
        public void Add(int count) => end += count;

        /// <summary>Sets the reader to the next frame, if there is a whole one.</summary>
        public bool Next(Reader reader) {
            if (IsClosed || end - start < 4) return false;
            uint length = (uint)Reader.Little(buffer, start, 4);
            if (length == uint.MaxValue) {
                IsClosed = true;
                return false;
            }
            if (length > Limit) {
                throw Reader.Malformed("a frame of " + length + " bytes, where " + Limit + " are the most");
            }
            if (end - start - 4 < length) return false;
            reader.Begin(buffer, start + 4, start + 4 + (int)length);
            start += 4 + (int)length;
            return true;
        }
    }

    /// <summary>Frames of one session, in order, kept until the peer has acknowledged them.</summary>
    internal sealed class Outbox {
        const int MostFrames = 2048;

        readonly Writer bytes = new Writer();

        /// <summary>Where each frame that is kept begins.</summary>
        readonly List<int> starts = new List<int>();

        /// <summary>The number of the first frame that is kept.</summary>
        ulong first = 1;
        ulong acknowledged;
        int sent;

        /// <summary>Whether frames are kept behind sending, because the session can be resumed.</summary>
        public bool Keeps;

        /// <summary>The number of the last frame.</summary>
        public ulong Last => first + (ulong)starts.Count - 1;

        public ArraySegment<byte> Output => new ArraySegment<byte>(bytes.Buffer, sent, bytes.Length - sent);

        public void Sent(int count) => sent += count;

        public void Acknowledge(ulong number) {
            acknowledged = number;
        }

        /// <summary>Begins a frame. Follow it by Commit or Cancel.</summary>
        public Writer Begin(Kind kind, ulong received, ulong re) {
            Trim();
            starts.Add(bytes.Length);
            bytes.BeginFrame(kind, Last, received, re);
            return bytes;
        }

        public void Commit() => bytes.EndFrame();

        public void Cancel() {
            bytes.Length = starts[starts.Count - 1];
            starts.RemoveAt(starts.Count - 1);
        }

        /// <summary>Says that nothing follows, and the connection is closed.</summary>
        public void CloseMark() => bytes.U32(uint.MaxValue);

        /// <summary>Sends again what follows this frame; false if not all of that was kept.</summary>
        public bool RewindTo(ulong received) {
            if (received + 1 < first) return false;
            int index = (int)(received + 1 - first);
            sent = index < starts.Count ? starts[index] : bytes.Length;
            return true;
        }

        /// <summary>Forgets frames that nobody will ask for, and where there are too many, all that were sent.</summary>
        void Trim() {
            bool isTooMuch = starts.Count >= MostFrames || (starts.Count > 1 && bytes.Length - starts[0] > 1 << 26);
            int count = 0;
            while (count < starts.Count && End(count) <= sent
                && (isTooMuch || !Keeps || first + (ulong)count <= acknowledged)) {
                count++;
            }
            if (count == 0) return;
            int cut = End(count - 1);
            starts.RemoveRange(0, count);
            first += (ulong)count;
            int rest = bytes.Length - cut;
            // To move the rest at once each time would take time by the square of their number.
            if (rest <= cut) {
                Buffer.BlockCopy(bytes.Buffer, cut, bytes.Buffer, 0, rest);
                bytes.Length = rest;
                sent -= cut;
                for (int i = 0; i < starts.Count; i++) starts[i] -= cut;
            }
        }

        int End(int index) {
            return index + 1 < starts.Count ? starts[index + 1] : bytes.Length;
        }
    }

    // ---------------------------------------------------------------------------------------------- bytes

    /// <summary>Reads one frame. Whatever is malformed is a RlayException of code Protocol.</summary>
    internal sealed class Reader {
        const int MostDepth = 32;
        const int MostItems = 1 << 20;
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
            Need((ulong)size);
            At += size;
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
            Need((ulong)count);
            var bytes = new byte[count];
            Buffer.BlockCopy(Data, At, bytes, 0, count);
            At += count;
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
            code &= ~0x100u;
            if (code > 11 || (bigEndian && DTypes.Size((DType)code) == 1)) throw Malformed("the unknown dtype " + code);
            return (DType)code;
        }

        public long[] Shape(int elementSize) {
            int count = Count(8);
            if (count > 64) throw Malformed("more than 64 dimensions");
            var shape = new long[count];
            for (int i = 0; i < count; i++) shape[i] = I64();
            try {
                DTypes.Count(shape, elementSize);
            } catch (ArgumentException error) {
                throw Malformed(error.Message);
            }
            return shape;
        }

        /// <summary>Fills a C# array whose elements are of this dtype.</summary>
        public void Elements(Array elements, DType dtype) {
            int count = elements.Length * DTypes.Size(dtype);
            Need((ulong)count);
            for (int i = 0; dtype == Rlay.DType.Bool && i < count; i++) {
                if (Data[At + i] > 1) throw Malformed("a bool is 0 or 1");
            }
            DTypes.CheckByteOrder();
            Buffer.BlockCopy(Data, At, elements, 0, count);
            At += count;
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
                case 0:
                    return null;
                case 1:
                    return Bool();
                case 2:
                    return Rlay.Value.Boxed(I64());
                case 3:
                    return ReadBigInt();
                case 4:
                    return BitConverter.Int64BitsToDouble(I64());
                case 5:
                    return Str();
                case 6:
                    return Take(Count(1));
                case 7:
                    return new List<object>(ReadItems());
                case 8:
                    return new PyTuple(ReadItems());
                case 9:
                    return ReadDict();
                case 10:
                    return ReadArray();
                case 11:
                    DType dtype = DType(out bool bigEndian);
                    ulong bits = Number(DTypes.Size(dtype));
                    if (dtype == Rlay.DType.Bool && bits > 1) throw Malformed("a bool is 0 or 1");
                    return new Scalar(dtype, bits, bigEndian);
                case 12:
                    object nodes = Value();
                    object edges = Value();
                    return new Graph(nodes, edges, Value());
                case 13:
                    string typeName = Str();
                    return new Opaque(typeName, Str());
                default:
                    throw Malformed("the unknown value tag " + tag);
            }
        }

        object ReadBigInt() {
            byte[] bytes = Take(Count(1));
            int last = bytes.Length - 1;
            bool isShortest = last >= 8 && !(bytes[last] == 0 && bytes[last - 1] < 0x80)
                && !(bytes[last] == 0xff && bytes[last - 1] >= 0x80);
            if (!isShortest) throw Malformed("a large integer that is not in its shortest form");
            return new BigInteger(bytes);
        }

        object[] ReadItems() {
            int count = Count(4);
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
            if (!Texts.CanBeKey(key)) throw Malformed("a " + Rlay.Value.NameOf(key) + " as a key");
            if (Texts.IsOddKey(key)) {
                if (!(key is Opaque) && At - start > 256) throw Malformed("a key of more than 256 bytes");
                if (++keys > MostKeys) throw Malformed("too many keys that are neither texts nor small integers");
            }
            return key;
        }

        NdArray ReadArray() {
            DType dtype = DType(out bool bigEndian);
            int size = DTypes.Size(dtype);
            long[] shape = Shape(size);
            int length = Count(1);
            if (DTypes.Count(shape, size) * size != length) {
                throw Malformed("an array whose shape does not hold its data");
            }
            Array elements = DTypes.NewArray(dtype, length / size);
            Elements(elements, dtype);
            return new NdArray(dtype, elements, shape, bigEndian);
        }
    }

    /// <summary>Writes frames into a buffer that grows. What cannot be sent is an ArgumentException.</summary>
    internal sealed class Writer {
        const int Header = 32;
        const int MostDepth = 32;
        const int MostItems = 1 << 20;
        const int MostKeys = 2048;
        const int MostText = 16384;

        static readonly UTF8Encoding Utf8 = new UTF8Encoding(false, true);

        public byte[] Buffer = new byte[256];
        public int Length;
        int frame, depth, items, keys;
        bool allowsOpaque;

        /// <summary>How long the frame that was begun is by now.</summary>
        public int FrameLength => Length - frame;

        public void BeginFrame(Kind kind, ulong seq, ulong ack, ulong re) {
            U32(0);
            frame = Length;
            items = 0;
            U64((ulong)kind);
            U64(seq);
            U64(ack);
            U64(re);
        }

        /// <summary>Writes the length in front of the frame.</summary>
        public void EndFrame() => Little((ulong)FrameLength, frame - 4, 4);

        /// <summary>A copy of the frame.</summary>
        public byte[] Frame() {
            var bytes = new byte[FrameLength];
            System.Buffer.BlockCopy(Buffer, frame, bytes, 0, bytes.Length);
            return bytes;
        }

        int Grow(long count) {
            if (Buffer.Length - Length < count) {
                if (Length + count > int.MaxValue / 2) throw new ArgumentException("more than a frame can hold");
                Array.Resize(ref Buffer, (int)Math.Max(Length + count, 2L * Buffer.Length));
            }
            Length += (int)count;
            return Length - (int)count;
        }

        void Little(ulong number, int at, int size) {
            for (int i = 0; i < size; i++) Buffer[at + i] = (byte)(number >> (8 * i));
        }

        public void U8(byte number) {
            int at = Grow(1);
            Buffer[at] = number;
        }

        public void U16(ushort number) => Little(number, Grow(2), 2);

        public void U32(uint number) => Little(number, Grow(4), 4);

        public void U64(ulong number) => Little(number, Grow(8), 8);

        public void I64(long number) => U64((ulong)number);

        public void F64(double number) => I64(BitConverter.DoubleToInt64Bits(number));

        public void Bool(bool flag) => U8((byte)(flag ? 1 : 0));

        public void Raw(byte[] bytes, int offset, int count) {
            int at = Grow(count);
            System.Buffer.BlockCopy(bytes, offset, Buffer, at, count);
        }

        public void Str(string text) {
            int count = Utf8.GetByteCount(text);
            U64((ulong)count);
            int at = Grow(count);
            Utf8.GetBytes(text, 0, text.Length, Buffer, at);
        }

        /// <summary>A text for people, cut where it is too long.</summary>
        public void CutText(string text) {
            byte[] bytes = Encoding.UTF8.GetBytes(text ?? "");
            if (bytes.Length <= MostText) {
                U64((ulong)bytes.Length);
                Raw(bytes, 0, bytes.Length);
                return;
            }
            int count = MostText - 3;
            while ((bytes[count] & 0xc0) == 0x80) count--;
            U64((ulong)count + 3);
            Raw(bytes, 0, count);
            Raw(Encoding.UTF8.GetBytes("…"), 0, 3);
        }

        public void DType(DType dtype, bool bigEndian) => U32((uint)dtype | (bigEndian ? 0x100u : 0));

        public void Shape(long[] shape) {
            U64((ulong)shape.Length);
            foreach (long length in shape) I64(length);
        }

        public void Elements(Array elements, DType dtype) {
            int count = elements.Length * DTypes.Size(dtype);
            DTypes.CheckByteOrder();
            int at = Grow(count);
            System.Buffer.BlockCopy(elements, 0, Buffer, at, count);
        }

        /// <summary>Fills a slab up with zeros. Packed bytes start at a multiple of 64 of the frame, so that is what counts.</summary>
        public void Align() => Zeros((8 - FrameLength % 8) % 8);

        void Zeros(int count) {
            int at = Grow(count);
            Array.Clear(Buffer, at, count);
        }

        public void Space(EnvSpace space) {
            Enter();
            space.Write(this);
            depth--;
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
                    Little((ulong)(Length - packed), length, 8);
                    return;
                }
                Length = start;
            }
            U32(1);
            for (int row = 0; row < rows.Count; row++) Message(rows[row], false);
        }

        /// <summary>A value that stands in a message by itself.</summary>
        public void Message(object value, bool mayHoldOpaque) {
            depth = keys = 0;
            allowsOpaque = mayHoldOpaque;
            Value(value);
        }

        void Enter() {
            if (++depth > MostDepth) {
                depth = 0;
                throw new ArgumentException("nested deeper than " + MostDepth + " levels");
            }
            if (++items > MostItems) throw new ArgumentException("more than 2^20 values");
        }

        public void Value(object value) {
            Enter();
            if (value == null) {
                U32(0);
            } else if (value is bool) {
                U32(1);
                Bool((bool)value);
            } else if (Rlay.Value.TryInt64(value, out long number)) {
                U32(2);
                I64(number);
            } else if (value is double || value is float) {
                U32(4);
                F64(value is float ? (float)value : (double)value);
            } else if (value is string) {
                U32(5);
                Str((string)value);
            } else if (value is BigInteger || value is ulong) {
                BigInt(value is ulong ? (ulong)value : (BigInteger)value);
            } else {
                Compound(value);
            }
            depth--;
        }

        void BigInt(BigInteger number) {
            if (number >= long.MinValue && number <= long.MaxValue) {
                U32(2);
                I64((long)number);
                return;
            }
            U32(3);
            Bytes(number.ToByteArray());
        }

        void Bytes(byte[] bytes) {
            U64((ulong)bytes.Length);
            Raw(bytes, 0, bytes.Length);
        }

        void Compound(object value) {
            Dict dict;
            NdArray array;
            PyTuple tuple;
            List<object> list;
            Scalar scalar;
            Graph graph;
            Opaque opaque;
            if ((dict = value as Dict) != null) {
                U32(9);
                U64((ulong)dict.Count);
                for (int i = 0; i < dict.Count; i++) {
                    Key(dict.KeyAt(i));
                    Value(dict.ValueAt(i));
                }
            } else if ((array = value as NdArray) != null) {
                PutArray(array.DType, array.BigEndian, array.Shape, array.Elements);
            } else if ((tuple = value as PyTuple) != null) {
                U32(8);
                U64((ulong)tuple.Count);
                for (int i = 0; i < tuple.Count; i++) Value(tuple[i]);
            } else if ((list = value as List<object>) != null) {
                U32(7);
                U64((ulong)list.Count);
                for (int i = 0; i < list.Count; i++) Value(list[i]);
            } else if ((scalar = value as Scalar) != null) {
                U32(11);
                DType(scalar.DType, scalar.BigEndian);
                int size = DTypes.Size(scalar.DType);
                Little(scalar.Bits, Grow(size), size);
            } else if ((graph = value as Graph) != null) {
                U32(12);
                Value(graph.Nodes);
                Value(graph.Edges);
                Value(graph.EdgeLinks);
            } else if ((opaque = value as Opaque) != null && allowsOpaque) {
                U32(13);
                Str(opaque.TypeName);
                Str(opaque.Repr);
            } else if (value.GetType() == typeof(byte[])) {
                U32(6);
                Bytes((byte[])value);
            } else if (value is Array) {
                var elements = (Array)value;
                PutArray(DTypes.Of(elements), false, new[] { elements.LongLength }, elements);
            } else {
                throw new ArgumentException("a " + Rlay.Value.NameOf(value) + " cannot be sent here");
            }
        }

        void PutArray(DType dtype, bool bigEndian, long[] shape, Array elements) {
            U32(10);
            DType(dtype, bigEndian);
            Shape(shape);
            U64((ulong)elements.LongLength * (ulong)DTypes.Size(dtype));
            Elements(elements, dtype);
        }

        /// <summary>The key of a Dict or Dict space.</summary>
        public void Key(object key) {
            int start = Length;
            Value(key);
            if (!Texts.CanBeKey(key)) throw new ArgumentException("a " + Rlay.Value.NameOf(key) + " cannot be a key");
            if (Texts.IsOddKey(key) && ((!(key is Opaque) && Length - start > 256) || ++keys > MostKeys)) {
                throw new ArgumentException("too long a key, or too many that are neither texts nor small integers");
            }
        }
    }

    /// <summary>The elements of a payload, one for each row, and the place in each that is packed or unpacked just now.</summary>
    internal sealed class Rows {
        readonly object[] elements;
        readonly int[] path = new int[40];
        int depth;

        public Rows(int count) {
            elements = new object[count];
        }

        public int Count => elements.Length;

        /// <summary>What is at the current place of a row.</summary>
        public object this[int row] {
            get {
                return Walk(row, depth);
            }
            set {
                if (depth == 0) {
                    elements[row] = value;
                    return;
                }
                object container = Walk(row, depth - 1);
                var tuple = container as PyTuple;
                if (tuple != null) {
                    tuple.Items[path[depth - 1]] = value;
                } else {
                    ((Dict)container).SetAt(path[depth - 1], value);
                }
            }
        }

        object Walk(int row, int levels) {
            object at = elements[row];
            for (int i = 0; i < levels; i++) {
                var tuple = at as PyTuple;
                at = tuple != null ? tuple.Items[path[i]] : ((Dict)at).ValueAt(path[i]);
            }
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

        static bool IsSigned(DType dtype) => dtype <= DType.Int64;

        public static void CheckByteOrder() {
            if (!BitConverter.IsLittleEndian) {
                throw new RlayException(ErrorCode.Incompatible, "this client runs on little-endian machines alone");
            }
        }

        /// <summary>The dtype of a C# array. C# takes an sbyte[] for a byte[] where it is asked by "is".</summary>
        public static DType Of(Array elements) {
            int at = Array.IndexOf(Arrays, elements.GetType());
            if (at < 0) throw new ArgumentException("a " + elements.GetType().Name + " holds no elements of an array");
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
            if (shape.Length > 64) throw new ArgumentException("more than 64 dimensions");
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
                case DType.Float64:
                    return (ulong)BitConverter.DoubleToInt64Bits(number);
                case DType.Float32:
                    return new SingleBits { Number = (float)number }.Bits;
                case DType.Float16:
                    return HalfBits(number);
                case DType.UInt64:
                    return number >= 9223372036854775808.0 ? (ulong)number : (ulong)(long)number;
                default:
                    return BitsOf(dtype, (long)number);
            }
        }

        public static long ToInt64(DType dtype, ulong bits) {
            if (dtype >= DType.Float16) return (long)ToDouble(dtype, bits);
            int unused = 64 - 8 * Size(dtype);
            return IsSigned(dtype) && dtype != DType.Bool ? (long)(bits << unused) >> unused : (long)bits;
        }

        public static double ToDouble(DType dtype, ulong bits) {
            switch (dtype) {
                case DType.Float64:
                    return BitConverter.Int64BitsToDouble((long)bits);
                case DType.Float32:
                    return new SingleBits { Bits = (uint)bits }.Number;
                case DType.Float16:
                    return OfHalf((int)bits);
                case DType.UInt64:
                    return bits;
                default:
                    return ToInt64(dtype, bits);
            }
        }

        public static ulong Smallest(DType dtype) => IsSigned(dtype) ? 1ul << (8 * Size(dtype) - 1) : 0;

        public static ulong Largest(DType dtype) => IsSigned(dtype) ? Mask(dtype) >> 1 : Mask(dtype);

        static ulong Mask(DType dtype) => ulong.MaxValue >> (64 - 8 * Size(dtype));

        /// <summary>Rounds to half precision, to the nearest, ties to even, as NumPy does.</summary>
        static ulong HalfBits(double number) {
            ulong sign = (ulong)BitConverter.DoubleToInt64Bits(number) >> 63 << 15;
            double size = Math.Abs(number);
            if (double.IsNaN(number)) return sign | 0x7e00;
            if (size >= 65520) return sign | 0x7c00;
            // The exponent says how far apart the numbers lie that half precision has here.
            int exponent = -14;
            while (size >= Math.Pow(2, exponent + 1)) exponent++;
            ulong steps = (ulong)Math.Round(size * Math.Pow(2, 10 - exponent), MidpointRounding.ToEven);
            return sign | (((ulong)(exponent + 14) << 10) + steps);
        }

        static double OfHalf(int bits) {
            int exponent = bits >> 10 & 31;
            int fraction = bits & 1023;
            double size = exponent == 0 ? fraction * Math.Pow(2, -24) : (fraction + 1024) * Math.Pow(2, exponent - 25);
            if (exponent == 31) size = fraction == 0 ? double.PositiveInfinity : double.NaN;
            return (bits & 0x8000) != 0 ? -size : size;
        }
    }

    /// <summary>Small questions about texts and keys.</summary>
    internal static class Texts {
        /// <summary>A text as one line of a log: short, and without characters that act on a terminal.</summary>
        public static string OneLine(string text) {
            var line = new StringBuilder();
            foreach (char c in text) {
                if (line.Length == 500) return line.Append('…').ToString();
                line.Append(char.IsControl(c) || c == '\u2028' || c == '\u2029' ? ' ' : c);
            }
            return line.ToString();
        }

        /// <summary>A peer's words behind one's own.</summary>
        public static string Behind(string text) => text.Length > 0 ? ": " + text : "";

        public static bool CanBeKey(object key) {
            var tuple = key as PyTuple;
            for (int i = 0; tuple != null && i < tuple.Count; i++) {
                if (!CanBeKey(tuple[i])) return false;
            }
            return tuple != null || !(key is List<object> || key is Dict || key is NdArray || key is Graph
                || (key is Array && key.GetType() != typeof(byte[])));
        }

        /// <summary>Whether it is neither a text nor a small integer: of such keys a message has few.</summary>
        public static bool IsOddKey(object key) =>
            !(key is string || (Value.TryInt64(key, out long number) && number >= 0 && number < 16384));
    }
}
