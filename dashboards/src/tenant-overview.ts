// What happened to a tenant, and what to look at first.

import { hits, hitsBy, named, newToday, orNone, RECORDED, recordedBy, recordedValues, SEVERE, someHitsBy } from "./detections";
import { line, page } from "./layout";
import { toDetection, toPod, toRule } from "./links";
import * as log from "./logs";
import { byPriority, entries, list, matrix, number, perInterval, top } from "./panels";
import { counts, lines, now, range, rows, totals } from "./queries";
import { cluster, datasources, namespace, NODE, node, NODE_NAME, ofTenant, stream, tenant } from "./variables";

const sum = (more = "") => orNone(`sum(${hits("$__range", more)})`);


const summary = line(
  4,
  number(
    {
      title: "Detections",
      description: "Matches of rules in the chosen time, those that a limit held back among them.",
      unit: "locale",
    },
    now(sum(), "Detections"),
  ),
  number(
    {
      title: "Critical and above",
      description: "Detections of priority Critical, Alert or Emergency: look at each of them.",
      unit: "locale",
      bad: 1,
    },
    now(sum(SEVERE), "Critical and above"),
  ),
  number(
    {
      title: "Rules that spoke",
      description: `Different rules with at least one detection. ${RECORDED}`,
      unit: "locale",
    },
    now(recordedValues("rule", "$__range"), "Rules"),
  ),
  number(
    {
      title: "Namespaces concerned",
      description: `Namespaces with at least one detection; the host counts as one. ${RECORDED}`,
      unit: "locale",
    },
    now(recordedValues("namespace", "$__range"), "Namespaces"),
  ),
  number(
    {
      title: "Held back by the quota",
      description:
        "Detections beyond the tenant's quota: counted, and not in the logs. Ask the platform for more, or make a rule quieter.",
      unit: "locale",
      warn: 1,
    },
    now(orNone(`sum(increase(${ofTenant("yagura_tenant_quota_suppressed_total")}[$__range]))`), "Held back"),
  ),
  number(
    {
      title: "Receivers are behind by",
      description:
        "How long the oldest detection that a receiver has not got yet has waited. The logs below may lack what came since.",
      unit: "s",
      warn: 60,
      bad: 300,
    },
    now(orNone(`max(${ofTenant("yagura_sink_oldest_unsent_seconds")})`), "Behind"),
  ),
);

const overTime = line(
  9,
  byPriority(
    {
      title: "Detections by priority",
      description:
        "When it happened and how serious it was; each detection is counted once, the first of a rule too.",
      unit: "locale",
    },
    range(hitsBy("priority", "$__interval"), "{{priority}}"),
  ),
  perInterval(
    { title: "Detections by rule", description: "The ten rules that said most at each time.", unit: "locale" },
    range(`topk(10, ${someHitsBy("rule", "$__interval")})`, "{{rule}}"),
  ),
);

const tops = line(
  9,
  list(
    {
      title: "Top rules",
      description: `Rules by their detections. One that says the same thing all day wants an exception or a fix. ${RECORDED}`,
      unit: "locale",
    },
    {
      rule: { as: "Rule", link: toRule() },
      priority: { as: "Priority", width: 110 },
      Value: { as: "Detections", width: 110 },
    },
    rows(`topk(20, ${recordedBy("rule, priority", "$__range")})`),
  ),
  top(
    {
      title: "Top namespaces",
      description: `Namespaces by their detections. What is in no namespace, such as the host, is (none). ${RECORDED}`,
      unit: "locale",
    },
    now(`topk(15, ${named(recordedBy("namespace", "$__range"))})`, "{{namespace}}"),
  ),
  list(
    {
      title: "Rules first seen today",
      description: `Rules with a detection in the last 24 hours and none in the six days before: what is new is rarely noise. ${RECORDED}`,
      unit: "locale",
      none: "Nothing new",
    },
    {
      rule: { as: "Rule", link: toRule() },
      priority: { as: "Priority", width: 110 },
      Value: { as: "Detections", width: 110 },
    },
    rows(newToday("rule, priority")),
  ),
);

const sources = line(
  7,
  top(
    {
      title: "Top workloads",
      description:
        "Workloads by their detections in pods: names of pods without the hash, letters or number that Kubernetes appends.",
      unit: "locale",
    },
    totals(
      `topk(10, sum by (namespace, workload) (count_over_time(${stream()} ${log.workload} [$__range])))`,
      "{{namespace}}/{{workload}}",
    ),
  ),
  perInterval(
    {
      title: "Detections by source",
      description:
        "System calls of the nodes (syscall), events of Kubernetes' API servers (k8s_audit), what Yagura says of itself (internal).",
      unit: "locale",
    },
    range(hitsBy("source", "$__interval"), "{{source}}"),
  ),
  perInterval(
    {
      title: "Detections by node",
      description: "Where it happened. Audit events count for the node that the API server told.",
      unit: "locale",
    },
    range(someHitsBy(NODE, "$__interval"), NODE_NAME),
  ),
);

const attack = [
  line(
    10,
    matrix(
      {
        title: "ATT&CK: technique by tactic",
        description:
          "Detections by the first tactic and the technique that follows it in their rule's tags. The darker, the more.",
        unit: "locale",
        none: "No detection with a technique",
      },
      "technique",
      "tactic",
      totals(
        `sum by (tactic, technique) (count_over_time(${stream()} ${log.attack} [$__range]))`,
        "{{tactic}} {{technique}}",
      ),
    ),
  ),
  line(
    8,
    top(
      {
        title: "ATT&CK techniques",
        description: "Detections by the first technique in their rule's tags.",
        unit: "locale",
      },
      totals(`topk(10, sum by (technique) (count_over_time(${stream()} ${log.technique} [$__range])))`, "{{technique}}"),
    ),
    perInterval(
      {
        title: "ATT&CK tactics over time",
        description:
          "Detections by the first tactic in their rule's tags. Discovery, then credential access, then lateral movement: an attack on its way.",
        unit: "locale",
      },
      counts(`sum by (tactic) (count_over_time(${stream()} ${log.tactic} [$__interval]))`, "{{tactic}}"),
    ),
  ),
];

const latest = line(
  14,
  entries(
    {
      title: "Latest detections",
      description: "The newest detections, from the logs. The link leads to everything around one.",
      unit: "string",
      none: "No detections",
    },
    {
      priority: { as: "Priority", width: 100 },
      rule: { as: "Rule", width: 260, link: toRule() },
      namespace: { as: "Namespace", width: 140 },
      pod: { as: "Pod", width: 180, link: toPod() },
      node: { as: "Node", width: 100 },
      message: { as: "What happened" },
      detection: { as: "Detection", width: 110, link: toDetection("row") },
    },
    lines(`${stream()} ${log.process}`),
  ),
);

export const tenantOverview = () =>
  page({
    uid: "yagura-tenant-overview",
    title: "Tenant overview",
    description: "What was detected in a tenant's namespaces, what is new, and what to look at first.",
    variables: [...datasources(), cluster(), tenant(), namespace(), node()],
    from: "now-24h",
    rows: [
      { title: "Summary", lines: [summary] },
      { title: "Over time", lines: [overTime, tops, sources] },
      { title: "ATT&CK", lines: attack },
      { title: "Latest", lines: [latest] },
    ],
  });
