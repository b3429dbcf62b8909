/**
 * Runs the scripts of this client in an official web build of Godot 4, inside of Node.js:
 *
 *     node run.mjs FOLDER unit
 *     node run.mjs FOLDER vectors                  questions on standard input, see sdk/tests/GAME.md
 *     node run.mjs FOLDER game --listen tcp://127.0.0.1:0
 *     node run.mjs FOLDER sample --listen tcp://127.0.0.1:5005
 *
 * FOLDER has the files index.js and index.wasm of any game without threads that Godot 4 has exported for the web. The
 * objects of a browser that the engine uses are defined here, without a display, and sockets of Node.js replace
 * the engine's.
 */

import { readFileSync, readdirSync, statSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const [folder, ...args] = process.argv.slice(2);
const root = fileURLToPath(new URL("../..", import.meta.url));
const noop = () => {};

/**
 * Returns the files of the game by their paths: the scripts, in which the classes of sockets have other names, and a
 * scene that starts main.gd.
 */
function files() {
  const found = new Map();
  const walk = (path) => {
    for (const name of readdirSync(join(root, path))) {
      const inside = path ? `${path}/${name}` : name;
      if (statSync(join(root, inside)).isDirectory()) walk(inside);
      else if (/\.(gd|tscn)$/.test(name)) found.set(inside, readFileSync(join(root, inside), "utf8"));
    }
  };
  walk("");
  const bridge = 'const Bridge = preload("res://tests/godot4/bridge.gd")\n';
  const client = found.get("addons/rlay/rlay.gd").replace("const SOFTWARE", `${bridge}const SOFTWARE`)
    .replace(/\bStreamPeerTCP\b/g, "Bridge.Socket").replace(/\bTCPServer\b/g, "Bridge.Server");
  found.set("addons/rlay/rlay.gd", client);
  found.set("main.tscn", [
    "[gd_scene load_steps=2 format=3]", '[ext_resource type="Script" path="res://tests/godot4/main.gd" id="1"]',
    '[node name="Main" type="Node"]\nscript = ExtResource("1")\n',
  ].join("\n\n"));
  found.set("project.godot", [
    "config_version=5", "[application]", 'config/name="test"\nrun/main_scene="res://main.tscn"\n',
  ].join("\n\n"));
  if (args[0] === "vectors") found.set("questions", readFileSync(0, "utf8"));
  return found;
}

/** Returns a pack (format 2) of files. */
function pack(found) {
  const words = (...numbers) => Buffer.from(Uint32Array.from(numbers).buffer);
  const long = (n) => Buffer.from(BigUint64Array.of(BigInt(n)).buffer);
  const entries = [];
  const contents = [];
  let at = 0;
  for (const [path, text] of found) {
    const name = Buffer.from(`res://${path}`);
    const padded = Buffer.concat([name, Buffer.alloc((4 - (name.length % 4)) % 4)]);
    const bytes = Buffer.from(text);
    entries.push(words(padded.length), padded, long(at), long(bytes.length), Buffer.alloc(16), words(0));
    contents.push(bytes);
    at += bytes.length;
  }
  const directory = Buffer.concat([words(found.size), ...entries]);
  const base = 24 + 8 + 64 + directory.length;
  const header = [Buffer.from("GDPC"), words(2, 4, 2, 0, 0), long(base), Buffer.alloc(64)];
  return Buffer.concat([...header, directory, ...contents]);
}

const sockets = [];
const arrived = [];
let server = null;

function hold(socket, status) {
  const held = { socket, status, bytes: Buffer.alloc(0), hasEnded: false };
  socket.setNoDelay(true);
  socket.on("connect", () => (held.status = 2));
  socket.on("data", (piece) => (held.bytes = Buffer.concat([held.bytes, piece])));
  socket.on("error", () => (held.status = 3));
  socket.on("end", () => (held.hasEnded = true));
  socket.on("close", () => (held.status = held.status === 3 ? 3 : 0));
  return sockets.push(held) - 1;
}

/** What bridge.gd calls. */
const rlay = {
  listeningAt: 0,
  open: (host, port) => hold(net.connect({ host, port }), 1),
  status: (id) => (sockets[id].bytes.length > 0 ? 2 : sockets[id].hasEnded ? 0 : sockets[id].status),
  available: (id) => sockets[id].bytes.length,
  read(id, n) {
    const held = sockets[id];
    const piece = held.bytes.subarray(0, n);
    held.bytes = held.bytes.subarray(n);
    return piece.toString("hex");
  },
  write(id, hex) {
    const { socket, status } = sockets[id];
    if (status !== 2) return -1;
    if (socket.writableLength > 2 ** 20) return 0;
    socket.write(Buffer.from(hex, "hex"));
    return hex.length / 2;
  },
  close: (id) => void sockets[id].socket.destroy(),
  listen(host, port) {
    server = net.createServer({ allowHalfOpen: true }, (socket) => arrived.push(hold(socket, 2)));
    server.listen({ host, port }, () => (rlay.listeningAt = server.address().port));
  },
  pending: () => arrived.length,
  accept: () => arrived.shift(),
  stop: () => void server.close(),
};

// The objects of a browser that the engine uses.
class HTMLCanvasElement {
  style = {};
  width = 100;
  height = 100;
  id = "canvas";
  tabIndex = 0;
  addEventListener() {}
  removeEventListener() {}
  focus() {}
  getContext() { return null; }
  getBoundingClientRect() { return { x: 0, y: 0, width: 100, height: 100 }; }
}
const canvas = new HTMLCanvasElement();
const listeners = { addEventListener: noop, removeEventListener: noop };
const document = {
  ...listeners, currentScript: { src: "file:///index.js" }, getElementById: () => canvas, querySelector: () => canvas,
  createElement: () => new HTMLCanvasElement(), head: { appendChild: noop }, body: { appendChild: noop },
  documentElement: {}, activeElement: canvas, getElementsByTagName: () => [canvas],
};
const navigator = {
  userAgent: "", language: "en", languages: ["en"], platform: "Linux", hardwareConcurrency: 1, getGamepads: () => [],
  mediaDevices: {},
};
// A frame begins once Node.js has served its sockets.
const requestAnimationFrame = (then) => setImmediate(() => then(performance.now()));
const window = {
  ...listeners, document, navigator, requestAnimationFrame, rlay, setTimeout, clearTimeout, setInterval, clearInterval,
  performance, location: { href: "http://localhost/", pathname: "/" },
  matchMedia: () => ({ matches: false, ...listeners }), devicePixelRatio: 1, innerWidth: 100, innerHeight: 100,
  screen: { width: 100, height: 100 }, crypto: globalThis.crypto, WebAssembly, HTMLCanvasElement,
};
const hidden = ["process", "WorkerGlobalScope"];
const browser = new Proxy({ ...window, window, self: window }, {
  get: (own, name) => (name in own ? own[name] : hidden.includes(name) ? undefined : globalThis[name]),
});
const exit = (code) => process.exit(code);
const rlayToken = process.env.RLAY_TOKEN ?? "";
Object.assign(globalThis, { rlay, rlayArguments: args.join("|"), rlayToken, rlayExit: exit });

function print(line) {
  if (args[0] !== "vectors") console.log(line);
  else if (line.startsWith("ANSWER ")) process.stdout.write(`${line.slice(7)}\n`);
}

const given = {
  globalThis: browser, window, document, navigator, process: undefined, require: undefined, self: window,
  requestAnimationFrame, screen: window.screen, HTMLCanvasElement, location: window.location, alert: console.error,
};
const source = readFileSync(join(folder, "index.js"), "utf8");
const Godot = new Function(...Object.keys(given), `${source}\nreturn Godot;`)(...Object.values(given));
const wasm = readFileSync(join(folder, "index.wasm"));
const engine = await Godot({
  print, printErr: (line) => console.error(line), noExitRuntime: false, locateFile: (path) => path,
  instantiateWasm(imports, done) {
    WebAssembly.instantiate(wasm, imports).then(({ instance, module }) => done(instance, module));
    return {};
  },
});
await engine.initFS([]);
engine.initConfig({
  canvas, canvasResizePolicy: 0, locale: "en", persistentDrops: false, virtualKeyboard: false, godotPoolSize: 1,
  focusCanvas: false, onExecute: noop, onExit: exit,
});
engine.copyToFS("game.pck", Uint8Array.from(pack(files())).buffer);
// As fast as frames come, a physics frame in each.
engine.callMain(["--main-pack", "game.pck", "--headless", "--audio-driver", "Dummy", "--fixed-fps", "60"]);
