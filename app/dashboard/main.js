/** Which page is shown: the address after `#` says it, so the service sees no names. */

import { h } from "./dom.js";
import { askForKey, currentKey } from "./key.js";
import { modelPage, modelsPage } from "./models.js";
import { listPage } from "./list.js";
import { seriesPage } from "./series.js";

const view = document.getElementById("view");
const changeKey = document.getElementById("change-key");
let leaving = null;

/** The page of an address: what it is, and what it is given; the list, where it is no address. */
function route(hash) {
  const [place, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [kind, ...names] = place.split("/").map(decoded);
  if (kind === "series" && names.length === 2) return [seriesPage, { model: names[0], name: names[1] }];
  if (kind === "models" && names.length === 1) return [modelPage, { name: names[0] }];
  if (kind === "models") return [modelsPage, {}];
  return [listPage, Object.fromEntries(new URLSearchParams(query))];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a lone percent sign, which someone typed
  }
}

async function show() {
  leaving?.abort();
  const here = (leaving = new AbortController());
  const [page, given] = route(location.hash);
  mark(page === listPage || page === seriesPage ? "#/" : "#/models");
  try {
    const content = await page(given, here.signal);
    if (here.signal.aborted) return;
    view.replaceChildren(...content);
  } catch (error) {
    if (here.signal.aborted) return;
    view.replaceChildren(h("h1", {}, error.title ?? "No answer"), h("p.refusal", { role: "alert" }, error.message));
  }
  changeKey.hidden = !currentKey();
  document.title = `${view.querySelector("h1")?.textContent ?? "Series"} · Stepcast`;
}

function mark(current) {
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// The first link jumps within the page, which is no page of its own.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  view.focus();
});
changeKey.addEventListener("click", async () => {
  await askForKey("It takes the place of the one in this tab.");
  show();
});
// Who follows a link begins at the head of the page; who goes back is where they were.
const places = new Map();
history.scrollRestoration = "manual";
addEventListener("hashchange", async ({ oldURL, newURL }) => {
  places.set(oldURL, scrollY);
  const place = history.state?.wasShown ? places.get(newURL) : 0;
  await begin();
  if (location.href !== newURL) return;
  view.focus({ preventScroll: true });
  scrollTo(0, place ?? 0);
});
begin();

function begin() {
  history.replaceState({ wasShown: true }, "");
  return show();
}
