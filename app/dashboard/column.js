/** A history out of text: one value a line, or a table with the columns `ds` and `y`. */

const MISSING = new Set(["", "null", "na", "nan", "none"]);

/**
 * Return `{y, ds}` of a text; `ds` is null where it has none.
 * @param {string} text One value a line, `ds` and value, or a table with a head.
 * @param {string} name The series, whose rows are taken where a table has several.
 * @throws {Error} That says which line is wrong, and how.
 */
export function parseColumn(text, name) {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  while (lines.length && !lines.at(-1)) lines.pop();
  if (!lines.length) throw new Error("Nothing to seed with: paste one value a line, or choose a file.");
  const separator = [";", "\t", ","].find((one) => lines[0].includes(one)) ?? ",";
  let rows = lines.map((line, at) => ({ line: at + 1, cells: cellsOf(line, separator) }));
  const head = rows[0].cells.map((cell) => cell.toLowerCase());
  let at = head.length > 1 ? { ds: 0, y: 1 } : { ds: -1, y: 0 };
  if (head.includes("y")) {
    at = { ds: head.indexOf("ds"), y: head.indexOf("y") };
    rows = ofSeries(rows.slice(1), head.indexOf("unique_id"), name);
  } else if (head.length > 2) {
    throw new Error(`Line 1 has ${head.length} columns: name them in a first line, as unique_id, ds, y.`);
  }
  return {
    y: rows.map((row) => value(row, at.y)),
    ds: at.ds < 0 ? null : rows.map((row) => asTime(row.cells[at.ds] ?? "")),
  };
}

/**
 * A whole number as such, and anything else as it is written: the service judges it.
 * @throws {Error} If it has more digits than a number of a browser holds: it would become another.
 */
export function asTime(text) {
  if (!/^-?\d+$/.test(text)) return text;
  const found = Number(text);
  if (Number.isSafeInteger(found)) return found;
  throw new Error(`ds: expected a whole number up to ${Number.MAX_SAFE_INTEGER}, which a browser can hold, found ${text}; send it through the API.`);
}

function ofSeries(rows, column, name) {
  if (column < 0) return rows;
  const names = new Set(rows.map((row) => row.cells[column]));
  if (names.size <= 1) return rows;
  if (!names.has(name)) {
    throw new Error(`The table has ${names.size} series, and none is called ${name}.`);
  }
  return rows.filter((row) => row.cells[column] === name);
}

function value(row, column) {
  const text = row.cells[column] ?? "";
  if (MISSING.has(text.toLowerCase())) return null;
  const found = Number(text);
  if (!Number.isFinite(found)) throw new Error(`Line ${row.line}: expected a number, found “${text}”.`);
  return found;
}

/** The cells of a line; in quotes a separator is text, and two quotes are one. */
function cellsOf(line, separator) {
  if (!line.includes('"')) return line.split(separator).map((cell) => cell.trim());
  const outside = new RegExp(`${separator}(?=(?:[^"]*"[^"]*")*[^"]*$)`);
  return line.split(outside).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1").replaceAll('""', '"'));
}
