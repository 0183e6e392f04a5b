// The kernel side, and how soon a detection is written.

import { line } from "../layout";
import { durations, graph, list } from "../panels";
import { buckets, range, rows } from "../queries";
import { NODE, NODE_NAME, ofNode } from "../variables";

const COUNTED = "Nodes count it while sysctl kernel.bpf_stats_enabled is 1, which costs a little itself; else it is 0.";

const rate = (metric: string, labels: string, more = "") =>
  `sum by (${labels}) (rate(${ofNode(metric, more)}[$__rate_interval]))`;
const quantile = (q: number) =>
  range(`histogram_quantile(${q}, ${rate("yagura_detection_latency_seconds_bucket", "le")})`, `p${q * 100}`);

export const kernel = [
  line(
    9,
    graph(
      {
        title: "Latency",
        description: "From an event to the end of the write of its detection. No value where nothing was detected.",
        unit: "s",
      },
      quantile(0.5),
      quantile(0.9),
      quantile(0.99),
    ),
    durations(
      { title: "Latency, all of it", description: "How many detections took how long.", unit: "s" },
      buckets(`sum by (le) (increase(${ofNode("yagura_detection_latency_seconds_bucket")}[$__rate_interval]))`),
    ),
    graph(
      {
        title: "Ring buffer in use",
        description:
          "How full the buffer between kernel and daemon is when it is looked at. Full means lost events: raise kernel.ring_size.",
        unit: "percentunit",
      },
      range(
        `max by (${NODE}) (${ofNode("yagura_ring_used_bytes")} / ${ofNode("yagura_ring_capacity_bytes")})`,
        NODE_NAME,
      ),
    ).max(1),
  ),
  line(
    9,
    graph(
      { title: "Events by type", description: "The ten types of events that happen most.", unit: "cps", many: true },
      range(`topk(10, ${rate("yagura_events_total", "type")})`, "{{type}}"),
    ),
    graph(
      {
        title: "Events that reach the rules, by type",
        description:
          "What the kernel could not leave out. Rules that name paths, ports or programs let it leave out more: yagura doctor --filters.",
        unit: "cps",
        many: true,
      },
      range(`topk(10, ${rate("yagura_events_received_total", "type")})`, "{{type}}"),
    ),
    graph(
      {
        title: "Left out in the kernel",
        description: "The part of all events that the kernel dropped because no rule can match them.",
        unit: "percentunit",
      },
      range(
        `${rate("yagura_events_filtered_total", NODE)} / (${rate("yagura_events_total", NODE, 'source="syscall"')} > 0)`,
        NODE_NAME,
      ),
    ).max(1),
  ),
  line(
    8,
    graph(
      {
        title: "Cut or unreadable",
        description:
          "Events of which a path, arguments or an environment was cut, and for which the caller's memory could not be read. Not lost.",
        unit: "cps",
      },
      range(rate("yagura_kernel_truncated_total", NODE), `cut on ${NODE_NAME}`),
      range(rate("yagura_kernel_fault_total", NODE), `unreadable on ${NODE_NAME}`),
    ),
    graph(
      { title: "The daemon's own system calls", description: "They are never reported.", unit: "cps" },
      range(rate("yagura_kernel_own_syscalls_total", NODE), NODE_NAME),
    ),
    graph(
      {
        title: "Oddities",
        description:
          "Records of the ring that could not be delimited (0 on a working kernel), and requests to io_uring reported without their arguments.",
        unit: "cps",
      },
      range(rate("yagura_ring_corrupt_total", NODE), `corrupt records on ${NODE_NAME}`),
      range(rate("yagura_kernel_io_uring_forgotten_total", NODE), `io_uring on ${NODE_NAME}`),
    ),
  ),
  line(
    8,
    graph(
      {
        title: "CPUs that the kernel programs take",
        description: `By attached program, of all nodes; 1 is one CPU. ${COUNTED}`,
        unit: "short",
      },
      range(rate("yagura_bpf_program_run_seconds_total", "program"), "{{program}}"),
    ),
    graph(
      {
        title: "One run of a kernel program",
        description: `Mean time that a call or an event waits for it. ${COUNTED}`,
        unit: "s",
        none: "Not counted",
      },
      range(
        `${rate("yagura_bpf_program_run_seconds_total", "program")} / (${rate("yagura_bpf_program_runs_total", "program")} > 0)`,
        "{{program}}",
      ),
    ),
    list(
      {
        title: "Kernels",
        description:
          "What each node runs, and how many things are missing there that rules want of the kernel: yagura doctor names them.",
        unit: "locale",
      },
      {
        cluster: { as: "Cluster" },
        instance: { as: "Node" },
        release: { as: "Kernel" },
        "Value #B": { as: "Missing", width: 90 },
      },
      rows(`max by (${NODE}, release) (${ofNode("yagura_kernel_info")})`).refId("A"),
      rows(`sum by (${NODE}) (${ofNode("yagura_kernel_shortfall")})`).refId("B"),
    ),
  ),
];
