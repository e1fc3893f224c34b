// Draws /openapi.json as a list of operations; works offline.
const element = (name, text, parent, kind) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
};
const resolve = (api, thing) => thing.$ref ? thing.$ref.slice(2).split("/").reduce((at, key) => at[key], api) : thing;
const show = async () => {
  const api = await (await fetch("/openapi.json")).json();
  const list = document.getElementById("paths");
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const box = element("details", "", list);
      const title = element("summary", "", box);
      element("code", method.toUpperCase(), title, "method");
      element("code", " " + path, title);
      element("span", " " + operation.summary, title, "quiet");
      if (operation.description) element("p", operation.description, box);
      for (const given of operation.parameters || []) {
        const parameter = resolve(api, given);
        const line = element("p", "", box);
        element("code", parameter.name + (parameter.required ? "" : "?"), line);
        element("span", " " + (parameter.description || ""), line, "quiet");
      }
      const body = operation.requestBody && Object.entries(operation.requestBody.content)[0];
      if (body && body[1].example) element("pre", JSON.stringify(body[1].example, null, 2), box);
      for (const [status, given] of Object.entries(operation.responses)) {
        const response = resolve(api, given);
        const line = element("p", "", box);
        element("code", status, line);
        element("span", " " + response.description, line, "quiet");
        const example = Object.values(response.content || {})[0]?.example;
        if (example) element("pre", JSON.stringify(example, null, 2), box);
      }
    }
  }
};
show();
