// Reads spaces and writes what agents send: an environment's side needs neither, but the golden vectors have them.

using System;
using System.Collections.Generic;
using Rlay;

internal static class SpaceReader {
    public static EnvSpace Space(Reader reader) {
        reader.Enter();
        EnvSpace space;
        try {
            space = Read(reader);
        } catch (ArgumentException error) {
            throw Reader.Malformed(error.Message);
        }
        reader.Leave();
        return space;
    }

    static EnvSpace Read(Reader reader) {
        uint tag = reader.U32();
        DType dtype;
        bool bigEndian;
        long[] shape;
        switch (tag) {
            case 0:
                dtype = reader.DType(out bigEndian);
                shape = reader.Shape(DTypes.Size(dtype));
                long count = DTypes.Count(shape, DTypes.Size(dtype));
                Bound low = ReadBound(reader, dtype, count);
                return new BoxSpace(dtype, shape, bigEndian, low, ReadBound(reader, dtype, count));
            case 1:
                dtype = reader.DType(out bigEndian);
                if (bigEndian) throw Reader.Malformed("a scalar has no byte order");
                ulong n = reader.U64();
                return new DiscreteSpace(dtype, n, reader.I64());
            case 2:
                shape = reader.Shape(1);
                return new MultiBinarySpace(shape, reader.Bool());
            case 3:
                dtype = reader.DType(out bigEndian);
                shape = reader.Shape(8);
                long[] nvec = Numbers(reader);
                return new MultiDiscreteSpace(nvec, Numbers(reader), dtype, shape, bigEndian);
            case 4:
                ulong least = reader.U64(), most = reader.U64();
                return new TextSpace(reader.Str(), least, most);
            case 5:
                return new TupleSpace(Spaces(reader));
            case 6:
                var dict = new DictSpace();
                for (int left = reader.Count(8); left > 0; left--) {
                    object key = reader.Key();
                    dict.Add(key, Space(reader));
                }
                return dict;
            case 7:
                bool stack = reader.Bool();
                return new SequenceSpace(Space(reader), stack);
            case 8:
                EnvSpace node = Space(reader);
                return new GraphSpace(node, reader.Bool() ? Space(reader) : null);
            case 9:
                return new OneOfSpace(Spaces(reader));
            default:
                throw Reader.Malformed("the unknown space tag " + tag);
        }
    }

    static EnvSpace[] Spaces(Reader reader) {
        var spaces = new EnvSpace[reader.Count(4)];
        for (int i = 0; i < spaces.Length; i++) spaces[i] = Space(reader);
        return spaces;
    }

    static long[] Numbers(Reader reader) {
        var numbers = new long[reader.Count(8)];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = reader.I64();
        return numbers;
    }

    static Bound ReadBound(Reader reader, DType dtype, long count) {
        uint tag = reader.U32();
        if (tag > 1) throw Reader.Malformed("an unknown form of a bound");
        if (tag == 0) count = 1;
        reader.Need((ulong)count * (ulong)DTypes.Size(dtype));
        byte[] values = reader.Take((int)count * DTypes.Size(dtype));
        for (int i = 0; dtype == DType.Bool && i < values.Length; i++) {
            if (values[i] > 1) throw Reader.Malformed("a bool is 0 or 1");
        }
        reader.Need((ulong)count);
        var bounded = new bool[count];
        for (int i = 0; i < bounded.Length; i++) bounded[i] = reader.Bool();
        return new Bound(values, bounded, tag == 0);
    }
}

/// <summary>Writes the bodies of frames that an agent sends, as they were read.</summary>
internal static class AgentWriter {
    public static void Write(Message message, Reader reader, Writer writer) {
        switch (message.Kind) {
            case Kind.Goodbye:
                writer.U32(message.Code);
                writer.Str(message.Text);
                break;
            case Kind.Error:
                writer.U32(message.Code);
                writer.Bool(message.IsFatal);
                Slots(message.Slots, writer);
                writer.CutText(message.ErrorType);
                writer.CutText(message.Text);
                writer.CutText(message.Trace);
                break;
            case Kind.Make:
                OptionalText(message.Make.EnvId, writer);
                writer.Message(message.Make.Kwargs, false);
                OptionalText(message.Make.RenderMode, writer);
                writer.U32(message.Make.Slots);
                writer.U8(message.Make.Autoreset);
                break;
            case Kind.Reset:
                writer.U64((ulong)message.Slots.Count);
                for (int i = 0; i < message.Slots.Count; i++) {
                    writer.U32(message.Slots[i]);
                    writer.Bool(message.Seeds[i] != null);
                    if (message.Seeds[i] == null) continue;
                    byte[] seed = Little(message.Seeds[i]);
                    writer.U64((ulong)seed.Length);
                    writer.Raw(seed, 0, seed.Length);
                }
                writer.Message(message.Value, false);
                break;
            case Kind.Step:
                Slots(message.Slots, writer);
                if (!message.IsPacked) {
                    writer.U32(1);
                    foreach (object value in message.Values) writer.Message(value, false);
                    break;
                }
                writer.U32(0);
                writer.U64((ulong)reader.Left);
                int pad = (64 - (writer.FrameLength + 4) % 64) % 64;
                writer.U32((uint)pad);
                writer.Raw(new byte[pad], 0, pad);
                writer.Raw(reader.Data, reader.At, reader.Left);
                break;
            case Kind.Attribute:
                Slots(message.Slots, writer);
                writer.Str(message.Name);
                writer.U8(message.Access);
                if (message.Access == 0) break;
                writer.U64((ulong)message.Values.Count);
                foreach (object value in message.Values) writer.Message(value, false);
                if (message.Access == 2) writer.Message(message.Value, false);
                break;
            case Kind.Render:
            case Kind.Close:
                Slots(message.Slots, writer);
                break;
        }
    }

    /// <summary>A seed as it travels: without zero bytes at its end.</summary>
    public static byte[] Little(Seed seed) {
        byte[] bytes = seed.Number.ToByteArray();
        int length = bytes.Length;
        while (length > 0 && bytes[length - 1] == 0) length--;
        Array.Resize(ref bytes, length);
        return bytes;
    }

    static void Slots(List<uint> slots, Writer writer) {
        writer.U64((ulong)slots.Count);
        foreach (uint slot in slots) writer.U32(slot);
    }

    static void OptionalText(string text, Writer writer) {
        writer.Bool(text != null);
        if (text != null) writer.Str(text);
    }
}
