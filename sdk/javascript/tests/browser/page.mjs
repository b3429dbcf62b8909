/**
 * A page that is a Gymnasium environment: it dials the agent at `?address=`, and shows on a canvas what the agent does.
 *
 *     index.html?address=ws://127.0.0.1:5005
 */

import { ClientBackend } from "../../rlay.mjs";
import { Drift } from "../drift.mjs";

const address = new URLSearchParams(location.search).get("address") ?? "ws://127.0.0.1:5005";
const canvas = document.getElementById("view");
const status = document.getElementById("status");
const pen = canvas.getContext("2d");

/** The environment that is shown, and how many steps it has taken. */
let game = null;
let [steps, episodes] = [0, 0];

/** Drift that the page can show. */
class ShownDrift extends Drift {
  reset(seed, options) {
    game = this;
    episodes += 1;
    return super.reset(seed, options);
  }

  step(action) {
    steps += 1;
    return super.step(action);
  }
}

function draw() {
  const { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  if (game) {
    // The board, behind all else.
    game.board.forEach((cell, i) => {
      pen.fillStyle = `rgb(${cell} ${255 - cell} ${game.t & 255} / 25%)`;
      pen.fillRect((i % 8) * (width / 8), Math.floor(i / 8) * (height / 8), width / 8, height / 8);
    });
    // The borders at -2 and 2, and the thing between them.
    const place = (x) => width / 2 + (x * width) / 4.4;
    pen.fillStyle = "#f55";
    for (const border of [-2, 2]) pen.fillRect(place(border) - 1, 0, 2, height);
    pen.fillStyle = "#fff";
    pen.beginPath();
    pen.arc(place(game.x), height / 2, 14, 0, 2 * Math.PI);
    pen.fill();
    // The fuel that is left.
    pen.fillStyle = "#fc3";
    pen.fillRect(20, height - 24, (width - 40) * (game.fuel / 32), 8);
    status.textContent = `episode ${episodes}, step ${game.t} of it, ${steps} in all, at ${game.x.toFixed(3)}`;
  }
  requestAnimationFrame(draw);
}

const say = (text) => {
  console.log(text);
  if (!game) status.textContent = text;
};

/** What runs on the page, for those who open its console. */
window.backend = new ClientBackend(({ renderMode }) => new ShownDrift(renderMode), address,
  { exactTypes: true, log: say });
window.backend.run().then(
  () => (status.textContent = "the agent has ended the game"),
  (error) => (status.textContent = error.message),
);
draw();
