// The spaces of Gymnasium, but for those of arrays.

using System;
using System.Collections;
using System.Collections.Generic;

namespace Rlay {

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

    internal static EnvSpace[] Checked(EnvSpace[] spaces) {
        if (spaces == null || Array.IndexOf(spaces, null) >= 0) throw new ArgumentNullException(nameof(spaces));
        return spaces;
    }

    internal static bool ArePacked(IList<EnvSpace> spaces) {
        for (int i = 0; i < spaces.Count; i++) {
            if (!spaces[i].HasPackedForm) return false;
        }
        return true;
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

/// <summary>Text: strings of some characters. Lengths count code points.</summary>
public sealed class TextSpace : EnvSpace {
    internal readonly ulong MinLength, MaxLength;
    internal readonly string Charset;

    /// <summary>Gymnasium's characters unless others are named: 0 to 9, A to Z, a to z.</summary>
    public const string Alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    /// <summary>Strings of this length at most, and of these characters.</summary>
    public TextSpace(long maxLength, long minLength = 1, string charset = Alphanumeric)
        : this(charset, (ulong)minLength, (ulong)maxLength) {
        if (minLength < 0 || maxLength < 0) throw new ArgumentException("a Text with a negative length");
    }

    internal TextSpace(string charset, ulong minLength, ulong maxLength) {
        if (minLength > maxLength) throw new ArgumentException("the smallest length is above the largest");
        MaxLength = maxLength;
        MinLength = minLength;
        Charset = charset ?? throw new ArgumentNullException(nameof(charset));
    }

    internal override void Write(Writer writer) => writer.U32(4).U64(MinLength).U64(MaxLength).Str(Charset);
}

/// <summary>Tuple: an element of each of several spaces, as a <see cref="PyTuple"/>.</summary>
public sealed class TupleSpace : EnvSpace {
    internal readonly EnvSpace[] Spaces;

    /// <summary>A tuple of these spaces.</summary>
    public TupleSpace(params EnvSpace[] spaces) { Spaces = Checked(spaces); }

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
        if (space == null) throw new ArgumentNullException(nameof(space));
        if (keys.Exists(known => Dict.AreEqual(key, known))) {
            throw new ArgumentException("the key " + key + " is there already");
        }
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
        Space = space ?? throw new ArgumentNullException(nameof(space));
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
        Node = node ?? throw new ArgumentNullException(nameof(node));
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
        Spaces = Checked(spaces);
        if (spaces.Length == 0) throw new ArgumentException("OneOf has at least one space");
    }

    internal override void Write(Writer writer) => writer.U32(9).Spaces(Spaces);
}

}
