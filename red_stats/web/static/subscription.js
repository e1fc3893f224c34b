// One subscription as a card: what it is, how its endpoint does, and what can be done with it.
import { ask, newKey, request, told } from "./api.js";
import * as asking from "./asking.js";
import { element, percent, saying, whole } from "./format.js";
import * as health from "./health.js";
import * as outcome from "./outcome.js";

const OVERLAPS = [["0", "not at all"], ["3600", "for an hour"], ["86400", "for a day"], ["604800", "for a week"]];

const button = (textContent, name, act) => {
  const made = element("button", { type: "button", textContent });
  made.setAttribute("aria-label", `${textContent}: ${name}`);
  made.addEventListener("click", act);
  return made;
};

const triggerOf = ({ trigger, rearm_below: back }) => (trigger === "crossing"
  ? `One alert when images cross it, armed again at ${back === null ? "it" : percent(back)} or less` : "An alert for every image over it");

const rulesOf = (one) => [
  triggerOf(one),
  one.min_interval ? `at most one webhook in ${whole(one.min_interval)} s` : "a webhook for every alert",
  one.max_age === null ? "images of any age" : `images up to ${whole(one.max_age)} s old`,
  ...Object.keys(one.headers).map((name) => `header ${name}`),
  one.notices ? "notices about other endpoints" : "",
].filter(Boolean).join("; ");

export const titleOf = (one) => (one.description ? `${one.description}, over ${percent(one.threshold)}` : `Over ${percent(one.threshold)}`);

// The card of a subscription: {element, box, refresh()}. `edit(subscription)` opens its form, `changed(it, more)` is called
// when there is another version or none, with its secret if that is new; `look(id)` shows its deliveries.
export const card = (one, { edit, changed, look }) => {
  const address = `/v1/subscriptions/${one.id}`;
  const name = titleOf(one);
  const [box, wrong, said] = [element("div", { className: "box" }), saying("alert", "wrong"), saying("status", "quiet")];
  const [state, changes] = [element("div", {}, health.line(one)), health.changes()];

  const change = (body) => told(wrong, async () => {
    await ask(address, { method: "PATCH", body: JSON.stringify(body) });
    changed();
  });
  const rotate = () => {
    const key = newKey();
    const [overlap, field] = asking.choice("The old one signs as well", OVERLAPS, "86400");
    asking.ask(box, `Make a new secret for ${name}?`, "Make a new secret", async () => {
      const body = JSON.stringify({ overlap_seconds: Number(overlap.value) });
      const made = await ask(`${address}/rotate-secret`, { method: "POST", body, headers: { "Idempotency-Key": `${key}${overlap.value}` } });
      box.replaceChildren();
      changed(made, overlap.value === "0" ? "The old one signs nothing any more."
        : `The old one signs as well ${overlap.selectedOptions[0].textContent}.`);
    }, field);
  };
  const remove = () => asking.ask(box, `Delete ${name}? What waits for it is cancelled.`, "Delete it", async () => {
    await request(address, { method: "DELETE" });
    changed();
  });
  const test = async () => {
    said.textContent = "Sent; waiting for the answer.";
    const answer = await told(wrong, () => outcome.answerTo(one));
    said.textContent = answer ?? "";
  };

  const buttons = element("p", { className: "row" }, button("Edit", name, () => edit(one)),
    one.enabled ? button("Pause", name, () => change({ enabled: false })) : button("Resume", name, () => change({ enabled: true })),
    button("Send a test", name, test), button("New secret", name, rotate),
    button("Deliveries", name, () => look(one.id)), button("Delete", name, remove));
  const title = element("h3", { textContent: name });
  const card = element("li", { className: "card" }, title, state, changes.element, element("p", { textContent: `${rulesOf(one)}.` }),
    element("p", {}, element("code", { textContent: one.webhook_url })),
    element("p", { className: "quiet", textContent: `Version ${one.version}, ${one.id}` }), buttons, box, said, wrong);

  card.dataset.id = one.id;

  const refresh = async () => {
    const found = await ask(address);
    state.replaceChildren(health.line(found, found.health));
    changes.tell(found.health?.changes ?? []);
  };
  return { element: card, box, refresh };
};
