// Panels as Yagura's dashboards have them. Each says what it answers.

import type { Builder, Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import * as bargauge from "@grafana/grafana-foundation-sdk/bargauge";
import {
  BarGaugeDisplayMode,
  BigValueColorMode,
  BigValueGraphMode,
  GraphDrawStyle,
  HeatmapCellLayout,
  LegendDisplayMode,
  LegendPlacement,
  LogsSortOrder,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import { type Threshold, ThresholdsConfigBuilder, ThresholdsMode } from "@grafana/grafana-foundation-sdk/dashboard";
import * as heatmap from "@grafana/grafana-foundation-sdk/heatmap";
import * as logs from "@grafana/grafana-foundation-sdk/logs";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import * as table from "@grafana/grafana-foundation-sdk/table";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";

import { LOKI, PROMETHEUS } from "./variables";

type Query = Builder<Dataquery>;

export interface About {
  title: string;
  /** What the panel answers, and what to do about it. */
  description: string;
  /** Grafana's id of a unit. */
  unit: string;
  /** From which value on it is a warning, and serious. */
  warn?: number;
  bad?: number;
  /** What is said if there is nothing. */
  none?: string;
}

const PRIORITIES: [string, string][] = [
  ["Emergency", "dark-purple"],
  ["Alert", "purple"],
  ["Critical", "dark-red"],
  ["Error", "red"],
  ["Warning", "orange"],
  ["Notice", "yellow"],
  ["Informational", "blue"],
  ["Debug", "text"],
];

const thresholds = ({ warn, bad }: About) => {
  const steps: Threshold[] = [{ value: null, color: "green" }];
  if (warn !== undefined) {
    steps.push({ value: warn, color: "orange" });
  }
  if (bad !== undefined) {
    steps.push({ value: bad, color: "red" });
  }
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
};

const last = () => new ReduceDataOptionsBuilder().calcs(["lastNotNull"]).values(false);

/** One number. */
export function number(about: About, query: Query) {
  return new stat.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(PROMETHEUS)
    .unit(about.unit)
    .noValue(about.none ?? "0")
    .thresholds(thresholds(about))
    .colorMode(about.warn === undefined && about.bad === undefined ? BigValueColorMode.None : BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(last())
    .targets([query]);
}

/** Lines over time. */
export function graph(about: About, ...queries: Query[]) {
  return new timeseries.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(PROMETHEUS)
    .unit(about.unit)
    .noValue(about.none ?? "Nothing")
    .min(0)
    .fillOpacity(10)
    .showPoints(VisibilityMode.Auto)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .targets(queries);
}

/** What adds up, over time. */
export const stacked = (about: About, ...queries: Query[]) =>
  graph(about, ...queries)
    .fillOpacity(40)
    .stacking(new StackingConfigBuilder().mode(StackingMode.Normal));

/** How many in each of equal times, each counted once. */
export const perInterval = (about: About, ...queries: Query[]) =>
  stacked(about, ...queries)
    .drawStyle(GraphDrawStyle.Bars)
    .fillOpacity(80)
    .lineWidth(0)
    .decimals(0)
    // No shorter than the scrapes are apart.
    .interval("1m");

/** The same, each priority in its colour. */
export function byPriority(about: About, ...queries: Query[]) {
  const panel = perInterval(about, ...queries);
  for (const [priority, color] of PRIORITIES) {
    panel.overrideByName(priority, [{ id: "color", value: { mode: "fixed", fixedColor: color } }]);
  }
  return panel;
}

/** The largest ones, as bars. */
export const top = (about: About, query: Query) =>
  new bargauge.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(PROMETHEUS)
    .unit(about.unit)
    .min(0)
    .noValue(about.none ?? "Nothing")
    .thresholds(thresholds(about))
    .orientation(VizOrientation.Horizontal)
    .displayMode(BarGaugeDisplayMode.Basic)
    .reduceOptions(last())
    .targets([query]);

interface Column {
  /** What it is called. */
  as: string;
  unit?: string;
  link?: { title: string; url: string };
  width?: number;
}

/** Rows of a table, one for each set of labels. Columns are named by label, or `Value #A` for the first query. */
export function list(about: About, columns: Record<string, Column>, ...queries: Query[]) {
  const panel = new table.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(PROMETHEUS)
    .unit(about.unit)
    .noValue(about.none ?? "Nothing")
    .filterable(true)
    .targets(queries);
  if (queries.length > 1) {
    panel.withTransformation({ id: "merge", options: {} });
  }
  return arranged(panel, columns);
}

/** Lines of the log as rows of a table. */
export function entries(about: About, columns: Record<string, Column>, query: Query) {
  const panel = new table.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(LOKI)
    .unit(about.unit)
    .noValue(about.none ?? "Nothing")
    .filterable(true)
    .targets([query])
    .withTransformation({ id: "extractFields", options: { source: "labels", replace: false, keepTime: true } });
  return arranged(panel, { Time: { as: "Time", width: 180 }, ...columns });
}

/** Leaves these columns, in this order. */
function arranged(panel: table.PanelBuilder, columns: Record<string, Column>) {
  const names = Object.keys(columns);
  panel.withTransformation({ id: "filterFieldsByName", options: { include: { names } } });
  panel.withTransformation({
    id: "organize",
    options: {
      indexByName: Object.fromEntries(names.map((name, index) => [name, index])),
      renameByName: Object.fromEntries(Object.entries(columns).map(([name, { as }]) => [name, as])),
    },
  });
  for (const { as, unit, link, width } of Object.values(columns)) {
    const properties = [];
    if (unit !== undefined) {
      properties.push({ id: "unit", value: unit });
    }
    if (link !== undefined) {
      properties.push({ id: "links", value: [link] });
    }
    if (width !== undefined) {
      properties.push({ id: "custom.width", value: width });
    }
    if (properties.length > 0) {
      panel.overrideByName(as, properties);
    }
  }
  return panel;
}

/** Rows by columns, each cell in the colour of its number; from a query whose series have both labels. */
export const matrix = (about: About, row: string, column: string, query: Query) =>
  new table.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(LOKI)
    .unit(about.unit)
    .noValue(about.none ?? "Nothing")
    .targets([query])
    .withTransformation({ id: "labelsToFields", options: { mode: "columns" } })
    .withTransformation({ id: "merge", options: {} })
    .withTransformation({
      id: "groupingToMatrix",
      options: { rowField: row, columnField: column, valueField: "Value #A", emptyValue: "empty" },
    })
    .overrideByFieldType("number", [
      { id: "custom.cellOptions", value: { type: "color-background", mode: "basic" } },
      { id: "color", value: { mode: "continuous-YlRd" } },
    ]);

/** Lines of the log. */
export const text = (about: About, query: Query) =>
  new logs.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(LOKI)
    .noValue(about.none ?? "Nothing")
    .showTime(true)
    .wrapLogMessage(true)
    .prettifyLogMessage(true)
    .enableLogDetails(true)
    .sortOrder(LogsSortOrder.Descending)
    .targets([query]);

/** How long things took, over time. */
export const durations = (about: About, query: Query) =>
  new heatmap.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(PROMETHEUS)
    .calculate(false)
    .rowsFrame(new heatmap.RowsHeatmapOptionsBuilder().layout(HeatmapCellLayout.Auto))
    .yAxis(new heatmap.YAxisConfigBuilder().unit(about.unit))
    .color(new heatmap.HeatmapColorOptionsBuilder().mode(heatmap.HeatmapColorMode.Scheme).scheme("Oranges").steps(64))
    .cellValues(new heatmap.CellValuesBuilder().unit("short"))
    .targets([query]);
