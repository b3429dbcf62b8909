package rlay;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import rlay.Value.GraphInstance;
import rlay.Value.NdArray;
import rlay.Value.Opaque;
import rlay.Value.Scalar;
import rlay.Value.TupleValue;

/**
 * The program `vectors` of sdk/tests/GAME.md: reads lines about bytes, and answers what they mean and are written as.
 */
public final class Vectors {
    /** Maps are objects here, Lists are lists, and Unsigned is a number. */
    private static final class Json {
        private final StringBuilder out = new StringBuilder();

        Json add(Object x) {
            if (x instanceof Map) {
                String before = "{";
                for (Map.Entry<?, ?> entry : ((Map<?, ?>) x).entrySet()) {
                    out.append(before);
                    add(entry.getKey());
                    out.append(":");
                    add(entry.getValue());
                    before = ",";
                }
                out.append(((Map<?, ?>) x).isEmpty() ? "{}" : "}");
            } else if (x instanceof Collection) {
                String before = "[";
                for (Object item : (Collection<?>) x) {
                    out.append(before);
                    add(item);
                    before = ",";
                }
                out.append(((Collection<?>) x).isEmpty() ? "[]" : "]");
            } else if (x instanceof String) {
                out.append('"');
                for (char c : ((String) x).toCharArray()) {
                    out.append(c < ' ' || c == '"' || c == '\\' || c > '~' ? String.format("\\u%04x", (int) c)
                        : String.valueOf(c));
                }
                out.append('"');
            } else {
                out.append(x);
            }
            return this;
        }
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte x : bytes) {
            text.append(String.format("%02x", x));
        }
        return text.toString();
    }

    private static byte[] unhex(String text) {
        byte[] bytes = new byte[text.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(text.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }

    private static Map<String, Object> map(Object... pairs) {
        return Value.dict(pairs);
    }

    private static Object unsigned(long x) {
        return Long.toUnsignedString(x).equals(Long.toString(x)) ? (Object) x
            : new BigInteger(Long.toUnsignedString(x));
    }

    private static List<Object> unsigned(long[] numbers) {
        return Arrays.stream(numbers).mapToObj(Vectors::unsigned).collect(Collectors.toList());
    }

    private static List<Object> signed(long[] numbers) {
        return Arrays.stream(numbers).boxed().collect(Collectors.toList());
    }

    private static Object bytes(byte[] x) {
        if (x == null) {
            return null;
        }
        List<Object> list = new ArrayList<>();
        for (byte b : x) {
            list.add(b & 0xFF);
        }
        return list;
    }

    private static Map<String, Object> dtype(Dtype dtype) {
        String name = dtype.toString().replace(">", "").replace("uint", "u").replace("int", "i").replace("float", "f");
        return map("dtype", name, "big_endian", dtype.isBig());
    }

    private static Map<String, Object> array(Dtype dtype, long[] shape, byte[] data) {
        Map<String, Object> json = dtype(dtype);
        json.put("shape", unsigned(shape));
        json.put("data", hex(data));
        return json;
    }

    private static List<Object> values(Collection<?> items) {
        return items.stream().map(Vectors::value).collect(Collectors.toList());
    }

    private static Object value(Object x) {
        if (x == null) {
            return "None";
        } else if (x instanceof Boolean) {
            return map("Bool", x);
        } else if (x instanceof Long) {
            return map("Int", x);
        } else if (x instanceof BigInteger) {
            return map("BigInt", hex(Reader.reversed(((BigInteger) x).toByteArray())));
        } else if (x instanceof Double) {
            return map("Float", String.format("%016x", Double.doubleToRawLongBits((Double) x)));
        } else if (x instanceof String) {
            return map("Str", x);
        } else if (x instanceof byte[]) {
            return map("Bytes", hex((byte[]) x));
        } else if (x instanceof Collection) {
            return map(x instanceof TupleValue ? "Tuple" : "List", values((Collection<?>) x));
        } else if (x instanceof Map) {
            List<Object> pairs = new ArrayList<>();
            ((Map<?, ?>) x).forEach((key, item) -> pairs.add(Arrays.asList(value(key), value(item))));
            return map("Dict", pairs);
        } else if (x instanceof NdArray) {
            return map("Array", array(((NdArray) x).dtype(), ((NdArray) x).shape(), ((NdArray) x).bytes()));
        } else if (x instanceof Scalar) {
            Scalar scalar = (Scalar) x;
            ByteBuffer data = ByteBuffer.allocate(scalar.dtype.size).order(ByteOrder.LITTLE_ENDIAN);
            scalar.dtype.write(data, 0, scalar.bits);
            return map("Scalar", array(scalar.dtype, new long[0], data.array()));
        } else if (x instanceof GraphInstance) {
            GraphInstance graph = (GraphInstance) x;
            return map("Graph", map("nodes", value(graph.nodes), "edges", value(graph.edges),
                "edge_links", value(graph.edgeLinks)));
        }
        Opaque opaque = (Opaque) x;
        return map("Opaque", map("type_name", opaque.typeName, "repr", opaque.repr));
    }

    /** Reads a space, which the client never receives. The classes refuse what is malformed. */
    private static Space readSpace(Reader r) {
        return r.nested(() -> {
            int tag = (int) r.u32();
            switch (tag) {
                case 0: {
                    Dtype dtype = r.dtype();
                    long[] shape = r.numbers();
                    long size = new Space.Box(0L, 0L, dtype, shape).size();
                    return new Space.Box(dtype, shape, bound(r, dtype, size), bound(r, dtype, size));
                }
                case 1: {
                    Dtype dtype = r.dtype();
                    return new Space.Discrete(dtype, r.u64(), r.u64());
                }
                case 2: return new Space.MultiBinary(r.numbers(), r.flag());
                case 3: {
                    Dtype dtype = r.dtype();
                    return new Space.MultiDiscrete(dtype, r.numbers(), r.numbers(), r.numbers());
                }
                case 4: {
                    long least = r.u64();
                    long most = r.u64();
                    return new Space.Text(r.text(), least, most);
                }
                case 5: return new Space.Tuple(r.list(4, () -> readSpace(r)).toArray(new Space[0]));
                case 6: {
                    Map<Object, Space> members = new LinkedHashMap<>();
                    r.list(8, () -> members.put(r.key(), readSpace(r)));
                    return new Space.Dict(members);
                }
                case 7: {
                    boolean isStacked = r.flag();
                    return new Space.Sequence(readSpace(r), isStacked);
                }
                case 8: return new Space.Graph(readSpace(r), r.option(() -> readSpace(r)));
                case 9: return new Space.OneOf(r.list(4, () -> readSpace(r)).toArray(new Space[0]));
                default: throw RlayException.malformed("unknown space tag");
            }
        });
    }

    private static Space.Bound bound(Reader r, Dtype dtype, long size) {
        long form = r.u32();
        if (form > 1) {
            throw RlayException.malformed("unknown bound");
        }
        long n = form == 1 ? size : 1;
        byte[] elements = r.elements(dtype, n * dtype.size);
        boolean[] bounded = new boolean[(int) n];
        for (int i = 0; i < n; i++) {
            bounded[i] = r.flag();
        }
        return new Space.Bound(form == 0, elements, bounded);
    }

    private static Object bound(Space.Bound bound) {
        List<Object> flags = new ArrayList<>();
        for (boolean x : bound.bounded) {
            flags.add(x);
        }
        return bound.isUniform ? map("Uniform", map("value", hex(bound.values), "bounded", flags.get(0)))
            : map("Each", map("values", hex(bound.values), "bounded", flags));
    }

    private static List<Object> spaces(List<Space> members) {
        return members.stream().map(Vectors::space).collect(Collectors.toList());
    }

    private static Object space(Space x) {
        if (x instanceof Space.Box) {
            Space.Box box = (Space.Box) x;
            Map<String, Object> json = dtype(box.dtype());
            json.putAll(map("shape", unsigned(box.shape()), "low", bound(box.low), "high", bound(box.high)));
            return map("Box", json);
        } else if (x instanceof Space.Discrete) {
            Space.Discrete discrete = (Space.Discrete) x;
            return map("Discrete",
                map("dtype", dtype(discrete.dtype).get("dtype"), "n", unsigned(discrete.n), "start", discrete.start));
        } else if (x instanceof Space.MultiBinary) {
            return map("MultiBinary",
                map("shape", unsigned(((Space.MultiBinary) x).shape()), "n_is_int", ((Space.MultiBinary) x).isInt));
        } else if (x instanceof Space.MultiDiscrete) {
            Space.MultiDiscrete multi = (Space.MultiDiscrete) x;
            Map<String, Object> json = dtype(multi.dtype());
            json.putAll(map("shape", unsigned(multi.shape()), "nvec", signed(multi.nvec),
                "start", signed(multi.start)));
            return map("MultiDiscrete", json);
        } else if (x instanceof Space.Text) {
            Space.Text text = (Space.Text) x;
            return map("Text", map("min_length", unsigned(text.minLength), "max_length", unsigned(text.maxLength),
                "charset", text.charset));
        } else if (x instanceof Space.Tuple) {
            return map("Tuple", spaces(((Space.Tuple) x).spaces()));
        } else if (x instanceof Space.Dict) {
            List<Object> pairs = new ArrayList<>();
            ((Space.Dict) x).spaces().forEach((key, member) -> pairs.add(Arrays.asList(value(key), space(member))));
            return map("Dict", pairs);
        } else if (x instanceof Space.Sequence) {
            return map("Sequence",
                map("space", space(((Space.Sequence) x).space), "stack", ((Space.Sequence) x).isStacked));
        } else if (x instanceof Space.Graph) {
            Space.Graph graph = (Space.Graph) x;
            return map("Graph", map("node", space(graph.node), "edge", graph.edge == null ? null : space(graph.edge)));
        }
        return map("OneOf", spaces(((Space.OneOf) x).spaces()));
    }

    /** Returns what a frame says, and the frame as the client writes it; null for a kind that is not read. */
    private static String frame(byte[] frame) {
        Message message = Message.read(frame);
        if (message.body == null) {
            return "unread";
        }
        Map<String, Object> json = map("kind", null, "seq", unsigned(message.seq), "ack", unsigned(message.ack),
            "re", unsigned(message.re));
        Writer w = new Writer(1 << 26).header(message.kind, message.seq, message.ack, message.re);
        Object body;
        String kind;
        switch (message.kind) {
            case Message.HELLO: {
                Message.Hello hello = (Message.Hello) message.body;
                kind = "Hello";
                body = map("wire_min", hello.wireMin, "wire_max", hello.wireMax,
                    "role", hello.role == 0 ? "Agent" : "Env", "auth", hello.auth,
                    "features", unsigned(hello.features), "max_frame", unsigned(hello.maxFrame), "peer", hello.peer,
                    "nonce", bytes(hello.nonce), "resume", hello.ticket == null ? null
                        : map("ticket", bytes(hello.ticket), "received", unsigned(hello.received)));
                w = hello.write();
                break;
            }
            case Message.CHALLENGE:
            case Message.PROOF:
                kind = message.kind == Message.PROOF ? "Proof" : "Challenge";
                body = map(message.kind == Message.PROOF ? "proof" : "nonce", bytes((byte[]) message.body));
                w.raw((byte[]) message.body);
                break;
            case Message.WELCOME: {
                Message.Welcome welcome = (Message.Welcome) message.body;
                kind = "Welcome";
                body = map("wire", welcome.wire, "features", unsigned(welcome.features),
                    "max_frame", unsigned(welcome.maxFrame), "peer", welcome.peer,
                    "proof", bytes(welcome.proof), "ticket", bytes(welcome.ticket),
                    "received", welcome.received == null ? null : unsigned(welcome.received));
                w = welcome.write();
                break;
            }
            case Message.REJECT: {
                Message.Reject reject = (Message.Reject) message.body;
                kind = "Reject";
                body = map("code", reject.code, "wire_min", reject.wireMin, "wire_max", reject.wireMax,
                    "message", reject.message);
                w = reject.write();
                break;
            }
            case Message.GOODBYE: {
                Message.Goodbye goodbye = (Message.Goodbye) message.body;
                kind = "Goodbye";
                body = map("code", goodbye.code, "message", goodbye.message);
                goodbye.write(w);
                break;
            }
            case Message.ERROR: {
                Message.Failure failure = (Message.Failure) message.body;
                kind = "Error";
                Object told = map("error_type", failure.errorType, "message", failure.message,
                    "traceback", failure.traceback);
                body = map("code", failure.code, "fatal", failure.isFatal, "slots", failure.slots, "failure", told);
                failure.write(w);
                break;
            }
            case Message.MAKE: {
                Message.MakeBody make = (Message.MakeBody) message.body;
                kind = "Make";
                body = map("env_id", make.envId, "kwargs", value(make.kwargs), "render_mode", make.renderMode,
                    "slots", make.slots,
                    "autoreset_mode", new String[] {"Disabled", "NextStep", "SameStep"}[make.autoreset]);
                w.option(make.envId, w::text).value(make.kwargs).option(make.renderMode, w::text);
                w.u32(make.slots).u8(make.autoreset);
                break;
            }
            case Message.RESET: {
                Message.Reset reset = (Message.Reset) message.body;
                kind = "Reset";
                List<Object> rows = new ArrayList<>();
                w.u64(reset.slots.size());
                for (int i = 0; i < reset.slots.size(); i++) {
                    byte[] seed = reset.seeds.get(i) == null ? null : seed(reset.seeds.get(i));
                    rows.add(Arrays.asList(reset.slots.get(i), seed == null ? null : hex(seed)));
                    w.u32(reset.slots.get(i)).option(seed, w::blob);
                }
                body = map("rows", rows, "options", value(reset.options));
                w.value(reset.options);
                break;
            }
            case Message.STEP: {
                Message.Step step = (Message.Step) message.body;
                kind = "Step";
                if (step.wrong != null) { throw step.wrong; }
                body = step.slots;
                json.put("payload", step.packed == null ? map("Values", values(step.values))
                    : map("Packed", hex(step.packed)));
                w.list(step.slots, w::u32);
                if (step.packed == null) {
                    w.u32(1);
                    step.values.forEach(w::value);
                } else {
                    w.u32(0).u64(step.packed.length);
                    int pad = -(w.length() + 4) & 63;
                    w.u32(pad).zeros(pad).raw(step.packed);
                }
                break;
            }
            case Message.ATTRIBUTE: {
                Message.Attribute attribute = (Message.Attribute) message.body;
                kind = "Attribute";
                w.list(attribute.slots, w::u32).text(attribute.name).u8(attribute.access);
                if (attribute.access > 0) {
                    w.list(attribute.values, w::value);
                }
                Object access = attribute.access == 0 ? "Get" : map("Set", values(attribute.values));
                if (attribute.access == 2) {
                    w.value(attribute.kwargs);
                    Map<?, ?> kwargs = (Map<?, ?>) value(attribute.kwargs);
                    access = map("Call", Arrays.asList(values(attribute.values), kwargs.get("Dict")));
                }
                body = map("slots", attribute.slots, "name", attribute.name, "access", access);
                break;
            }
            default:
                kind = message.kind == Message.RENDER ? "Render" : "Close";
                body = ((Message.Slots) message.body).slots;
                w.list(((Message.Slots) message.body).slots, w::u32);
        }
        json.put("kind", kind);
        json.put("body", body);
        return ok(json, w.frame());
    }

    private static byte[] seed(BigInteger seed) {
        byte[] little = Reader.reversed(seed.toByteArray());
        return little[little.length - 1] == 0 ? Arrays.copyOf(little, little.length - 1) : little;
    }

    private static String ok(Object json, byte[] written) {
        return "ok " + new Json().add(json).out + " " + hex(written);
    }

    private static String answer(String line) {
        String[] words = line.split(" ", -1);
        byte[] bytes = unhex(words[words.length - 1]);
        Reader r = new Reader(bytes);
        Writer w = new Writer(1 << 26);
        w.allowsOpaque = true;
        switch (words[0]) {
            case "value": {
                Object found = r.value();
                r.end();
                return ok(value(found), w.value(found).frame());
            }
            case "space": {
                Space found = readSpace(r);
                r.end();
                return ok(space(found), w.space(found).frame());
            }
            case "payload": {
                Space space = readSpace(new Reader(unhex(words[1])));
                Object[] rows = space.unpack(r, Integer.parseInt(words[2]));
                r.end();
                if (!space.pack(w, rows, 0)) {
                    throw new IllegalStateException("not packed again");
                }
                return ok(values(Arrays.asList(rows)), w.frame());
            }
            case "frame": return frame(bytes);
            default: {
                List<String> frames = new ArrayList<>();
                FrameReader stream = new FrameReader(65536, found -> frames.add(hex(found)));
                stream.receive(bytes, 0, bytes.length);
                if (!stream.isBetweenFrames()) {
                    throw RlayException.malformed("a stream that ends inside of a frame");
                }
                return "ok " + String.join(",", frames) + (stream.isClosed ? " closed" : " open");
            }
        }
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        for (String line; (line = in.readLine()) != null; ) {
            String text;
            try {
                text = answer(line);
            } catch (RlayException | IllegalArgumentException e) {
                text = "refused " + String.valueOf(e.getMessage()).replace('\n', ' ');
            }
            out.println(text);
        }
    }
}
