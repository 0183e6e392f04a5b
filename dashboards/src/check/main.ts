// Checks the committed dashboards: `node build/check/main.js FOLDER METRICS.md RECORDING.yaml [PUSHED.json]`.
//
// Prints each query in PromQL, ready to run, as a line of JSON: with All of each variable, and if that makes a difference as
// each of "choices" has it, and as "nobody" does. What is wrong goes to stderr, one line each, and the exit code is then 1.
// PUSHED.json has what Yagura pushed to Loki, and what may be chosen: {"uuid": …, "pod": …, "lines": [{"labels": …, "line":
// …}], "choices": [{"tenant": …}], "nobody": {"tenant": …}}; each query in LogQL must then find one of the lines, also with one
// of the choices, and none for nobody.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { Pushed } from "./line";
import { logql } from "./logql";
import { Metrics } from "./metrics";
import { type Page, type Panel, shape, type Target } from "./page";
import { type Choice, type Chosen, filled } from "./placeholders";
import { promql } from "./promql";

const [folder, page, recording, file] = process.argv.slice(2);
if (folder === undefined || page === undefined || recording === undefined) {
  console.error("usage: main.js FOLDER METRICS.md RECORDING.yaml [PUSHED.json]");
  process.exit(2);
}
const metrics = new Metrics(page, recording);
type Given = Chosen & { lines: Pushed[]; choices: Choice[]; nobody: Choice };
const given = file === undefined ? undefined : (JSON.parse(readFileSync(file, "utf8")) as Given);
const chosen = given ?? { uuid: "", pod: "" };

/** Names in a legend. */
const named = (legend: string) => [...legend.matchAll(/\{\{\s*([a-z_]+)\s*\}\}/g)].map(([, name = ""]) => name);

/** What is wrong with a query, and the labels that it has. One in PromQL is printed. */
function ask(where: string, target: Target): { wrong: string[]; labels: Set<string> } {
  const legend = named(target.legendFormat ?? "");
  const strange = (labels: Set<string>) =>
    legend.filter((name) => !labels.has(name)).map((name) => `no label ${name} for its legend`);
  try {
    const expr = filled(target.expr ?? "", chosen);
    const as = (choice: Choice) => filled(target.expr ?? "", chosen, undefined, choice);
    const choices = (given?.choices ?? []).map(as).filter((other) => other !== expr);
    const nobody = [given?.nobody ?? {}].map(as).filter((other) => other !== expr);
    if (target.datasource?.type === "loki") {
      const { wrong, labels, asked, found } = logql(expr, given?.lines);
      const finds = (query: string) => logql(query, given?.lines).found.length > 0;
      const nothing = given !== undefined && found.length === 0 ? ["it finds none of the lines that were pushed"] : [];
      const hidden = choices.length > 0 && !choices.some(finds) ? ["it finds nothing of what can be chosen"] : [];
      const others = nobody.some(finds) ? ["it finds lines of a tenant that is not chosen"] : [];
      const values = asked.flatMap(({ name, value }) => metrics.strange(name, value));
      return { wrong: [...wrong, ...values, ...strange(labels), ...nothing, ...hidden, ...others], labels };
    }
    const { wrong, labels } = promql(expr, metrics);
    console.log(JSON.stringify({ panel: where, expr, choices, nobody, legend }));
    return { wrong: [...wrong, ...strange(labels)], labels };
  } catch (error) {
    return { wrong: [String(error)], labels: new Set() };
  }
}

/** Columns of a table that no query has. */
function strangers(panel: Panel, labels: Set<string>): string[] {
  const values = (panel.targets ?? []).map(({ refId }) => `Value #${refId}`);
  const known = new Set([...labels, "Time", "Value", ...values]);
  const columns = (panel.transformations ?? []).flatMap(({ options }) => options?.include?.names ?? []);
  return columns.filter((column) => !known.has(column)).map((column) => `no column ${column}`);
}

/** What a variable's values are, as a query. */
function values(query: unknown): Target | undefined {
  const asked = /^label_values\((.*), ([a-z_]+)\)$/.exec((query as { query: string }).query);
  const [, selector, label] = asked ?? [];
  const by = label === "instance" ? "cluster, instance" : label;
  return label === undefined ? undefined : { expr: `count by (${by}) (${selector})`, legendFormat: `{{${label}}}` };
}

function* problems(dashboard: Page): Generator<[where: string, what: string]> {
  for (const what of shape(dashboard)) {
    yield ["shape", what];
  }
  for (const panel of dashboard.panels) {
    const asked = (panel.targets ?? []).map((target) => ask(`${dashboard.uid} / ${panel.title}`, target));
    const labels = new Set(asked.flatMap((answer) => [...answer.labels]));
    for (const what of [...asked.flatMap(({ wrong }) => wrong), ...strangers(panel, labels)]) {
      yield [panel.title ?? "", what];
    }
  }
  const variables = dashboard.templating.list.filter(({ type }) => type === "query");
  const others = [
    ...dashboard.annotations.list.map(({ name, target }) => ({ name, target })),
    ...variables.map(({ name, query }) => ({ name: `$${name}`, target: values(query) })),
  ];
  for (const { name, target } of others) {
    const wrong = target === undefined ? ["what does it ask?"] : ask(`${dashboard.uid} / ${name}`, target).wrong;
    for (const what of wrong) {
      yield [name, what];
    }
  }
}

const files = readdirSync(folder).filter((name) => name.startsWith("yagura-") && name.endsWith(".json"));
if (files.length === 0) {
  console.error(`${folder}: no dashboards`);
  process.exitCode = 1;
}
for (const name of files) {
  const dashboard = JSON.parse(readFileSync(join(folder, name), "utf8")) as Page;
  for (const [where, what] of problems(dashboard)) {
    console.error(`${dashboard.uid} / ${where}: ${what}`);
    process.exitCode = 1;
  }
}
