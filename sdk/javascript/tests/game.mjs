/** The program `game` of sdk/tests/GAME.md: hosts the environments Drift and Echo. */

import { parseArgs } from "node:util";
import * as rlay from "../rlay.mjs";

const { Box, Discrete, Float, GraphInstance, MultiBinary, MultiDiscrete, NdArray, Scalar, Text, tuple } = rlay;

const MASK = 2n ** 64n - 1n;

/** The generator: PCG32 (XSH-RR). */
class Pcg32 {
  constructor() {
    this.seed(0);
  }

  seed(seed) {
    this.state = 0n;
    this.next();
    this.state = (this.state + BigInt(seed)) & MASK;
    this.next();
  }

  next() {
    const old = this.state;
    this.state = (old * 6364136223846793005n + 109n) & MASK;
    const x = Number((((old >> 18n) ^ old) >> 27n) & 0xffffffffn);
    const r = Number(old >> 59n);
    return ((x >>> r) | (x << ((32 - r) & 31))) >>> 0;
  }
}

class Drift {
  metadata = { render_modes: ["rgb_array", "ansi"], render_fps: 25 };
  details = { rewardThreshold: 60, nondeterministic: false, maxEpisodeSteps: 100 };
  observationSpace = new rlay.Dict({
    board: new Box(0, 255, [8, 8], "uint8"),
    dials: new MultiDiscrete([3, 5]),
    fuel: new Discrete(32),
    lights: new MultiBinary(4),
    position: new Box(-Infinity, Infinity, [2], "float64"),
  });
  actionSpace = new Discrete(3);

  constructor(renderMode) {
    if (![null, "rgb_array", "ansi"].includes(renderMode)) throw new Error(`no render mode ${renderMode}`);
    this.renderMode = renderMode;
    this.random = new Pcg32();
  }

  reset(seed, options) {
    if (seed !== null) this.random.seed(seed);
    this.t = 0;
    this.x = this.random.next() / 2147483648 - 1;
    this.v = 0;
    this.fuel = 20 + (this.random.next() % 12);
    this.board = Uint8Array.from({ length: 64 }, () => this.random.next() & 255);
    this.lamps();
    return [this.observation(), { seeded: seed !== null, options }];
  }

  step(given) {
    const action = Number(given);
    if (!(action >= 0 && action <= 2)) throw new RangeError(`an action from 0 to 2, not ${given}`);
    this.t += 1;
    this.v = this.v * 0.9375 + (action - 1) * 0.0625 + (this.random.next() / 4294967296 - 0.5) * 0.03125;
    this.x = this.x + this.v;
    if (action !== 1 && this.fuel > 0) this.fuel -= 1;
    const cell = this.random.next() % 64;
    this.board[cell] = this.random.next() & 255;
    this.lamps();
    const reward = 1 - this.x * this.x;
    const terminated = this.x > 2 || this.x < -2 || this.fuel === 0;
    const far = this.x > 1 || this.x < -1;
    const info = { t: this.t, speed: new Float(Math.abs(this.v)), far, name: "drift – é漢🎲" };
    return [this.observation(), reward, terminated, this.t >= 100, info];
  }

  lamps() {
    this.dials = [this.t % 3, this.random.next() % 5];
    const n = this.random.next() & 15;
    this.lights = [0, 1, 2, 3].map((i) => (n >> i) & 1);
  }

  observation() {
    return {
      board: new NdArray("uint8", [8, 8], this.board),
      dials: new NdArray("int64", [2], this.dials),
      fuel: this.fuel,
      lights: new NdArray("int8", [4], this.lights),
      position: new NdArray("float64", [2], [this.x, this.v]),
    };
  }

  render() {
    if (this.renderMode === "ansi") return `t=${this.t}`;
    const pixels = Array.from(this.board).flatMap((cell) => [cell, 255 - cell, this.t & 255]);
    return new NdArray("uint8", [8, 8, 3], pixels);
  }
}

const CASES = [
  new Box(-1, 1, [2, 3]),
  new Box(0, 255, [4, 5, 3], "uint8"),
  new Box(-Infinity, Infinity, [], "float64"),
  new Discrete(5, -2),
  new MultiBinary([2, 3]),
  new MultiDiscrete([3, 5, 2], [0, -1, 7]),
  new Text(12, { minLength: 1, charset: "aé漢🎲 b" }),
  new rlay.Tuple([new Discrete(3), new Box(0, 1, [2], "float64")]),
  new rlay.Dict({ a: new Discrete(2), b: new rlay.Tuple([new MultiBinary(3), new Text(4)]) }),
  new rlay.Sequence(new Box(0, 1, [2])),
  new rlay.Sequence(new Discrete(4), { stack: true }),
  new rlay.Graph(new Box(-1, 1, [3]), new Discrete(4)),
  new rlay.OneOf([new Discrete(3), new Box(-1, 1, [2])]),
  new Box(-1, 1, [3], "float16"),
  new Box(false, true, [2], "bool"),
  new Box(-(2n ** 63n), 2n ** 63n - 1n, [2], "int64"),
  new Box([-1, -Infinity], [1, 5]),
  new rlay.Graph(new Box(-1, 1, [2], "float64")),
];

/** What an Echo observes after a reset. */
function zero(space) {
  if (space instanceof Discrete) return space.start;
  if (space instanceof MultiDiscrete) return new NdArray(space.dtype, space.shape, space.start);
  if (space instanceof Text) return Array.from(space.charset)[0].repeat(space.minLength);
  if (space instanceof rlay.Tuple) return tuple(...space.spaces.map(zero));
  if (space instanceof rlay.Dict) return new Map(space.entries.map(([key, member]) => [key, zero(member)]));
  if (space instanceof rlay.Sequence) return space.stack ? new NdArray("int64", [0]) : tuple();
  if (space instanceof rlay.Graph) return new GraphInstance(new NdArray(space.node.dtype, [1, ...space.node.shape]));
  if (space instanceof rlay.OneOf) return tuple(new Scalar("int64", 0), zero(space.spaces[0]));
  return new NdArray(space.dtype, space.shape);
}

class Echo {
  constructor(number) {
    this.observationSpace = this.actionSpace = CASES[number];
  }

  reset(seed, options) {
    return [zero(this.observationSpace), { seeded: seed !== null, options }];
  }

  step(action) {
    return [action, 0.5, false, false, {}];
  }
}

function make({ envId, kwargs, renderMode }) {
  if (envId === "Echo") return new Echo(kwargs.case);
  if (envId !== null && envId !== "Drift") throw new Error(`no environment named ${envId}`);
  return new Drift(renderMode);
}

const { values } = parseArgs({
  options: { dial: { type: "string" }, listen: { type: "string" }, sessions: { type: "string", default: "1" } },
});
const options = { maxSessions: Number(values.sessions), kwargs: ["case"], exactTypes: true };
if (values.listen !== undefined) {
  const backend = new rlay.ServerBackend(make, values.listen, options);
  await backend.start();
  console.log(`listening at ${backend.address}`);
  await backend.run();
} else await new rlay.ClientBackend(make, values.dial, options).run();
