// One detection, and everything around it.

import { named, someHitsBy } from "./detections";
import { line, page } from "./layout";
import { toDetection, toPod, toRule } from "./links";
import * as log from "./logs";
import { entries, perInterval, text } from "./panels";
import { counts, lines, range } from "./queries";
import { cluster, datasources, namespace, node, stream, tenant, text as input } from "./variables";

/** The filter of lines is what Loki is fast at; the other says where it must be. */
const THIS = `${stream()} |= "$uuid"`;
const ITS_POD = '|= "$pod"';

const ABOVE = ["Parent", "2nd above", "3rd above", "4th above", "5th above", "6th above", "7th above", "8th above"];

const RULE = { priority: { as: "Priority", width: 100 }, rule: { as: "Rule", width: 230, link: toRule() } };
const DETECTION = { detection: { as: "Detection", width: 110, link: toDetection("chosen") } };

const one = [
  line(
    9,
    text(
      {
        title: "The detection",
        description: "The whole line of the detection with the chosen uuid; the newest ones if there is none chosen.",
        unit: "string",
        none: "No such detection in this time: choose a longer one",
      },
      lines(`${THIS} ${log.general} | detection=~"$uuid.*"`, 5),
    ),
  ),
  line(
    6,
    entries(
      {
        title: "Process and its parent",
        description: "Which program it was, on whose behalf, and who started it.",
        unit: "string",
      },
      {
        process: { as: "Process", width: 120 },
        pid: { as: "Pid", width: 90 },
        program: { as: "Program", width: 200 },
        command: { as: "Command" },
        parent: { as: "Parent", width: 120 },
        parent_command: { as: "Parent's command" },
        user: { as: "User", width: 100 },
        terminal: { as: "Terminal", width: 90 },
      },
      lines(`${THIS} ${log.process} | detection=~"$uuid.*" | process != ""`, 5),
    ),
  ),
  line(
    6,
    entries(
      {
        title: "Ancestors",
        description:
          "The processes above it, up to eight: the parent, whoever started that, and so on. Their ids and programs are in the last column.",
        unit: "string",
        none: "Not a system call, or nothing is known of its parent",
      },
      {
        ...Object.fromEntries(log.ABOVE.map((label, above) => [label, { as: ABOVE[above] ?? "", width: 120 }])),
        lineage: { as: "With ids and programs" },
      },
      lines(`${THIS} ${log.ancestors} | detection=~"$uuid.*" | lineage != ""`, 5),
    ),
  ),
  line(
    6,
    entries(
      { title: "Container and pod", description: "Where it ran, and whose it is.", unit: "string" },
      {
        tenant: { as: "Tenant", width: 90 },
        namespace: { as: "Namespace", width: 110 },
        pod: { as: "Pod", link: toPod() },
        container: { as: "Container" },
        image: { as: "Image" },
        node: { as: "Node", width: 100 },
        detection: { as: "Detection", width: 110, link: toDetection("row") },
      },
      lines(`${THIS} ${log.process} | detection=~"$uuid.*"`, 5),
    ),
    entries(
      {
        title: "Who asked the API server",
        description:
          "Of an audit event: the user, what they did and to what. Of a system call in a pod with a session: whose session it is, in the line.",
        unit: "string",
        none: "Not an audit event",
      },
      {
        who: { as: "User", width: 130 },
        verb: { as: "Verb", width: 70 },
        resource: { as: "Resource", width: 100 },
        target: { as: "Name" },
        audit_id: { as: "Audit id", width: 110 },
      },
      lines(`${THIS} ${log.audit} | detection=~"$uuid.*" | who != ""`, 5),
    ),
  ),
];

const pod = [
  line(
    8,
    perInterval(
      {
        title: "The pod over time, system calls and audit events",
        description:
          "Detections whose line names the chosen pod, by source and rule: what came first, and what it led to.",
        unit: "locale",
      },
      counts(`sum by (source, rule) (count_over_time(${stream()} ${ITS_POD} [$__interval]))`, "{{source}}: {{rule}}"),
    ),
    perInterval(
      {
        title: "Its namespace over time",
        description: "All detections of the chosen namespaces: is this one pod, or many?",
        unit: "locale",
      },
      range(`topk(10, ${named(someHitsBy("namespace, rule", "$__interval"))})`, "{{namespace}}: {{rule}}"),
    ),
  ),
  line(
    11,
    entries(
      {
        title: "What else happened in this pod",
        description:
          "Detections of system calls of the chosen pod's containers, and of audit events about it, the newest first.",
        unit: "string",
        none: "Nothing else",
      },
      {
        source: { as: "Source", width: 90 },
        ...RULE,
        pod: { as: "Pod", width: 150, link: toPod() },
        target: { as: "Object", width: 150 },
        user: { as: "User in the pod", width: 120 },
        who: { as: "User of the API", width: 130 },
        verb: { as: "Verb", width: 80 },
        command: { as: "Command" },
        ...DETECTION,
      },
      lines(`${stream()} ${ITS_POD} ${log.together} | pod=~"$pod.*" or target=~"$pod.*"`),
    ),
  ),
  line(
    9,
    entries(
      {
        title: "System calls",
        description: "The chosen pod's detections from the kernel, with the command.",
        unit: "string",
      },
      {
        ...RULE,
        command: { as: "Command" },
        ...DETECTION,
      },
      lines(`${stream('source="syscall"')} ${ITS_POD} ${log.process} | pod=~"$pod.*"`),
    ),
    entries(
      {
        title: "Audit events",
        description: "Detections from the API server about the chosen pod: who ran commands in it, changed or deleted it.",
        unit: "string",
      },
      {
        ...RULE,
        who: { as: "User", width: 130 },
        verb: { as: "Verb", width: 70 },
        target: { as: "Name" },
        ...DETECTION,
      },
      lines(`${stream('source="k8s_audit"')} ${ITS_POD} ${log.audit} | target=~"$pod.*"`),
    ),
  ),
  line(
    8,
    entries(
      {
        title: "While somebody had a session in the pod",
        description:
          "Detections from the kernel in a pod in which somebody had a kubectl exec or attach session: who, from where, with which command. A tie, not a proof.",
        unit: "string",
        none: "No session",
      },
      {
        ...RULE,
        session_user: { as: "User of the session", width: 160 },
        session_command: { as: "Command of the session", width: 200 },
        session_source_ips: { as: "From", width: 120 },
        message: { as: "What happened" },
        ...DETECTION,
      },
      lines(`${stream()} ${ITS_POD} |= "k8s_exec" ${log.session} | session_user != ""`),
    ),
  ),
];

export const investigation = () =>
  page({
    uid: "yagura-investigation",
    title: "Investigation",
    description:
      "One detection by its uuid, and everything around it: its process, its container, its pod, who asked the API server.",
    variables: [
      ...datasources(),
      cluster(),
      tenant(),
      namespace(),
      node(),
      input("uuid", "Detection", "The uuid of a detection"),
      input("pod", "Pod", "The name of a pod, or how it begins"),
    ],
    from: "now-6h",
    rows: [
      { title: "The detection", lines: one },
      { title: "Its pod", lines: pod },
    ],
  });
