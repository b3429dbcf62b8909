/**
 * RLay's client for JavaScript: hosts environments that Gymnasium agents in Python play, over TCP (Node.js 18 or newer)
 * or WebSocket (browsers).
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
 */

// Values: what is what in Python
//
// | Python       | JavaScript                           | | Python        | JavaScript                |
// |--------------|--------------------------------------|-|---------------|---------------------------|
// | None         | null (sent also: undefined)          | | tuple         | TupleValue, see `tuple()` |
// | bool         | boolean                              | | dict          | object or Map             |
// | int          | number or bigint                     | | ndarray       | NdArray                   |
// | float        | Float (sent also: number)            | | NumPy scalar  | Scalar                    |
// | str          | string                               | | GraphInstance | GraphInstance             |
// | bytes        | Uint8Array                           | | anything else | Opaque                    |
// | list         | Array                                | |               |                           |
//
// What an environment is given is made plain by `plain()`, and what it observes is fitted to its space by `fit()`; the
// option `exactTypes` switches both off.

/** An integer of Python: a number where it is safe (below 2^53), else a bigint. */
export type Int = number | bigint;

/**
 * The element type of an array. `">float32"` is the big-endian form of `"float32"`, a fact about Python's array alone.
 */
export type Dtype =
  | "bool" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64"
  | "float16" | "float32" | "float64"
  | `>${"int16" | "int32" | "int64" | "uint16" | "uint32" | "uint64" | "float16" | "float32" | "float64"}`;

/** The typed arrays that hold elements: Uint8Array for bool, Uint16Array of bits for float16, bigints for 64 bits. */
export type TypedArray =
  | Int8Array | Int16Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array | Uint32Array | BigUint64Array
  | Float32Array | Float64Array;

/** The typed arrays, and the pixels of a canvas, that may stand for elements of dtype uint8. */
export type Numbers = TypedArray | Uint8ClampedArray | readonly NestedNumber[];
type NestedNumber = number | bigint | boolean | readonly NestedNumber[];

/**
 * What can be sent. A number that is a safe integer is sent as an int (`-0` as 0), any other number as a float;
 * `new Float(1)` is the float 1.0; a bigint is an int. An object is a dict with texts as keys, a Map one with any keys,
 * an Array a list, `tuple()` a tuple, a Uint8Array bytes, another typed array an array of one dimension; undefined is
 * None. In infos and metadata anything else arrives as an Opaque; elsewhere it is a TypeError.
 */
export type Value = any;

// Errors

/** What went wrong, as RLay counts it. */
export const ErrorCode: Readonly<{
  USAGE: 1; RESET_NEEDED: 2; INVALID_ACTION: 3; CLOSED: 4; BUSY: 5; ADDRESS: 6; INCOMPATIBLE: 7; PROTOCOL: 8; ENV: 9;
  CONNECTION_LOST: 10; UNAUTHORIZED: 13;
}>;

/** An error of RLay itself; `code` is one of `ErrorCode`. */
export class RlayError extends Error {
  constructor(code: number, message: string);
  code: number;
}

// Values

/**
 * A float of Python. Sent, it stays a float where the number is an integer: `new Float(1)` is 1.0. Arithmetic works as
 * with the number; `===` does not.
 */
export class Float extends Number {
  /** The bits of a NaN that was received. */
  bits?: bigint;
}

/** A tuple of Python: an Array that is sent as a tuple, not as a list. */
export class TupleValue<T = Value> extends Array<T> {}

/** Returns a tuple of these items. */
export function tuple<T extends Value[]>(...items: T): TupleValue<T[number]>;

/**
 * An array of NumPy, in C order: `new NdArray("uint8", [8, 8, 3], data)`.
 * Iterating gives the elements in order as numbers, whatever the dtype: `const [left, right] = action`.
 */
export class NdArray implements Iterable<number | bigint | boolean> {
  /**
   * Without `data` all elements are 0. An array of numbers is converted; a typed array of the dtype is taken as it is,
   * not copied. Throws a TypeError for an unknown dtype, a RangeError for numbers that the dtype cannot hold or that do
   * not fill the shape.
   */
  constructor(dtype: Dtype, shape: readonly Int[], data?: Iterable<number | bigint | boolean>);
  dtype: Dtype;
  shape: number[];
  data: TypedArray;
  /** The element at these indices: `array.at(2, 0)` is `array[2, 0]` in Python. Throws a RangeError outside. */
  at(...index: number[]): number | bigint | boolean;
  [Symbol.iterator](): Iterator<number | bigint | boolean>;
}

