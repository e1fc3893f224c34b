// Requests to RED_STATS and RED with the key of this tab; whatever fails is a Problem with words for people.
import * as session from "./session.js";

export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", detail, ...rest }) {
    super(detail);
    Object.assign(this, { status, code, detail, rest });
  }
}

let asked = null;

// RED's address, which this server knows.
export const red = async () => {
  asked ??= fetch("/static/addresses.json").then((answer) => answer.json());
  try {
    return (await asked).red;
  } catch {
    asked = null;
    throw new Problem({ detail: "RED_STATS does not answer." });
  }
};

const problemOf = async (answer) => {
  const body = await answer.json().catch(() => ({}));
  const detail = body.detail ?? `The answer was ${answer.status}, without a reason.`;
  const retryAfter = Number(answer.headers.get("Retry-After")) || null;
  return new Problem({ ...body, status: answer.status, detail, retryAfter });
};

// The response to a request. A key that is refused sends the reader back to the way in, with the reason.
export const request = async (address, { key = null, headers = {}, ...options } = {}) => {
  const used = key ?? session.key();
  if (used === null) throw new Problem({ detail: "Nobody is signed in." }); // any more: what was under way goes on no further
  let answer;
  try {
    answer = await fetch(address, { ...options, headers: { ...headers, Authorization: `Bearer ${used}` } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.message.includes("ISO-8859-1")) throw new Problem({ detail: "An API key has no such characters." });
    const who = address.startsWith("/") ? "RED_STATS" : "RED";
    throw new Problem({ detail: `${who} does not answer.` });
  }
  if (answer.ok) return answer;
  const problem = await problemOf(answer);
  if (answer.status === 401 && used === session.key()) session.forget(problem.detail);
  throw problem;
};

export const ask = async (address, options) => (await request(address, options)).json();

// An address with parameters; those that are null are left out.
export const withParameters = (path, given) => {
  const pairs = Object.entries(given).filter(([, value]) => value !== null && value !== undefined);
  return `${path}?${new URLSearchParams(pairs)}`;
};

// An Idempotency-Key: what is asked again with it is done once.
export const newKey = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");

// Runs `work`, and tells in an element what the reader can know of a problem; undefined: there was one.
export const told = async (wrong, work) => {
  wrong.textContent = "";
  try {
    return await work();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    wrong.textContent = problem.detail;
    return undefined;
  }
};
