package rlay;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import rlay.Value.NdArray;
import rlay.Value.Scalar;
import rlay.Value.TupleValue;

/**
 * Gymnasium's spaces: what observations and actions look like. They are the classes in here, and they do not change.
 *
 * <pre>{@code
 * Space observations = new Space.Dict()
 *     .with("board", new Space.Box(0, 255, Dtype.UINT8, 8, 8))
 *     .with("fuel", new Space.Discrete(32));
 * }</pre>
 *
 * <p>Their constructors throw IllegalArgumentException for spaces that do not exist.
 */
public abstract class Space {
    private Space() { }

    abstract void write(Writer w);

    /**
     * Writes the packed form of elements, behind the place where the payload begins; false if they have none (section
     * 7).
     */
    boolean pack(Writer w, Object[] rows, int origin) { return false; }

    /** Reads the packed form of so many elements. */
    Object[] unpack(Reader r, int rows) { throw RlayException.malformed("a space that has no packed form"); }

    /** Returns an observation with Java's arrays as those of the space, at whatever place in it. */
    Object fit(Object value) { return value; }

    private static void require(boolean isSo, String what) {
        if (!isSo) { throw new IllegalArgumentException(what); }
    }

    private static List<Space> members(Space... spaces) {
        List<Space> members = Collections.unmodifiableList(Arrays.asList(spaces.clone()));
        require(!members.contains(null), "null is no space");
        return members;
    }

    /** A space whose elements are arrays. */
    private abstract static class Arrayed extends Space {
        final Dtype dtype;
        final long[] shape;

        Arrayed(Dtype dtype, long[] shape, int size) {
            this.dtype = dtype;
            this.shape = shape.clone();
            long bytes = Value.byteCount(shape, size);
            require(bytes >= 0 && bytes <= 1L << 40, "a space of arrays that are too large: " + Arrays.toString(shape));
        }

        /** Returns the type of the elements' elements. */
        public Dtype dtype() { return dtype; }

        /** Returns the size of each dimension. */
        public long[] shape() { return shape.clone(); }

        long size() { return Value.byteCount(shape, 1); }

        @Override boolean pack(Writer w, Object[] rows, int origin) {
            if (dtype.isBig()) { return false; }
            for (Object row : rows) {
                if (!(row instanceof NdArray && ((NdArray) row).is(dtype, shape))) { return false; }
                w.raw(((NdArray) row).bytes());
            }
            w.padFrom(origin);
            return true;
        }

        @Override Object[] unpack(Reader r, int rows) {
            if (dtype.isBig()) { return super.unpack(r, rows); }
            long length = Value.byteCount(shape, dtype.size);
            Object[] elements = new Object[rows];
            for (int i = 0; i < rows; i++) { elements[i] = new NdArray(dtype, shape, r.elements(dtype, length)); }
            r.zeros(-(rows * length) & 7);
            return elements;
        }

        @Override Object fit(Object value) {
            boolean isArray = value != null && value.getClass().isArray()
                && !(value instanceof Object[] || value instanceof char[]);
            // Bytes are something else in Python, but not where an array is wanted.
            return isArray && (dtype.size == 1 || !(value instanceof byte[])) ? NdArray.from(dtype, value, shape)
                : value;
        }
    }

    /** One side of a Box: one element for all or one for each, and whether each limits anything. */
    static final class Bound {
        final boolean isUniform;
        final byte[] values;
        final boolean[] bounded;

        Bound(boolean isUniform, byte[] values, boolean[] bounded) {
            this.isUniform = isUniform;
            this.values = values;
            this.bounded = bounded;
        }

        /** Returns the bound of these elements, as one for all if they are alike. */
        static Bound of(byte[] values, boolean[] bounded, int size) {
            for (int i = size; i < values.length; i++) {
                if (values[i] != values[i - size] || bounded[i / size] != bounded[0]) {
                    return new Bound(false, values, bounded);
                }
            }
            return values.length == 0 ? new Bound(true, new byte[size], new boolean[] {true})
                : new Bound(true, Arrays.copyOf(values, size), new boolean[] {bounded[0]});
        }

