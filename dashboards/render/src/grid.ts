// Grafana's grid, in pixels.

export const COLUMNS = 24;
export const GAP = 8;
/** With the gap. */
export const ROW = 30 + GAP;
