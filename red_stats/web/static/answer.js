// Answers to questions in SQL: every value as its text, by its place, and null for NULL; and as files.
import { Problem } from "./api.js";

// Of ClickHouse's formats this one keeps every digit, tells `nan` from NULL, and NULL from each text.
export const FORMAT = "TSVWithNamesAndTypes";

const ESCAPED = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", 0: "\0" };
const plain = (text) => text.replace(/\\(.)/g, (_, letter) => ESCAPED[letter] ?? letter);

const bare = (type) => type.replace(/^(LowCardinality|Nullable)\((.*)\)$/, "$2").replace(/^Nullable\((.*)\)$/, "$1");
export const isTime = ({ type }) => bare(type).startsWith("Date");
export const isNumber = ({ type }) => /^(U?Int|Float|Decimal)/.test(bare(type));
const isList = ({ type }) => /^(Array|Map|Tuple|Nested)\(/.test(bare(type)); // texts in it are quoted, and stay so

const valueOf = (written, column) => {
  if (written === "\\N") return null;
  return isList(column) ? written : plain(written);
};

// {meta, data}: the columns as {name, type}, and a list of values for each row.
export const read = (body, contentType) => {
  const lines = body.split("\n");
  lines.pop(); // each line ends with \n
  const [names, types, ...rows] = lines.map((line) => line.split("\t"));
  const ours = contentType?.startsWith("text/tab-separated-values") && types?.length === names?.length
    && types?.every((type) => /^[A-Z]\w*(\(.*\))?$/s.test(type));
  if (!ours) {
    throw new Problem({ code: "format", detail: "The page shows answers in a format of its own: leave FORMAT out." });
  }
  const meta = names.map((name, place) => ({ name: plain(name), type: plain(types[place]) }));
  return { meta, data: rows.map((row) => row.map((written, place) => valueOf(written, meta[place]))) };
};

const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value ?? "");

export const csv = ({ meta, data }) =>
  [meta.map(({ name }) => name), ...data].map((row) => `${row.map(cell).join(",")}\n`).join("");

// Numbers, lists of them and true or false are written as they came: JSON has as many digits as one likes.
const json = (value, { type }) => {
  const literal = value?.replaceAll("NULL", "null") ?? "null";
  const asItCame = /^(Array\(|Nullable\(|LowCardinality\()*(U?Int|Float|Decimal|Bool)/.test(type)
    && /^([\d[\],.e+-]|null|true|false)+$/.test(literal);
  return value === null || asItCame ? literal : JSON.stringify(value);
};

export const jsonOf = ({ meta, data }) => {
  const names = meta.map(({ name }) => JSON.stringify(name));
  const rows = data.map((row) => `{${row.map((value, place) => `${names[place]}: ${json(value, meta[place])}`).join(", ")}}`);
  return `[\n${rows.join(",\n")}\n]\n`;
};
