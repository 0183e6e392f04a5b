// Loki's rules as Prometheus can evaluate them: `node build/check/rules.js ASKED.json`.
//
// ASKED.json is {"exprs": [EXPR, …], "cases": [[LINE, …], …]}, lines as in ./line, their time counted from the start of a case.
// Printed is {"exprs": …, "cases": …}: each count_over_time({…} … [5m]) of an expression is sum_over_time(lines:0:count1m[5m])
// instead, and each case is the series that stand for its lines, as promtool's tests write them. So our reader of LogQL says
// which lines a rule counts and with which labels, and Prometheus does all else.

import { parser } from "@grafana/lezer-logql";
import { readFileSync } from "node:fs";

import type { Pushed } from "./line";
import { logql } from "./logql";
import { all, mistake } from "./tree";

interface Asked {
  exprs: string[];
  cases: Pushed[][];
}

/** A count of lines, and the series that has it. */
interface Count {
  text: string;
  series: string;
}

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error("usage: rules.js ASKED.json");
  process.exit(2);
}
const asked = JSON.parse(readFileSync(file, "utf8")) as Asked;
const counts: Count[] = [];
const exprs = asked.exprs.map(replaced);
console.log(JSON.stringify({ exprs, cases: asked.cases.map((lines) => counts.flatMap((count) => series(count, lines))) }));

/** The expression without LogQL. */
function replaced(expr: string): string {
  const tree = parser.parse(expr);
  const wrong = mistake(tree, expr);
  if (wrong !== undefined) {
    throw new Error(`${wrong}: ${expr}`);
  }
  let [made, end] = ["", 0];
  for (const node of all(tree.topNode, "RangeAggregationExpr")) {
    const text = expr.slice(node.from, node.to);
    const range = /^count_over_time\(.*(\[\d+[mh]\])\s*\)$/s.exec(text)?.[1];
    if (range === undefined) {
      throw new Error(`${text} is not known here`);
    }
    const series = `lines:${counts.length}:count1m`;
    counts.push({ text, series });
    made += `${expr.slice(end, node.from)}sum_over_time(${series}${range})`;
    end = node.to;
  }
  return made + expr.slice(end);
}

/** What it counts in each minute; nothing, not 0, in one without lines, as Loki does. */
function series({ text, series }: Count, lines: Pushed[]): { series: string; values: string }[] {
  const { wrong, found } = logql(text, lines);
  const strange = wrong.filter((what) => !what.startsWith("no line has "));
  if (strange.length > 0) {
    throw new Error(`${strange.join(", ")}: ${text}`);
  }
  const named = (labels: Record<string, string>) =>
    Object.entries(labels)
      .filter(([, value]) => value !== "")
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
      .sort()
      .join(", ");
  const minutes = new Map<string, number[]>();
  for (const { labels, time } of found) {
    const key = named(labels);
    minutes.set(key, [...(minutes.get(key) ?? []), Math.ceil(time / 60_000)]);
  }
  return [...minutes].map(([labels, at]) => {
    const values = Array.from({ length: Math.max(...at) + 1 }, (_, minute) => {
      const count = at.filter((one) => one === minute).length;
      return count === 0 ? "_" : String(count);
    });
    return { series: `${series}{${labels}}`, values: values.join(" ") };
  });
}
