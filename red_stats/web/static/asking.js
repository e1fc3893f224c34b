// Asks before something is done, in the place where it was asked for.
import { told } from "./api.js";
import { element, saying } from "./format.js";

let made = 0;

// Shows `words` and `fields` in `box` with a button named `yes`, which does `act()`; what is wrong is told beside it.
export const ask = (box, words, yes, act, ...fields) => {
  let busy = false;
  const wrong = saying("alert", "wrong");
  const go = element("button", { type: "submit", textContent: yes });
  const no = element("button", { type: "button", textContent: "Cancel" });
  no.addEventListener("click", () => box.replaceChildren());
  const form = element("form", {}, element("p", { textContent: words }), element("p", { className: "row" }, ...fields, go, no), wrong);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return; // the button is not disabled: it would lose the focus
    busy = true;
    await told(wrong, act);
    busy = false;
  });
  box.replaceChildren(form);
  go.focus();
};

// A <select>, and that with its label; `choices` are [value, words].
export const choice = (label, choices, chosen) => {
  made += 1;
  const select = element("select", { id: `choice-${made}` }, ...choices.map(([value, textContent]) =>
    element("option", { value, textContent, selected: value === chosen })));
  const field = element("span", { className: "field" }, element("label", { htmlFor: select.id, textContent: label }), select);
  return [select, field];
};
