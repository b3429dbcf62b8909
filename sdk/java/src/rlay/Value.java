package rlay;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.AbstractList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The values of Python that Java has no type for, and how the others travel.
 *
 * <table>
 * <caption>Which Java object is which in Python</caption>
 * <tr><td>{@code null}</td><td>None</td></tr>
 * <tr><td>{@code Boolean}</td><td>bool</td></tr>
 * <tr><td>{@code Long}; sent, also Integer, Short, Byte; beyond 64 bits {@code BigInteger}</td><td>int</td></tr>
 * <tr><td>{@code Double}; sent, also Float</td><td>float</td></tr>
 * <tr><td>{@code String}; sent, also Character</td><td>str</td></tr>
 * <tr><td>{@code byte[]}</td><td>bytes</td></tr>
 * <tr><td>{@code List}; sent, also any Collection and {@code Object[]}</td><td>list</td></tr>
 * <tr><td>{@link TupleValue}</td><td>tuple</td></tr>
 * <tr><td>{@code Map}, in its order</td><td>dict</td></tr>
 * <tr><td>{@link NdArray}; sent, also boolean[], short[], int[], long[], float[] and double[]</td>
 *     <td>numpy.ndarray</td></tr>
 * <tr><td>{@link Scalar}</td><td>a NumPy scalar such as {@code np.int64(1)}</td></tr>
 * <tr><td>{@link GraphInstance}</td><td>gymnasium.spaces.GraphInstance</td></tr>
 * <tr><td>{@link Opaque}; in infos and metadata also any other object</td><td>rlay.Opaque</td></tr>
 * </table>
 */
public final class Value {
    private Value() { }

    /** Returns a Python tuple of these items. */
    public static TupleValue tuple(Object... items) { return new TupleValue(Arrays.asList(items.clone())); }

    /** Returns a dict with names as keys: {@code Value.dict("lives", 3, "speed", 0.5)}. */
    public static Map<String, Object> dict(Object... namesAndValues) {
        Map<String, Object> dict = new LinkedHashMap<>();
        if (namesAndValues.length % 2 != 0) { throw new IllegalArgumentException("a name without a value"); }
        for (int i = 0; i < namesAndValues.length; i += 2) {
            dict.put((String) namesAndValues[i], namesAndValues[i + 1]);
        }
        return dict;
    }

    /** A Python tuple. It is read as the list of its items. */
    public static final class TupleValue extends AbstractList<Object> {
        private final List<Object> items;

        TupleValue(List<Object> items) { this.items = Collections.unmodifiableList(items); }

        @Override public Object get(int index) { return items.get(index); }

        @Override public int size() { return items.size(); }
    }

    /** A NumPy array. Its data are bytes: the elements in C order (the last index runs fastest), each little-endian. */
    public static final class NdArray {
        private final Dtype dtype;
        private final long[] shape;
        private final byte[] bytes;
        private final ByteBuffer data;

        /**
         * Makes an array of these bytes, which are not copied. Throws IllegalArgumentException if the shape takes
         * another number.
         */
        public NdArray(Dtype dtype, long[] shape, byte[] bytes) {
            if (byteCount(shape, dtype.size) != bytes.length) {
                throw new IllegalArgumentException(bytes.length + " bytes for an array of " + dtype + " of shape "
                    + Arrays.toString(shape));
            }
            this.dtype = dtype;
            this.shape = shape.clone();
            this.bytes = bytes;
            this.data = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        }

        /** Returns an array of zeros. */
        public static NdArray zeros(Dtype dtype, long... shape) {
            long count = byteCount(shape, dtype.size);
            if (count > Integer.MAX_VALUE - 8) {
                throw new IllegalArgumentException("an array of " + count + " bytes");
            }
            return new NdArray(dtype, shape, new byte[(int) count]);
        }

        /**
         * Returns an array of these numbers: {@code NdArray.of(Dtype.UINT8, pixels, 8, 8, 3)}. They are a Java array of
         * boolean, byte, short, int, long, float or double; without a shape the array has one dimension. A byte[] for
         * uint8 has unsigned bytes, a long[] for uint64 unsigned numbers. Throws IllegalArgumentException for a number
         * that the dtype does not have, and for a shape of another size.
         */
        public static NdArray of(Dtype dtype, Object numbers, long... shape) {
            return from(dtype, numbers, shape.length == 0 ? null : shape);
        }

        /** Does the same; without a shape only if that is null. */
        static NdArray from(Dtype dtype, Object numbers, long[] shape) {
            if (!numbers.getClass().isArray() || numbers instanceof Object[]) {
                throw new IllegalArgumentException("an array of numbers is wanted, not "
                    + numbers.getClass().getName());
            }
            int n = java.lang.reflect.Array.getLength(numbers);
            NdArray array = zeros(dtype, shape == null ? new long[] {n} : shape);
            if (array.size() != n) {
                throw new IllegalArgumentException(n + " numbers for an array of shape "
                    + Arrays.toString(array.shape));
            }
            ByteBuffer data = array.data;
            int size = dtype.size;
            if (numbers instanceof byte[] && (dtype == Dtype.UINT8 || dtype == Dtype.INT8)) {
                System.arraycopy(numbers, 0, array.bytes, 0, n);
            } else if (numbers instanceof float[] && dtype == Dtype.FLOAT32) {
                data.asFloatBuffer().put((float[]) numbers);
            } else if (numbers instanceof double[] && dtype == Dtype.FLOAT64) {
                data.asDoubleBuffer().put((double[]) numbers);
            } else if (numbers instanceof float[] || numbers instanceof double[]) {
                for (int i = 0; i < n; i++) {
                    dtype.write(data, i * size, dtype.bits(java.lang.reflect.Array.getDouble(numbers, i)));
                }
            } else if (numbers instanceof boolean[]) {
                for (int i = 0; i < n; i++) {
                    dtype.write(data, i * size, dtype.bits(((boolean[]) numbers)[i] ? 1L : 0L));
                }
            } else {
                for (int i = 0; i < n; i++) {
                    dtype.write(data, i * size, dtype.bits(java.lang.reflect.Array.getLong(numbers, i)));
                }
            }
            return array;
        }

