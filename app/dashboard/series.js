/** The page of a series: where it stands, its charts, and what can be done to it. */

import { get, post, seriesPath } from "./api.js";
import { observeForm, openDelete, openReset, openSeed } from "./actions.js";
import { fact, h } from "./dom.js";
import { follow } from "./events.js";
import { interval, number, numbersOf, percent, signed, time } from "./format.js";
import { ForecastChart, ScoreCharts } from "./plots.js";
import { Track } from "./track.js";

const SPANS = [100, 300, 1000, 10_000];
const WINDOWS = [10, 20, 50, 100];
const ASK_MS = 1000; // between forecasts of many steps, which cost the service the most
const SHOWN = { past: 12, ahead: 6 }; // rows of the table
const COLUMNS = [["Step"], ["Time"], ["Actual"], ["Forecast"], ["80% interval", "minor"], ["Error"]];
const STATES = { live: "Live", waiting: "Reconnecting", absent: "Not begun" };

/** Return the page of a series. */
export async function seriesPage({ model, name }, signal) {
  const manifest = await get(`/models/${encodeURIComponent(model)}`);
  const page = new SeriesPage(manifest, name, signal);
  page.begin();
  return page.elements;
}

class SeriesPage {
  constructor(manifest, name, signal) {
    this.manifest = manifest;
    this.model = manifest.name;
    this.name = name;
    this.signal = signal;
    this.track = new Track([], SPANS[1]);
    this.ahead = [];
    this.askedAt = -ASK_MS;
    this.chart = new ForecastChart();
    this.scores = new ScoreCharts();
    this.#build();
    signal.addEventListener("abort", () => (this.chart.close(), this.scores.close()), { once: true });
  }

  #build() {
    this.state = h("span.state", { role: "status" });
    this.facts = h("dl.facts");
    this.note = h("p.note", { hidden: true });
    this.refusal = h("p.refusal", { role: "alert", hidden: true });
    this.table = h("tbody");
    this.span = choice("span", SPANS, SPANS[1], () => this.look());
    this.horizon = h("input", { id: "h", type: "number", min: 1, max: 1000, value: this.manifest.season > 1 ? Math.min(this.manifest.season, 48) : 12, onchange: () => this.forecast() });
    this.window = choice("window", WINDOWS, WINDOWS[1], () => this.draw());
    this.observe = observeForm(this.manifest, this.name, () => this.status == null && this.begin());
    this.seed = h("button", { type: "button", onclick: () => openSeed(this.manifest, this.name, this.status != null, () => this.begin()) }, "Seed");
    this.reset = h("button", { type: "button", onclick: () => openReset(this.model, this.name, () => this.look()) }, "Reset");
    this.delete = h("button.danger", { type: "button", onclick: () => openDelete(this.model, this.name, () => (location.hash = `#/?model=${encodeURIComponent(this.model)}`)) }, "Delete");
    this.scoreNote = h("p.note", { hidden: true });
    this.scoreCharts = h("div.pair", {}, this.scores.error.element, this.scores.coverage.element);
    this.scorePanel = h("section.panel", { "aria-label": "Scores" },
      h("div.head", {}, h("h2", {}, "Rolling error and coverage"), inline("Over the last", this.window, "scored steps")),
      this.scoreNote,
      this.scoreCharts);
    this.elements = [
      h("nav.crumbs", { "aria-label": "Where this is" }, h("a", { href: `#/?model=${encodeURIComponent(this.model)}` }, "Series"), " / ",
        h("a", { href: `#/models/${encodeURIComponent(this.model)}` }, this.model)),
      h("div.head", {}, h("h1", {}, this.name), this.state, h("div.buttons", {}, this.seed, this.reset, this.delete)),
      this.refusal, this.facts,
      h("section.panel", { "aria-label": "Chart" },
        h("div.head", {}, h("h2", {}, "Actuals and forecasts"), inline("Last", this.span, "steps"), inline("Next", this.horizon, "steps")),
        this.note, this.chart.element),
      this.scorePanel,
      h("div.columns", {},
        h("section.panel", { "aria-label": "Observe" }, h("h2", {}, "Observe"), this.observe),
        h("section.panel.wide", { "aria-label": "Steps" }, h("h2", {}, "Last and next steps"),
          h("div.scroll", {}, h("table", {},
            h("thead", {}, h("tr", {}, COLUMNS.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)))),
            this.table)))),
    ];
  }

  /** Look at all of it anew. */
  async look() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const most = Number(this.span.value);
    try {
      const seen = (this.status = await get(seriesPath(this.name), { model: this.model }));
      const [history] = await Promise.all([this.#history(most), this.#askAhead()]);
      if (turn !== this.turn) return; // another look has begun since
      this.keeps = history != null; // the store in memory keeps none
      this.track = new Track(history ?? [], most);
      if (this.status.step > seen.step) return void this.look(); // it moved meanwhile
    } catch (error) {
      if (error.status !== 404) return this.#refuse(error);
      this.status = null;
      this.track = new Track([], most);
      this.ahead = [];
    }
    this.draw();
  }

  /** Ask for the next steps, and draw. */
  async forecast() {
    await this.#askAhead();
    this.draw();
  }

  /** Ask for the next steps as often as is due, however many observations arrive. */
  #forecastSoon() {
    this.soon ??= setTimeout(() => {
      this.soon = null;
      this.forecast();
    }, Math.max(0, this.askedAt + ASK_MS - performance.now()));
  }

  async #history(limit) {
    return unless([422], null, async () => (await get(seriesPath(this.name, "/history"), { model: this.model, limit })).history);
  }

  /** Ask for the next steps; while one answer is awaited, those who ask are served by one more. */
  #askAhead() {
    this.isStale = true;
    this.asking ??= this.#askWhileStale().finally(() => (this.asking = null));
    return this.asking;
  }

  async #askWhileStale() {
    while (this.isStale && !this.signal.aborted) {
      this.isStale = false;
      this.askedAt = performance.now();
      const body = { unique_id: this.name, model: this.model, h: Number(this.horizon.value) };
      try {
        // Too few observations, or deleted meanwhile: there is nothing to forecast.
        this.ahead = await unless([409, 404], [], async () => (await post("/forecast", body)).forecasts);
        this.refusal.hidden = true;
      } catch (error) {
        this.ahead = [];
        this.#refuse(error);
      }
    }
  }

  /** Follow what happens, from when there is a series. */
  follow() {
    this.following?.abort();
    const following = (this.following = new AbortController());
    this.signal.addEventListener("abort", () => following.abort(), { signal: following.signal });
    follow(this.model, this.name, following.signal, {
      state: (state) => this.#tellState(state),
      event: (kind, data) => (kind === "series" ? this.#moved(data) : this.#observed(data)),
    });
  }

  /** Begin to follow a series that there was not. */
  async begin() {
    await this.look();
    this.follow();
  }

  #observed({ observation, series }) {
    if (this.status && series.step <= this.status.step) return;
    this.status = series;
    if (!this.track.take(observation)) return void this.look();
    this.ahead = this.ahead.filter((one) => one.step > series.step);
    cancelAnimationFrame(this.drawing); // a burst is drawn once
    this.drawing = requestAnimationFrame(() => this.draw());
    this.#forecastSoon();
  }

  #moved(series) {
    const isKnown = this.status && JSON.stringify(series) === JSON.stringify(this.status);
    if (isKnown && this.refusal.hidden) return;
    this.look();
  }

  #tellState(state) {
    this.state.textContent = STATES[state];
    this.state.className = `state ${state}`;
    if (state === "absent" && this.status) this.look();
  }

  #refuse(error) {
    this.refusal.textContent = error.message;
    this.refusal.hidden = false;
  }

  /** Show what is known. */
  draw() {
    if (this.signal.aborted) return;
    const { status, track, ahead } = this;
    this.reset.disabled = this.delete.disabled = !status;
    this.observe.suggest(status?.next);
    this.note.textContent = this.#whatIsMissing();
    this.note.hidden = !this.note.textContent;
    this.facts.replaceChildren(...(status ? factsOf(status, track.last) : []));
    const error = status?.scores.mae;
    this.chart.draw(track.rows, ahead, error);
    this.scorePanel.hidden = !track.rows.length;
    const hasScores = this.scores.draw(track.rows, Number(this.window.value), error);
    this.scoreNote.hidden = hasScores;
    this.scoreCharts.hidden = !hasScores;
    this.scoreNote.textContent = `Fewer than ${this.window.value} of these steps are scored.`;
    this.table.replaceChildren(...[...track.rows.slice(-SHOWN.past), ...ahead.slice(0, SHOWN.ahead)].reverse().map((one) => row(one, numbersOf(error))));
  }

  #whatIsMissing() {
    if (!this.status) return "There is no such series yet. It begins with its first observation, or with a history.";
    if (!this.keeps) return "This service keeps series in memory, without their history: the chart fills with what arrives from now on.";
    const missing = this.manifest.context - this.status.step;
    if (missing <= 0 && !this.track.last) return "What came before is not kept here, as where a series goes on from training: the chart fills with what arrives from now on.";
    return missing > 0 ? `A forecast needs ${missing} more ${missing > 1 ? "observations" : "observation"}.` : "";
  }
}

