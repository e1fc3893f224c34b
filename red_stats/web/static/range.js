// Which time, in which zone, in which buckets: what the controls say.
import { Problem, ask, withParameters } from "./api.js";
import { element } from "./format.js";
import * as zones from "./zone.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const SPANS = { hour: HOUR, day: DAY, week: 7 * DAY, month: 30 * DAY, year: 365 * DAY };
const LONGEST = [[6 * HOUR, "minute"], [10 * DAY, "hour"], [400 * DAY, "day"], [3_000 * DAY, "week"]];
const byId = (id) => document.getElementById(id);

const bucketFor = (span) => LONGEST.find(([longest]) => span <= longest)?.[1] ?? "month";
const text = (at) => new Date(at).toISOString();

const firstImage = async () => {
  const { items } = await ask(withParameters("/v1/measurements", { order: "oldest", limit: 1 }));
  return items.length ? Date.parse(items[0].measured_at) : Date.now() - DAY;
};

const filledIn = (id, name, zone) => {
  const at = zones.fromLocal(byId(id).value, zone);
  if (Number.isNaN(at)) throw new Problem({ detail: `${name} needs a date and a time of the years 1970 to 9999.` });
  return at;
};

const bounds = async (preset, zone) => {
  if (preset === "own") return [filledIn("from", "From", zone), filledIn("to", "To", zone)];
  const now = Math.ceil(Date.now() / 1000) * 1000;
  return [preset === "all" ? await firstImage() : now - SPANS[preset], now];
};

// {from, to: RFC 3339, zone, bucket, days: how many}; a Problem if from or to is not filled in.
export const read = async () => {
  const zone = byId("zone").value;
  const [start, end] = await bounds(byId("preset").value, zone);
  showTimes(start, end, zone);
  const bucket = byId("bucket").value || bucketFor(end - start);
  return { from: text(start), to: text(end), zone, bucket, days: (end - start) / DAY };
};

const showTimes = (start, end, zone) => {
  byId("from").value = zones.toLocal(start, zone);
  byId("to").value = zones.toLocal(end, zone);
};

// `changed()` is called when the reader wants another range.
export const start = (changed) => {
  const options = zones.all().map((zone) => element("option", { textContent: zone, selected: zone === zones.own() }));
  byId("zone").replaceChildren(...options);
  for (const id of ["preset", "zone", "bucket"]) {
    byId(id).addEventListener("change", () => byId("range").requestSubmit());
  }
  for (const id of ["from", "to"]) byId(id).addEventListener("input", () => { byId("preset").value = "own"; });
  byId("range").addEventListener("submit", (event) => {
    event.preventDefault();
    changed();
  });
};