        /** Returns the type of the elements. */
        public Dtype dtype() { return dtype; }

        /** Returns the size of each dimension. */
        public long[] shape() { return shape.clone(); }

        /** Returns the bytes of the elements themselves, not a copy: little-endian, in C order. */
        public byte[] bytes() { return bytes; }

        /** Returns the number of elements. */
        public int size() {
            return bytes.length / dtype.size;
        }

        /**
         * Returns the place of the element at these indices: {@code array.getLong(array.index(2, 0))} is {@code
         * array[2, 0]}.
         */
        public int index(long... indices) {
            if (indices.length != shape.length) {
                throw new IndexOutOfBoundsException(indices.length + " indices for " + shape.length + " dimensions");
            }
            long place = 0;
            for (int i = 0; i < shape.length; i++) {
                if (indices[i] < 0 || indices[i] >= shape[i]) {
                    throw new IndexOutOfBoundsException("no index " + indices[i] + " in a dimension of " + shape[i]);
                }
                place = place * shape[i] + indices[i];
            }
            return (int) place;
        }

        /** Returns the element at this place as a number. */
        public double getDouble(int place) { return dtype.toDouble(dtype.read(data, place * dtype.size)); }

        /** Returns the element at this place as an integer, without its fraction; of uint64 the bits. */
        public long getLong(int place) { return dtype.toLong(dtype.read(data, place * dtype.size)); }

        /** Returns all elements as numbers. */
        public double[] toDoubles() {
            double[] all = new double[size()];
            Arrays.setAll(all, this::getDouble);
            return all;
        }

        /** Returns all elements as integers. */
        public long[] toLongs() {
            long[] all = new long[size()];
            Arrays.setAll(all, this::getLong);
            return all;
        }

        boolean is(Dtype wanted, long[] wantedShape) { return dtype == wanted && Arrays.equals(shape, wantedShape); }

        @Override public String toString() { return "NdArray(" + dtype + ", " + Arrays.toString(shape) + ")"; }
    }

    /**
     * A NumPy scalar: {@code Scalar.of(Dtype.FLOAT32, 1.5)} is {@code np.float32(1.5)}. It is a Number, as Long and
     * Double are.
     */
    public static final class Scalar extends Number {
        private static final long serialVersionUID = 1;

        final Dtype dtype;
        final long bits;

        Scalar(Dtype dtype, long bits) {
            this.dtype = dtype;
            this.bits = bits & -1L >>> 64 - 8 * dtype.size;
        }

        /**
         * Returns the scalar of an integer; of a bool, 0 or 1. Throws IllegalArgumentException if the dtype does not
         * have it.
         */
        public static Scalar of(Dtype dtype, long x) { return new Scalar(dtype, dtype.bits(x)); }

        /** Returns the scalar of a number. Throws IllegalArgumentException if the dtype does not have it. */
        public static Scalar of(Dtype dtype, double x) { return new Scalar(dtype, dtype.bits(x)); }

        /** Returns the type. */
        public Dtype dtype() { return dtype; }

        @Override public int intValue() { return (int) longValue(); }

        /** Returns the number without its fraction; of uint64 the bits. */
        @Override public long longValue() { return dtype.toLong(bits); }

        @Override public float floatValue() { return (float) doubleValue(); }

        @Override public double doubleValue() { return dtype.toDouble(bits); }

        @Override public boolean equals(Object other) {
            return other instanceof Scalar && ((Scalar) other).dtype == dtype && ((Scalar) other).bits == bits;
        }

        @Override public int hashCode() { return Long.hashCode(bits) * 31 + dtype.code; }

        @Override public String toString() {
            return dtype.isFloat() ? Double.toString(doubleValue())
                : dtype.isSigned() ? Long.toString(longValue()) : Long.toUnsignedString(bits);
        }
    }

    /**
     * Gymnasium's GraphInstance: a batch of nodes, then a batch of edges and an array of their links, or null for both.
     */
    public static final class GraphInstance {
        /** The nodes, for a node space that is a Box an array with one more dimension in front. */
        public final Object nodes;
        /** The edges, or null. */
        public final Object edges;
        /** An array of integers of shape (edges, 2), or null. */
        public final Object edgeLinks;

        /** Makes a graph. */
        public GraphInstance(Object nodes, Object edges, Object edgeLinks) {
            this.nodes = nodes;
            this.edges = edges;
            this.edgeLinks = edgeLinks;
        }
    }

    /** A Python object that no value can hold: the name of its type and its repr, for people to read. */
    public static final class Opaque {
        /** The name of the type. */
        public final String typeName;
        /** What the object says of itself. */
        public final String repr;

        /** Makes a description of an object. */
        public Opaque(String typeName, String repr) {
            this.typeName = typeName;
            this.repr = repr;
        }

        @Override public String toString() { return repr; }
    }

    /** Returns how many bytes an array takes, or -1 if that is none that an array may have (section 5). */
    static long byteCount(long[] shape, int size) {
        long bytes = size;
        boolean isEmpty = false;
        for (long n : shape) {
            if (n == 0) { isEmpty = true; }
            else if (n < 0 || bytes > Long.MAX_VALUE / n) { return -1; }
            else { bytes *= n; }
        }
        return shape.length > 64 ? -1 : isEmpty ? 0 : bytes;
    }
}
