// Answers questions about bytes: the program vectors of sdk/tests/GAME.md.

using System;
using System.Collections;
using System.Collections.Generic;
using System.IO;
using System.Numerics;
using System.Text;
using Rlay;

internal static class Vectors {
    static void Main() {
        var input = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false));
        var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false));
        string line;
        while ((line = input.ReadLine()) != null) {
            string answer;
            try {
                answer = Answer(line.Split(' '));
            } catch (RlayException error) {
                answer = "refused " + error.Message;
            }
            output.WriteLine(answer);
        }
        output.Flush();
    }

    static string Answer(string[] words) {
        byte[] bytes = OfHex(words[words.Length - 1]);
        var reader = new Reader();
        reader.Begin(bytes, 0, bytes.Length);
        var writer = new Writer();
        switch (words[0]) {
            case "value":
                object value = reader.Value();
                reader.CheckEnd();
                writer.Message(value, true);
                return "ok " + Json.Of(Json.Value(value)) + " " + Hex(writer.Buffer, 0, writer.Length);
            case "space":
                EnvSpace space = SpaceReader.Space(reader);
                reader.CheckEnd();
                writer.Space(space);
                return "ok " + Json.Of(Json.Space(space)) + " " + Hex(writer.Buffer, 0, writer.Length);
            case "payload":
                byte[] described = OfHex(words[1]);
                var spaces = new Reader();
                spaces.Begin(described, 0, described.Length);
                return Payload(SpaceReader.Space(spaces), new Rows(int.Parse(words[2])), reader);
            case "frame":
                return Frame(reader);
            default:
                return Stream(bytes);
        }
    }

    static string Payload(EnvSpace space, Rows rows, Reader reader) {
        if (!space.HasPackedForm) throw Reader.Malformed("a space that has no packed form");
        space.Unpack(reader, rows);
        reader.CheckEnd();
        var writer = new Writer();
        if (!space.Pack(writer, rows)) throw new InvalidOperationException("what was unpacked cannot be packed");
        var elements = new List<object>();
        for (int i = 0; i < rows.Count; i++) elements.Add(Json.Value(rows[i]));
        return "ok " + Json.Of(elements) + " " + Hex(writer.Buffer, 0, writer.Length);
    }

    static string Stream(byte[] bytes) {
        var frames = new FrameReader();
        // Byte by byte, as a slow network brings them.
        var found = new List<string>();
        var reader = new Reader();
        foreach (byte one in bytes) {
            ArraySegment<byte> room = frames.Room();
            room.Array[room.Offset] = one;
            frames.Add(1);
            while (frames.Next(reader)) found.Add(Hex(reader.Data, reader.Start, reader.Limit - reader.Start));
        }
        if (!frames.IsClosed && frames.Rest > 0) throw Reader.Malformed("it ends inside a frame");
        return "ok " + string.Join(",", found) + (frames.IsClosed ? " closed" : " open");
    }

    static string Frame(Reader reader) {
        Kind kind = reader.Header(out ulong seq, out ulong ack, out ulong re);
        var writer = new Writer();
        writer.BeginFrame(kind, seq, ack, re);
        var body = new Dict();
        object payload = null;
        switch (kind) {
            case Kind.Hello:
                var hello = new Hello();
                hello.ReadStart(reader);
                hello.ReadRest(reader);
                hello.Write(writer);
                body.Add("wire_min", (long)hello.WireMin);
                body.Add("wire_max", (long)hello.WireMax);
                body.Add("role", hello.Role == 1 ? "Env" : "Agent");
                body.Add("auth", (long)hello.Auth);
                body.Add("features", hello.Features);
                body.Add("max_frame", hello.MaxFrame);
                body.Add("peer", hello.Peer);
                body.Add("nonce", Json.Numbers(hello.Nonce));
                body.Add("resume", hello.Ticket == null ? null
                    : new Dict { { "ticket", Json.Numbers(hello.Ticket) }, { "received", hello.Received } });
                break;
            case Kind.Challenge:
            case Kind.Proof:
                byte[] secret = reader.Take(32);
                reader.CheckEnd();
                writer.Raw(secret, 0, 32);
                body.Add(kind == Kind.Challenge ? "nonce" : "proof", Json.Numbers(secret));
                break;
            case Kind.Welcome:
                var welcome = new Welcome();
                welcome.Read(reader);
                welcome.Write(writer);
                body.Add("wire", (long)welcome.Wire);
                body.Add("features", welcome.Features);
                body.Add("max_frame", welcome.MaxFrame);
                body.Add("peer", welcome.Peer);
                body.Add("proof", Json.Numbers(welcome.Proof));
                body.Add("ticket", Json.Numbers(welcome.Ticket));
                body.Add("received", (welcome.Features & Handshake.Resuming) != 0 ? (object)welcome.Received : null);
                break;
            case Kind.Reject:
                uint code = reader.U32();
                ushort least = reader.U16(), most = reader.U16();
                string text = reader.Str();
                reader.CheckEnd();
                writer.U32(code);
                writer.U16(least);
                writer.U16(most);
                writer.Str(text);
                body = new Dict {
                    { "code", (long)code }, { "wire_min", (long)least }, { "wire_max", (long)most },
                    { "message", text },
                };
                break;
            case Kind.Spec:
            case Kind.Result:
            case Kind.Frames:
            case Kind.Returned:
            case Kind.Closed:
            case Kind.StepAgents:
            case Kind.ResultAgents:
                return "unread";
            default:
                return Message(reader, writer);
        }
        return Line(kind, seq, ack, re, body, payload, writer);
    }

    static string Message(Reader reader, Writer writer) {
        reader.Begin(reader.Data, reader.Start, reader.Limit);
        var message = new Message();
        message.Read(reader);
        AgentWriter.Write(message, reader, writer);
        object body;
        object payload = null;
        var slots = new List<object>();
        foreach (uint slot in message.Slots) slots.Add((long)slot);
        switch (message.Kind) {
            case Kind.Goodbye:
                body = new Dict { { "code", (long)message.Code }, { "message", message.Text } };
                break;
            case Kind.Error:
                var failure = new Dict {
                    { "error_type", message.ErrorType }, { "message", message.Text }, { "traceback", message.Trace },
                };
                body = new Dict {
                    { "code", (long)message.Code }, { "fatal", message.IsFatal }, { "slots", slots },
                    { "failure", failure },
                };
                break;
            case Kind.Make:
                body = new Dict {
                    { "env_id", message.Make.EnvId }, { "kwargs", Json.Value(message.Make.Kwargs) },
                    { "render_mode", message.Make.RenderMode }, { "slots", (long)message.Make.Slots },
                    { "autoreset_mode", new[] { "Disabled", "NextStep", "SameStep" }[message.Make.Autoreset] },
                };
                break;
            case Kind.Reset:
                var rows = new List<object>();
                for (int i = 0; i < slots.Count; i++) {
                    byte[] seed = message.Seeds[i] == null ? null : AgentWriter.Little(message.Seeds[i]);
                    rows.Add(new List<object> { slots[i], seed == null ? null : Hex(seed, 0, seed.Length) });
                }
                body = new Dict { { "rows", rows }, { "options", Json.Value(message.Value) } };
                break;
            case Kind.Attribute:
                var values = Json.Values(message.Values);
                object access = message.Access == 0 ? (object)"Get"
                    : message.Access == 1 ? new Dict { { "Set", values } }
                    : new Dict { { "Call", new List<object> { values, Json.Pairs((Dict)message.Value) } } };
                body = new Dict { { "slots", slots }, { "name", message.Name }, { "access", access } };
                break;
            default:
                body = slots;
                break;
        }
        if (message.Wrong != null) throw message.Wrong;
        if (message.Kind == Kind.Step) {
            payload = message.IsPacked
                ? new Dict { { "Packed", Hex(reader.Data, reader.At, reader.Left) } }
                : new Dict { { "Values", Json.Values(message.Values) } };
        }
        return Line(message.Kind, message.Seq, message.Ack, message.Re, body, payload, writer);
    }

    static string Line(Kind kind, ulong seq, ulong ack, ulong re, object body, object payload, Writer writer) {
        writer.EndFrame();
        var frame = new Dict {
            { "kind", kind.ToString() }, { "seq", seq }, { "ack", ack }, { "re", re }, { "body", body },
        };
        if (payload != null) frame.Add("payload", payload);
        byte[] bytes = writer.Frame();
        return "ok " + Json.Of(frame) + " " + Hex(bytes, 0, bytes.Length);
    }

    static byte[] OfHex(string hex) {
        var bytes = new byte[hex.Length / 2];
        for (int i = 0; i < bytes.Length; i++) bytes[i] = Convert.ToByte(hex.Substring(2 * i, 2), 16);
        return bytes;
    }

    public static string Hex(byte[] bytes, int at, int count) {
        var hex = new StringBuilder();
        for (int i = 0; i < count; i++) hex.Append(bytes[at + i].ToString("x2"));
        return hex.ToString();
    }
}

