/**
 * A caller that does all of it wrong gets errors. Without arguments it makes every mistake that takes no agent; with
 * `--listen ADDRESS` it hosts environments that are wrong in the way that the id says, and a log that throws.
 */

import assert from "node:assert/strict";
import * as rlay from "../rlay.mjs";

const { Box, ClientBackend, Dict, Discrete, EnvSession, ErrorCode, Graph, MultiBinary, MultiDiscrete, NdArray } = rlay;
const { OneOf, Scalar, Sequence, ServerBackend, Text, Tuple } = rlay;
const quiet = { log: null, token: null };

/** Fails unless the mistake throws a TypeError or RangeError. */
function refuses(what, mistake) {
  assert.throws(mistake, (error) => error instanceof TypeError || error instanceof RangeError, what);
}

function mistakeSpaces() {
  refuses("a bound that is NaN", () => new Box(NaN, 1, [2]));
  refuses("another one", () => new Box(0, NaN, [2], "int32"));
  refuses("no bound", () => new Box(undefined, 1, [2]));
  refuses("a text as a bound", () => new Box("0", 1, [2]));
  refuses("bounds in the wrong order", () => new Box(1, 0, [2]));
  refuses("infinite ones", () => new Box(Infinity, Infinity, []));
  refuses("a bound that uint8 does not have", () => new Box(0, 256, [2], "uint8"));
  refuses("a fraction", () => new Box(0.5, 1, [2], "int8"));
  refuses("a negative size", () => new Box(0, 1, [-2]));
  refuses("a fraction as a size", () => new Box(0, 1, [1.5]));
  refuses("no shape", () => new Box(0, 1, 2));
  refuses("a size beyond all memory", () => new Box(0, 1, [2 ** 40, 2 ** 40]));
  refuses("numbers of bounds", () => new Box([0, 0], [1, 1, 1]));
  refuses("an unknown dtype", () => new Box(0, 1, [2], "float"));
  for (const n of [0, -3, 2.5, NaN, "3", undefined, 2n ** 64n]) refuses(`Discrete(${n})`, () => new Discrete(n));
  refuses("a start that is NaN", () => new Discrete(3, NaN));
  refuses("integers of float32", () => new Discrete(3, 0, "float32"));
  refuses("a negative count", () => new MultiBinary(-1));
  refuses("no count", () => new MultiBinary());
  for (const n of [0, 2.5, NaN]) refuses(`a count of ${n}`, () => new MultiDiscrete([3, n]));
  refuses("starts that do not fit", () => new MultiDiscrete([3, 4], [1]));
  for (const n of [-1, NaN, 2.5, undefined]) refuses(`Text(${n})`, () => new Text(n));
  refuses("lengths in the wrong order", () => new Text(2, { minLength: 3 }));
  refuses("no charset", () => new Text(2, { charset: null }));
  for (const spaces of [null, 5, [null], [{}]]) {
    refuses(`Tuple(${spaces})`, () => new Tuple(spaces));
    refuses(`OneOf(${spaces})`, () => new OneOf(spaces));
    refuses(`Dict(${spaces})`, () => new Dict(spaces));
    refuses(`Sequence(${spaces})`, () => new Sequence(spaces));
    refuses(`Graph(${spaces})`, () => new Graph(spaces));
  }
  refuses("a key twice", () => new Dict([["a", new Discrete(2)], ["a", new Discrete(2)]]));
  refuses("a OneOf of nothing", () => new OneOf([]));
}

function mistakeValues() {
  refuses("a shape that does not fit", () => new NdArray("float32", [4], new Float32Array(6)));
  refuses("a negative size", () => new NdArray("int8", [-1], []));
  refuses("no shape", () => new NdArray("int8", undefined, [1]));
  refuses("texts", () => new NdArray("float32", [1], ["a"]));
  refuses("nothing", () => new NdArray("float32", [1], [undefined]));
  refuses("a number that int8 does not have", () => new Scalar("int8", 128));
  refuses("NaN as an integer", () => new Scalar("int8", NaN));
  refuses("numbers that do not fit", () => rlay.fit(new Box(0, 1, [2]), [1, 2, 3]));
  refuses("what is no number", () => rlay.fit(new Box(0, 1, [2]), [1, undefined]));
}

function mistakeOptions() {
  const wrong = [
    [{ token: "seven 7" }, /eight visible/],
    [{ token: "\t           \n" }, /eight visible/],
    [{ token: 12345678 }, /text/],
    [{ token: "half of a pair \ud83c" }, /surrogate/],
    [{ maxSessions: 0 }, /maxSessions/],
    [{ maxSessions: "3" }, /maxSessions/],
    [{ maxFrame: -1 }, /maxFrame/],
    [{ maxFrame: Infinity }, /maxFrame/],
    [{ reconnectTimeout: NaN }, /reconnectTimeout/],
    [{ kwargs: null }, /kwargs/],
    [{ kwargs: "size" }, /kwargs/],
    [{ log: "file" }, /log/],
    [{ maxSession: 4 }, /'maxSession'/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => new EnvSession(options), { code: ErrorCode.USAGE, message });
  }
}

