// How a frame is written: docs/wire.md, sections 2 to 7.

using System;
using System.Collections.Generic;
using System.Numerics;
using System.Text;

namespace Rlay {

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
        if (length > Buffer.Length) {
            Array.Resize(ref Buffer, (int)Math.Min(Math.Max(length, 2L * Buffer.Length), 1 << 30));
        }
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

    /// <summary>Whether UTF-8 has this text: no half of a surrogate pair is in it.</summary>
    public static bool IsText(string text) {
        try {
            return Utf8.GetByteCount(text) >= 0;
        } catch (EncoderFallbackException) {
            return false;
        }
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

}
