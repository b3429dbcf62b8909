/** A lander on the Moon as an environment: it is to touch the pad softly, before its fuel is gone. */

import { Box, Discrete } from "../../rlay.mjs";

const TICK = 1 / 20; // seconds that a step lasts
const GRAVITY = 1.62; // metres per second, squared
const MAIN = 4;
const SIDE = 2;
const FUEL = 10; // seconds that the engines can burn
const SOFT = 2; // metres per second at which the legs hold

/** The pad is where x is 0; half of its width, in metres. */
export const PAD = 2;

export class Lander {
  // x, y, their speeds, and the fuel.
  observationSpace = new Box(-50, 50, [5], "float32");
  // 0: fall, 1: burn the main engine, 2: push to the left, 3: push to the right.
  actionSpace = new Discrete(4);
  random = generator(0);

  reset(seed, options) {
    if (seed !== null) this.random = generator(seed);
    const between = (low, high) => low + (high - low) * this.random();
    Object.assign(this, { x: between(-7, 7), y: 10, vx: between(-1, 1), vy: 0, fuel: FUEL, action: 0, end: null });
    return [this.observation(), {}];
  }

  step(action) {
    this.action = this.fuel > 0 ? action : 0;
    if (this.action > 0) this.fuel -= TICK;
    this.vx += [0, 0, -SIDE, SIDE][this.action] * TICK;
    this.vy += ((this.action === 1 ? MAIN : 0) - GRAVITY) * TICK;
    this.x += this.vx * TICK;
    this.y += this.vy * TICK;
    if (this.y > 0 && Math.abs(this.x) < 10 && this.y < 12) return [this.observation(), 0, false, false, {}];
    // Down, or out of sight.
    const speed = Math.hypot(this.vx, this.vy);
    const away = Math.max(Math.abs(this.x) - PAD, 0) + Math.max(this.y, 0);
    const landed = away === 0 && speed < SOFT;
    this.end = landed ? "landed" : "crashed";
    const reward = landed ? 100 : -10 * (away + Math.max(speed - SOFT, 0));
    return [this.observation(), reward, true, false, { landed }];
  }

  observation() {
    return [this.x, this.y, this.vx, this.vy, this.fuel];
  }
}

/** Returns random numbers from 0 to 1, equal ones for equal seeds. */
function generator(seed) {
  let state = Number(BigInt(seed) & 0xffffffffn);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
  };
}
