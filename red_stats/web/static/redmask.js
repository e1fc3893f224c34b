// Rule red-1 (docs/red.md) in the browser: which pixels of an image are red. `>>` rounds down, as `//` there.
const MOST_PIXELS = 4_000_000; // larger images are scaled down, so that no tab runs out of memory

export const isRed = (r, g, b, a) =>
  a >= 128
  && r >= 64
  && Math.min(g, b) <= (r >> 2) + (r >> 3) + (r >> 5)
  && g <= b + ((r - b) >> 2)
  && b <= g + ((r - g) >> 2) + ((r - g) >> 3);

// Greys whatever is not red, in place; returns how many pixels are red. `pixels`: R, G, B, A of 8 bits each.
export const mark = (pixels) => {
  let found = 0;
  for (let at = 0; at < pixels.length; at += 4) {
    const [r, g, b, a] = [pixels[at], pixels[at + 1], pixels[at + 2], pixels[at + 3]];
    if (isRed(r, g, b, a)) {
      found += 1;
    } else {
      pixels.fill(150 + ((r + 2 * g + b) >> 4) * 1.5, at, at + 3);
    }
  }
  return found;
};

// A canvas with the red pixels of an image file, and their number; `scaled` if it was too large to count.
export const marked = async (file) => {
  const image = await createImageBitmap(file, {
    colorSpaceConversion: "none", imageOrientation: "none", premultiplyAlpha: "none",
  });
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (image.width * image.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * shrink));
  canvas.height = Math.max(1, Math.round(image.height * shrink));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  const data = context.getImageData(0, 0, canvas.width, canvas.height);
  const count = mark(data.data);
  context.putImageData(data, 0, 0);
  return { canvas, count, scaled: shrink < 1 };
};
