/** How the forecasts went, over a window that moves along a history. */

/**
 * Return, for each row, what the last `window` rows that could be scored say.
 * @param {Array} rows Of a history: `y`, `mean`, `intervals`.
 * @param {number} window
 * @returns {{model: number[], persistence: number[], coverage: Object<string, number[]>}}
 *   Mean absolute errors, and shares of the actuals inside; null until the window is full.
 */
export function rolling(rows, window) {
  const found = { model: [], persistence: [], coverage: { 80: [], 95: [] } };
  const scored = [];
  let last = null;
  for (const { y, mean, intervals } of rows) {
    if (y != null && mean != null && last != null) {
      scored.push({
        model: Math.abs(y - mean),
        persistence: Math.abs(y - last),
        80: isInside(y, intervals[80]),
        95: isInside(y, intervals[95]),
      });
      if (scored.length > window) scored.shift();
    }
    if (y != null) last = y;
    const over = (name) => (scored.length < window ? null : meanOf(scored, name));
    found.model.push(over("model"));
    found.persistence.push(over("persistence"));
    found.coverage[80].push(over(80));
    found.coverage[95].push(over(95));
  }
  return found;
}

/** Whether a value is inside an interval, its ends included. */
export function isInside(y, bounds) {
  return bounds != null && y >= bounds[0] && y <= bounds[1];
}

function meanOf(rows, name) {
  return rows.reduce((sum, row) => sum + Number(row[name]), 0) / rows.length;
}
