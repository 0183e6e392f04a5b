// How the rules do: which speak, which never do, which too much.

import { everywhere, hits, hitsBy, orNone, someHitsBy } from "./detections";
import { line, page } from "./layout";
import { toRule } from "./links";
import * as log from "./logs";
import { entries, graph, list, number, perInterval, top } from "./panels";
import { lines, now, range, rows } from "./queries";
import {
  cluster,
  datasources,
  namespace,
  NODE,
  node,
  NODE_NAME,
  ofNode,
  ofTenant,
  rule,
  stream,
  tenant,
} from "./variables";

const CHOSEN = 'rule=~"$rule"';

/** Rules without detections since each daemon began, in any namespace: what they have at 0 is in none. */
const silent = (labels: string) =>
  `sum by (${labels}) (max_over_time(${everywhere(`${CHOSEN}, rule!="~other"`)}[$__range])) == 0`;

/** Held back by rules' rate limits, which is what the quotas did not. */
const held = (change: string, window: string) =>
  `clamp_min(sum(${change}(${ofNode("yagura_suppressed_total")}[${window}])) - sum(${change}(${ofNode("yagura_tenant_quota_suppressed_total")}[${window}])), 0)`;

const summary = line(
  4,
  number(
    { title: "Rules loaded", description: "Enabled rules; the fewest of any chosen node.", unit: "locale" },
    now(`min(${ofNode("yagura_rules_loaded")})`, "Rules"),
  ),
  number(
    { title: "Rules with detections", description: "Rules with a detection in the chosen time.", unit: "locale" },
    now(orNone(`count(${someHitsBy("rule", "$__range", CHOSEN)})`), "Rules"),
  ),
  number(
    {
      title: "Rules without",
      description: "Rules without any detection since each node's daemon began, in any namespace.",
      unit: "locale",
    },
    now(orNone(`count(${silent("rule")})`), "Rules"),
  ),
  number(
    {
      title: "Share of the noisiest rule",
      description: "How much of all detections one rule is. Beyond a half it hides the others: see to it first.",
      unit: "percentunit",
      warn: 0.5,
      bad: 0.8,
    },
    now(orNone(`max(${hitsBy("rule", "$__range", CHOSEN)}) / (sum(${hits("$__range", CHOSEN)}) > 0)`), "Share"),
  ),
  number(
    {
      title: "Held back by rate limits",
      description:
        "Detections that a rule's rate limit held back. They are counted, and not in the logs; the daemon's own log says for which rule.",
      unit: "locale",
      warn: 1,
    },
    now(held("increase", "$__range"), "Held back"),
  ),
  number(
    {
      title: "Failed reloads",
      description: "Reloads of rules that failed: the old rules run on. The daemon's log says what is wrong.",
      unit: "locale",
      bad: 1,
    },
    now(`sum(increase(${ofNode("yagura_rules_reload_total", 'result!="success"')}[$__range]))`, "Failed"),
  ),
);

const speaking = [
  line(
    9,
    perInterval(
      { title: "Hits per rule", description: "The ten chosen rules that said most at each time.", unit: "locale" },
      range(`topk(10, ${someHitsBy("rule", "$__interval", CHOSEN)})`, "{{rule}}"),
    ),
  ),
  line(
    11,
    list(
      {
        title: "All rules that spoke",
        description: "Detections of each rule in the chosen time, by tenant.",
        unit: "locale",
      },
      {
        rule: { as: "Rule", link: toRule() },
        tenant: { as: "Tenant", width: 130 },
        priority: { as: "Priority", width: 110 },
        source: { as: "Source", width: 100 },
        Value: { as: "Detections", width: 110 },
      },
      rows(`sort_desc(${someHitsBy("rule, tenant, priority, source", "$__range", CHOSEN)})`),
    ),
    list(
      {
        title: "Rules that never spoke",
        description:
          "Enabled rules without any detection since each node's daemon began, in any namespace. That may be as it should; if not, test them: yagura rules test.",
        unit: "locale",
        none: "Every rule has spoken",
      },
      { rule: { as: "Rule" }, priority: { as: "Priority", width: 110 }, source: { as: "Source", width: 100 } },
      rows(silent("rule, priority, source")),
    ),
  ),
];

const noisy = [
  line(
    10,
    top(
      {
        title: "Noisy rules, detections per hour",
        description:
          "The ten rules with most detections, as a mean per hour of the chosen time. More than a few an hour is not read by anybody: write an exception.",
        unit: "locale",
        warn: 10,
        bad: 100,
      },
      now(`topk(10, ${someHitsBy("rule", "$__range", CHOSEN)}) / ($__range_s / 3600)`, "{{rule}}"),
    ),
    list(
      {
        title: "Where a noisy rule is noisy",
        description: "Rules by namespace: an exception for one namespace is better than one for all.",
        unit: "locale",
      },
      {
        rule: { as: "Rule", link: toRule() },
        tenant: { as: "Tenant", width: 130 },
        namespace: { as: "Namespace", width: 150 },
        Value: { as: "Detections", width: 110 },
      },
      rows(`topk(20, ${someHitsBy("rule, tenant, namespace", "$__range", CHOSEN)})`),
    ),
  ),
  line(
    8,
    graph(
      {
        title: "Held back",
        description: "Detections that a rule's rate limit or a tenant's quota held back, each second.",
        unit: "cps",
      },
      range(held("rate", "$__rate_interval"), "by rate limits of rules"),
      range(
        `sum by (tenant) (rate(${ofTenant("yagura_tenant_quota_suppressed_total")}[$__rate_interval]))`,
        "by the quota of {{tenant}}",
      ),
    ),
    graph(
      {
        title: "Excused by exceptions",
        description:
          "Matches that a tenant's exceptions kept from being detections, the ten rules with most of them. What a rule's own exceptions exclude is no match.",
        unit: "cps",
        none: "No tenant has exceptions",
      },
      range(
        `topk(10, sum by (tenant, rule) (rate(${ofTenant("yagura_excepted_total", CHOSEN)}[$__rate_interval])))`,
        "{{tenant}}: {{rule}}",
      ),
    ),
    graph(
      {
        title: "Tenants with broken rules",
        description: "1 while something of a tenant's own rules or exceptions is not used because it is wrong.",
        unit: "locale",
      },
      range(`max by (tenant) (${ofTenant("yagura_tenant_rules_broken")})`, "{{tenant}}"),
    ),
    graph(
      {
        title: "Rules loaded, by node",
        description: "Nodes that differ have not got the same rules, or could not load them.",
        unit: "locale",
      },
      range(`max by (${NODE}) (${ofNode("yagura_rules_loaded")})`, NODE_NAME),
    ),
  ),
];

const latest = line(
  10,
  entries(
    {
      title: "What the chosen rules said last",
      description: "The newest detections of the chosen rules, from the logs.",
      unit: "string",
      none: "No detections",
    },
    {
      rule: { as: "Rule", width: 260 },
      tenant: { as: "Tenant", width: 120 },
      namespace: { as: "Namespace", width: 140 },
      message: { as: "What happened" },
    },
    lines(`${stream(CHOSEN)} ${log.general}`),
  ),
);

export const rules = () =>
  page({
    uid: "yagura-rules",
    title: "Rules",
    description: "Which rules speak, which never do, which say too much, and what was held back.",
    variables: [...datasources(), cluster(), tenant(), namespace(), node(), rule()],
    from: "now-24h",
    rows: [
      { title: "Summary", lines: [summary] },
      { title: "Hits", lines: speaking },
      { title: "Noise", lines: noisy },
      { title: "Latest", lines: [latest] },
    ],
  });
