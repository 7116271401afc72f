/** The list of series: found by how their names begin, a page at a time. */

import { get } from "./api.js";
import { openDialog } from "./dialog.js";
import { field, h } from "./dom.js";
import { NONE, numbersOf, percent, signed, time } from "./format.js";

const PAGE = 100;
const TYPING_MS = 200;

/** The address of a series' page. */
export function seriesAddress(model, name) {
  return `#/series/${encodeURIComponent(model)}/${encodeURIComponent(name)}`;
}

/** Return the page of the series of a model. */
export async function listPage({ model: asked = null, prefix = "" }, signal) {
  const { models, default: standard } = await get("/models");
  const names = models.map((one) => one.name);
  let model = asked ?? standard ?? names[0];

  const rows = h("tbody");
  const count = h("p.quiet", { role: "status" });
  const more = h("button", { type: "button", hidden: true, onclick: () => load(more.after) }, "Show more");
  const search = h("input", {
    id: "prefix", type: "search", value: prefix, placeholder: "Name begins with", autocomplete: "off",
    spellcheck: "false", oninput: () => (clearTimeout(search.timer), (search.timer = setTimeout(begin, TYPING_MS))),
  });
  const choice = h("select", { id: "model", onchange: () => ((model = choice.value), begin()) },
    names.map((name) => h("option", { value: name, selected: name === model }, name)));
  const refusal = h("p.refusal", { role: "alert", hidden: true });

  let latest = 0;
  async function load(after = null) {
    const turn = ++latest;
    const page = await get("/series", { model, prefix: search.value, limit: PAGE, after }).catch((error) => error);
    if (turn !== latest || signal.aborted) return;
    refusal.hidden = !(page instanceof Error);
    if (page instanceof Error) return void (refusal.textContent = page.message);
    if (after == null) rows.replaceChildren();
    rows.append(...page.series.map(row));
    more.after = page.after;
    more.hidden = page.after == null;
    count.textContent = said(rows.children.length, page.after != null, search.value);
  }

  function begin() {
    const query = new URLSearchParams({ model, ...(search.value && { prefix: search.value }) });
    history.replaceState(history.state, "", `#/?${query}`);
    return load();
  }

  await load();
  return [
    h("div.head", {}, h("h1", {}, "Series"),
      h("button", { type: "button", onclick: () => askForName(model) }, "New series")),
    h("form.filters", { role: "search", onsubmit: (event) => event.preventDefault() },
      h("div.field", {}, h("label", { for: "prefix" }, "Find"), search),
      h("div.field", {}, h("label", { for: "model" }, "Model"), choice)),
    refusal,
    h("div.scroll", {}, h("table.list", {},
      h("thead", {}, h("tr", {},
        h("th", { scope: "col" }, "Series"),
        columnHead("Step"),
        columnHead("Last time", null, "minor"),
        columnHead("Next forecast", null, "minor"),
        columnHead("Last error"),
        columnHead("MAE", null, "minor"),
        columnHead("Skill", "1 − MAE / MAE of the last value as forecast: above 0 beats persistence"),
        columnHead("In 80%", "Share of actuals inside the 80% interval", "minor"))),
      rows)),
    h("div.more", {}, count, more),
  ];
}

function columnHead(text, meaning = null, kind = null) {
  return h("th", { scope: "col", title: meaning, class: kind }, text);
}

function row({ unique_id: name, model, step, ds, next, error, scores }) {
  const skill = scores.skill;
  const write = numbersOf(scores.mae);
  const tone = skill == null ? "" : skill > 0 ? "good" : "bad";
  return h("tr", {},
    h("th", { scope: "row" }, h("a", { href: seriesAddress(model, name) }, name)),
    h("td", {}, String(step)),
    h("td.minor", {}, time(ds)),
    h("td.minor", {}, next ? write(next.mean) : NONE),
    h("td", {}, signed(error, write)),
    h("td.minor", {}, write(scores.mae)),
    h("td", { class: tone }, percent(skill)),
    h("td.minor", {}, percent(scores.coverage[80])));
}

function said(count, hasMore, prefix) {
  if (!count) return prefix ? `No series begins with “${prefix}”.` : "No series yet. Observe or seed the first one.";
  return `${count}${hasMore ? " or more" : ""} series`;
}

function askForName(model) {
  const input = h("input", { id: "new-name", required: true, maxlength: 256, autocomplete: "off", spellcheck: "false" });
  openDialog({
    title: "New series",
    content: [field("Name", input, `A series of ${model}. It begins with its first observation, or with a history.`)],
    action: "Go on",
    run: async () => void (location.hash = seriesAddress(model, input.value)),
  });
}
