"use strict";
// Draws the figure that is asked for, and fills the table of all numbers. The data are the tables
// of measures and comparisons: names stand once, a row has their places.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.rows;
  const count = rows.value.length;
  const Z = 1.959963984540054; // the 0.975 quantile of the normal distribution
  const varying = data.varying;
  const EMBEDDED = { renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };
  const byId = (id) => document.getElementById(id);

  function element(tag, attributes, text) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // A choice with a label; `options` are [value, words].
  function choice(form, id, words, options, chosen) {
    const label = element("label", { for: id }, words);
    const select = element("select", { id: id });
    label.append(select);
    form.append(label);
    fillChoice(select, options, chosen);
    return select;
  }

  function fillChoice(select, options, chosen) {
    select.replaceChildren(...options.map(([value, text]) => element("option", { value: value }, text)));
    select.value = String(chosen);
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  }

  function limits(i) {
    if (rows.limits[i]) return rows.limits[i];
    if (rows.value[i] === null || rows.mcse[i] === null) return [null, null];
    return [rows.value[i] - Z * rows.mcse[i], rows.value[i] + Z * rows.mcse[i]];
  }

  const level = (f, i) => data.factors[f].levels[rows["f" + f][i]];
  const place = (f, i) => data.factors[f].label + " = " + level(f, i);
  const named = (labels, k) => (k >= 0 ? labels[k] : "");
  const distinct = (values) => [...new Set(values)];
  const ALL = ["all", "all"];
  const numbered = (labels) => labels.map((text, k) => [k, text]);

  // The figure
  const form = byId("choices");
  const factorOptions = varying.map((f) => [f, data.factors[f].label]);
  const inTable = distinct(rows.measure);
  const measureAt = choice(form, "measure", "Measure",
    data.measures.map((m, k) => [k, m.label]).filter(([k]) => inTable.includes(k)), data.first);
  const estimandAt = choice(form, "estimand", "Estimand", [ALL, ...numbered(data.estimands)], "all");
  const intervalAt = choice(form, "interval", "Interval", [ALL, ...numbered(data.intervals)], "all");
  const methodAt = choice(form, "method", "Method", [ALL], "all");
  // The factors stand in the order of their influence; a number is better on an axis than a word.
  const numeric = varying.slice(0, 2).find((f) => data.factors[f].numbers);
  const onAxis = numeric === undefined ? (varying.length ? varying[0] : "method") : numeric;
  const across = varying.find((f) => f !== onAxis);
  const xAt = choice(form, "x", "On the axis", [...factorOptions, ["method", "method"]], onAxis);
  const acrossAt = choice(form, "across", "Panels across", [["none", "none"], ...factorOptions, ["interval", "interval"]],
    across === undefined ? "none" : across);
  const downAt = choice(form, "down", "Panels down", [["estimand", "estimand"], ["none", "none"], ...factorOptions, ["interval", "interval"]], "estimand");

  // Offers only what the measure has.
  function offer() {
    const measure = data.measures[Number(measureAt.value)];
    estimandAt.parentElement.hidden = !measure.estimand || data.estimands.length < 2;
    intervalAt.parentElement.hidden = !measure.interval || data.intervals.length < 2;
    const methods = data.methods.map((m, k) => [k, m.label]).filter(([k]) => data.methods[k].pair === measure.pair);
    fillChoice(methodAt, [ALL, ...methods], methodAt.value);
  }

  function chosenRows() {
    const wanted = (select, value) => value < 0 || select.value === "all" || Number(select.value) === value;
    const found = [];
    for (let i = 0; i < count; i++) {
      if (rows.measure[i] === Number(measureAt.value) && rows.value[i] !== null && wanted(methodAt, rows.method[i]) &&
          wanted(estimandAt, rows.estimand[i]) && wanted(intervalAt, rows.interval[i])) found.push(i);
    }
    return found;
  }

  function panelName(by, i) {
    if (by === "none") return "";
    if (by === "estimand") return named(data.estimands, rows.estimand[i]);
    if (by === "interval") return named(data.intervals, rows.interval[i]);
    return place(Number(by), i);
  }

  // The place of a panel among the others: levels by size, names in the order of the study.
  function panelRank(by, i) {
    if (by === "none") return 0;
    return rows[by === "estimand" || by === "interval" ? by : "f" + by][i];
  }

  function panelNames(values, side) {
    return distinct([...values].sort((a, b) => a[side + "Rank"] - b[side + "Rank"]).map((v) => v[side]));
  }

  function points(of, x, others) {
    const several = distinct(of.map((i) => rows.interval[i])).length > 1;
    // What stands side by side comes in the order of the study.
    const keys = [...others.map((f) => rows["f" + f]), rows.method, rows.interval];
    const inOrder = [...of].sort((a, b) => keys.reduce((found, key) => found || key[a] - key[b], 0));
    return inOrder.map((i) => {
      const [lower, upper] = limits(i);
      const method = data.methods[rows.method[i]].label;
      const interval = named(data.intervals, rows.interval[i]);
      return {
        x: x === "method" ? method : data.factors[x].numbers ? data.factors[x].numbers[rows["f" + x][i]] : level(x, i),
        value: rows.value[i], lower: lower, upper: upper, method: method, interval: interval,
        estimand: named(data.estimands, rows.estimand[i]),
        across: panelName(acrossAt.value, i), down: panelName(downAt.value, i),
        acrossRank: panelRank(acrossAt.value, i), downRank: panelRank(downAt.value, i),
        series: [...others.map((f) => level(f, i)), method, several ? interval : ""].join(", "),
        at: varying.map((f) => place(f, i)).join(", "),
        shown: rows.shown[i], used: rows.used[i] + " of " + rows.of[i], lacks: rows.used[i] < 0.99 * rows.of[i],
      };
    });
  }

  // The specification of one row of panels.
  function panels(values, measure, x, width, perRow, domain, title) {
    const order = x === "method" ? data.methods.map((m) => m.label) : data.factors[x].numbers || data.factors[x].levels;
    const methods = data.methods.filter((m) => m.pair === measure.pair);
    const names = methods.map((m) => m.label);
    // Where each method has one interval, its shape is the method's, as in all figures.
    const pairs = distinct(values.map((v) => v.method + "\n" + v.interval)).length;
    const intervals = pairs > distinct(values.map((v) => v.method)).length;
    const scale = { zero: false };
    if (domain) scale.domain = domain;
    const axis = { labelAngle: 0, labelLimit: 120, labelOverlap: "greedy" };
    const shared = {
      x: { field: "x", type: "ordinal", sort: order, title: x === "method" ? "Method" : data.factors[x].label, axis: axis },
      xOffset: { field: "series", type: "nominal", sort: null },
      color: { field: "method", type: "nominal", title: measure.pair ? "Methods" : "Method", scale: { domain: names, range: methods.map((m) => m.colour) } },
    };
    const shape = intervals
      ? { field: "interval", type: "nominal", title: "Interval" }
      : { field: "method", type: "nominal", title: measure.pair ? "Methods" : "Method", scale: { domain: names, range: methods.map((m) => m.shape) } };
    const tips = [["at", "Condition"], ["method", "Method"], ["estimand", "Estimand"], ["interval", "Interval"], ["shown", measure.label + " (MCSE)"], ["used", "Used"]];
    const tooltip = tips.filter(([field]) => values.some((v) => v[field])).map(([field, words]) => ({ field: field, type: "nominal", title: words.replaceAll("\\", "\\\\") })); // Vega-Lite escapes quotes only
    const y = (field) => ({ field: field, type: "quantitative", scale: scale, title: measure.label });
    const layers = [
      { mark: { type: "rule", strokeWidth: 1.5 }, encoding: { ...shared, y: y("lower"), y2: { field: "upper" } } },
      { mark: { type: "point", filled: true, size: 55, opacity: 1 }, encoding: { ...shared, y: y("value"), shape: shape, tooltip: tooltip } },
    ];
    if (measure.target !== null) layers.unshift({ mark: { type: "rule", strokeDash: [5, 4], color: "#767676" }, encoding: { y: { datum: measure.target } } });
    const inner = { width: width, height: 180, layer: layers };
    const heading = title ? { title: { text: title } } : {};
    if (acrossAt.value === "none") return { data: { values: values }, ...inner, ...heading };
    return {
      data: { values: values }, ...heading, columns: perRow, spec: inner,
      facet: { field: "across", type: "nominal", title: null, sort: panelNames(values, "across") },
    };
  }

  function draw() {
    const measure = data.measures[Number(measureAt.value)];
    const x = xAt.value;
    const inFigure = [x, acrossAt.value, downAt.value].map(Number);
    const others = varying.filter((f) => !inFigure.includes(f));
    const values = points(chosenRows(), x, others);
    const wide = distinct(values.map((v) => v.across)).length || 1;
    const room = byId("explored").clientWidth || 600;
    const perRow = Math.max(1, Math.min(wide, Math.floor(room / 210))); // 210: a narrow panel with its axis
    const width = Math.max(140, Math.min(900, Math.floor(room / perRow) - 90)); // 90: an axis and a gap
    const ends = values.flatMap((v) => [v.value, v.lower, v.upper]).filter((v) => v !== null);
    if (measure.target !== null) ends.push(measure.target);
    const domain = measure.share ? [Math.min(...ends), Math.max(...ends)] : null;
    const downs = panelNames(values, "down");
    const spec = {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      config: { ...data.config, legend: { ...data.config.legend, orient: "bottom", direction: room < 600 ? "vertical" : "horizontal", columns: room < 600 ? 1 : 4 } },
      vconcat: downs.map((down) => panels(values.filter((v) => v.down === down), measure, x, width, perRow, domain, down)),
      resolve: { scale: { color: "shared", shape: "shared" }, legend: { color: "shared", shape: "shared" } },
    };
    caption(values, measure, others);
    numbers(values, measure);
    if (!values.length) { byId("explored").replaceChildren(); return Promise.resolve(); }
    return vegaEmbed("#explored", spec, EMBEDDED);
  }

  function caption(values, measure, others) {
    const words = byId("explored-caption");
    if (!values.length) { words.textContent = "No cell has a number for this choice."; return; }
    const far = (v) => Math.abs(v.value - (measure.target === null ? 0 : measure.target));
    const worst = values.reduce((a, b) => (far(b) > far(a) ? b : a));
    const where = [worst.method, worst.estimand, worst.interval, worst.at].filter(Boolean).join(", ");
    const target = measure.target === null ? "" : " The dashed line is " + (measure.nominal ? "the nominal level where the null hypothesis is true, " : "the target, ") + measure.target + ".";
    const lacking = measure.interval ? values.filter((v) => v.lacks).length : 0;
    const missing = lacking ? " In " + lacking + (lacking === 1 ? " cell" : " cells") + " more than 1 % of the intervals are missing." : "";
    const aside = others.length ? " Side by side at each place: " + others.map((f) => data.factors[f].label).join(", ") + "." : "";
    words.replaceChildren(
      measure.label + " in " + values.length + (values.length === 1 ? " cell" : " cells") + ". Bars are 95 % Monte Carlo intervals." + target + missing +
        (measure.target === null ? " Largest: " : " Farthest from it: ") + worst.shown + " (" + where + ")." + aside + " ",
      element("a", { href: "#measure-" + measure.name }, "Definition of " + measure.label),
    );
  }

  function numbers(values, measure) {
    const heads = [["at", "condition"], ["method", "method"], ["estimand", "estimand"], ["interval", "interval"], ["shown", measure.label + " (MCSE)"], ["used", "used"]]
      .filter(([field]) => values.some((v) => v[field]));
    const head = element("tr");
    head.append(...heads.map(([, words]) => element("th", { scope: "col" }, words)));
    byId("numbers").replaceChildren(element("thead"), element("tbody"));
    byId("numbers").tHead.append(head);
    byId("numbers").tBodies[0].append(...values.map((v) => {
      const row = element("tr");
      heads.forEach(([field], k) => {
        const cell = element(k ? "td" : "th", k ? {} : { scope: "row" });
        cell.append(element("bdi", {}, v[field]));
        row.append(cell);
      });
      return row;
    }));
  }

  form.addEventListener("change", () => { offer(); draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  let last = window.innerWidth;
  let wait = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === last) return;
    last = window.innerWidth;
    clearTimeout(wait);
    wait = setTimeout(draw, 200); // ms, so that it is drawn once when the window is at rest
  });

  // The table of all numbers: a row for each condition, method, estimand and interval.
  const KINDS = [["interval", "of intervals and tests"], ["estimate", "of estimates"], ["fits", "how the fits ended"], ["pair", "differences of methods"]];
  const STEP = 200; // rows that are added at a time
  let shown = STEP;
  let sorted = null;
  let rising = true;

  function kindOf(i) {
    if (data.methods[rows.method[i]].pair) return "pair";
    return rows.interval[i] >= 0 ? "interval" : rows.estimand[i] >= 0 ? "estimate" : "fits";
  }

  const cells = new Map();
  for (let i = 0; i < count; i++) {
    const key = [...varying.map((f) => rows["f" + f][i]), rows.method[i], rows.estimand[i], rows.interval[i]].join("|");
    if (!cells.has(key)) cells.set(key, { first: i, kind: kindOf(i), at: {} });
    cells.get(key).at[rows.measure[i]] = i;
  }
  const lines = [...cells.values()];

  const filters = byId("filters");
  const groupAt = choice(filters, "group", "Measures", KINDS.filter(([kind]) => lines.some((l) => l.kind === kind)), "interval");
  const textLabel = element("label", { for: "words" }, "Rows with the words");
  const textAt = element("input", { id: "words", type: "search", autocomplete: "off" });
  textLabel.append(textAt);
  const download = element("button", { type: "button", id: "download" }, "Save these rows as CSV");
  filters.append(textLabel, download);

  function columns() {
    const made = varying.map((f) => ({
      text: data.factors[f].label, show: (l) => level(f, l.first),
      key: (l) => (data.factors[f].numbers || data.factors[f].levels)[rows["f" + f][l.first]],
    }));
    const label = (text, labels, column) => made.push({ text: text, show: (l) => named(labels, rows[column][l.first]), key: (l) => rows[column][l.first] });
    const kind = groupAt.value;
    const of = lines.filter((l) => l.kind === kind);
    label(kind === "pair" ? "methods" : "method", data.methods.map((m) => m.label), "method");
    if (of.some((l) => rows.estimand[l.first] >= 0)) label("estimand", data.estimands, "estimand");
    if (of.some((l) => rows.interval[l.first] >= 0)) label("interval", data.intervals, "interval");
    for (const k of distinct(of.flatMap((l) => Object.keys(l.at).map(Number))).sort((a, b) => a - b)) {
      made.push({ text: data.measures[k].label, number: true, key: (l) => (k in l.at ? rows.value[l.at[k]] : null), show: (l) => (k in l.at ? rows.shown[l.at[k]] : "") });
    }
    made.push({ text: "used/of", number: true, key: (l) => rows.used[l.first], show: (l) => rows.used[l.first] + "/" + rows.of[l.first] });
    return made;
  }

  function kept(heads) {
    const words = textAt.value.toLowerCase().split(/\s+/).filter(Boolean);
    const labels = heads.filter((c) => !c.number);
    const found = lines.filter((l) => l.kind === groupAt.value && words.every((w) => labels.some((c) => c.show(l).toLowerCase().includes(w))));
    if (sorted === null) return found;
    const key = heads[sorted].key;
    const sign = rising ? 1 : -1;
    return found.map((l, k) => [key(l), k, l]).sort((a, b) => {
      if (a[0] === b[0]) return a[1] - b[1];
      if (a[0] === null) return 1; // what is missing stands last
      if (b[0] === null) return -1;
      return a[0] < b[0] ? -sign : sign;
    }).map((entry) => entry[2]);
  }

  function fill() {
    const heads = columns();
    const found = kept(heads);
    const head = element("tr");
    heads.forEach((column, k) => {
      const cell = element("th", { scope: "col", class: column.number ? "number" : "" });
      if (k === sorted) cell.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const button = element("button", { type: "button" }, column.text);
      button.addEventListener("click", () => {
        rising = sorted === k ? !rising : true;
        sorted = k;
        fill();
        document.querySelectorAll("#table thead button")[k].focus();
      });
      cell.append(button);
      head.append(cell);
    });
    byId("table").tHead.replaceChildren(head);
    byId("table").tBodies[0].replaceChildren(...found.slice(0, shown).map((line) => {
      const row = element("tr");
      heads.forEach((column, k) => {
        const cell = element(k ? "td" : "th", k ? (column.number ? { class: "number" } : {}) : { scope: "row" });
        cell.append(element("bdi", {}, column.show(line)));
        row.append(cell);
      });
      return row;
    }));
    const whole = lines.filter((l) => l.kind === groupAt.value).length;
    byId("count").textContent = Math.min(shown, found.length) + " of " + whole + " rows shown" + (found.length < whole ? "; " + found.length + " have these words" : "") + ".";
    byId("more").hidden = found.length <= shown;
  }

  // The file has the numbers that the page has: to six digits.
  function csv() {
    const quoted = (value) => {
      const text = value === null ? "" : String(value);
      const inert = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? "'" + text : text; // no formula for a spreadsheet
      return /[",\n\r]/.test(inert) ? '"' + inert.replaceAll('"', '""') + '"' : inert;
    };
    const heads = [...data.factors.map((f) => f.label), "method", "estimand", "interval", "measure", "value", "mcse", "lower", "upper", "used", "replicates"];
    const body = kept(columns()).flatMap((l) => Object.values(l.at)).map((i) => [
      ...data.factors.map((_, f) => level(f, i)), data.methods[rows.method[i]].label, named(data.estimands, rows.estimand[i]),
      named(data.intervals, rows.interval[i]), data.measures[rows.measure[i]].name, rows.value[i], rows.mcse[i], ...limits(i), rows.used[i], rows.of[i],
    ]);
    return [heads, ...body].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
  }

  download.addEventListener("click", () => {
    const link = element("a", { href: URL.createObjectURL(new Blob([csv()], { type: "text/csv" })), download: "measures.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  groupAt.addEventListener("change", () => { sorted = null; shown = STEP; fill(); });
  textAt.addEventListener("input", () => { shown = STEP; fill(); });
  filters.addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", () => { shown += STEP; fill(); });
  fill();
  offer();
  draw();

  // The figures below, drawn as `results.plot` draws them.
  for (const figure of document.querySelectorAll("#figures figure")) {
    const spec = JSON.parse(figure.querySelector("script").textContent);
    vegaEmbed(figure.querySelector(".drawing"), spec, EMBEDDED);
  }
})();
