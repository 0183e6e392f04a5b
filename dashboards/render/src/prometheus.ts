// Asks a Prometheus, and makes of its answers the frames that Grafana's data source makes.

import { type DataFrame, FieldType, toDataFrame } from "@grafana/data";

import type { Target } from "./model";
import type { Span } from "./span";

interface Series {
  metric: Record<string, string>;
  value?: [number, string];
  values?: [number, string][];
}

export async function prometheus(target: Target, several: boolean, span: Span): Promise<DataFrame[]> {
  const query = span.filled(target.expr);
  const [path, when] = target.instant
    ? ["query", { time: String(span.range.to.valueOf() / 1000) }]
    : ["query_range", { start: String(span.from / 1000), end: String(span.to / 1000), step: String(span.step / 1000) }];
  const answer = await fetch(`/api/v1/${path}`, { method: "POST", body: new URLSearchParams({ query, ...when }) });
  const { status, error, data } = await answer.json();
  if (status !== "success") {
    throw new Error(`${query}: ${error}`);
  }
  const all: Series[] = data.result;
  return target.format === "table" ? rows(all, target, several) : all.map((series) => overTime(series, target, span));
}

/** One frame with a row for each series. */
function rows(all: Series[], { refId = "A" }: Target, several: boolean): DataFrame[] {
  if (all.length === 0) {
    return [];
  }
  const labels = [...new Set(all.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const frame = toDataFrame({
    refId,
    fields: [
      { name: "Time", type: FieldType.time, values: all.map(({ value }) => (value?.[0] ?? 0) * 1000) },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        config: { filterable: true },
        values: all.map(({ metric }) => metric[label] ?? ""),
      })),
      {
        name: several ? `Value #${refId}` : "Value",
        type: FieldType.number,
        values: all.map(({ value }) => Number(value?.[1])),
      },
    ],
  });
  return [frame];
}

/** A frame for a series. */
function overTime({ metric, value, values }: Series, { refId, legendFormat = "" }: Target, span: Span): DataFrame {
  const samples = values ?? (value === undefined ? [] : [value]);
  return toDataFrame({
    refId,
    fields: [
      {
        name: "Time",
        type: FieldType.time,
        config: { interval: span.step },
        values: samples.map(([time]) => time * 1000),
      },
      {
        name: "Value",
        type: FieldType.number,
        labels: metric,
        config: { displayNameFromDS: named(legendFormat, metric) },
        values: samples.map(([, text]) => Number(text)),
      },
    ],
  });
}

/** A legend with its labels filled in. */
export const named = (legend: string, labels: Record<string, string>) =>
  legend.replace(/\{\{\s*([a-z_]+)\s*\}\}/g, (_, name: string) => labels[name] ?? "");
