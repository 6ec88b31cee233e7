// The page's texts, which lie in one file a language, and small helpers to write them.

const words = await (await fetch("/static/en.json")).json();

/** Return a text, with {names} in it replaced. */
export function say(name, values = {}) {
  return words[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** Return an element by its id. */
export const at = (id) => document.getElementById(id);

/** Make an element with attributes, and children that are texts or elements. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Write a share as a percentage, with one digit behind the point, or as few as it has. */
export function percent(share, least = 1) {
  const digits = { minimumFractionDigits: least, maximumFractionDigits: 1 };
  return new Intl.NumberFormat("en", { style: "percent", ...digits }).format(share);
}
