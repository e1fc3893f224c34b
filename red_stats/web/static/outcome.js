// Waits for what an endpoint answers to a webhook.
import { Problem, ask } from "./api.js";
import { toldOf } from "./attempts.js";

const POLL_MS = 500;
const TRIES = 80;

const later = () => new Promise((resolve) => setTimeout(resolve, POLL_MS));

const deliveryOf = async (id) => {
  try {
    return await ask(`/v1/deliveries/${id}`);
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 404) return null; // it is not recorded yet
    throw problem;
  }
};

// A delivery, as soon as it has more than so many attempts; null: that takes too long.
export const attempted = async (id, more = 0) => {
  for (let tried = 0; tried < TRIES; tried += 1) {
    const found = await deliveryOf(id);
    if (found && found.attempts.length > more) return found;
    await later();
  }
  return null;
};

// In words, what came of a test event.
export const answerTo = async (subscription) => {
  const { delivery_id: id } = await ask(`/v1/subscriptions/${subscription.id}/test`, { method: "POST" });
  const found = await attempted(id);
  return found ? `The endpoint ${toldOf(found.attempts.at(-1)).replace(/^(?!answered)/, "did not answer: ")}.`
    : "No answer is recorded yet: look at Deliveries.";
};
