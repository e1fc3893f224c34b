// The tab Overview: a range, its images by time and by amount, and the images behind them.
import { Problem, ask, withParameters } from "./api.js";
import { time, whole } from "./format.js";
import * as histogram from "./histogram.js";
import * as images from "./images.js";
import * as range from "./range.js";
import * as series from "./series.js";
import * as subscriptions from "./subscriptions.js";

const byId = (id) => document.getElementById(id);
let ready = false;
let turn = 0; // of answers that overtake each other the last question wins
let shown = null; // the range, and as `counted` the threshold for which its buckets are shown

const lookUp = async (now) => {
  const chosen = await range.read();
  const { from, to, zone: tz, bucket } = chosen;
  const threshold = histogram.threshold();
  const [bySpan, byAmount] = await Promise.all([
    ask(withParameters("/v1/statistics/series", { from, to, bucket, tz, threshold })),
    ask(withParameters("/v1/statistics/distribution", { from, to, bins: 10_000 })),
  ]);
  if (now !== turn) return;
  shown = { ...chosen, counted: threshold };
  series.show(bySpan, tz);
  histogram.show(byAmount, chosen);
  const between = [from, to].map((at) => time(at, tz, { dateStyle: "medium", timeStyle: "short" })).join(" to ");
  byId("range-told").textContent = `${whole(byAmount.images)} images, ${between} (${tz}), by ${bucket}`;
};

const load = async () => {
  turn += 1;
  const now = turn;
  byId("range-wrong").textContent = "";
  document.body.classList.add("loading");
  try {
    await lookUp(now);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (now === turn) byId("range-wrong").textContent = problem.detail;
  } finally {
    if (now === turn) document.body.classList.remove("loading");
  }
};

// The line has come to rest: the buckets are counted anew if its threshold is another one.
const count = async (threshold) => {
  const asked = shown;
  if (threshold === asked.counted) return;
  const { from, to, zone: tz, bucket } = asked;
  const found = await ask(withParameters("/v1/statistics/series", { from, to, bucket, tz, threshold }));
  if (threshold !== histogram.threshold() || asked !== shown) return;
  asked.counted = threshold;
  series.show(found, tz);
};

export const clear = () => {
  turn += 1;
  shown = null;
  for (const id of ["range-told", "range-wrong"]) byId(id).textContent = "";
  document.body.classList.remove("loading");
  series.clear();
  histogram.clear();
};

export const start = () => {
  if (!ready) {
    range.start(load);
    series.start((from, to, name) => images.showBehind({ from, to, zone: shown.zone, name }));
    histogram.start(count, (behind) => images.showBehind({ ...behind, ...shown }), subscriptions.open);
    ready = true;
  }
  load();
};
