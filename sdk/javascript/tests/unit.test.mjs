/** What the Python tests cannot see: sessions without sockets, plain values, the poll form, WebSocket, proofs. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import test from "node:test";
import * as rlay from "../rlay.mjs";

const { Acceptor, Box, ClientBackend, Discrete, EnvSession, ErrorCode, Float, Kind, NdArray, Reader, Scalar, Writer,
  tuple } = rlay;

const log = () => {};
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const spaces = () => ({ observationSpace: new Box(-1, 1, [2]), actionSpace: new Discrete(3) });

/** An agent that writes frames; what it is sent is kept in `frames`. */
class Agent {
  frames = [];
  sent = 0;

  frame(kind, write = () => {}, { seq = ++this.sent, ack = 0, re = 0 } = {}) {
    const w = new Writer().header(kind, seq, ack, re);
    write(w);
    return w.finish();
  }

  hello = (resume = null, features = 1n) =>
    rlay.handshakeFrames.hello({ role: 0, auth: 0, features: features | (resume ? 2n : 0n), maxFrame: 2 ** 20,
      peer: "test", nonce: null, resume });
  make = () => this.frame(Kind.MAKE, (w) => w.u8(0).value({}).u8(0).u32(1).u8(0));
  reset = (seed) => this.frame(Kind.RESET,
    (w) => w.u64(1).u32(0).option(seed, (x) => w.blob(Uint8Array.from(x))).value(null));
  step = (action) => this.frame(Kind.STEP, (w) => w.u64(1).u32(0).payload(new Discrete(3), [action]));

  /** Takes what a connection has to send; returns the kinds of the frames. */
  take(connection) {
    const reader = new rlay.FrameReader((frame) => this.frames.push(frame), 2 ** 20);
    const before = this.frames.length;
    for (let bytes; (bytes = connection.take()); ) reader.receive(bytes);
    return this.frames.slice(before).map((frame) => frame[0]);
  }

  get last() {
    return this.frames[this.frames.length - 1];
  }
}

/** A session that an agent has dialed, and has made an environment in. */
function opened(options = {}) {
  const acceptor = new Acceptor({ log, token: null, ...options });
  const agent = new Agent();
  const connection = acceptor.accept();
  connection.receive(agent.hello());
  assert.deepEqual(agent.take(connection), [Kind.WELCOME]);
  const welcome = rlay.readFrame(agent.last).body;
  const [session] = acceptor.sessions;
  connection.receive(agent.make());
  session.nextTurn().reply(spaces());
  assert.deepEqual(agent.take(connection), [Kind.SPEC]);
  return { acceptor, agent, connection, session, ticket: welcome.ticket };
}

test("the proofs of the specification's example", () => {
  const vectors = JSON.parse(readFileSync(new URL("../../../docs/vectors/frames.json", import.meta.url), "utf8"));
  const bytes = (name) => Buffer.from(vectors.find((vector) => vector.name === name).hex, "hex");
  const proof = (side) =>
    hex(rlay.prove("an example of a token", side, bytes("frame/hello/with-a-token"), bytes("frame/challenge")));
  assert.equal(proof("dialer"), "1d6462f8c092fbb5b541bd2397560dada28f9ee137d5197fccf28ed1aea0e28c");
  assert.equal(proof("listener"), "eeb8851b16b62ba77be84eec8cc9cde2ddebbfdb20adf41d2f662494214320b2");
  for (const length of [0, 55, 56, 64, 1000]) {
    const data = new Uint8Array(length).fill(length);
    assert.equal(hex(rlay.sha256(data)), createHash("sha256").update(data).digest("hex"));
  }
});

test("which numbers are ints and which are floats", () => {
  const tag = (x) => new Writer().value(x).finish()[4];
  assert.deepEqual([1, -0, 2 ** 53 - 1, 5n].map(tag), [2, 2, 2, 2]);
  assert.deepEqual([1.5, 2 ** 53, NaN, Infinity, new Float(1)].map(tag), [4, 4, 4, 4, 4]);
  assert.equal(tag(2n ** 63n), 3);
  for (const x of [2n ** 63n, -(2n ** 63n) - 1n, -(2n ** 71n), 2n ** 200n, -(2n ** 200n) - 1n]) {
    assert.equal(new Reader(new Writer().value(x).finish().subarray(4)).value(), x);
  }
  for (const bits of [0, 1, 0x3ff, 0x400, 0x3c00, 0x7bff, 0x7c00, 0x8001, 0xc000]) {
    assert.equal(rlay.toFloat16(rlay.fromFloat16(bits)), bits);
  }
  assert.deepEqual([1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -25].map(rlay.toFloat16),
    [0x3c00, 0x3c02, 0x7bff, 0x7c00, 0]);
});

