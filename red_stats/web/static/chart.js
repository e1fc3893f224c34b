// One chart of bars over time or over numbers, in the colours of the page.
import uPlot from "./vendor/uPlot.esm.js";

const HEIGHT = 240;
const DAY = 86_400;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const axis = (more) => ({
  stroke: () => colour("--quiet"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, ...more,
});

// Texts for ticks that are `step` seconds apart.
const texts = (zone) => (_, ticks, axisNumber, space, step) => {
  const style = step >= 28 * DAY ? { month: "short", year: "numeric" }
    : step >= DAY ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" };
  const format = new Intl.DateTimeFormat("en-GB", { ...style, timeZone: zone });
  return ticks.map((tick) => format.format(tick * 1000));
};

const bars = (label, name) => ({
  label, stroke: () => colour(name), fill: () => colour(name), width: 0, points: { show: false },
  paths: uPlot.paths.bars({ size: [0.85, 60], align: 1 }),
});

const last = (list) => list[list.length - 1];
const widthOf = (places) => (places.length > 1 ? last(places) - places[places.length - 2] : DAY);

const NEAREST = 1e-12; // of their size: nearer, and steps from tick to tick come to nothing, so that ticks never end

// Whether places, in order, are far enough from each other for a chart.
export const areApart = (places) => {
  const [least, most] = [places[0], last(places)];
  return (most - least) / Math.max(Math.abs(least), Math.abs(most)) >= NEAREST;
};

// The bar whose column the pointer is in; null: none.
const under = (plot, places) => {
  if (!(plot.cursor.left >= 0)) return null;
  const at = plot.posToVal(plot.cursor.left, "x");
  const found = places.findLastIndex((place) => place <= at);
  return found < 0 ? null : found;
};

// Draws into `box`: `names` of the rows behind the first in `data`, each drawn over the ones before.
// `pointed(index or null)` is called as the pointer moves, `chosen(index)` for a click.
export const draw = (box, data, names, { zone = null, pointed = () => {}, chosen = () => {} }) => {
  const inZone = zone && { tzDate: (at) => uPlot.tzDate(new Date(at * 1000), zone) };
  const plot = new uPlot({
    ...inZone,
    width: Math.max(200, box.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
    scales: {
      x: { time: zone !== null, range: (_, least, most) => [least, most + widthOf(data[0])] },
      y: { range: (_, least, most) => [Math.min(0, least ?? 0), Math.max(1, most ?? 1) * 1.05] },
    },
    axes: [axis(zone ? { values: texts(zone) } : {}), axis({ size: 56, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en")) })],
    series: [{}, ...names.map(([label, name]) => bars(label, name))],
    hooks: { setCursor: [(drawn) => pointed(under(drawn, data[0]))] },
  }, data, box);
  plot.over.addEventListener("click", () => {
    const index = under(plot, data[0]);
    if (index !== null) chosen(index);
  });
  return plot;
};

// Keeps a chart as wide as its box, and in the colours of the moment.
export const follow = (box, current) => {
  const fit = () => current() && box.clientWidth > 0 && current().setSize({ width: box.clientWidth, height: HEIGHT });
  new ResizeObserver(fit).observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => current()?.redraw());
};