/** A scalar of NumPy: `new Scalar("float32", 1.5)` is `np.float32(1.5)`. Arithmetic works as with its value. */
export class Scalar {
  constructor(dtype: Dtype, value: number | bigint | boolean);
  dtype: Dtype;
  /** One element, as in NdArray. */
  data: TypedArray;
  /** The number, boolean, or bigint beyond the safe integers. */
  readonly value: number | bigint | boolean;
  valueOf(): number | bigint | boolean;
}

/**
 * Gymnasium's GraphInstance: nodes (n, …), edges (m, …) and edge links (m, 2), the last two null where there are none.
 */
export class GraphInstance {
  constructor(nodes: NdArray, edges?: NdArray | null, edgeLinks?: NdArray | null);
  nodes: NdArray;
  edges: NdArray | null;
  edgeLinks: NdArray | null;
}

/** An object of Python that nothing else can hold, for people to read. */
export class Opaque {
  constructor(typeName: string, repr: string);
  typeName: string;
  repr: string;
}

/** Returns `value` with Floats and Scalars as numbers, booleans or bigints, and dicts with texts as keys as objects. */
export function plain(value: Value): Value;

/**
 * Returns an observation in the form that its space has on the other side: numbers in arrays as an NdArray, an Array
 * for a Tuple as a tuple, entries of a Dict in its order. What has that form, or is something else altogether, stays as
 * it is. Throws a RangeError that names the place for numbers that do not fit.
 */
export function fit(space: Space, value: Value, place?: string): Value;

/** Returns the 16 bits of the float16 nearest to `x`, ties to even; and the number that such bits stand for. */
export function toFloat16(x: number): number;
export function fromFloat16(bits: number): number;

// Spaces

/** The base of all spaces. */
export abstract class Space {
  private readonly _isSpace: never;
}

/**
 * Arrays between two bounds: `new Box(0, 255, [8, 8, 3], "uint8")`. A bound is one number for all elements, ±Infinity
 * among them, or an array of one for each, which then gives the shape. The dtype is float32 unless given.
 * An element is an NdArray of that dtype and shape; an environment may return an array of numbers or a typed array.
 */
export class Box extends Space {
  constructor(low: NestedNumber | Numbers, high: NestedNumber | Numbers, shape?: readonly Int[], dtype?: Dtype);
  dtype: Dtype;
  shape: Int[];
}

/** The integers from `start` (0) to `start + n - 1`. An element is an Int, or with exactTypes perhaps a Scalar. */
export class Discrete extends Space {
  constructor(n: Int, start?: Int, dtype?: Dtype);
  n: Int;
  start: Int;
  dtype: Dtype;
}

/** Arrays of 0 and 1: `new MultiBinary(4)`, `new MultiBinary([2, 3])`. An element is an NdArray of int8. */
export class MultiBinary extends Space {
  constructor(n: number | readonly Int[]);
  shape: Int[];
}

/** Arrays of integers, each with its own count and start (0). An element is an NdArray of the dtype (int64). */
export class MultiDiscrete extends Space {
  constructor(nvec: Numbers, start?: Numbers, dtype?: Dtype, shape?: readonly Int[]);
  nvec: Int[];
  start: Int[];
  dtype: Dtype;
  shape: Int[];
}

/** Texts; lengths count code points. By default from one character on, of digits and ASCII letters. */
export class Text extends Space {
  constructor(maxLength: Int, options?: { minLength?: Int; charset?: string });
  minLength: Int;
  maxLength: Int;
  charset: string;
}

/** One element of each space. An element is a tuple; an environment may return an Array. */
export class Tuple extends Space {
  constructor(spaces: Iterable<Space>);
  spaces: Space[];
}

/**
 * Named spaces in this order. An element is a Map or an object. An object puts names such as "7" first: take a Map
 * then.
 */
export class Dict extends Space {
  constructor(spaces: Record<string, Space> | Map<Value, Space> | [Value, Space][]);
  entries: [Value, Space][];
}

/**
 * Any number of elements. An element is a tuple of them (or an Array) or, with `stack`, their batch: see docs/wire.md.
 */
export class Sequence extends Space {
  constructor(space: Space, options?: { stack?: boolean });
  space: Space;
  stack: boolean;
}

