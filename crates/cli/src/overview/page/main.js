// Start, selection, keys, and the address of what is open: #file/record/view.

const index = parsed("index");
const rows = index.rows;
rows.forEach((row, number) => {
  row.number = number;
  row.tokens = row.samples.reduce((sum, [tokens]) => sum + tokens, 0);
  row.trained = row.samples.reduce((sum, [, trained]) => sum + trained, 0);
  row.share = row.tokens ? row.trained / row.tokens : -1;
});
let definitions = null;
let view = "chat";

/// What the page holds of a row's conversation.
function conversation(row) {
  return parsed("c" + row.number);
}

function select(row) {
  list.selected = row;
  list.reveal();
  list.draw();
  open();
}

function show(name) {
  if (view === name) return;
  view = name;
  open();
}

/// Draws the conversation selected.
function open() {
  const row = list.selected, box = byId("detail");
  tip.hide();
  box.scrollTop = 0;
  if (!row) {
    box.replaceChildren(el("p", { class: "soft" }, rows.length ? "No conversation is selected." : "There are no conversations."));
    return;
  }
  const shown = conversation(row);
  const tab = (name, text) => el("button", { type: "button", class: "chip", "aria-pressed": view === name, onclick: () => show(name) }, text);
  const body = el("div", { class: "body" });
  const facts = row.samples.length
    ? [plural(row.tokens, "token"), `${grouped(row.trained)} trained (${percent(row.trained, row.tokens)})`] : [];
  if (row.samples.length > 1) facts.push(plural(row.samples.length, "sample"));
  if (row.calls) facts.push(plural(row.calls, "call"));
  box.replaceChildren(
    el("div", { class: "heading" },
      el("div", {}, el("b", { class: "where" }, el("bdi", {}, place(row))), el("div", { class: "soft" }, facts.join(" · "))),
      el("div", { class: "tabs", role: "group", "aria-label": "View" }, tab("chat", "Chat"), tab("tokens", "Tokens"))),
    drawFindings(shown, row) ?? "", body);
  if (view === "tokens") drawTokens(shown, row, body); else drawChat(shown, row, body);
  keepAddress();
}

// Not at each step: browsers stop pages that change their address too often.
const keepAddress = later(() => {
  const row = list.selected;
  if (row) history.replaceState(null, "", `#${row.file}/${row.index}/${view}`);
}, 200);

/// Opens what the address names.
function follow() {
  const [file, record, wanted] = location.hash.slice(1).split("/");
  if (record === undefined) return false;
  const row = rows.find(row => row.file === Number(file) && row.index === Number(record));
  if (wanted === "tokens" || wanted === "chat") view = wanted;
  if (!row) {
    filters.status.textContent = `Record ${record} of file ${file} is not in this page.`;
    return false;
  }
  if (!filters.admits(row)) filters.clear();
  select(row);
  return true;
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape") { if (typing) event.target.blur(); else filters.clear(); return; }
  if (typing) return;
  const arrows = !byId("detail").contains(event.target);
  const keys = {
    j: () => list.step(1), k: () => list.step(-1), c: () => show("chat"), t: () => show("tokens"), "/": () => filters.search.focus(),
    ...(arrows && { ArrowDown: () => list.step(1), ArrowUp: () => list.step(-1) }),
  };
  const action = Object.hasOwn(keys, event.key) && keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
byId("list").addEventListener("scroll", () => list.draw());
addEventListener("resize", () => list.draw());
addEventListener("hashchange", follow);

drawCharts();
filters.draw();
filters.changed();
if (location.hash) follow();
