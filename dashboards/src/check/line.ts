// Lines as Yagura pushes them to Loki, and what a stage of a query does with one.
//
// This is no Loki. It knows what the dashboards and alerts/loki.yaml use, and refuses anything else.

/** A line as it was pushed. */
export interface Pushed {
  labels: Record<string, string>;
  line: string;
  /** Milliseconds since the epoch. */
  time: number;
}

/** Whether a line stays; it may be changed. */
export type Stage = (state: Pushed) => boolean;

/** The text between a string's quotes. */
export const unquoted = (text: string): string =>
  text.startsWith("`") ? text.slice(1, -1) : (JSON.parse(text) as string);

/** A regular expression of Go's, of those that mean the same here. */
export const regex = (text: string) => new RegExp(text.replaceAll("(?P<", "(?<"));

/** What an operator says of a label's value, which it must fit as a whole. */
export function ofLabel(operator: string, value: string): (text: string) => boolean {
  switch (operator) {
    case "=":
      return (text) => text === value;
    case "!=":
      return (text) => text !== value;
    case "=~":
    case "!~": {
      const pattern = regex(`^(?:${value})$`);
      return (text) => pattern.test(text) === (operator === "=~");
    }
    default:
      throw new Error(`the operator ${operator} is not known here`);
  }
}

/** What an operator says of a line. */
export function ofLine(operator: string, value: string): (text: string) => boolean {
  switch (operator) {
    case "|=":
      return (text) => text.includes(value);
    case "|~": {
      const pattern = regex(value);
      return (text) => pattern.test(text);
    }
    default:
      throw new Error(`the operator ${operator} is not known here`);
  }
}

/** The value at a path such as `output_fields["k8s.pod.name"]`, `a.b` or `a[0].b`, as Loki has it in a label. */
export function at(line: string, path: string): string | undefined {
  let value: unknown = JSON.parse(line);
  for (const [, quoted, index, name] of path.matchAll(/\["([^"]*)"\]|\[(\d+)\]|([A-Za-z_][A-Za-z0-9_]*)/g)) {
    if (typeof value !== "object" || value === null) {
      return undefined;
    }
    value = (value as Record<string, unknown>)[quoted ?? index ?? name ?? ""];
  }
  if (value === undefined || value === null) {
    return undefined;
  }
  return typeof value === "string" ? value : JSON.stringify(value);
}
