package rlay;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import rlay.Value.GraphInstance;
import rlay.Value.NdArray;
import rlay.Value.Opaque;
import rlay.Value.Scalar;
import rlay.Value.TupleValue;

/**
 * Writes one frame (sections 2, 3 and 5). Four bytes for its length stand before it, so that both go out in one write.
 */
final class Writer {
    static final int LEVELS = 32;
    static final int COUNT = 1 << 20;
    private static final byte[] ZEROS = new byte[64];

    private final long limit;
    private byte[] bytes;
    private ByteBuffer view;
    private int at = 4;
    private int depth = LEVELS;
    private int count = COUNT;
    /** A frame may have 4096 such keys, and two large values. */
    private int keys = 2048;
    /** Whether what no value can hold is described instead of refused. */
    boolean allowsOpaque;

    Writer(long limit) {
        this.limit = limit;
        use(new byte[512]);
    }

    private void use(byte[] array) {
        bytes = array;
        view = ByteBuffer.wrap(array).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Makes room for more bytes and returns where they begin. Throws a RlayException where the frame gets too long. */
    private int room(int n) {
        int start = at;
        long end = (long) at + n;
        if (end - 4 > limit) { throw RlayException.usage("the answer takes more than " + limit + " bytes"); }
        if (end > bytes.length) {
            use(Arrays.copyOf(bytes, (int) Math.min(limit + 4, Math.max(2L * bytes.length, end))));
        }
        at = (int) end;
        return start;
    }

    /** Returns how many bytes the frame has so far. */
    int length() { return at - 4; }

    /** Forgets what was written behind this length. */
    void cutTo(int length) { at = length + 4; }

    /** Returns the frame with its length before it. */
    ByteBuffer finish() {
        view.putInt(0, length());
        return ByteBuffer.wrap(bytes, 0, at).slice();
    }

    /** Returns the frame without its length. */
    byte[] frame() { return Arrays.copyOfRange(bytes, 4, at); }

    Writer header(int kind, long seq, long ack, long re) { return u8(kind).zeros(7).u64(seq).u64(ack).u64(re); }

    // The place comes first, for making room may replace the view.

    Writer u8(int x) {
        int place = room(1);
        bytes[place] = (byte) x;
        return this;
    }

    Writer flag(boolean x) { return u8(x ? 1 : 0); }

    Writer u16(int x) {
        int place = room(2);
        view.putShort(place, (short) x);
        return this;
    }

    Writer u32(long x) {
        int place = room(4);
        view.putInt(place, (int) x);
        return this;
    }

    Writer u64(long x) {
        int place = room(8);
        view.putLong(place, x);
        return this;
    }

    Writer f64(double x) { return u64(Double.doubleToRawLongBits(x)); }

    Writer raw(byte[] x) { return raw(x, x.length); }

    private Writer raw(byte[] x, int length) {
        int place = room(length);
        System.arraycopy(x, 0, bytes, place, length);
        return this;
    }

    Writer zeros(int n) { return raw(ZEROS, n); }

    /** Fills up with zeros, so that the bytes behind a place become a multiple of 8. */
    Writer padFrom(int origin) { return zeros(-(length() - origin) & 7); }

    Writer blob(byte[] x) { return u64(x.length).raw(x); }

    /** Writes a text. Throws IllegalArgumentException for half of a surrogate pair, which UTF-8 does not have. */
    Writer text(String x) {
        for (int i = 0; i < x.length(); i++) {
            if (Character.isSurrogate(x.charAt(i))) {
                if (!Character.isSurrogatePair(x.charAt(i), i + 1 < x.length() ? x.charAt(i + 1) : ' ')) {
                    throw new IllegalArgumentException("a text with half of a surrogate pair");
                }
                i++;
            }
        }
        return blob(x.getBytes(StandardCharsets.UTF_8));
    }

    /** Writes a text for people, cut to what such a text may take. */
    Writer told(String x) { return blob(cut(x, 16384).getBytes(StandardCharsets.UTF_8)); }

    <T> Writer option(T x, Consumer<T> write) {
        flag(x != null);
        if (x != null) { write.accept(x); }
        return this;
    }

    <T> Writer list(Collection<? extends T> items, Consumer<T> write) {
        u64(items.size());
        items.forEach(write);
        return this;
    }

    Writer numbers(long[] items) {
        u64(items.length);
        for (long item : items) { u64(item); }
        return this;
    }

    private void enter() {
        if (depth-- == 0) {
            throw new IllegalArgumentException("a value that is nested more than " + LEVELS + " levels deep");
        }
        if (count-- == 0) { throw new IllegalArgumentException("more than " + COUNT + " values"); }
    }

    /** Writes any value. Throws IllegalArgumentException for what cannot be sent. */
    Writer value(Object x) {
        enter();
        tagged(x);
        depth++;
        return this;
    }

    private Writer tagged(Object x) {
        if (x == null) { return u32(0); }
        if (x instanceof Boolean) { return u32(1).flag((Boolean) x); }
        if (isInt(x)) { return u32(2).u64(((Number) x).longValue()); }
        if (x instanceof BigInteger) { return u32(3).blob(Reader.reversed(((BigInteger) x).toByteArray())); }
        if (x instanceof Double || x instanceof Float) { return u32(4).f64(((Number) x).doubleValue()); }
        if (x instanceof String || x instanceof Character) { return u32(5).text(x.toString()); }
        if (x instanceof byte[]) { return u32(6).blob((byte[]) x); }
        if (x instanceof Collection) {
            return u32(x instanceof TupleValue ? 8 : 7).list((Collection<?>) x, this::value);
        }
        if (x instanceof Object[]) { return u32(7).list(Arrays.asList((Object[]) x), this::value); }
        if (x instanceof Map) {
            return u32(9).list(((Map<?, ?>) x).entrySet(), item -> key(item.getKey()).value(item.getValue()));
        }
        if (x instanceof NdArray) { return array((NdArray) x); }
        if (x.getClass().isArray()) { return array(javaArray(x)); }
        if (x instanceof Scalar) { return scalar((Scalar) x); }
        if (x instanceof GraphInstance) {
            GraphInstance graph = (GraphInstance) x;
            return u32(12).value(graph.nodes).value(graph.edges).value(graph.edgeLinks);
        }
        return opaque(x instanceof Opaque ? (Opaque) x : new Opaque(x.getClass().getName(), String.valueOf(x)));
    }

    private Writer scalar(Scalar x) {
        u32(11).u32(x.dtype.code);
        int place = room(x.dtype.size);
        x.dtype.write(view, place, x.bits);
        return this;
    }

    /** Returns whether this is an Int, one of 64 bits. */
    static boolean isInt(Object x) {
        return x instanceof Long || x instanceof Integer || x instanceof Short || x instanceof Byte
            || x instanceof BigInteger && ((BigInteger) x).bitLength() < 64;
    }

    private Writer array(NdArray array) {
        return u32(10).u32(array.dtype().code).numbers(array.shape()).blob(array.bytes());
    }

    private static NdArray javaArray(Object x) {
        Dtype dtype = x instanceof boolean[] ? Dtype.BOOL
            : x instanceof short[] ? Dtype.INT16
            : x instanceof int[] ? Dtype.INT32
            : x instanceof long[] ? Dtype.INT64
            : x instanceof float[] ? Dtype.FLOAT32
            : x instanceof double[] ? Dtype.FLOAT64 : null;
        if (dtype == null) { throw new IllegalArgumentException("no value can hold a char[]; send a String"); }
        return NdArray.of(dtype, x);
    }

    private Writer opaque(Opaque x) {
        if (!allowsOpaque) {
            throw new IllegalArgumentException("no value can hold a " + x.typeName + ": " + cut(x.repr, 200));
        }
        return u32(13).told(x.typeName).told(x.repr);
    }

    /** Writes the key of a dict or of a Dict space. */
    Writer key(Object key) {
        int start = at;
        value(key);
        if (!isFreeKey(key)) {
            if (!isKey(key) || at - start > 256 && !(key instanceof Opaque)) {
                throw new IllegalArgumentException("a key of a dict that cannot be sent; use texts");
            }
            if (keys-- == 0) {
                throw new IllegalArgumentException(
                    "more than 2048 keys of dicts that are neither texts nor small integers");
            }
        }
        return this;
    }

    /** Returns whether a frame may have any number of such keys. */
    static boolean isFreeKey(Object x) {
        return x instanceof String || isInt(x) && ((Number) x).longValue() >= 0 && ((Number) x).longValue() < 16384;
    }

    /** Returns whether Python could have it as the key of a dict. */
    static boolean isKey(Object x) {
        if (x instanceof TupleValue) { return ((TupleValue) x).stream().allMatch(Writer::isKey); }
        boolean isMutable = x instanceof Collection || x instanceof Map || x instanceof NdArray
            || x instanceof GraphInstance;
        return !isMutable && (x == null || x instanceof byte[] || !x.getClass().isArray());
    }

    Writer space(Space space) {
        enter();
        if (space == null) { throw new IllegalArgumentException("null is no space"); }
        space.write(this);
        depth++;
        return this;
    }

    /** Writes the observation of the one row: packed if it is exactly what unpacking gives back (section 7). */
    void payload(Space space, Object row) {
        int start = length();
        int placeOfLength = u32(0).room(8);
        // Counted from the start of the frame; the pad's own four bytes count, too.
        int pad = -(length() + 4) & 63;
        u32(pad).zeros(pad);
        int origin = length();
        if (space.pack(this, new Object[] {row}, origin)) {
            view.putLong(placeOfLength, length() - origin);
        } else {
            cutTo(start);
            u32(1).value(row);
        }
    }

    /** Returns a text in at most so many bytes of UTF-8, with a mark where it was cut. */
    static String cut(String text, int most) {
        // Not the whole of a text that is far too long is encoded.
        String start = text.length() > most ? text.substring(0, most) : text;
        byte[] bytes = start.getBytes(StandardCharsets.UTF_8);
        if (bytes.length <= most && start.length() == text.length()) { return text; }
        int end = Math.min(bytes.length, most - 3);
        while (end > 0 && end < bytes.length && (bytes[end] & 0xC0) == 0x80) { end--; }
        return new String(bytes, 0, end, StandardCharsets.UTF_8) + "…";
    }

    /** Returns a text of a peer so that it can be shown: short, on one line, without control characters. */
    static String shown(String text) {
        return cut(text, 600).replaceAll(
            "[\\x00-\\x1f\\x7f-\\x9f\\x{2028}\\x{2029}\\x{202a}-\\x{202e}\\x{2066}-\\x{2069}]", " ");
    }

    /** Returns the texts of keys if all keys are texts, else null. */
    static List<String> names(Object value) {
        if (!(value instanceof Map)) { return null; }
        List<String> names = new ArrayList<>();
        for (Object key : ((Map<?, ?>) value).keySet()) {
            if (!(key instanceof String)) { return null; }
            names.add((String) key);
        }
        return names;
    }
}
