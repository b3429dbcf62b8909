package rlay;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import rlay.Value.GraphInstance;
import rlay.Value.NdArray;
import rlay.Value.Opaque;
import rlay.Value.Scalar;
import rlay.Value.TupleValue;

/**
 * Reads one frame or a part of one (sections 2, 3 and 5). Throws a RlayException of code PROTOCOL for what is
 * malformed.
 */
final class Reader {
    private final byte[] bytes;
    private final ByteBuffer view;
    private int at;
    private int depth = Writer.LEVELS;
    private int count = Writer.COUNT;
    private int keys = 4096;

    Reader(byte[] bytes) {
        this.bytes = bytes;
        this.view = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    int left() { return bytes.length - at; }

    /** Passes over bytes, which are there, and returns where they begin. A negative number is one of 2^63 or more. */
    private int skip(long n) {
        if (n < 0 || n > left()) {
            throw RlayException.malformed(Long.toUnsignedString(n) + " bytes announced, " + left() + " left");
        }
        int start = at;
        at += (int) n;
        return start;
    }

    int u8() { return bytes[skip(1)] & 0xFF; }

    boolean flag() {
        int x = u8();
        if (x > 1) { throw RlayException.malformed("a bool is 0 or 1"); }
        return x == 1;
    }

    int u16() { return view.getShort(skip(2)) & 0xFFFF; }

    long u32() { return view.getInt(skip(4)) & 0xFFFFFFFFL; }

    /** Returns the bits of an i64 or u64. */
    long u64() { return view.getLong(skip(8)); }

    byte[] raw(long n) {
        int start = skip(n);
        return Arrays.copyOfRange(bytes, start, at);
    }

    byte[] blob() { return raw(u64()); }

    String text() { return text(Integer.MAX_VALUE); }

    String text(int most) {
        byte[] blob = blob();
        if (blob.length > most) { throw RlayException.malformed("a name that is too long"); }
        String text = new String(blob, StandardCharsets.UTF_8);
        // Stands for what is no UTF-8, or for itself.
        if (text.indexOf('\uFFFD') >= 0) {
            try {
                StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(blob));
            } catch (CharacterCodingException e) {
                throw RlayException.malformed("a text that is not UTF-8");
            }
        }
        return text;
    }

    <T> T option(Supplier<T> read) { return flag() ? read.get() : null; }

    /** Returns the number of items in a list, each of which takes at least so many bytes. */
    private int items(int size) {
        long n = u64();
        if (n < 0 || n > left() / size) {
            throw RlayException.malformed(Long.toUnsignedString(n) + " items announced, " + left() + " bytes left");
        }
        return (int) n;
    }

    /** The same of items that are counted. More than there may be are refused before any is read. */
    private int countedItems(int size) {
        int n = items(size);
        if (n > count) { throw RlayException.malformed("too many values"); }
        return n;
    }

    <T> List<T> list(int size, Supplier<T> read) { return list(read, items(size)); }

    /** Reads a list of values or rows. */
    <T> List<T> counted(int size, Supplier<T> read) { return list(read, countedItems(size)); }

    private static <T> List<T> list(Supplier<T> read, int n) {
        List<T> list = new ArrayList<>();
        for (int i = 0; i < n; i++) { list.add(read.get()); }
        return list;
    }

    long[] numbers() {
        long[] numbers = new long[items(8)];
        for (int i = 0; i < numbers.length; i++) { numbers[i] = u64(); }
        return numbers;
    }

    void zeros(long n) {
        for (byte x : raw(n)) {
            if (x != 0) { throw RlayException.malformed("padding or reserved bytes that are not 0"); }
        }
    }

    void end() {
        if (left() > 0) { throw RlayException.malformed(left() + " bytes too many"); }
    }

    <T> T nested(Supplier<T> read) {
        if (depth == 0) { throw RlayException.malformed("nested too deep"); }
        if (count == 0) { throw RlayException.malformed("too many values"); }
        depth--;
        count--;
        T result = read.get();
        depth++;
        return result;
    }

