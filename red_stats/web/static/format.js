// Numbers, shares and times for people.
const WHOLE = new Intl.NumberFormat("en");
const FEW = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const whole = (number) => WHOLE.format(number);
// So many of something.
export const many = (number, one, more = `${one}s`) => `${whole(number)} ${number === 1 ? one : more}`;
export const few = (number) => FEW.format(number);

// A share in 0..1, exactly: it has four decimals at most.
export const percent = (share) => `${(share * 100).toFixed(2)} %`;

// A time (ms, or RFC 3339) in a zone.
export const time = (at, zone, style = { dateStyle: "medium", timeStyle: "medium" }) =>
  new Intl.DateTimeFormat("en-GB", { ...style, timeZone: zone }).format(new Date(at));

export const bytes = (size) => (size < 10_000 ? `${whole(size)} bytes` : `${whole(Math.round(size / 1000))} kB`);

export const element = (name, fields = {}, ...children) => {
  const made = Object.assign(document.createElement(name), fields);
  made.append(...children);
  return made;
};

// A line for what is wrong (`alert`), or for how something goes (`status`): it is read out once something is in it.
export const saying = (role, className) => {
  const made = element("p", { className });
  made.setAttribute("role", role);
  return made;
};