test("what is given is plain, and what is returned is fitted", () => {
  assert.deepEqual(rlay.plain(
    new Map([["a", new Float(2)], ["b", [new Scalar("int64", 3), tuple(new Scalar("bool", true))]]])), {
    a: 2,
    b: [3, tuple(true)],
  });
  assert.equal(Object.getPrototypeOf(rlay.plain(new Map([["__proto__", new Map()]]))), Object.prototype);
  const space = new rlay.Dict({ image: new Box(0, 255, [1, 2], "uint8"), flags: new Box(0, 1, [2], "bool"),
    pair: new rlay.Tuple([new Discrete(2)]) });
  const fitted = rlay.fit(space, { pair: [1], flags: new Uint8Array([5, 0]), image: [[1, 2]] });
  const w = new Writer();
  assert.ok(rlay.pack(w, space, [fitted], w.at));
  assert.deepEqual([...fitted.keys()], ["image", "flags", "pair"]);
  assert.deepEqual([...fitted.get("flags")], [true, false]);
  const short = { pair: [1], flags: [1], image: [[1, 2]] };
  assert.throws(() => rlay.fit(space, short), /the observation\.flags: 1 elements/);
  assert.throws(() => rlay.fit(space, { pair: [1], flags: [1, 0], image: [[1, 300]] }), /uint8 cannot hold 300/);
  assert.throws(() => new Writer().value(() => 1), /can hold a function/);
});

test("a session without sockets", () => {
  const { agent, connection, session } = opened();
  connection.receive(agent.step(1));
  agent.take(connection);
  assert.equal(rlay.readFrame(agent.last).body.code, ErrorCode.RESET_NEEDED);
  connection.receive(agent.reset([0, 1]));
  const reset = session.nextTurn();
  assert.deepEqual([reset.kind, reset.seed, reset.options], ["reset", 256, null]);
  connection.receive(agent.step(1));
  agent.take(connection);
  assert.equal(rlay.readFrame(agent.last).body.code, ErrorCode.BUSY);
  assert.throws(() => reset.reply([[0, 0]]), /\[observation, info\]/);
  reset.reply([[0, 0], {}]);
  reset.reply([[0, 0], {}]);
  assert.deepEqual(agent.take(connection), [Kind.RESULT]);
  connection.receive(agent.step(new Scalar("int64", 2)));
  const step = session.nextTurn();
  assert.deepEqual([step.action, session.nextTurn()], [2, null]);
  step.reply([new Float32Array([0, 1]), new Float(1), false, false, { f: () => 1 }]);
  assert.deepEqual(agent.take(connection), [Kind.RESULT]);
});

test("what breaks the protocol ends the session, and no other", () => {
  const answers = [
    (agent) => agent.frame(Kind.RENDER, (w) => w.u64(1).u32(0), { seq: 9 }),
    (agent) => agent.frame(Kind.RENDER, (w) => w.u64(1).u32(0), { ack: 50 }),
    (agent) => agent.frame(Kind.RESET, (w) => w.u64(2n ** 64n - 1n)),
    (agent) => agent.frame(Kind.SPEC),
    () => Uint8Array.of(0, 0, 0, 99),
  ];
  for (const answer of answers) {
    const { agent, connection, session } = opened();
    connection.receive(answer(agent));
    assert.deepEqual(agent.take(connection), [Kind.ERROR]);
    const { fatal, code } = rlay.readFrame(agent.last).body;
    assert.deepEqual([fatal, code, session.isOver, connection.isFinished], [true, ErrorCode.PROTOCOL, true, true]);
  }
});

test("a lost connection is taken over, and every request is carried out once", () => {
  const { acceptor, agent, connection, session, ticket } = opened();
  connection.receive(agent.reset());
  connection.lost();
  assert.ok(session.isLost);
  session.nextTurn().reply([[0, 0], {}]);
  const again = (received) => {
    const next = acceptor.accept();
    next.receive(agent.hello({ ticket, received }));
    return next;
  };
  const second = again(1);
  assert.deepEqual(agent.take(second), [Kind.WELCOME, Kind.RESULT]);
  assert.equal(rlay.readFrame(agent.frames[agent.frames.length - 2]).body.received, 2);
  // An old handshake comes late: its number was acknowledged already.
  second.receive(agent.frame(Kind.RENDER, (w) => w.u64(1).u32(0), { ack: 2 }));
  const late = again(1);
  assert.ok(late.isAborted && !session.isOver && !second.isAborted);
  const wrong = acceptor.accept();
  wrong.receive(agent.hello({ ticket: new Uint8Array(32), received: 0 }));
  assert.deepEqual([agent.take(wrong), rlay.readFrame(agent.last).body.code],
    [[Kind.REJECT], ErrorCode.CONNECTION_LOST]);
  again(99);
  assert.ok(session.isOver);
});

