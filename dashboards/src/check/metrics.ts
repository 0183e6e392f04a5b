// docs/metrics.md, which a test of the daemon compares with its registry.

import { readFileSync } from "node:fs";

/** Labels that a scrape, or remote-write, adds. */
export const TARGET = ["instance", "cluster"];

/** Labels by metric, a histogram by the names of its series. */
export function documented(path: string): Map<string, string[]> {
  const metrics = new Map<string, string[]>();
  for (const line of readFileSync(path, "utf8").split("\n")) {
    const cells = /^\| `([a-z_0-9]+)` \| (counter|gauge|histogram) \| ([^|]*) \|/.exec(line);
    if (cells === null) {
      continue;
    }
    const [, name = "", kind, list = ""] = cells;
    const labels = list
      .split(",")
      .map((label) => label.replaceAll("`", "").trim())
      .filter(Boolean);
    if (kind === "histogram") {
      metrics.set(`${name}_bucket`, [...labels, "le"]).set(`${name}_sum`, labels).set(`${name}_count`, labels);
    } else {
      metrics.set(name, labels);
    }
  }
  return metrics;
}
