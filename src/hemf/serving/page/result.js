// Shows one image: what the model says, in words and bars, and where it looks.

import { Refused, ask } from "./server.js";
import { at, make, percent, say } from "./words.js";

let looking = null; // what is being fetched for the image that is shown

/** Show an entry of the batch. */
export function show(entry, model) {
  at("result").hidden = false;
  at("result-heading").textContent = say("result_of", { name: entry.file.name });
  const said = entry.answer;
  at("verdict").textContent = say("with_probability", { label: said.label, percent: percent(said.probability) });
  showSet(said, model);
  at("calibration").textContent = calibration(model);
  showWarnings(said.warnings);
  at("bars").tBodies[0].replaceChildren(...Object.entries(said.probabilities).map((one) => bar(one, said.set)));
  at("target").replaceChildren(...model.classes.map((name) => make("option", { value: name }, name)));
  at("target").value = said.label;
  at("heat-controls").hidden = !model.explains;
  look(entry, model);
}

/** Show nothing, and let go of the pictures. */
export function hide() {
  looking?.abort();
  at("result").hidden = true;
  for (const id of ["picture", "heat"]) put(at(id), null, "");
}

/** Say how far probabilities and sets can be trusted. */
export function calibration(model) {
  const lines = [];
  lines.push(
    model.temperature === null ? say("not_calibrated") : say("calibrated", model.calibrated_on ?? { n: "?", split: "?" }),
  );
  lines.push(model.coverage === null ? say("no_sets") : say("coverage", { percent: percent(model.coverage, 0) }));
  return lines.join(" ");
}

function showSet(said, model) {
  const box = at("abstains");
  box.hidden = !said.abstain;
  if (said.abstain) {
    const why = said.set.length ? say("abstains_several", { names: said.set.join(", ") }) : say("abstains_none");
    box.replaceChildren(make("strong", {}, say("abstains")), why);
  }
  const lines = [];
  if (said.set?.length === 1) lines.push(say("set_one"));
  if (said.disagreement !== null) lines.push(say("disagreement", { percent: percent(said.disagreement) }));
  at("sentence").textContent = lines.join(" ");
  at("bars").classList.toggle("without-sets", model.coverage === null);
}

function showWarnings(lines) {
  at("warnings").hidden = !lines.length;
  at("warnings").querySelector("ul").replaceChildren(...lines.map((line) => make("li", {}, line)));
}

function bar([name, probability], set) {
  const full = make("span");
  full.style.width = `${100 * probability}%`;
  const inside = set === null ? say("none") : say(set.includes(name) ? "yes" : "no");
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, name),
    make("td", {}, percent(probability), make("span", { class: "bar", "aria-hidden": "true" }, full)),
    make("td", {}, inside),
  );
}

/** Fetch the picture, then the heat map over it; a later call takes the place of this one. */
async function look(entry, model) {
  looking?.abort();
  const own = (looking = new AbortController());
  for (const id of ["picture", "heat"]) put(at(id), null, "");
  at("heat-status").textContent = "";
  const query = (values) => `/explain?${new URLSearchParams({ model: model.name, ...values })}`;
  try {
    const plain = await ask(query({ opacity: 0 }), entry.file, own.signal);
    put(at("picture"), await plain.blob(), say("picture", { name: entry.file.name }));
    if (!model.explains) return void (at("heat-status").textContent = say("no_heat"));
    at("heat-status").textContent = say("heat_waiting");
    const label = at("target").value;
    const made = await ask(query({ target: label }), entry.file, own.signal);
    put(at("heat"), await made.blob(), say("heat", { name: entry.file.name, label }));
    at("heat-status").textContent = made.headers.get("Hemf-Blank") === "true" ? say("heat_blank") : "";
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refused)) throw error;
    at("heat-status").textContent = error.message;
  }
}

function put(image, blob, text) {
  if (image.src) URL.revokeObjectURL(image.src);
  image.hidden = blob === null;
  image.alt = text;
  if (blob === null) image.removeAttribute("src");
  else image.src = URL.createObjectURL(blob);
}

/** Connect the controls of the heat map; ``current`` returns the entry that is shown, and its model. */
export function connect(current) {
  const fade = () => (at("heat").style.opacity = at("opacity").value / 100);
  at("opacity").addEventListener("input", fade);
  fade();
  at("target").addEventListener("change", () => current() && look(...current()));
}
