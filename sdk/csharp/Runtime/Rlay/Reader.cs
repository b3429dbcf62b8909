// How a frame is read: docs/wire.md, sections 2 to 5.

using System;
using System.Collections.Generic;
using System.Numerics;
using System.Text;

namespace Rlay {

/// <summary>Reads one frame. Whatever is malformed is a RlayException of code Protocol.</summary>
internal sealed class Reader {
    public const int MostDepth = 32, MostItems = 1 << 20;
    const int MostKeys = 4096;

    static readonly UTF8Encoding Utf8 = new UTF8Encoding(false, true);

    public byte[] Data;
    public int Start, At, Limit;
    /// <summary>How many values were read, and how many more the lists announce that are being read.</summary>
    int items, announced;
    int depth, keys;

    public void Begin(byte[] data, int start, int limit) {
        Data = data;
        Start = At = start;
        Limit = limit;
        depth = items = announced = keys = 0;
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
        // Lists in lists could each announce as many as the frame has bytes for.
        if (count > MostItems - items - announced) throw Malformed("more than 2^20 values");
        announced += count;
        var read = new object[count];
        for (int i = 0; i < count; i++) {
            announced--;
            read[i] = Value();
        }
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

}