        static Bound of(Dtype dtype, double[] given, boolean isLow) {
            ByteBuffer values = ByteBuffer.allocate(given.length * dtype.size).order(ByteOrder.LITTLE_ENDIAN);
            boolean[] bounded = new boolean[given.length];
            for (int i = 0; i < given.length; i++) {
                bounded[i] = isLow ? given[i] > Double.NEGATIVE_INFINITY : given[i] < Double.POSITIVE_INFINITY;
                long bits = bounded[i] || dtype.isFloat() ? dtype.bits(given[i]) : limit(dtype, isLow);
                dtype.write(values, i * dtype.size, bits);
            }
            return of(values.array(), bounded, dtype.size);
        }

        /** Returns the dtype's own limit, which Gymnasium stores where an integer Box has no bound. */
        private static long limit(Dtype dtype, boolean isLow) {
            int bits = dtype == Dtype.BOOL ? 1 : 8 * dtype.size;
            long ones = -1L >>> 64 - bits;
            return dtype.isSigned() ? isLow ? ones ^ ones >>> 1 : ones >>> 1 : isLow ? 0 : ones;
        }

        static Bound of(NdArray given, boolean isLow) {
            boolean[] bounded = new boolean[given.size()];
            for (int i = 0; i < bounded.length; i++) {
                double x = given.getDouble(i);
                bounded[i] = isLow ? x > Double.NEGATIVE_INFINITY : x < Double.POSITIVE_INFINITY;
            }
            return of(given.bytes(), bounded, given.dtype().size);
        }

        void write(Writer w) {
            w.u32(isUniform ? 0 : 1).raw(values);
            for (boolean x : bounded) { w.flag(x); }
        }
    }

    /** Arrays between two bounds. Elements are NdArrays of the dtype and shape; as an observation also Java arrays. */
    public static final class Box extends Arrayed {
        final Bound low;
        final Bound high;

        /** Makes the space with one bound for all: {@code new Box(0, 255, Dtype.UINT8, 8, 8, 3)}. */
        public Box(long low, long high, Dtype dtype, long... shape) {
            this(dtype, shape, Bound.of(longBound(dtype, low), true), Bound.of(longBound(dtype, high), false));
            boolean isInOrder = dtype == Dtype.UINT64 ? Long.compareUnsigned(low, high) <= 0 : low <= high;
            require(isInOrder, "a Box from " + low + " to " + high);
        }

        /**
         * Makes the space with one bound for all, which may be infinite: {@code new Box(-1.5, 1.5, Dtype.FLOAT32, 2)}.
         */
        public Box(double low, double high, Dtype dtype, long... shape) {
            this(dtype, shape, Bound.of(dtype, new double[] {low}, true), Bound.of(dtype, new double[] {high}, false));
            requireOrder(low, high);
        }

        /** Makes the space of one dimension with a bound for each element, which may be infinite. */
        public Box(double[] low, double[] high, Dtype dtype) {
            this(dtype, new long[] {low.length}, Bound.of(dtype, low, true), Bound.of(dtype, high, false));
            require(low.length == high.length, low.length + " lower bounds, " + high.length + " upper ones");
            for (int i = 0; i < low.length; i++) { requireOrder(low[i], high[i]); }
        }

        /** Makes the space with a bound for each element, in arrays that have the space's dtype and shape. */
        public Box(NdArray low, NdArray high) {
            this(low.dtype(), low.shape(), Bound.of(low, true), Bound.of(high, false));
            require(high.is(dtype, shape), "bounds of another dtype or shape");
            for (int i = 0; i < low.size(); i++) { requireOrder(low.getDouble(i), high.getDouble(i)); }
        }

        Box(Dtype dtype, long[] shape, Bound low, Bound high) {
            super(dtype, shape, dtype.size);
            this.low = low;
            this.high = high;
        }

        private static void requireOrder(double low, double high) {
            boolean isLimited = low < Double.POSITIVE_INFINITY && high > Double.NEGATIVE_INFINITY;
            require(low <= high && isLimited, "a Box from " + low + " to " + high);
        }