/** Graphs of nodes and perhaps edges, each of a Box or a Discrete. An element is a GraphInstance. */
export class Graph extends Space {
  constructor(node: Space, edge?: Space | null);
  node: Space;
  edge: Space | null;
}

/**
 * An element of one of the spaces: the tuple of its index, a Scalar of int64, and the element; or `[index, element]`.
 */
export class OneOf extends Space {
  constructor(spaces: Iterable<Space>);
  spaces: Space[];
}

// Environments

/** What an agent asks for. */
export class Make {
  constructor(envId: string | null, kwargs: Record<string, Value>, renderMode: string | null);
  /** Which environment, where there are several; null unless the agent names one. */
  envId: string | null;
  /** Keyword arguments; only names that `Options.kwargs` lists arrive. */
  kwargs: Record<string, Value>;
  /** `rgb_array`, `ansi` or another of the environment's, or null. */
  renderMode: string | null;
}

type Awaitable<T> = T | Promise<T>;

/** What an environment says of itself; with `reset` and `step` left out it is one for the poll form. */
export interface EnvDeclaration {
  observationSpace: Space;
  actionSpace: Space;
  /**
   * Gymnasium's metadata, with its names: `{render_modes: ["rgb_array"], render_fps: 25}`. Without it there are no
   * render modes.
   */
  metadata?: Record<string, Value>;
  /** What the agent finds in `env.spec`. */
  details?: { rewardThreshold?: number; nondeterministic?: boolean; maxEpisodeSteps?: number };
}

/** An environment. What its methods throw arrives at the agent as an EnvError, with class, message and stack. */
export interface Env extends EnvDeclaration {
  /**
   * Begins an episode. `seed` is a non-negative integer of any size, or null: then the random generator goes on as it
   * is. `options` is null or an object.
   */
  reset(seed: Int | null, options: Value): Awaitable<[observation: Value, info: Record<string, Value> | Map<Value,
    Value>]>;
  /** Takes an action. Actions outside of the action space arrive, too, and are the environment's to refuse. */
  step(action: Value): Awaitable<
    [observation: Value, reward: Int | Float, terminated: boolean, truncated: boolean, info: Record<string, Value>
      | Map<Value, Value>]
  >;
  /** For `rgb_array` an NdArray of uint8 of shape [height, width, 3], for `ansi` a string. */
  render?(): Awaitable<Value>;
  /** Called once, when the agent closes the environment or is gone. */
  close?(): Awaitable<void>;
}

/** Makes an environment. What it throws refuses the agent. */
export type MakeEnv = (make: Make) => Awaitable<Env | EnvDeclaration>;

/** What sessions and backends can be told. */
export interface Options {
  /**
   * What both ends prove to know, of at least eight visible characters. Default: the environment variable RLAY_TOKEN.
   */
  token?: string | null;
  /** How many sessions there are at a time. Default: 1. */
  maxSessions?: number;
  /** Longest frame that is accepted, in bytes. Default: 64 MiB. */
  maxFrame?: number;
  /** For how many milliseconds a session outlives its connection. Default: 30 s, less where nothing listens any more. */
  reconnectTimeout?: number;
  /** Names of the keyword arguments that agents may give. Default: none. */
  kwargs?: readonly string[];
  /**
   * Whether actions and options arrive, and observations leave, exactly as Python has them: Float, Scalar, Map and
   * tuple in place of what is convenient. Default: false, see `plain` and `fit`.
   */
  exactTypes?: boolean;
  /** Takes the lines of the log; null for nothing. Default: the standard error output, in browsers the console. */
  log?: ((text: string) => void) | null;
}

/** One request of the agent: `kind` says which fields there are and what `reply` takes. */
export type Turn = TurnOf & {
  /** What Make was replied with. */
  readonly env: any;
  /** Whether the agent still waits for the answer. */
  readonly isOpen: boolean;
  /** Answers the request with an error of the environment. Does nothing once the session is over. */
  fail(error: unknown): void;
};
type TurnOf =
  | { kind: "make"; make: Make; reply(env: EnvDeclaration): void }
  | { kind: "reset"; seed: Int | null; options: Value; reply(result: [observation: Value, info: Value]): void }
  | {
      kind: "step";
      action: Value;
      /** Throws a TypeError or RangeError for what cannot be sent; the request stays open. */
      reply(result: [observation: Value, reward: Int | Float, terminated: boolean, truncated: boolean,
        info: Value]): void;
    }
  | { kind: "render"; reply(frame: Value): void }
  | { kind: "close"; reply(): void };

