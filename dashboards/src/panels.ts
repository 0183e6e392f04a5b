// Panels as Yagura's dashboards have them. Each says what it answers.

import type { Builder, Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import * as bargauge from "@grafana/grafana-foundation-sdk/bargauge";
import {
  BarGaugeDisplayMode,
  BarGaugeSizing,
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
import {
  FieldColorBuilder,
  FieldColorModeId,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from "@grafana/grafana-foundation-sdk/dashboard";
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
  /** So many lines that their names need a column beside the graph. */
  many?: boolean;
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

/** Each row by itself: an instant query of Loki is one table. */
const rows = () => new ReduceDataOptionsBuilder().calcs(["lastNotNull"]).values(true);

/** increase() and means make parts of what is counted. */
const whole = <T extends { decimals: (decimals: number) => T }>({ unit }: About, panel: T): T =>
  unit === "locale" ? panel.decimals(0) : panel;

/** One number. */
export function number(about: About, query: Query) {
  const panel = new stat.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(PROMETHEUS)
    .unit(about.unit)
    // Without a daemon, or with another datasource, 0 would look as if all was well.
    .noValue(about.none ?? "No data")
    .thresholds(thresholds(about))
    .colorMode(about.warn === undefined && about.bad === undefined ? BigValueColorMode.None : BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(last())
    .targets([query]);
  return whole(about, panel);
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
        .placement(about.many ? LegendPlacement.Right : LegendPlacement.Bottom),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .targets(queries);
}

/** What adds up, over time. */
const stacked = (about: About, ...queries: Query[]) =>
  graph(about, ...queries)
    .fillOpacity(40)
    .stacking(new StackingConfigBuilder().mode(StackingMode.Normal));

const colored = (color: string) => [{ id: "color", value: { mode: "fixed", fixedColor: color } }];

/** What adds up to a sum, each in its colour, and the sum as a line above. */
export function shares(about: About, parts: [name: string, color: string, query: Query][], name: string, sum: Query) {
  const panel = stacked(about, ...parts.map(([, , query]) => query), sum);
  for (const [name, color] of parts) {
    panel.overrideByName(name, colored(color));
  }
  return panel.overrideByName(name, [
    ...colored("text"),
    { id: "custom.stacking", value: { mode: "none", group: "A" } },
    { id: "custom.fillOpacity", value: 0 },
  ]);
}

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
    panel.overrideByName(priority, colored(color));
  }
  return panel;
}

const NEUTRAL = new FieldColorBuilder().mode(FieldColorModeId.Fixed).fixedColor("blue");
const BY_THRESHOLD = new FieldColorBuilder().mode(FieldColorModeId.Thresholds);

/** The largest ones, as bars. */
export function top(about: About, query: Query) {
  const panel = new bargauge.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(PROMETHEUS)
    .unit(about.unit)
    .min(0)
    .noValue(about.none ?? "Nothing")
    .thresholds(thresholds(about))
    .colorScheme(about.warn === undefined && about.bad === undefined ? NEUTRAL : BY_THRESHOLD)
    .orientation(VizOrientation.Horizontal)
    .displayMode(BarGaugeDisplayMode.Basic)
    // Few bars are no larger than many.
    .sizing(BarGaugeSizing.Manual)
    .minVizHeight(16)
    .maxVizHeight(32)
    .reduceOptions(rows())
    .targets([query]);
  return whole(about, panel);
}

interface Column {
  /** What it is called. */
  as: string;
  unit?: string;
  link?: { title: string; url: string };
  width?: number;
}

/** What is said of a table without rows is not said of a cell without a value. */
const EMPTY_CELLS = [{ id: "noValue", value: "" }];

/** Rows of a table, one for each set of labels. Columns are named by label, or `Value #A` for the first query. */
export function list(about: About, columns: Record<string, Column>, ...queries: Query[]) {
  const panel = new table.PanelBuilder()
    .title(about.title)
    .description(about.description)
    .datasource(PROMETHEUS)
    .unit(about.unit)
    .decimals(0)
    .noValue(about.none ?? "Nothing")
    .overrideByRegexp(".*", EMPTY_CELLS)
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
    .overrideByRegexp(".*", EMPTY_CELLS)
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

/** No colour either. */
const NO_NUMBER = { text: "", color: "transparent" };

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
      options: { rowField: row, columnField: column, valueField: "Value #A", emptyValue: "null" },
    })
    .overrideByRegexp(".*", EMPTY_CELLS)
    .overrideByFieldType("number", [
      { id: "custom.cellOptions", value: { type: "color-background", mode: "basic" } },
      { id: "custom.width", value: 150 },
      { id: "color", value: { mode: "continuous-YlRd" } },
      { id: "mappings", value: [{ type: "special", options: { match: "null", result: NO_NUMBER } }] },
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