async function mistakeAddresses() {
  const make = () => null;
  const wrong = [
    undefined, "", "localhost", "tcp://", "tcp://localhost", "tcp://:5005", "tcp://localhost:-1",
    "tcp://localhost:70000", "tcp://localhost: 5", "tcp://::1:5005", "tcp://127.0.0.1:0?mtu=9",
    "tcp://127.0.0.1:0/path", "tcp://0.0.0.0:0", "ws://127.0.0.1:5005",
  ];
  for (const address of wrong) {
    assert.throws(() => new ServerBackend(make, address, quiet), { code: ErrorCode.ADDRESS }, address);
  }
  for (const address of ["unix:///tmp/game", "shm://game", "zmq://127.0.0.1:5005"]) {
    const error = { code: ErrorCode.ADDRESS, message: /use tcp:\/\/.*at both ends/ };
    for (const Backend of [ServerBackend, ClientBackend]) {
      assert.throws(() => new Backend(make, address, quiet), error, address);
    }
  }
  assert.throws(() => new ClientBackend(make, undefined, quiet), { code: ErrorCode.ADDRESS, message: /RLAY_ADDRESS/ });
  const first = new ServerBackend(make, "tcp://127.0.0.1:0", quiet);
  await first.start();
  await assert.rejects(new ServerBackend(make, first.address, quiet).start(), { code: "EADDRINUSE" });
  await first.close();
}

async function mistakeBackends() {
  const started = { code: ErrorCode.USAGE, message: /started already/ };
  assert.throws(() => new ServerBackend(null, "tcp://127.0.0.1:0"), TypeError);
  const listening = new ServerBackend(() => null, "tcp://127.0.0.1:0", quiet);
  await listening.start();
  await assert.rejects(listening.start(), started);
  assert.equal(listening.poll(), null);
  await Promise.all([listening.close(), listening.close()]);
  await listening.run();
  const unused = new ServerBackend(() => null, "tcp://127.0.0.1:0", quiet);
  await unused.close();
  await unused.run();
  await assert.rejects(unused.start(), { code: ErrorCode.CLOSED });
  const hasty = new ServerBackend(() => null, "tcp://127.0.0.1:0", quiet);
  await Promise.all([hasty.start(), hasty.close()]);
  const dialing = new ClientBackend(() => null, "tcp://127.0.0.1:1", quiet);
  await dialing.start();
  await assert.rejects(dialing.run(), started);
  await dialing.close();
}

function mistakeSessions() {
  const session = new EnvSession(quiet);
  session.goodbye();
  session.goodbye();
  session.end(null);
  assert.equal(session.nextTurn(), null);
  session.dial().lost();
  assert.ok(session.isOver);
}

/** An environment that is wrong in one way. */
class Wrong {
  metadata = { render_modes: ["ansi"] };
  actionSpace = new Discrete(2);

  constructor(how) {
    this.how = how;
    this.observationSpace = how === "no space" ? null : new Box(0, 1, [2]);
  }

  reset() {
    if (this.how === "reset throws") throw new Error("reset");
    return this.how === "reset gives nothing" ? undefined : [[0, 0], {}];
  }

  async step() {
    if (this.how === "step throws") throw new Error("step");
    if (this.how === "step throws what cannot be shown") throw Object.create(null);
    if (this.how === "step gives nothing") return undefined;
    if (this.how === "step cannot be sent") return [() => {}, 0, false, false, {}];
    if (this.how === "step closes the backend") await backend.close();
    if (this.how === "step hangs") {
      setTimeout(closeBeside, 0);
      await new Promise(() => {});
    }
    return [[0, 0], 0, false, false, {}];
  }

  render() {
    if (this.how === "render throws") throw new Error("render");
    return this.how === "render cannot be sent" ? () => {} : "frame";
  }

  close() {
    if (this.how === "close throws") throw new Error("close");
  }
}

async function closeBeside() {
  await backend.close();
  console.log("closed beside a step");
  process.exit(0);
}

function makeWrong({ envId }) {
  if (envId === "make throws") throw new Error("make");
  return envId === "make gives nothing" ? null : new Wrong(envId);
}

let backend = null;
const [, , flag, address] = process.argv;
if (flag === "--listen") {
  const log = (text) => {
    throw new Error(`the log: ${text}`);
  };
  backend = new ServerBackend(makeWrong, address, { log });
  await backend.start();
  console.log(`listening at ${backend.address}`);
  await backend.run();
  console.log("closed");
} else {
  mistakeSpaces();
  mistakeValues();
  mistakeOptions();
  await mistakeAddresses();
  await mistakeBackends();
  mistakeSessions();
  console.log("all mistakes are errors");
}
