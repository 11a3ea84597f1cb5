// What the list shows: search text, rule codes (any of them), marks and ranges (all of them), a tool, an order.

const ORDERS = [
  ["in the files' order", (a, b) => a.number - b.number],
  ["longest first", (a, b) => b.tokens - a.tokens],
  ["shortest first", (a, b) => a.tokens - b.tokens],
  ["least trained first", (a, b) => a.share - b.share],
  ["most calls first", (a, b) => (b.calls ?? 0) - (a.calls ?? 0)],
];

const filters = {
  text: "", codes: new Set(), marks: new Set(), ranges: new Map(), tool: null, order: 0,

  toggle(set, value) { if (!set.delete(value)) set.add(value); this.changed(); },
  toggleRange(chart, bin) {
    if (this.ranges.get(chart) === bin) this.ranges.delete(chart); else this.ranges.set(chart, bin);
    this.changed();
  },
  setTool(number) { this.tool = this.tool === number ? null : number; this.changed(); },
  clear() {
    this.codes.clear(); this.marks.clear(); this.ranges.clear();
    this.text = ""; this.tool = null; this.search.value = "";
    this.changed();
  },
  active() { return this.text !== "" || this.codes.size + this.marks.size + this.ranges.size > 0 || this.tool !== null; },

  admits(row) {
    if (this.codes.size && !row.codes.some(code => this.codes.has(code))) return false;
    for (const mark of this.marks) if (!row[mark]) return false;
    if (this.tool !== null && !row.tools.includes(this.tool)) return false;
    for (const [chart, bin] of this.ranges) if (!inRange(row, chart.field, bin)) return false;
    return this.text === "" || searchable(row).includes(this.text);
  },

  changed() {
    for (const [button, on] of this.buttons) button.setAttribute("aria-pressed", on());
    for (const chart of index.charts) (chart.bars ?? []).forEach((bar, at) => bar.setAttribute("aria-pressed", this.ranges.get(chart) === chart.bins[at]));
    this.select.value = this.tool ?? "";
    this.ranged.replaceChildren(...[...this.ranges].map(([chart, bin]) =>
      el("button", { type: "button", class: "chip", "aria-pressed": "true", title: "Remove this filter", onclick: () => this.toggleRange(chart, bin) },
        `${chart.title.toLowerCase()}: ${rangeText(bin, chart.unit)} ×`)));
    this.reset.hidden = !this.active();
    list.refresh();
  },

  draw() {
    this.buttons = [];
    const chip = (set, value, kind, text, count, held, title) => {
      const button = el("button", { type: "button", class: "chip " + kind, title, disabled: count === 0, onclick: () => this.toggle(set, value) },
        text + " ", el("b", {}, grouped(count)), held < count ? el("span", { class: "soft" }, ` ${grouped(held)} here`) : null);
      this.buttons.push([button, () => set.has(value)]);
      return button;
    };
    const heldWith = holds => rows.filter(holds).length;
    const marks = index.marks.map(mark => chip(this.marks, mark.field, "mark", mark.name, mark.count, heldWith(row => row[mark.field]),
      `${plural(mark.count, "conversation")} of ${grouped(index.records)}`));
    const codes = index.codes.map(code => {
      const count = code.refused + code.warned;
      const kind = code.refused ? "error" : "warning";
      const title = `${grouped(code.refused)} refused for it, ${grouped(code.warned)} kept with a warning`;
      return chip(this.codes, code.code, kind, code.code, count, heldWith(row => row.codes.includes(code.code)), title);
    });
    this.search = el("input", { type: "search", placeholder: "Search text", "aria-label": "Search text", oninput: later(() => {
      this.text = this.search.value.trim().toLowerCase();
      this.changed();
    }, 150) });
    const option = (value, text) => el("option", { value }, text);
    this.select = el("select", { "aria-label": "Tool called", onchange: () => {
      this.tool = this.select.value === "" ? null : Number(this.select.value);
      this.changed();
    } }, option("", "any tool, or none"), ...index.tools.map((tool, at) => tool.calls ? option(at, `${tool.name} (${grouped(tool.called_in)})`) : null));
    const order = el("select", { "aria-label": "Order", onchange: () => { this.order = Number(order.value); this.changed(); } },
      ...ORDERS.map(([name], at) => option(at, name)));
    this.reset = el("button", { type: "button", class: "more", hidden: true, onclick: () => this.clear() }, "clear filters");
    this.ranged = el("span");
    this.status = el("span", { role: "status" });
    byId("filters").append(
      el("div", { class: "line" }, this.search, this.select, order, ...marks),
      el("div", { class: "line codes" }, ...codes),
      el("div", { class: "line" }, this.status, this.ranged, this.reset));
    byId("filters").addEventListener("submit", event => event.preventDefault());
  },
};

function inRange(row, field, bin) {
  const inside = value => value !== null && value >= bin.low && (bin.high === null || value <= bin.high);
  if (field === "calls") return inside(row.calls);
  // The charts count samples that were made, not those that a refused conversation would have given.
  if (row.refused) return false;
  return row.samples.some(([tokens, trained]) => inside(field === "tokens" ? tokens : Math.ceil(100 * trained / Math.max(tokens, 1))));
}

function later(action, milliseconds) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(action, milliseconds); };
}

/// All words of a conversation in lower case; made when first searched, and kept.
function searchable(row) {
  if (row.words === undefined) {
    const shown = conversation(row);
    const words = [place(row), row.title, shown.raw ?? "", ...shown.findings.map(finding => finding.text)];
    for (const message of shown.messages) {
      words.push(message.text ?? "", message.reasoning ?? "", message.name ?? "");
      for (const call of message.calls) words.push(call.name, call.arguments);
    }
    row.words = words.join("\n").toLowerCase();
  }
  return row.words;
}
