/** A thing that drifts, and is pushed: the environment Drift of sdk/tests/GAME.md, in browsers and in Node.js. */

import { Box, Dict, Discrete, Float, MultiBinary, MultiDiscrete, NdArray } from "../rlay.mjs";

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

/** The environment. */
export class Drift {
  metadata = { render_modes: ["rgb_array", "ansi"], render_fps: 25 };
  details = { rewardThreshold: 60, nondeterministic: false, maxEpisodeSteps: 100 };
  observationSpace = new Dict({
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
    const seconds = options instanceof Map ? options.get("sleep") : undefined;
    if (seconds !== undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000 * seconds);
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
