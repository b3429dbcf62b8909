/**
 * RLay's client for JavaScript: hosts environments that Gymnasium agents in Python play, over TCP (Node.js 18 or newer)
 * or WebSocket (browsers). The bytes follow docs/wire.md; the section numbers below are those of that page.
 *
 *     import { Box, Discrete, ServerBackend } from "./rlay.mjs";
 *
 *     class Walk {
 *       observationSpace = new Box(-10, 10, [1], "float32");
 *       actionSpace = new Discrete(2);
 *       reset(seed, options) {
 *         this.x = 0;
 *         return [[this.x], {}];
 *       }
 *       step(action) {
 *         this.x += action === 1 ? 1 : -1;
 *         return [[this.x], this.x, Math.abs(this.x) >= 10, false, {}];
 *       }
 *     }
 *     await new ServerBackend(() => new Walk(), "tcp://127.0.0.1:5005").run();
 *
 * An environment has `observationSpace`, `actionSpace`, `reset(seed, options)` and `step(action)`, and may have
 * `metadata`, `details`, `render()` and `close()`; its methods may return promises. The file rlay.d.ts documents all of
 * it, and which value is which in Python. In what is sent, a number that is a safe integer is an `int`, any other
 * number a `float`, `new Float(1)` the float 1.0, and a bigint always an `int`.
 */

if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) throw new Error("rlay needs a little-endian machine");

// ----- Errors (section 11)
/** What went wrong, as RLay counts it. */
export const ErrorCode = Object.freeze({
  USAGE: 1, RESET_NEEDED: 2, INVALID_ACTION: 3, CLOSED: 4, BUSY: 5, ADDRESS: 6, INCOMPATIBLE: 7, PROTOCOL: 8, ENV: 9,
  CONNECTION_LOST: 10, UNAUTHORIZED: 13,
});

/** An error of RLay itself; `code` is one of `ErrorCode`. Errors of an environment are of whatever class it throws. */
export class RlayError extends Error {
  constructor(code, message) { Object.assign(super(message), { name: "RlayError", code }); }
}

/** Returns the error of bytes that the specification does not allow. */
const malformed = (what) => new RlayError(ErrorCode.PROTOCOL, what);
const connectionLost = (what) => new RlayError(ErrorCode.CONNECTION_LOST, what);

// ----- Dtypes (section 4)
/** What is known of each dtype, by its name and by its code. `">float32"` is the big-endian form of `"float32"`. */
const DTYPES = new Map();
for (const [code, [name, Type]] of [
  ["bool", Uint8Array], ["int8", Int8Array], ["int16", Int16Array], ["int32", Int32Array], ["int64", BigInt64Array],
  ["uint8", Uint8Array], ["uint16", Uint16Array], ["uint32", Uint32Array], ["uint64", BigUint64Array],
  ["float16", Uint16Array], ["float32", Float32Array], ["float64", Float64Array],
].entries()) {
  const is = { isBig: false, isInteger: name.includes("int"), is64: name.endsWith("int64") };
  const little = { name, code, Type, size: Type.BYTES_PER_ELEMENT, ...is };
  const big = { ...little, name: `>${name}`, code: little.code + 256, isBig: true };
  for (const dtype of little.size > 1 ? [little, big] : [little]) DTYPES.set(dtype.name, dtype).set(dtype.code, dtype);
}

function dtypeNamed(name) {
  const dtype = typeof name === "string" && DTYPES.get(name);
  if (!dtype) {
    throw new TypeError(`unknown dtype ${String(name)}; a dtype is one of bool, int8 to uint64, float16 to float64`);
  }
  return dtype;
}

/** Returns `x` as its typed array holds it: raw bits for float16, a bigint for integers of 64 bits, 0 or 1 for bool. */
function toElement(dtype, x) {
  if (typeof x !== "number" && !["number", "bigint", "boolean"].includes(typeof x?.valueOf())) {
    throw new TypeError(`${shown(x)} is no number`);
  }
  if (dtype.code === 0) return x.valueOf() ? 1 : 0;
  if (dtype.name.endsWith("float16")) return toFloat16(Number(x));
  if (!dtype.isInteger) return Number(x);
  const wanted = dtype.is64 ? BigInt(x) : Number(x);
  if (dtype.Type.of(wanted)[0] !== wanted) throw new RangeError(`${dtype.name} cannot hold ${String(x)}`);
  return wanted;
}

/** Returns what a raw element of a typed array means: a boolean, a number, or a bigint beyond the safe integers. */
function fromElement(dtype, raw) {
  if (dtype.code === 0) return raw !== 0;
  if (dtype.name.endsWith("float16")) return fromFloat16(raw);
  return dtype.is64 ? fromBigInt(raw) : raw;
}

const fromBigInt = (x) => (x >= Number.MIN_SAFE_INTEGER && x <= Number.MAX_SAFE_INTEGER ? Number(x) : x);

/** Returns the 16 bits of the float16 that is nearest to `x`, ties to even. */
export function toFloat16(x) {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (size >= 65520) return sign | 0x7c00;
  const roundToEven = (y) => {
    const floor = Math.floor(y);
    return y - floor > 0.5 || (y - floor === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  };
  if (size < 2 ** -14) return sign | roundToEven(size * 2 ** 24);
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, size);
  const exponent = (view.getUint16(0) >> 4) - 1023;
  return sign | (((exponent + 15) << 10) + roundToEven((size / 2 ** exponent - 1) * 1024));
}

/** Returns the number that the 16 bits of a float16 stand for. */
export function fromFloat16(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

/** Refuses what is none of the integers from `least` on that a u64 can hold. */
function checkCount(n, least, what) {
  const isCount = Number.isSafeInteger(n) || (typeof n === "bigint" && n < 2n ** 64n);
  if (!isCount || n < least) throw new RangeError(`${what} is an integer from ${least} on, not ${shown(n)}`);
}

/** Returns the product of `shape`, of bytes if `size` is that of an element. */
function bytesOf(shape, size) {
  const positive = shape.filter((n) => n > 0);
  const bytes = positive.reduce((product, n) => product * Number(n), size);
  // Beyond the safe integers the product is rounded.
  const isTooLarge = () => positive.reduce((product, n) => product * BigInt(n), BigInt(size)) >= 2n ** 63n;
  if (shape.length > 64 || (bytes >= 2 ** 53 && isTooLarge())) throw malformed("a shape of too many elements");
  return positive.length < shape.length ? 0 : bytes;
}

/** Returns a shape that a caller has given, of arrays whose elements have this size. */
function checkedShape(shape, size) {
  if (!Array.isArray(shape)) throw new TypeError(`a shape is a list of sizes, not ${shown(shape)}`);
  shape = Array.from(shape);
  for (const n of shape) checkCount(n, 0, "a size of a shape");
  try {
    bytesOf(shape, size);
  } catch (error) {
    throw new RangeError(error.message);
  }
  return shape;
}

function shapeOfSpace(shape, size) {
  const checked = checkedShape(shape, size);
  if (bytesOf(checked, size) > 2 ** 40) throw new RangeError("a space of more than 2^40 bytes");
  return checked;
}

const sameShape = (a, b) => a.length === b.length && a.every((n, i) => n === b[i]);

// ----- Values (section 5)
/**
 * A Python float: sent, it is one even where the number is an integer. Arithmetic works as with the number, === does
 * not.
 */
export class Float extends Number {
  /** The bits of a NaN that was received, as a bigint; undefined otherwise, for the number has them all. */
  bits = undefined;
}

/** A Python tuple: an Array that is sent as a tuple instead of a list. Made by `tuple(1, 2)`. */
export class TupleValue extends Array {}

/** Returns a Python tuple of these items. */
export function tuple(...items) { return TupleValue.from(items); }

/**
 * A NumPy array in C order: `new NdArray("uint8", [8, 8, 3], data)`. `data` is a typed array of the dtype, numbers, or
 * nothing for zeros. Iterating gives numbers, whatever the dtype. Throws a RangeError for what does not fit.
 */
export class NdArray {
  constructor(dtype, shape, data) {
    const known = dtypeNamed(dtype);
    const length = bytesOf(checkedShape(shape, known.size), known.size) / known.size;
    if (data === undefined) data = new known.Type(length);
    else if (!(data instanceof known.Type)) data = known.Type.from(data, (x) => toElement(known, x));
    if (data.length !== length) throw new RangeError(`${data.length} elements for an array of shape [${shape}]`);
    Object.assign(this, { dtype, shape, data });
  }

  *[Symbol.iterator]() {
    const dtype = DTYPES.get(this.dtype);
    for (const raw of this.data) yield fromElement(dtype, raw);
  }

  /** Returns the element at these indices, as a number; `array.at(2, 0)` is `array[2, 0]` in Python. */
  at(...index) {
    const inside = index.length === this.shape.length && index.every((i, axis) => i >= 0 && i < this.shape[axis]);
    if (!inside) throw new RangeError(`no element at [${index}] in an array of shape [${this.shape}]`);
    const place = index.reduce((sum, i, axis) => sum * this.shape[axis] + i, 0);
    return fromElement(DTYPES.get(this.dtype), this.data[place]);
  }
}

/**
 * A NumPy scalar: `new Scalar("float32", 1.5)` is `np.float32(1.5)`. `Number(scalar)` and arithmetic give its number.
 */
export class Scalar {
  constructor(dtype, value) {
    const known = dtypeNamed(dtype);
    this.dtype = dtype;
    /** A typed array of one element, as in NdArray: it keeps the bits of every NaN. */
    this.data = value instanceof known.Type ? value : known.Type.of(toElement(known, value));
  }

  /** The boolean, the number, or the bigint if it is no safe integer. */
  get value() { return fromElement(DTYPES.get(this.dtype), this.data[0]); }
  valueOf() { return this.value; }
}

/** Gymnasium's GraphInstance: an NdArray of nodes, then edges and edge links (NdArrays), or null for both. */
export class GraphInstance {
  constructor(nodes, edges = null, edgeLinks = null) { Object.assign(this, { nodes, edges, edgeLinks }); }
}

/** A Python object that no value can hold: the name of its type and its repr, for people to read. */
export class Opaque {
  constructor(typeName, repr) { Object.assign(this, { typeName, repr }); }
}

/**
 * Returns `value` with Floats and Scalars as numbers, and Maps with texts as keys as objects, also inside of others.
 */
export function plain(value) {
  if (value instanceof Float) return Number(value);
  if (value instanceof Scalar) return value.value;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) {
    const entries = Array.from(value, ([key, item]) => [plain(key), plain(item)]);
    return entries.every(([key]) => typeof key === "string") ? Object.fromEntries(entries) : new Map(entries);
  }
  return value;
}

/** Returns the keys and values of a dict, or null for what is none. */
function entriesOf(value) {
  if (value instanceof Map) return Array.from(value);
  const prototype = typeof value === "object" && value !== null ? Object.getPrototypeOf(value) : undefined;
  return prototype === Object.prototype || prototype === null ? Object.entries(value) : null;
}

const TYPED_ARRAYS = new Map([...DTYPES.values()].reverse().map((dtype) => [dtype.Type, dtype.name.replace(">", "")]));
TYPED_ARRAYS.set(Uint8Array, "uint8").set(Uint8ClampedArray, "uint8").set(Uint16Array, "uint16");

const INT64 = [-(2n ** 63n), 2n ** 63n - 1n];

// ----- Spaces (section 6)
/** The base of all spaces. */
export class Space {}

function checkedSpaces(spaces) {
  if (typeof spaces?.[Symbol.iterator] !== "function") throw new TypeError(`a list of spaces, not ${shown(spaces)}`);
  const list = Array.from(spaces);
  for (const space of list) if (!(space instanceof Space)) throw new TypeError(`${shown(space)} is no space`);
  return list;
}

/**
 * One side of a Box: `values` and `bounded` (1 where it limits anything), one for all (`isUniform`) or for each
 * element.
 */
class Bound {
  constructor(isUniform, values, bounded) { Object.assign(this, { isUniform, values, bounded }); }
}

/** Numbers in arrays in arrays, flat. */
const flat = (x) => (Array.isArray(x) ? x.flat(Infinity) : ArrayBuffer.isView(x) ? Array.from(x) : Array.from(x ?? []));

function shapeOf(nested) {
  const shape = [];
  for (let x = nested; Array.isArray(x) || ArrayBuffer.isView(x); x = x[0]) shape.push(x.length);
  return shape;
}

