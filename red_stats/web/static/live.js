// Shows /v1/live of the key's client, once a second; a number that is not fresh is shown pale.
const byId = (id) => document.getElementById(id);
const cells = (row, values) => values.forEach((value) => { row.insertCell().textContent = value; });
const draw = (live) => {
  for (const [span, total] of Object.entries(live.totals)) byId(`total-${span}`).textContent = total.images;
  const most = Math.max(1, ...live.histogram);
  byId("histogram").replaceChildren(...live.histogram.map((count, bin) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = (count / most) * 100;
    Object.entries({ x: bin, y: 100 - height, width: 0.9, height }).forEach(([name, value]) => bar.setAttribute(name, value));
    return bar;
  }));
  byId("subscriptions").replaceChildren();
  for (const one of live.subscriptions) {
    cells(byId("subscriptions").insertRow(), [one.threshold, one.images, one.over, one.id]);
  }
};
const tell = (words, fresh) => {
  byId("told").textContent = words;
  byId("live").classList.toggle("stale", !fresh);
};
const refresh = async () => {
  const key = byId("key").value.trim();
  if (!key) return;
  try {
    const answer = await fetch("/v1/live", { headers: { Authorization: `Bearer ${key}` } });
    const body = await answer.json();
    if (!answer.ok) return tell(body.detail, false);
    draw(body);
    byId("live").hidden = false;
    tell(`Client ${body.client_id}, as of ${new Date(body.as_of.time).toLocaleTimeString()}`, true);
  } catch {
    tell("RED_STATS does not answer.", false);
  }
};
byId("key").addEventListener("input", refresh);
setInterval(refresh, 1000);
