// What every dashboard and panel must have, whatever it asks.

interface Position {
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface Target {
  refId?: string;
  expr?: string;
  legendFormat?: string;
  datasource?: { type?: string; uid?: string };
}

export interface Panel {
  id: number;
  type: string;
  title?: string;
  description?: string;
  gridPos: Position;
  targets?: Target[];
  fieldConfig?: {
    defaults?: { unit?: string; noValue?: string };
    overrides?: { properties: { id: string; value?: unknown }[] }[];
  };
  options?: { yAxis?: { unit?: string }; reduceOptions?: { values?: boolean } };
  transformations?: { id: string; options?: { include?: { names?: string[] } } }[];
}

export interface Page {
  uid: string;
  panels: Panel[];
  templating: { list: { name: string; type: string; query?: unknown }[] };
  annotations: { list: { name: string; target?: Target }[] };
  links: { includeVars: boolean; keepTime: boolean; tags: string[] }[];
  tags: string[];
}

const VARIABLES = ["prometheus", "loki", "cluster", "tenant", "namespace", "node"];

const overlap = (a: Position, b: Position) =>
  a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

/** What is wrong, each with the panel's title. */
export function shape(page: Page): string[] {
  const names = page.templating.list.map(({ name }) => name);
  const links = page.links.filter(({ tags }) => tags.some((tag) => page.tags.includes(tag)));
  const reloads = page.annotations.list.filter(({ target }) => target?.expr?.includes("yagura_rules_reload_total"));
  const ids = new Set(page.panels.map(({ id }) => id));
  return [
    ...VARIABLES.filter((name) => !names.includes(name)).map((name) => `no variable ${name}`),
    ...must(links.some(({ includeVars, keepTime }) => includeVars && keepTime), "no links that keep variables and time"),
    ...must(reloads.length > 0, "no annotation of reloads"),
    ...must(ids.size === page.panels.length, "two panels have the same id"),
    ...page.panels.flatMap((panel, index) => [
      ...place(panel, page.panels.slice(index + 1)),
      ...(panel.type === "row" ? [] : whole(panel)),
    ]),
  ];
}

const must = (holds: boolean, what: string): string[] => (holds ? [] : [what]);

function place({ gridPos, title }: Panel, later: Panel[]): string[] {
  const under = later.filter((other) => overlap(gridPos, other.gridPos));
  return [
    ...must(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24, `${title}: beyond the 24 columns`),
    ...under.map((other) => `${title} overlaps ${other.title}`),
  ];
}

function whole(panel: Panel): string[] {
  const { title, type, description, targets = [] } = panel;
  const unit = panel.options?.yAxis?.unit ?? panel.fieldConfig?.defaults?.unit;
  const asked = targets.map(({ expr }) => expr).join();
  const [lines, table] = [type === "logs", type === "table"];
  const properties = panel.fieldConfig?.overrides?.flatMap(({ properties }) => properties) ?? [];
  const emptyCells = properties.some(({ id, value }) => id === "noValue" && value === "");
  const ofLoki = targets.some(({ datasource }) => datasource?.type === "loki");
  const columns = panel.transformations?.flatMap(({ options }) => options?.include?.names ?? []) ?? [];
  const links = JSON.stringify(properties.filter(({ id }) => id === "links"));
  const linked = [...links.matchAll(/__data\.fields\.([a-z_]+)/g)].map(([, column = ""]) => column);
  const healthy = type === "stat" && (panel.fieldConfig?.defaults?.noValue === "0" || asked.includes("vector("));
  const reduced = type === "bargauge" && ofLoki && !panel.options?.reduceOptions?.values;
  return [
    ...must((title ?? "") !== "", "a panel without a title"),
    ...must((description ?? "").length > 10, `${title}: no description`),
    ...must(unit !== undefined || lines, `${title}: no unit`),
    ...must(targets.length > 0, `${title}: no query`),
    ...must(!healthy, `${title}: without data it looks as if all was well`),
    ...linked
      .filter((column) => !columns.includes(column))
      .map((column) => `${title}: a link needs the column ${column}`),
    ...must(!table || emptyCells, `${title}: its empty cells say what an empty table says`),
    // Instant queries of Loki are one table.
    ...must(!reduced, `${title}: one bar for all rows`),
    ...targets.flatMap(({ datasource, legendFormat }) => [
      ...must(datasource?.uid === `\${${datasource?.type}}`, `${title}: a datasource that is no variable`),
      ...must((legendFormat ?? "") !== "" || lines || table, `${title}: no legend`),
    ]),
  ];
}
