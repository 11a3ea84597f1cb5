// The distributions: bars that are buttons, and filter the list by what they count.

function rangeText(bin, unit) {
  if (bin.high === null) return `${grouped(bin.low)}${unit} and more`;
  const low = grouped(bin.low);
  return (bin.high === bin.low ? low : `${low}–${grouped(bin.high)}`) + unit;
}

function histogram(chart) {
  const most = Math.max(...chart.bins.map(bin => bin.count), 1);
  const q = chart.quantiles;
  const bars = chart.bins.map(bin => {
    const label = `${rangeText(bin, chart.unit)}: ${plural(bin.count, chart.counts.slice(0, -1))}`;
    const fill = el("i");
    fill.style.height = bin.count ? Math.max(100 * bin.count / most, 2) + "%" : "0";
    return el("button", {
      type: "button", title: label, "aria-label": label, "aria-pressed": "false",
      onclick: () => filters.toggleRange(chart, bin),
    }, fill);
  });
  chart.bars = bars;
  const last = chart.bins[chart.bins.length - 1];
  return el("section", { class: "chart", "aria-label": chart.title },
    el("h2", {}, chart.title),
    el("div", { class: "bars" }, ...bars),
    el("div", { class: "axis" }, el("span", {}, grouped(chart.bins[0].low) + chart.unit),
      el("span", {}, last.high === null ? `${grouped(last.low)}${chart.unit} and more` : grouped(last.high) + chart.unit)),
    el("p", { class: "soft" }, `median ${grouped(q.median)}${chart.unit}, p95 ${grouped(q.p95)}${chart.unit}, max ${grouped(q.largest)}${chart.unit}`));
}

function toolChart() {
  const most = Math.max(...index.tools.map(tool => tool.calls), 1);
  const rows = index.tools.slice(0, 100).map((tool, number) => {
    const fill = el("i");
    fill.style.width = 100 * tool.calls / most + "%";
    const label = `${tool.name}: ${plural(tool.calls, "call")} in ${plural(tool.called_in, "conversation")}, offered in ${grouped(tool.offered_in)}`;
    return el("button", { type: "button", title: label, "aria-label": label, onclick: () => filters.setTool(number) },
      el("span", { class: "name" }, el("bdi", {}, tool.name)), el("span", { class: "track" }, fill), el("b", {}, grouped(tool.calls)));
  });
  const never = index.tools.filter(tool => tool.calls === 0).length;
  const more = index.tools_in_all > rows.length ? `the ${rows.length} most called of ${grouped(index.tools_in_all)}` : plural(rows.length, "tool");
  return el("section", { class: "chart", "aria-label": "Tools" },
    el("h2", {}, "Calls by tool"), el("div", { class: "tools" }, ...rows),
    el("p", { class: "soft" }, more + (never ? `; ${grouped(never)} offered and never called` : "")));
}

function drawCharts() {
  byId("charts").append(...index.charts.filter(chart => chart.bins.some(bin => bin.count)).map(histogram));
  if (index.tools.length) byId("charts").append(toolChart());
}
