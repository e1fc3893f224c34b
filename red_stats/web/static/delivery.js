// One delivery: its state, and once it is opened its attempts, what it says, and the way to send it again.
import { ask, told } from "./api.js";
import * as attempts from "./attempts.js";
import { element, saying, time } from "./format.js";
import * as names from "./names.js";
import * as outcome from "./outcome.js";

const REPEATABLE = ["alert", "digest"];
const WAITING = ["pending", "held"];

const lit = (one) => {
  const made = element("strong", { className: "light", textContent: attempts.stateOf(one) });
  made.dataset.state = one.state;
  return made;
};

const summaryOf = (one) => [
  lit(one),
  ` ${[attempts.kindOf(one), attempts.aboutOf(one)].filter(Boolean).join(" ")}, ${names.nameOf(one.subscription_id)} `,
  element("time", { className: "quiet", dateTime: one.created_at, textContent: time(one.created_at) }),
];

const nextOf = ({ next_attempt_at: next }) => (next ? [attempts.entry(null, `Next attempt ${time(next)}`)] : []);

// The first attempt's headers, those that all have alike before those of its own.
const requestOf = ({ headers, body }, { attempts: [first] }) => {
  const stamp = first ? { "webhook-timestamp": `${Math.floor(Date.parse(first.at) / 1000)} (attempt 1; each has its own)` } : {};
  const lines = Object.entries({ ...headers, ...stamp, "webhook-signature": "(made for each attempt, not kept)" });
  return `${lines.map(([name, value]) => `${name}: ${value}`).join("\n")}\n\n${body}`;
};

// `current()` is the delivery as it is known now.
const said = (current) => {
  const shown = element("pre", { tabIndex: 0, hidden: true });
  shown.setAttribute("aria-label", "The request");
  shown.setAttribute("role", "region");
  const wrong = saying("alert", "quiet");
  const details = element("details", {}, element("summary", { textContent: "Headers and body" }), shown, wrong);
  details.addEventListener("toggle", async () => {
    if (!details.open || !shown.hidden) return;
    const found = await told(wrong, () => ask(`/v1/deliveries/${current().id}/webhook`));
    if (found === undefined) return;
    shown.textContent = requestOf(found, current());
    shown.hidden = false;
  });
  return details;
};

// An item of a list, which is looked up anew when it is opened, and once it is sent again.
export const item = (given) => {
  let current = given;
  const [summary, line] = [element("summary"), element("ol", { className: "trace" })];
  const [wrong, going] = [saying("alert", "wrong"), saying("status", "quiet")];
  const button = element("button", { type: "button", textContent: "Redeliver" });
  const name = element("p", { className: "quiet", textContent: `${given.webhook_id}, delivery ${given.id}` });
  const details = element("details", {}, summary, line, said(() => current), element("p", { className: "row" }, button), going, wrong, name);

  const show = (one) => {
    current = one;
    summary.replaceChildren(...summaryOf(one));
    line.replaceChildren(...one.attempts.map(attempts.item), ...nextOf(one));
    button.hidden = !REPEATABLE.includes(one.kind) || WAITING.includes(one.state);
  };
  const again = async () => {
    going.textContent = "Sent again; waiting for the answer.";
    const found = await told(wrong, async () => {
      await ask(`/v1/deliveries/${current.id}/redeliver`, { method: "POST" });
      return outcome.attempted(current.id, current.attempts.length);
    });
    going.textContent = found === null ? "No answer is recorded yet." : "";
    if (found) show(found);
  };

  show(given);
  button.addEventListener("click", again);
  details.addEventListener("toggle", async () => {
    const found = details.open && await told(wrong, () => ask(`/v1/deliveries/${given.id}`));
    if (found) show(found);
  });
  return element("li", {}, details);
};
