/** The models: what each is, and how it scored beside the baselines. */

import { call, get } from "./api.js";
import { fact, h } from "./dom.js";
import { number, percent } from "./format.js";
import { currentKey } from "./key.js";

const NAMES = {
  model: "This model", persistence: "Persistence (the last value)", seasonal_naive: "Seasonal naive",
  universal: "The universal model as it is",
};

/** Return the page that lists the models. */
export async function modelsPage() {
  const { models, default: standard } = await get("/models");
  return [
    h("h1", {}, "Models"),
    h("div.scroll", {}, h("table.list", {},
      h("thead", {}, h("tr", {}, ["Model", "Network", "Frequency", "Covariates", "MAE", "MAE of persistence"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, models.map((one) => h("tr", {},
        h("th", { scope: "row" }, h("a", { href: `#/models/${encodeURIComponent(one.name)}` }, one.name), one.name === standard ? h("small", {}, " default") : null),
        h("td", {}, networkOf(one)), h("td", {}, one.freq ?? "any"), h("td", {}, String(one.covariates.length)),
        h("td", {}, number(one.scores.model?.mae)), h("td", {}, number(one.scores.persistence?.mae))))))),
  ];
}

/** Return the page of one model. */
export async function modelPage({ name }) {
  const { models, default: standard } = await get("/models");
  const manifest = models.find((one) => one.name === name) ?? (await get(`/models/${encodeURIComponent(name)}`));
  return [
    h("nav.crumbs", { "aria-label": "Where this is" }, h("a", { href: "#/models" }, "Models")),
    h("div.head", {}, h("h1", {}, name),
      h("div.buttons", {}, h("a.button", { href: `#/?model=${encodeURIComponent(name)}` }, "Its series"), "report/index.html" in manifest.files ? report(name) : null)),
    h("dl.facts", {},
      fact("Network", networkOf(manifest), `${manifest.network.features} in, ${manifest.network.outputs} out`),
      fact("Transform", manifest.transform.kind, manifest.transform.difference != null ? `difference ${manifest.transform.difference}` : null),
      fact("State", manifest.policy === "carry" ? "carried" : "reset", manifest.policy === "carry" ? "from step to step" : "at each step"),
      fact("Frequency", manifest.freq ?? "any", manifest.season > 1 ? `season of ${manifest.season}` : null),
      fact("Warm-up", `${manifest.context}`, "observations"),
      fact("Default", name === standard ? "yes" : "no", name === standard ? "for calls that name none" : null)),
    h("section.panel", {}, h("h2", {}, "Scores"), scores(manifest.scores)),
    manifest.covariates.length ? h("section.panel", {}, h("h2", {}, "Covariates"), covariates(manifest.covariates)) : null,
    h("div.columns", {},
      h("section.panel.wide", {}, h("h2", {}, "Data"), facts(manifest.data)),
      h("section.panel.wide", {}, h("h2", {}, "Made with"), facts({ fingerprint: manifest.fingerprint, version: manifest.version, ...manifest.libraries }))),
    h("details.panel", {}, h("summary", {}, "Recipe"), facts(manifest.recipe)),
  ].filter(Boolean);
}

function networkOf({ network }) {
  return `LSTM ${network.units.join(" + ")}`;
}

/** A link to the report; with a key, which no link can send, it is saved as a file. */
function report(name) {
  const address = `/models/${encodeURIComponent(name)}/report/`;
  if (!currentKey()) return h("a.button", { href: address, target: "_blank", rel: "noopener" }, "Training report");
  const save = async () => {
    const content = await (await call(address)).blob();
    const link = h("a", { href: URL.createObjectURL(content), download: `${name}-report.html` });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return h("button", { type: "button", onclick: save }, "Save training report");
}

function scores(found) {
  const rows = Object.entries(found).filter(([, one]) => typeof one?.rmse === "number");
  if (!rows.length) return h("p.quiet", {}, "This model was not scored on a data set of its own. Each series keeps its own scores.");
  const best = Math.min(...rows.map(([, one]) => one.rmse));
  return h("div.scroll", {}, h("table", {},
    h("thead", {}, h("tr", {}, ["On the last observations", "RMSE", "MAE", "MASE", "sMAPE", "In 80%", "In 95%"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map(([name, one]) => h("tr", {},
      h("th", { scope: "row" }, NAMES[name] ?? name),
      h("td", { class: one.rmse === best ? "best" : "" }, number(one.rmse)),
      h("td", {}, number(one.mae)), h("td", {}, number(one.mase)), h("td", {}, number(one.smape)),
      h("td", {}, percent(one.coverage?.[80])), h("td", {}, percent(one.coverage?.[95])))))));
}

function covariates(found) {
  return h("div.scroll", {}, h("table", {},
    h("thead", {}, h("tr", {}, ["Name", "Known", "Values"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, found.map((one) => h("tr", {}, h("th", { scope: "row" }, one.name),
      h("td", {}, { past: "with its step", future: "ahead", static: "of the series" }[one.kind]),
      h("td", {}, one.categories.length ? one.categories.join(", ") : "a number"))))));
}

function facts(found) {
  return h("table.plain", {}, h("tbody", {}, Object.entries(found).map(([name, value]) =>
    h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value))))));
}
