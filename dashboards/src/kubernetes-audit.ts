// What the API servers tell, what of it was detected, and whether anything is missing.

import { hits, hitsBy, orNone, someHitsBy } from "./detections";
import { line, page } from "./layout";
import { toDetection, toRule } from "./links";
import * as log from "./logs";
import { byPriority, entries, graph, list, number, perInterval, top } from "./panels";
import { lines, now, range, rows, totals } from "./queries";
import { cluster, datasources, namespace, NODE, node, NODE_NAME, ofNode, stream, tenant } from "./variables";

const AUDIT = 'source="k8s_audit"';

const rate = (metric: string, labels: string, more = "") =>
  `sum by (${labels}) (rate(${ofNode(metric, more)}[$__rate_interval]))`;
const increase = (metric: string, more = "") => `sum(increase(${ofNode(metric, more)}[$__range]))`;

const summary = line(
  4,
  number(
    { title: "Events", description: "Audit events taken from API servers in the chosen time.", unit: "locale" },
    now(increase("yagura_events_total", AUDIT), "Events"),
  ),
  number(
    { title: "Detections", description: "Detections from audit events.", unit: "locale" },
    now(orNone(`sum(${hits("$__range", AUDIT)})`), "Detections"),
  ),
  number(
    {
      title: "Requests given up",
      description:
        "Requests that were refused for good: an API server does not send these events again. The reasons are in the panel below.",
      unit: "locale",
      bad: 1,
    },
    now(increase("yagura_k8s_audit_requests_total", 'result!~"accepted|busy"'), "Given up"),
  ),
  number(
    {
      title: "Events lost",
      description: "Audit events that were taken and could not be read, or made a defect of Yagura show.",
      unit: "locale",
      bad: 1,
    },
    now(increase("yagura_lost_total", 'stage="audit"'), "Lost"),
  ),
  number(
    { title: "Events that wait", description: "Audit events that wait for their turn with the rules.", unit: "locale" },
    now(`sum(${ofNode("yagura_k8s_audit_queue_events")})`, "Waiting"),
  ),
  number(
    {
      title: "Sessions in pods",
      description:
        "kubectl exec and attach sessions that are remembered, to tie what happens in the pod to whoever has one.",
      unit: "locale",
    },
    now(`sum(${ofNode("yagura_k8s_sessions")})`, "Sessions"),
  ),
);

const detections = [
  line(
    9,
    byPriority(
      { title: "Detections by priority", description: "From audit events only.", unit: "locale" },
      range(hitsBy("priority", "$__interval", AUDIT), "{{priority}}"),
    ),
    perInterval(
      { title: "Detections by rule", description: "The ten rules about audit events that said most.", unit: "locale" },
      range(`topk(10, ${someHitsBy("rule", "$__interval", AUDIT)})`, "{{rule}}"),
    ),
  ),
  line(
    9,
    list(
      {
        title: "By namespace and rule",
        description: "Whose objects it was about. What concerns the whole cluster has no namespace.",
        unit: "locale",
      },
      {
        tenant: { as: "Tenant", width: 90 },
        namespace: { as: "Namespace", width: 110 },
        rule: { as: "Rule", link: toRule() },
        Value: { as: "Detections", width: 100 },
      },
      rows(`topk(30, ${someHitsBy("tenant, namespace, rule", "$__range", AUDIT)})`),
    ),
    top(
      {
        title: "Users with most detections",
        description: "Who asked the API server, as it knows them; service accounts among them.",
        unit: "locale",
      },
      totals(
        `topk(15, sum by (who) (count_over_time(${stream(AUDIT)} ${log.audit} | who != "" [$__range])))`,
        "{{who}}",
      ),
    ),
    top(
      { title: "Verbs and resources", description: "What was done to what, of what was detected.", unit: "locale" },
      totals(
        `topk(15, sum by (verb, resource) (count_over_time(${stream(AUDIT)} ${log.audit} | verb != "" [$__range])))`,
        "{{verb}} {{resource}}",
      ),
    ),
  ),
  line(
    11,
    entries(
      {
        title: "Latest detections",
        description: "The newest detections from audit events, from the logs.",
        unit: "string",
        none: "No detections",
      },
      {
        priority: { as: "Priority", width: 100 },
        rule: { as: "Rule", width: 260, link: toRule() },
        who: { as: "User", width: 130 },
        verb: { as: "Verb", width: 70 },
        resource: { as: "Resource", width: 110 },
        namespace: { as: "Namespace", width: 120 },
        target: { as: "Name", width: 130 },
        message: { as: "What happened" },
        detection: { as: "Detection", width: 110, link: toDetection("unknown") },
      },
      lines(`${stream(AUDIT)} ${log.audit}`),
    ),
  ),
];