        private static NdArray longBound(Dtype dtype, long x) { return NdArray.of(dtype, new long[] {x}); }

        @Override void write(Writer w) {
            w.u32(0).u32(dtype.code).numbers(shape);
            low.write(w);
            high.write(w);
        }
    }

    /**
     * Integers that follow each other. Elements are Longs (an int in Python) or Scalars of the dtype, both of them
     * Numbers.
     */
    public static final class Discrete extends Space {
        final long n;
        final long start;
        final Dtype dtype;

        /** Makes the space of the integers from 0 to n - 1. */
        public Discrete(long n) { this(n, 0); }

        /** Makes the space of the integers from start to start + n - 1. */
        public Discrete(long n, long start) { this(n, start, Dtype.INT64); }

        /** Makes the space with another integer dtype than int64. */
        public Discrete(long n, long start, Dtype dtype) {
            this(dtype, n, start);
            require(n > 0, "a Discrete of " + n + " integers");
        }

        /** Makes the space of n integers, n being unsigned. */
        Discrete(Dtype dtype, long n, long start) {
            require(n != 0 && dtype.isInteger() && !dtype.isBig(), "a Discrete of " + n + " integers of " + dtype);
            this.n = n;
            this.start = start;
            this.dtype = dtype;
        }

        /** Returns how many integers there are. */
        public long n() { return n; }

        /** Returns the lowest integer. */
        public long start() { return start; }

        @Override void write(Writer w) { w.u32(1).u32(dtype.code).u64(n).u64(start); }

        @Override boolean pack(Writer w, Object[] rows, int origin) {
            for (Object row : rows) {
                if (!Writer.isInt(row) && !isScalar(row)) { return false; }
                w.u64(((Number) row).longValue());
            }
            for (Object row : rows) { w.flag(isScalar(row)); }
            w.padFrom(origin);
            return true;
        }

        private boolean isScalar(Object x) { return x instanceof Scalar && ((Scalar) x).dtype == dtype; }

        @Override Object[] unpack(Reader r, int rows) {
            Object[] elements = new Object[rows];
            for (int i = 0; i < rows; i++) { elements[i] = r.u64(); }
            for (int i = 0; i < rows; i++) {
                if (r.flag()) {
                    try {
                        elements[i] = Scalar.of(dtype, (Long) elements[i]);
                    } catch (IllegalArgumentException e) {
                        throw RlayException.malformed(e.getMessage());
                    }
                }
            }
            r.zeros(-rows & 7);
            return elements;
        }
    }

    /** Arrays of 0 and 1. Elements are NdArrays of int8; as an observation also Java arrays, boolean[] among them. */
    public static final class MultiBinary extends Arrayed {
        final boolean isInt;

        /** Makes the space of arrays of one dimension. */
        public MultiBinary(long n) { this(new long[] {n}, true); }

        /** Makes the space of arrays of this shape. */
        public MultiBinary(long[] shape) { this(shape, false); }

        MultiBinary(long[] shape, boolean isInt) {
            super(Dtype.INT8, shape, 1);
            this.isInt = isInt;
        }

        @Override void write(Writer w) { w.u32(2).numbers(shape).flag(isInt); }
    }

    /**
     * Arrays of integers, each with its own count and start. Elements are NdArrays; as an observation also Java arrays.
     */
    public static final class MultiDiscrete extends Arrayed {
        final long[] nvec;
        final long[] start;

        /** Makes the space of arrays of int64 of one dimension, whose integers begin at 0. */
        public MultiDiscrete(long... nvec) { this(nvec, new long[nvec.length]); }

        /** Makes the space of arrays of int64 of one dimension. */
        public MultiDiscrete(long[] nvec, long[] start) { this(Dtype.INT64, new long[] {nvec.length}, nvec, start); }

