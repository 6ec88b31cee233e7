// Writes the interface's description, openapi.json, as a page.

import { at, make, say } from "./words.js";

const BODIES = { "multipart/form-data": "-F images=@a.png -F images=@b.dcm", "application/json": "-H 'Content-Type: application/json' -d @request.json" };

async function start() {
  const about = await (await fetch("/openapi.json")).json();
  const found = Object.entries(about.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, one]) => ({ path, method: method.toUpperCase(), ...one })),
  );
  for (const tag of [...new Set(found.map((one) => one.tags[0]))]) {
    const heading = make("h2", {}, tag[0].toUpperCase() + tag.slice(1));
    at("operations").append(heading, ...found.filter((one) => one.tags[0] === tag).map(article));
  }
}

function article(one) {
  const made = make("article", {}, make("h3", {}, `${one.method} ${one.path}`), make("p", {}, one.summary));
  if (one.description) made.append(make("p", {}, ...code(one.description)));
  if (one.parameters) {
    const head = ["docs_name", "docs_in", "docs_meaning"];
    made.append(table(say("docs_parameters"), head, one.parameters.map((p) => [p.name, p.in, p.description ?? ""])));
  }
  const kinds = Object.keys(one.requestBody?.content ?? {});
  if (kinds.length) made.append(make("p", {}, `${say("docs_body")}: ${kinds.join(", ")}`));
  const rows = Object.entries(one.responses)
    .filter(([status]) => status !== "422" || kinds.length)
    .map(([status, answer]) => [status, form(answer), answer.description]);
  made.append(table(say("docs_answers"), ["docs_status", "docs_form", "docs_meaning"], rows));
  made.append(make("p", {}, say("docs_example")), make("pre", { tabindex: "0" }, make("code", {}, example(one, kinds))));
  return made;
}

function form(answer) {
  const [kind, content] = Object.entries(answer.content ?? {})[0] ?? ["", {}];
  return content.schema?.$ref?.split("/").pop() ?? kind;
}

function example({ method, path, parameters }, kinds) {
  const query = parameters?.some((one) => one.name === "model" && one.in === "query") ? "?model=NAME" : "";
  const body = kinds.length ? ` ${BODIES[kinds[0]]}` : method === "POST" ? " -X POST" : "";
  return `curl '${location.origin}${path}${query}'${body}`;
}

function table(caption, head, rows) {
  const made = make("table", {}, make("caption", {}, caption));
  made.append(make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, say(name))))));
  made.append(make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", {}, ...code(text)))))));
  return make("div", { class: "wide" }, made);
}

/** Return a text whose parts in backticks are code. */
function code(text) {
  return text.split("`").map((part, i) => (i % 2 ? make("code", {}, part) : part));
}

start().catch((error) => {
  at("problem").hidden = false;
  at("problem").textContent = say("docs_failed", { line: error.message });
});
