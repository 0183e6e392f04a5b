// From the kernel to the receivers: does anything get lost, and where is it slow.

import { page } from "./layout";
import { journal } from "./pipeline/journal";
import { kernel } from "./pipeline/kernel";
import { known } from "./pipeline/known";
import { ledger } from "./pipeline/ledger";
import { alerts, metrics, sinks } from "./pipeline/sinks";
import { cluster, datasources, namespace, node, tenant } from "./variables";

export const pipeline = () =>
  page({
    uid: "yagura-pipeline",
    title: "Pipeline",
    description: "From the kernel to the receivers: the loss ledger, latency, the ring buffer, the journal, each sink.",
    variables: [...datasources(), cluster(), tenant(), namespace(), node()],
    from: "now-6h",
    rows: [
      { title: "The loss ledger", lines: ledger },
      { title: "Kernel and latency", lines: kernel },
      { title: "Journal and reloads", lines: journal },
      { title: "Sinks", lines: sinks },
      { title: "Alertmanagers", lines: [alerts] },
      { title: "Remote-write", lines: metrics },
      { title: "What is known of processes and containers", lines: known },
    ],
  });