/** What both backends do. */
declare abstract class Backend {
  /** The address; once a ServerBackend listens, with the real port. */
  readonly address: string;
  /** Begins to listen or to dial. Rejects with a RlayError of code USAGE the second time. */
  start(): Promise<void>;
  /**
   * The same, and returns when the backend has come to its end: after `close()` or, for what was launched, the agent's.
   */
  run(): Promise<void>;
  /**
   * The poll form: returns the next Turn of an environment that has no `step` method, or null. It never waits. After
   * `close()`, and when an agent is gone, it gives a Turn of kind `"close"`.
   */
  poll(): Turn | null;
  /**
   * Says goodbye to all agents, and returns once their environments are closed, or after two seconds: one of them may
   * be in the middle of a step, or be what calls this.
   */
  close(): Promise<void>;
}

/** Listens at `tcp://host:port` for `rlay.ClientEnv`. Node.js only. Other machines can dial only with a token. */
export class ServerBackend extends Backend {
  /** Throws a RlayError for an address or option that makes no sense. */
  constructor(make: MakeEnv, address: string, options?: Options);
}

/** Dials `rlay.ServerEnv` at `tcp://host:port` (Node.js), `ws://` or `wss://` (browsers), again after each session. */
export class ClientBackend extends Backend {
  /** Without an address that of the agent that has launched this program: the environment variable RLAY_ADDRESS. */
  constructor(make: MakeEnv, address?: string, options?: Options);
}

// Sessions without sockets, for an engine that has its own

/**
 * One connection of a session: give it what arrives, send what `take()` returns until that is null, and say when the
 * socket has ended. With `messages: true` each is one frame; otherwise they are pieces of a stream.
 */
export class Connection {
  private constructor();
  readonly session: EnvSession | null;
  /** Whether the handshake is over; `error` says why it has failed. The time for it (5 s) is yours to keep. */
  readonly isOpen: boolean;
  readonly error: RlayError | null;
  /** Whether the socket is to be closed once `take()` returns null; and whether it is to be closed at once. */
  readonly isFinished: boolean;
  readonly isAborted: boolean;
  /** Called when there is something to send or to close. */
  onOutput: (() => void) | null;
  onOpen: (() => void) | null;
  receive(bytes: Uint8Array): void;
  take(): Uint8Array | null;
  /** The connection has ended: on purpose (a stream says so itself), or not. */
  closed(): void;
  lost(): void;
  /** Closes at once. */
  abort(error: RlayError): void;
}

/**
 * A session of one environment with one agent, without sockets, timers and threads.
 *
 *     const session = new EnvSession();
 *     let connection = session.dial();
 *     // whenever bytes arrive: connection.receive(bytes); then, once a frame:
 *     for (let turn; (turn = session.nextTurn()); ) answer(turn);
 *     for (let bytes; (bytes = connection.take()); ) send(bytes);
 *     if (session.isLost) connection = session.dial(); // over another socket
 */
export class EnvSession {
  constructor(options?: Options);
  readonly env: any;
  readonly renderMode: string | null;
  readonly steps: number;
  readonly hasBegun: boolean;
  /** Whether the session has ended; `error` is null where it did so in order. */
  readonly isOver: boolean;
  readonly error: RlayError | null;
  /** Whether the connection was lost and another one may take over. */
  readonly isLost: boolean;
  onTurn: (() => void) | null;
  onLost: (() => void) | null;
  onOver: (() => void) | null;
  /** Begins a handshake as the side that dials: the session's first, or one by which it is resumed. */
  dial(options?: { messages?: boolean }): Connection;
  /** Returns each request once, `"make"` first; null while there is none. One is under way at a time. */
  nextTurn(): Turn | null;
  /** Ends the session: in order, or without a word. */
  goodbye(code?: number, message?: string): void;
  end(error: RlayError | null): void;
}

/**
 * The side that listens: `accept()` for each socket; sessions come to `onSession`, resumed ones go on by themselves.
 */
export class Acceptor {
  constructor(options?: Options);
  readonly sessions: Set<EnvSession>;
  onSession: ((session: EnvSession) => void) | null;
  accept(options?: { messages?: boolean }): Connection;
}
