// The tiles: counts as they change. Numbers that nobody vouches for any more look stale.
import { element, percent, time, whole } from "./format.js";
import * as streams from "./streams.js";

const byId = (id) => document.getElementById(id);
let reading = null;
let asOf = "";

const tell = (words, isFresh) => {
  byId("told").textContent = words;
  byId("tiles").classList.toggle("stale", !isFresh);
};

const show = (live) => {
  for (const [span, total] of Object.entries(live.totals)) byId(`total-${span}`).textContent = whole(total.images);
  const cells = (one) => [percent(one.threshold), whole(one.images), whole(one.over), one.id];
  byId("subscribed-rows").replaceChildren(...live.subscriptions.map((one) =>
    element("tr", {}, ...cells(one).map((textContent) => element("td", { textContent })))));
  byId("subscribed").hidden = live.subscriptions.length === 0;
  asOf = `as of ${time(live.as_of.time, undefined, { timeStyle: "medium" })}`;
  tell(`Images of client ${live.client_id}, ${asOf}`, true);
};

const lost = (why) => tell(asOf ? `${why} These numbers are ${asOf}.` : why, false);

export const start = () => {
  stop();
  reading = new AbortController();
  streams.follow({ address: "/v1/live/stream", name: "counts", show, lost }, reading.signal);
};

export const stop = () => {
  reading?.abort();
  asOf = "";
  tell("Waiting for the counts.", false);
  for (const span of ["1m", "1h", "24h"]) byId(`total-${span}`).textContent = "–";
  byId("subscribed-rows").replaceChildren();
  byId("subscribed").hidden = true;
};