/// <summary>The JSON of docs/wire.md, section 16, made of Dict, List, string, bool and numbers.</summary>
internal static class Json {
    static readonly string[] Names = "bool i8 i16 i32 i64 u8 u16 u32 u64 f16 f32 f64".Split(' ');

    static Dict One(string name, object fields) => new Dict { { name, fields } };

    static string Float(double number) => ((ulong)BitConverter.DoubleToInt64Bits(number)).ToString("x16");

    static string Hex(byte[] bytes) => Vectors.Hex(bytes, 0, bytes.Length);

    static List<object> List(IEnumerable items) {
        var list = new List<object>();
        foreach (object item in items) list.Add(item);
        return list;
    }

    static Dict Array(DType dtype, bool bigEndian, long[] shape, byte[] data) => new Dict {
        { "dtype", Names[(int)dtype] }, { "big_endian", bigEndian }, { "shape", List(shape) }, { "data", Hex(data) },
    };

    public static object Numbers(byte[] bytes) {
        if (bytes == null) return null;
        var numbers = new List<object>();
        foreach (byte one in bytes) numbers.Add((long)one);
        return numbers;
    }

    public static List<object> Values(IEnumerable values) {
        var list = new List<object>();
        foreach (object value in values) list.Add(Value(value));
        return list;
    }

