// The subscriptions of the client by id, and what people call them.
import { ask } from "./api.js";
import { element, percent } from "./format.js";

let known = new Map();

export const all = () => [...known.values()];

export const nameOf = (id) => {
  const found = known.get(id);
  if (found === undefined) return `subscription ${id.slice(0, 8)}`;
  return found.description || `over ${percent(found.threshold)}`;
};

export const load = async () => {
  const before = known;
  const { items } = await ask("/v1/subscriptions");
  if (known === before) known = new Map(items.map((one) => [one.id, one]));
};

export const clear = () => { known = new Map(); };

// Fills a <select> with them; what was chosen stays, as far as it is there.
export const fill = (select, ...first) => {
  const chosen = select.value;
  const options = all().map((one) => element("option", { value: one.id, textContent: nameOf(one.id) }));
  select.replaceChildren(...first, ...options);
  if ([...select.options].some(({ value }) => value === chosen)) select.value = chosen;
};

export const any = () => element("option", { value: "", textContent: "all of them" });
