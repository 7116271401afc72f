/** How values are written. A dash stands for what is not there. */

export const NONE = "–";

const PLAIN = new Intl.NumberFormat("en", { maximumSignificantDigits: 5, useGrouping: false });
const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });

/** A number to five digits. */
export function number(value) {
  if (value == null) return NONE;
  const size = Math.abs(value);
  const text = size >= 1e7 || (size > 0 && size < 1e-4) ? value.toExponential(3) : PLAIN.format(value);
  return text.replaceAll("-", "−");
}

/** A number in as few signs as an axis has room for. */
export function short(value) {
  const size = Math.abs(value);
  if (size < 1e7 && (size === 0 || size >= 1e-4)) return number(value);
  return Number(value.toPrecision(5)).toExponential().replace("+", "").replaceAll("-", "−");
}

/**
 * Return what writes the numbers of one series, all with as many decimals as its errors have use for.
 * @param {number|null} error A usual error of its forecasts.
 */
export function numbersOf(error) {
  const decimals = error ? 2 - Math.floor(Math.log10(error)) : null;
  if (decimals == null || decimals > 6) return number;
  const format = new Intl.NumberFormat("en", { minimumFractionDigits: Math.max(0, decimals), maximumFractionDigits: Math.max(0, decimals), useGrouping: false });
  return (value) => (value == null || Math.abs(value) >= 1e7 ? number(value) : format.format(value).replace("-", "−"));
}

/** A number with its sign. */
export function signed(value, write = number) {
  return value == null ? NONE : (value > 0 ? "+" : "") + write(value);
}

/** A share of one, in percent. */
export function percent(value) {
  return value == null ? NONE : PERCENT.format(value).replace("-", "−");
}

/** Both ends of an interval. */
export function interval(bounds, write = number) {
  return bounds ? `${write(bounds[0])} to ${write(bounds[1])}` : NONE;
}

/** A `ds`, without a midnight that says nothing. */
export function time(ds) {
  if (ds == null) return NONE;
  if (typeof ds === "number" && !Number.isSafeInteger(ds)) return `about ${ds}`; // its last digits are lost
  return String(ds).replace(/T00:00:00Z$/, "").replace("T", " ").replace(/(:00)?Z$/, "");
}
