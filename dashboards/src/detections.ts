// Counting detections.

import { IN_NAMESPACE, ofTenant } from "./variables";

const METRIC = "yagura_detections_total";

/** The series of the chosen tenants, namespaces and nodes. */
export const series = (more = "") => ofTenant(METRIC, [IN_NAMESPACE, more].filter(Boolean).join(", "));

/**
 * How often each series of a selector counted within a time, exactly and from the first one on.
 *
 * A namespace's series appears with its first detection, so with a value above 0, which increase() takes for where it
 * began. Here a series that is new counts from 0, as does one that began anew. What was there is looked for in the hour
 * before: a scrape that failed makes nothing new.
 */
export function counted(selector: string, window: string): string {
  const now = `last_over_time(${selector}[${window}])`;
  const before = `last_over_time(${selector}[1h] offset ${window})`;
  return `(${now} - ${before} >= 0 or ${now})`;
}

/** The detections of each series within a time. */
export const hits = (window: string, more = "") => counted(series(more), window);

/** The sum of them by labels. */
export const hitsBy = (labels: string, window: string, more = "") => `sum by (${labels}) (${hits(window, more)})`;

/** The same without what is 0. */
export const someHitsBy = (labels: string, window: string, more = "") => `${hitsBy(labels, window, more)} > 0`;

/** The same, where what is in no namespace has a name for a legend. */
export const named = (expr: string) => `label_replace(${expr}, "namespace", "(none)", "namespace", "")`;

export const SEVERE = 'priority=~"Emergency|Alert|Critical"';
