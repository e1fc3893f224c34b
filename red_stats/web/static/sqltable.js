// The answer to a question in SQL (ClickHouse's format JSON) as a table, a chart and files.
import * as chart from "./chart.js";
import { element } from "./format.js";

const MOST_ROWS = 1_000;
const COLOURS = ["--bar", "--red"];
const byId = (id) => document.getElementById(id);
let answer = null;
let plot = null;

const bare = (type) => type.replace(/^(LowCardinality|Nullable)\((.*)\)$/, "$2").replace(/^Nullable\((.*)\)$/, "$1");
const isTime = ({ type }) => bare(type).startsWith("Date");
const isNumber = ({ type }) => /^(U?Int|Float|Decimal)/.test(bare(type));
const text = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? ""));

// Seconds, of what ClickHouse writes without a zone for UTC.
const seconds = (value) => Date.parse(`${String(value).replace(" ", "T")}${String(value).includes(":") ? "Z" : ""}`) / 1000;

const drawChart = ({ meta, data }) => {
  const [first, ...others] = meta;
  const drawn = others.filter(isNumber).slice(0, COLOURS.length);
  const box = byId("answer-chart");
  box.hidden = data.length < 2 || drawn.length === 0 || !(isTime(first) || isNumber(first));
  if (box.hidden) return;
  const place = isTime(first) ? seconds : Number;
  const rows = data.map((row) => [place(row[first.name]), ...drawn.map(({ name }) => Number(row[name]))]);
  rows.sort((one, other) => one[0] - other[0]);
  const columns = rows[0].map((_, column) => rows.map((row) => row[column]));
  const names = drawn.map(({ name }, number) => [name, COLOURS[number]]);
  box.setAttribute("aria-label", `${drawn.map(({ name }) => name).join(" and ")} by ${first.name}, as a chart`);
  plot = chart.draw(box, columns, names, { zone: isTime(first) ? "UTC" : null });
};

// Shows an answer; how many of its rows.
export const show = (given) => {
  clear();
  answer = given;
  const names = answer.meta.map(({ name }) => name);
  const rows = answer.data.slice(0, MOST_ROWS);
  const head = element("tr", {}, ...names.map((textContent) => element("th", { scope: "col", textContent })));
  const body = rows.map((row) => element("tr", {}, ...names.map((name) => element("td", { textContent: text(row[name]) }))));
  byId("answer-table").replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
  drawChart(answer);
  return rows.length;
};

export const clear = () => {
  plot?.destroy();
  plot = answer = null;
  byId("answer-chart").hidden = true;
  byId("answer-table").replaceChildren();
};

const cell = (value) => (/[",\r\n]/.test(text(value)) ? `"${text(value).replaceAll('"', '""')}"` : text(value));

const csv = ({ meta, data }) => {
  const names = meta.map(({ name }) => name);
  return [names.map(cell), ...data.map((row) => names.map((name) => cell(row[name])))].map((row) => `${row.join(",")}\n`).join("");
};

const download = (content, type, name) => {
  const href = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
};

export const start = () => {
  byId("as-csv").addEventListener("click", () => download(csv(answer), "text/csv", "answer.csv"));
  byId("as-json").addEventListener("click", () => download(JSON.stringify(answer.data, null, 1), "application/json", "answer.json"));
  chart.follow(byId("answer-chart"), () => plot);
};
