// Rows of the tables beside charts of bars: what a bar says, and a button to its images, as a click on the bar is.
import { element } from "./format.js";

// `name` tells its button from the others for who hears it: "from ...", "with ...".
export const row = (cells, name, images, look) => {
  const button = element("button", { type: "button", textContent: "Show", disabled: images === 0 });
  button.setAttribute("aria-label", `Show the images ${name}`);
  button.addEventListener("click", look);
  return element("tr", {}, ...[...cells, button].map((cell) => element("td", {}, cell)));
};
