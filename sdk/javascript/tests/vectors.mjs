/**
 * The program `vectors` of sdk/tests/GAME.md: reads lines about bytes, and answers what they mean and are written as.
 */

import { createInterface } from "node:readline";
import * as rlay from "../rlay.mjs";

const { Float, GraphInstance, Kind, NdArray, Opaque, Reader, Scalar, TupleValue, Writer } = rlay;

const SHORT = { bool: "bool", int: "i", uint: "u", float: "f" };
const hex = (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
const unhex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const list = (bytes) => bytes && Array.from(bytes);

/** JSON with integers of any size. */
function json(x) {
  if (typeof x === "bigint") return String(x);
  if (Array.isArray(x)) return `[${x.map(json)}]`;
  if (x === null || typeof x !== "object") return JSON.stringify(x);
  return `{${Object.entries(x).map(([key, item]) => `${JSON.stringify(key)}:${json(item)}`)}}`;
}

function dtype(name) {
  const [, big, letters, bits] = /^(>?)([a-z]+)(\d*)$/.exec(name);
  return { dtype: SHORT[letters] + bits, big_endian: big !== "" };
}

function float(bytes) {
  return hex(Uint8Array.from(bytes).reverse());
}

function array(name, shape, data) {
  return { ...dtype(name), shape, data: hex(data) };
}

function value(x) {
  const written = new Writer();
  if (x === null) return "None";
  if (typeof x === "boolean") return { Bool: x };
  if (typeof x === "string") return { Str: x };
  if (typeof x === "number" || typeof x === "bigint") {
    written.value(x);
    const bytes = written.finish();
    return bytes[4] === 2 ? { Int: x } : { BigInt: hex(bytes.subarray(16)) };
  }
  if (x instanceof Float) {
    written.value(x);
    return { Float: float(written.finish().subarray(8)) };
  }
  if (x instanceof TupleValue) return { Tuple: Array.from(x, value) };
  if (Array.isArray(x)) return { List: x.map(value) };
  if (x instanceof Map) return { Dict: Array.from(x, (pair) => pair.map(value)) };
  if (x instanceof Uint8Array) return { Bytes: hex(x) };
  if (x instanceof NdArray) return { Array: array(x.dtype, x.shape, x.data) };
  if (x instanceof Scalar) return { Scalar: array(x.dtype, [], x.data) };
  if (x instanceof GraphInstance) {
    return { Graph: { nodes: value(x.nodes), edges: value(x.edges), edge_links: value(x.edgeLinks) } };
  }
  if (x instanceof Opaque) return { Opaque: { type_name: x.typeName, repr: x.repr } };
  throw new Error("no value");
}

/** Reads a space, which the client never receives. The classes refuse what is malformed. */
function readSpace(r) {
  return r.nested(() => {
    const tag = r.u32();
    const bound = (known, n) => {
      const form = r.u32();
      if (form > 1) throw new Error("unknown bound");
      const length = form ? n : 1;
      const values = r.elements(known, length * known.size);
      // A Box is told its bounds, and whether they are one for all, by those of another Box.
      const model = new rlay.Box(0, 0, [], "uint8").low;
      const made = Object.assign(Object.create(Object.getPrototypeOf(model)), { isUniform: !form, values });
      made.bounded = Uint8Array.from({ length }, () => (r.flag() ? 1 : 0));
      return made;
    };
    switch (tag) {
      case 0: {
        const known = r.dtype();
        const shape = r.shape();
        const n = new rlay.Box(0, 0, shape, known.name).shape.reduce((product, size) => product * Number(size), 1);
        return new rlay.Box(bound(known, n), bound(known, n), shape, known.name);
      }
      case 1: {
        const known = r.dtype();
        return new rlay.Discrete(r.u64(), r.i64(), known.name);
      }
      case 2: {
        const space = new rlay.MultiBinary(r.shape());
        space.isInt = r.flag();
        return space;
      }
      case 3: {
        const known = r.dtype();
        const shape = r.shape();
        return new rlay.MultiDiscrete(r.list(8, () => r.i64()), r.list(8, () => r.i64()), known.name, shape);
      }
      case 4: {
        const [minLength, maxLength] = [r.u64(), r.u64()];
        return new rlay.Text(maxLength, { minLength, charset: r.text() });
      }
      case 5:
        return new rlay.Tuple(r.list(4, () => readSpace(r)));
      case 6:
        return new rlay.Dict(r.list(8, () => [r.key(), readSpace(r)]));
      case 7: {
        const stack = r.flag();
        return new rlay.Sequence(readSpace(r), { stack });
      }
      case 8:
        return new rlay.Graph(readSpace(r), r.option(() => readSpace(r)));
      case 9:
        return new rlay.OneOf(r.list(4, () => readSpace(r)));
      default:
        throw new Error("unknown space tag");
    }
  });
}

function space(x) {
  const bound = ({ isUniform, values, bounded }) => {
    const flags = Array.from(bounded, Boolean);
    return isUniform ? { Uniform: { value: hex(values), bounded: flags[0] } }
      : { Each: { values: hex(values), bounded: flags } };
  };
  if (x instanceof rlay.Box) {
    return { Box: { ...dtype(x.dtype), shape: x.shape, low: bound(x.low), high: bound(x.high) } };
  }
  if (x instanceof rlay.Discrete) return { Discrete: { dtype: dtype(x.dtype).dtype, n: x.n, start: x.start } };
  if (x instanceof rlay.MultiBinary) return { MultiBinary: { shape: x.shape, n_is_int: x.isInt } };
  if (x instanceof rlay.MultiDiscrete) {
    return { MultiDiscrete: { ...dtype(x.dtype), shape: x.shape, nvec: x.nvec, start: x.start } };
  }
  if (x instanceof rlay.Text) return { Text: { min_length: x.minLength, max_length: x.maxLength, charset: x.charset } };
  if (x instanceof rlay.Tuple) return { Tuple: x.spaces.map(space) };
  if (x instanceof rlay.Dict) return { Dict: x.entries.map(([key, member]) => [value(key), space(member)]) };
  if (x instanceof rlay.Sequence) return { Sequence: { space: space(x.space), stack: x.stack } };
  if (x instanceof rlay.Graph) return { Graph: { node: space(x.node), edge: x.edge && space(x.edge) } };
  return { OneOf: x.spaces.map(space) };
}

const unread = Symbol("unread");

/** What a frame says, and how its body is written: [JSON of the body, the rest of its JSON, the whole frame]. */
function frame(bytes) {
  const { kind, seq, ack, re, body } = rlay.readFrame(bytes);
  if (!body) return unread;
  const named = (name, of, rest = {}) => ({ kind: name, seq, ack, re, body: of, ...rest });
  const w = new Writer().header(kind, seq, ack, re);
  const slots = () => w.list(body.slots, (slot) => w.u32(slot));
  switch (kind) {
    case Kind.HELLO: {
      const { wireMin, wireMax, role, auth, features, maxFrame, peer, nonce, resume } = body;
      const of = { wire_min: wireMin, wire_max: wireMax, role: ["Agent", "Env"][role], auth, features,
        max_frame: maxFrame, peer };
      const resumed = resume && { ticket: list(resume.ticket), received: resume.received };
      return [named("Hello", { ...of, nonce: list(nonce), resume: resumed }), rlay.handshakeFrames.hello(body)];
    }
    case Kind.CHALLENGE:
      return [named("Challenge", { nonce: list(body.nonce) }), rlay.handshakeFrames.challenge(body)];
    case Kind.PROOF:
      return [named("Proof", { proof: list(body.proof) }), rlay.handshakeFrames.proof(body)];
    case Kind.WELCOME: {
      const { wire, features, maxFrame, peer, proof, ticket, received } = body;
      const of = { wire, features, max_frame: maxFrame, peer, proof: list(proof), ticket: list(ticket), received };
      return [named("Welcome", of), rlay.handshakeFrames.welcome(body)];
    }
    case Kind.REJECT: {
      const { code, wireMin, wireMax, message } = body;
      return [named("Reject", { code, wire_min: wireMin, wire_max: wireMax, message }),
        rlay.handshakeFrames.reject(body)];
    }
    case Kind.GOODBYE:
      rlay.writeBody.goodbye(w, body);
      return [named("Goodbye", body), w.finish()];
    case Kind.ERROR: {
      const { code, fatal, slots: caused, errorType, message, traceback } = body;
      rlay.writeBody.error(w, body);
      return [named("Error", { code, fatal, slots: caused, failure: { error_type: errorType, message, traceback } }),
        w.finish()];
    }
    case Kind.MAKE: {
      const { envId, kwargs, renderMode, slots: count, autoreset } = body;
      w.option(envId, (x) => w.text(x));
      w.value(kwargs);
      w.option(renderMode, (x) => w.text(x));
      w.u32(count);
      w.u8(autoreset);
      const autoreset_mode = ["Disabled", "NextStep", "SameStep"][autoreset];
      return [named("Make",
        { env_id: envId, kwargs: value(kwargs), render_mode: renderMode, slots: count, autoreset_mode }), w.finish()];
    }
    case Kind.RESET: {
      const seeds = body.seeds.map((seed) => {
        if (seed === null) return null;
        const digits = seed === 0 ? "" : BigInt(seed).toString(16);
        return Buffer.from(digits.length % 2 ? `0${digits}` : digits, "hex").reverse();
      });
      w.list(body.slots.map((slot, i) => [slot, seeds[i]]), ([slot, seed]) => {
        w.u32(slot);
        w.option(seed, (x) => w.blob(x));
      });
      w.value(body.options);
      const rows = body.slots.map((slot, i) => [slot, seeds[i] && hex(seeds[i])]);
      return [named("Reset", { rows, options: value(body.options) }), w.finish()];
    }
    case Kind.STEP: {
      slots();
      const { packed, values, error } = body.payload;
      if (error) throw error;
      if (packed) {
        w.u32(0);
        w.u64(packed.length);
        const pad = (64 - (w.at % 64)) % 64;
        w.u32(pad);
        w.raw(new Uint8Array(pad));
        w.raw(packed);
      } else {
        w.u32(1);
        values.forEach((x) => w.value(x));
      }
      return [named("Step", body.slots, { payload: packed ? { Packed: hex(packed) } : { Values: values.map(value) } }),
        w.finish()];
    }
    case Kind.ATTRIBUTE: {
      const { name, access, values, kwargs } = body;
      slots();
      w.text(name);
      w.u8(access);
      if (access) w.list(values, (x) => w.value(x));
      if (access === 2) w.value(kwargs);
      const called = access === 2 && [values.map(value), Array.from(kwargs, (pair) => [pair[0], value(pair[1])])];
      const call = called && [called[0], Array.from(kwargs, (pair) => pair.map(value))];
      const of = [() => "Get", () => ({ Set: values.map(value) }), () => ({ Call: call })][access]();
      return [named("Attribute", { slots: body.slots, name, access: of }), w.finish()];
    }
    default:
      slots();
      return [named(kind === Kind.RENDER ? "Render" : "Close", body.slots), w.finish()];
  }
}

/** Answers a line. */
function answer(line) {
  const [what, ...words] = line.split(" ");
  const bytes = unhex(words[words.length - 1]);
  const reader = new Reader(bytes);
  const writer = new Writer();
  const ok = (of, written) => `ok ${json(of)} ${hex(written.subarray(4))}`;
  if (what === "value") {
    const found = reader.value();
    reader.end();
    writer.allowsOpaque = true;
    writer.value(found);
    return ok(value(found), writer.finish());
  }
  if (what === "space") {
    const found = readSpace(reader);
    reader.end();
    writer.space(found);
    return ok(space(found), writer.finish());
  }
  if (what === "payload") {
    const of = readSpace(new Reader(unhex(words[0])));
    const rows = rlay.unpack(reader, of, Number(words[1]));
    reader.end();
    if (!rlay.pack(writer, of, rows, writer.at)) throw new Error("not packed again");
    return ok(rows.map(value), writer.finish());
  }
  if (what === "frame") {
    const found = frame(bytes);
    return found === unread ? "unread" : ok(...found);
  }
  const frames = [];
  const stream = new rlay.FrameReader((found) => frames.push(hex(found)));
  stream.receive(bytes);
  if (!stream.isBetweenFrames) throw new Error("a stream that ends inside of a frame");
  return `ok ${frames} ${stream.isClosed ? "closed" : "open"}`;
}

for await (const line of createInterface({ input: process.stdin })) {
  let text;
  try {
    text = answer(line);
  } catch (error) {
    text = `refused ${String(error.message).replaceAll("\n", " ")}`;
  }
  process.stdout.write(`${text}\n`);
}
