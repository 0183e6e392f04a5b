// All tenants beside each other, for whoever runs Yagura.

import { counted, everywhere, hits, hitsBy, orNone, RECORDED, recordedBy, series, someHitsBy } from "./detections";
import { line, page } from "./layout";
import { toRule, toTenant } from "./links";
import { graph, list, number, perInterval, top } from "./panels";
import { now, range, rows } from "./queries";
import {
  cluster,
  datasources,
  namespace,
  NODE,
  node,
  NODE_NAME,
  ofNode,
  ofTenant,
  orZero,
  tenant,
} from "./variables";

const summary = line(
  4,
  number(
    { title: "Nodes", description: "Daemons that are scraped, or that send their metrics.", unit: "locale" },
    now(`count(${ofNode("yagura_build_info")})`, "Nodes"),
  ),
  number(
    { title: "Tenants", description: "Tenants with series, the platform among them.", unit: "locale" },
    now(`count(count by (tenant) (${series()}))`, "Tenants"),
  ),
  number(
    { title: "Detections", description: "Of all chosen tenants, in the chosen time.", unit: "locale" },
    now(orNone(`sum(${hits("$__range")})`), "Detections"),
  ),
  number(
    {
      title: "Lost",
      description: "Events and detections lost anywhere, in the chosen time: see the pipeline.",
      unit: "locale",
      bad: 1,
    },
    now(
      `sum(increase(${ofNode("yagura_lost_total", 'stage!="recording"')}[$__range])) + (${orZero(`sum(increase(${ofTenant("yagura_sink_lost_total")}[$__range]))`)})`,
      "Lost",
    ),
  ),
  number(
    {
      title: "Receivers down",
      description: "Sinks of a tenant whose receiver fails again and again.",
      unit: "locale",
      bad: 1,
    },
    now(orZero(`count(${ofTenant("yagura_sink_up")} == 0)`), "Down"),
  ),
  number(
    {
      title: "Tenants with broken rules",
      description: "Tenants of whose own rules or exceptions something is not used because it is wrong.",
      unit: "locale",
      bad: 1,
    },
    now(orZero(`count(max by (tenant) (${ofTenant("yagura_tenant_rules_broken")}) == 1)`), "Broken"),
  ),
);

const tenants = [
  line(
    9,
    list(
      {
        title: "Tenants",
        description:
          "Detections in the chosen time, what the quota held back, series of detections on the node with most of them, what waits for receivers, what the journal's bounds removed.",
        unit: "locale",
      },
      {
        tenant: { as: "Tenant", link: toTenant() },
        "Value #A": { as: "Detections" },
        "Value #B": { as: "Held back by the quota" },
        "Value #C": { as: "Series" },
        "Value #D": { as: "Not sent yet" },
        "Value #E": { as: "Removed from the journal" },
      },
      rows(hitsBy("tenant", "$__range")).refId("A"),
      rows(`sum by (tenant) (increase(${ofTenant("yagura_tenant_quota_suppressed_total")}[$__range]))`).refId("B"),
      rows(`max by (tenant) (count by (${NODE}, tenant) (${series()}))`).refId("C"),
      rows(`sum by (tenant) (${ofTenant("yagura_sink_unsent")})`).refId("D"),
      rows(`sum by (tenant) (increase(${ofTenant("yagura_journal_removed_total")}[$__range]))`).refId("E"),
    ),
  ),
  line(
    9,
    perInterval(
      { title: "Detections by tenant", description: "Who has how many, over time.", unit: "locale" },
      range(someHitsBy("tenant", "$__interval"), "{{tenant}}"),
    ),
    perInterval(
      {
        title: "Detections by node",
        description: "A node that stands out is attacked, broken, or different.",
        unit: "locale",
      },
      range(`topk(10, ${someHitsBy(NODE, "$__interval")})`, NODE_NAME),
    ),
  ),
];

const talkers = line(
  10,
  list(
    {
      title: "Top talkers",
      description: `The rules and namespaces that say most, of all tenants. ${RECORDED}`,
      unit: "locale",
    },
    {
      tenant: { as: "Tenant", width: 130, link: toTenant() },
      namespace: { as: "Namespace", width: 160 },
      rule: { as: "Rule", link: toRule() },
      Value: { as: "Detections", width: 110 },
    },
    rows(`topk(25, ${recordedBy("tenant, namespace, rule", "$__range")})`),
  ),
  top(
    { title: "Share of each tenant", description: "How much of all detections is whose.", unit: "percentunit" },
    now(`topk(15, ${hitsBy("tenant", "$__range")} / on () group_left () (sum(${hits("$__range")}) > 0))`, "{{tenant}}"),
  ),
);

/** A gauge of each tenant, of all its namespaces, beside its bound, on the node where it is nearest to it. */
const part = (of: string, bound: string) =>
  `max by (tenant) (${of} / max by (${NODE}, tenant) (${ofTenant(bound)}))`;

