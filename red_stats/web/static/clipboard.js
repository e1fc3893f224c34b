// Copies a text; false: over http there is no clipboard, and a reader may forbid it.
export const copied = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
};
