// Draws a dashboard on Grafana's grid, once it is given one.

import { type DataFrame, ThemeContext } from "@grafana/data";
import { initPluginTranslations } from "@grafana/i18n";
import { GlobalStyles, PanelChrome } from "@grafana/ui";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";

import { drawn, THEME } from "./frames";
import { COLUMNS, GAP, ROW } from "./grid";
import { loki } from "./loki";
import type { Dashboard, Panel, Sources } from "./model";
import { prometheus } from "./prometheus";
import { type Span, span } from "./span";
import { Visual } from "./visual";

interface Answered {
  panel: Panel;
  data: DataFrame[];
  span: Span;
  /** In pixels. */
  place: { left: number; top: number; width: number; height: number };
}

function place({ x, y, w, h }: Panel["gridPos"]): Answered["place"] {
  const column = (window.innerWidth - GAP) / COLUMNS;
  return {
    left: GAP + x * column,
    top: GAP + y * ROW,
    width: w * column - GAP,
    height: h * ROW - GAP,
  };
}

async function answered(panel: Panel, { pushed, from, to }: Sources): Promise<Answered> {
  const at = place(panel.gridPos);
  const time = span(from, to, Math.floor(at.width), panel.interval, pushed);
  const targets = panel.targets ?? [];
  const frames = targets.map((target, index) => {
    const asked = { ...target, refId: target.refId ?? String.fromCharCode("A".charCodeAt(0) + index) };
    return target.datasource.type === "loki"
      ? loki(pushed.lines, asked, time)
      : prometheus(asked, targets.length > 1, time);
  });
  const data = await drawn((await Promise.all(frames)).flat(), panel);
  return { panel, data, span: time, place: at };
}

const ofLoki = ({ targets = [] }: Panel) => targets.some(({ datasource }) => datasource.type === "loki");

/** What is said of a panel that Grafana would draw otherwise. */
function remark(panel: Panel): string {
  const type = panel.type === "logs" ? ["as text: @grafana/ui has no component for logs"] : [];
  return [...type, ...(ofLoki(panel) ? ["LogQL without a Loki"] : [])].join("; ");
}

const Framed = ({ panel, data, span, place }: Answered) =>
  panel.type === "row" ? (
    <h4 style={{ position: "absolute", ...place }}>{panel.title}</h4>
  ) : (
    <div style={{ position: "absolute", ...place }}>
      <PanelChrome
        title={panel.title}
        description={panel.description ?? ""}
        width={place.width}
        height={place.height}
        actions={<small>{remark(panel)}</small>}
        padding={panel.type === "table" ? "none" : "md"}
      >
        {(width, height) => <Visual panel={panel} data={data} span={span} width={width} height={height} />}
      </PanelChrome>
    </div>
  );

declare global {
  interface Window {
    draw: (dashboard: Dashboard, sources: Sources) => Promise<void>;
  }
}

window.draw = async (dashboard, sources) => {
  await initPluginTranslations("yagura-dashboards");
  const panels = await Promise.all(dashboard.panels.map((panel) => answered(panel, sources)));
  const root = createRoot(document.body.appendChild(document.createElement("main")));
  const page = (panels: Answered[]) => (
    <ThemeContext.Provider value={THEME}>
      <GlobalStyles />
      {panels.map((one) => (
        <Framed key={one.panel.id} {...one} />
      ))}
    </ThemeContext.Provider>
  );
  // Texts are measured when they are drawn: their font must be there.
  flushSync(() => root.render(page([])));
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 12px Inter`)));
  root.render(page(panels));
};
