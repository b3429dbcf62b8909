package rlay;

import java.nio.ByteBuffer;
import java.util.Locale;

/**
 * The types that elements of arrays have: NumPy's, by the same names. Those that end in {@code _BIG} are the big-endian
 * ones, such as {@code >f4}; only the type is another one, data are little-endian here whatever it says.
 */
public enum Dtype {
    BOOL(0, 1), INT8(1, 1), INT16(2, 2), INT32(3, 4), INT64(4, 8),
    UINT8(5, 1), UINT16(6, 2), UINT32(7, 4), UINT64(8, 8),
    FLOAT16(9, 2), FLOAT32(10, 4), FLOAT64(11, 8),
    INT16_BIG(258, 2), INT32_BIG(259, 4), INT64_BIG(260, 8), UINT16_BIG(262, 2), UINT32_BIG(263, 4), UINT64_BIG(264, 8),
    FLOAT16_BIG(265, 2), FLOAT32_BIG(266, 4), FLOAT64_BIG(267, 8);

    private static final Dtype[] ALL = values();

    final int code;
    final int size;
    /** The code without the byte order. */
    private final int base;

    Dtype(int code, int size) {
        this.code = code;
        this.size = size;
        this.base = code & 255;
    }

    /** Returns how many bytes an element takes. */
    public int size() { return size; }

    /** Returns whether this is one of the signed or unsigned integers. */
    public boolean isInteger() { return base >= 1 && base <= 8; }

    /** Returns whether this is one of the types of floating-point numbers. */
    public boolean isFloat() { return base >= 9; }

    /** Returns whether this is one of the big-endian types. */
    public boolean isBig() { return code > 255; }

    boolean isSigned() { return base >= 1 && base <= 4; }

    /** Returns the dtype of a code of section 4. */
    static Dtype of(long code) {
        for (Dtype dtype : ALL) {
            if (dtype.code == code) { return dtype; }
        }
        throw RlayException.malformed("an unknown dtype");
    }

    /** Returns NumPy's name of the dtype. */
    @Override public String toString() {
        String name = name().toLowerCase(Locale.ROOT);
        return isBig() ? ">" + name.replace("_big", "") : name;
    }

    // What follows is about the bits of one element, in the lowest bytes of a long.

    long read(ByteBuffer data, int at) {
        switch (size) {
            case 1: return data.get(at) & 0xFF;
            case 2: return data.getShort(at) & 0xFFFF;
            case 4: return data.getInt(at) & 0xFFFFFFFFL;
            default: return data.getLong(at);
        }
    }

    void write(ByteBuffer data, int at, long bits) {
        switch (size) {
            case 1: data.put(at, (byte) bits); break;
            case 2: data.putShort(at, (short) bits); break;
            case 4: data.putInt(at, (int) bits); break;
            default: data.putLong(at, bits);
        }
    }

    /** Returns the bits of an integer; for uint64 the number is its own bits. Throws if the dtype does not have it. */
    long bits(long x) {
        if (isFloat()) { return bits((double) x); }
        int unused = 64 - 8 * size;
        boolean fits = base == 0 ? x == 0 || x == 1
            : size == 8 || (isSigned() ? x << unused >> unused : x << unused >>> unused) == x;
        if (!fits) { throw new IllegalArgumentException(this + " has no " + x); }
        return x;
    }

    /** Returns the bits of a number, rounded if this is a float. Throws if the dtype is another one and has it not. */
    long bits(double x) {
        switch (base) {
            case 9: return toFloat16(x);
            case 10: return Float.floatToRawIntBits((float) x) & 0xFFFFFFFFL;
            case 11: return Double.doubleToRawLongBits(x);
            default:
                boolean isLarge = base == 8 && x >= 0x1p63 && x < 0x1p64;
                long whole = isLarge ? (long) (x - 0x1p63) ^ Long.MIN_VALUE : (long) x;
                if (x != Math.rint(x) || !isLarge && (x < -0x1p63 || x >= 0x1p63 || x < 0 && base == 8)) {
                    throw new IllegalArgumentException(this + " has no " + x);
                }
                return bits(whole);
        }
    }

    long toLong(long bits) {
        int unused = 64 - 8 * size;
        return isFloat() ? (long) toDouble(bits) : isSigned() ? bits << unused >> unused : bits;
    }

    double toDouble(long bits) {
        switch (base) {
            case 9: return fromFloat16((int) bits);
            case 10: return Float.intBitsToFloat((int) bits);
            case 11: return Double.longBitsToDouble(bits);
            // Halves a number of 64 bits, so that it has a sign bit to spare; the lowest bit still decides how it is
            // rounded.
            case 8: return bits >= 0 ? bits : (double) (bits >>> 1 | bits & 1) * 2;
            default: return toLong(bits);
        }
    }

    /** Returns the 16 bits of the float16 that is nearest, ties to even. */
    static int toFloat16(double x) {
        if (Double.isNaN(x)) { return 0x7E00; }
        int sign = (int) (Double.doubleToRawLongBits(x) >>> 63) << 15;
        double size = Math.abs(x);
        if (size >= 65520) { return sign | 0x7C00; }
        if (size < 0x1p-14) { return sign | (int) Math.rint(size * 0x1p24); }
        int exponent = Math.getExponent(size);
        // A fraction that is rounded up to 1024 makes the exponent one larger, as it has to.
        return sign | (exponent + 15 << 10) + (int) Math.rint((Math.scalb(size, -exponent) - 1) * 1024);
    }

    static double fromFloat16(int bits) {
        int exponent = bits >> 10 & 31;
        int fraction = bits & 1023;
        double size = exponent == 31 ? fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN
            : exponent == 0 ? fraction * 0x1p-24 : Math.scalb(1 + fraction / 1024.0, exponent - 15);
        return (bits & 0x8000) == 0 ? size : -size;
    }
}
