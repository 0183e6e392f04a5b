// What of a dashboard is drawn, and with what.

import type { DataTransformerConfig, FieldConfigSource } from "@grafana/data";

import type { Pushed } from "../../src/check/line";
import type { Chosen } from "../../src/check/placeholders";

export interface Target {
  refId?: string;
  expr: string;
  legendFormat?: string;
  instant?: boolean;
  format?: string;
  queryType?: string;
  maxLines?: number;
  datasource: { type: string };
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  interval?: string;
  targets?: Target[];
  transformations?: DataTransformerConfig[];
  fieldConfig?: FieldConfigSource;
  // Each type of panel has its own.
  options?: Record<string, unknown>;
}

export interface Dashboard {
  title: string;
  panels: Panel[];
}

/** Where the data are: a Prometheus, and what a double of Loki got. */
export interface Sources {
  prometheus: string;
  pushed: Chosen & { lines: Pushed[] };
  /** Milliseconds since the epoch. */
  from: number;
  to: number;
}
