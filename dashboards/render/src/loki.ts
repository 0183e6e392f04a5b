// What a query in LogQL finds among the lines that a double of Loki got, as the frames that Grafana's data source makes.
//
// No Loki answers here: ../../src/check knows as much of the language as the dashboards use.

import { type DataFrame, FieldType, toDataFrame } from "@grafana/data";

import type { Pushed } from "../../src/check/line";
import { logql } from "../../src/check/logql";
import type { Target } from "./model";
import { named } from "./prometheus";
import type { Span } from "./span";

export function loki(pushed: Pushed[], target: Target, span: Span): DataFrame[] {
  const expr = span.filled(target.expr);
  const within = pushed.filter(({ time }) => span.range.from.valueOf() <= time && time <= span.range.to.valueOf());
  const { found, by } = logql(expr, within);
  if (found.length === 0) {
    return [];
  }
  if (by.length === 0) {
    return [lines(found, target)];
  }
  const groups = Map.groupBy(found, ({ labels }) => JSON.stringify(by.map((label) => labels[label] ?? "")));
  const most = Number(/^topk\((\d+),/.exec(expr)?.[1] ?? groups.size);
  const sorted = [...groups.values()].sort((a, b) => b.length - a.length).slice(0, most);
  return target.queryType === "instant" ? [totals(sorted, by, target)] : sorted.map((group) => counts(group, by, target, span));
}

/** The newest lines, their labels in columns as the transformation extractFields leaves them. */
function lines(found: Pushed[], { maxLines }: Target): DataFrame {
  const newest = found.sort((a, b) => b.time - a.time).slice(0, maxLines);
  const labels = [...new Set(newest.flatMap(({ labels }) => Object.keys(labels)))];
  return toDataFrame({
    fields: [
      { name: "Time", type: FieldType.time, values: newest.map(({ time }) => time) },
      { name: "Line", type: FieldType.string, values: newest.map(({ line }) => line) },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: newest.map(({ labels }) => labels[label] ?? ""),
      })),
    ],
  });
}

/** A row for each group: instant queries of Loki are tables. */
function totals(groups: Pushed[][], by: string[], { refId = "A" }: Target): DataFrame {
  return toDataFrame({
    refId,
    fields: [
      { name: "Time", type: FieldType.time, values: groups.map(() => 0) },
      ...by.map((label) => ({
        name: label,
        type: FieldType.string,
        values: groups.map(([first]) => first?.labels[label] ?? ""),
      })),
      { name: `Value #${refId}`, type: FieldType.number, values: groups.map(({ length }) => length) },
    ],
  });
}

/** How many there are in each step, over time. */
function counts(group: Pushed[], by: string[], { legendFormat = "" }: Target, { from, to, step }: Span): DataFrame {
  const times = Array.from({ length: (to - from) / step + 1 }, (_, index) => from + index * step);
  const labels = Object.fromEntries(by.map((label) => [label, group[0]?.labels[label] ?? ""]));
  const within = (end: number) => group.filter(({ time }) => end - step < time && time <= end).length;
  const some = times.map((time) => [time, within(time)] as const).filter(([, count]) => count > 0);
  return toDataFrame({
    fields: [
      { name: "Time", type: FieldType.time, config: { interval: step }, values: some.map(([time]) => time) },
      {
        name: "Value",
        type: FieldType.number,
        labels,
        config: { displayNameFromDS: named(legendFormat, labels) },
        values: some.map(([, count]) => count),
      },
    ],
  });
}
