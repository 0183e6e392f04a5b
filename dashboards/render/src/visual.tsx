// What is inside a panel's frame, by the type of the panel.

import {
  type DataFrame,
  type FieldConfigSource,
  type FieldDisplay,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  type ReduceDataOptions,
} from "@grafana/data";
import {
  type BarGaugeDisplayMode,
  type BigValueColorMode,
  BigValueGraphMode,
  type BigValueTextMode,
  type VizLegendOptions,
  VizOrientation,
} from "@grafana/schema";
import { BarGauge, BigValue, TimeSeries, VizRepeater } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";
import type { JSX } from "react";

import { asItIs, THEME } from "./frames";
import type { Panel } from "./model";
import type { Span } from "./span";

export interface Content {
  panel: Panel;
  data: DataFrame[];
  span: Span;
  width: number;
  height: number;
}

export function Visual(props: Content): JSX.Element {
  const { panel, data } = props;
  if (data.every(({ length }) => length === 0)) {
    return <Instead>{panel.fieldConfig?.defaults.noValue ?? "No data"}</Instead>;
  }
  switch (panel.type) {
    case "timeseries":
      return <Lines {...props} />;
    case "stat":
      return <Numbers {...props} />;
    case "bargauge":
      return <Bars {...props} />;
    case "logs":
      return <Log {...props} />;
    case "heatmap":
      return <Instead>A heat map, for which @grafana/ui has no component</Instead>;
    default:
      return <TableNG data={data[0] as DataFrame} width={props.width} height={props.height} />;
  }
}

const Instead = ({ children }: { children: string }) => (
  <p style={{ height: "100%", display: "grid", placeItems: "center" }}>{children}</p>
);

const Lines = ({ panel, data, span, width, height }: Content) => (
  <TimeSeries
    frames={data}
    structureRev={1}
    timeRange={span.range}
    timeZone="utc"
    width={width}
    height={height}
    legend={panel.options?.legend as VizLegendOptions}
  />
);

const values = ({ panel, data }: Content): FieldDisplay[] =>
  getFieldDisplayValues({
    data,
    fieldConfig: panel.fieldConfig as FieldConfigSource,
    reduceOptions: panel.options?.reduceOptions as ReduceDataOptions,
    replaceVariables: asItIs,
    theme: THEME,
    timeZone: "utc",
  });

const Numbers = (props: Content) => {
  const { panel, width, height } = props;
  return (
    <VizRepeater
      source={props.data}
      width={width}
      height={height}
      renderCounter={1}
      orientation={VizOrientation.Auto}
      getValues={() => values(props)}
      renderValue={({ value, width, height, count }) => (
        <BigValue
          value={value.display}
          count={count}
          width={width}
          height={height}
          theme={THEME}
          colorMode={panel.options?.colorMode as BigValueColorMode}
          graphMode={BigValueGraphMode.None}
          textMode={panel.options?.textMode as BigValueTextMode}
        />
      )}
    />
  );
};

const Bars = (props: Content) => {
  const { panel, width, height } = props;
  const options = panel.options as { displayMode: BarGaugeDisplayMode; minVizHeight: number; maxVizHeight: number };
  return (
    <VizRepeater
      source={props.data}
      width={width}
      height={height}
      renderCounter={1}
      orientation={VizOrientation.Horizontal}
      minVizHeight={options.minVizHeight}
      maxVizHeight={options.maxVizHeight}
      getValues={() => values(props)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, orientation, alignmentFactors }) => (
        <BarGauge
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          width={width}
          height={height}
          orientation={orientation}
          displayMode={options.displayMode}
          alignmentFactors={alignmentFactors}
          theme={THEME}
        />
      )}
    />
  );
};

/** @grafana/ui has no component for log lines. */
const Log = ({ data }: Content) => {
  const lines = data.flatMap(({ fields }) => fields.find(({ name }) => name === "Line")?.values ?? []);
  return (
    <>
      {lines.map((line: string) => (
        <pre key={line}>{JSON.stringify(JSON.parse(line), null, 2)}</pre>
      ))}
    </>
  );
};
