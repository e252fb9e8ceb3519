// The page of one comparison.  The text of a model is shown by textContent alone: it never becomes markup.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const MARK = { better: "▲", worse: "▼", same: "=", unclear: "·" };
const PAGE = 200, SHORT = 80;
const $ = (id) => document.getElementById(id);
const given = data.checkpoints.filter((c) => c !== data.baseline);
const state = { task: data.tasks[0] || "", candidate: data.decision || data.checkpoints.find((c) => c !== data.baseline) || data.baseline,
  filter: "all", search: "", item: "", everyone: false, tasks: false, rows: "", sort: "", order: given.join() === data.order.join() && given.join() !== data.steps.join() ? "decision" : "steps" };

// What acts unseen (controls, marks that turn the direction) is written out, as in the other reports.
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
function visible(text) {
  const shown = text.replace(CONTROLS, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  return shown.toWellFormed ? shown.toWellFormed() : shown;
}
function el(tag, attributes, ...children) {
  const element = tag.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {}))
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  // Half of a surrogate pair is no text: a model may write it, a document may not hold it.
  element.append(...children.filter((c) => c !== null && c !== undefined).map((c) => typeof c === "string" ? visible(c) : c));
  return element;
}
// Half a tenth goes to the even tenth, as Python rounds in the tables.
const tenths = (x) => Math.abs(x * 10 % 1) === 0.5 ? 2 * Math.round(x * 5) / 10 : x;
const number = (x, signed) => x === null || x === undefined ? "—"
  : ((signed && x > 0 ? "+" : "") + tenths(x).toFixed(1)).replace("-", "−").replace(/^[−+]0\.0$/, "0.0");
const span = (low, high, signed) => `[${number(low, signed)}, ${number(high, signed)}]`;
const rowOf = new Map(data.rows.map((r) => [[r.checkpoint, r.level, r.name].join("\u0000"), r]));
const find = (checkpoint, level, name) => rowOf.get([checkpoint, level, name].join("\u0000"));

// ---- the matrix
function columns() {
  const shown = [["average", "average"]];
  for (const skill of data.skills) {
    shown.push(["skill", skill]);
    const tasks = data.tasks.filter((t) => data.skill_of[t] === skill);
    if (state.tasks && tasks.length > 1) shown.push(...tasks.map((t) => ["task", t]));
  }
  return shown;
}
function cell(checkpoint, level, name) {
  const row = find(checkpoint, level, name);
  if (!row) return el("td", { class: level }, "—");
  const base = row.delta === null || row.delta === undefined;
  const title = base ? `n = ${row.n}` : `n = ${row.n}; p adjusted ${row.p_adjusted.toPrecision(2)}; ${row.verdict}; a difference of ${number(row.mde)} would be found 4 times in 5`;
  const open = () => {
    const task = level === "task" ? name : data.tasks.find((t) => level === "average" || data.skill_of[t] === name);
    if (checkpoint !== data.baseline) state.candidate = checkpoint;
    choose({ task, filter: base ? "all" : "changed", item: "" });
    $("samples").scrollIntoView({ behavior: "smooth" });
  };
  const missing = row.missing ? el("span", { class: "delta" }, el("span", { class: "soft" }, `${row.pairs} of ${row.pairs + row.missing} items`)) : null;
  return el("td", { class: `${level} ${base ? "" : row.verdict}`, title, tabindex: -1, onclick: open, onkeydown: (e) => { if (e.key === "Enter") open(); } },
    el("span", { class: "score" }, number(row.score)), change(row, true), missing);
}
// A difference, its interval in softer print, its mark in a column of its own; of the baseline, the score's interval.
function change(row, tall) {
  if (row.delta === null || row.delta === undefined) return el("span", { class: "delta" }, el("span", { class: "soft" }, span(row.score_low, row.score_high)));
  const interval = el("span", { class: "soft" }, span(row.delta_low, row.delta_high, true)), sign = el("span", { class: "sign" }, MARK[row.verdict]);
  return el("span", { class: "delta" }, number(row.delta, true), " ", ...(tall ? [sign, interval] : [interval, sign]));
}
// The baseline stays first; a column sorts from its highest score, the first column gives back the order of runs and steps,
// or that of the decision.
function ordered(shown) {
  const words = state.rows.toLowerCase().split(/\s+/).filter((w) => w);
  const others = data.checkpoints.filter((c) => c !== data.baseline && words.every((w) => c.toLowerCase().includes(w)));
  const column = shown.find(([level, n]) => `${level} ${n}` === state.sort);
  const score = (c) => { const row = find(c, ...column); return row && row.score !== null ? row.score : -1; };
  const order = data[state.order === "decision" ? "order" : "steps"];
  if (!column) others.sort((a, b) => order.indexOf(a) - order.indexOf(b));
  return [data.baseline, ...(column ? others.sort((a, b) => score(b) - score(a)) : others)];
}
function heading(text, sort) {
  const sorted = state.sort === sort && sort;
  return el("th", { scope: "col", "aria-sort": sorted ? "descending" : null },
    el("button", { onclick: () => { state.sort = sort; matrix(); document.querySelector(sort ? "th[aria-sort] button" : "th button").focus(); } }, text, sorted ? " ↓" : ""));
}
function matrix() {
  const shown = columns();
  const head = el("tr", {}, heading("checkpoint", ""), ...shown.map(([level, n]) => heading(n, `${level} ${n}`)));
  const drawn = ordered(shown);
  $("rowcount").textContent = state.rows ? `${drawn.length} of ${data.checkpoints.length} checkpoints` : "";
  const body = drawn.map((c) => el("tr", {},
    el("th", { scope: "row" }, el("span", { class: "name" }, c, c === data.baseline ? el("span", { class: "quiet" }, " baseline") : null,
      c === data.decision ? el("span", {}, " ", el("span", { class: "badge" }, data.badge)) : null)),
    ...shown.map(([level, name]) => cell(c, level, name))));
  $("matrix").replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
  const first = $("matrix").querySelector("td[tabindex]");
  if (first) first.tabIndex = 0;
}
// One cell of the matrix is reached by Tab, the others from it by arrows: thousands of stops would bar the way.
const ARROWS = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };
$("matrix").addEventListener("keydown", (e) => {
  const from = e.target.closest("td[tabindex]"), arrow = ARROWS[e.key];
  if (!from || !arrow) return;
  e.preventDefault();
  const rows = $("matrix").tBodies[0].rows, line = rows[from.parentElement.rowIndex - 1 + arrow[0]];
  const to = line && line.cells[from.cellIndex + arrow[1]];
  if (!to || !to.hasAttribute("tabindex")) return;
  from.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
});

