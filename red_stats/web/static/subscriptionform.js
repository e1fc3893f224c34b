// The form of a subscription, new or changed: only what was changed is sent, and what is wrong is told in it.
import { ask, newKey, told } from "./api.js";
import * as preview from "./formpreview.js";

const NEW = {
  threshold: 0.25, webhook_url: "", description: null, trigger: "each", rearm_below: null, min_interval: 0, max_age: 86_400, headers: {}, notices: false,
};
const byId = (id) => document.getElementById(id);
const field = (name) => byId(`field-${name}`);
let edited = NEW; // as it was before
let sent = { body: null, key: null }; // the same again is done once
let saved = () => {};

const numberOf = (name, empty) => (field(name).value.trim() === "" ? empty : Number(field(name).value));

const headersIn = () => Object.fromEntries(field("headers").value.split("\n").filter((line) => line.trim()).map((line) => {
  const [name, ...rest] = line.split(":");
  return [name.trim(), rest.join(":").trim()];
}));

// What the fields say; of a trigger that is none of crossing there is no rearm_below.
const filledIn = () => ({
  threshold: numberOf("threshold", null),
  webhook_url: field("webhook_url").value.trim(),
  description: field("description").value.trim() || null,
  trigger: field("trigger").value,
  rearm_below: field("trigger").value === "crossing" ? numberOf("rearm_below", null) : null,
  min_interval: numberOf("min_interval", 0),
  max_age: numberOf("max_age", null),
  headers: headersIn(),
  notices: field("notices").checked,
});

const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

const changesTo = (before) => Object.fromEntries(Object.entries(filledIn()).filter(([name, value]) => !isSame(value, before[name])));

const show = (subscription) => {
  edited = subscription;
  for (const name of ["threshold", "webhook_url", "description", "trigger", "rearm_below", "min_interval", "max_age"]) {
    field(name).value = subscription[name] ?? "";
  }
  field("headers").value = Object.entries(subscription.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
  field("notices").checked = subscription.notices;
  byId("form-wrong").textContent = "";
  byId("form-title").textContent = subscription.id ? "Change the subscription" : "New subscription";
  byId("form-save").textContent = subscription.id ? "Save" : "Subscribe";
  byId("subscription-form").showModal();
  follow();
};

// `rearm_below` can be filled in where it means something, and the preview is of what stands there.
const follow = () => {
  field("rearm_below").disabled = field("trigger").value !== "crossing";
  preview.of(filledIn());
};

const toServer = () => {
  if (edited.id) {
    const changes = changesTo(edited);
    if (changes.trigger === "each") delete changes.rearm_below; // that drops it
    if (Object.keys(changes).length === 0) return edited;
    return ask(`/v1/subscriptions/${edited.id}`, { method: "PATCH", body: JSON.stringify(changes) });
  }
  const given = Object.entries(filledIn()).filter(([name, value]) => name === "max_age" || value !== null);
  const body = JSON.stringify(Object.fromEntries(given));
  if (body !== sent.body) sent = { body, key: newKey() };
  return ask("/v1/subscriptions", { method: "POST", body, headers: { "Idempotency-Key": sent.key } });
};

const save = async (event) => {
  event.preventDefault();
  byId("form-save").disabled = true;
  const made = await told(byId("form-wrong"), toServer);
  byId("form-save").disabled = false;
  if (made === undefined) return;
  close();
  saved(made);
};

export const close = () => {
  sent = { body: null, key: null };
  byId("subscription-fields").reset(); // headers may be secrets
  byId("subscription-form").close();
};

export const make = (threshold) => show({ ...NEW, threshold });
export const change = show;

// `done(subscription)` is called with what was saved; a new one has its secret.
export const start = (done) => {
  saved = done;
  byId("subscription-fields").addEventListener("submit", save);
  byId("subscription-fields").addEventListener("input", follow);
  byId("form-cancel").addEventListener("click", close);
  byId("subscription-form").addEventListener("close", () => preview.clear());
};
