// A line that is dragged, or moved with keys, over a box whose width is 0 to 1.
const STEP = 0.01;
const FAR = 0.1;
const REST_MS = 300; // without a key
let at = 0.25;

export const value = () => at;

const keys = (event) => {
  const step = event.shiftKey ? FAR : STEP;
  return {
    ArrowRight: at + step, ArrowUp: at + step, ArrowLeft: at - step, ArrowDown: at - step,
    PageUp: at + FAR, PageDown: at - FAR, Home: 0, End: 1,
  }[event.key];
};

// `moved(value)` follows the line, `rested(value)` is called once it stands.
export const start = (box, line, moved, rested) => {
  let resting = null;

  const put = (share, decimals) => {
    at = Number(Math.min(1, Math.max(0, share)).toFixed(decimals));
    line.style.left = `${at * 100}%`;
    line.setAttribute("aria-valuenow", at);
    line.setAttribute("aria-valuetext", `${(at * 100).toFixed(1)} %`);
  };
  const drag = (event) => {
    const { left, width } = box.getBoundingClientRect();
    put((event.clientX - left) / width, 3);
    moved(at);
  };
  line.addEventListener("pointerdown", (event) => {
    line.setPointerCapture(event.pointerId);
    line.focus();
    event.preventDefault();
    line.addEventListener("pointermove", drag);
  });
  const release = () => {
    line.removeEventListener("pointermove", drag);
    rested(at);
  };
  line.addEventListener("pointerup", release);
  line.addEventListener("pointercancel", release);
  line.addEventListener("keydown", (event) => {
    const next = keys(event);
    if (next === undefined) return;
    event.preventDefault();
    put(next, 4);
    moved(at);
    clearTimeout(resting);
    resting = setTimeout(() => rested(at), REST_MS);
  });
  put(at, 4);
};
