/** The charts of a series: what came and what was forecast, and how well that went. */

import { Chart, colour } from "./chart.js";
import { h } from "./dom.js";
import { interval, number, numbersOf, percent, signed, time } from "./format.js";
import { isInside, rolling } from "./rolling.js";
import { positions } from "./track.js";

const line = (name, width = 1.5, more = {}) => ({ stroke: colour(name), width, points: { show: false }, ...more });

/** The chart of actuals and forecasts. */
export class ForecastChart {
  constructor() {
    this.rows = [];
    this.chart = new Chart("Actuals, the forecast that stood for each, its intervals, and the next steps", () => this.#describe(), (at) => this.#read(at));
    this.element = this.chart.element;
    this.element.prepend(legend([["actual", "Actual"], ["forecast", "Forecast"], ["band80", "80%"], ["band95", "95%"], ["outside", "Outside 95%"]]));
  }

  /**
   * @param {Array} past Steps of the history.
   * @param {Array} ahead Forecasts of the next steps.
   * @param {number|null} error A usual error.
   */
  draw(past, ahead, error) {
    this.write = numbersOf(error);
    this.rows = [...past, ...ahead];
    this.now = past.length;
    const { x, isTime } = positions(past, ahead);
    this.isTime = isTime;
    const bound = (level, end) => this.rows.map((row) => row.intervals[level]?.[end] ?? null);
    const isOut = ({ y, intervals }) => y != null && intervals[95] && !isInside(y, intervals[95]);
    this.chart.draw(this.rows.length ? [
      x,
      bound(95, 1), bound(95, 0), bound(80, 1), bound(80, 0),
      this.rows.map((row) => row.mean),
      this.rows.map((row) => row.y ?? null),
      this.rows.map((row) => (isOut(row) ? row.y : null)),
    ] : null);
  }

  close() {
    this.chart.close();
  }

  #describe() {
    const bound = { stroke: "transparent", width: 0, points: { show: false } };
    const few = this.rows.length < 60;
    return {
      isTime: this.isTime,
      series: [
        bound, bound, bound, bound,
        line("forecast", 1.5, { dash: [5, 3] }),
        line("actual", 1.5, { points: { show: few, size: 4, fill: colour("actual"), width: 0 } }),
        { stroke: colour("outside"), width: 0, paths: () => null, points: { show: true, size: 7, fill: colour("outside"), width: 0 } },
      ],
      bands: [
        { series: [1, 2], fill: colour("band95") },
        { series: [3, 4], fill: colour("band80") },
      ],
      marks: (plot) => this.#shadeAhead(plot),
      height: 340,
    };
  }

  /** Mark where the actuals end and the next steps begin. */
  #shadeAhead(plot) {
    if (!this.now || this.now >= this.rows.length) return;
    const from = plot.valToPos(plot.data[0][this.now - 1], "x", true);
    const { left, top, width, height } = plot.bbox;
    if (from < left || from > left + width) return;
    plot.ctx.save();
    plot.ctx.fillStyle = colour("ahead");
    plot.ctx.fillRect(from, top, left + width - from, height);
    plot.ctx.restore();
  }

  #read(at) {
    const row = this.rows[at ?? this.now - 1];
    if (!row) return h("span");
    const isAhead = row.y === undefined;
    const parts = [
      ["step", row.step], row.ds != null && ["at", time(row.ds)],
      !isAhead && ["actual", row.y == null ? "missing" : number(row.y)],
      ["forecast", this.write(row.mean)],
      row.intervals[80] && ["80%", interval(row.intervals[80], this.write)],
      row.intervals[95] && ["95%", interval(row.intervals[95], this.write)],
      row.y != null && row.mean != null && ["error", signed(row.y - row.mean, this.write)],
    ];
    return readout(parts);
  }
}

/** The charts of the rolling error, and of the rolling coverage. */
export class ScoreCharts {
  constructor() {
    this.error = new Chart("Rolling mean absolute error of the forecasts, beside that of persistence",
      () => ({ ...this.#common(), series: [line("forecast", 2), line("other", 1.5, { dash: [4, 3] })], scales: { y: { range: (_, low, high) => [0, 1.05 * high || 1] } } }),
      (at) => this.#read(at, ["model", this.write], ["persistence", this.write]));
    this.coverage = new Chart("Rolling share of actuals inside the 80% and the 95% interval",
      () => ({ ...this.#common(), series: [line("forecast", 2), line("actual", 1.5)], format: percent, scales: { y: { range: (_, low) => [Math.min(low ?? 0.5, 0.5), 1.02] } }, marks: drawTargets }),
      (at) => this.#read(at, ["80", percent, "in 80%"], ["95", percent, "in 95%"]));
    this.error.element.prepend(legend([["forecast", "Stepcast"], ["other", "Persistence"]]));
    this.coverage.element.prepend(legend([["forecast", "80% interval"], ["actual", "95% interval"]]));
  }

  draw(past, window, error) {
    const { x, isTime } = positions(past, []);
    this.isTime = isTime;
    this.rows = past;
    this.write = numbersOf(error);
    const found = rolling(past, window);
    this.found = { model: found.model, persistence: found.persistence, ...found.coverage };
    const hasAny = found.model.some((one) => one != null);
    this.error.draw(hasAny ? [x, found.model, found.persistence] : null);
    this.coverage.draw(hasAny ? [x, found.coverage[80], found.coverage[95]] : null);
    return hasAny;
  }

  close() {
    this.error.close();
    this.coverage.close();
  }

  #common() {
    return { isTime: this.isTime, height: 200 };
  }

  #read(at, ...columns) {
    const index = at ?? this.rows.length - 1;
    const row = this.rows[index];
    if (!row) return h("span");
    const values = columns.map(([name, format, label = name]) => [label, format(this.found[name][index])]);
    return readout([["step", row.step], row.ds != null && ["at", time(row.ds)], ...values]);
  }
}

function drawTargets(plot) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = colour("quiet");
  ctx.setLineDash([2, 4]);
  for (const level of [0.8, 0.95]) {
    const y = plot.valToPos(level, "y", true);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

function legend(entries) {
  return h("figcaption.legend", {}, entries.map(([name, text]) => h("span", {}, h(`i.${name}`), text)));
}

function readout(parts) {
  return h("span", {}, parts.filter(Boolean).map(([name, value]) => h("span", {}, h("b", {}, name), ` ${value} `)));
}
