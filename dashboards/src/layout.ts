// A dashboard from rows of panels, laid out on Grafana's grid of 24 columns.

import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  AnnotationQueryBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  type Panel,
  RowBuilder,
  type VariableModel,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";

import { others, TAG } from "./links";
import { NODE, NODE_NAME, ofNode, PROMETHEUS } from "./variables";

const COLUMNS = 24;

type PanelBuilder = Builder<Panel>;

/** Panels side by side, of the same height and width. */
export interface Line {
  height: number;
  panels: PanelBuilder[];
}

export const line = (height: number, ...panels: PanelBuilder[]): Line => ({ height, panels });

export interface Row {
  title: string;
  lines: Line[];
}

export interface Page {
  uid: string;
  title: string;
  description: string;
  variables: Builder<VariableModel>[];
  from: string;
  rows: Row[];
}

/** When rules were loaded again, and what came of it. */
function reloads() {
  const expr = `sum by (${NODE}, result) (changes(${ofNode("yagura_rules_reload_total")}[2m])) > 0`;
  return new AnnotationQueryBuilder()
    .name("Rules reloaded")
    .datasource(PROMETHEUS)
    .enable(true)
    .iconColor("purple")
    .target(new DataqueryBuilder().expr(expr).refId("Anno").interval("60s").datasource(PROMETHEUS))
    .expr(expr)
    .step("60s")
    .titleFormat("Rules reloaded: {{result}}")
    .textFormat(NODE_NAME)
    .tagKeys("result");
}

export function page({ uid, title, description, variables, from, rows }: Page): Dashboard {
  const builder = new DashboardBuilder(`Yagura / ${title}`)
    .uid(uid)
    .description(description)
    .tags([TAG])
    .timezone("browser")
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from, to: "now" })
    .refresh("1m")
    .editable()
    .variables(variables)
    .annotation(reloads())
    .link(others());
  let [id, y] = [1, 0];
  for (const { title, lines } of rows) {
    builder.withRow(new RowBuilder(title).id(id++).gridPos({ x: 0, y: y++, w: COLUMNS, h: 1 }));
    for (const { height, panels } of lines) {
      const width = Math.floor(COLUMNS / panels.length);
      for (const [index, panel] of panels.entries()) {
        const built = panel.build();
        built.id = id++;
        built.gridPos = { x: index * width, y, w: width, h: height };
        builder.withPanel({ build: () => built });
      }
      y += height;
    }
  }
  return builder.build();
}
