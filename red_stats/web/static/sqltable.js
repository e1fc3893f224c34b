// The answer to a question in SQL as a table, a chart and files.
import { csv, isNumber, isTime, jsonOf } from "./answer.js";
import * as chart from "./chart.js";
import { element } from "./format.js";

const MOST_ROWS = 1_000;
const COLOURS = ["--bar", "--red"];
const byId = (id) => document.getElementById(id);
let answer = null;
let plot = null;

// Seconds, of what ClickHouse writes without a zone for UTC.
const seconds = (value) => Date.parse(`${value.replace(" ", "T")}${value.includes(":") ? "Z" : ""}`) / 1000;

// A number to draw; null for what is none, such as NULL and nan.
const drawable = (value, read) => {
  const number = value === null ? NaN : read(value);
  return Number.isFinite(number) ? number : null;
};

const drawChart = ({ meta, data }) => {
  const [first] = meta;
  const places = [...meta.keys()].filter((place) => place > 0 && isNumber(meta[place])).slice(0, COLOURS.length);
  if (places.length === 0 || !(isTime(first) || isNumber(first))) return;
  const rows = data.map((row) => [
    drawable(row[0], isTime(first) ? seconds : Number), ...places.map((place) => drawable(row[place], Number)),
  ]).filter(([at]) => at !== null);
  if (rows.length < 2) return;
  rows.sort((one, other) => one[0] - other[0]);
  const columns = rows[0].map((_, column) => rows.map((row) => row[column]));
  if (!chart.areApart(columns[0])) {
    byId("chart-told").textContent = `No chart: the values of ${first.name} are too near to each other.`;
    return;
  }
  const drawn = places.map((place) => meta[place]);
  const box = byId("answer-chart");
  box.hidden = false;
  const names = drawn.map(({ name }, number) => [name, COLOURS[number]]);
  box.setAttribute("aria-label", `${drawn.map(({ name }) => name).join(" and ")} by ${first.name}, as a chart`);
  plot = chart.draw(box, columns, names, { zone: isTime(first) ? "UTC" : null });
};

const cell = (value) => element("td", value === null ? { className: "null", textContent: "NULL" } : { textContent: value });

// Shows an answer; how many of its rows.
export const show = (given) => {
  clear();
  answer = given;
  const rows = answer.data.slice(0, MOST_ROWS);
  const head = element("tr", {}, ...answer.meta.map(({ name }) => element("th", { scope: "col", textContent: name })));
  const body = rows.map((row) => element("tr", {}, ...row.map(cell)));
  byId("answer-table").replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
  drawChart(answer);
  return rows.length;
};

export const clear = () => {
  plot?.destroy();
  plot = answer = null;
  byId("answer-chart").hidden = true;
  byId("chart-told").textContent = "";
  byId("answer-table").replaceChildren();
};

const download = (content, type, name) => {
  const href = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
};

export const start = () => {
  byId("as-csv").addEventListener("click", () => download(csv(answer), "text/csv", "answer.csv"));
  byId("as-json").addEventListener("click", () => download(jsonOf(answer), "application/json", "answer.json"));
  chart.follow(byId("answer-chart"), () => plot);
};