        /** Makes the space of arrays of an integer dtype and a shape, with counts and starts in C order. */
        public MultiDiscrete(Dtype dtype, long[] shape, long[] nvec, long[] start) {
            super(dtype, shape, 8);
            require(dtype.isInteger(), "a MultiDiscrete of " + dtype);
            require(nvec.length == size() && start.length == size(),
                "a MultiDiscrete whose counts or starts do not fit its shape");
            for (long n : nvec) { require(n >= 1, "a MultiDiscrete with a count of " + n); }
            this.nvec = nvec.clone();
            this.start = start.clone();
        }

        /** Returns the lowest integers. */
        public long[] start() { return start.clone(); }

        @Override void write(Writer w) { w.u32(3).u32(dtype.code).numbers(shape).numbers(nvec).numbers(start); }
    }

    /** Texts. Elements are Strings. Lengths count code points. */
    public static final class Text extends Space {
        private static final String DIGITS_AND_LETTERS =
            "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        final long minLength;
        final long maxLength;
        final String charset;

        /** Makes the space of texts of one to so many digits and letters. */
        public Text(long maxLength) { this(1, maxLength, DIGITS_AND_LETTERS); }

        /** Makes the space of texts of other lengths and characters. */
        public Text(long minLength, long maxLength, String charset) {
            this(charset, minLength, maxLength);
            require(minLength >= 0 && maxLength >= 0, "a Text with a negative length");
        }

        /** Makes the space, lengths being unsigned. */
        Text(String charset, long minLength, long maxLength) {
            require(charset != null, "a Text without a charset");
            require(Long.compareUnsigned(minLength, maxLength) <= 0, "a Text with a shortest length above its longest");
            this.minLength = minLength;
            this.maxLength = maxLength;
            this.charset = charset;
        }

        /** Returns the shortest length. */
        public long minLength() { return minLength; }

        /** Returns the characters that there may be. */
        public String charset() { return charset; }

        @Override void write(Writer w) { w.u32(4).u64(minLength).u64(maxLength).text(charset); }
    }

    /** One element of each of several spaces. Elements are TupleValues. */
    public static final class Tuple extends Space {
        final List<Space> spaces;

        /** Makes the space. */
        public Tuple(Space... spaces) { this.spaces = members(spaces); }

        /** Returns the members. */
        public List<Space> spaces() { return spaces; }

        @Override void write(Writer w) { w.u32(5).list(spaces, w::space); }

        @Override boolean pack(Writer w, Object[] rows, int origin) {
            for (Object row : rows) {
                if (!(row instanceof TupleValue && ((TupleValue) row).size() == spaces.size())) { return false; }
            }
            for (int i = 0; i < spaces.size(); i++) {
                int place = i;
                Object[] column = Arrays.stream(rows).map(row -> ((TupleValue) row).get(place)).toArray();
                if (!spaces.get(i).pack(w, column, origin)) { return false; }
            }
            return true;
        }

        @Override Object[] unpack(Reader r, int rows) {
            List<Object[]> columns = new ArrayList<>();
            spaces.forEach(space -> columns.add(space.unpack(r, rows)));
            Object[] elements = new Object[rows];
            for (int i = 0; i < rows; i++) {
                int row = i;
                elements[i] = Value.tuple(columns.stream().map(column -> column[row]).toArray());
            }
            return elements;
        }

        @Override Object fit(Object value) {
            if (!(value instanceof TupleValue && ((TupleValue) value).size() == spaces.size())) { return value; }
            Object[] fitted = ((TupleValue) value).toArray();
            for (int i = 0; i < fitted.length; i++) { fitted[i] = spaces.get(i).fit(fitted[i]); }
            return Value.tuple(fitted);
        }
    }

    /** Named spaces, in order. Elements are Maps with the same keys; those of an observation may have another order. */
    public static final class Dict extends Space {
        final Map<Object, Space> spaces;

        /** Makes the space without members; see {@link #with}. */
        public Dict() { this(Collections.emptyMap()); }

        /** Makes the space of the entries of a map, in its order. */
        public Dict(Map<?, Space> spaces) {
            this.spaces = Collections.unmodifiableMap(new LinkedHashMap<>(spaces));
            require(!spaces.containsValue(null), "null is no space");
        }

