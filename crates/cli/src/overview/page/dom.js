// Building blocks. Text of the data only ever becomes text nodes: nothing here makes markup of a string.

const byId = id => document.getElementById(id);
const parsed = id => JSON.parse(byId(id).textContent);
const grouped = number => number.toLocaleString("en-US");
const percent = (part, whole) => whole ? (100 * part / whole).toFixed(1) + "%" : "–";
const plural = (count, word) => `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;

/// An element; `attributes` may name a class, listeners ("onclick") and anything else that is an attribute.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-")) node.setAttribute(name, value);
    else if (value === undefined || value === null || value === false) continue;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}

/// Characters that would not be seen, or would turn the text around, by their number.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
function visible(text) {
  return text
    .replace(UNSEEN, c => "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩")
    .replace(/\n/g, "⏎\n").replace(/\t/g, "⇥\t");
}

/// Text of which a long rest is shown when asked for.
const LONG = 6000;
function longText(text, attributes) {
  if (text.length <= LONG) return el("div", attributes, text);
  const rest = el("button", { type: "button", class: "more", onclick: () => rest.replaceWith(text.slice(LONG)) },
    `… show ${grouped(text.length - LONG)} more characters`);
  return el("div", attributes, text.slice(0, LONG), rest);
}
