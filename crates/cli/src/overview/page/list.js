// The list of conversations. Only the rows in sight are in the document.

const ROW = 58;

const list = {
  shown: [], selected: null,

  refresh() {
    const order = ORDERS[filters.order][1];
    this.shown = rows.filter(row => filters.admits(row)).sort((a, b) => order(a, b) || a.number - b.number);
    const held = index.records === rows.length ? "" : ` held here, of ${grouped(index.records)} in all`;
    filters.status.textContent = filters.active()
      ? `${grouped(this.shown.length)} of ${plural(rows.length, "conversation")}${held}`
      : plural(rows.length, "conversation") + held;
    byId("rows").style.height = this.shown.length * ROW + "px";
    byId("list").scrollTop = 0;
    if (!this.shown.includes(this.selected)) select(this.shown[0] ?? null);
    else this.reveal();
    this.draw();
  },

  draw() {
    const box = byId("list");
    const first = Math.max(Math.floor(box.scrollTop / ROW) - 4, 0);
    const visible = this.shown.slice(first, first + Math.ceil(box.clientHeight / ROW) + 8);
    byId("rows").replaceChildren(...visible.map((row, at) => this.row(row, first + at)));
    if (!this.shown.length) byId("rows").replaceChildren(el("p", { class: "soft empty" }, "Nothing here is like that."));
    box.setAttribute("aria-activedescendant", this.selected ? "r" + this.selected.number : "");
  },

  row(row, at) {
    const node = el("div", {
      id: "r" + row.number, class: "row", role: "option", "aria-selected": row === this.selected,
      "aria-posinset": at + 1, "aria-setsize": this.shown.length, onclick: () => select(row),
    },
      el("div", { class: "top" }, el("span", { class: "place", title: place(row) }, el("bdi", {}, fileName(row)), el("span", {}, recordName(row))),
        el("span", { class: "numbers" }, row.samples.length ? `${grouped(row.tokens)} tokens · ${percent(row.trained, row.tokens)}` : "no tokens")),
      el("div", { class: "bottom" },
        ...(row.refused ? [el("span", { class: "badge error" }, "✗ refused")] : []),
        ...row.codes.slice(0, 3).map(code => el("span", { class: "badge " + (row.refused ? "error" : "warning") }, code)),
        row.codes.length > 3 ? el("span", { class: "badge" }, `+${row.codes.length - 3}`) : null,
        el("span", { class: "title", dir: "auto" }, row.title)));
    node.style.top = at * ROW + "px";
    return node;
  },

  /// Moves the selection by so many rows.
  step(by) {
    const at = this.shown.indexOf(this.selected) + by;
    if (at < 0 || at >= this.shown.length) return;
    select(this.shown[at]);
    byId("work").scrollIntoView({ block: "nearest" });
  },

  reveal() {
    const box = byId("list"), top = this.shown.indexOf(this.selected) * ROW;
    if (top < 0) return;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
  },
};

const place = row => `${index.files[row.file]}:${row.line}: record ${row.index}`;
const fileName = row => index.files[row.file].split(/[/\\]/).pop();
/// The line; in a file of few lines, the record too.
const recordName = row => `:${row.line}` + (row.line > row.index ? "" : ` #${row.index}`);
