// Clock times of a zone, as datetime-local inputs hold them, and the instants (ms) they stand for.
const clockOf = (at, zone) => {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
  return `${part.year.padStart(4, "0")}-${part.month}-${part.day}T${part.hour}:${part.minute}:${part.second}`;
};

export const toLocal = clockOf;

const offsetAt = (at, zone) => Date.parse(`${clockOf(at, zone)}Z`) - Math.floor(at / 1000) * 1000;

// Of a time that clocks show twice, the first; of one they leave out, as if they had not been set forward. NaN: it is none.
export const fromLocal = (text, zone) => {
  const wall = Date.parse(/^\d{4}-/.test(text) ? `${text}Z` : "");
  if (Number.isNaN(wall)) return NaN;
  const offsets = [wall - 86_400_000, wall + 86_400_000].map((at) => offsetAt(at, zone));
  const right = offsets.map((offset) => wall - offset).filter((at) => offsetAt(at, zone) === wall - at);
  return right.length ? Math.min(...right) : wall - offsets[0];
};

export const own = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

// Every zone that this browser knows, UTC among them.
export const all = () => [...new Set(["UTC", own(), ...Intl.supportedValuesOf("timeZone")])].sort();