// ---- the forest of one candidate: its table, with every interval drawn in its line
const NARROW = matchMedia("(max-width: 800px)"), TALL = 36;
let WIDE = 330;
function forestRows() {
  const rows = [[find(state.candidate, "average", "average"), "average"]];
  for (const skill of data.skills) {
    const tasks = data.tasks.filter((t) => data.skill_of[t] === skill), only = tasks.length === 1;
    const row = find(state.candidate, "skill", skill), one = only && find(state.candidate, "task", tasks[0]);
    rows.push([row && one ? { ...row, flips: one.flips } : row, only && tasks[0] !== skill ? `${skill}: ${tasks[0]}` : skill]);
    if (!only) rows.push(...tasks.map((t) => [find(state.candidate, "task", t), t]));
  }
  return rows.filter(([r]) => r && r.delta !== null && r.delta !== undefined);
}
function ruler(shown) {
  const most = Math.max(1, ...shown.flatMap(([r]) => [Math.abs(r.delta_low), Math.abs(r.delta_high)])) * 1.05;
  const step = [0.5, 1, 2, 5, 10, 20, 50, 100].find((s) => most / s <= (WIDE < 200 ? 2 : 4)) || 100, at = [];
  for (let v = -Math.floor(most / step) * step; v <= most; v += step) at.push(v);
  return { at, x: (v) => (v / most + 1) / 2 * WIDE };
}
const drawing = (...parts) => el("td", { class: "plot" }, el("svg:svg", { viewBox: `0 0 ${WIDE} ${TALL}`, width: WIDE, height: TALL, "aria-hidden": "true" }, ...parts));
const grid = ({ at, x }, low) => at.map((v) => el("svg:line", { x1: x(v), x2: x(v), y1: 0, y2: low, class: v ? "axis" : "zero" }));
const probability = (p) => p === null ? "—" : p < 0.001 ? "<0.001" : p.toFixed(3);
function forest() {
  WIDE = NARROW.matches ? 150 : 330;
  const shown = forestRows(), rule = ruler(shown), { x } = rule, half = TALL / 2;
  if (!shown.length) { $("forest").replaceChildren(); return; }
  const heads = ["", "n", "baseline", "score", "", "difference", "p adj.", "detectable", "lost / gained"];
  const body = shown.map(([r, label]) => {
    const task = r.level === "task", base = find(data.baseline, r.level, r.name);
    return el("tr", { class: r.level }, el("th", { scope: "row" }, ...label.split(/(?<=[_\/])/).flatMap((part) => [part, el("wbr")])), el("td", { class: "less" }, String(r.n)), el("td", { class: "less" }, number(base && base.score)), el("td", { class: "less" }, el("span", { class: "score" }, number(r.score))),
      drawing(...grid(rule, TALL), el("svg:line", { x1: x(r.delta_low), x2: x(r.delta_high), y1: half, y2: half, class: r.verdict, "stroke-width": task ? 1.5 : 3 }),
        el("svg:circle", { cx: x(r.delta), cy: half, r: task ? 3 : 4.5, class: r.verdict })),
      el("td", { class: r.verdict }, change(r, NARROW.matches)), el("td", {}, probability(r.p_adjusted)), el("td", { class: r.verdict === "unclear" ? "" : "soft" }, number(r.mde)), el("td", {}, r.flips ? `${r.flips.lost} / ${r.flips.gained}` : ""));
  });
  const ticks = rule.at.map((v) => el("svg:text", { x: Math.min(Math.max(x(v), 14), WIDE - 14), y: 18, "text-anchor": "middle", class: "quiet" }, number(v, true).replace(/\.0$/, "")));
  $("forest").replaceChildren(el("thead", {}, el("tr", {}, ...heads.map((h, i) => el("th", { scope: "col", class: i > 0 && i < 4 ? "less" : null }, h)))), el("tbody", {}, ...body),
    el("tfoot", {}, el("tr", {}, el("th", {}), ...[1, 2, 3].map(() => el("td", { class: "less" })), drawing(...grid(rule, 4), ...ticks), el("td", { colspan: 4 }))));
}

