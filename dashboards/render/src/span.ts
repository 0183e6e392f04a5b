// The time that a panel shows, its steps, and what Grafana puts in place of a query's variables then.

import { dateTime, rangeUtil, type TimeRange } from "@grafana/data";

import { type Chosen, filled } from "../../src/check/placeholders";

/** What Grafana takes scrapes to be apart if a data source does not say. */
const SCRAPES_S = 15;

export interface Span {
  /** Milliseconds since the epoch, as is each other time here. */
  from: number;
  to: number;
  /** Between two values. */
  step: number;
  range: TimeRange;
  filled: (expr: string) => string;
}

/** The span of a panel with so many pixels, no finer than its interval. */
export function span(from: number, to: number, pixels: number, interval: string | undefined, chosen: Chosen): Span {
  const raw = { from: dateTime(from), to: dateTime(to) };
  const range = { ...raw, raw };
  const { interval: text, intervalMs } = rangeUtil.calculateInterval(range, pixels, interval ?? `${SCRAPES_S}s`);
  const seconds = intervalMs / 1000;
  const variables = {
    range_s: Math.round((to - from) / 1000),
    interval: text,
    rate_interval: `${Math.max(seconds + SCRAPES_S, 4 * SCRAPES_S)}s`,
    recorded: "5m",
  };
  const aligned = (time: number) => Math.floor(time / intervalMs) * intervalMs;
  return {
    from: aligned(from),
    to: aligned(to),
    step: intervalMs,
    range,
    filled: (expr) => filled(expr, chosen, variables),
  };
}
