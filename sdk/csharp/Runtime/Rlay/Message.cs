// The messages of agents: docs/wire.md, section 8.

using System;
using System.Collections.Generic;
using System.Numerics;

namespace Rlay {

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
                reader.Skip((ulong)reader.Left);
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

}