const receiving = [
  line(
    8,
    graph(
      { title: "Events by stage", description: "Audit events taken, by the stage of the request.", unit: "cps" },
      range(rate("yagura_events_total", "type", AUDIT), "{{type}}"),
    ),
    graph(
      {
        title: "Requests by result",
        description: "accepted; busy: the API server comes again; anything else: its events are gone.",
        unit: "reqps",
      },
      range(rate("yagura_k8s_audit_requests_total", "result"), "{{result}}"),
    ),
    graph(
      {
        title: "Sent again",
        description:
          "repeated: events dropped because they had been taken before. forgotten: events of which a repetition would not be noticed: raise k8s_audit.remembered_events.",
        unit: "cps",
      },
      range(`sum(rate(${ofNode("yagura_k8s_audit_repeated_total")}[$__rate_interval]))`, "repeated"),
      range(`sum(rate(${ofNode("yagura_k8s_audit_forgotten_total")}[$__rate_interval]))`, "forgotten"),
    ),
  ),
  line(
    8,
    graph(
      {
        title: "Queue",
        description:
          "Audit events that wait for the rules. At k8s_audit.queue_events API servers are asked to come again.",
        unit: "locale",
      },
      range(`max by (${NODE}) (${ofNode("yagura_k8s_audit_queue_events")})`, NODE_NAME),
    ),
    graph(
      { title: "Queue, bytes", description: "The same in bytes; the bound is k8s_audit.queue_size.", unit: "bytes" },
      range(`max by (${NODE}) (${ofNode("yagura_k8s_audit_queue_bytes")})`, NODE_NAME),
    ),
    graph(
      {
        title: "Sessions forgotten",
        description: "Sessions in pods that were forgotten because there were too many (512).",
        unit: "cps",
      },
      range(rate("yagura_k8s_sessions_evicted_total", NODE), NODE_NAME),
    ),
    graph(
      { title: "Events lost", description: "Audit events that could not be handled, by reason.", unit: "cps" },
      range(rate("yagura_lost_total", "reason", 'stage="audit"'), "{{reason}}"),
    ),
  ),
];

const api = line(
  8,
  graph(
    {
      title: "Watches",
      description:
        "1 while changes of these objects in the Kubernetes API are followed; 0 too where the API is not watched.",
      unit: "locale",
    },
    range(`min by (resource) (${ofNode("yagura_kubernetes_watch_up")})`, "{{resource}}"),
  ),
  graph(
    { title: "Objects kept", description: "Objects of the Kubernetes API that are known.", unit: "locale" },
    range(`sum by (kind) (${ofNode("yagura_kubernetes_objects")})`, "{{kind}}"),
  ),
  graph(
    {
      title: "Failed requests and relists",
      description: "Requests to the Kubernetes API that failed, by reason, and what had to be listed again.",
      unit: "cps",
      many: true,
    },
    range(rate("yagura_kubernetes_request_failures_total", "reason"), "{{reason}}"),
    range(rate("yagura_kubernetes_relists_total", "resource"), "{{resource}} listed again"),
  ),
  graph(
    {
      title: "Objects not kept",
      description: "Objects that were not kept because there are too many, or that made no sense.",
      unit: "cps",
    },
    range(rate("yagura_kubernetes_refused_total", "kind"), "{{kind}}"),
  ),
);

export const kubernetesAudit = () =>
  page({
    uid: "yagura-kubernetes-audit",
    title: "Kubernetes audit",
    description: "What API servers tell, what of it was detected, and whether anything is missing.",
    variables: [...datasources(), cluster(), tenant(), namespace(), node()],
    from: "now-24h",
    rows: [
      { title: "Summary", lines: [summary] },
      { title: "Detections", lines: detections },
      { title: "From the API servers", lines: receiving },
      { title: "What Yagura asks the API", lines: [api] },
    ],
  });
