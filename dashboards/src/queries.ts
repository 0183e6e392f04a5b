// Queries of panels.

import { DataqueryBuilder as LokiQuery, LokiQueryDirection } from "@grafana/grafana-foundation-sdk/loki";
import { DataqueryBuilder as PromQuery, PromQueryFormat } from "@grafana/grafana-foundation-sdk/prometheus";

import { LOKI, PROMETHEUS } from "./variables";

/** Over time; the legend names series by `{{label}}`. */
export const range = (expr: string, legend: string) =>
  new PromQuery().datasource(PROMETHEUS).expr(expr).legendFormat(legend).range();

/** At the end of the time, as rows of a table. */
export const rows = (expr: string) =>
  new PromQuery().datasource(PROMETHEUS).expr(expr).instant().format(PromQueryFormat.Table);

/** At the end of the time, one value a series. */
export const now = (expr: string, legend: string) =>
  new PromQuery().datasource(PROMETHEUS).expr(expr).legendFormat(legend).instant();

/** Buckets of a histogram. */
export const buckets = (expr: string) =>
  new PromQuery().datasource(PROMETHEUS).expr(expr).legendFormat("{{le}}").format(PromQueryFormat.Heatmap).range();

/** Log lines, the newest first. */
export const lines = (expr: string, most = 100) =>
  new LokiQuery()
    .datasource(LOKI)
    .expr(expr)
    .queryType("range")
    .maxLines(most)
    .direction(LokiQueryDirection.Backward);

/** Numbers from log lines, over time. */
export const counts = (expr: string, legend: string) =>
  new LokiQuery().datasource(LOKI).expr(expr).queryType("range").legendFormat(legend);

/** Numbers from log lines, of the whole time. */
export const totals = (expr: string, legend: string) =>
  new LokiQuery().datasource(LOKI).expr(expr).queryType("instant").legendFormat(legend);
