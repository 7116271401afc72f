/** What happens to a series, as it happens: server-sent events, read by `fetch` so that a key goes along. */

import { call, Problem, seriesPath, withQuery } from "./api.js";

const LONGEST_WAIT_MS = 30_000;

/**
 * Follow a series until the signal aborts; a stream that breaks is opened again.
 *
 * @param {string} model
 * @param {string} name
 * @param {AbortSignal} signal
 * @param {{event: function(string, Object), state: function(string)}} tell `event` gets each one;
 *   `state` is told `live`, `waiting` or `absent`.
 */
export async function follow(model, name, signal, tell) {
  const path = withQuery(seriesPath(name, "/events"), { model });
  for (let wait = 1000; !signal.aborted; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
    // A hidden page needs no stream, and a browser opens six to one host: a seventh tab would wait for ever.
    await visible(signal);
    const shown = whileShown(signal);
    try {
      const response = await call(path, { signal: shown.signal });
      tell.state("live");
      for await (const [kind, data] of messages(response.body)) {
        tell.event(kind, data);
        wait = 1000;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status === 404) return tell.state("absent");
    } finally {
      shown.abort();
    }
    if (signal.aborted) return;
    tell.state("waiting");
    if (document.hidden) wait = 1000;
    else await pause(wait, signal);
  }
}

/** Yield kind and data of each event in a stream. */
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const found = /^event: (.*)\ndata: (.*)$/.exec(part);
        if (found) yield [found[1], JSON.parse(found[2])];
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Return what aborts when a signal does, and when the page is hidden. */
function whileShown(signal) {
  const shown = new AbortController();
  const listening = { signal: shown.signal };
  signal.addEventListener("abort", () => shown.abort(), listening);
  document.addEventListener("visibilitychange", () => document.hidden && shown.abort(), listening);
  return shown;
}

function visible(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
