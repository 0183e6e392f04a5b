// What Grafana puts in place of its variables.

/** Which detection and which pod are chosen. */
export interface Chosen {
  uuid: string;
  pod: string;
}

/** What is chosen at the top of a dashboard, of some variables; of the others it is All. */
export type Choice = Partial<Record<"cluster" | "tenant" | "namespace" | "node" | "rule", string>>;

/** The time that is shown and its steps. */
export interface Times {
  range_s: number;
  interval: string;
  rate_interval: string;
  /** How far apart are what recording rules make of five minutes each. */
  recorded: string;
}

/** As a test has them: several of its scrapes. */
const TEST: Times = { range_s: 60, interval: "10s", rate_interval: "10s", recorded: "15s" };

/** A query as a datasource gets it; an error if something is left over. */
export function filled(expr: string, { uuid, pod }: Chosen, times = TEST, choice: Choice = {}): string {
  const values: [RegExp, string][] = [
    [/\$__range_s\b/g, `${times.range_s}`],
    [/\$__range\b/g, `${times.range_s}s`],
    [/\$__interval\b/g, times.interval],
    [/\$__rate_interval\b/g, times.rate_interval],
    [/\$cluster\b/g, choice.cluster ?? ".*"],
    [/\$tenant\b/g, choice.tenant ?? ".*"],
    [/\$namespace\b/g, choice.namespace ?? ".*"],
    [/\$node\b/g, choice.node ?? ".*"],
    [/\$rule\b/g, choice.rule ?? ".*"],
    [/:5m\]/g, `:${times.recorded}]`],
    [/\$uuid\b/g, uuid],
    [/\$pod\b/g, pod],
  ];
  const text = values.reduce((text, [pattern, value]) => text.replace(pattern, value), expr);
  const left = /\$[A-Za-z_{][A-Za-z_]*/.exec(text);
  if (left !== null) {
    throw new Error(`what is ${left[0]}?`);
  }
  return text;
}
