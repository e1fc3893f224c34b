// The images behind a bucket, a bar or the line: a list with pictures from RED, in pages.
import { Problem, ask, withParameters } from "./api.js";
import { bytes, element, percent, time, whole } from "./format.js";
import * as pictures from "./pictures.js";

const A_PAGE = 12;
const ASKED = 200; // images in one question
const QUESTIONS = 10; // for one page: of a narrow bar few images in a question may be its own
const byId = (id) => document.getElementById(id);
let left = null; // {question, keeps, zone, found, cursor}

// Amounts have four decimals, so "at least low" is "over what comes right before it".
const questionOf = ({ from, to, over = null, low = null }) => ({
  from, to, limit: ASKED, over: low ? Number((low - 0.0001).toFixed(4)) : over,
});

const nameOf = ({ name, over, low, high }) => {
  if (name) return `Images from ${name}`;
  if (low !== undefined) return `Images with ${percent(low)} to ${percent(high)} of red`;
  return `Images over ${percent(over)}`;
};

const shown = (image, zone) => {
  const when = time(image.measured_at, zone);
  const words = element("span", { className: "words" },
    element("strong", { textContent: percent(image.red) }), ` ${when}`, element("br"),
    `${whole(image.width)} × ${whole(image.height)}, ${bytes(image.bytes)}`);
  const alt = `${percent(image.red)} red, ${when}`;
  return element("li", {}, pictures.of(image.image_id, alt), words);
};

const pageOf = async (list) => {
  const page = [];
  for (let asked = 0; asked < QUESTIONS && page.length < A_PAGE && !list.ended; asked += 1) {
    if (list.found.length === 0) {
      const { items, next } = await ask(withParameters("/v1/measurements", { ...list.question, cursor: list.cursor }));
      list.found = items.filter(list.keeps);
      list.cursor = next;
    }
    page.push(...list.found.splice(0, A_PAGE - page.length));
    list.ended = list.cursor === null && list.found.length === 0;
  }
  return page;
};

const more = async () => {
  const list = left;
  byId("behind-wrong").textContent = "";
  byId("more").disabled = true;
  try {
    const page = await pageOf(list);
    if (list !== left) return;
    byId("behind-list").append(...page.map((image) => shown(image, list.zone)));
    const count = byId("behind-list").children.length;
    byId("behind-told").textContent = `${whole(count)} ${count === 1 ? "image" : "images"}${list.ended ? "" : " so far"}`;
    byId("more").hidden = list.ended;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (list === left) byId("behind-wrong").textContent = problem.detail;
  } finally {
    byId("more").disabled = false;
  }
};

export const clear = () => {
  left = null;
  pictures.forget(byId("behind-list"));
  byId("behind-list").replaceChildren();
  byId("behind").hidden = true;
};

// {from, to, zone}, and of these one: `over`, `low` with `high`, or the `name` of the time.
export const showBehind = async (asked) => {
  clear();
  const { high = null, zone } = asked;
  const keeps = ({ red }) => high === null || high === 1 || red < high;
  left = { question: questionOf(asked), keeps, zone, found: [], cursor: null, ended: false };
  byId("behind-title").textContent = nameOf(asked);
  byId("behind").hidden = false;
  byId("behind-told").textContent = "Looking.";
  byId("behind-title").focus();
  await more();
};

export const start = () => byId("more").addEventListener("click", more);
