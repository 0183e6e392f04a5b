// The equations of docs/metrics.md: what came in is what came out, or is counted as lost.

import { line } from "../layout";
import { graph, number, shares } from "../panels";
import { now, range } from "../queries";
import { ofNode, ofTenant, orZero } from "../variables";

const sum = (metric: string, more = "") => `sum(${ofNode(metric, more)})`;
const rate = (metric: string, labels = "", more = "") =>
  `sum ${labels && `by (${labels}) `}(rate(${ofNode(metric, more)}[$__rate_interval]))`;

const BEFORE = 'stage=~"kernel|decode|match|audit"';
const AFTER = 'stage=~"queue|stdout"';

/** One side less the other. */
const difference = (left: string[], right: string[]) => `${left.join(" + ")} - ${right.join(" - ")}`;

const events = difference(
  [sum("yagura_events_total")],
  [
    sum("yagura_events_filtered_total"),
    sum("yagura_events_matched_total"),
    sum("yagura_events_unmatched_total"),
    sum("yagura_lost_total", BEFORE),
  ],
);

const detections = difference(
  [sum("yagura_detections_total"), sum("yagura_detections_retired_total")],
  [sum("yagura_sink_delivered_total"), sum("yagura_suppressed_total"), sum("yagura_lost_total", AFTER)],
);

const sink = (name: string) => ofTenant(`yagura_sink_${name}`);
const lanes = difference(
  ["resumed_total", "spooled_total"].map(sink),
  ["sent_total", "rejected_total", "filtered_total", "lost_total", "unsent"].map(sink),
);

const remote = (name: string) => ofTenant(`yagura_remote_write_${name}`);
const samples = difference(
  ["resumed_samples_total", "samples_total"].map(remote),
  [
    remote("sent_samples_total"),
    remote("rejected_samples_total"),
    `sum without (reason) (${remote("dropped_samples_total")})`,
    remote("pending_samples"),
  ],
);

export const ledger = [
  line(
    4,
    number(
      {
        title: "Events in flight",
        description:
          "Events that began and of which nothing is known yet: seen less filtered, matched, unmatched and lost. What stays and grows is a defect; please report it.",
        unit: "locale",
        warn: 100000,
      },
      now(events, "In flight"),
    ),
    number(
      {
        title: "Detections in flight",
        description:
          "Detections that are neither delivered to stdout, nor held back, nor lost: what waits in the queue.",
        unit: "locale",
        warn: 1000,
      },
      now(detections, "In flight"),
    ),
    number(
      {
        title: "Equation of the sinks",
        description:
          "Resumed and spooled, less sent, rejected, filtered, lost and unsent: 0 at any moment for each sink and tenant; the largest is shown.",
        unit: "locale",
        bad: 1,
      },
      now(orZero(`max(abs(${lanes}))`), "Difference"),
    ),
    number(
      {
        title: "Equation of remote-write",
        description:
          "Samples gathered, less sent, rejected, dropped and pending: 0 at any moment for each sink and tenant; the largest is shown. 0 too without a sink of this type.",
        unit: "locale",
        bad: 1,
      },
      now(orZero(`max(abs(${samples}))`), "Difference"),
    ),
    number(
      {
        title: "Lost",
        description: "Events and detections lost in the chosen time, at any stage but recording.",
        unit: "locale",
        bad: 1,
      },
      now(`sum(increase(${ofNode("yagura_lost_total", 'stage!="recording"')}[$__range]))`, "Lost"),
    ),
    number(
      {
        title: "Lost by sinks",
        description:
          "Detections that, in the chosen time, the journal's bounds removed before a sink had sent them: the receiver was away for longer than the journal is large.",
        unit: "locale",
        bad: 1,
      },
      now(orZero(`sum(increase(${sink("lost_total")}[$__range]))`), "Lost"),
    ),
  ),
  line(
    9,
    shares(
      {
        title: "Events: what became of them",
        description: "Seen (the line) is filtered in the kernel, matched, unmatched or lost (the areas).",
        unit: "cps",
      },
      [
        ["filtered", "blue", range(rate("yagura_events_filtered_total"), "filtered")],
        ["unmatched", "green", range(rate("yagura_events_unmatched_total"), "unmatched")],
        ["matched", "yellow", range(rate("yagura_events_matched_total"), "matched")],
        ["lost", "red", range(rate("yagura_lost_total", "", BEFORE), "lost")],
      ],
      "seen",
      range(rate("yagura_events_total"), "seen"),
    ),
    shares(
      {
        title: "Detections: what became of them",
        description: "Detected (the line) is delivered to stdout, held back by a limit, or lost (the areas).",
        unit: "cps",
      },
      [
        ["delivered", "green", range(rate("yagura_sink_delivered_total"), "delivered")],
        ["held back", "orange", range(rate("yagura_suppressed_total"), "held back")],
        ["lost", "red", range(rate("yagura_lost_total", "", AFTER), "lost")],
      ],
      "detected",
      range(rate("yagura_detections_total"), "detected"),
    ),
    graph(
      {
        title: "Lost, by stage and reason",
        description:
          "kernel ring_full: raise kernel.ring_size. queue full: whoever reads stdout is slow. Of stage recording nothing is missing from the detections.",
        unit: "cps",
        many: true,
      },
      range(rate("yagura_lost_total", "stage, reason"), "{{stage}}: {{reason}}"),
    ),
  ),
];
