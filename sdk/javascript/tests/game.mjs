/** The program `game` of sdk/tests/GAME.md: hosts the environments Drift and Echo. */

import { parseArgs } from "node:util";
import { Drift } from "./drift.mjs";
import * as rlay from "../rlay.mjs";

const { Box, Discrete, GraphInstance, MultiBinary, MultiDiscrete, NdArray, Scalar, Text, tuple } = rlay;

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
