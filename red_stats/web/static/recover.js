// Recover: what no webhook has delivered since a time goes out again, once the reader has seen how many that are.
import { ask, told } from "./api.js";
import { many } from "./format.js";
import * as zones from "./zone.js";

const byId = (id) => document.getElementById(id);
let counted = null; // what was counted: {id, body}
let turn = 0; // of answers that overtake each other the last question wins
let done = () => {};

const deliveries = (count) => many(count, "delivery", "deliveries");

const post = ({ id, body }, dryRun) =>
  ask(`/v1/subscriptions/${id}/recover`, { method: "POST", body: JSON.stringify({ ...body, dry_run: dryRun }) });

const forget = () => {
  turn += 1;
  counted = null;
  byId("recover-do").hidden = true;
  byId("recover-told").textContent = byId("recover-wrong").textContent = "";
};

const asked = () => {
  const since = zones.fromLocal(byId("recover-since").value, zones.own());
  const when = Number.isNaN(since) ? "" : new Date(since).toISOString(); // the server says what it needs
  return { id: byId("recover-of").value, body: { since: when, all: byId("recover-all").checked } };
};

const count = async (event) => {
  event.preventDefault();
  forget();
  const [now, wanted] = [turn, asked()];
  const found = await told(byId("recover-wrong"), () => post(wanted, true));
  if (found === undefined || now !== turn) return;
  byId("recover-told").textContent = found.deliveries === 0 ? "Nothing is to be sent again: all of it was delivered, or still waits."
    : `${deliveries(found.deliveries)} would go out again, with the same webhook-ids and bytes.`;
  if (found.deliveries === 0) return;
  counted = wanted;
  byId("recover-do").textContent = `Send ${deliveries(found.deliveries)} again`;
  byId("recover-do").hidden = false;
};

const send = async () => {
  const wanted = counted;
  byId("recover-do").disabled = true;
  const found = await told(byId("recover-wrong"), () => post(wanted, false));
  byId("recover-do").disabled = false;
  if (found === undefined) return;
  forget();
  byId("recover-told").textContent = found.deliveries === 1 ? "1 delivery goes out again." : `${deliveries(found.deliveries)} go out again.`;
  done();
};

export const clear = forget;

// `sent()` is called once something goes out again.
export const start = (sent) => {
  done = sent;
  byId("recover").addEventListener("submit", count);
  byId("recover").addEventListener("input", forget); // a count is of what was asked for
  byId("recover-do").addEventListener("click", send);
};
