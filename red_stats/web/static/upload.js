// Images that are dropped or chosen go to RED one by one; each comes back with its amount, and its red marked.
import { Problem, ask, newKey, red } from "./api.js";
import { element, percent, whole } from "./format.js";
import { marked } from "./redmask.js";
import * as session from "./session.js";

const TOGETHER = 3;
const TRIES = 4;
const byId = (id) => document.getElementById(id);
const none = () => ({ sent: 0, refused: 0, waiting: 0 });
let counts = none(); // another object when the key is forgotten

const tell = () => {
  const { sent, refused, waiting } = counts;
  const parts = [[waiting, "under way"], [sent, "measured"], [refused, "refused"]].filter(([count]) => count);
  byId("sent-told").textContent = parts.map(([count, what]) => `${whole(count)} ${what}`).join(", ");
};

const seconds = (many) => new Promise((resolve) => setTimeout(resolve, many * 1000));

// What RED says of a file; null once the key was forgotten. Tried again while RED is busy: the Idempotency-Key counts it
// once all the same.
const measured = async (file, key, own) => {
  const headers = { "Content-Type": "application/octet-stream", "Idempotency-Key": newKey() };
  for (let tried = 1; own === counts; tried += 1) {
    try {
      return await ask(`${await red()}/red`, { method: "POST", body: file, headers, key });
    } catch (problem) {
      if (tried === TRIES || ![429, 503, 409].includes(problem.status)) throw problem;
      await seconds(problem.rest.retryAfter ?? tried);
    }
  }
  return null;
};

const show = async (entry, file, item) => {
  const words = element("span", { className: "words" }, element("strong", { textContent: percent(item.red) }),
    ` ${file.name}`, element("br"), `${whole(item.red_pixels)} of ${whole(item.pixels)} pixels are red`);
  const where = element("span", { className: "frame", textContent: "no picture" });
  entry.replaceChildren(where, words);
  try {
    const { canvas, count, scaled } = await marked(file);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${file.name}, its red pixels in colour, the others grey`);
    canvas.dataset.count = count;
    where.replaceChildren(canvas);
    if (scaled) words.append(element("br"), "marked on a smaller copy");
    else if (count !== item.red_pixels) words.append(element("br"), `about ${whole(count)} marked here`);
  } catch {
    where.title = "This browser cannot show the format.";
  }
};

const sendOne = async (entry, file, key, own) => {
  try {
    const item = await measured(file, key, own);
    if (own !== counts) return;
    own.sent += 1;
    await show(entry, file, item);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    own.refused += 1;
    const words = element("span", { className: "words" }, `${file.name}: `,
      element("span", { className: "wrong", textContent: problem.detail }));
    entry.replaceChildren(element("span", { className: "frame", textContent: "refused" }), words);
  } finally {
    own.waiting -= 1;
  }
};

const send = async (files) => {
  const [key, own] = [session.key(), counts];
  const jobs = [...files].map((file) => {
    const entry = element("li", {}, element("span", { className: "frame" }), element("span", { textContent: file.name }));
    byId("sent").prepend(entry);
    return [entry, file];
  });
  own.waiting += jobs.length;
  tell();
  const work = async () => {
    for (let job = jobs.shift(); job && own === counts; job = jobs.shift()) {
      await sendOne(...job, key, own);
      tell();
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, work));
};

export const clear = () => {
  counts = none();
  tell();
  byId("sent").replaceChildren();
};

export const start = () => {
  const drop = byId("drop");
  const over = (isOver) => (event) => {
    event.preventDefault();
    drop.classList.toggle("over", isOver);
  };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", (event) => {
    over(false)(event);
    send(event.dataTransfer.files);
  });
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  byId("files").addEventListener("change", () => {
    send(byId("files").files);
    byId("files").value = "";
  });
};