        /** Returns a space that has one more member, behind the others. Keys are texts, mostly. */
        public Dict with(Object key, Space space) {
            require(!spaces.containsKey(key), "the key " + key + " is there already");
            Map<Object, Space> more = new LinkedHashMap<>(spaces);
            more.put(key, space);
            return new Dict(more);
        }

        /** Returns the members. */
        public Map<Object, Space> spaces() { return spaces; }

        @Override void write(Writer w) {
            w.u32(6).list(spaces.entrySet(), entry -> w.key(entry.getKey()).space(entry.getValue()));
        }

        @Override boolean pack(Writer w, Object[] rows, int origin) {
            for (Object row : rows) {
                if (!(row instanceof Map && hasKeysInOrder((Map<?, ?>) row))) { return false; }
            }
            for (Map.Entry<Object, Space> member : spaces.entrySet()) {
                Object[] column = Arrays.stream(rows).map(row -> ((Map<?, ?>) row).get(member.getKey())).toArray();
                if (!member.getValue().pack(w, column, origin)) { return false; }
            }
            return true;
        }

        private boolean hasKeysInOrder(Map<?, ?> row) {
            Iterator<?> found = row.keySet().iterator();
            for (Object key : spaces.keySet()) {
                if (!found.hasNext() || !Objects.equals(key, found.next())) { return false; }
            }
            return !found.hasNext();
        }

        @Override Object[] unpack(Reader r, int rows) {
            List<Map<Object, Object>> elements = new ArrayList<>();
            for (int i = 0; i < rows; i++) { elements.add(new LinkedHashMap<>()); }
            spaces.forEach((key, space) -> {
                Object[] column = space.unpack(r, rows);
                for (int i = 0; i < rows; i++) { elements.get(i).put(key, column[i]); }
            });
            return elements.toArray();
        }

        @Override Object fit(Object value) {
            if (!(value instanceof Map && ((Map<?, ?>) value).keySet().equals(spaces.keySet()))) { return value; }
            Map<Object, Object> fitted = new LinkedHashMap<>();
            spaces.forEach((key, space) -> {
                try {
                    fitted.put(key, space.fit(((Map<?, ?>) value).get(key)));
                } catch (IllegalArgumentException e) {
                    throw new IllegalArgumentException(key + ": " + e.getMessage(), e);
                }
            });
            return fitted;
        }
    }

    /**
     * Any number of elements of one space. Elements are TupleValues or, if they are stacked, the batch of them (section
     * 6).
     */
    public static final class Sequence extends Space {
        final Space space;
        final boolean isStacked;

        /** Makes the space of tuples. */
        public Sequence(Space space) { this(space, false); }

        /** Makes the space of tuples or of batches. */
        public Sequence(Space space, boolean isStacked) {
            require(space != null, "null is no space");
            this.space = space;
            this.isStacked = isStacked;
        }

        /** Returns whether elements are batches. */
        public boolean isStacked() { return isStacked; }

        @Override void write(Writer w) { w.u32(7).flag(isStacked).space(space); }
    }

    /**
     * Graphs whose nodes, and edges if there are any, are elements of a Box or Discrete. Elements are GraphInstances.
     */
    public static final class Graph extends Space {
        final Space node;
        final Space edge;

        /** Makes the space; edge is null where edges have no elements. */
        public Graph(Space node, Space edge) {
            require(node != null, "null is no space");
            this.node = node;
            this.edge = edge;
        }

        /** Returns the space of nodes. */
        public Space node() { return node; }

        @Override void write(Writer w) { w.u32(8).space(node).option(edge, w::space); }
    }

    /**
     * An element of one of several spaces. Elements are {@code Value.tuple(Scalar.of(Dtype.INT64, index), element)}.
     */
    public static final class OneOf extends Space {
        final List<Space> spaces;

        /** Makes the space. */
        public OneOf(Space... spaces) {
            require(spaces.length > 0, "a OneOf of no spaces");
            this.spaces = members(spaces);
        }

        /** Returns the members. */
        public List<Space> spaces() { return spaces; }

        @Override void write(Writer w) { w.u32(9).list(spaces, w::space); }
    }
}
