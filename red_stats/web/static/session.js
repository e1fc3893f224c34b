// The key of this tab. It is kept in sessionStorage: a reload keeps it, another tab does not see it.
const NAME = "red-stats-key";
let changed = () => {};

export const key = () => sessionStorage.getItem(NAME);

// `told(key, reason)` is called whenever somebody comes in (a key) or has to leave (null).
export const onChange = (told) => { changed = told; };

export const begin = () => changed(key(), "");

export const forget = (reason) => {
  sessionStorage.removeItem(NAME);
  changed(null, reason);
};

export const keep = (given) => {
  sessionStorage.setItem(NAME, given);
  changed(given, "");
};
