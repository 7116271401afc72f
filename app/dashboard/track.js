/** What is known of a series in the browser: its last steps and the forecast of the next. */

/** The last steps of a series, oldest first, `most` at the most. */
export class Track {
  constructor(rows, most) {
    this.rows = rows.slice(-most);
    this.most = most;
  }

  get last() {
    return this.rows.at(-1) ?? null;
  }

  /** Take a step that follows; return false where steps between are missing. */
  take(step) {
    if (this.last && step.step <= this.last.step) return true;
    if (this.last && step.step > this.last.step + 1) return false;
    this.rows.push(step);
    if (this.rows.length > this.most) this.rows.shift();
    return true;
  }
}

/**
 * Return where on an axis steps lie.
 *
 * Where every step has a date it is seconds, and what has none ahead follows at the distance of the
 * steps before it. Anywhere else it is the number of the step, or the whole number that is its `ds`.
 *
 * @returns {{x: number[], isTime: boolean}} First `rows`, then `ahead`.
 */
export function positions(rows, ahead) {
  const all = [...rows, ...ahead];
  const known = rows.length ? rows : ahead;
  if (known.length && known.every((row) => typeof row.ds === "string")) {
    const seconds = rows.map((row) => Date.parse(row.ds) / 1000);
    const next = spacing(seconds);
    const later = ahead.map((row, at) => (row.ds ? Date.parse(row.ds) / 1000 : next(at + 1)));
    return { x: [...seconds, ...later], isTime: true };
  }
  const isNumber = all.every((row) => typeof row.ds === "number");
  return { x: all.map((row) => (isNumber ? row.ds : row.step)), isTime: false };
}

/** Return what says where the steps after these lie. */
function spacing(seconds) {
  const last = seconds.at(-1);
  const gaps = seconds.slice(1).map((one, at) => one - seconds[at]).sort((a, b) => a - b);
  const gap = gaps[gaps.length >> 1] ?? 86_400;
  const date = new Date(last * 1000);
  const months = Math.round(gap / 2_629_746);
  const isCalendar = months > 0 && seconds.every((one) => new Date(one * 1000).getUTCDate() === date.getUTCDate());
  if (!isCalendar) return (steps) => last + steps * gap;
  return (steps) => new Date(last * 1000).setUTCMonth(date.getUTCMonth() + steps * months) / 1000;
}