    public static List<object> Pairs(Dict dict) {
        var pairs = new List<object>();
        foreach (KeyValuePair<object, object> pair in dict) {
            pairs.Add(new List<object> { Value(pair.Key), Value(pair.Value) });
        }
        return pairs;
    }

    public static object Value(object value) {
        if (value == null) return "None";
        if (value is bool) return One("Bool", value);
        if (value is long) return One("Int", value);
        if (value is BigInteger) return One("BigInt", Hex(((BigInteger)value).ToByteArray()));
        if (value is double) return One("Float", Float((double)value));
        if (value is string) return One("Str", value);
        if (value is byte[]) return One("Bytes", Hex((byte[])value));
        if (value is List<object>) return One("List", Values((List<object>)value));
        if (value is PyTuple) return One("Tuple", Values((PyTuple)value));
        if (value is Dict) return One("Dict", Pairs((Dict)value));
        var array = value as NdArray;
        if (array != null) {
            var data = new byte[Buffer.ByteLength(array.Elements)];
            Buffer.BlockCopy(array.Elements, 0, data, 0, data.Length);
            return One("Array", Array(array.DType, array.BigEndian, array.Shape, data));
        }
        var scalar = value as Scalar;
        if (scalar != null) {
            var data = new byte[DTypes.Size(scalar.DType)];
            for (int i = 0; i < data.Length; i++) data[i] = (byte)(scalar.Bits >> (8 * i));
            return One("Scalar", Array(scalar.DType, scalar.BigEndian, new long[0], data));
        }
        var graph = value as Graph;
        if (graph != null) {
            return One("Graph", new Dict {
                { "nodes", Value(graph.Nodes) }, { "edges", Value(graph.Edges) },
                { "edge_links", Value(graph.EdgeLinks) },
            });
        }
        var opaque = (Opaque)value;
        return One("Opaque", new Dict { { "type_name", opaque.TypeName }, { "repr", opaque.Repr } });
    }

