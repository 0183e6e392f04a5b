// What is kept on the node, and reloads of rules.

import { counted } from "../detections";
import { line } from "../layout";
import { graph, perInterval } from "../panels";
import { range } from "../queries";
import { NODE, NODE_NAME, ofNode, ofTenant } from "../variables";

const rate = (metric: string, labels: string) => `sum by (${labels}) (rate(${ofNode(metric)}[$__rate_interval]))`;

export const journal = [
  line(
    8,
    graph(
      { title: "Journal up", description: "1 while detections can be written to the journal.", unit: "locale" },
      range(`min by (${NODE}) (${ofNode("yagura_journal_up")})`, NODE_NAME),
    ),
    graph(
      {
        title: "Journal's size",
        description: "What the detections in it count, and journal.max_size, the smallest of all nodes.",
        unit: "bytes",
      },
      range(`max by (${NODE}) (${ofNode("yagura_journal_size_bytes")})`, NODE_NAME),
      range(`min(${ofNode("yagura_journal_limit_bytes")})`, "max_size"),
    ),
    graph(
      { title: "Written to the journal", description: "Detections written, each second.", unit: "cps" },
      range(rate("yagura_journal_written_total", NODE), NODE_NAME),
    ),
  ),
  line(
    8,
    graph(
      {
        title: "Not written to the journal",
        description:
          "Detections that could not be, by reason; they still go to stdout. And damaged journals that were set aside.",
        unit: "cps",
      },
      range(rate("yagura_journal_failures_total", "reason"), "{{reason}}"),
      range(rate("yagura_journal_set_aside_total", NODE), `set aside on ${NODE_NAME}`),
    ),
    graph(
      {
        title: "Removed from the journal",
        description:
          "By age, size, or the tenant's part. Only what was not sent before is lost. And, of what receivers have refused, what had no more room.",
        unit: "cps",
      },
      range(
        `sum by (tenant, bound) (rate(${ofTenant("yagura_journal_removed_total")}[$__rate_interval]))`,
        "{{tenant}}: {{bound}}",
      ),
      range(
        `sum by (tenant, bound) (rate(${ofTenant("yagura_journal_rejected_removed_total")}[$__rate_interval]))`,
        "{{tenant}}: refused, {{bound}}",
      ),
    ),
    perInterval(
      {
        title: "Reloads of rules",
        description:
          "failure: the rules do not load. kernel_failure: the kernel refused what they need. After either the old rules run on.",
        unit: "locale",
      },
      range(`sum by (result) (${counted(ofNode("yagura_rules_reload_total"), "$__interval")})`, "{{result}}"),
    ),
    graph(
      {
        title: "Recording",
        description: "Bytes written to a recording (run --record), each second; 0 without one.",
        unit: "Bps",
      },
      range(rate("yagura_recording_bytes_total", NODE), NODE_NAME),
    ),
  ),
];
