// How the endpoint of a subscription does, in words beside a light.
import { element, time, whole } from "./format.js";

const WORDS = { ok: "Working", failing: "Failing", paused: "Paused after failures", disabled: "Disabled" };
const REASONS = { gone: "the endpoint answered 410 Gone", failing: "the endpoint has failed for too long" };

const disabledOf = ({ disabled_reason: reason }) => (reason in REASONS ? `Disabled, ${REASONS[reason]}: alerts are raised and held`
  : `Paused by you${reason ? ` (${reason})` : ""}: no alerts are raised`);

const isUntried = ({ state, last_status: status, last_success_at: success }) => state === "ok" && status === null && success === null;

const stateOf = (subscription, health) => {
  if (!subscription.enabled) return disabledOf(subscription);
  if (health === null) return "Nobody can tell now how it does";
  return isUntried(health) ? "Nothing sent yet" : WORDS[health.state] ?? health.state;
};

const factsOf = (health) => [
  health.failing_since && `since ${time(health.failing_since)}`,
  health.last_status && `last answer ${health.last_status}`,
  health.last_success_at && `last success ${time(health.last_success_at)}`,
  health.next_attempt_at && `next attempt ${time(health.next_attempt_at)}`,
  `${whole(health.pending)} pending`,
  `${whole(health.held)} held`,
].filter(Boolean).join(", ");

const CHANGES = { failing: "it began to fail", ok: "it works again", disabled: "it was disabled", enabled: "it was enabled again" };

const changeOf = ({ at, state, reason }) => element("li", {
  textContent: `${time(at)}: ${CHANGES[state] ?? state}${reason ? `, ${REASONS[reason] ?? reason}` : ""}`,
});

// What has changed, below a summary: {element, tell(changes)}; what the reader has opened stays open.
export const changes = () => {
  const lines = element("ol", {});
  const box = element("details", { hidden: true }, element("summary", { textContent: "Changes" }), lines);
  const tell = (found) => {
    box.hidden = found.length === 0;
    lines.replaceChildren(...found.map(changeOf));
  };
  return { element: box, tell };
};

// A line about it; `health` is null while the server cannot tell, undefined while it was not asked.
export const line = (subscription, health) => {
  const made = element("p", { className: "light" });
  if (health === undefined && subscription.enabled) {
    made.append("Looking how it does.");
    return made;
  }
  const isKnown = health && !isUntried(health);
  made.dataset.state = subscription.enabled ? (isKnown ? health.state : "unknown") : "disabled";
  made.append(element("strong", { textContent: stateOf(subscription, health ?? null) }));
  if (health) made.append(element("span", { className: "quiet", textContent: ` ${factsOf(health)}` }));
  return made;
};