/** Return what `ask` does, or `otherwise` where it is refused with one of these statuses. */
async function unless(statuses, otherwise, ask) {
  try {
    return await ask();
  } catch (error) {
    if (statuses.includes(error.status)) return otherwise;
    throw error;
  }
}

function factsOf({ step, ds, error, next, scores }, last) {
  const skill = scores.skill;
  const write = numbersOf(scores.mae);
  return [
    fact("Step", String(step), ds == null ? null : time(ds)),
    fact("Last value", last ? (last.y == null ? "missing" : number(last.y)) : "–", error == null ? null : `error ${signed(error, write)}`),
    fact("Next forecast", write(next?.mean), next && `80%: ${interval(next.intervals[80], write)}`),
    fact("MAE", write(scores.mae), `RMSE ${write(scores.rmse)}, ${scores.scored} scored`),
    fact("Skill", h("span", { class: skill == null ? "" : skill > 0 ? "good" : "bad" }, percent(skill)), "against persistence"),
    fact("Coverage", percent(scores.coverage[80]), `of 80%; ${percent(scores.coverage[95])} of 95%`),
  ];
}

function row({ step, ds, y, mark, mean, intervals }, write) {
  const isAhead = y === undefined;
  const actual = isAhead ? "" : y == null ? (mark === "filled" ? "left out" : "missing") : number(y);
  return h(isAhead ? "tr.next" : "tr", {},
    h("th", { scope: "row" }, String(step)), h("td", {}, time(ds)), h("td", {}, actual), h("td", {}, write(mean)),
    h("td.minor", {}, interval(intervals[80], write)), h("td", {}, y == null || mean == null ? "" : signed(y - mean, write)));
}

function choice(id, values, chosen, changed) {
  return h("select", { id, onchange: changed }, values.map((one) => h("option", { value: one, selected: one === chosen }, String(one))));
}

function inline(before, control, after) {
  return h("label.inline", { for: control.id }, before, control, after);
}
