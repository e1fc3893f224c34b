// A secret, shown once: it is in the page until the reader has it, and nowhere else.
import { copied } from "./clipboard.js";
import { element, saying } from "./format.js";

const SENTENCE = "This is the only time that the secret is shown. Keep it where your receiver verifies signatures.";

// Shows it in `box`, which may be emptied into another one.
export const show = (box, secret, more = "") => {
  const said = saying("status", "quiet");
  const copy = element("button", { type: "button", textContent: "Copy the secret" });
  copy.addEventListener("click", async () => {
    said.textContent = await copied(secret) ? "Copied." : "This browser does not let the page copy: select it.";
  });
  const done = element("button", { type: "button", textContent: "I have it" });
  const shown = element("div", {}, element("p", { textContent: `${SENTENCE} ${more}`.trim() }),
    element("p", {}, element("code", { className: "secret", textContent: secret })),
    element("p", { className: "row" }, copy, done, said));
  done.addEventListener("click", () => shown.remove());
  box.replaceChildren(shown);
  copy.focus();
};
