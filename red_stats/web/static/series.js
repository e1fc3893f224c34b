// Images by time: a chart, the same as a table, and the way to the images behind a bucket.
import * as barRows from "./barrows.js";
import * as chart from "./chart.js";
import { percent, time, whole } from "./format.js";

const MOST_ROWS = 1_000; // of the table
const byId = (id) => document.getElementById(id);
const NAMES = [["Images", "--bar"], ["Over", "--red"]];
let chosen = () => {};
let plot = null;

const nameOf = (item, zone) => time(item.start, zone, { dateStyle: "medium", timeStyle: "short" });

const told = (item, zone, threshold) => {
  const mean = item.images ? `, mean ${percent(item.red_mean)}, most ${percent(item.red_max)}` : "";
  return `${nameOf(item, zone)}: ${whole(item.images)} images, ${whole(item.over[0])} over ${percent(threshold)}${mean}`;
};

const row = (item, zone) => {
  const name = nameOf(item, zone);
  const shares = item.images ? [percent(item.red_mean), percent(item.red_max)] : ["–", "–"];
  const cells = [name, whole(item.images), whole(item.over[0]), ...shares];
  return barRows.row(cells, `from ${name}`, item.images, () => chosen(item.start, item.end, name));
};

// Where bars begin, in seconds. The first bucket is cut to the range; it is drawn as wide as the next.
const placesOf = (items) => {
  const at = items.map((item) => Date.parse(item.start) / 1000);
  if (at.length > 2) at[0] = Math.min(at[0], 2 * at[1] - at[2]);
  return at;
};

export const clear = () => {
  plot?.destroy();
  plot = null;
  byId("series").setAttribute("aria-label", "Images by time");
  byId("series-told").textContent = "\u00a0";
  byId("series-rows").replaceChildren();
};

// What /v1/statistics/series has said, for one threshold.
export const show = ({ items, thresholds: [threshold] }, zone) => {
  clear();
  const data = [placesOf(items), items.map((item) => item.images), items.map((item) => item.over[0])];
  const images = items.reduce((sum, item) => sum + item.images, 0);
  byId("series").setAttribute("aria-label", `Images by time: ${whole(images)} images in ${whole(items.length)} buckets`);
  plot = chart.draw(byId("series"), data, NAMES, {
    zone,
    pointed: (index) => { if (index !== null) byId("series-told").textContent = told(items[index], zone, threshold); },
    chosen: (index) => chosen(items[index].start, items[index].end, nameOf(items[index], zone)),
  });
  byId("series-rows").replaceChildren(...items.slice(0, MOST_ROWS).map((item) => row(item, zone)));
};

// `choose(from, to, name)` is called for the bucket that a reader wants to look into.
export const start = (choose) => {
  chosen = choose;
  chart.follow(byId("series"), () => plot);
};
