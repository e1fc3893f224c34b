// The tab Deliveries: what became of each webhook, by subscription, state and time.
import { ask, told, withParameters } from "./api.js";
import { many } from "./format.js";
import { item } from "./delivery.js";
import * as names from "./names.js";
import * as recover from "./recover.js";
import * as tabs from "./tabs.js";
import * as zones from "./zone.js";

const A_PAGE = 25;
const byId = (id) => document.getElementById(id);
let wanted = null; // the subscription for which the tab is opened
let list = null; // {question, after}; another object for another question

// A time as the server takes it; null: the field is empty.
const timeIn = (id) => {
  const at = zones.fromLocal(byId(id).value, zones.own());
  return Number.isNaN(at) ? null : new Date(at).toISOString();
};

const questionOf = () => ({
  subscription: byId("deliveries-of").value || null, state: byId("deliveries-state").value || null,
  from: timeIn("deliveries-from"), to: timeIn("deliveries-to"), limit: A_PAGE,
});

const more = async () => {
  const asked = list;
  byId("deliveries-more").disabled = true;
  const found = await told(byId("deliveries-wrong"), () =>
    ask(withParameters("/v1/deliveries", { ...asked.question, after: asked.after })));
  byId("deliveries-more").disabled = false;
  if (asked !== list) return;
  if (found === undefined) {
    byId("deliveries-told").textContent = "";
    return;
  }
  byId("delivery-list").append(...found.items.map(item));
  list.after = found.next;
  byId("deliveries-more").hidden = found.next === null;
  const count = byId("delivery-list").children.length;
  byId("deliveries-told").textContent = count === 0 ? "No deliveries."
    : `${many(count, "delivery", "deliveries")}${found.next === null ? "" : " so far"}`;
};

const empty = () => {
  list = { question: questionOf(), after: null };
  byId("delivery-list").replaceChildren();
  byId("deliveries-more").hidden = true;
};

const show = async () => {
  empty();
  byId("deliveries-told").textContent = "Looking.";
  await more();
};

const enter = async () => {
  empty();
  const asked = list;
  await told(byId("deliveries-wrong"), names.load);
  if (asked !== list) return;
  names.fill(byId("deliveries-of"), names.any());
  names.fill(byId("recover-of"));
  if (wanted !== null) byId("deliveries-of").value = byId("recover-of").value = wanted;
  wanted = null;
  await show();
};

// Opens the tab with those of one subscription, and the same one to recover.
export const showOf = (id) => {
  wanted = id;
  tabs.open("deliveries");
};

export const clear = () => {
  byId("deliveries").querySelectorAll("form").forEach((form) => form.reset());
  for (const id of ["deliveries-of", "recover-of"]) byId(id).replaceChildren();
  empty();
  recover.clear();
  for (const id of ["deliveries-told", "deliveries-wrong"]) byId(id).textContent = "";
};

export const start = () => {
  byId("deliveries").addEventListener("shown", enter);
  byId("find-deliveries").addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  for (const id of ["deliveries-of", "deliveries-state"]) byId(id).addEventListener("change", show);
  recover.start(show);
};
