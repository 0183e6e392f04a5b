//! What is printed once everything runs: where to look, and what for.

use std::path::Path;

use end_to_end::prometheus::encoded;

use crate::stage::Stage;

const QUERY: &str = "sum by (tenant, namespace, rule) (yagura_detections_total) > 0";

pub fn print(stage: &Stage, yagura: &Path) {
    let (folder, yagura) = (stage.folder.path().display(), yagura.display());
    let daemon = stage.daemon.address();
    let prometheus = stage.prometheus.server.address();
    let victoria = stage.victoria.server.address();
    let query = encoded(QUERY);
    println!(
        "
Two tenants, shop and research, have a pod each; this machine is the platform's. There is no Kubernetes: containerd is
real, its pods are busybox, and the API server, Slack, PagerDuty and the webhook are doubles.

Prometheus, detections by tenant and rule:
  http://{prometheus}/classic/graph?g0.range_input=5m&g0.tab=0&g0.expr={query}
Prometheus, alerts: YaguraAttackBurst fires for shop, where several rules have spoken at once:
  http://{prometheus}/classic/alerts
VictoriaMetrics, the same detections by remote-write (JSON: Debian's has no pages):
  http://{victoria}/api/v1/query?query={query}
Alertmanager, the alerts of one tenant (JSON: Debian's has no pages):
  {}/api/v2/alerts?filter=tenant%3D%22shop%22
Yagura, the metrics that a tenant's token shows, which are its own alone:
  curl -s -H \"Authorization: Bearer $(cat {folder}/shop-token)\" http://{daemon}/metrics
The journal, whole detections of one tenant:
  {yagura} journal tail --path {folder}/journal.db --tenant research
",
        stage.alertmanager.url,
    );
}
