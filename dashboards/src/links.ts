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

const CHOSEN = "${prometheus:queryparam}&${loki:queryparam}&${cluster:queryparam}&${node:queryparam}&${__url_time_range}";
const WHOSE = "${tenant:queryparam}&${namespace:queryparam}";

/** A link in a table's cell: to the detection whose uuid it has. */
export const toDetection = () => ({
  title: "Investigate this detection",
  url: `/d/yagura-investigation?var-uuid=\${__value.text}&${WHOSE}&${CHOSEN}`,
});

/** To what else happened in the pod of the cell. */
export const toPod = () => ({
  title: "What else happened in this pod",
  url: `/d/yagura-investigation?var-pod=\${__value.text}&${WHOSE}&${CHOSEN}`,
});

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
