// Why there is an alert, as a time line: from the image to the last attempt to tell of it.
import { ask } from "./api.js";
import * as attempts from "./attempts.js";
import { bytes, element, percent, time, whole } from "./format.js";

const ofImage = (alert, image) => {
  const size = image ? `${whole(image.width)} × ${whole(image.height)}, ${bytes(image.bytes)}, ${image.format}` : "";
  const where = `Image ${alert.image_id}, position ${alert.position}`;
  return attempts.entry(alert.measured_at, `Image measured: ${percent(alert.red)} red`, ...[size, where].filter(Boolean));
};

const ruleOf = ({ trigger, rearm_below: back, min_interval: interval }) => {
  const rule = trigger === "each" ? "Every image over it raises an alert" : "The first image over it raises an alert, until "
    + `one has at most ${back === null ? "the threshold" : percent(back)}`;
  return interval ? `${rule}; at most one webhook in ${whole(interval)} s.` : `${rule}.`;
};

const ofVersion = (alert, version) => {
  const what = `Over the threshold of version ${alert.version}: ${percent(alert.threshold)}`;
  if (version === null) return attempts.entry(null, what, "The version is not recorded.");
  const until = version.in_force_until === null ? "still in force" : `until ${version.in_force_until}`;
  return attempts.entry(null, what, ruleOf(version), `In force since position ${version.in_force_from}, ${until}.`);
};

const queued = (delivery) => attempts.entry(delivery.created_at, delivery.kind === "alert" ? "Webhook queued"
  : `Webhook queued: ${attempts.kindOf(delivery).toLowerCase()} of ${attempts.aboutOf(delivery)}`, delivery.webhook_id);

// How it stands now.
const outcome = (delivery) => {
  const due = delivery.next_attempt_at ? `Next attempt ${time(delivery.next_attempt_at)}` : attempts.stateOf(delivery);
  const made = attempts.entry(null, delivery.state === "pending" ? due : attempts.stateOf(delivery));
  made.className = "light";
  made.dataset.state = delivery.state;
  return made;
};

const ofDeliveries = (deliveries) => (deliveries.length
  ? deliveries.flatMap((one) => [queued(one), ...one.attempts.map(attempts.item), outcome(one)])
  : [attempts.entry(null, "No webhook yet", "It waits for a digest, or for room, or is not recorded yet.")]);

// The time line of an alert.
export const of = async (id) => {
  const { alert, measurement, version, deliveries } = await ask(`/v1/alerts/${id}`);
  return element("ol", { className: "trace" }, ofImage(alert, measurement), ofVersion(alert, version),
    attempts.entry(null, `Alert no. ${whole(alert.seq)} raised`), ...ofDeliveries(deliveries));
};