const quotas = [
  line(
    8,
    graph(
      {
        title: "Quota used",
        description:
          "Detections of a tenant as part of its quota.detections_per_second, on the node where it has most; only tenants with a quota. Above 100 % the burst is used up, and then the rest is held back.",
        unit: "percentunit",
      },
      range(
        part(
          `sum by (${NODE}, tenant) (rate(${everywhere()}[$__rate_interval]))`,
          "yagura_tenant_quota_detections_per_second",
        ),
        "{{tenant}}",
      ),
    ),
    graph(
      {
        title: "Held back by quotas",
        description: "Detections beyond quota.detections_per_second of a tenant, each second.",
        unit: "cps",
      },
      range(
        `sum by (tenant) (rate(${ofTenant("yagura_tenant_quota_suppressed_total")}[$__rate_interval]))`,
        "{{tenant}}",
      ),
    ),
    graph(
      {
        title: "Budget of series used",
        description:
          "Series of a tenant's detections as part of its quota.series, on the node with most of them. At 100 % namespace and then rule become ~other.",
        unit: "percentunit",
      },
      range(part(`count by (${NODE}, tenant) (${everywhere()})`, "yagura_tenant_quota_series"), "{{tenant}}"),
    ),
  ),
  line(
    8,
    perInterval(
      {
        title: "Beyond the series budget",
        description:
          "Detections that are counted as ~other because their tenant's budget of series is used up. Sums are exact all the same.",
        unit: "locale",
      },
      range(
        `sum by (tenant) (${counted(everywhere('namespace="~other"'), "$__interval")}) or 0 * sum by (tenant) (${everywhere()})`,
        "{{tenant}}",
      ),
    ),
    graph(
      {
        title: "Share of the journal used",
        description:
          "A tenant's detections in the journal as part of its share, quota.journal, on the node where it is nearest to it. At 100 % its oldest go.",
        unit: "percentunit",
      },
      range(
        part(
          `max by (${NODE}, tenant) (${ofTenant("yagura_journal_tenant_size_bytes")})`,
          "yagura_journal_tenant_limit_bytes",
        ),
        "{{tenant}}",
      ),
    ),
    graph(
      {
        title: "Removed from the journal",
        description: "Detections that a bound of the journal removed: share is the tenant's own part, quota.journal.",
        unit: "cps",
      },
      range(
        `sum by (tenant, bound) (rate(${ofTenant("yagura_journal_removed_total")}[$__rate_interval]))`,
        "{{tenant}}: {{bound}}",
      ),
    ),
  ),
];

const daemons = [
  line(
    8,
    graph(
      { title: "CPU", description: "Of a daemon, in cores. The kernel's part is not in it.", unit: "short" },
      range(`sum by (${NODE}) (rate(${ofNode("process_cpu_seconds_total")}[$__rate_interval]))`, NODE_NAME),
    ),
    graph(
      { title: "Memory", description: "Resident memory of a daemon.", unit: "bytes" },
      range(`max by (${NODE}) (${ofNode("process_resident_memory_bytes")})`, NODE_NAME),
    ),
    graph(
      { title: "Open files", description: "File descriptors of a daemon.", unit: "locale" },
      range(`max by (${NODE}) (${ofNode("process_open_fds")})`, NODE_NAME),
    ),
  ),
  line(
    8,
    list(
      { title: "Versions", description: "Which version runs where, and since when.", unit: "locale" },
      {
        cluster: { as: "Cluster" },
        instance: { as: "Node" },
        version: { as: "Version", width: 140 },
        "Value #B": { as: "Runs for", unit: "s", width: 140 },
      },
      rows(`max by (${NODE}, version) (${ofNode("yagura_build_info")})`).refId("A"),
      rows(`time() - max by (${NODE}) (${ofNode("process_start_time_seconds")})`).refId("B"),
    ),
    graph(
      {
        title: "Events by source",
        description: "What the hooks began to handle, and what API servers sent.",
        unit: "cps",
      },
      range(`sum by (source) (rate(${ofNode("yagura_events_total")}[$__rate_interval]))`, "{{source}}"),
    ),
    graph(
      {
        title: "Refused at the door",
        description:
          "HTTP connections beyond the bound, requests for metrics without a good token, failed TLS handshakes.",
        unit: "cps",
      },
      range(`sum(rate(${ofNode("yagura_http_connections_refused_total")}[$__rate_interval]))`, "connections"),
      range(`sum(rate(${ofNode("yagura_http_requests_denied_total")}[$__rate_interval]))`, "requests without a token"),
      range(`sum(rate(${ofNode("yagura_http_tls_failed_total")}[$__rate_interval]))`, "TLS handshakes"),
    ),
  ),
];

export const platform = () =>
  page({
    uid: "yagura-platform",
    title: "Platform",
    description: "All tenants beside each other: who says most, quotas, series, and how the daemons do.",
    variables: [...datasources(), cluster(), tenant(), namespace(), node()],
    from: "now-24h",
    rows: [
      { title: "Summary", lines: [summary] },
      { title: "Tenants", lines: tenants },
      { title: "Top talkers", lines: [talkers] },
      { title: "Quotas and budgets", lines: quotas },
      { title: "Daemons", lines: daemons },
    ],
  });