function boundOf(given, dtype, shape, isLow) {
  if (given instanceof Bound) return given;
  const isNumber = ["number", "bigint", "boolean"].includes(typeof given);
  const numbers = isNumber ? [given] : flat(given);
  if (!isNumber && numbers.length !== bytesOf(shape, 1)) {
    throw new RangeError(`${numbers.length} bounds for a shape of [${shape}]`);
  }
  const isSigned = dtype.name.replace(">", "")[0] === "i";
  const bits = 8n * BigInt(dtype.size);
  // As Gymnasium does: an integer Box without a bound stores the limit of its dtype.
  const lowest = isSigned ? -(2n ** (bits - 1n)) : 0n;
  const limit = isLow ? lowest : lowest + 2n ** bits - 1n;
  const isUnlimited = (x) => x === Infinity || x === -Infinity;
  const isWrong = (x) => Number.isNaN(Number(x)) || Number(x) === (isLow ? Infinity : -Infinity);
  if (numbers.some(isWrong)) throw new RangeError(`${numbers.find(isWrong)} is no ${isLow ? "low" : "high"} bound`);
  const values = dtype.Type.from(numbers, (x) => toElement(dtype, dtype.isInteger && isUnlimited(x) ? limit : x));
  const bounded = Uint8Array.from(numbers, (x) => (isLow ? x > -Infinity : x < Infinity) ? 1 : 0);
  const bytes = bytesIn(values);
  const isUniform = bounded.every((x) => x === bounded[0]) && bytes.every((x, i) => x === bytes[i % dtype.size]);
  if (!isUniform) return new Bound(false, values, bounded);
  return numbers.length > 0 ? new Bound(true, values.slice(0, 1), bounded.slice(0, 1))
    : boundOf(0, dtype, shape, isLow);
}

/** Refuses a low bound above the high one. */
function checkOrder(dtype, low, high) {
  const at = ({ isUniform, values }, i) => fromElement(dtype, values[isUniform ? 0 : i]);
  for (let i = 0; i < Math.max(low.values.length, high.values.length); i++) {
    if (at(low, i) > at(high, i)) throw new RangeError(`a Box from ${at(low, i)} to ${at(high, i)}`);
  }
}

/**
 * Arrays between two bounds: `new Box(0, 255, [8, 8, 3], "uint8")`. A bound is one number for all elements, ±Infinity
 * among them, or an array of one for each, which then gives the shape. Elements are NdArrays of that dtype and shape.
 */
export class Box extends Space {
  constructor(low, high, shape = shapeOf(Array.isArray(low) ? low : high), dtype = "float32") {
    super();
    const known = dtypeNamed(dtype);
    Object.assign(this, { dtype, shape: shapeOfSpace(shape, known.size) });
    this.low = boundOf(low, known, this.shape, true);
    this.high = boundOf(high, known, this.shape, false);
    if (!(low instanceof Bound)) checkOrder(known, this.low, this.high);
  }
}

/** The integers from `start` to `start + n - 1`: `new Discrete(3)`. Elements are integers. */
export class Discrete extends Space {
  constructor(n, start = 0, dtype = "int64") {
    super();
    if (!dtypeNamed(dtype).isInteger || dtype.startsWith(">")) throw new TypeError(`a Discrete space of ${dtype}`);
    checkCount(n, 1, "the count of a Discrete");
    // An uint64 beyond int64 has the same bits as a negative start.
    toElement(DTYPES.get("int64"), start);
    Object.assign(this, { n: fromBigInt(BigInt(n)), start: fromBigInt(BigInt(start)), dtype });
  }
}

/** Arrays of 0 and 1: `new MultiBinary(4)`, `new MultiBinary([2, 3])`. Elements are NdArrays of int8. */
export class MultiBinary extends Space {
  constructor(n) {
    super();
    const isInt = typeof n === "number";
    Object.assign(this, { dtype: "int8", shape: shapeOfSpace(isInt ? [n] : n, 1), isInt });
  }
}

/** Arrays of integers, each with its own count and start: `new MultiDiscrete([3, 5])`. Elements are NdArrays. */
export class MultiDiscrete extends Space {
  constructor(nvec, start, dtype = "int64", shape = shapeOf(nvec)) {
    super();
    const counts = flat(nvec);
    const starts = flat(start ?? counts.map(() => 0));
    Object.assign(this, { dtype, shape: shapeOfSpace(shape, 8), nvec: counts, start: starts });
    for (const n of counts) checkCount(n, 1, "a count of a MultiDiscrete");
    for (const n of this.start) toElement(DTYPES.get("int64"), n);
    const fits = [counts, this.start].every((list) => list.length === bytesOf(shape, 1));
    if (!dtypeNamed(dtype).isInteger || !fits) {
      throw new RangeError("a MultiDiscrete space of no integers, or whose counts do not fit its shape");
    }
  }
}

/** Texts of `minLength` to `maxLength` code points, all of them in `charset`. Elements are strings. */
export class Text extends Space {
  constructor(maxLength, { minLength = 1, charset = DIGITS_AND_LETTERS } = {}) {
    super();
    checkCount(minLength, 0, "the shortest length of a Text");
    checkCount(maxLength, minLength, "the longest length of a Text");
    if (typeof charset !== "string") throw new TypeError("the charset of a Text is a string");
    Object.assign(this, { minLength, maxLength, charset });
  }
}
const DIGITS_AND_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** One element of each of several spaces: `new Tuple([new Discrete(3), new Text(4)])`. Elements are TupleValues. */
export class Tuple extends Space {
  constructor(spaces) { super().spaces = checkedSpaces(spaces); }
}

/**
 * Named spaces, in this order: an object (which puts names such as "7" first), a Map, or pairs. Elements are Maps or
 * objects.
 */
export class Dict extends Space {
  constructor(spaces) {
    super();
    const entries = Array.isArray(spaces) ? spaces : entriesOf(spaces);
    if (!entries) throw new TypeError(`the spaces of a Dict are an object, a Map or pairs, not ${shown(spaces)}`);
    checkedSpaces(entries.map(([, space]) => space));
    const first = (key) => entries.findIndex(([known]) => sameKey(key, known));
    for (const [i, [key]] of entries.entries()) {
      if (first(key) < i) throw new RangeError(`the key ${shown(key)} is there twice`);
    }
    this.entries = entries;
  }
}

/** Any number of elements of one space. Elements are TupleValues or, with `stack`, the batch of them (section 6). */
export class Sequence extends Space {
  constructor(space, { stack = false } = {}) { Object.assign(super(), { space: checkedSpaces([space])[0], stack }); }
}

/** Graphs whose nodes, and edges if there are any, are elements of a Box or Discrete. Elements are GraphInstances. */
export class Graph extends Space {
  constructor(node, edge = null) {
    checkedSpaces(edge === null ? [node] : [node, edge]);
    Object.assign(super(), { node, edge });
  }
}

/** An element of one of several spaces. Elements are `tuple(new Scalar("int64", index), element)`. */
export class OneOf extends Space {
  constructor(spaces) {
    super().spaces = checkedSpaces(spaces);
    if (this.spaces.length === 0) throw new RangeError("a OneOf of no spaces");
  }
}

const hasArrays = (space) => space instanceof Box || space instanceof MultiDiscrete || space instanceof MultiBinary;

/**
 * Returns an observation in the form that its space has: numbers in arrays as an NdArray, an Array for a Tuple as a
 * TupleValue, the entries of a Dict in its order. What has that form, or is something else altogether, stays as it is.
 * Throws a RangeError that names the `place` for numbers that do not fit.
 */
export function fit(space, value, place = "the observation") {
  if (hasArrays(space)) {
    const isPlain = Array.isArray(value) || ArrayBuffer.isView(value);
    if (!isPlain && !(typeof value === "number" && space.shape.length === 0)) return value;
    try {
      // NdArray would take them for raw elements, which they are not for bool and float16.
      const isRaw = value instanceof DTYPES.get(space.dtype).Type
        && TYPED_ARRAYS.get(value.constructor) === space.dtype;
      return new NdArray(space.dtype, space.shape, isRaw ? value : isPlain ? flat(value) : [value]);
    } catch (error) {
      throw new RangeError(`${place}: ${error.message}`);
    }
  }
  if (space instanceof Tuple && Array.isArray(value) && value.length === space.spaces.length) {
    return TupleValue.from(space.spaces, (member, i) => fit(member, value[i], `${place}[${i}]`));
  }
  if (space instanceof Dict) {
    const found = entriesOf(value);
    const items = new Map(found ?? []);
    if (!found || items.size !== space.entries.length || !space.entries.every(([key]) => items.has(key))) return value;
    return new Map(space.entries.map(([key, member]) => [key, fit(member, items.get(key), `${place}.${String(key)}`)]));
  }
  if (space instanceof Sequence && !space.stack && Array.isArray(value)) {
    return TupleValue.from(value, (item, i) => fit(space.space, item, `${place}[${i}]`));
  }
  if (space instanceof OneOf && Array.isArray(value) && value.length === 2 && Number(value[0]) in space.spaces) {
    const [index, element] = value;
    return tuple(index instanceof Scalar ? index : new Scalar("int64", index),
      fit(space.spaces[Number(index)], element, `${place}[1]`));
  }
  return value;
}

// ----- Encoding (sections 2 and 3)
const LEVELS = 32;
const COUNT = 2 ** 20;
const ZEROS = new Uint8Array(64);
/** How many bytes are missing to the next multiple. */
const missing = (n, multiple) => (multiple - (n % multiple)) % multiple;
const utf8 = new TextEncoder();
// Else a decoder repairs what is no UTF-8, and drops U+FEFF at the start.
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Writes one frame. Four bytes for its length stand before it, so that both go out in one write. */
export class Writer {
  constructor(limit = 2 ** 26) {
    // A frame may have 4096 such keys, and two large values.
    Object.assign(this, { limit, at: 4, depth: LEVELS, count: COUNT, keys: 2048, allowsOpaque: false });
    this._use(new Uint8Array(512));
  }

  _use(bytes) { Object.assign(this, { bytes, view: new DataView(bytes.buffer) }); }

  /** Makes room for `n` more bytes and returns where they begin. Throws a RlayError where the frame gets too long. */
  room(n) {
    const at = this.at;
    if (at + n > this.bytes.length) {
      if (at + n - 4 > this.limit) {
        throw new RlayError(ErrorCode.USAGE, `the answer takes more than ${this.limit} bytes`);
      }
      const larger = new Uint8Array(Math.max(2 * this.bytes.length, at + n));
      larger.set(this.bytes.subarray(0, at));
      this._use(larger);
    }
    this.at = at + n;
    return at;
  }

  /** Returns the frame with its length before it. */
  finish() {
    const length = this.at - 4;
    if (length > this.limit) throw new RlayError(ErrorCode.USAGE, `the answer takes more than ${this.limit} bytes`);
    this.view.setUint32(0, length, true);
    return this.bytes.subarray(0, this.at);
  }

  header(kind, seq = 0, ack = 0, re = 0) { return this.u8(kind).zeros(7).u64(seq).u64(ack).u64(re); }

  // Each of these returns the writer. The place comes first, for making room may replace the view.
  u8(x) { const at = this.room(1); this.bytes[at] = x; return this; }
  u16(x) { const at = this.room(2); this.view.setUint16(at, x, true); return this; }
  u32(x) { const at = this.room(4); this.view.setUint32(at, x, true); return this; }
  u64(x) { return this._put64(this.room(8), x); } // an i64 or a u64, as a safe integer or a bigint
  f64(x) { const at = this.room(8); this.view.setFloat64(at, x, true); return this; }
  raw(bytes) { const at = this.room(bytes.length); this.bytes.set(bytes, at); return this; }
  blob(bytes) { return this.u64(bytes.length).raw(bytes); }
  text(x) { return this.blob(utf8.encode(x)); }
  zeros(n) { return this.raw(ZEROS.subarray(0, n)); }

  _put64(at, x) {
    if (typeof x === "bigint") this.view.setBigUint64(at, BigInt.asUintN(64, x), true);
    else {
      this.view.setUint32(at, x >>> 0, true);
      this.view.setInt32(at + 4, Math.floor(x / 2 ** 32), true);
    }
    return this;
  }

  option(x, write) {
    this.u8(x == null ? 0 : 1);
    if (x != null) write(x);
    return this;
  }

  list(items, write) {
    this.u64(items.length);
    for (const item of items) write(item);
    return this;
  }

  _nested(write) {
    if (this.depth-- === 0) throw new TypeError(`a value that is nested more than ${LEVELS} levels deep`);
    if (this.count-- === 0) throw new TypeError(`more than ${COUNT} values`);
    write();
    this.depth++;
    return this;
  }