    static object Bound(Bound bound) => bound.IsUniform
        ? One("Uniform", new Dict { { "value", Hex(bound.Values) }, { "bounded", bound.Bounded[0] } })
        : One("Each", new Dict { { "values", Hex(bound.Values) }, { "bounded", List(bound.Bounded) } });

    static List<object> Spaces(IEnumerable<EnvSpace> spaces) {
        var list = new List<object>();
        foreach (EnvSpace space in spaces) list.Add(Space(space));
        return list;
    }

    public static object Space(EnvSpace space) {
        var box = space as BoxSpace;
        if (box != null) {
            return One("Box", new Dict {
                { "dtype", Names[(int)box.DType] }, { "big_endian", box.BigEndian }, { "shape", List(box.Shape) },
                { "low", Bound(box.Low) }, { "high", Bound(box.High) },
            });
        }
        var discrete = space as DiscreteSpace;
        if (discrete != null) {
            return One("Discrete", new Dict {
                { "dtype", Names[(int)discrete.DType] }, { "n", discrete.N }, { "start", discrete.Start },
            });
        }
        var binary = space as MultiBinarySpace;
        if (binary != null) {
            return One("MultiBinary", new Dict { { "shape", List(binary.Shape) }, { "n_is_int", binary.NIsInt } });
        }
        var multi = space as MultiDiscreteSpace;
        if (multi != null) {
            return One("MultiDiscrete", new Dict {
                { "dtype", Names[(int)multi.DType] }, { "big_endian", multi.BigEndian }, { "shape", List(multi.Shape) },
                { "nvec", List(multi.NVec) }, { "start", List(multi.Start) },
            });
        }
        var text = space as TextSpace;
        if (text != null) {
            return One("Text", new Dict {
                { "min_length", text.MinLength }, { "max_length", text.MaxLength }, { "charset", text.Charset },
            });
        }
        var dict = space as DictSpace;
        if (dict != null) {
            var pairs = new List<object>();
            foreach (KeyValuePair<object, EnvSpace> pair in dict) {
                pairs.Add(new List<object> { Value(pair.Key), Space(pair.Value) });
            }
            return One("Dict", pairs);
        }
        var sequence = space as SequenceSpace;
        if (sequence != null) {
            return One("Sequence", new Dict { { "space", Space(sequence.Space) }, { "stack", sequence.Stack } });
        }
        var graph = space as GraphSpace;
        if (graph != null) {
            object edge = graph.Edge == null ? null : Space(graph.Edge);
            return One("Graph", new Dict { { "node", Space(graph.Node) }, { "edge", edge } });
        }
        var tuple = space as TupleSpace;
        return tuple != null ? One("Tuple", Spaces(tuple.Spaces)) : One("OneOf", Spaces(((OneOfSpace)space).Spaces));
    }

    /// <summary>Objects as text.</summary>
    public static string Of(object json) {
        if (json == null) return "null";
        if (json is bool) return (bool)json ? "true" : "false";
        var text = json as string;
        if (text != null) return Quoted(text);
        var parts = new List<string>();
        var dict = json as Dict;
        if (dict != null) {
            foreach (KeyValuePair<object, object> pair in dict) parts.Add(Of(pair.Key) + ":" + Of(pair.Value));
            return "{" + string.Join(",", parts) + "}";
        }
        var list = json as List<object>;
        if (list == null) return json.ToString();
        foreach (object item in list) parts.Add(Of(item));
        return "[" + string.Join(",", parts) + "]";
    }

    static string Quoted(string text) {
        var quoted = new StringBuilder("\"");
        foreach (char c in text) {
            if (c == '"' || c == '\\') quoted.Append('\\').Append(c);
            else if (c < ' ') quoted.Append("\\u").Append(((int)c).ToString("x4"));
            else quoted.Append(c);
        }
        return quoted.Append('"').ToString();
    }
}
