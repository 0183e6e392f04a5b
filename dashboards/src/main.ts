// Writes every dashboard as JSON into a folder: `node build/main.js FOLDER`.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { investigation } from "./investigation";
import { kubernetesAudit } from "./kubernetes-audit";
import { pipeline } from "./pipeline";
import { platform } from "./platform";
import { rules } from "./rules";
import { tenantOverview } from "./tenant-overview";

const folder = process.argv[2];
if (folder === undefined) {
  console.error("usage: main.js FOLDER");
  process.exit(2);
}
for (const dashboard of [tenantOverview(), investigation(), rules(), kubernetesAudit(), platform(), pipeline()]) {
  writeFileSync(join(folder, `${dashboard.uid}.json`), `${JSON.stringify(dashboard, null, 2)}\n`);
}
