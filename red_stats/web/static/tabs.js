// Tabs as the ARIA pattern has them: one stop of the Tab key, arrows move. The hash names the tab, and nothing else.
// A panel hears "shown" and "left".
const tabs = [...document.querySelectorAll("#tabs [role=tab]")];
const inside = document.getElementById("inside"); // hidden while nobody is signed in
const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

const show = (shown) => {
  for (const tab of tabs) {
    if (tab !== shown && !panelOf(tab).hidden) panelOf(tab).dispatchEvent(new Event("left"));
    tab.setAttribute("aria-selected", String(tab === shown));
    tab.tabIndex = tab === shown ? 0 : -1;
    panelOf(tab).hidden = tab !== shown;
  }
  window.dispatchEvent(new Event("resize")); // a chart that was hidden had no width
  if (!inside.hidden) panelOf(shown).dispatchEvent(new Event("shown"));
};

const choose = (tab) => {
  history.replaceState(null, "", `#${panelOf(tab).id}`);
  show(tab);
  tab.focus();
};

// Shows the tab that the hash names.
export const follow = () => show(tabs.find((tab) => `#${panelOf(tab).id}` === location.hash) ?? tabs[0]);

export const open = (id) => choose(tabs.find((tab) => panelOf(tab).id === id));

const moves = {
  ArrowRight: (at) => at + 1,
  ArrowLeft: (at) => at - 1 + tabs.length,
  Home: () => 0,
  End: () => tabs.length - 1,
};

export const start = () => {
  for (const [at, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      if (!(event.key in moves)) return;
      event.preventDefault();
      choose(tabs[moves[event.key](at) % tabs.length]);
    });
  }
  window.addEventListener("hashchange", follow);
  follow();
};