test("a listener without room", () => {
  const { acceptor, connection, session } = opened();
  const other = new Agent();
  const ask = () => {
    const next = acceptor.accept();
    next.receive(other.hello());
    return other.take(next);
  };
  assert.deepEqual(ask(), [Kind.REJECT]);
  connection.lost();
  assert.deepEqual([ask(), session.isOver], [[Kind.WELCOME], true]);
});

test("addresses and options that make no sense", () => {
  const make = () => spaces();
  for (const address of ["unix:///tmp/x", "shm://x", "tcp://x", "127.0.0.1:5", "tcp://127.0.0.1:1?a=b", "ws://x"]) {
    assert.throws(() => new rlay.ServerBackend(make, address, { log, token: null }), { code: ErrorCode.ADDRESS });
  }
  assert.throws(() => new rlay.ServerBackend(make, "tcp://0.0.0.0:0", { token: null }), /other machines/);
  assert.throws(() => new EnvSession({ token: "       a" }), { code: ErrorCode.USAGE });
  assert.equal(new EnvSession({ token: undefined }).options.token, null);
});

/** A WebSocket server for one peer at a time: gives each message to `take`, and returns what sends one. */
async function webSocketPeer(take) {
  const server = createServer();
  server.on("upgrade", (request, socket) => {
    const accept = createHash("sha1").update(
      `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    const head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
    socket.write([...head, `Sec-WebSocket-Accept: ${accept}`, "", ""].join("\r\n"));
    const send = (bytes, opcode = 2) => {
      const head = bytes.length < 126 ? [0x80 | opcode, bytes.length]
        : [0x80 | opcode, 126, bytes.length >> 8, bytes.length & 255];
      socket.write(Buffer.concat([Buffer.from(head), bytes]));
    };
    let left = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", (piece) => {
      left = Buffer.concat([left, piece]);
      while (left.length >= 2) {
        const isLong = (left[1] & 127) === 126;
        const start = isLong ? 8 : 6;
        if (left.length < start) return;
        const length = isLong ? left.readUInt16BE(2) : left[1] & 127;
        if (left.length < start + length) return;
        const mask = left.subarray(start - 4, start);
        const message = Uint8Array.from(left.subarray(start, start + length), (byte, i) => byte ^ mask[i % 4]);
        take(left[0] & 15, message, send, socket);
        left = left.subarray(start + length);
      }
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

test("the poll form, over WebSocket", { skip: !globalThis.WebSocket && "needs Node.js 22 or --experimental-websocket" },
  async () => {
  const agent = new Agent();
  let ticket;
  let peer;
  let isCut = false;
  const server = await webSocketPeer((opcode, message, send, socket) => {
    if (opcode !== 2) return socket.end();
    agent.frames.push(message);
    const write = (frame) => send(frame.subarray(4));
    peer = write;
    const { kind, body } = rlay.readFrame(message);
    const welcome = { features: 1n, maxFrame: 2 ** 20, peer: "test", ticket: new Uint8Array(32).fill(7) };
    if (kind === Kind.HELLO && body.resume) {
      ticket = body.resume.ticket;
      return write(rlay.handshakeFrames.welcome({ ...welcome, features: 2n, ticket: null, received: 1 }));
    }
    if (kind === Kind.HELLO) {
      write(rlay.handshakeFrames.welcome(welcome));
      return write(agent.make());
    }
    if (kind === Kind.SPEC) return write(agent.reset());
    if (kind === Kind.RESULT && !isCut) {
      // The answer is lost with the connection, and comes again.
      isCut = true;
      return socket.destroy();
    }
  });
  const backend = new ClientBackend(() => spaces(), `ws://127.0.0.1:${server.address().port}`, { log, token: null });
  await backend.start();
  const turns = [];
  const frame = async (until) => {
    for (let i = 0; i < 500 && !until(); i++) {
      for (let turn; (turn = backend.poll()); ) {
        turns.push(turn.kind);
        if (turn.kind === "close") turn.reply();
        else turn.reply(turn.kind === "reset" ? [[0, 0], {}] : [[0, 1], 1, false, false, {}]);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await frame(() => ticket && agent.frames.filter((message) => message[0] === Kind.RESULT).length === 2);
  peer(agent.step(1));
  await frame(() => turns.includes("step"));
  await backend.close();
  await frame(() => turns.includes("close"));
  assert.deepEqual(turns, ["reset", "step", "close"]);
  assert.equal(hex(ticket), "07".repeat(32));
  server.close();
  server.closeAllConnections();
});

test("without WebSocket the error says what to use", { skip: globalThis.WebSocket && "there is one" }, async () => {
  const backend = new ClientBackend(() => spaces(), "ws://127.0.0.1:1", { log, token: null });
  await assert.rejects(backend.run(), /no WebSocket.*tcp:/s);
});