// ---- samples: chunks of compressed lines, inside this file or in page/
const waiting = new Map();
window.skilldelta = (id, text) => { const ready = waiting.get(id); if (ready) ready(text); };
const loaded = new Map();
function chunk(id) {
  if (id === undefined) return Promise.resolve([]);
  if (!loaded.has(id)) loaded.set(id, fetchChunk(id).then(unpack));
  return loaded.get(id);
}
function fetchChunk(id) {
  const inside = document.getElementById(`chunk-${id}`);
  if (inside) return Promise.resolve(inside.textContent);
  return new Promise((ready, failed) => {
    waiting.set(id, ready);
    document.head.append(el("script", { src: `page/${id}.js`, onerror: () => failed(new Error(`page/${id}.js is missing`)) }));
  });
}
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const lines = await new Response(new Response(bytes).body.pipeThrough(new DecompressionStream("gzip"))).text();
  return lines.split("\n").filter((l) => l).map((l) => JSON.parse(l));
}
const keyOf = (s) => s.draw ? `${s.example}/${s.draw}` : s.example;

let shownItems = [], limit = PAGE;
async function items() {
  const of = (c) => (data.chunks[state.task] || {})[c];
  const [rows, base, mine] = await Promise.all([chunk(data.examples[state.task]), chunk(of(data.baseline)), chunk(of(state.candidate))]);
  const row = new Map(rows.map((r) => [r.example, r.row])), other = new Map(mine.map((s) => [keyOf(s), s]));
  const all = base.map((b) => ({ key: keyOf(b), base: b, mine: other.get(keyOf(b)), row: row.get(b.example) || {} }));
  const known = new Set(all.map((i) => i.key));
  for (const s of mine) if (!known.has(keyOf(s))) all.push({ key: keyOf(s), base: undefined, mine: s, row: row.get(s.example) || {} });
  return all;
}
function outcomeOf(item) {
  const a = item.base && item.base.score, b = item.mine && item.mine.score;
  if (a === null || a === undefined || b === null || b === undefined) return "unscored";
  return b > a ? "gained" : b < a ? "lost" : a >= 1 ? "right" : "wrong";
}
const OUTCOME_MARKS = { gained: ["▲", "better"], lost: ["▼", "worse"], right: ["✓", "same"], wrong: ["✗", "same"], unscored: ["?", "same"] };
function matchesFilter(item) {
  const outcome = outcomeOf(item);
  if (state.filter !== "all" && state.filter !== outcome && !(state.filter === "changed" && (outcome === "lost" || outcome === "gained"))) return false;
  if (!state.search) return true;
  const text = JSON.stringify(item.row) + [item.base, item.mine].map((s) => s ? s.response + " " + extracted(s) : "").join(" ");
  return text.toLowerCase().includes(state.search.toLowerCase());
}
const extracted = (s) => s.extracted || s.read_as || ""; // results of format 1 say read_as
const asText = (v) => typeof v === "string" ? v : JSON.stringify(v);
const leading = (row) => Object.entries(row).find(([k]) => ["question", "prompt", "input", "text", "instruction"].includes(k)) || Object.entries(row).find(([, v]) => typeof v === "string") || ["", ""];
const title = (row) => asText(leading(row)[1]);

