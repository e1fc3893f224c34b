// What became of a delivery, in words: its state, and each attempt with its answer, its time, and what came next and why.
import { element, time, whole } from "./format.js";

const STATES = {
  pending: "Waiting to be sent", held: "Held back", delivered: "Delivered", exhausted: "Given up", cancelled: "Cancelled",
};
const KINDS = { alert: "Alert", digest: "Digest", test: "Test event", probe: "Probe", notice: "Notice" };
const BECAUSE = {
  schedule: "by the schedule of retries", retry_after: "because the endpoint asked for it", blocked: "because the address was blocked",
};
const STEPS = { dns: "name", connect: "connection", tls: "TLS", first_byte: "first byte" };

export const stateOf = ({ state }) => STATES[state] ?? state;
export const kindOf = ({ kind }) => KINDS[kind] ?? kind;

// Of which alerts it tells; nothing for what tells of none.
export const aboutOf = ({ count, first_seq: first, last_seq: last }) => {
  if (!count) return "";
  return count === 1 ? `no. ${whole(first)}` : `${whole(count)} alerts, no. ${whole(first)} to ${whole(last)}`;
};

const answerOf = ({ status, error }) => (status === null ? error ?? "no answer" : `answered ${status}`);

export const toldOf = (attempt) => `${answerOf(attempt)} in ${whole(attempt.ms)} ms`;

const stepsOf = ({ timing }) => Object.entries(STEPS)
  .filter(([name]) => timing[name] !== null && timing[name] !== undefined)
  .map(([name, words]) => `${words} ${whole(timing[name])} ms`).join(", ");

const nextOf = ({ next }) => next && `Next one due ${time(next.at)}, ${BECAUSE[next.because] ?? `because of ${next.because}`}.`;

// An attempt as an item of a time line.
export const item = (attempt) => {
  const lines = [stepsOf(attempt), nextOf(attempt)].filter(Boolean);
  return entry(attempt.at, `Attempt ${attempt.attempt}: ${toldOf(attempt)}`, ...lines);
};

// An item of a time line: when (null: nobody knows), what, and further lines about it.
export const entry = (at, what, ...lines) => {
  const when = at === null ? [] : [element("time", { dateTime: at, textContent: time(at, undefined, PRECISE) }), " "];
  const more = lines.map((textContent) => element("span", { className: "quiet more-of", textContent }));
  return element("li", {}, ...when, element("strong", { textContent: what }), ...more);
};

const PRECISE = {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
};