  /** Writes any value, see the table at the top of this file. Throws a TypeError for what cannot be sent. */
  value(x) { return this._nested(() => this._value(x)); }

  _value(x) {
    switch (typeof x) {
      case "undefined": return this.u32(0);
      case "boolean": return this.u32(1).u8(x ? 1 : 0);
      case "number": return Number.isSafeInteger(x) ? this.u32(2).u64(x) : this.u32(4).f64(x);
      case "bigint": return x >= INT64[0] && x <= INT64[1] ? this.u32(2).u64(x) : this.u32(3).blob(bigintBytes(x));
      case "string": return this.u32(5).text(x);
      case "object": return x === null ? this.u32(0) : this._object(x);
      default: return this._opaque(new Opaque(typeof x, String(x)));
    }
  }

  _object(x) {
    if (x instanceof Float) return x.bits === undefined ? this.u32(4).f64(Number(x)) : this.u32(4).u64(x.bits);
    if (Array.isArray(x)) return this.u32(x instanceof TupleValue ? 8 : 7).list(x, (item) => this.value(item));
    if (x instanceof NdArray) return this._array(x.dtype, x.shape, x.data);
    if (x instanceof Scalar) return this.u32(11).u32(DTYPES.get(x.dtype).code).raw(bytesIn(x.data));
    if (x instanceof Uint8Array) return this.u32(6).blob(x);
    if (TYPED_ARRAYS.has(x.constructor)) return this._array(TYPED_ARRAYS.get(x.constructor), [x.length], x);
    if (x instanceof GraphInstance) return this.u32(12).value(x.nodes).value(x.edges).value(x.edgeLinks);
    const entries = entriesOf(x);
    if (entries) return this.u32(9).list(entries, ([key, item]) => this.key(key).value(item));
    return this._opaque(x instanceof Opaque ? x : new Opaque(x.constructor?.name ?? "object", String(x)));
  }

  _array(dtype, shape, data) {
    return this.u32(10).u32(DTYPES.get(dtype).code).list(shape, (n) => this.u64(n)).blob(bytesIn(data));
  }

  _opaque(x) {
    if (!this.allowsOpaque) throw new TypeError(`no value of RLay can hold a ${x.typeName}: ${cut(x.repr, 200)}`);
    return this.u32(13).text(cut(x.typeName)).text(cut(x.repr));
  }

  /** Writes the key of a dict or of a Dict space. */
  key(key) {
    const start = this.at;
    this.value(key);
    if (isFreeKey(key)) return this;
    const isLong = this.at - start > 256 && !(key instanceof Opaque);
    if (isLong || !isKey(key)) throw new TypeError("a key of a dict that cannot be sent; use texts");
    if (this.keys-- === 0) {
      throw new TypeError("more than 2048 keys of dicts that are neither texts nor small integers");
    }
    return this;
  }

  space(space) { return this._nested(() => this._space(space)); }

  _space(space) {
    const code = DTYPES.get(space?.dtype)?.code;
    const numbers = (list) => this.list(list, (n) => this.u64(n));
    const bound = ({ isUniform, values, bounded }) => this.u32(isUniform ? 0 : 1).raw(bytesIn(values)).raw(bounded);
    if (space instanceof Box) {
      this.u32(0).u32(code);
      numbers(space.shape);
      bound(space.low);
      bound(space.high);
    } else if (space instanceof Discrete) this.u32(1).u32(code).u64(space.n).u64(space.start);
    else if (space instanceof MultiBinary) {
      this.u32(2);
      numbers(space.shape).u8(space.isInt ? 1 : 0);
    } else if (space instanceof MultiDiscrete) {
      this.u32(3).u32(code);
      for (const list of [space.shape, space.nvec, space.start]) numbers(list);
    } else if (space instanceof Text) this.u32(4).u64(space.minLength).u64(space.maxLength).text(space.charset);
    else if (space instanceof Tuple) this.u32(5).list(space.spaces, (member) => this.space(member));
    else if (space instanceof Dict) this.u32(6).list(space.entries, ([key, member]) => this.key(key).space(member));
    else if (space instanceof Sequence) this.u32(7).u8(space.stack ? 1 : 0).space(space.space);
    else if (space instanceof Graph) this.u32(8).space(space.node).option(space.edge, (edge) => this.space(edge));
    else if (space instanceof OneOf) this.u32(9).list(space.spaces, (member) => this.space(member));
    else throw new TypeError(`${String(space)} is no space`);
  }

  /**
   * Writes the observations or actions of all rows: packed if each is exactly what unpacking gives back (section 7).
   */
  payload(space, rows) {
    const start = this.at;
    this.u32(0);
    const lengthAt = this.room(8);
    // From the start of the frame, which the length is not part of: pad itself is as long as that.
    const pad = missing(this.at, 64);
    this.u32(pad).zeros(pad);
    const origin = this.at;
    if (pack(this, space, rows, origin)) return this._put64(lengthAt, this.at - origin);
    this.at = start;
    this.u32(1);
    for (const row of rows) this.value(row);
  }
}