async function list() {
  let all;
  try { all = await items(); } catch (error) { $("count").textContent = String(error.message || error); return; }
  const counts = {};
  for (const i of all) counts[outcomeOf(i)] = (counts[outcomeOf(i)] || 0) + 1;
  for (const option of $("filter").options) {
    const n = option.value === "all" ? all.length : option.value === "changed" ? (counts.lost || 0) + (counts.gained || 0) : counts[option.value] || 0;
    option.textContent = `${option.dataset.name} (${n})`;
  }
  shownItems = all.filter(matchesFilter);
  $("count").textContent = `${shownItems.length} of ${all.length} items`;
  if (!shownItems.some((i) => i.key === state.item)) state.item = shownItems.length ? shownItems[0].key : "";
  draw();
}
// Scrolls the list alone: scrollIntoView would move the page too.
function show(box, line) {
  const top = line.offsetTop - box.offsetTop;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + line.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top + line.offsetHeight - box.clientHeight;
}
function draw() {
  const at = shownItems.findIndex((i) => i.key === state.item);
  if (at >= limit) limit = at + PAGE;
  const lines = shownItems.slice(0, limit).map((item) => {
    const [mark, look] = OUTCOME_MARKS[outcomeOf(item)];
    return el("li", { role: "option", "aria-selected": String(item.key === state.item), onclick: () => choose({ item: item.key }) },
      el("span", { class: `mark ${look}`, title: outcomeOf(item) }, mark), el("span", { class: "text", dir: "auto" }, title(item.row).slice(0, 200) || item.key));
  });
  if (shownItems.length > limit) lines.push(el("li", {}, el("button", { id: "more", onclick: () => { limit += PAGE; draw(); } }, `${shownItems.length - limit} more`)));
  $("items").replaceChildren(...lines);
  const selected = $("items").querySelector('[aria-selected="true"]');
  if (selected) show($("items"), selected);
  detail(shownItems[at]);
}
async function detail(item) {
  if (!item) { $("item").replaceChildren(el("p", { class: "quiet" }, "No item fits the filter.")); return; }
  const names = state.everyone ? data.checkpoints : [...new Set([data.baseline, state.candidate])];
  const cells = await Promise.all(names.map((n) => chunk((data.chunks[state.task] || {})[n])));
  if (item.key !== state.item) return;
  const [first, question] = leading(item.row);
  const others = Object.entries(item.row).filter(([k]) => k !== first).map(([k, v]) => [k, asText(v)]);
  const isShort = (v) => v.length < SHORT && !v.includes("\n");
  const fields = others.filter(([, v]) => !isShort(v)).map(([k, v]) => [el("dt", {}, k), el("dd", {}, el("pre", { dir: "auto" }, v))]).flat();
  const facts = others.filter(([, v]) => isShort(v)).map(([k, v]) => el("span", {}, el("span", { class: "soft" }, `${k} `), el("bdi", {}, v)));
  const cards = names.map((name, i) => card(name, cells[i].find((s) => keyOf(s) === item.key)));
  $("item").replaceChildren(...[el("pre", { id: "question", dir: "auto" }, asText(question)), facts.length ? el("p", { class: "facts" }, ...facts) : null,
    fields.length ? el("dl", {}, ...fields) : null, el("div", { class: "responses" }, ...cards)].filter((c) => c));
}
function card(name, s) {
  if (!s) return el("article", {}, el("h3", {}, name), el("p", {}, "no sample"));
  const score = s.score === null ? "unscored" : String(Math.round(s.score * 1000) / 10);
  const text = typeof s.response === "string" ? s.response : s.response.map((v, i) => `choice ${i + 1}: ${v.toFixed(4)}`).join("\n");
  const facts = [extracted(s) ? `extracted: ${extracted(s)}` : "", s.why || "", s.finish === "stop" ? "" : `ended by ${s.finish}`, s.tokens_out ? `${s.tokens_out} tokens` : ""].filter((f) => f);
  return el("article", {}, el("h3", {}, el("span", {}, name), el("span", { class: `mark ${s.score === 1 ? "better" : s.score === 0 ? "worse" : ""}` }, score)),
    el("pre", { dir: "auto" }, text || "(empty)"), facts.length ? el("p", { dir: "auto" }, facts.join(" · ")) : null);
}

