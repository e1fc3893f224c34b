// Pictures of stored images: fetched from RED with the key, a few at a time, shown from this tab's memory.
import { Problem, red, request } from "./api.js";
import { element } from "./format.js";

const TOGETHER = 4;
const waiting = [];
let underWay = 0;

const next = async () => {
  if (underWay >= TOGETHER || waiting.length === 0) return;
  const job = waiting.shift();
  if (!job.frame.isConnected) return next();
  underWay += 1;
  try {
    await load(job);
  } catch (problem) {
    job.frame.textContent = problem instanceof Problem && problem.status === 404 ? "not stored" : "no picture";
    job.frame.title = problem.message;
  } finally {
    underWay -= 1;
    next();
  }
};

const load = async ({ frame, id, alt }) => {
  const answer = await request(`${await red()}/red/images/${encodeURIComponent(id)}`);
  const address = URL.createObjectURL(await answer.blob());
  if (!frame.isConnected) return URL.revokeObjectURL(address);
  const picture = element("img", { src: address, alt, decoding: "async" });
  frame.replaceChildren(element("a", { href: address, target: "_blank", rel: "noopener", className: "picture" }, picture));
};

// A frame into which the picture of an image comes, with a link to all of it.
export const of = (id, alt) => {
  const frame = element("span", { className: "frame" });
  waiting.push({ frame, id, alt });
  setTimeout(next); // once it is in the page
  return frame;
};

// Gives back the memory of the pictures within an element.
export const forget = (within) => {
  for (const link of within.querySelectorAll("a.picture")) URL.revokeObjectURL(link.href);
};