/** The bytes of a typed array, not copied. */
const bytesIn = (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function fromHex(text) {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Returns an integer beyond 64 bits in two's complement, little-endian, in as few bytes as hold it. */
function bigintBytes(x) {
  // The sign takes one bit more.
  const bits = (x < 0n ? ~x : x).toString(2).length + 1;
  const length = Math.ceil(bits / 8);
  return fromHex(BigInt.asUintN(8 * length, x).toString(16).padStart(2 * length, "0")).reverse();
}

/** Whether a frame may have any number of such keys. */
const isFreeKey = (x) => typeof x === "string" || (Number.isInteger(x) && x >= 0 && x < 16384);

/** Whether Python could have it as the key of a dict. */
function isKey(x) {
  if (Array.isArray(x)) return x instanceof TupleValue && x.every(isKey);
  if (x instanceof NdArray || x instanceof GraphInstance || (ArrayBuffer.isView(x) && !(x instanceof Uint8Array))) {
    return false;
  }
  return entriesOf(x) === null;
}

/** Returns `text` in at most `most` bytes, with a mark where it was cut. */
function cut(text, most = 16384) {
  text = String(text);
  if (3 * text.length <= most) return text;
  const bytes = utf8.encode(text);
  if (bytes.length <= most) return text;
  // A stream may end inside of a character, which is left out.
  return new TextDecoder().decode(bytes.subarray(0, most - 3), { stream: true }) + "…";
}

/** Returns what anything says of itself, also what says nothing or fails to. */
function said(x) {
  try {
    return String(x);
  } catch {
    return `a ${typeof x}`;
  }
}

/** Returns text of a peer so that it can be shown: short, on one line, without control characters. */
const ACTING = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const shown = (text) => cut(said(text), 600).replace(ACTING, " ");

/** Reads one frame or a part of one. Throws a RlayError of code PROTOCOL for bytes that are malformed. */
export class Reader {
  constructor(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    Object.assign(this, { bytes, view, at: 0, depth: LEVELS, count: COUNT, keys: 4096 });
  }

  get left() { return this.bytes.length - this.at; }

  /** Passes over `n` bytes, which are there, and returns where they begin. */
  skip(n) {
    if (n > this.left) throw malformed(`${n} bytes announced, ${this.left} left`);
    const at = this.at;
    this.at += Number(n);
    return at;
  }

  u8() { return this.bytes[this.skip(1)]; }
  u16() { return this.view.getUint16(this.skip(2), true); }
  u32() { return this.view.getUint32(this.skip(4), true); }
  f64() { return this.view.getFloat64(this.skip(8), true); }
  blob() { return this.raw(this.u64()); }
  option(read) { return this.flag() ? read() : null; }
  shape() { return this.list(8, () => this.u64()); }

  u64() {
    const at = this.skip(8);
    const high = this.view.getUint32(at + 4, true);
    if (high < 2 ** 21) return high * 2 ** 32 + this.view.getUint32(at, true);
    return this.view.getBigUint64(at, true);
  }

  i64() {
    const at = this.skip(8);
    const high = this.view.getInt32(at + 4, true);
    if (high < 2 ** 21 && high >= -(2 ** 21) + 1) return high * 2 ** 32 + this.view.getUint32(at, true);
    return fromBigInt(this.view.getBigInt64(at, true));
  }

  flag() {
    const byte = this.u8();
    if (byte > 1) throw malformed("a bool is 0 or 1");
    return byte === 1;
  }

  /** Returns the next `n` bytes, without copying. */
  raw(n) {
    const at = this.skip(n);
    return this.bytes.subarray(at, this.at);
  }

  text(most = Infinity) {
    const bytes = this.blob();
    if (bytes.length > most) throw malformed("a name that is too long");
    try {
      return strictUtf8.decode(bytes);
    } catch {
      throw malformed("a text that is not UTF-8");
    }
  }

  /**
   * Reads a list whose items take at least `size` bytes each. Of those that are counted, more than there may be are
   * refused before any is read.
   */
  list(size, read, most = Infinity) {
    const n = this.u64();
    if (n > most) throw malformed("too many values");
    if (n > this.left / size) throw malformed(`${n} items announced, ${this.left} bytes left`);
    const items = [];
    for (let i = 0; i < n; i++) items.push(read());
    return items;
  }

  zeros(n) {
    if (this.raw(n).some((byte) => byte !== 0)) throw malformed("padding or reserved bytes that are not 0");
  }

  end() {
    if (this.left > 0) throw malformed(`${this.left} bytes too many`);
  }

  nested(read) {
    if (this.depth === 0) throw malformed("nested too deep");
    if (this.count === 0) throw malformed("too many values");
    this.depth--;
    this.count--;
    const result = read();
    this.depth++;
    return result;
  }

  dtype() {
    const dtype = DTYPES.get(this.u32());
    if (!dtype) throw malformed("an unknown dtype");
    return dtype;
  }

  /** Returns `n` bytes of elements as a typed array of its own. */
  elements(dtype, n) {
    const bytes = this.raw(n);
    if (dtype.code === 0 && bytes.some((byte) => byte > 1)) throw malformed("a bool is 0 or 1");
    return new dtype.Type(new Uint8Array(bytes).buffer);
  }

  value() { return this.nested(() => this._value()); }

  _value() {
    const tag = this.u32();
    switch (tag) {
      case 0: return null;
      case 1: return this.flag();
      case 2: return this.i64();
      case 3: return this._bigint();
      case 4: {
        const float = new Float(this.f64());
        if (Number.isNaN(Number(float))) float.bits = this.view.getBigUint64(this.at - 8, true);
        return float;
      }
      case 5: return this.text();
      case 6: return new Uint8Array(this.blob());
      case 7: return this.list(4, () => this.value(), this.count);
      case 8: return TupleValue.from(this.list(4, () => this.value(), this.count));
      case 9: return new Map(this.list(8, () => [this.key(), this.value()], this.count));
      case 10: {
        const dtype = this.dtype();
        const shape = this.shape();
        const length = this.u64();
        if (bytesOf(shape, dtype.size) !== length) throw malformed("an array whose shape does not hold its data");
        return new NdArray(dtype.name, shape, this.elements(dtype, length));
      }
      case 11: {
        const dtype = this.dtype();
        return new Scalar(dtype.name, this.elements(dtype, dtype.size));
      }
      case 12: return new GraphInstance(this.value(), this.value(), this.value());
      case 13: return new Opaque(this.text(), this.text());
      default: throw malformed(`unknown value tag ${tag}`);
    }
  }

  _bigint() {
    const bytes = this.blob();
    const [next, last] = bytes.slice(-2);
    const isPadded = (last === 0 && next < 0x80) || (last === 0xff && next >= 0x80);
    if (bytes.length <= 8 || isPadded) throw malformed("a large integer that is not in its shortest form");
    return BigInt.asIntN(8 * bytes.length, unsigned(bytes));
  }

  key() {
    const start = this.at;
    const key = this.value();
    if (!isKey(key)) throw malformed("a key that can be none");
    if (isFreeKey(key)) return key;
    if (this.at - start > 256 && !(key instanceof Opaque)) throw malformed("a key that is too long");
    if (this.keys-- === 0) throw malformed("too many keys that are neither texts nor small integers");
    return key;
  }

  /**
   * Reads a payload of as many rows: `{packed: bytes}` or `{values: [...]}`. It ends the frame. Where the values are
   * malformed it is `{error}`, for that ends the request, not the session.
   */
  payload(rows) {
    const form = this.u32();
    if (form > 1) throw malformed("an unknown form of a payload");
    if (form === 1) {
      try {
        const values = Array.from({ length: rows }, () => this.value());
        this.end();
        return { values };
      } catch (error) {
        if (!(error instanceof RlayError)) throw error;
        this.at = this.bytes.length;
        return { error };
      }
    }
    const length = this.u64();
    const pad = this.u32();
    if (pad > 63 || (this.at + pad) % 64 !== 0) throw malformed("a payload at another place than a multiple of 64");
    this.zeros(pad);
    if (length !== this.left) throw malformed(`a payload of ${length} bytes announced, ${this.left} left`);
    return { packed: this.raw(length) };
  }
}

/** Returns the non-negative integer in little-endian bytes. */
function unsigned(bytes) {
  let digits = "0";
  // In pieces, for an array of many texts takes more memory than a frame.
  for (let end = bytes.length; end > 0; end -= 4096) {
    digits += Array.from(bytes.subarray(Math.max(0, end - 4096), end), (byte) => HEX[byte]).reverse().join("");
  }
  return BigInt(`0x${digits}`);
}

// ----- Packed payloads (section 7)
/** Writes the packed form of all rows and returns true; or returns false for rows that have none. */
export function pack(writer, space, rows, origin) {
  if (hasArrays(space)) {
    const { dtype, shape } = space;
    if (dtype.startsWith(">")) return false;
    for (const row of rows) {
      if (!(row instanceof NdArray) || row.dtype !== dtype || !sameShape(row.shape, shape)) return false;
      writer.raw(bytesIn(row.data));
    }
    writer.zeros(missing(writer.at - origin, 8));
    return true;
  }
  if (space instanceof Discrete) {
    for (const row of rows) {
      const isInt = Number.isSafeInteger(row) || (typeof row === "bigint" && row >= INT64[0] && row <= INT64[1]);
      if (!isInt && !(row instanceof Scalar && row.dtype === space.dtype)) return false;
      writer.u64(isInt ? row : row.value);
    }
    for (const row of rows) writer.u8(row instanceof Scalar ? 1 : 0);
    writer.zeros(missing(writer.at - origin, 8));
    return true;
  }
  if (space instanceof Tuple) {
    const fits = (row) => row instanceof TupleValue && row.length === space.spaces.length;
    return rows.every(fits)
      && space.spaces.every((member, i) => pack(writer, member, rows.map((row) => row[i]), origin));
  }
  if (space instanceof Dict) {
    const all = rows.map(entriesOf);
    const fits = (entries) =>
      entries?.length === space.entries.length && entries.every(([key], i) => sameKey(key, space.entries[i][0]));
    return all.every(fits)
      && space.entries.every(([, member], i) => pack(writer, member, all.map((row) => row[i][1]), origin));
  }
  return false;
}

function sameKey(a, b) {
  if (typeof a !== "object" || typeof b !== "object") return a === b;
  const [left, right] = [a, b].map((key) => new Writer().value(key).finish());
  return sameShape(left, right);
}

/** Reads the packed form of all rows and returns them. Throws a RlayError of code PROTOCOL for what is malformed. */
export function unpack(reader, space, rows) {
  const repeat = (read) => Array.from({ length: rows }, read);
  if (hasArrays(space) && !space.dtype.startsWith(">")) {
    const dtype = DTYPES.get(space.dtype);
    const length = bytesOf(space.shape, dtype.size);
    const arrays = repeat(() => new NdArray(space.dtype, space.shape.slice(), reader.elements(dtype, length)));
    reader.zeros(missing(rows * length, 8));
    return arrays;
  }
  if (space instanceof Discrete) {
    const numbers = repeat(() => reader.i64());
    const marks = repeat(() => reader.flag());
    reader.zeros(missing(rows, 8));
    return numbers.map((x, i) => {
      if (!marks[i]) return x;
      try {
        return new Scalar(space.dtype, space.dtype === "uint64" ? BigInt.asUintN(64, BigInt(x)) : x);
      } catch {
        throw malformed(`${space.dtype} has no ${x}`);
      }
    });
  }
  if (space instanceof Tuple) {
    const columns = space.spaces.map((member) => unpack(reader, member, rows));
    return Array.from({ length: rows }, (_, row) => TupleValue.from(columns, (column) => column[row]));
  }
  if (space instanceof Dict) {
    const columns = space.entries.map(([key, member]) => [key, unpack(reader, member, rows)]);
    return Array.from({ length: rows }, (_, row) => new Map(columns.map(([key, column]) => [key, column[row]])));
  }
  throw malformed("a space that has no packed form");
}

function unpackOne(packed, space) {
  const reader = new Reader(packed);
  const [element] = unpack(reader, space, 1);
  reader.end();
  return element;
}

// ----- Messages (section 8)
/** The kinds of frames. */
export const Kind = Object.freeze({
  HELLO: 0x01, CHALLENGE: 0x02, PROOF: 0x03, WELCOME: 0x04, REJECT: 0x05, GOODBYE: 0x09, ERROR: 0x0a,
  MAKE: 0x20, RESET: 0x21, STEP: 0x22, RENDER: 0x23, ATTRIBUTE: 0x24, CLOSE: 0x25, STEP_AGENTS: 0x30,
  SPEC: 0x40, RESULT: 0x41, FRAMES: 0x42, RETURNED: 0x43, CLOSED: 0x44, RESULT_AGENTS: 0x50,
});

const KINDS = new Map(Object.entries(Kind).map(([name, kind]) => [kind, name]));
const WIRE = 0;
const HANDSHAKE_FRAME = 65536;
const MAGIC = 0x59414c52; // "RLAY"
const RESUMABLE = 1n;
const RESUMING = 2n;
const slots = (r) => r.list(4, () => r.u32());

/** Reads the bodies of what an env receives; a body of another kind is undefined. */
const BODIES = {
  [Kind.HELLO](r) {
    if (r.u32() !== MAGIC) throw malformed("no magic word");
    const hello = { wireMin: r.u16(), wireMax: r.u16(), role: r.u8(), auth: r.u8() };
    if (hello.role > 1) throw malformed("an unknown role");
    Object.assign(hello, { features: BigInt(r.u64()), maxFrame: r.u64(), peer: r.text(256) });
    hello.nonce = hello.auth === 1 ? r.raw(32) : null;
    hello.resume = hello.features & RESUMING ? { ticket: r.raw(32), received: r.u64() } : null;
    return hello;
  },
  [Kind.CHALLENGE]: (r) => ({ nonce: r.raw(32) }),
  [Kind.PROOF]: (r) => ({ proof: r.raw(32) }),
  [Kind.WELCOME](r) {
    const welcome = { wire: r.u16(), features: BigInt(r.u64()), maxFrame: r.u64(), peer: r.text(256) };
    welcome.proof = r.option(() => r.raw(32));
    welcome.ticket = welcome.features & RESUMABLE ? r.raw(32) : null;
    welcome.received = welcome.features & RESUMING ? r.u64() : null;
    return welcome;
  },
  [Kind.REJECT]: (r) => ({ code: r.u32(), wireMin: r.u16(), wireMax: r.u16(), message: r.text() }),
  [Kind.GOODBYE]: (r) => ({ code: r.u32(), message: r.text() }),
  [Kind.ERROR](r) {
    const error = { code: r.u32(), fatal: r.flag(), slots: slots(r) };
    return Object.assign(error, { errorType: r.text(), message: r.text(), traceback: r.text() });
  },
  [Kind.MAKE](r) {
    const make = { envId: r.option(() => r.text(1024)), kwargs: r.value(), renderMode: r.option(() => r.text(256)) };
    Object.assign(make, { slots: r.u32(), autoreset: r.u8() });
    if (make.autoreset > 2) throw malformed("an unknown autoreset mode");
    return make;
  },
  [Kind.RESET](r) {
    const rows = r.list(5, () => r.nested(() => ({ slot: r.u32(), seed: r.option(() => readSeed(r)) })), r.count);
    return { slots: rows.map((row) => row.slot), seeds: rows.map((row) => row.seed), options: r.value() };
  },
  [Kind.STEP](r) {
    const named = slots(r);
    return { slots: named, payload: r.payload(named.length) };
  },
  [Kind.RENDER]: (r) => ({ slots: slots(r) }),
  [Kind.ATTRIBUTE](r) {
    const attribute = { slots: slots(r), name: r.text(256), access: r.u8(), values: [], kwargs: null };
    if (attribute.access > 2) throw malformed("an unknown access");
    if (attribute.access > 0) attribute.values = r.list(4, () => r.value(), r.count);
    if (attribute.access === 1 && attribute.values.length !== attribute.slots.length) {
      throw malformed("a value for each slot");
    }
    if (attribute.access === 2) {
      attribute.kwargs = r.value();
      if (!namesIn(attribute.kwargs)) throw malformed("keyword arguments that have no names");
    }
    return attribute;
  },
  [Kind.CLOSE]: (r) => ({ slots: slots(r) }),
};

function readSeed(r) {
  const bytes = r.blob();
  if (bytes.length > 4096 || bytes[bytes.length - 1] === 0) {
    throw malformed("a seed that is too long, or has zeros at its end");
  }
  return fromBigInt(unsigned(bytes));
}

/** Returns the keys of a dict whose keys are all texts; null for anything else. */
function namesIn(value) {
  const names = value instanceof Map ? [...value.keys()] : null;
  return names?.every((name) => typeof name === "string") ? names : null;
}

/** Reads a whole frame. Throws a RlayError of code PROTOCOL for one that is malformed. */
export function readFrame(frame) {
  const r = new Reader(frame);
  const kind = r.u8();
  r.zeros(7);
  if (!KINDS.has(kind)) throw malformed(`unknown kind of frame ${kind}`);
  const message = { kind, seq: r.u64(), ack: r.u64(), re: r.u64(), body: undefined };
  if (BODIES[kind]) {
    message.body = BODIES[kind](r);
    r.end();
  }
  return message;
}

/** Writes the frames of the handshake, which have no numbers; each returns the frame with its length before it. */
export const handshakeFrames = {
  hello({ wireMin = WIRE, wireMax = WIRE, role = 1, auth, features, maxFrame, peer, nonce, resume }) {
    const w = new Writer().header(Kind.HELLO).u32(MAGIC).u16(wireMin).u16(wireMax).u8(role).u8(auth);
    w.u64(features).u64(maxFrame).text(peer);
    if (nonce) w.raw(nonce);
    if (resume) w.raw(resume.ticket).u64(resume.received);
    return w.finish();
  },
  challenge: ({ nonce }) => new Writer().header(Kind.CHALLENGE).raw(nonce).finish(),
  proof: ({ proof }) => new Writer().header(Kind.PROOF).raw(proof).finish(),
  welcome({ wire = WIRE, features, maxFrame, peer, proof, ticket, received }) {
    const w = new Writer().header(Kind.WELCOME).u16(wire).u64(features).u64(maxFrame).text(peer);
    w.option(proof, (bytes) => w.raw(bytes));
    if (ticket) w.raw(ticket);
    if (received != null) w.u64(received);
    return w.finish();
  },
  reject: ({ code, wireMin = WIRE, wireMax = WIRE, message }) =>
    new Writer().header(Kind.REJECT).u32(code).u16(wireMin).u16(wireMax).text(cut(message)).finish(),
};

/** Writes the bodies of the frames that both sides send after the handshake. */
export const writeBody = {
  goodbye: (w, { code, message }) => w.u32(code).text(cut(message)),
  error(w, { code, fatal, slots = [], errorType = "", message, traceback = "" }) {
    w.u32(code).u8(fatal ? 1 : 0).list(slots, (slot) => w.u32(slot));
    for (const text of [errorType, message, traceback]) w.text(cut(text));
  },
};

// ----- Streams (section 1)
/**
 * Cuts a stream of bytes into frames, which it gives to `take`. Throws a RlayError of code PROTOCOL for a length above
 * `limit`.
 */
export class FrameReader {
  constructor(take, limit = HANDSHAKE_FRAME) {
    this.limit = limit;
    /** Whether the peer said that nothing follows, on purpose. */
    this.isClosed = false;
    this._take = take;
    this._begin(4, false);
  }

  get isBetweenFrames() { return !this._isFrame && this._have === 0; }

  /** What is read next: as many bytes, of a frame or of its length. */
  _begin(_wanted, _isFrame) { Object.assign(this, { _wanted, _isFrame, _have: 0, _part: null }); }

  receive(piece) {
    // A Buffer of Node shares its memory with others when it is sliced.
    piece = new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
    for (let at = 0; !this.isClosed && (at < piece.length || this._wanted === 0); ) {
      const end = Math.min(piece.length, at + this._wanted - this._have);
      const whole = end - at === this._wanted ? piece.subarray(at, end) : this._append(piece.subarray(at, end));
      at = end;
      if (!whole) return;
      if (this._isFrame) {
        this._begin(4, false);
        this._take(whole);
        continue;
      }
      const length = new Reader(whole).u32();
      if (length === 0xffffffff) this.isClosed = true;
      else if (length > this.limit) {
        throw malformed(`a frame of ${length} bytes, where ${this.limit} are the most${foreign(whole)}`);
      }
      else this._begin(length, true);
    }
  }

  /**
   * Keeps a part; returns the whole once it is there. Memory grows with what has arrived, not with what is announced.
   */
  _append(bytes) {
    const need = this._have + bytes.length;
    if (!this._part || this._part.length < need) {
      const larger = new Uint8Array(Math.min(this._wanted, Math.max(need, 2 * this._have, 4096)));
      larger.set(this._part ?? []);
      this._part = larger;
    }
    this._part.set(bytes, this._have);
    this._have = need;
    return need === this._wanted ? this._part : null;
  }
}

function foreign(first) {
  const word = String.fromCharCode(...first);
  if (/^[\x15\x16]\x03/.test(word)) return "; this is a TLS peer: use tcp:// at both ends";
  return /^(GET |POST|HEAD|PUT |OPTI|HTTP|PRI )/.test(word) ? "; this is an HTTP peer: check address and port" : "";
}

// ----- Tokens (section 9): SHA-256 (FIPS 180-4) is here because browsers have it only as a promise
const PRIMES = [];
for (let n = 2; PRIMES.length < 64; n++) if (PRIMES.every((prime) => n % prime !== 0)) PRIMES.push(n);
const fraction = (x) => Math.floor((x % 1) * 2 ** 32) | 0;
const SHA_START = PRIMES.slice(0, 8).map((n) => fraction(Math.sqrt(n)));
const SHA_ROUNDS = PRIMES.map((n) => fraction(Math.cbrt(n)));

/** Returns the SHA-256 of these pieces of bytes, one after another. */
export function sha256(...pieces) {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const bytes = new Uint8Array(Math.ceil((length + 9) / 64) * 64);
  let at = 0;
  for (const piece of pieces) at = (bytes.set(piece, at), at + piece.length);
  bytes[length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setUint32(bytes.length - 8, Math.floor(length / 2 ** 29));
  view.setUint32(bytes.length - 4, length << 3);
  const state = SHA_START.slice();
  const w = new Int32Array(64);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let block = 0; block < bytes.length; block += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(block + 4 * i);
    for (let i = 16; i < 64; i++) {
      const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + SHA_ROUNDS[i] + w[i]) | 0;
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [a, b, c, d, e, f, g, h] = [(t1 + t2) | 0, a, b, c, (d + t1) | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => (state[i] = (state[i] + x) | 0));
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((x, i) => digest.setInt32(4 * i, x));
  return new Uint8Array(digest.buffer);
}

function hmac(key, ...pieces) {
  // Keys have 32 bytes here, less than a block.
  const block = (fill) => Uint8Array.from({ length: 64 }, (_, i) => (key[i] ?? 0) ^ fill);
  return sha256(block(0x5c), sha256(block(0x36), ...pieces));
}

/**
 * Returns the proof that one side, `"dialer"` or `"listener"`, knows the token, for a Hello and a Challenge (whole
 * frames).
 */
export function prove(token, side, hello, challenge) {
  const secret = utf8.encode(token);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setUint32(0, secret.length, true);
  return hmac(sha256(length, secret), utf8.encode(`rlay ${side}`), hello, challenge);
}

/** Compares in a time that does not depend on where the two differ. */
function isSame(a, b) {
  if (a?.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < b.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}

/** Node 18 has it only as a module, which the backends load. */
let webcrypto = globalThis.crypto;

function random32() {
  if (!webcrypto) {
    throw new RlayError(ErrorCode.USAGE,
      "no crypto.getRandomValues here; in Node.js 18: globalThis.crypto = (await import('node:crypto')).webcrypto");
  }
  return webcrypto.getRandomValues(new Uint8Array(32));
}

// ----- Options
const SOFTWARE = "rlay-javascript 0.1.0";
const [HANDSHAKE_TIME, HANDSHAKES] = [5000, 64];
/** How long a peer may take nothing although there is something for it; how long close() waits for environments. */
const [STUCK_TIME, CLOSE_TIME] = [60000, 2000];

/** Fills in what was not said, and refuses what makes no sense. */
function checkedOptions(given = {}) {
  const fromEnvironment = globalThis.process?.env?.RLAY_TOKEN || null;
  const log = (text) => console.error(`rlay: ${text}`);
  const options = {
    token: fromEnvironment, maxSessions: 1, maxFrame: 2 ** 26, reconnectTimeout: undefined,
    kwargs: [], exactTypes: false, log,
  };
  const usage = (message) => new RlayError(ErrorCode.USAGE, message);
  for (const [name, value] of Object.entries(given ?? {})) {
    if (!(name in options)) {
      throw usage(`there is no option '${shown(name)}'; there are: ${Object.keys(options).join(", ")}`);
    }
    if (value !== undefined) options[name] = value;
  }
  const { token, maxSessions, maxFrame, reconnectTimeout, kwargs } = options;
  if (token !== null && typeof token !== "string") throw usage("the token is a text, or null");
  const visible = Array.from(token ?? "").filter((c) => !/[\s\p{Cc}]/u.test(c)).length;
  if (token !== null && visible < 8) {
    throw usage("the token, of token or RLAY_TOKEN, has less than eight visible characters");
  }
  if (/\p{Cs}/u.test(token ?? "")) throw usage("the token has half of a surrogate pair");
  if (!(Number.isSafeInteger(maxSessions) && maxSessions >= 1)) throw usage("maxSessions is an integer of at least 1");
  if (!(Number.isSafeInteger(maxFrame) && maxFrame >= HANDSHAKE_FRAME && maxFrame < 2 ** 32 - 1)) {
    throw usage(`maxFrame is a number of bytes from ${HANDSHAKE_FRAME} to 2^32-2`);
  }
  if (reconnectTimeout !== undefined && !(reconnectTimeout >= 0)) {
    throw usage("reconnectTimeout is a number of milliseconds");
  }
  if (!Array.isArray(kwargs) || !kwargs.every((name) => typeof name === "string")) {
    throw usage("kwargs is a list of names");
  }
  if (options.log !== null && typeof options.log !== "function") {
    throw usage("log is a function that takes a line, or null");
  }
  return options;
}

// ----- Connections and the handshake (section 9), without sockets and timers
/**
 * One connection of a session, without a socket: `EnvSession.dial()` and `Acceptor.accept()` return it. Give what
 * arrives to `receive(bytes)`, send what `take()` returns until that is null (`onOutput` says when), call `lost()` at
 * the end. Close the socket once it `isFinished` and all is sent, or `isAborted`. With `messages` each is one frame
 * without length.
 */
export class Connection {
  constructor(messages) {
    Object.assign(this, { session: null, isFinished: false, isAborted: false, onOutput: null, onOpen: null });
    /** Whether the handshake is over; why it has failed, if it has. */
    Object.assign(this, { isOpen: false, error: null });
    Object.assign(this, { _messages: messages, _output: [], _handshake: null, _begunAt: performance.now() });
    /** How many pieces have arrived, and the number of the one that brought the turn that was answered last. */
    Object.assign(this, { _pieces: 0, _answered: 0 });
    this._reader = new FrameReader((frame) => this._frame(frame));
  }

  /** Begins a handshake, which is given each frame. */
  _shakeHands(handshake) {
    this._handshake = handshake;
    handshake.next();
    return this;
  }

  /** Takes bytes that have arrived. */
  receive(bytes) {
    if (this.isFinished || this.isAborted) return;
    this._pieces += 1;
    try {
      if (this._messages) this._frame(new Uint8Array(bytes));
      else this._reader.receive(bytes);
    } catch (error) {
      if (this.isOpen) this.session._violation(this, error);
      else this.abort(error);
    }
    if (this._reader.isClosed) this.closed();
  }

  _frame(frame) {
    if (frame.length > this._reader.limit) {
      throw malformed(`a frame of ${frame.length} bytes, where ${this._reader.limit} are the most`);
    }
    if (this.isFinished || this.isAborted) return;
    if (this.isOpen) this.session._receive(this, frame);
    else this._handshake.next(frame);
  }

  /** Returns the next bytes to send, or null. */
  take() { return this._output.shift() ?? null; }

  /** The peer has closed the connection on purpose; over a stream its close mark says so. */
  closed() {
    if (this.isOpen) this.session._closed(this);
    this.abort(connectionLost("the peer closed the connection"));
  }

  /** The connection has ended without that. */
  lost() {
    if (this.isFinished || this.isAborted) return;
    if (this.isOpen) this.session._lost(this);
    this.abort(connectionLost("the connection was lost"));
  }

  /** Closes at once, without a word. */
  abort(error) {
    if (this.isAborted || this.isFinished) return;
    this.error ??= error;
    this.isAborted = true;
    this.onOutput?.();
  }

  /** Sends a frame, which has its length before it. */
  _push(frame) {
    this._output.push(this._messages ? frame.subarray(4) : frame);
    this.onOutput?.();
  }

  /** Sends the close mark. */
  _finish() {
    if (this.isFinished || this.isAborted) return;
    this.isFinished = true;
    if (!this._messages) this._output.push(Uint8Array.of(255, 255, 255, 255));
    this.onOutput?.();
  }

  _open(session, theirMaxFrame) {
    this.session = session;
    this.isOpen = true;
    session._limit ??= Math.max(HANDSHAKE_FRAME, Math.min(session.options.maxFrame, Number(theirMaxFrame)));
    this._reader.limit = session._limit;
  }
}

/** Reads a frame of a handshake; of other kinds nothing is read. */
function readHandshake(frame) {
  if (frame[0] > Kind.REJECT) throw malformed(`a frame of kind ${frame[0]} in the handshake`);
  const message = readFrame(frame);
  if (message.seq || message.ack || message.re) throw malformed("a frame with numbers in the handshake");
  return message;
}

/** The dialer's handshake, for a new session or for one that has a ticket. */
function* dialersHandshake(connection, session) {
  const { token, maxFrame } = session.options;
  const resume = session._ticket && { ticket: session._ticket, received: session._received };
  const features = RESUMABLE | (resume ? RESUMING : 0n);
  const nonce = token === null ? null : random32();
  const hello = handshakeFrames.hello({ auth: nonce ? 1 : 0, features, maxFrame, peer: SOFTWARE, nonce, resume });
  connection._push(hello);
  let frame = yield;
  let answer = readHandshake(frame);
  let challenge = null;
  if (answer.kind === Kind.CHALLENGE && token !== null) {
    challenge = frame;
    connection._push(handshakeFrames.proof({ proof: prove(token, "dialer", hello.subarray(4), challenge) }));
    frame = yield;
    answer = readHandshake(frame);
  }
  const { kind, body } = answer;
  if (kind === Kind.REJECT) {
    const isTold = [ErrorCode.BUSY, ErrorCode.INCOMPATIBLE, ErrorCode.UNAUTHORIZED].includes(body.code);
    const isEnded = body.code === ErrorCode.CONNECTION_LOST && resume;
    const error = new RlayError(isTold || isEnded ? body.code : ErrorCode.PROTOCOL,
      `the agent refused the connection: ${shown(body.message)}`);
    if (isEnded) session.end(error);
    throw error;
  }
  if (kind !== Kind.WELCOME) throw malformed("the agent answered Hello with what it should not");
  if (body.wire !== WIRE) throw malformed("the agent chose a wire number that was not offered");
  if ((body.received !== null) !== Boolean(resume) || (body.ticket && resume)) {
    throw malformed("the agent took a new session for an old one, or the other way round");
  }
  if (token !== null && !(challenge && isSame(body.proof, prove(token, "listener", hello.subarray(4), challenge)))) {
    throw new RlayError(ErrorCode.UNAUTHORIZED, "the agent did not prove that it knows the token");
  }
  connection._open(session, body.maxFrame);
  if (!resume) session._ticket = body.ticket && Uint8Array.from(body.ticket);
  else if (!session._isBehind(connection, body.received)) return;
  session._go(connection, body.received ?? 0);
}

/** The listener's handshake: admits the dialer, or lets it resume its session. */
function* listenersHandshake(connection, acceptor) {
  const { token, maxFrame } = acceptor.options;
  const helloFrame = Uint8Array.from(yield);
  const refuse = (code, message) => {
    connection._push(handshakeFrames.reject({ code, message }));
    connection.error = new RlayError(code, message);
    connection._finish();
  };
  const early = new Reader(helloFrame.subarray(32, 42));
  const isHeader = helloFrame[0] === Kind.HELLO && helloFrame.subarray(1, 32).every((byte) => byte === 0);
  const isHello = isHeader && early.left === 10 && early.u32() === MAGIC;
  if (!isHello) throw malformed("the dialer is no RLay endpoint");
  const [wireMin, wireMax, role, auth] = [early.u16(), early.u16(), early.u8(), early.u8()];
  if (role > 1) throw malformed("an unknown role");
  if (wireMin > WIRE || wireMax < WIRE) return refuse(ErrorCode.INCOMPATIBLE, `this host speaks wire ${WIRE}`);
  if (role === 1) return refuse(ErrorCode.INCOMPATIBLE, "both ends host an environment; one has to be an agent");
  if (auth > 1) return refuse(ErrorCode.INCOMPATIBLE, "an unknown kind of authentication");
  const { body: hello } = readHandshake(helloFrame);
  if ((auth === 1) !== (token !== null)) {
    return refuse(ErrorCode.UNAUTHORIZED, token === null ? "this host has no token" : "this host asks for a token");
  }
  let proof = null;
  if (token !== null) {
    const challenge = handshakeFrames.challenge({ nonce: random32() });
    connection._push(challenge);
    const { kind, body } = readHandshake(yield);
    if (kind !== Kind.PROOF) throw malformed("the dialer answered Challenge with what it should not");
    const mine = (side) => prove(token, side, helloFrame, challenge.subarray(4));
    if (!isSame(body.proof, mine("dialer"))) return refuse(ErrorCode.UNAUTHORIZED, "the token is another one");
    proof = mine("listener");
  }
  const welcome = { maxFrame, peer: SOFTWARE, proof };
  if (hello.resume) {
    const session = acceptor._find(hello.resume.ticket);
    if (!session) return refuse(ErrorCode.CONNECTION_LOST, "the session has ended");
    const peerReceived = hello.resume.received;
    if (!session._isBehind(connection, peerReceived)) return;
    session._abandon();
    connection._open(session, hello.maxFrame);
    connection._push(handshakeFrames.welcome({ ...welcome, features: RESUMING, received: session._received }));
    session._go(connection, peerReceived);
    return;
  }
  if (!acceptor._hasRoom()) return refuse(ErrorCode.BUSY, "all sessions are taken");
  const session = new EnvSession(acceptor.options);
  if (hello.features & RESUMABLE) session._ticket = random32();
  connection._open(session, hello.maxFrame);
  const ticket = session._ticket;
  connection._push(handshakeFrames.welcome({ ...welcome, features: ticket ? RESUMABLE : 0n, ticket }));
  acceptor.sessions.add(session);
  session._go(connection, 0);
  acceptor.onSession?.(session);
}

/**
 * Admits agents that dial: `accept()` returns the Connection for a socket; `onSession(session)` is told of new
 * sessions.
 */
export class Acceptor {
  constructor(options = {}) {
    Object.assign(this, { options: checkedOptions(options), sessions: new Set(), onSession: null });
  }

  accept({ messages = false } = {}) {
    const connection = new Connection(messages);
    return connection._shakeHands(listenersHandshake(connection, this));
  }

  _find(ticket) {
    for (const session of this.sessions) {
      if (!session.isOver && session._ticket && isSame(session._ticket, ticket)) return session;
    }
    return null;
  }

  /**
   * Makes room where a session has not begun in the time of a handshake, or has lost its agent for the longest time.
   */
  _hasRoom() {
    for (const session of this.sessions) if (session.isOver) this.sessions.delete(session);
    if (this.sessions.size < this.options.maxSessions) return true;
    const all = [...this.sessions];
    const idle = all.find((session) => !session.hasBegun && performance.now() - session._since > HANDSHAKE_TIME);
    const away = all.filter((session) => session.isLost).sort((a, b) => a._lostAt - b._lostAt)[0];
    if (!idle && !away) return false;
    idle?.goodbye(ErrorCode.BUSY, "another agent waits");
    if (!idle) away.end(connectionLost("the agent was away when another one came"));
    return this.sessions.delete(idle ?? away);
  }
}

// ----- The session (sections 10, 13 and 21), without sockets and timers
/**
 * What an agent asks for when it makes an environment: `envId` (text or null), `kwargs` (object), `renderMode` (text or
 * null).
 */
export class Make {
  constructor(envId, kwargs, renderMode) { Object.assign(this, { envId, kwargs, renderMode }); }
}

/**
 * One request of the agent: `kind` is "make" (with `make`), "reset" (`seed`, `options`), "step" (`action`), "render" or
 * "close". `reply` is given what the environment's method would return. What cannot be sent throws a TypeError or
 * RangeError and leaves the request open. Once the session is over, replies do nothing.
 */
export class Turn {
  constructor(session, request, kind, env = session.env) {
    Object.assign(this, { kind, env, _session: session, _request: request });
  }

  /** Whether the agent still waits for the answer. */
  get isOpen() { return this._session._turn === this; }
  reply(value) { this._session._reply(this, value); }
  fail(error) { this._session._answerError(this, envError(error)); }
}

function envError(error) {
  if (!(error instanceof Error)) return { code: ErrorCode.ENV, errorType: typeof error, message: said(error) };
  const errorType = said(error.constructor?.name || error.name);
  return { code: ErrorCode.ENV, errorType, message: said(error.message), traceback: said(error.stack ?? "") };
}

/**
 * The session of one environment with one agent, without sockets, timers or threads: connections bring bytes (`dial()`,
 * `Acceptor.accept()`), `nextTurn()` gives what the agent asks for, its Turn takes the answer. `isLost`: the connection
 * was lost, and another one may take over. `isOver`: the session has ended, because of `error` if not in order.
 */
export class EnvSession {
  constructor(options = {}) {
    this.options = checkedOptions(options);
    /** What Make was replied with, the render mode that the agent asked for, and how often the agent has stepped. */
    Object.assign(this, { env: null, renderMode: null, steps: 0 });
    /** Whether the agent has asked for an environment. */
    this.hasBegun = false;
    Object.assign(this, { isOver: false, isLost: false, error: null, onTurn: null, onLost: null, onOver: null });
    /** no env, making, open, closing, closed */
    this._state = "no env";
    /** The request that owes an answer, and whether nextTurn() has returned it. */
    Object.assign(this, { _turn: null, _isTaken: true, _wasReset: false });
    Object.assign(this, { _connection: null, _ticket: null, _limit: null, _received: 0, _sent: 0, _acknowledged: 0 });
    /** What was sent and not acknowledged yet. */
    Object.assign(this, { _kept: [], _keptBytes: 0 });
    Object.assign(this, { _since: performance.now(), _lostAt: 0, _lossPause: 0, _receivedBefore: -1 });
  }

  /**
   * Returns a new Connection, for a socket that was dialed: the session's first, or one that takes over from a lost
   * one.
   */
  dial({ messages = false } = {}) {
    this._abandon();
    const connection = new Connection(messages);
    return connection._shakeHands(dialersHandshake(connection, this));
  }

  /** Returns what the agent asks for, once, or null. An agent has one request under way. */
  nextTurn() {
    if (this._isTaken || !this._turn) return null;
    this._isTaken = true;
    return this._turn;
  }

  /** Ends the session in order; `code` is 0 or one of ErrorCode. */
  goodbye(code = 0, message = "") {
    if (this.isOver) return;
    this._send(Kind.GOODBYE, 0, (w) => writeBody.goodbye(w, { code, message }));
    this.end(null);
  }

  /** Ends the session without a word, because of `error`. */
  end(error) {
    if (this.isOver) return;
    this.isOver = true;
    this.isLost = false;
    this.error = error;
    this._turn = null;
    this._kept = [];
    this._connection?._finish();
    this._connection = null;
    this.onOver?.();
  }

  /** Goes on without the connection that there is. */
  _abandon() {
    const old = this._connection;
    this._connection = null;
    old?.abort(connectionLost("another connection took over"));
  }

  /** Whether a peer that has received so many frames can go on; ends this connection or the session if not. */
  _isBehind(connection, peerReceived) {
    if (peerReceived > this._sent) this.end(malformed(`the agent has received frame ${peerReceived} of ${this._sent}`));
    else if (peerReceived < this._sent && !(this._kept[0]?.seq <= peerReceived + 1)) {
      // Numbers below one that was acknowledged are of a handshake that a later one has overtaken.
      if (peerReceived < this._acknowledged) connection.abort(malformed("an old handshake"));
      else this.end(connectionLost("more was lost with the connection than was kept"));
    } else return true;
    connection.abort(this.error);
    return false;
  }

  /** Goes on over a connection whose other end has received so many frames. */
  _go(connection, peerReceived) {
    if (this.isOver) return connection.abort(new RlayError(ErrorCode.CLOSED, "the session is over"));
    this._connection = connection;
    this.isLost = false;
    this._acknowledge(peerReceived);
    for (const { frame } of this._kept) connection._push(frame);
    connection.onOpen?.();
  }

  _lost(connection) {
    if (connection !== this._connection) return;
    this._connection = null;
    if (!this._ticket) return this.end(connectionLost("the connection was lost"));
    this.isLost = true;
    this._lostAt = performance.now();
    this.onLost?.();
  }

  _closed(connection) {
    if (connection === this._connection) this.end(connectionLost("the agent left without a goodbye"));
  }

  _violation(connection, error) {
    if (connection !== this._connection) return;
    const said = { code: ErrorCode.PROTOCOL, fatal: true, message: error.message };
    this._send(Kind.ERROR, 0, (w) => writeBody.error(w, said));
    this.end(error);
  }

  _acknowledge(seq) {
    this._acknowledged = Math.max(this._acknowledged, seq);
    while (this._kept.length > 0 && this._kept[0].seq <= this._acknowledged) {
      this._keptBytes -= this._kept.shift().frame.length;
    }
  }

  _send(kind, re, write) {
    const w = new Writer(this._limit ?? HANDSHAKE_FRAME).header(kind, this._sent + 1, this._received, re);
    write(w);
    const frame = w.finish();
    this._sent += 1;
    if (this._ticket) {
      // An agent that acknowledges nothing is not to fill the memory.
      if (this._kept.length >= 2048 || this._keptBytes + frame.length > this._limit + HANDSHAKE_FRAME) {
        this._kept = [];
        this._keptBytes = 0;
      }
      this._kept.push({ seq: this._sent, frame });
      this._keptBytes += frame.length;
    }
    this._connection?._push(frame);
  }

  _receive(connection, frame) {
    if (connection !== this._connection) return;
    const { kind, seq, ack, re, body } = readFrame(frame);
    if (seq !== this._received + 1) throw malformed(`frame ${seq} behind frame ${this._received}`);
    if (ack > this._sent || re > this._sent) throw malformed("an acknowledgement of what was not sent");
    this._received = seq;
    this._acknowledge(Math.max(ack, re));
    if (kind === Kind.GOODBYE || (kind === Kind.ERROR && body.fatal)) {
      return this.end(body.code === 0 ? null
        : new RlayError(body.code, `the agent ended the session: ${shown(body.message)}`));
    }
    const refusal = this._refusal(kind, body);
    if (refusal) return this._send(Kind.ERROR, seq, (w) => writeBody.error(w, { ...refusal, fatal: false }));
    this._request(kind, seq, body);
  }

  /** Why a request cannot be taken now (the tables of section 10). Throws for what is no request. */
  _refusal(kind, body) {
    const no = (code, message) => ({ code, message });
    const state = this._state;
    if (kind === Kind.STEP_AGENTS || kind === Kind.RESULT_AGENTS) {
      return no(ErrorCode.USAGE, "environments with many agents are not supported");
    }
    if (kind === Kind.MAKE) {
      return state === "no env" ? null : no(ErrorCode.USAGE, "the environment is made already; one session makes one");
    }
    if (![Kind.RESET, Kind.STEP, Kind.RENDER, Kind.ATTRIBUTE, Kind.CLOSE].includes(kind)) {
      throw malformed(`the agent sent ${KINDS.get(kind)} out of turn`);
    }
    if (state === "no env" || state === "making") {
      return no(ErrorCode.USAGE, "the environment is not made yet; send Make first");
    }
    if (state !== "open") return no(ErrorCode.CLOSED, "the environment is closed");
    if (kind === Kind.CLOSE) return this._turn && no(ErrorCode.BUSY, "an answer is still owed; close after it");
    const { slots } = body;
    if (slots.length === 0) return no(ErrorCode.USAGE, "a request for no slot");
    if (slots.some((slot) => slot !== 0)) return no(ErrorCode.USAGE, "there is one slot, number 0");
    if (slots.length > 1) return no(ErrorCode.USAGE, "a slot is named twice in one request");
    if (this._turn) return no(ErrorCode.BUSY, "the slot still owes an answer");
    if (kind === Kind.STEP && !this._wasReset) {
      return no(ErrorCode.RESET_NEEDED, "Cannot call env.step() before calling env.reset()");
    }
    if (kind === Kind.ATTRIBUTE) return no(ErrorCode.USAGE, "this host offers no attributes");
    if (kind === Kind.RENDER && this.renderMode === null) {
      return no(ErrorCode.USAGE, "there is no render mode; the agent did not ask for one");
    }
    return null;
  }

  /** Makes a request that can be taken the turn, unless its content is wrong. */
  _request(kind, seq, body) {
    const given = this.options.exactTypes ? (x) => x : plain;
    const name = KINDS.get(kind).toLowerCase();
    const turn = new Turn(this, seq, name);
    const refuse = (code, message) => this._answerError(turn, { code, message });
    this._turn = turn;
    if (kind === Kind.MAKE) {
      this.hasBegun = true;
      this._state = "making";
      const names = namesIn(body.kwargs);
      const unknown = names?.find((known) => !this.options.kwargs.includes(known));
      if (!names) return refuse(ErrorCode.USAGE, "keyword arguments are a dict with names as keys");
      if (unknown !== undefined) {
        return refuse(ErrorCode.USAGE,
          `no keyword argument '${shown(unknown)}' here; there are: ${this.options.kwargs.join(", ") || "none"}`);
      }
      turn.make = new Make(body.envId, plain(body.kwargs), body.renderMode);
    } else if (kind === Kind.RESET) Object.assign(turn, { seed: body.seeds[0], options: given(body.options) });
    else if (kind === Kind.CLOSE) this._state = "closing";
    else if (kind === Kind.STEP) {
      try {
        const { packed, values, error: wrong } = body.payload;
        if (wrong) throw wrong;
        turn.action = given(values ? values[0] : unpackOne(packed, this.env.actionSpace));
      } catch (error) {
        return refuse(ErrorCode.PROTOCOL, error.message);
      }
    }
    this._isTaken = false;
    this.onTurn?.();
  }

  _reply(turn, value) {
    if (turn !== this._turn) return;
    try {
      this._write(turn, value);
    } catch (error) {
      // Too long a frame: what was asked for makes no sense with this frame limit.
      if (!(error instanceof RlayError && error.code === ErrorCode.USAGE)) throw error;
      return this._answerError(turn, { code: error.code, message: error.message });
    }
    if (turn.kind === "reset") this._wasReset = true;
    if (turn.kind === "step") this.steps += 1;
    if (turn.kind === "close") this._state = "closed";
    this._turn = null;
  }

  _write(turn, value) {
    const exact = this.options.exactTypes ? (_, x) => x : fit;
    const { kind, _request: request } = turn;
    if (kind === "make") return this._spec(turn, value);
    if (kind === "close") return this._send(Kind.CLOSED, request, (w) => w.u64(0));
    if (kind === "render") return this._send(Kind.FRAMES, request, (w) => w.u64(1).u32(0).value(value));
    const isFirst = kind === "reset";
    const wanted = isFirst ? "[observation, info]" : "[observation, reward, terminated, truncated, info]";
    if (!Array.isArray(value) || value.length !== (isFirst ? 2 : 5)) {
      throw new TypeError(`${kind}() has to return ${wanted}`);
    }
    const [observation, reward, terminated, truncated] = isFirst ? [value[0], 0, false, false] : value;
    const info = value[value.length - 1] ?? {};
    if (!entriesOf(info)) throw new TypeError(`the info of ${kind}() is no object`);
    if (!["number", "bigint"].includes(typeof reward?.valueOf())) throw new TypeError("the reward is no number");
    this._send(Kind.RESULT, request, (w) => {
      w.u64(1).u32(0).u8((isFirst ? 1 : 0) | (terminated ? 2 : 0) | (truncated ? 4 : 0)).f64(Number(reward));
      w.allowsOpaque = true;
      w.value(info);
      w.allowsOpaque = false;
      w.payload(this.env.observationSpace, [exact(this.env.observationSpace, observation)]);
    });
  }

  _spec(turn, env) {
    for (const name of ["observationSpace", "actionSpace"]) {
      if (!(env?.[name] instanceof Space)) throw new TypeError(`the environment's ${name} is no space`);
    }
    const { rewardThreshold, nondeterministic, maxEpisodeSteps } = env.details ?? {};
    const details = {};
    if (rewardThreshold != null) details.reward_threshold = new Float(rewardThreshold);
    if (nondeterministic != null) details.nondeterministic = Boolean(nondeterministic);
    if (maxEpisodeSteps != null) details.max_episode_steps = Number(maxEpisodeSteps);
    const { envId, renderMode } = turn.make;
    const metadata = env.metadata ?? { render_modes: [] };
    if (!entriesOf(metadata)) throw new TypeError("the environment's metadata is no object");
    this._send(Kind.SPEC, turn._request, (w) => {
      w.text(envId ?? "").space(env.observationSpace);
      w.space(env.actionSpace);
      w.u32(1).u8(0).option(renderMode, (mode) => w.text(mode));
      w.allowsOpaque = true;
      w.value(metadata).value(details).u64(0);
    });
    this.env = env;
    this.renderMode = renderMode;
    this._state = "open";
  }

  _answerError(turn, error) {
    if (turn !== this._turn) return;
    this._send(Kind.ERROR, turn._request, (w) => writeBody.error(w, { ...error, fatal: false }));
    if (turn.kind === "make") this._state = "no env";
    if (turn.kind === "close") this._state = "closed";
    this._turn = null;
  }
}

// ----- Backends: sockets, timers, and the loop that asks environments
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const [FIRST_PAUSE, LONGEST_PAUSE, LONGEST_IDLE_PAUSE, RECONNECT_TIMEOUT] = [20, 1000, 5000, 30000];
/** How long a handshake that has just begun keeps a step waiting. */
const GREETING_TIME = 100;
/** How long one peer's requests are read for before the others have a turn. */
const READING_TIME = 10;
/** The pause after this one. */
const longer = (pause) => Math.min(Math.max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE);

/** Takes an address apart; `schemes` are those that the caller serves. */
function parseAddress(text, schemes, options = []) {
  const no = (why) => new RlayError(ErrorCode.ADDRESS, `${shown(text)}: ${why}`);
  const parts = /^([a-z0-9+]+):\/\/([^?]*)(?:\?(.*))?$/.exec(text);
  if (!parts) throw no("an address looks like tcp://127.0.0.1:5005");
  const [, scheme, rest, query] = parts;
  if (!schemes.includes(scheme)) {
    throw no(`this client has no ${scheme}://; use ${schemes.map((known) => `${known}://`).join(", ")} at both ends`);
  }
  if (scheme !== "tcp") {
    if (URL.canParse && !URL.canParse(text)) throw no("a WebSocket address is ws://host:port/path");
    return { scheme, url: text };
  }
  const place = /^(\[[0-9a-fA-F:.%]+\]|[^:[\]]+):(\d{1,5})$/.exec(rest);
  if (!place || Number(place[2]) > 65535) throw no("a tcp address is tcp://host:port");
  const given = Object.fromEntries((query ?? "").split("&").filter(Boolean).map((pair) => pair.split("=")));
  for (const name of Object.keys(given)) if (!options.includes(name)) throw no(`there is no option ${name} here`);
  const [, shownHost, port] = place;
  return { scheme, host: shownHost.replace(/^\[|\]$/g, ""), shownHost, port: Number(port), options: given };
}

const isLoopback = (host) => host === "localhost" || host === "::1" || /^127(\.\d+){3}$/.test(host);

/** Returns Node's module for TCP. Loaded only when it is used, so that browsers can load this file. */
async function nodeNet() {
  if (!globalThis.process?.versions?.node) {
    throw new RlayError(ErrorCode.ADDRESS, "there is no TCP in a browser; use ws:// or wss://");
  }
  // The names are put together so that bundlers for browsers do not look for these modules.
  const load = (name) => import(/* webpackIgnore: true */ /* @vite-ignore */ `node:${name}`);
  webcrypto ??= (await load("crypto")).webcrypto;
  return load("net");
}

/**
 * Joins a socket of Node and a connection until one of them ends; `onClose` is told the socket's error then, if any.
 */
function joinSocket(socket, connection, onClose) {
  socket.setNoDelay(true);
  // Node sends ten probes at intervals of a second: a machine that vanished is noticed after 18 s.
  socket.setKeepAlive(true, 8000);
  let isEnding = false;
  let failure = null;
  const flush = () => {
    // Stops reading from a peer that does not read, and does not wait for it for ever. Node says so the second time.
    for (let bytes; (bytes = connection.take()); ) if (!socket.write(bytes)) socket.pause().setTimeout(STUCK_TIME / 2);
    if (connection.isAborted) socket.destroy();
    else if (connection.isFinished && !isEnding) {
      isEnding = true;
      socket.resume();
      socket.end();
      setTimeout(() => socket.destroy(), 1000).unref();
    }
  };
  const deadline = boundHandshake(connection);
  connection.onOutput = flush;
  socket.on("connect", () => {
    // A kernel may connect a socket to itself, where nothing listens at the port yet.
    if (socket.localPort !== socket.remotePort || socket.localAddress !== socket.remoteAddress) return;
    failure = Object.assign(new Error("nothing listens there"), { code: "ECONNREFUSED" });
    socket.resetAndDestroy();
  });
  socket.on("data", (bytes) => {
    const since = performance.now();
    connection.receive(bytes);
    if (performance.now() - since < READING_TIME) return;
    socket.pause();
    setImmediate(() => { if (!socket.writableNeedDrain) socket.resume(); });
  });
  socket.on("drain", () => socket.resume().setTimeout(0));
  socket.on("timeout", () => socket.destroy());
  socket.on("error", (error) => (failure = error));
  socket.on("close", () => {
    clearTimeout(deadline);
    connection.lost();
    onClose(failure);
  });
  flush();
}

/** Does the same for a WebSocket that is being opened: a message is a frame, a normal closure is the close mark. */
function joinWebSocket(socket, connection, onClose) {
  socket.binaryType = "arraybuffer";
  const flush = () => {
    if (connection.isAborted) socket.close();
    if (socket.readyState !== 1) return;
    for (let bytes; (bytes = connection.take()); ) socket.send(bytes);
    if (connection.isFinished) socket.close(1000);
    // Such a socket cannot be paused.
    else if (socket.bufferedAmount > 2 * Math.max(2 ** 26, connection._reader.limit)) connection.lost();
  };
  const deadline = boundHandshake(connection);
  connection.onOutput = flush;
  socket.onopen = flush;
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") connection.abort(malformed("a message of text"));
    else connection.receive(new Uint8Array(data));
  };
  socket.onclose = ({ code }) => {
    clearTimeout(deadline);
    if (code === 1000) connection.closed();
    else connection.lost();
    onClose(null);
  };
}

/** Calls `late` after so many milliseconds, once what has arrived during a step is read: timers come before that. */
const judgeAfter = (ms, late) => setTimeout(() => setTimeout(late, GREETING_TIME).unref?.(), ms);

function boundHandshake(connection) {
  return judgeAfter(HANDSHAKE_TIME, () => {
    if (!connection.isOpen) connection.abort(connectionLost("the handshake took too long"));
  });
}

const isShaking = ({ isOpen, isAborted, isFinished }) => !isOpen && !isAborted && !isFinished;

const isPromise = (x) => typeof x?.then === "function";
const isPolled = (env) => typeof env?.step !== "function";

/** What both backends have in common: sessions, and the loop that asks their environments. */
class Backend {
  constructor(make, address, options) {
    if (typeof make !== "function") throw new TypeError("a backend takes a function that makes an environment");
    Object.assign(this, { address, options: checkedOptions(options), _make: make, _server: null });
    Object.assign(this, { _hasStarted: false, _isClosed: false });
    /** Connections whose handshakes are under way, the oldest first, and how long an environment took last. */
    Object.assign(this, { _handshakes: [], _took: 0 });
    /** Each session, with a promise of its end; how many in a row came to nothing. */
    Object.assign(this, { _sessions: new Map(), _failures: 0 });
    Object.assign(this, { _turns: [], _said: new Map(), _wake: () => {} });
  }

  /** The poll form: returns the next Turn of an environment without a `step` method, or null. It never waits. */
  poll() {
    // Has the environment closed although no answer is waited for.
    for (let turn; (turn = this._turns.shift()); ) if (turn.isOpen || turn.kind === "close") return turn;
    return null;
  }

  /**
   * Admits no agent any more, ends every session, and returns once their environments are closed, or after two seconds:
   * one of them may be in the middle of a step, or be what calls this.
   */
  async close() {
    this._isClosed = true;
    this._server?.close();
    const ends = [...this._sessions.values()];
    for (const session of this._sessions.keys()) session.goodbye();
    const why = connectionLost("the backend was closed");
    for (const connection of this._handshakes.filter(isShaking)) connection.abort(why);
    this._wake();
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_TIME)));
    await Promise.race([Promise.all(ends), late]);
    clearTimeout(timer);
  }

  /** Throws where the backend has been started already. */
  _start() {
    if (this._hasStarted) throw new RlayError(ErrorCode.USAGE, "the backend was started already");
    this._hasStarted = true;
  }

  /** Waits until `isSo`, which is asked again after each change of the sessions. */
  async _until(isSo) {
    while (!isSo()) await new Promise((resolve) => (this._wake = resolve));
  }

  _log(text) {
    try {
      this.options.log?.(`${this.address}: ${text}`);
    } catch {
      // A log that fails is not to end a session, and there is nowhere to say so.
    }
  }

  /** Logs `text` the first, tenth, hundredth… time, for peers can repeat anything. */
  _logSeldom(text) {
    if (this._said.size > 1000) this._said.clear();
    const times = (this._said.get(text) ?? 0) + 1;
    this._said.set(text, times);
    if (/^10*$/.test(String(times))) this._log(`${text}${times > 1 ? ` (${times} times so far)` : ""}`);
  }

  _shakesHands(connection) { this._handshakes = [...this._handshakes.filter(isShaking), connection]; }

  /** Lets other sessions have their turns: those of agents that are just coming, and those beside a flood. */
  async _letOthers(connection) {
    if (connection && connection._answered === connection._pieces) await sleep(0);
    const isNew = (other) => isShaking(other) && performance.now() - other._begunAt < GREETING_TIME;
    // All of them together have this time, for a peer may begin one handshake after another.
    const ends = performance.now() + GREETING_TIME;
    while (this._took > GREETING_TIME && performance.now() < ends && this._handshakes.some(isNew)) await sleep(1);
    this._took = 0;
  }

  /** Notes how long an environment took: meanwhile nothing was read, and that does not count against peers. */
  _note(took) {
    this._took = took;
    if (took > GREETING_TIME) for (const session of this._sessions.keys()) session._since += took;
  }

  /** Hosts a session until it is over. */
  _host(session) {
    let whenOver;
    this._sessions.set(session, new Promise((resolve) => (whenOver = resolve)));
    let env = null; // while it is open
    let isBusy = false;
    const failed = (error) => this._logSeldom(`the environment failed: ${said(error?.stack ?? error)}`);
    const close = async () => {
      const closing = env;
      env = null;
      if (closing && isPolled(closing)) this._turns.push(new Turn(session, 0, "close", closing));
      else await closing?.close?.();
    };
    const ask = (turn) => {
      if (turn.kind === "make") return this._make(turn.make);
      if (turn.kind === "reset") return env.reset(turn.seed, turn.options);
      if (turn.kind === "step") return env.step(turn.action);
      return turn.kind === "render" ? env.render() : close();
    };
    const pump = async () => {
      if (isBusy) return;
      isBusy = true;
      for (let turn; (turn = session.nextTurn()); ) {
        if (env && isPolled(env)) {
          if (turn.kind === "close") env = null;
          this._turns.push(turn);
          continue;
        }
        try {
          const connection = session._connection;
          if (connection?._answered === connection?._pieces || this._took > GREETING_TIME) {
            await this._letOthers(connection);
            if (!turn.isOpen) continue;
          }
          if (connection) connection._answered = connection._pieces;
          const since = performance.now();
          const asked = ask(turn);
          this._note(performance.now() - since);
          const answer = isPromise(asked) ? await asked : asked;
          if (turn.kind === "make") env = answer;
          turn.reply(answer);
          if (turn.kind === "make" && session.env) this._log("an agent joined");
        } catch (error) {
          failed(error);
          turn.fail(error);
          if (turn.kind === "make") await close().catch(failed);
        }
        this._wake();
      }
      if (session.isOver) {
        await close().catch(failed);
        this._ended(session);
        whenOver();
      } else isBusy = false;
    };
    session.onTurn = pump;
    session.onOver = pump;
  }

  _ended(session) {
    const { env, error, steps } = session;
    if (env) this._log(`the agent left after ${steps} steps${error ? `: ${error.message}` : ""}`);
    else if (error && !this._isClosed) this._logSeldom(`a session ended before it began: ${error.message}`);
    this._failures = steps > 0 || !error ? 0 : this._failures + 1;
    this._sessions.delete(session);
    this._wake();
  }
}

/**
 * Listens at `tcp://host:port` (port 0: any) for `rlay.ClientEnv`, and hosts what `make(make)` returns or resolves to
 * for each. Node.js only. Other machines can dial only if there is a token, or with `?insecure_allow_remote=yes`.
 */
export class ServerBackend extends Backend {
  constructor(make, address, options = {}) {
    super(make, address, options);
    this._place = parseAddress(address, ["tcp"], ["insecure_allow_remote"]);
    const { host, options: given } = this._place;
    if (!isLoopback(host) && this.options.token === null && given.insecure_allow_remote !== "yes") {
      const why = "other machines can dial this address, and there is no token; listen on 127.0.0.1, "
        + "set a token (RLAY_TOKEN, at both ends), or append ?insecure_allow_remote=yes";
      throw new RlayError(ErrorCode.ADDRESS, `${address}: ${why}`);
    }
  }

  /** Listens; from then on `address` has the real port. Rejects with Node's error if the port is taken. */
  async start() {
    this._start();
    if (this._isClosed) throw new RlayError(ErrorCode.CLOSED, "the backend was closed; make another one");
    const net = await nodeNet();
    const acceptor = new Acceptor(this.options);
    acceptor.onSession = (session) => {
      if (this._isClosed) return session.goodbye();
      this._host(session);
      session.onLost = () => this._expire(session);
    };
    const server = net.createServer((socket) => {
      const connection = acceptor.accept();
      this._shakesHands(connection);
      // An honest handshake takes milliseconds.
      if (this._handshakes.length > HANDSHAKES) {
        this._handshakes.shift().abort(connectionLost("another dialer needs the place"));
      }
      joinSocket(socket, connection, () => {
        const { isOpen, error } = connection;
        if (!isOpen && error.code !== ErrorCode.CONNECTION_LOST) this._logSeldom(`refused a peer: ${error.message}`);
      });
    });
    // Peers that say nothing are not to take every descriptor.
    server.maxConnections = this.options.maxSessions + 128;
    const { host, port, shownHost } = this._place;
    await new Promise((resolve, reject) => server.once("error", reject).listen({ host, port }, resolve));
    server.on("error", (error) => this._logSeldom(error.message));
    this._server = server;
    this.address = `tcp://${shownHost}:${server.address().port}`;
    if (this._isClosed) server.close();
  }

  /** Listens and serves until `close()`. */
  async run() {
    if (!this._hasStarted && !this._isClosed) await this.start();
    await this._until(() => this._isClosed && this._sessions.size === 0);
  }

  /** Ends a session whose agent does not come back. */
  _expire(session) {
    const lostAt = session._lostAt;
    const expire = () => {
      if (session.isLost && session._lostAt === lostAt) session.end(connectionLost("the agent did not come back"));
    };
    judgeAfter(Math.min(this.options.reconnectTimeout ?? RECONNECT_TIMEOUT, 2 ** 31 - 1), expire).unref();
  }
}

/**
 * Dials `rlay.ServerEnv` at `tcp://host:port` (Node.js), `ws://` or `wss://` (browsers), and again after each session.
 * A program that an agent has launched leaves the address out. One session waits for an agent, up to `maxSessions`
 * play.
 */
export class ClientBackend extends Backend {
  constructor(make, address = globalThis.process?.env?.RLAY_ADDRESS, options = {}) {
    super(make, address, options);
    if (address === undefined) {
      throw new RlayError(ErrorCode.ADDRESS, "no address to dial, and RLAY_ADDRESS is not set");
    }
    this._place = parseAddress(address, ["tcp", "ws", "wss"]);
    this._isLaunched = address === globalThis.process?.env?.RLAY_ADDRESS;
    this._hasDialed = false;
  }

  /** Begins to dial, and returns at once. What `run()` would throw is logged. */
  async start() {
    this._start();
    this._dialOn().catch((error) => this._log(error.message));
  }

  /**
   * Dials and hosts until `close()`, or until the agent that has launched this program is gone. Throws a RlayError
   * where trying again is pointless: another token, another release, no RLay there.
   */
  async run() {
    this._start();
    await this._dialOn();
  }

  async _dialOn() {
    const isSpare = (session) => session.env === null;
    const hasRoom = () => this._sessions.size < this.options.maxSessions && ![...this._sessions.keys()].some(isSpare);
    while (!this._isClosed) {
      await this._until(() => this._isClosed || hasRoom());
      if (this._hasDialed) {
        await sleep(Math.min(FIRST_PAUSE * 2 ** Math.max(this._failures - 1, 0), LONGEST_IDLE_PAUSE));
      }
      if (this._isClosed) break;
      const session = new EnvSession(this.options);
      this._host(session);
      session.onLost = () => this._resume(session, session._received);
      try {
        if (!(await this._begin(session))) break;
      } catch (error) {
        session.end(error);
        await this._until(() => this._sessions.size === 0);
        throw error;
      }
    }
    await this._until(() => this._sessions.size === 0);
  }

  /** Dials until an agent has admitted the session; false if there will be none. */
  async _begin(session) {
    for (let pause = FIRST_PAUSE; !session.isOver; pause = longer(pause)) {
      try {
        await this._connect(session);
        this._hasDialed = true;
        return true;
      } catch (error) {
        if (![ErrorCode.CONNECTION_LOST, ErrorCode.BUSY].includes(error.code)) throw error;
        if (this._isLaunched && this._hasDialed && error.isRefused) session.end(null);
        else if (pause > LONGEST_PAUSE / 2) this._logSeldom(`no agent takes the session yet: ${error.message}`);
        if (!session.isOver) await sleep(pause);
      }
    }
    return false;
  }

  /** Brings a session that has lost its connection another one. */
  async _resume(session, received) {
    const { reconnectTimeout } = this.options;
    const deadline = performance.now() + (reconnectTimeout ?? RECONNECT_TIMEOUT);
    // Connections that bring nothing but a Welcome are not made without a pause.
    session._lossPause = received === session._receivedBefore ? longer(session._lossPause) : 0;
    session._receivedBefore = received;
    if (session._lossPause > 0) await sleep(session._lossPause);
    for (let pause = FIRST_PAUSE; session.isLost; pause = longer(pause)) {
      try {
        return await this._connect(session);
      } catch (error) {
        const isPointless = [ErrorCode.UNAUTHORIZED, ErrorCode.INCOMPATIBLE].includes(error.code);
        if (isPointless || (error.isRefused && reconnectTimeout === undefined) || performance.now() > deadline) {
          return session.end(error);
        }
        await sleep(pause);
      }
    }
  }

  /** Makes one attempt to connect and to shake hands. */
  async _connect(session) {
    const { scheme, host, port, url } = this._place;
    const net = scheme === "tcp" ? await nodeNet() : null;
    if (!net && !globalThis.WebSocket) {
      throw new RlayError(ErrorCode.ADDRESS,
        `${url}: this runtime has no WebSocket; Node.js has it from version 22 on. Use tcp:// in Node.js`);
    }
    const connection = session.dial({ messages: !net });
    this._shakesHands(connection);
    await new Promise((resolve, reject) => {
      connection.onOpen = resolve;
      const onClose = (failure) => {
        const error = connection.error ?? connectionLost("the connection has ended");
        if (failure && error.code === ErrorCode.CONNECTION_LOST) error.message = failure.message || failure.code;
        reject(Object.assign(error, { isRefused: failure?.code === "ECONNREFUSED" }));
      };
      if (net) joinSocket(net.connect({ host, port, autoSelectFamily: true }), connection, onClose);
      else joinWebSocket(new globalThis.WebSocket(url), connection, onClose);
    });
  }
}
