// What Yagura knows of processes and containers, and what it had to forget.

import { line } from "../layout";
import { graph } from "../panels";
import { range } from "../queries";
import { NODE, NODE_NAME, ofNode } from "../variables";

const rate = (metric: string, labels: string) => `sum by (${labels}) (rate(${ofNode(metric)}[$__rate_interval]))`;
const most = (metric: string) => `max(${ofNode(metric)})`;
const each = (metric: string) => `sum(rate(${ofNode(metric)}[$__rate_interval]))`;

export const known = [
  line(
    8,
    graph(
      {
        title: "Processes",
        description: "In the process table; exited ones are kept for their late children.",
        unit: "locale",
      },
      range(`max by (${NODE}) (${ofNode("yagura_process_table_processes")})`, NODE_NAME),
      range(`max by (${NODE}) (${ofNode("yagura_process_table_exited")})`, `exited on ${NODE_NAME}`),
    ),
    graph(
      {
        title: "Memory of the process table",
        description: "Arguments, environments and paths.",
        unit: "bytes",
      },
      range(`max by (${NODE}) (${ofNode("yagura_process_table_bytes")})`, NODE_NAME),
    ),
    graph(
      {
        title: "Processes forgotten or incomplete",
        description:
          "Forgotten because the table was full (raise process_table.max_processes if living ones are), ids used again, and processes whose beginning was not seen.",
        unit: "cps",
      },
      range(rate("yagura_process_table_evicted_total", "state"), "{{state}} forgotten"),
      range(each("yagura_process_table_reused_total"), "id used again"),
      range(each("yagura_process_table_incomplete_total"), "incomplete"),
    ),
  ),
  line(
    8,
    graph(
      {
        title: "Container lookups",
        description:
          "Whether image and pod were known in time. unknown: detections lack them, and belong to the platform.",
        unit: "cps",
      },
      range(rate("yagura_container_lookups_total", "result"), "{{result}}"),
    ),
    graph(
      {
        title: "Answers about containers",
        description: "Of each source that was asked: found, unknown or failed.",
        unit: "cps",
        many: true,
      },
      range(rate("yagura_container_source_answers_total", "source, result"), "{{source}}: {{result}}"),
    ),
    graph(
      {
        title: "Events held for containers",
        description:
          "Events that waited until something was known of their container. no_room: could not wait, and went on.",
        unit: "cps",
      },
      range(rate("yagura_events_held_total", "result"), "{{result}}"),
    ),
  ),
  line(
    8,
    graph(
      {
        title: "Tables",
        description: "What is remembered, on the node with most of it.",
        unit: "locale",
      },
      range(most("yagura_containers"), "containers"),
      range(most("yagura_events_held"), "events that wait for their container"),
      range(most("yagura_cgroups"), "control groups"),
      range(most("yagura_sockets"), "sockets"),
      range(most("yagura_dns_addresses"), "addresses with names"),
      range(most("yagura_container_users"), "containers' users"),
    ),
    graph(
      {
        title: "Forgotten",
        description: "What was forgotten because there was too much of it, each second.",
        unit: "cps",
      },
      range(each("yagura_containers_evicted_total"), "containers"),
      range(each("yagura_cgroups_evicted_total"), "control groups"),
      range(each("yagura_sockets_evicted_total"), "sockets"),
      range(each("yagura_dns_evicted_total"), "addresses with names"),
      range(each("yagura_container_users_evicted_total"), "containers' users"),
    ),
    graph(
      {
        title: "Not understood",
        description:
          "Control groups without a known path, answers of name servers that could not be read, containers' users that could not be.",
        unit: "cps",
      },
      range(each("yagura_cgroups_unknown_total"), "control groups"),
      range(each("yagura_dns_invalid_total"), "answers of name servers"),
      range(rate("yagura_container_users_failed_total", "reason"), "users: {{reason}}"),
    ),
  ),
];
