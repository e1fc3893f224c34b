// What is shown to whom: the way in without a key, the tabs with one.
import * as alerts from "./alerts.js";
import * as deliveries from "./deliveries.js";
import * as images from "./images.js";
import * as live from "./live.js";
import * as overview from "./overview.js";
import * as session from "./session.js";
import * as sql from "./sql.js";
import * as subscriptions from "./subscriptions.js";
import * as tabs from "./tabs.js";
import * as upload from "./upload.js";
import { Problem, ask } from "./api.js";

const byId = (id) => document.getElementById(id);

const enter = () => {
  byId("sign-in").hidden = true;
  byId("inside").hidden = byId("forget").hidden = false;
  live.start();
  overview.start();
  tabs.follow();
};

const leave = (reason) => {
  live.stop();
  overview.clear();
  subscriptions.clear();
  alerts.clear();
  deliveries.clear();
  images.clear();
  upload.clear();
  sql.clear();
  byId("inside").hidden = byId("forget").hidden = true;
  byId("sign-in").hidden = false;
  byId("refused").textContent = reason;
  byId("key").value = "";
  byId("key").focus();
};

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("refused").textContent = "";
  const key = byId("key").value.trim();
  try {
    await ask("/v1/live", { key });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    byId("refused").textContent = problem.detail;
    return;
  }
  session.keep(key);
});
byId("forget").addEventListener("click", () => session.forget(""));
session.onChange((key, reason) => (key ? enter() : leave(reason)));
tabs.start();
images.start();
subscriptions.start();
alerts.start();
deliveries.start();
upload.start();
sql.start();
session.begin();
