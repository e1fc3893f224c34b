// What a subscription like the one in the form would have meant in the last 30 days.
import { Problem, ask } from "./api.js";
import { few, many, time } from "./format.js";

const REST_MS = 300; // without a key
const DAYS = 30;
const DAY = 86_400_000;
const byId = (id) => document.getElementById(id);
let turn = 0;

const busiestOf = (days) => days.reduce((most, day) => (day.alerts > (most?.alerts ?? 0) ? day : most), null);

const toldOf = ({ images, alerts, webhooks, days }) => {
  const busiest = busiestOf(days);
  const most = busiest && `Most on ${time(busiest.start, "UTC", { dateStyle: "medium" })}: ${many(busiest.alerts, "alert")}.`;
  return [`${many(alerts, "alert")} about ${many(images, "image")}, ${few(alerts / DAYS)} a day.`, `${many(webhooks, "webhook")}.`, most];
};

const bodyOf = ({ threshold, trigger, rearm_below: back, min_interval: interval }) => {
  const now = Date.now();
  const [from, to] = [now - DAYS * DAY, now].map((at) => new Date(at).toISOString());
  return JSON.stringify({ from, to, threshold, trigger, min_interval: interval, ...(back === null ? {} : { rearm_below: back }) });
};

const tell = (lines, isWrong) => {
  byId("form-preview").replaceChildren(...lines.filter(Boolean).flatMap((line) => [line, document.createElement("br")]));
  byId("form-preview").classList.toggle("wrong", isWrong);
};

// Shows it once the fields have come to rest.
export const of = (fields) => {
  turn += 1;
  const now = turn;
  setTimeout(async () => {
    if (now !== turn) return;
    try {
      const found = await ask("/v1/subscriptions/preview", { method: "POST", body: bodyOf(fields) });
      if (now === turn) tell(toldOf(found), false);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (now === turn) tell([problem.detail], true);
    }
  }, REST_MS);
};

export const clear = () => {
  turn += 1;
  tell(["Looking."], false);
};
