// A conversation as tokens: trained ones coloured and underlined, control tokens boxed, each with its id and label.

const AT_ONCE = 5000;
const IGNORED = -100;

/// Token by id: what it spells, in text or in bytes, and whether it is a control token.
function vocabulary() {
  if (!vocabulary.byId) vocabulary.byId = new Map(parsed("tokens").map(token => [token.id, token]));
  return vocabulary.byId;
}

function drawTokens(shown, row, box) {
  if (row.refused && shown.samples.length) box.append(el("p", { class: "note" }, "This record is refused, so nothing of it is trained. These are the tokens that it would have."));
  if (!shown.samples.length) box.append(el("p", { class: "note" }, "No tokens can be made of this record."));
  shown.samples.forEach((sample, at) => {
    box.append(el("p", { class: "legend" },
      el("b", {}, shown.samples.length > 1 ? `sample ${at + 1} of ${shown.samples.length}: ` : ""),
      `${plural(sample.tokens, "token")}, ${grouped(sample.trained)} trained (${percent(sample.trained, sample.tokens)}) `,
      el("span", { class: "t trained" }, "trained"), el("span", { class: "t untrained" }, "read, not trained"),
      el("span", { class: "t control" }, "control"), el("span", { class: "t trained control" }, "control, trained")));
    box.append(tokenBox(sample));
  });
}

function tokenBox(sample) {
  const tokens = spelled(sample);
  const box = el("div", { class: "tokens", tabindex: 0, role: "group", "aria-label": "Tokens; arrow keys go from one to the next" });
  const add = from => {
    const part = document.createDocumentFragment();
    for (const token of tokens.slice(from, from + AT_ONCE)) {
      const node = el("span", { class: token.style }, token.shown);
      node.token = token;
      part.append(node);
    }
    const next = from + AT_ONCE, left = tokens.length - next;
    if (left > 0) {
      const more = el("button", { type: "button", class: "more", onclick: () => { more.remove(); add(next); } }, `show ${grouped(Math.min(left, AT_ONCE))} more of ${grouped(left)} tokens`);
      part.append(more);
    } else if (sample.tokens > tokens.length) {
      part.append(el("p", { class: "note" }, `${grouped(sample.tokens - tokens.length)} more tokens are not in the page.`));
    }
    box.append(part);
  };
  add(0);
  box.addEventListener("mouseover", event => tip.show(event.target));
  box.addEventListener("mouseleave", () => tip.hide());
  box.addEventListener("focusout", () => tip.hide());
  box.addEventListener("keydown", event => walk(event, box));
  return box;
}

/// Each token with what is shown of it, its label and its weight.
function spelled(sample) {
  const words = vocabulary(), labels = new Map(sample.labels);
  const weights = sample.weights.flatMap(([length, weight]) => Array(length).fill(weight));
  // A character may be spread over several tokens: the last of them shows it.
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let pending = false;
  const tokens = [];
  let run = 0, end = sample.runs[0] ?? 0;
  sample.ids.forEach((id, position) => {
    while (position >= end) end += sample.runs[++run];
    const word = words.get(id), trained = run % 2 === 1;
    const whole = typeof word.text === "string";
    let text = word.text;
    if (whole && pending) decoder.decode();
    pending = !whole;
    if (!whole) text = decoder.decode(new Uint8Array(word.text), { stream: true });
    const spells = whole ? JSON.stringify(text) : "bytes " + word.text.map(byte => byte.toString(16).padStart(2, "0")).join(" ");
    tokens.push({
      position, id, trained, spells, weight: weights[position],
      label: trained ? labels.get(position) ?? id : IGNORED,
      style: "t " + (trained ? "trained" : "untrained") + (word.control ? " control" : "") + (whole ? "" : " part"),
      shown: visible(text) || "▫",
    });
  });
  return tokens;
}

/// Left and right go from token to token.
function walk(event, box) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const now = box.querySelector(".at");
  let next = now ? (by > 0 ? now.nextElementSibling : now.previousElementSibling) : box.firstElementChild;
  if (!next?.token) return;
  now?.classList.remove("at");
  next.classList.add("at");
  next.scrollIntoView({ block: "nearest" });
  tip.show(next);
}

const tip = {
  show(node) {
    const token = node.token, box = byId("tip");
    if (!token) return this.hide();
    box.replaceChildren(
      el("b", {}, `id ${token.id}`), ` label ${token.label}${token.trained ? "" : " (not trained)"}`,
      token.weight === undefined ? "" : ` weight ${Number(token.weight.toPrecision(6))}`,
      ` position ${grouped(token.position)} `, el("bdi", { class: "soft" }, visible(token.spells)));
    box.hidden = false;
    const at = node.getClientRects()[0], size = box.getBoundingClientRect();
    box.style.left = Math.max(8, Math.min(at.left, innerWidth - size.width - 8)) + "px";
    box.style.top = (at.bottom + size.height + 10 < innerHeight ? at.bottom + 6 : at.top - size.height - 6) + "px";
  },
  hide() { byId("tip").hidden = true; },
};
