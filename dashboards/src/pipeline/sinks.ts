// Everybody who is told.

import { line } from "../layout";
import { graph, list } from "../panels";
import { range, rows } from "../queries";
import { ofNode, ofTenant } from "../variables";

const SINK = "yagura_sink_";
const NONE = "No sinks are configured";
const LANE = "{{sink}} of {{tenant}}";

const value = (metric: string) => `max by (sink, tenant) (${ofTenant(metric)})`;
const waiting = (metric: string) => `sum by (sink, tenant) (${ofTenant(metric)})`;
const rate = (metric: string, labels = "sink, tenant") =>
  `sum by (${labels}) (rate(${ofTenant(metric)}[$__rate_interval]))`;
const total = (metric: string) => `sum by (sink, tenant) (increase(${ofTenant(metric)}[$__range]))`;

export const sinks = [
  line(
    12,
    list(
      {
        title: "Sinks and tenants",
        description:
          "Is the receiver up, what waits for it and for how long, and what was sent, refused and lost in the chosen time.",
        unit: "locale",
        none: NONE,
      },
      {
        sink: { as: "Sink" },
        tenant: { as: "Tenant" },
        "Value #A": { as: "Up" },
        "Value #B": { as: "Not sent yet" },
        "Value #C": { as: "Oldest of these", unit: "s" },
        "Value #D": { as: "Sent" },
        "Value #E": { as: "Rejected" },
        "Value #F": { as: "Filtered" },
        "Value #G": { as: "Lost" },
      },
      rows(`min by (sink, tenant) (${ofTenant(`${SINK}up`)})`).refId("A"),
      rows(waiting(`${SINK}unsent`)).refId("B"),
      rows(value(`${SINK}oldest_unsent_seconds`)).refId("C"),
      rows(total(`${SINK}sent_total`)).refId("D"),
      rows(total(`${SINK}rejected_total`)).refId("E"),
      rows(total(`${SINK}filtered_total`)).refId("F"),
      rows(total(`${SINK}lost_total`)).refId("G"),
    ),
  ),
  line(
    8,
    graph(
      {
        title: "Lag",
        description: "From the journal to the receiver, of what was sent last.",
        unit: "s",
        none: NONE,
      },
      range(value(`${SINK}lag_seconds`), LANE),
    ),
    graph(
      {
        title: "Oldest that waits",
        description: "How long the first of the detections that wait has waited. It grows while a receiver is away.",
        unit: "s",
        none: NONE,
      },
      range(value(`${SINK}oldest_unsent_seconds`), LANE),
    ),
    graph(
      { title: "Spool", description: "Detections that wait for a sink in the journal.", unit: "locale", none: NONE },
      range(waiting(`${SINK}unsent`), LANE),
    ),
  ),
  line(
    8,
    graph(
      { title: "Sent", description: "Detections that receivers took.", unit: "cps", none: NONE },
      range(rate(`${SINK}sent_total`), LANE),
    ),
    graph(
      {
        title: "Failures, by reason",
        description:
          "Requests that failed and are made again. denied: the token; throttled: the receiver has enough; secret: a file cannot be read.",
        unit: "reqps",
        many: true,
        none: NONE,
      },
      range(rate(`${SINK}failed_total`, "sink, reason"), "{{sink}}: {{reason}}"),
      range(rate(`${SINK}retried_total`, "sink"), "{{sink}}: made again"),
    ),
    graph(
      {
        title: "Refused for good, and lost",
        description:
          "Rejected: set aside in the journal, because the receiver will never take it. Lost: removed by the journal's bounds before it was sent.",
        unit: "cps",
        many: true,
        none: NONE,
      },
      range(rate(`${SINK}rejected_total`), `${LANE}: rejected`),
      range(rate(`${SINK}lost_total`), `${LANE}: lost`),
    ),
  ),
];

const NO_ALERTMANAGER = "No sink is an Alertmanager";

export const alerts = line(
  8,
  graph(
    { title: "Active alerts", description: "Alerts that are told and refreshed.", unit: "locale", none: NO_ALERTMANAGER },
    range(waiting("yagura_alertmanager_alerts"), LANE),
  ),
  graph(
    {
      title: "Collapsed",
      description: "Detections told by the alert ~other, because max_alerts are active.",
      unit: "cps",
      none: NO_ALERTMANAGER,
    },
    range(rate("yagura_alertmanager_collapsed_total"), LANE),
  ),
  graph(
    {
      title: "Requests to each Alertmanager",
      description: "By what became of them; skipped: an earlier one was still under way.",
      unit: "reqps",
      none: NO_ALERTMANAGER,
    },
    range(
      `sum by (alertmanager, result) (rate(${ofNode("yagura_alertmanager_posts_total")}[$__rate_interval])) > 0`,
      "{{alertmanager}}: {{result}}",
    ),
  ),
);

const REMOTE = "yagura_remote_write_";
const NO_REMOTE = "No sink is of type remote_write";

export const metrics = [
  line(
    8,
    graph(
      {
        title: "Samples sent",
        description: "Samples that receivers took, of metrics that are sent by remote-write.",
        unit: "cps",
        none: NO_REMOTE,
      },
      range(rate(`${REMOTE}sent_samples_total`), LANE),
    ),
    graph(
      {
        title: "Samples that wait",
        description: "They wait on disk, up to spool.max_size and spool.max_age.",
        unit: "locale",
        none: NO_REMOTE,
      },
      range(waiting(`${REMOTE}pending_samples`), LANE),
    ),
    graph(
      { title: "Spool", description: "What waits, in bytes.", unit: "bytes", none: NO_REMOTE },
      range(waiting(`${REMOTE}spooled_bytes`), LANE),
    ),
    graph(
      { title: "Lag", description: "How old the first of the samples is that wait.", unit: "s", none: NO_REMOTE },
      range(value(`${REMOTE}lag_seconds`), LANE),
    ),
  ),
  line(
    8,
    graph(
      {
        title: "Receivers up",
        description: "0 while a receiver of samples fails again and again.",
        unit: "locale",
        none: NO_REMOTE,
      },
      range(`min by (sink, tenant) (${ofTenant(`${REMOTE}up`)})`, LANE),
    ),
    graph(
      {
        title: "Failures, by reason",
        description: "Requests that failed and are made again.",
        unit: "reqps",
        many: true,
        none: NO_REMOTE,
      },
      range(rate(`${REMOTE}failed_total`, "sink, reason"), "{{sink}}: {{reason}}"),
      range(rate(`${REMOTE}retried_total`, "sink"), "{{sink}}: made again"),
    ),
    graph(
      {
        title: "Samples refused or dropped",
        description:
          "rejected: the receiver will never take them. Others: given up by a bound of the spool, or because its file was damaged.",
        unit: "cps",
        many: true,
        none: NO_REMOTE,
      },
      range(rate(`${REMOTE}rejected_samples_total`), `${LANE}: rejected`),
      range(rate(`${REMOTE}dropped_samples_total`, "sink, tenant, reason"), `${LANE}: {{reason}}`),
    ),
    graph(
      {
        title: "Gathered, and failures of the spool",
        description: "Times the metrics were gathered, and times the file of waiting samples could not be used.",
        unit: "cps",
        none: NO_REMOTE,
      },
      range(rate(`${REMOTE}gathers_total`), LANE),
      range(`sum(rate(${ofNode(`${REMOTE}spool_failures_total`)}[$__rate_interval]))`, "failures of the spool"),
    ),
  ),
];
