// The tab Alerts: the newest first, those that come now on top of them, each with its picture and why there is one.
import { ask, told, withParameters } from "./api.js";
import { element, many, percent, saying, time, whole } from "./format.js";
import * as names from "./names.js";
import * as pictures from "./pictures.js";
import * as streams from "./streams.js";
import * as why from "./why.js";

const A_PAGE = 24;
const MOST = 1_000; // in the list
const byId = (id) => document.getElementById(id);
let list = null; // {subscription, ids: those shown, cursor}; another object for another question
let showing = Promise.resolve(); // its first page
let reading = null;

const explained = (alert) => {
  const line = element("div", {});
  const wrong = saying("alert", "wrong");
  const title = element("summary", { textContent: `Why no. ${whole(alert.seq)}` });
  const details = element("details", { className: "why" }, title, line, wrong);
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    const found = await told(wrong, () => why.of(alert.id));
    if (found) line.replaceChildren(found);
  });
  return details;
};

const shown = (alert) => {
  const when = time(alert.measured_at);
  const over = new Set([names.nameOf(alert.subscription_id), `over ${percent(alert.threshold)}`]); // or one says both
  const words = element("div", { className: "words" }, element("strong", { textContent: `${percent(alert.red)} red` }),
    `${[...over].join(": ")}, no. ${whole(alert.seq)}`, element("br"), when);
  return element("li", {}, pictures.of(alert.image_id, `${percent(alert.red)} red, ${when}`), words, explained(alert));
};

const placeOf = ({ position }) => Number(position.split(":")[1]);

// Puts an alert where it belongs, unless it is there or not asked for.
const put = (alert) => {
  if (list.ids.has(alert.id) || !["", alert.subscription_id].includes(list.subscription)) return;
  list.ids.add(alert.id);
  const made = shown(alert);
  made.dataset.place = placeOf(alert);
  const older = [...byId("alerts-list").children].find(({ dataset }) => Number(dataset.place) < placeOf(alert));
  byId("alerts-list").insertBefore(made, older ?? null);
};

const tell = () => {
  const count = byId("alerts-list").children.length;
  byId("alerts-told").textContent = count === 0 ? "No alerts so far."
    : `${many(count, "alert")}${list.cursor === null ? "" : ", the newest"}`;
  byId("alerts-more").hidden = list.cursor === null || count >= MOST;
};

const page = (more) => ask(withParameters("/v1/alerts", {
  subscription: list.subscription || null, order: "newest", limit: A_PAGE, ...more,
}));

const more = async () => {
  const asked = list;
  byId("alerts-more").disabled = true;
  const found = await told(byId("alerts-wrong"), () => page({ cursor: asked.cursor }));
  byId("alerts-more").disabled = false;
  if (found === undefined || asked !== list) return;
  found.items.forEach(put);
  list.cursor = found.next;
  tell();
};

// What was raised between the list and the stream: all that the counts of now include, back to what is known.
const catchUp = async () => {
  const asked = list;
  const known = new Set(asked.ids); // before the stream adds to it
  const found = await told(byId("alerts-wrong"), async () => {
    const { as_of: { partition, offset } } = await ask("/v1/live");
    const all = [];
    let cursor = null;
    do {
      const { items, next } = await page({ at_least: offset < 0 ? null : `${partition}:${offset}`, cursor });
      all.push(...items);
      cursor = next;
    } while (known.size > 0 && cursor !== null && all.length < MOST && !all.some(({ id }) => known.has(id)));
    return { all, cursor };
  });
  if (found === undefined || asked !== list) return;
  found.all.forEach(put);
  if (known.size === 0) list.cursor = found.cursor;
  tell();
};

const come = (alert) => {
  put(alert);
  for (const last of [...byId("alerts-list").children].slice(MOST)) {
    pictures.forget(last);
    last.remove();
  }
  tell();
};

const empty = () => {
  list = { subscription: byId("alerts-of").value, ids: new Set(), cursor: null };
  pictures.forget(byId("alerts-list"));
  byId("alerts-list").replaceChildren();
  byId("alerts-more").hidden = true;
};

const show = async () => {
  empty();
  const asked = list;
  await told(byId("alerts-wrong"), names.load);
  if (asked !== list) return;
  names.fill(byId("alerts-of"), names.any());
  await more();
};

const follow = (stopping) => {
  const lost = (words) => { byId("alerts-live").textContent = words; };
  const opened = async () => {
    byId("alerts-live").textContent = "New alerts come by themselves.";
    for (let asked = null; asked !== list; await showing) asked = list;
    catchUp();
  };
  streams.follow({ address: "/v1/alerts/stream", name: "alerts", show: come, lost, opened }, stopping);
};

const leave = () => {
  reading?.abort();
  byId("alerts-live").textContent = "";
};

export const clear = () => {
  leave();
  byId("alerts-of").replaceChildren(names.any());
  empty();
  for (const id of ["alerts-told", "alerts-wrong"]) byId(id).textContent = "";
};

export const start = () => {
  byId("alerts").addEventListener("shown", async () => {
    leave();
    const { signal } = (reading = new AbortController());
    await (showing = show());
    if (!signal.aborted) follow(signal);
  });
  byId("alerts").addEventListener("left", leave);
  byId("alerts-of").addEventListener("change", () => { showing = show(); });
  byId("alerts-more").addEventListener("click", more);
};
