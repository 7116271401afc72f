/** What can be done to a series, each with a form of its own. */

import { post, remove, seriesPath } from "./api.js";
import { asTime, parseColumn } from "./column.js";
import { openDialog } from "./dialog.js";
import { field, h, notify } from "./dom.js";
import { number, signed, time } from "./format.js";

/**
 * Return a form that observes a value.
 * @param {Object} manifest Of the model: its covariates are asked for by name.
 * @param {string} name
 * @param {function(Object)} done Is given the answer.
 */
export function observeForm(manifest, name, done) {
  const y = h("input", { id: "y", inputmode: "decimal", autocomplete: "off" });
  const ds = h("input", { id: "ds", autocomplete: "off", spellcheck: "false", placeholder: "optional" });
  const covariates = manifest.covariates.map((one) => [one, covariateInput(one)]);
  const said = h("p.said", { role: "status" });
  const refusal = h("p.refusal", { role: "alert", hidden: true });
  const button = h("button.primary", { type: "submit" }, "Observe");

  const submit = async (event) => {
    event.preventDefault();
    refusal.hidden = true;
    button.disabled = true;
    try {
      const body = { unique_id: name, model: manifest.name, y: numberOrNull(y.value, "Value") };
      if (ds.value.trim()) body.ds = asTime(ds.value.trim());
      if (covariates.length) body.x = Object.fromEntries(covariates.map(([one, input]) => [one.name, covariateValue(one, input)]));
      const answer = await post("/observe", body);
      const error = answer.error == null ? "" : `, error ${signed(answer.error)}`;
      said.textContent = answer.status === "duplicate"
        ? `Step ${answer.step} had this value already.`
        : `Step ${answer.step} taken${error}.`;
      y.value = ds.value = "";
      y.focus();
      done(answer);
    } catch (error) {
      said.textContent = "";
      refusal.textContent = error.message;
      refusal.hidden = false;
    } finally {
      button.disabled = false;
    }
  };

  const form = h("form.observe", { onsubmit: submit, "aria-label": "Observe a value" },
    field("Value", y, "Empty: it is missing."),
    field("Time (ds)", ds),
    covariates.map(([one, input]) => field(one.name, input, KINDS[one.kind])),
    h("div.buttons", {}, button), said, refusal);
  form.suggest = (next) => (ds.placeholder = next?.ds != null ? time(next.ds) : "optional");
  return form;
}

const KINDS = { past: "Covariate", future: "Covariate, known ahead", static: "Covariate of the series" };

function covariateInput({ name, categories }) {
  const id = `x-${name}`;
  if (!categories.length) return h("input", { id, inputmode: "decimal", autocomplete: "off" });
  return h("select", { id }, h("option", { value: "" }, "not known"), categories.map((word) => h("option", {}, word)));
}

function covariateValue({ name, categories }, input) {
  if (categories.length) return input.value || null;
  return numberOrNull(input.value, name);
}

function numberOrNull(text, name) {
  if (!text.trim()) return null;
  const found = Number(text.trim());
  if (!Number.isFinite(found)) throw new Error(`${name}: expected a number, found “${text.trim()}”.`);
  return found;
}

/** Ask for a history and seed the series with it. */
export function openSeed(manifest, name, exists, done) {
  if (manifest.covariates.length) return openSeedByApi(manifest);
  const text = h("textarea", { id: "column", rows: 8, spellcheck: "false", placeholder: "112\n118\n132\n…", oninput: () => look() });
  const file = h("input", { id: "file", type: "file", accept: ".csv,.tsv,.txt,text/*" });
  file.addEventListener("change", async () => {
    text.value = (await file.files[0]?.text()) ?? "";
    look();
  });
  const season = h("input", { id: "season", inputmode: "numeric", autocomplete: "off" });
  const found = h("p.said", { role: "status" });
  const look = () => {
    try {
      found.textContent = summary(parseColumn(text.value, name));
    } catch {
      found.textContent = ""; // what is wrong is said when it is sent
    }
  };
  openDialog({
    title: `Seed ${name}`,
    content: [
      exists && h("p.warning", {}, "This replaces the series: its state, its scores and its history begin anew."),
      field("Values", text, "One a line, or time and value, or a table with the columns ds and y. In time order; empty or null is missing."),
      field("Or a file", file),
      field("Season", season, "Optional: steps in a cycle, as 12. Times tell it by themselves."),
      found,
    ],
    action: exists ? "Replace series" : "Seed",
    destroys: exists,
    run: async () => {
      const { y, ds } = parseColumn(text.value, name);
      const body = { unique_id: name, model: manifest.name, y };
      if (ds) body.ds = ds;
      const steps = numberOrNull(season.value, "Season");
      if (steps != null) body.season = steps;
      done(await post("/seed-state", body));
      notify(`Seeded ${name} with ${y.length} values.`);
    },
  });
}

function summary({ y, ds }) {
  const missing = y.filter((one) => one == null).length;
  const span = ds ? `, ${ds[0]} to ${ds.at(-1)}` : `, ${number(y[0])} to ${number(y.at(-1))}`;
  return `${y.length} values${span}${missing ? `, ${missing} missing` : ""}`;
}

function openSeedByApi(manifest) {
  const names = manifest.covariates.map((one) => one.name).join(", ");
  const dialog = openDialog({
    title: "Seed through the API",
    content: [h("p", {}, `Model ${manifest.name} has covariates (${names}), so a history needs a column for each: `,
      "send it to ", h("code", {}, "POST /seed-state"), " with ", h("code", {}, "x"), ", see ",
      h("a", { href: "/docs" }, "the API"), ".")],
    action: "Close",
    run: async () => {},
  });
  return dialog;
}

/** Ask whether to zero the state of a series, and do it. */
export function openReset(model, name, done) {
  openDialog({
    title: `Reset ${name}?`,
    content: [h("p", {}, "Its recurrent state is set to zero. Its last values, scores and history stay, so the next forecast is there at once.")],
    action: "Reset state",
    destroys: true,
    run: async () => {
      await post("/reset-state", { unique_id: name, model });
      notify(`Reset the state of ${name}.`);
      done();
    },
  });
}

/** Ask whether to forget a series, and do it. */
export function openDelete(model, name, done) {
  openDialog({
    title: `Delete ${name}?`,
    content: [h("p", {}, "Its state, its scores and its history are gone for good.")],
    action: "Delete series",
    destroys: true,
    run: async () => {
      await remove(seriesPath(name), { model });
      notify(`Deleted ${name}.`);
      done();
    },
  });
}
