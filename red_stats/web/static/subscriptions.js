// The tab Subscriptions: all of them, how each does while one looks, and the form that makes and changes them.
import { Problem, told } from "./api.js";
import { many } from "./format.js";
import * as deliveries from "./deliveries.js";
import * as form from "./subscriptionform.js";
import * as names from "./names.js";
import * as secret from "./secret.js";
import { card } from "./subscription.js";
import * as tabs from "./tabs.js";

const REFRESH_MS = 5_000;
const byId = (id) => document.getElementById(id);
let cards = new Map(); // by id and version: what a card holds (a secret, an answer) stays while it is the same
let turn = 0;
let watching = null;

const keyOf = ({ id, version }) => `${id}/${version}`;

// How each does; those that the server cannot tell about now are asked again next time.
const refresh = async (now) => {
  for (const one of cards.values()) {
    if (now !== turn) return;
    try {
      await one.refresh();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
    }
  }
};

const watch = async (now) => {
  clearTimeout(watching);
  await refresh(now);
  if (now === turn) watching = setTimeout(() => watch(now), REFRESH_MS);
};

// A card; a secret that still stands in that of an earlier version moves into it.
const make = (one, before) => {
  const made = card(one, { edit: form.change, changed: (it, more) => (it ? saved(it, more) : load()), look: deliveries.showOf });
  const [, earlier] = [...before].find(([key]) => key.startsWith(`${one.id}/`)) ?? [];
  if (earlier?.box.querySelector(".secret")) made.box.append(...earlier.box.childNodes);
  return made;
};

// Puts the list before the reader. Who was at a button of a card is at the same one of the card that stands for it now.
const put = () => {
  const list = byId("subscription-list");
  const at = document.activeElement.closest("#subscription-list > li");
  const number = at && [...at.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...[...cards.values()].map(({ element }) => element));
  if (at === null) return;
  const now = [...list.children].find(({ dataset }) => dataset.id === at.dataset.id);
  (now?.querySelectorAll("button")[number] ?? byId("new-subscription")).focus();
};

const load = async () => {
  turn += 1;
  const now = turn;
  await told(byId("subscriptions-wrong"), async () => {
    await names.load();
    if (now !== turn) return;
    const before = cards;
    cards = new Map(names.all().map((one) => [keyOf(one), before.get(keyOf(one)) ?? make(one, before)]));
    put();
    byId("subscriptions-told").textContent = cards.size === 0 ? "No subscriptions yet."
      : many(cards.size, "subscription");
  });
  if (now === turn) watch(now);
};

// What was saved is in the list, and its secret, if it is new, in its card.
const saved = async (subscription, more = "") => {
  await load();
  const found = cards.get(keyOf(subscription));
  if (subscription.secret && found) secret.show(found.box, subscription.secret, more);
};

// Opens the form for a new one.
export const open = (threshold) => {
  tabs.open("subscriptions");
  form.make(threshold);
};

const leave = () => {
  turn += 1;
  clearTimeout(watching);
};

export const clear = () => {
  leave();
  form.close();
  cards = new Map();
  names.clear();
  byId("subscription-list").replaceChildren();
  for (const id of ["subscriptions-told", "subscriptions-wrong"]) byId(id).textContent = "";
};

export const start = () => {
  form.start(saved);
  byId("subscriptions").addEventListener("shown", load);
  byId("subscriptions").addEventListener("left", leave);
  byId("new-subscription").addEventListener("click", () => form.make(0.25));
};
