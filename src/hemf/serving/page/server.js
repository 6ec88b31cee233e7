// What the page asks of the server, with its token, and again when the server says that it is busy.

import { at, say } from "./words.js";

const KEPT = "hemf-token";
const MOST_TRIES = 20;
const RAW = /^(image\/|application\/dicom$)/;

/** An answer that is no success; its message is the server's own line. */
export class Refused extends Error {}

/** Send one file, or nothing, and return the answer; waits for a token and while the server is busy. */
export async function ask(path, file, signal) {
  for (let tries = 1; ; tries++) {
    const answer = await sent(path, file, signal);
    if (answer.ok) return answer;
    if (answer.status === 401) await newToken(path);
    else if ([429, 503].includes(answer.status) && tries < MOST_TRIES) await pause(answer);
    else throw new Refused(await line(answer));
  }
}

async function sent(path, file, signal) {
  const headers = {};
  const token = sessionStorage.getItem(KEPT);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (file) headers["Content-Type"] = kind(file);
  try {
    return await fetch(path, { method: file ? "POST" : "GET", headers, body: file, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(say("unreachable"));
  }
}

function kind(file) {
  if (/\.(dcm|dicom|ima)$/i.test(file.name)) return "application/dicom";
  return RAW.test(file.type) ? file.type : "application/octet-stream";
}

async function line(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

function pause(answer) {
  const seconds = Number(answer.headers.get("Retry-After")) || 1;
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}

let asking = null;

/** Ask the user for the token, once for all requests that wait for it. */
function newToken() {
  asking ??= new Promise((resolve) => {
    const form = at("token-form");
    if (sessionStorage.getItem(KEPT)) at("token-why").textContent = say("token_wrong");
    form.hidden = false;
    at("token").focus();
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEPT, at("token").value.trim());
      at("token").value = "";
      form.hidden = true;
      asking = null;
      resolve();
    };
  });
  return asking;
}
