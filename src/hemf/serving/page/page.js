// The page: takes images, sends them one by one, and keeps the table of what came back.

import { calibration, connect, hide, show } from "./result.js";
import { Refused, ask } from "./server.js";
import { at, make, percent, say } from "./words.js";

const AT_ONCE = 4;
let models = [];
let entries = []; // {file, model, answer, error, row}
let shown = null;
let sending = 0;

const model = () => models.find((one) => one.name === at("model").value);

async function start() {
  models = (await (await ask("/models")).json()).models;
  at("model").replaceChildren(...models.map((one) => make("option", { value: one.name }, one.name)));
  about();
}

function about() {
  const one = model();
  const lines = { architecture: one.architecture, classes: one.classes.join(", "), hash: one.sha256, calibration: calibration(one) };
  at("about").replaceChildren(
    ...Object.entries(lines).flatMap(([name, value]) => [make("dt", {}, say(name)), make("dd", {}, value)]),
  );
}

async function add(files) {
  const given = [...files]; // the list itself may change while the models are still being asked for
  if (!(await ready)) return;
  for (const file of given) {
    const entry = { file, model: model(), answer: null, error: null, row: make("tr") };
    entries.push(entry);
    at("rows").tBodies[0].append(entry.row);
    write(entry);
  }
  at("batch").hidden = !entries.length;
  progress();
  while (sending < AT_ONCE && waiting()) send();
}

const waiting = () => entries.find((one) => !one.answer && !one.error && !one.sent);

async function send() {
  sending++;
  for (let entry = waiting(); entry; entry = waiting()) {
    entry.sent = true;
    try {
      const answer = await ask(`/predict?model=${encodeURIComponent(entry.model.name)}`, entry.file);
      entry.answer = (await answer.json()).images[0];
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      entry.error = error.message;
    }
    if (!entries.includes(entry)) continue; // removed meanwhile
    write(entry);
    progress();
    if (!shown && entry.answer) select(entry);
  }
  sending--;
}

function write(entry) {
  const { answer, error, file } = entry;
  const name = answer ? make("button", { type: "button" }, file.name) : file.name;
  if (answer) name.addEventListener("click", () => select(entry, true));
  const set = answer && (answer.set === null ? "" : answer.set.join(", ") || say("none"));
  const remarks = answer ? [answer.abstain ? say("abstains") : "", ...answer.warnings] : [error ?? say("waiting")];
  entry.row.replaceChildren(
    make("th", { scope: "row" }, name),
    make("td", {}, answer?.label ?? ""),
    make("td", {}, answer ? percent(answer.probability) : ""),
    make("td", {}, set ?? ""),
    make("td", error ? { class: "problem" } : {}, remarks.filter(Boolean).join(" ")),
  );
}

function select(entry, byHand = false) {
  shown = entry;
  for (const one of entries) one.row.querySelector("button")?.setAttribute("aria-current", String(one === entry));
  show(entry, entry.model);
  if (byHand) at("result-heading").focus();
}

function progress() {
  const failed = entries.filter((one) => one.error).length;
  const done = entries.filter((one) => one.answer).length + failed;
  const words = failed ? "progress_failed" : "progress";
  at("status").textContent = entries.length ? say(words, { done, all: entries.length, failed }) : "";
}

function clear() {
  entries = [];
  shown = null;
  hide();
  at("rows").tBodies[0].replaceChildren();
  at("batch").hidden = true;
  at("files").value = "";
  progress();
  at("files").focus();
}

/** Return the results in the columns of ``hemf predict``. */
function table() {
  const classes = [...new Set(entries.flatMap((one) => one.model.classes))];
  const rows = [["path", "prediction", "probability", "set", "abstain", "unfamiliarity", ...classes, "model", "sha256", "error"]];
  for (const { file, answer, error, model: own } of entries) {
    const shares = classes.map((name) => answer?.probabilities[name] ?? "");
    const set = answer?.set ? JSON.stringify(answer.set) : "";
    const head = [file.name, answer?.label ?? "", answer?.probability ?? "", set, answer?.abstain ?? "", answer?.unfamiliarity ?? ""];
    rows.push([...head, ...shares, own.name, own.sha256, error ?? ""]);
  }
  return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
}

function cell(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download() {
  const url = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  make("a", { href: url, download: say("download_name") }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function connectDrop() {
  const zone = at("drop");
  const over = (event, is) => {
    event.preventDefault();
    zone.classList.toggle("over", is);
  };
  document.addEventListener("dragover", (event) => over(event, true));
  document.addEventListener("dragleave", (event) => over(event, false));
  document.addEventListener("drop", (event) => {
    over(event, false);
    add(event.dataTransfer.files);
  });
}

const ready = start().then(
  () => true,
  (error) => {
    at("problem").hidden = false;
    at("problem").textContent = error.message;
    return false;
  },
);
at("files").addEventListener("change", () => add(at("files").files));
at("model").addEventListener("change", about);
at("download").addEventListener("click", download);
at("clear").addEventListener("click", clear);
connectDrop();
connect(() => shown && [shown, shown.model]);
