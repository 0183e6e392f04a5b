// From answers to what a panel draws: its transformations, then its fields' configuration.

import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createTheme,
  type DataFrame,
  type DataTransformerInfo,
  FieldColorModeId,
  FieldConfigOptionsRegistry,
  type FieldConfigPropertyItem,
  identityOverrideProcessor,
  type ScopedVars,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
  type TransformerRegistryItem,
} from "@grafana/data";
import { lastValueFrom } from "rxjs";

import type { Panel } from "./model";

export const THEME = createTheme({ colors: { mode: "dark" } });

// Those that the dashboards use.
const {
  filterFieldsByNameTransformer,
  groupingToMatrixTransformer,
  labelsToFieldsTransformer,
  mergeTransformer,
  organizeFieldsTransformer,
} = standardTransformers;

const transformer = <T,>(info: DataTransformerInfo<T>): TransformerRegistryItem<T> => ({
  id: info.id,
  name: info.name,
  transformation: () => Promise.resolve(info),
  editor: () => null,
  imageDark: "",
  imageLight: "",
});

standardTransformersRegistry.setInit(() => [
  transformer(filterFieldsByNameTransformer),
  transformer(groupingToMatrixTransformer),
  transformer(labelsToFieldsTransformer),
  transformer(mergeTransformer),
  transformer(organizeFieldsTransformer),
]);

/** What Grafana's types of panels say of a field's configuration if a dashboard does not. */
const CUSTOM: Record<string, object> = {
  timeseries: {
    drawStyle: "line",
    lineInterpolation: "linear",
    lineWidth: 1,
    fillOpacity: 0,
    gradientMode: "none",
    barAlignment: 0,
    spanNulls: false,
    showPoints: "auto",
    pointSize: 5,
    stacking: { mode: "none", group: "A" },
    axisPlacement: "auto",
    scaleDistribution: { type: "linear" },
    hideFrom: { tooltip: false, viz: false, legend: false },
  },
  table: { align: "auto", cellOptions: { type: "auto" } },
};

/** A property of a field's configuration. */
const property = (id: string): FieldConfigPropertyItem => {
  const isCustom = id.startsWith("custom.");
  return {
    id,
    path: isCustom ? id.slice("custom.".length) : id,
    name: id,
    isCustom,
    override: () => null,
    editor: () => null,
    process: identityOverrideProcessor,
    shouldApply: () => true,
    settings: {},
  };
};

const PROPERTIES = new FieldConfigOptionsRegistry(() =>
  [
    ...["color", "decimals", "links", "mappings", "max", "min", "noValue", "thresholds", "unit"],
    ...[...new Set(Object.values(CUSTOM).flatMap(Object.keys)), "width"].map((name) => `custom.${name}`),
  ].map(property),
);

/** Without a Grafana a text's variables stay as they are. */
export const asItIs = (text: string) => text;

export async function drawn(frames: DataFrame[], panel: Panel): Promise<DataFrame[]> {
  // What extractFields does has been done: it is no part of @grafana/data.
  const known = (panel.transformations ?? []).filter(({ id }) => id !== "extractFields");
  const data = await lastValueFrom(transformDataFrame(known, frames, { interpolate: asItIs }));
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const stacking = { ...(CUSTOM[panel.type] as { stacking?: object })?.stacking, ...defaults.custom?.stacking };
  const result = applyFieldOverrides({
    data,
    fieldConfig: {
      defaults: {
        color: { mode: panel.type === "timeseries" ? FieldColorModeId.PaletteClassic : FieldColorModeId.Thresholds },
        ...defaults,
        custom: { ...CUSTOM[panel.type], ...defaults.custom, stacking },
      },
      overrides,
    },
    fieldConfigRegistry: PROPERTIES,
    replaceVariables: asItIs as (text: string, vars?: ScopedVars) => string,
    theme: THEME,
    timeZone: "utc",
  });
  cacheFieldDisplayNames(result);
  return result;
}