// ---- the link holds the choice of task, checkpoint, filter and item
function choose(change) {
  Object.assign(state, change);
  if (!("item" in change)) limit = PAGE;
  for (const [id, value] of [["task", state.task], ["candidate", state.candidate], ["who", state.candidate], ["filter", state.filter], ["search", state.search]])
    if ($(id).value !== value) $(id).value = value;
  $("everyone").setAttribute("aria-pressed", String(state.everyone));
  const link = new URLSearchParams({ task: state.task, against: state.candidate, show: state.filter, item: state.item });
  if (state.search) link.set("search", state.search);
  history.replaceState(null, "", `#${link}`);
  if ("candidate" in change) forest();
  if (Object.keys(change).join() === "item") draw(); else list();
}
function follow() {
  const link = new URLSearchParams(location.hash.slice(1));
  const known = { task: data.tasks, candidate: data.checkpoints, filter: [...$("filter").options].map((o) => o.value) };
  const chosen = { task: link.get("task"), candidate: link.get("against"), filter: link.get("show") };
  const change = { candidate: state.candidate, item: link.get("item") || "", search: link.get("search") || "" };
  for (const [name, value] of Object.entries(chosen)) if (known[name].includes(value)) change[name] = value;
  choose(change);
}
function options(id, values) { $(id).replaceChildren(...values.map((v) => el("option", { value: v }, v))); }
options("task", data.tasks);
for (const id of ["candidate", "who"]) options(id, data.checkpoints.length > 1 ? data.checkpoints.filter((c) => c !== data.baseline) : data.checkpoints);
$("task").addEventListener("change", (e) => choose({ task: e.target.value, item: "", }));
for (const id of ["candidate", "who"]) $(id).addEventListener("change", (e) => choose({ candidate: e.target.value }));
$("filter").addEventListener("change", (e) => choose({ filter: e.target.value }));
$("search").addEventListener("input", (e) => choose({ search: e.target.value }));
$("everyone").addEventListener("click", () => choose({ everyone: !state.everyone }));
$("rows").addEventListener("input", (e) => { state.rows = e.target.value; matrix(); });
$("order").addEventListener("change", (e) => { state.order = e.target.value; state.sort = ""; matrix(); });
$("tasks").addEventListener("click", () => { state.tasks = !state.tasks; $("tasks").setAttribute("aria-pressed", String(state.tasks)); matrix(); });
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  if (/INPUT|SELECT|TEXTAREA/.test(e.target.tagName)) { if (e.key === "Escape") e.target.blur(); return; }
  const at = shownItems.findIndex((i) => i.key === state.item);
  const listed = e.target === $("items"), down = e.key === "j" || (listed && e.key === "ArrowDown"), up = e.key === "k" || (listed && e.key === "ArrowUp");
  if (listed && (down || up)) e.preventDefault();
  if (down && at + 1 < shownItems.length) choose({ item: shownItems[at + 1].key });
  if (up && at > 0) choose({ item: shownItems[at - 1].key });
  if (e.key === "/") { e.preventDefault(); $("search").focus(); }
});
// The link holds the choice, so buttons, not anchors, lead to the sections.
for (const h of document.querySelectorAll("h2")) $("nav").append(el("button", { onclick: () => { h.tabIndex = -1; h.scrollIntoView({ behavior: "smooth" }); h.focus({ preventScroll: true }); } }, h.textContent));
window.addEventListener("hashchange", follow);
NARROW.addEventListener("change", forest);
$("order").value = state.order;
matrix();
follow();
