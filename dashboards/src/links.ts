// Ways from one dashboard to the others; what was chosen stays chosen.

import { DashboardLinkBuilder, DashboardLinkType } from "@grafana/grafana-foundation-sdk/dashboard";

export const TAG = "yagura";

/** All others, in a menu. */
export const others = () =>
  new DashboardLinkBuilder("Yagura")
    .type(DashboardLinkType.Dashboards)
    .tags([TAG])
    .asDropdown(true)
    .includeVars(true)
    .keepTime(true)
    .tooltip("Yagura's dashboards, with the same tenant, namespace, node and time");

/** Columns of the cell's row, by their labels. */
const ROW = { pod: "${__data.fields.pod}", detection: "${__data.fields.detection}" };

const CHOSEN = "${prometheus:queryparam}&${loki:queryparam}&${cluster:queryparam}&${node:queryparam}&${__url_time_range}";
const WHOSE = "${tenant:queryparam}&${namespace:queryparam}";

const toInvestigation = (title: string, uuid: string, pod: string) => ({
  title,
  url: `/d/yagura-investigation?var-uuid=${uuid}${pod}&${WHOSE}&${CHOSEN}`,
});

/** A link in a table's cell: to the detection whose uuid it has; its pod is in the row, chosen already, or unknown. */
export const toDetection = (pod: "row" | "chosen" | "unknown") =>
  toInvestigation(
    "Investigate this detection",
    "${__value.text}",
    { row: `&var-pod=${ROW.pod}`, chosen: "&${pod:queryparam}", unknown: "" }[pod],
  );

/** To what else happened in the pod of the cell, and the detection of its row. */
export const toPod = () =>
  toInvestigation("What else happened in this pod", ROW.detection, "&var-pod=${__value.text}");

/** To the rule of the cell. */
export const toRule = () => ({
  title: "This rule",
  url: `/d/yagura-rules?var-rule=\${__value.text}&${WHOSE}&${CHOSEN}`,
});

/** To the tenant of the cell. */
export const toTenant = () => ({
  title: "This tenant",
  url: `/d/yagura-tenant-overview?var-tenant=\${__value.text}&${CHOSEN}`,
});