    Dtype dtype() { return Dtype.of(u32()); }

    /** Returns bytes of elements. */
    byte[] elements(Dtype dtype, long n) {
        byte[] elements = raw(n);
        if (dtype == Dtype.BOOL) {
            for (byte x : elements) {
                if (x != 0 && x != 1) { throw RlayException.malformed("a bool is 0 or 1"); }
            }
        }
        return elements;
    }

    Object value() { return nested(this::plainValue); }

    private Object plainValue() {
        int tag = (int) u32();
        switch (tag) {
            case 0: return null;
            case 1: return flag();
            case 2: return u64();
            case 3: return bigInteger();
            case 4: return Double.longBitsToDouble(u64());
            case 5: return text();
            case 6: return blob();
            case 7: return counted(4, this::value);
            case 8: return new TupleValue(counted(4, this::value));
            case 9: return dict();
            case 10: return array();
            case 11:
                Dtype dtype = dtype();
                byte[] element = elements(dtype, dtype.size);
                return new Scalar(dtype, dtype.read(ByteBuffer.wrap(element).order(ByteOrder.LITTLE_ENDIAN), 0));
            case 12: return new GraphInstance(value(), value(), value());
            case 13: return new Opaque(text(), text());
            default: throw RlayException.malformed("unknown value tag " + Integer.toUnsignedString(tag));
        }
    }

    private Map<Object, Object> dict() {
        int n = countedItems(8);
        Map<Object, Object> dict = new LinkedHashMap<>();
        for (int i = 0; i < n; i++) {
            Object key = key();
            dict.put(key, value());
        }
        return dict;
    }

    private NdArray array() {
        Dtype dtype = dtype();
        long[] shape = numbers();
        long length = u64();
        if (shape.length > 64 || Value.byteCount(shape, dtype.size) != length) {
            throw RlayException.malformed("an array whose shape does not hold its data");
        }
        return new NdArray(dtype, shape, elements(dtype, length));
    }

    private BigInteger bigInteger() {
        byte[] little = blob();
        BigInteger x = little.length > 8 ? new BigInteger(reversed(little)) : BigInteger.ZERO;
        if (x.bitLength() / 8 + 1 != little.length || little.length <= 8) {
            throw RlayException.malformed("a large integer that is not in its shortest form");
        }
        return x;
    }

    Object key() {
        int start = at;
        Object key = value();
        if (!Writer.isKey(key)) { throw RlayException.malformed("a key that can be none"); }
        if (!Writer.isFreeKey(key)) {
            if (at - start > 256 && !(key instanceof Opaque)) {
                throw RlayException.malformed("a key that is too long");
            }
            if (keys-- == 0) {
                throw RlayException.malformed("too many keys that are neither texts nor small integers");
            }
        }
        return key;
    }

    /** Returns a seed, or any other non-negative integer, of bytes without zeros at their end. */
    BigInteger seed() {
        byte[] little = blob();
        if (little.length > 4096 || little.length > 0 && little[little.length - 1] == 0) {
            throw RlayException.malformed("a seed that is too long, or has zeros at its end");
        }
        return new BigInteger(1, reversed(little));
    }

    static byte[] reversed(byte[] bytes) {
        byte[] reversed = new byte[bytes.length];
        for (int i = 0; i < bytes.length; i++) { reversed[i] = bytes[bytes.length - 1 - i]; }
        return reversed;
    }

    /** Reads the head of a payload; returns whether it is packed, and what is left are the packed bytes alone. */
    boolean payloadIsPacked() {
        long form = u32();
        if (form > 1) { throw RlayException.malformed("an unknown form of a payload"); }
        if (form == 1) { return false; }
        long length = u64();
        long pad = u32();
        if (pad > 63 || (at + pad) % 64 != 0) {
            throw RlayException.malformed("a payload at another place than a multiple of 64");
        }
        zeros(pad);
        if (length != left()) {
            throw RlayException.malformed(Long.toUnsignedString(length) + " bytes of a payload announced, " + left()
                + " left");
        }
        return true;
    }
}
