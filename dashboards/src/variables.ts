// What is chosen at the top of a dashboard, and the selectors that follow from it.
//
// All of them come from the detections, the one metric that a tenant's own token shows, too.

import {
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  TextBoxVariableBuilder,
  VariableRefresh,
  VariableSort,
} from "@grafana/grafana-foundation-sdk/dashboard";

export const PROMETHEUS = { type: "prometheus", uid: "${prometheus}" };
export const LOKI = { type: "loki", uid: "${loki}" };

/** Both datasources, as a provisioned Grafana names them. */
export function datasources() {
  const of = (name: string, label: string, description: string) =>
    new DatasourceVariableBuilder(name).label(label).description(description).type(name);
  return [
    of("prometheus", "Metrics", "Where Yagura's metrics are: Prometheus, or what speaks its language"),
    of("loki", "Logs", "Where Yagura's detections are: Loki"),
  ];
}

interface Choice {
  name: string;
  label: string;
  description: string;
  /** What limits the values. */
  within: string;
  /** The metrics' label, if it has another name. */
  of?: string;
  /** What of a value counts, as a regular expression with a group. */
  regex?: string;
}

function choice({ name, label, description, within, of, regex }: Choice) {
  const query = `label_values(yagura_detections_total{${within}}, ${of ?? name})`;
  const variable = new QueryVariableBuilder(name)
    .label(label)
    .description(description)
    .datasource(PROMETHEUS)
    .query({ query, refId: name })
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalCaseInsensitiveAsc)
    .multi(true)
    .includeAll(true)
    // Also what has no such label: one cluster without a name, the host, which is in no namespace.
    .allValue(".*")
    .current({ selected: true, text: ["All"], value: ["$__all"] });
  return regex === undefined ? variable : variable.regex(regex);
}

export const cluster = () =>
  choice({ name: "cluster", label: "Cluster", description: "If Prometheus adds a label for it", within: "" });

export const tenant = () =>
  choice({ name: "tenant", label: "Tenant", description: "Who owns what happened", within: 'cluster=~"$cluster"' });

export const namespace = () =>
  choice({
    name: "namespace",
    label: "Namespace",
    description: "The Kubernetes namespace; All has the host, too",
    within: 'cluster=~"$cluster", tenant=~"$tenant"',
  });

export const node = () =>
  choice({
    name: "node",
    label: "Node",
    description: "The instance, without its port. Have it be the node's name, for the logs",
    within: 'cluster=~"$cluster"',
    of: "instance",
    regex: "/^(.*?)(?::\\d+)?$/",
  });

export const rule = () =>
  choice({
    name: "rule",
    label: "Rule",
    description: "The name of a rule",
    within: 'cluster=~"$cluster", tenant=~"$tenant"',
  });

/** A text that a link or a person fills in. */
export const text = (name: string, label: string, description: string) =>
  new TextBoxVariableBuilder(name)
    .label(label)
    .description(description)
    .defaultValue("")
    .current({ selected: true, text: "", value: "" });

/** Matchers of what was recorded of all nodes. */
export const IN_CLUSTER = 'cluster=~"$cluster"';
export const OF_TENANT = 'tenant=~"$tenant"';

const INSTANCE = `${IN_CLUSTER}, instance=~"$node(:[0-9]+)?"`;

/** A metric of the chosen nodes, with further matchers. */
export const ofNode = (metric: string, more = "") => `${metric}{${[INSTANCE, more].filter(Boolean).join(", ")}}`;

/** A metric of the chosen nodes and tenants. */
export const ofTenant = (metric: string, more = "") =>
  ofNode(metric, [OF_TENANT, more].filter(Boolean).join(", "));

/** A number that is 0 where a query finds nothing, as long as there is something that always is: no daemon, no number. */
export const zero = (expr: string, always: string) => `${expr} or 0 * count(${always})`;

/** The same of the chosen nodes. */
export const orZero = (expr: string) => zero(expr, ofNode("yagura_build_info"));

/** What tells nodes apart: their names may be the same in two clusters. */
export const NODE = "cluster, instance";

/** A node in a legend. Without clusters what follows is a blank. */
export const NODE_NAME = "{{instance}} {{cluster}}";

/** Matchers of a metric or log that has the label namespace. */
export const IN_NAMESPACE = 'namespace=~"$namespace"';

/** The detections in the logs. */
export const stream = (more = "") =>
  `{${['job="yagura", cluster=~"$cluster", node=~"$node", tenant=~"$tenant", namespace=~"$namespace"', more]
    .filter(Boolean)
    .join(", ")}}`;
