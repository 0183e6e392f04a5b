// Counting detections.

import { IN_CLUSTER, IN_NAMESPACE, ofTenant, OF_TENANT, zero } from "./variables";

const METRIC = "yagura_detections_total";
const SUMS = "tenant_namespace_rule_priority_source:yagura_detections";

/** The series of the chosen tenants, namespaces and nodes. */
export const series = (more = "") => ofTenant(METRIC, [IN_NAMESPACE, more].filter(Boolean).join(", "));

/** The same of all namespaces: the series that are there from the start, at 0, are in none. */
export const everywhere = (more = "") => ofTenant(METRIC, more);

/** A number that is 0 where a query finds nothing, as long as there are counters of the chosen tenants. */
export const orNone = (expr: string) => zero(expr, everywhere());

/**
 * How often each series of a selector counted within a time, from the first one on.
 *
 * A namespace's series appears with its first detection, so with a value above 0, which increase() takes for where it
 * began. Here a series that is new counts from 0, as does one that began anew between the time and what was before it.
 * What was there is looked for in the hour before: a scrape that failed makes nothing new. Where a daemon began anew within
 * the time, two moments say too little: that is increase()'s part.
 */
export function counted(selector: string, window: string): string {
  const over = (what: string) => `${what}(${selector}[${window}])`;
  const [now, before] = [over("last_over_time"), `last_over_time(${selector}[1h] offset ${window})`];
  return `(${over("increase")} and ${over("resets")} > 0 or ${now} - ${before} and ${over("min_over_time")} >= ${before} or ${now})`;
}

/** The detections of each series within a time. */
export const hits = (window: string, more = "") => counted(series(more), window);

/** The sum of them by labels. */
export const hitsBy = (labels: string, window: string, more = "") => `sum by (${labels}) (${hits(window, more)})`;

/** The same without what is 0. */
export const someHitsBy = (labels: string, window: string, more = "") => `${hitsBy(labels, window, more)} > 0`;

const recorded = (what: string, more = "") => `${SUMS}:${what}{${[IN_CLUSTER, OF_TENANT, IN_NAMESPACE, more].filter(Boolean).join(", ")}}`;

/** What is said of panels that read it. */
export const RECORDED = "Of all nodes and in whole five minutes: it is read from what recording rules made of it.";

/**
 * The detections within a long time by labels, without what is 0, from what alerts/recording.yaml records each half minute
 * of the last five: of all nodes, and in whole five minutes.
 */
export const recordedBy = (labels: string, window: string, more = "") =>
  `sum by (${labels}) (sum_over_time(${recorded("increase5m", more)}[${window}:5m])) > 0`;

/** How many values of a label had detections; no number where nothing is recorded. */
export const recordedValues = (label: string, window: string) =>
  zero(`count(${recordedBy(label, window)})`, recorded("increase5m"));

/** Detections of the last day by labels, of those without one in the six days before. */
export const newToday = (labels: string) =>
  `sum by (${labels}) (${recorded("increase1d")}) > 0 unless sum by (${labels}) (max_over_time(${recorded("increase1d")}[5d] offset 1d)) > 0`;

/** The same, where what is in no namespace has a name for a legend. */
export const named = (expr: string) => `label_replace(${expr}, "namespace", "(none)", "namespace", "")`;

export const SEVERE = 'priority=~"Emergency|Alert|Critical"';
