// docs/metrics.md, which a test of the daemon compares with its registry, and what alerts/recording.yaml makes of it.

import { readFileSync } from "node:fs";

/** Labels that a scrape, or remote-write, adds. */
const TARGET = ["instance", "cluster"];

/** Falco's. */
const PRIORITIES = ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"];

/** What is called as whoever is watched says, so that no page can list it. */
const OPEN = ["cluster", "node", "instance", "tenant", "namespace", "rule"];

export class Metrics {
  /** Labels by metric, a histogram by the names of its series. */
  readonly labels: Map<string, string[]>;
  private readonly words: Set<string>;

  constructor(page: string, recording: string) {
    const text = readFileSync(page, "utf8");
    this.labels = new Map([...documented(text), ...recorded(readFileSync(recording, "utf8"))]);
    this.words = new Set(text.split(/[^A-Za-z0-9_]+/));
  }

  /** What a matcher asks for of a label of which the page names all values. */
  strange(label: string, value: string): string[] {
    const known = (one: string) =>
      label === "priority" ? PRIORITIES.includes(one) : label === "job" ? one === "yagura" : this.words.has(one);
    const asked = OPEN.includes(label) ? [] : value.split("|").filter((one) => one !== ".*");
    return asked.filter((one) => !known(one)).map((one) => `${label} is never ${one}`);
  }
}

function documented(page: string): Map<string, string[]> {
  const metrics = new Map<string, string[]>();
  for (const line of page.split("\n")) {
    const cells = /^\| `([a-z_0-9]+)` \| (counter|gauge|histogram) \| ([^|]*) \|/.exec(line);
    if (cells === null) {
      continue;
    }
    const [, name = "", kind, list = ""] = cells;
    const own = list
      .split(",")
      .map((label) => label.replaceAll("`", "").trim())
      .filter(Boolean);
    const labels = [...own, ...TARGET];
    if (kind === "histogram") {
      metrics.set(`${name}_bucket`, [...labels, "le"]).set(`${name}_sum`, labels).set(`${name}_count`, labels);
    } else {
      metrics.set(name, labels);
    }
  }
  return metrics;
}

/** A recorded series is called level:metric:operations: its level is its labels, beside the cluster. */
function recorded(rules: string): Map<string, string[]> {
  const names = [...rules.matchAll(/^\s*- record: (\S+)$/gm)].map(([, name = ""]) => name);
  return new Map(names.map((name) => [name, [...(name.split(":")[0] ?? "").split("_"), "cluster"]]));
}
