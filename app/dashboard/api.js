/** Calls to the service, with the key if it wants one. */

import { askForKey, currentKey } from "./key.js";

/** A refusal, as the service words it. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail);
    this.document = document;
    this.status = document.status;
    this.title = document.title;
  }
}

/** Return what answers a GET; parameters that are null are left out. */
export async function get(path, params = {}) {
  return (await call(withQuery(path, params))).json();
}

/** Return what answers a POST. */
export async function post(path, body) {
  const headers = { "content-type": "application/json" };
  return (await call(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

/** Delete what is at a path. */
export async function remove(path, params = {}) {
  await call(withQuery(path, params), { method: "DELETE" });
}

/** The path of a series: any name, as one segment. */
export function seriesPath(name, rest = "") {
  return `/series/${encodeURIComponent(name)}${rest}`;
}

/**
 * Return the response to a call.
 * @throws {Problem} If it is refused; a missing or wrong key is asked for first.
 */
export async function call(path, options = {}) {
  for (;;) {
    const sent = currentKey();
    const response = await fetch(path, { ...options, headers: { ...options.headers, ...bearer(sent) } }).catch(unreachable);
    if (response.ok) return response;
    const problem = new Problem(await refusal(response));
    if (response.status !== 401) throw problem;
    if (sent === currentKey()) await askForKey(problem.message); // or else it was given meanwhile
  }
}

export function withQuery(path, params) {
  const given = Object.entries(params).filter(([, value]) => value != null && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

function bearer(key) {
  return key ? { authorization: `Bearer ${key}` } : {};
}

function unreachable(error) {
  if (error.name === "AbortError") throw error;
  throw new Error("The service does not answer. Once it runs, try again.", { cause: error });
}

async function refusal(response) {
  try {
    return await response.json();
  } catch {
    return { status: response.status, title: response.statusText, detail: `the answer was ${response.status}` };
  }
}
