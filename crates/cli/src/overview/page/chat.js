// A conversation as chat: who said what, calls as calls, and what was found in it.

function drawChat(shown, row, box) {
  if (shown.raw !== null) {
    box.append(el("p", { class: "soft" }, "The record as it stands in the file:"), longText(shown.raw, { class: "raw", dir: "auto" }));
  }
  if (shown.tools.length) box.append(drawTools(shown.tools));
  shown.messages.forEach((message, at) => {
    if (message.side && message.side !== shown.messages[at - 1]?.side) box.append(el("h3", {}, message.side));
    box.append(drawMessage(message, at, row, shown.findings.filter(finding => finding.message === at)));
  });
  if (shown.left_out) box.append(el("p", { class: "note" }, `${grouped(shown.left_out)} more characters of this record are not in the page.`));
}

function drawMessage(message, at, row, findings) {
  const trained = row.refused ? "would be trained" : "trained";
  const who = message.role === "tool" ? "tool result" : message.role;
  const head = el("div", { class: "head" },
    el("b", {}, who), message.name ? el("bdi", {}, message.name) : null,
    message.tool_call_id ? el("span", { class: "soft" }, "answers ", el("bdi", {}, message.tool_call_id)) : null,
    message.trained ? el("span", { class: "badge learned" }, trained) : null,
    ...findings.map(finding => el("span", { class: "badge found", title: finding.text }, finding.code)),
    message.side ? null : el("span", { class: "soft number" }, `messages[${at}]`));
  const box = el("div", { class: `message ${message.role}${message.trained ? " learned" : ""}${findings.length ? " faulty" : ""}`, id: "m" + at }, head);
  if (message.reasoning !== null) {
    box.append(el("details", { class: "thinking", open: true }, el("summary", {}, "thinking"), longText(message.reasoning, { class: "text", dir: "auto" })));
  }
  if (message.text) box.append(longText(message.text, { class: "text", dir: "auto" }));
  else if (!message.calls.length) box.append(el("div", { class: "soft" }, message.text === null ? "(no text)" : "(empty text)"));
  for (const call of message.calls) {
    box.append(el("div", { class: "call" },
      el("div", {}, el("span", { class: "soft" }, "call "), el("b", {}, el("bdi", {}, call.name)), call.id ? el("span", { class: "soft" }, " ", el("bdi", {}, call.id)) : null),
      longText(call.arguments, { class: "json", dir: "ltr" })));
  }
  return box;
}

function drawTools(numbers) {
  definitions ??= parsed("definitions");
  const texts = numbers.map(number => definitions[number]);
  const named = text => { try { const tool = JSON.parse(text); return (tool.function ?? tool).name ?? tool.type; } catch { return undefined; } };
  const tools = texts.map(text => {
    const name = named(text);
    return el("details", {}, el("summary", {}, el("bdi", {}, typeof name === "string" ? name : "tools without a name")), longText(text, { class: "json", dir: "ltr" }));
  });
  return el("details", { class: "offered", open: tools.length <= 3 }, el("summary", {}, `${plural(tools.length, "tool")} offered`), ...tools);
}

/// What was found, each leading to its message.
function drawFindings(shown, row) {
  const lead = finding => {
    const open = () => { show("chat"); const node = byId("m" + finding.message); node?.scrollIntoView({ block: "nearest" }); flash(node); };
    const where = finding.message === null || row.samples.length + shown.messages.length === 0 ? null
      : el("button", { type: "button", class: "more", onclick: open }, "show");
    return el("li", {}, el("span", { class: "badge " + (row.refused ? "error" : "warning") }, (row.refused ? "✗ " : "! ") + finding.code), " ", el("bdi", {}, finding.text), " ", where);
  };
  if (!shown.findings.length) return null;
  return el("ul", { class: "findings" }, ...shown.findings.map(lead),
    shown.findings_left_out ? el("li", {}, `and ${grouped(shown.findings_left_out)} more`) : null);
}

function flash(node) {
  if (!node) return;
  node.classList.remove("flash");
  void node.offsetWidth;
  node.classList.add("flash");
}
