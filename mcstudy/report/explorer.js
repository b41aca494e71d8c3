"use strict";
// Draws the figure that is asked for, and fills the table of all cells. The data come from the
// table `performance`: names once, a row has their places.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.rows;
  const count = rows.value.length;
  const Z = 1.959963984540054;
  const varying = data.varying;

  function limits(i) {
    if (rows.limits[i]) return rows.limits[i];
    if (rows.mcse[i] === null) return [null, null];
    return [rows.value[i] - Z * rows.mcse[i], rows.value[i] + Z * rows.mcse[i]];
  }

  // A number by the digits that its error allows, as in the printed tables.
  function withError(value, error, lower, upper) {
    if (value === null) return "–";
    if (error === null) return value.toPrecision(4) + " (–)";
    if (error <= 1e-12 * Math.abs(value)) {
      let bound = "0";
      if (lower !== null && value - lower > 1e-12 && upper - value <= 1e-12) bound = ">" + (Math.floor(lower * 100) / 100).toFixed(2);
      else if (upper !== null && upper - value > 1e-12 && value - lower <= 1e-12) bound = "<" + (Math.ceil(upper * 100) / 100).toFixed(2);
      return Number(value.toPrecision(4)) + " (" + bound + ")";
    }
    const digit = Math.floor(Math.log10(Number(error.toExponential(1))));
    const places = Math.max(0, 1 - digit);
    if (places > 6 || digit > 5) return value.toExponential(2) + " (" + error.toExponential(1) + ")";
    const text = value.toFixed(places);
    return (Number(text) === 0 ? text.replace("-", "") : text) + " (" + error.toFixed(places) + ")";
  }

  function element(tag, attributes, text) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function choice(form, id, words, options, chosen) {
    const label = element("label", { for: id }, words);
    const select = element("select", { id: id });
    for (const [value, text] of options) select.append(element("option", { value: value }, text));
    select.value = String(chosen);
    label.append(select);
    form.append(label);
    return select;
  }

  const numbered = (labels) => labels.map((text, place) => [place, text]);
  const factorOptions = varying.map((f) => [f, data.factors[f].label]);
  const present = [...new Set(rows.measure)].sort((a, b) => a - b);
  const first = (name) => data.measures.findIndex((m) => m.name === name);
  const preferred = ["coverage", "rejection", "bias"].map(first).find((k) => present.includes(k));

  // The figure
  const form = document.getElementById("choices");
  const measureAt = choice(form, "measure", "Measure", present.map((k) => [k, data.measures[k].label]), preferred === undefined ? present[0] : preferred);
  const estimandAt = choice(form, "estimand", "Estimand", [["all", "all"], ...numbered(data.estimands)], "all");
  const intervalAt = choice(form, "interval", "Interval", [["all", "all"], ...numbered(data.intervals)], "all");
  const methodAt = choice(form, "method", "Method", [["all", "all"], ...data.methods.map((m, j) => [j, m.label])], "all");
  const xAt = choice(form, "x", "On the axis", [...factorOptions, ["method", "method"]], varying.length ? varying[0] : "method");
  const facetAt = choice(form, "facet", "Panels across", [["none", "none"], ...factorOptions], varying.length > 1 ? varying[1] : "none");
  const facetDownAt = choice(form, "facet-down", "Panels down", [["estimand", "estimand"], ["none", "none"], ...factorOptions], "estimand");

  function chosenRows() {
    const found = [];
    const wanted = (select, value) => select.value === "all" || Number(select.value) === value;
    for (let i = 0; i < count; i++) {
      if (rows.measure[i] !== Number(measureAt.value)) continue;
      if (rows.estimand[i] >= 0 && !wanted(estimandAt, rows.estimand[i])) continue;
      if (rows.interval[i] >= 0 && !wanted(intervalAt, rows.interval[i])) continue;
      if (!wanted(methodAt, rows.method[i])) continue;
      if (rows.value[i] !== null) found.push(i);
    }
    return found;
  }

  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function draw() {
    const measure = data.measures[Number(measureAt.value)];
    const of = chosenRows();
    const several = new Set(of.map((i) => rows.interval[i])).size > 1;
    const level = (f, i) => data.factors[f].levels[rows["f" + f][i]];
    const x = xAt.value;
    const panels = [facetAt.value, facetDownAt.value];
    const inFigure = new Set([x, ...panels].filter((f) => f !== "method" && f !== "none" && f !== "estimand").map(Number));
    const others = varying.filter((f) => !inFigure.has(f));
    const values = of.map((i) => {
      const [lower, upper] = limits(i);
      const method = data.methods[rows.method[i]].label;
      const interval = rows.interval[i] >= 0 ? data.intervals[rows.interval[i]] : "";
      const estimand = rows.estimand[i] >= 0 ? data.estimands[rows.estimand[i]] : "all";
      const numeric = x !== "method" && data.factors[x].numbers;
      const panel = (name) => name === "none" ? "" : name === "estimand" ? estimand : data.factors[name].label + " = " + level(name, i);
      return {
        x: x === "method" ? method : numeric ? numeric[rows["f" + x][i]] : level(x, i),
        value: rows.value[i], lower: lower, upper: upper, method: method,
        series: several ? method + ", " + interval : method,
        interval: interval, estimand: estimand, across: panel(panels[0]), down: panel(panels[1]),
        at: varying.map((f) => data.factors[f].label + " = " + level(f, i)).join(", "),
        other: others.map((f) => level(f, i)).join(", "),
        shown: withError(rows.value[i], rows.mcse[i], lower, upper),
        used: rows.used[i] + " of " + rows.of[i],
      };
    });
    const quantitative = x !== "method" && data.factors[x].numbers !== null;
    const order = x === "method" ? data.methods.map((m) => m.label) : data.factors[x].levels;
    const xTitle = x === "method" ? "Method" : data.factors[x].label;
    const allX = { field: "x", type: "ordinal", title: xTitle, sort: quantitative ? data.factors[x].numbers : order, axis: { labelAngle: 0, labelLimit: 120 } };
    const colour = { field: "method", type: "nominal", title: "Method", scale: { domain: data.methods.map((m) => m.label), range: data.methods.map((m) => m.colour) } };
    const shape = several
      ? { field: "interval", type: "nominal", title: "Interval" }
      : { field: "method", type: "nominal", title: "Method", scale: { domain: data.methods.map((m) => m.label), range: data.methods.map((m) => m.shape) } };
    const offset = { field: "series", type: "nominal" };
    const tooltip = [
      { field: "at", title: "Condition" }, { field: "method", title: "Method" }, { field: "estimand", title: "Estimand" },
      { field: "interval", title: "Interval" }, { field: "shown", title: measure.label + " (MCSE)" }, { field: "used", title: "Used" },
    ];
    const yScale = { zero: false };
    const layers = [
      { mark: { type: "rule", strokeWidth: 2 }, encoding: { x: allX, xOffset: offset, y: { field: "lower", type: "quantitative", scale: yScale, title: measure.label }, y2: { field: "upper" }, color: colour } },
      { mark: { type: "point", filled: true, size: 60, opacity: 1 }, encoding: { x: allX, xOffset: offset, y: { field: "value", type: "quantitative", scale: yScale }, color: colour, shape: shape, tooltip: tooltip } },
    ];
    if (measure.target !== null) layers.unshift({ mark: { type: "rule", strokeDash: [5, 4], color: "#767676" }, encoding: { y: { datum: measure.target } } });
    const across = new Set(values.map((v) => v.across)).size;
    const room = document.getElementById("explored").clientWidth;
    const width = Math.max(150, Math.min(560, Math.floor((room - 150) / Math.max(1, Math.min(across, 3))) - 40));
    const facets = {};
    if (panels[0] !== "none") facets.column = { field: "across", type: "nominal", title: null, sort: null };
    if (panels[1] !== "none") facets.row = { field: "down", type: "nominal", title: null, sort: null, header: { labelAngle: 0, labelAlign: "left", labelOrient: "top" } };
    const inner = { layer: layers, width: width, height: 180 };
    const spec = {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      data: { values: values },
      ...(Object.keys(facets).length ? { facet: facets, spec: inner, resolve: { axis: { x: "independent" } } } : inner),
      background: dark.matches ? "#1d2125" : "#ffffff",
      config: Object.assign(
        { legend: { orient: "bottom", columns: room < 600 ? 2 : 6, labelLimit: 160 }, font: "system-ui, sans-serif" },
        dark.matches ? { axis: { labelColor: "#e6e8ea", titleColor: "#e6e8ea", gridColor: "#3a4046" }, legend: { orient: "bottom", labelColor: "#e6e8ea", titleColor: "#e6e8ea", labelLimit: 160, columns: room < 600 ? 2 : 6 }, header: { labelColor: "#e6e8ea" }, view: { stroke: "#3a4046" } } : {}
      ),
    };
    const worst = values.length ? values.reduce((a, b) => far(b, measure) > far(a, measure) ? b : a) : null;
    const caption = document.getElementById("explored-caption");
    caption.textContent = values.length
      ? measure.label + " in " + values.length + " cells; bars are 95 % Monte Carlo intervals" + (measure.target === null ? "" : ", the dashed line is the target, " + measure.target) + ". " +
        (measure.target === null ? "Largest: " : "Farthest from it: ") + worst.shown + ", " + worst.series + (worst.estimand === "all" ? "" : ", " + worst.estimand) + (worst.at ? ", " + worst.at : "") + "." +
        (others.length ? " Not in the figure by name: " + others.map((f) => data.factors[f].label).join(", ") + "; its points stand above one another." : "")
      : "No cell has a value of this choice.";
    return vegaEmbed("#explored", spec, { actions: { export: true, source: false, compiled: false, editor: false }, renderer: "svg" });
  }

  function far(cell, measure) {
    return Math.abs(cell.value - (measure.target === null ? 0 : measure.target));
  }

  form.addEventListener("change", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  dark.addEventListener("change", draw);

  // The table of all cells: a row for each condition, method, estimand and interval.
  const cells = new Map();
  for (let i = 0; i < count; i++) {
    const key = [...varying.map((f) => rows["f" + f][i]), rows.method[i], rows.estimand[i], rows.interval[i]].join("|");
    if (!cells.has(key)) cells.set(key, { of: i, at: {} });
    cells.get(key).at[rows.measure[i]] = i;
  }
  const lines = [...cells.values()];
  const STEP = 200;
  let shown = STEP;
  let sorted = null;
  let rising = true;

  const filters = document.getElementById("filters");
  const groupAt = choice(filters, "group", "Measures", [["interval", "of intervals"], ["estimate", "of estimates"], ["fits", "how the fits ended"]], data.intervals.length ? "interval" : data.estimands.length ? "estimate" : "fits");
  const textLabel = element("label", { for: "text" }, "Rows with the words");
  const textAt = element("input", { id: "text", type: "search", placeholder: "e.g. formula 0.5" });
  textLabel.append(textAt);
  filters.append(textLabel);

  function kindOf(line) {
    return rows.interval[line.of] >= 0 ? "interval" : rows.estimand[line.of] >= 0 ? "estimate" : "fits";
  }

  function heads() {
    const names = varying.map((f) => ({ text: data.factors[f].label, key: (l) => data.factors[f].numbers ? data.factors[f].numbers[rows["f" + f][l.of]] : data.factors[f].levels[rows["f" + f][l.of]], show: (l) => data.factors[f].levels[rows["f" + f][l.of]] }));
    names.push({ text: "method", key: (l) => rows.method[l.of], show: (l) => data.methods[rows.method[l.of]].label });
    if (groupAt.value !== "fits") names.push({ text: "estimand", key: (l) => rows.estimand[l.of], show: (l) => data.estimands[rows.estimand[l.of]] });
    if (groupAt.value === "interval") names.push({ text: "interval", key: (l) => rows.interval[l.of], show: (l) => data.intervals[rows.interval[l.of]] });
    const kind = lines.filter((l) => kindOf(l) === groupAt.value);
    const measures = [...new Set(kind.flatMap((l) => Object.keys(l.at).map(Number)))].sort((a, b) => a - b);
    for (const k of measures) names.push({ text: data.measures[k].label, number: true, key: (l) => k in l.at ? rows.value[l.at[k]] : null, show: (l) => { if (!(k in l.at)) return ""; const i = l.at[k]; const [lo, hi] = limits(i); return withError(rows.value[i], rows.mcse[i], lo, hi); } });
    names.push({ text: "used/of", number: true, key: (l) => rows.used[l.of], show: (l) => rows.used[l.of] + "/" + rows.of[l.of] });
    return names;
  }

  function fill() {
    const columns = heads();
    const words = textAt.value.toLowerCase().split(/\s+/).filter(Boolean);
    let kept = lines.filter((l) => kindOf(l) === groupAt.value);
    const named = columns.filter((c) => !c.number);
    if (words.length) kept = kept.filter((l) => { const texts = named.map((c) => c.show(l).toLowerCase()); return words.every((w) => texts.some((t) => t.includes(w))); });
    if (sorted !== null && sorted < columns.length) {
      const key = columns[sorted].key;
      const sign = rising ? 1 : -1;
      kept = kept.map((l, place) => [key(l), place, l]).sort((a, b) => {
        if (a[0] === b[0]) return a[1] - b[1];
        if (a[0] === null || a[0] === undefined) return 1;
        if (b[0] === null || b[0] === undefined) return -1;
        return a[0] < b[0] ? -sign : sign;
      }).map((entry) => entry[2]);
    }
    const head = element("tr");
    columns.forEach((column, place) => {
      const cell = element("th", { scope: "col", class: column.number ? "number" : "" });
      if (place === sorted) cell.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const button = element("button", { type: "button" }, column.text);
      button.addEventListener("click", () => { rising = sorted === place ? !rising : true; sorted = place; fill(); document.querySelectorAll("#table thead button")[place].focus(); });
      cell.append(button);
      head.append(cell);
    });
    document.querySelector("#table thead").replaceChildren(head);
    document.querySelector("#table tbody").replaceChildren(...kept.slice(0, shown).map((line) => {
      const row = element("tr");
      columns.forEach((column, place) => {
        const cell = element(place === 0 ? "th" : "td", place === 0 ? { scope: "row" } : column.number ? { class: "number" } : {});
        cell.append(element("bdi", {}, column.show(line)));
        row.append(cell);
      });
      return row;
    }));
    document.getElementById("count").textContent = Math.min(shown, kept.length) + " of " + kept.length + " rows shown" + (kept.length < lines.filter((l) => kindOf(l) === groupAt.value).length ? " (filtered)" : "");
    document.getElementById("more").hidden = kept.length <= shown;
  }

  groupAt.addEventListener("change", () => { sorted = null; shown = STEP; fill(); });
  textAt.addEventListener("input", () => { shown = STEP; fill(); });
  filters.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("more").addEventListener("click", () => { shown += STEP; fill(); });
  fill();
  draw();
})();
