// The tab SQL: a question, and its answer as a table, a chart and files; an error is shown where it is.
import * as answers from "./answer.js";
import { Problem, request, withParameters } from "./api.js";
import { element, whole } from "./format.js";
import * as table from "./sqltable.js";

const EXAMPLES = {
  "Images of the last hours": "SELECT toStartOfHour(measured_at) AS hour, count() AS images, max(red) AS most\n"
    + "FROM measurements\nWHERE measured_at > now() - INTERVAL 48 HOUR\nGROUP BY hour\nORDER BY hour",
  "By amount": "SELECT floor(red, 1) AS amount, count() AS images\nFROM measurements\nGROUP BY amount\nORDER BY amount",
  "The reddest images": "SELECT measured_at, red, image_id, width, height\nFROM measurements\nORDER BY red DESC\nLIMIT 20",
  "Alerts by day": "SELECT toDate(measured_at) AS day, count() AS alerts\nFROM alerts\nGROUP BY day\nORDER BY day",
  "Webhooks that failed": "SELECT *\nFROM deliveries\nWHERE state != 'delivered'\nLIMIT 50",
};
const byId = (id) => document.getElementById(id);
let asking = new AbortController(); // of answers that overtake each other the last question wins

// What the reader can do about an answer that is no result.
const wordsFor = ({ code, detail }) => {
  if (code === "scope_missing") return `${detail} An operator makes one with red-stats keys create --scope sql.`;
  return detail;
};

const point = (place) => {
  const query = byId("query");
  const word = query.value.slice(place).match(/^\w+|^\W/)?.[0] ?? "";
  query.focus();
  query.setSelectionRange(place, place + word.length);
};

const fail = (problem) => {
  byId("query-wrong").textContent = wordsFor(problem);
  byId("query").setAttribute("aria-invalid", "true");
  if (Number.isInteger(problem.rest.position)) point(problem.rest.position);
};

const run = async () => {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  byId("query-wrong").textContent = "";
  byId("query").removeAttribute("aria-invalid");
  byId("answer").hidden = true;
  byId("answer-told").textContent = "Asking.";
  try {
    const response = await request(withParameters("/v1/sql", { format: answers.FORMAT }), {
      method: "POST", body: byId("query").value, headers: { "Content-Type": "text/plain; charset=utf-8" }, signal,
    });
    const answer = answers.read(await response.text(), response.headers.get("Content-Type"));
    byId("answer").hidden = false;
    const shown = table.show(answer);
    const rows = `${whole(answer.data.length)} ${answer.data.length === 1 ? "row" : "rows"}`;
    byId("answer-told").textContent = shown < answer.data.length ? `${rows}, the first ${whole(shown)} here` : rows;
  } catch (problem) {
    if (signal.aborted) return;
    if (!(problem instanceof Problem)) throw problem;
    byId("answer-told").textContent = "";
    fail(problem);
  }
};

export const clear = () => {
  asking.abort();
  byId("answer").hidden = true;
  byId("answer-told").textContent = byId("query-wrong").textContent = "";
  table.clear();
};

export const start = () => {
  byId("examples").replaceChildren(...Object.keys(EXAMPLES).map((textContent) => element("option", { textContent })));
  const take = () => { byId("query").value = EXAMPLES[byId("examples").value]; };
  byId("examples").addEventListener("change", take);
  take();
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  byId("query").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
  });
  table.start();
};
