// What Grafana puts in place of its variables, as a test has it.

const VALUES: [RegExp, string][] = [
  [/\$__range_s\b/g, "60"],
  [/\$__range\b/g, "1m"],
  // Several scrapes of a test.
  [/\$__(rate_)?interval\b/g, "10s"],
  [/\$(cluster|tenant|namespace|node|rule)\b/g, ".*"],
];

/** Which detection and which pod are chosen. */
export interface Chosen {
  uuid: string;
  pod: string;
}

/** A query as a datasource gets it; an error if something is left over. */
export function filled(expr: string, chosen: Chosen): string {
  let text = expr.replace(/\$uuid\b/g, chosen.uuid).replace(/\$pod\b/g, chosen.pod);
  for (const [pattern, value] of VALUES) {
    text = text.replace(pattern, value);
  }
  const left = /\$[A-Za-z_{][A-Za-z_]*/.exec(text);
  if (left !== null) {
    throw new Error(`what is ${left[0]}?`);
  }
  return text;
}
