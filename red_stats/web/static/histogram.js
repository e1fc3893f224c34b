// Images by amount of red, and a line to try thresholds with: counts at once, alerts when it comes to rest.
import { Problem, ask } from "./api.js";
import * as barRows from "./barrows.js";
import { copied } from "./clipboard.js";
import { few, percent, whole } from "./format.js";
import * as line from "./line.js";

const BARS = 100;
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let above = []; // how many images have more red than so many ten-thousandths
let range = null;
let settled = () => {};
let chosen = () => {};
let turn = 0;

export const threshold = () => line.value();

const tell = (over, at) => {
  const share = range.images === 0 ? "" : ` (${few((100 * over) / range.images)} %)`;
  byId("over").textContent = `Over ${percent(at)}: ${whole(over)} of ${whole(range.images)} images${share}`;
};

const moved = (at) => {
  if (range === null) return;
  const over = above[Math.round(at * 10_000)];
  tell(over, at);
  for (const [number, drawn] of byId("bars").querySelectorAll(".drawn").entries()) {
    drawn.classList.toggle("over", number >= Math.floor(at * BARS));
  }
  byId("would-alert").textContent = `About ${few(over / range.days)} alerts a day.`;
  byId("preview-wrong").textContent = "";
};

const previewed = ({ alerts, webhooks, busiest_hours: [busiest] }) => {
  const hour = busiest ? `, ${whole(busiest.alerts)} in the busiest hour` : "";
  return `A subscription would have raised ${whole(alerts)} alerts, ${few(alerts / range.days)} a day${hour}, `
    + `and sent ${whole(webhooks)} webhooks.`;
};

const rested = async (at) => {
  if (range === null) return;
  turn += 1;
  const now = turn;
  const { from, to } = range;
  try {
    const [preview] = await Promise.all([
      ask("/v1/subscriptions/preview", { method: "POST", body: JSON.stringify({ from, to, threshold: at }) }),
      settled(at),
    ]);
    if (now !== turn) return;
    byId("would-alert").textContent = previewed(preview);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (now === turn) byId("preview-wrong").textContent = problem.detail;
  }
};

const svg = (name, given) => {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(given)) made.setAttribute(attribute, value);
  return made;
};

const nameOf = (number) => `${number} % to ${number + 1} %`;
const choose = (number) => chosen({ low: number / BARS, high: (number + 1) / BARS });

// What is seen of a bar, and the whole column above it, which can be chosen.
const bar = (count, most, number) => {
  const height = count && Math.max(0.7, (count / most) * 100);
  const drawn = svg("rect", { class: "drawn", x: number + 0.05, y: 100 - height, width: 0.9, height });
  const reach = svg("rect", { class: "reach", x: number, y: 0, width: 1, height: 100 });
  const title = svg("title", {});
  title.textContent = `${nameOf(number)}: ${whole(count)} images`;
  reach.append(title);
  if (count) reach.addEventListener("click", () => choose(number));
  return [drawn, reach];
};

// The bars in a table, for those who choose with keys; amounts without images are not in it.
const rowsOf = (counts) => counts.flatMap((count, number) =>
  (count ? [barRows.row([nameOf(number), whole(count)], `with ${nameOf(number)}`, count, () => choose(number))] : []));

export const clear = () => {
  turn += 1;
  range = null;
  for (const id of ["bars", "bar-rows"]) byId(id).replaceChildren();
  for (const id of ["over", "would-alert", "preview-wrong"]) byId(id).textContent = "";
};

// What /v1/statistics/distribution has said with 10,000 bins: the last one holds 0.9999 and 1.
export const show = ({ bins, images }, asked) => {
  range = { ...asked, images };
  above = new Array(bins.length + 1).fill(0);
  for (let at = bins.length - 2; at >= 0; at -= 1) above[at] = above[at + 1] + bins[at + 1];
  const width = bins.length / BARS;
  const counts = Array.from({ length: BARS }, (_, number) =>
    bins.slice(number * width, (number + 1) * width).reduce((sum, count) => sum + count, 0));
  const most = Math.max(1, ...counts);
  byId("bars").replaceChildren(...counts.flatMap((count, number) => bar(count, most, number)));
  byId("bar-rows").replaceChildren(...rowsOf(counts));
  moved(line.value());
  rested(line.value());
};

// `settle(threshold)` is awaited when the line rests; `choose({low, high} or {over})` when images are wanted, and
// `subscribe(threshold)` when alerts about them are.
export const start = (settle, choose, subscribe) => {
  [settled, chosen] = [settle, choose];
  line.start(byId("histogram"), byId("line"), moved, rested);
  byId("show-over").addEventListener("click", () => chosen({ over: line.value() }));
  byId("subscribe").addEventListener("click", () => subscribe(line.value()));
  byId("copy").addEventListener("click", async () => {
    const text = String(line.value());
    byId("copy").textContent = `${await copied(text) ? "Copied" : "Not copied:"} ${text}`;
    setTimeout(() => { byId("copy").textContent = "Copy as threshold"; }, 5_000);
  });
};
