/** Line charts by uPlot, in the colours of the page, that follow its width and its scheme. */

import { h } from "./dom.js";
import { short } from "./format.js";

const NARROW = 520;
const scheme = matchMedia("(prefers-color-scheme: dark)");

/** A colour of the style sheet, by its name there. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A chart that is drawn anew with `draw`, and removed with `close`. */
export class Chart {
  /**
   * @param {string} label What a screen reader says it is.
   * @param {function(): Object} describe Returns `{isTime, series, bands, scales, height}`; asked again whenever the
   *   colours change.
   * @param {function(number|null): (Node|string)} read Returns what is said of the point at an index; null
   *   where there is no cursor.
   */
  constructor(label, describe, read) {
    this.canvas = h("div.plot", { role: "img", "aria-label": label, tabindex: "0", onkeydown: (e) => this.#step(e) });
    this.readout = h("p.readout");
    this.element = h("figure.chart", {}, this.canvas, this.readout);
    this.describe = describe;
    this.read = read;
    this.closing = new AbortController();
    this.observer = new ResizeObserver(() => this.#fit());
    this.observer.observe(this.canvas);
    scheme.addEventListener("change", () => this.#drawAnew(), { signal: this.closing.signal });
  }

  /** Draw columns: positions, then one for each series. Where someone looks closer, they go on to. */
  draw(data) {
    const closer = this.#closer();
    this.data = data;
    if (!data || !this.plot || this.plot.scales.x.time !== this.describe().isTime) return this.#drawAnew();
    this.plot.batch(() => {
      this.plot.setData(data);
      if (closer) this.plot.setScale("x", closer);
    });
    this.#tell(this.plot.cursor.idx);
  }

  /** What of the positions is shown, where that is not all. */
  #closer() {
    if (!this.plot) return null;
    const { min, max } = this.plot.scales.x;
    return min > this.data[0][0] || max < this.data[0].at(-1) ? { min, max } : null;
  }

  #drawAnew() {
    const { data } = this;
    this.plot?.destroy();
    this.plot = null;
    if (!data || !this.canvas.clientWidth) return;
    const { isTime, series, bands = [], scales = {}, height = 320, format = short, marks = null } = this.describe();
    const axis = { stroke: colour("quiet"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    this.plot = new uPlot({
      width: this.canvas.clientWidth,
      height: this.canvas.clientWidth < NARROW ? Math.min(height, 240) : height,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      legend: { show: false },
      cursor: { drag: { x: true, y: false }, y: false, points: { size: 6 } },
      scales: { x: { time: isTime }, y: { range: spread }, ...scales },
      axes: [
        { ...axis, space: 70, size: 42, values: isTime ? DATES : undefined },
        { ...axis, size: 58, values: (_, ticks) => ticks.map(format) },
      ],
      series: [{}, ...series],
      bands,
      hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx)], drawAxes: marks ? [marks] : [] },
      padding: [14, 12, 0, 0],
    }, data, this.canvas);
    this.#tell(null);
  }

  close() {
    this.closing.abort();
    this.observer.disconnect();
    this.plot?.destroy();
  }

  #fit() {
    if (this.plot?.width !== this.canvas.clientWidth) this.#drawAnew();
  }

  #tell(index) {
    this.readout.replaceChildren(this.read(index ?? null));
  }

  #step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !this.plot) return;
    event.preventDefault();
    const last = this.data[0].length - 1;
    const index = Math.max(0, Math.min(last, (this.plot.cursor.idx ?? last + (by < 0 ? 1 : 0)) + by));
    this.plot.setCursor({ left: this.plot.valToPos(this.data[0][index], "x"), top: this.plot.bbox.height / 4 });
  }
}

/** From where to where an axis goes: around values that hardly differ, as around one. */
function spread(_, low, high) {
  if (low == null) return [null, null];
  const middle = (low + high) / 2;
  const isFlat = high - low < 1e-9 * Math.abs(middle);
  return isFlat ? uPlot.rangeNum(middle, middle, 0.1, true) : uPlot.rangeNum(low, high, 0.1, true);
}

// Years stand below the first of what is in them, and a day is written as such.
const DATES = [
  [31_536_000, "{YYYY}", null, null, null, null, null, null, 1],
  [2_419_200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86_400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [3_600, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
];
