//! Falco's stock rules of the source, each with an event that makes it fire and one that just does not.

use super::event;
use crate::{
    audit::AuditView,
    rules::{LoadOptions, RuleMatching, RuleSet, Scratch, SourceFile, load},
};

/// Macros that Falco ships so that a rule cannot fire until they are overridden.
const OVERRIDES: &str = "
- macro: allowed_k8s_containers
  condition: (ka.req.pod.containers.image.repository in (allowed/image))
  override: {condition: replace}
- macro: consider_all_events
  condition: (k8s_audit_always_true)
  override: {condition: replace}
- macro: allowed_full_admin_users
  condition: (k8s_audit_never_true)
  override: {condition: replace}
- macro: allow_all_k8s_nodes
  condition: (k8s_audit_never_true)
  override: {condition: replace}
- list: allowed_k8s_nodes
  items: [node-1]
  override: {items: replace}
";

const SECRET: &str = r#"{"objectRef":{"resource":"secrets","name":"db"}}"#;
const CLUSTER_ADMIN: &str = r#"{"requestObject":{"roleRef":{"name":"cluster-admin"}},"objectRef":{"resource":"clusterrolebindings"}}"#;

/// Rule, recorded event, patch that makes it fire, further patch after which it does not.
const ROWS: &[(&str, &str, &str, &str)] = &[
    (
        "Disallowed K8s User",
        "pod_read",
        r#"{"user":{"username":"eve"}}"#,
        r#"{"user":{"username":"kubelet"}}"#,
    ),
    (
        "Create Disallowed Pod",
        "pod_created",
        "",
        r#"{"requestObject":{"spec":{"containers":[{"image":"allowed/image:1"}]}}}"#,
    ),
    (
        "Create Privileged Pod",
        "pod_created",
        r#"{"requestObject":{"spec":{"initContainers":[{"image":"a","securityContext":{"privileged":true}}]}}}"#,
        r#"{"requestObject":{"spec":{"initContainers":[{"image":"a","securityContext":{"privileged":false}}]}}}"#,
    ),
    (
        "Create Sensitive Mount Pod",
        "pod_created",
        r#"{"requestObject":{"spec":{"volumes":[{"name":"v","hostPath":{"path":"/etc"}}]}}}"#,
        r#"{"requestObject":{"spec":{"volumes":[{"name":"v","hostPath":{"path":"/data"}}]}}}"#,
    ),
    (
        "Create HostNetwork Pod",
        "pod_created",
        r#"{"requestObject":{"spec":{"hostNetwork":true}}}"#,
        r#"{"objectRef":{"subresource":"binding"}}"#,
    ),
    (
        "Create HostPid Pod",
        "pod_created",
        r#"{"requestObject":{"spec":{"hostPID":true}}}"#,
        r#"{"requestObject":{"spec":{"hostPID":false}}}"#,
    ),
    (
        "Create HostIPC Pod",
        "pod_created",
        r#"{"requestObject":{"spec":{"hostIPC":true}}}"#,
        r#"{"verb":"update"}"#,
    ),
    (
        "Create NodePort Service",
        "service_created",
        r#"{"requestObject":{"spec":{"type":"NodePort"}}}"#,
        r#"{"requestObject":{"spec":{"type":"ClusterIP"}}}"#,
    ),
    (
        "Create/Modify Configmap With Private Credentials",
        "configmap_created",
        "",
        r#"{"requestObject":{"data":null}}"#,
    ),
    (
        "Anonymous Request Allowed",
        "anonymous_healthz",
        r#"{"requestURI":"/api"}"#,
        r#"{"requestURI":"/healthz?verbose"}"#,
    ),
    ("Attach/Exec Pod", "exec_started", "", r#"{"objectRef":{"subresource":"log"}}"#),
    (
        "port-forward",
        "exec_started",
        r#"{"objectRef":{"subresource":"portforward"}}"#,
        r#"{"objectRef":{"subresource":"exec"}}"#,
    ),
    (
        "EphemeralContainers Created",
        "pod_created",
        r#"{"verb":"patch","objectRef":{"subresource":"ephemeralcontainers"}}"#,
        r#"{"verb":"get"}"#,
    ),
    ("Create Disallowed Namespace", "namespace_created", "", r#"{"objectRef":{"name":"default"}}"#),
    (
        "Pod Created in Kube Namespace",
        "pod_created",
        r#"{"objectRef":{"namespace":"kube-system"}}"#,
        r#"{"objectRef":{"namespace":"team-a"}}"#,
    ),
    (
        "Service Account Created in Kube Namespace",
        "service_account_created",
        r#"{"objectRef":{"namespace":"kube-public"}}"#,
        r#"{"objectRef":{"name":"coredns"}}"#,
    ),
    (
        "System ClusterRole Modified/Deleted",
        "configmap_deleted",
        r#"{"objectRef":{"resource":"clusterroles","name":"system:node"}}"#,
        r#"{"objectRef":{"name":"system:coredns"}}"#,
    ),
    (
        "Attach to cluster-admin Role",
        "service_account_created",
        CLUSTER_ADMIN,
        r#"{"requestObject":{"roleRef":{"name":"view"}}}"#,
    ),
    (
        "ClusterRole With Wildcard Created",
        "service_account_created",
        r#"{"objectRef":{"resource":"roles"},"requestObject":{"rules":[{"verbs":["get"],"resources":["pods"]},{"verbs":["*"],"resources":["pods"]}]}}"#,
        r#"{"requestObject":{"rules":[{"verbs":["get"],"resources":["pods"]}]}}"#,
    ),
    (
        "ClusterRole With Write Privileges Created",
        "service_account_created",
        r#"{"objectRef":{"resource":"clusterroles"},"requestObject":{"rules":[{"verbs":["get","patch"]}]}}"#,
        r#"{"requestObject":{"rules":[{"verbs":["get"]}]}}"#,
    ),
    (
        "ClusterRole With Pod Exec Created",
        "service_account_created",
        r#"{"objectRef":{"resource":"clusterroles"},"requestObject":{"rules":[{"resources":["pods/exec"]}]}}"#,
        r#"{"requestObject":{"rules":[{"resources":["pods/log"]}]}}"#,
    ),
    ("K8s Deployment Created", "deployment_created", "", r#"{"responseStatus":{"code":409}}"#),
    ("K8s Deployment Deleted", "deployment_deleted", "", r#"{"responseStatus":{"code":404}}"#),
    ("K8s Service Created", "service_created", "", r#"{"verb":"update"}"#),
    (
        "K8s Service Deleted",
        "deployment_deleted",
        r#"{"objectRef":{"resource":"services"}}"#,
        r#"{"stage":"RequestReceived"}"#,
    ),
    ("K8s ConfigMap Created", "configmap_created", "", r#"{"responseStatus":{"code":403}}"#),
    ("K8s ConfigMap Deleted", "configmap_deleted", "", r#"{"verb":"get"}"#),
    ("K8s Namespace Created", "namespace_created", "", r#"{"responseStatus":{"code":409}}"#),
    (
        "K8s Namespace Deleted",
        "deployment_deleted",
        r#"{"objectRef":{"resource":"namespaces","name":"team-b"}}"#,
        r#"{"user":{"username":"system:serviceaccount:kube-system:namespace-controller"}}"#,
    ),
    ("K8s Serviceaccount Created", "service_account_created", "", r#"{"responseStatus":{"code":409}}"#),
    (
        "K8s Serviceaccount Deleted",
        "deployment_deleted",
        r#"{"objectRef":{"resource":"serviceaccounts"}}"#,
        r#"{"verb":"deletecollection"}"#,
    ),
    (
        "K8s Role Created",
        "service_account_created",
        r#"{"objectRef":{"resource":"roles"}}"#,
        r#"{"objectRef":{"resource":"clusterroles"}}"#,
    ),
    (
        "K8s Role Deleted",
        "deployment_deleted",
        r#"{"objectRef":{"resource":"roles"}}"#,
        r#"{"responseStatus":{"code":500}}"#,
    ),
    (
        "K8s ClusterRole Created",
        "service_account_created",
        r#"{"objectRef":{"resource":"clusterroles"}}"#,
        r#"{"verb":"patch"}"#,
    ),
    (
        "K8s ClusterRole Deleted",
        "deployment_deleted",
        r#"{"objectRef":{"resource":"clusterroles"}}"#,
        r#"{"responseStatus":{"code":404}}"#,
    ),
    (
        "K8s RoleBinding Created",
        "service_account_created",
        r#"{"objectRef":{"resource":"rolebindings"}}"#,
        r#"{"responseStatus":null}"#,
    ),
    (
        "K8s RoleBinding Deleted",
        "deployment_deleted",
        r#"{"objectRef":{"resource":"rolebindings"}}"#,
        r#"{"stage":"Panic"}"#,
    ),
    ("K8s ClusterRoleBinding Created", "service_account_created", CLUSTER_ADMIN, r#"{"verb":"get"}"#),
    (
        "K8s ClusterRoleBinding Deleted",
        "deployment_deleted",
        r#"{"objectRef":{"resource":"clusterrolebindings"}}"#,
        r#"{"objectRef":null}"#,
    ),
    ("K8s Secret Created", "configmap_created", SECRET, r#"{"objectRef":{"namespace":"kube-system"}}"#),
    ("K8s Secret Deleted", "configmap_deleted", SECRET, r#"{"user":{"username":"system:node:a"}}"#),
    ("K8s Secret Get Successfully", "pod_read", SECRET, r#"{"responseStatus":{"code":404}}"#),
    (
        "K8s Secret Get Unsuccessfully Tried",
        "pod_read",
        r#"{"objectRef":{"resource":"secrets"},"responseStatus":{"code":403}}"#,
        r#"{"verb":"list"}"#,
    ),
    ("All K8s Audit Events", "pod_read", "", r#"{"stage":"ResponseStarted"}"#),
    ("Full K8s Administrative Access", "pod_read", "", r#"{"user":{"username":"alice"}}"#),
    (
        "Ingress Object without TLS Certificate Created",
        "service_created",
        r#"{"objectRef":{"resource":"ingresses"}}"#,
        r#"{"requestObject":{"spec":{"tls":[{"hosts":["a"]}]}}}"#,
    ),
    (
        "Untrusted Node Successfully Joined the Cluster",
        "service_account_created",
        r#"{"objectRef":{"resource":"nodes","name":"node-2"}}"#,
        r#"{"objectRef":{"name":"node-1"}}"#,
    ),
    (
        "Untrusted Node Unsuccessfully Tried to Join the Cluster",
        "service_account_created",
        r#"{"objectRef":{"resource":"nodes","name":"node-2"},"responseStatus":{"code":403}}"#,
        r#"{"responseStatus":{"code":201}}"#,
    ),
];

fn rules() -> Option<RuleSet> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/falco/rules/k8s_audit_rules.yaml");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: no stock rules at {path}");
        return None;
    };
    let file = |name: &str, text: &str| SourceFile { name: name.into(), text: text.into() };
    let options = LoadOptions { rule_matching: RuleMatching::All, ..LoadOptions::default() };
    let load = load(&[file("stock.yaml", &text), file("overrides.yaml", OVERRIDES)], &options);
    Some(load.rules.unwrap_or_else(|| panic!("{:#?}", load.diagnostics)))
}

#[test]
fn each_rule_fires_and_does_not_when_it_should() {
    let Some(rules) = rules() else { return };
    let mut scratch = Scratch::default();
    let mut fired = |base: &str, patches: &[&str]| {
        let mut event = event(base, patches.first().copied().unwrap_or_default());
        for patch in patches.iter().skip(1) {
            let mut json = event.json().clone();
            crate::audit::merge(&mut json, &serde_json::from_str(patch).unwrap());
            event = crate::audit::AuditEvent::new(json, 0);
        }
        let view = AuditView { event: &event, number: 1, first_ns: 0, hostname: "node-1", cluster: "" };
        let mut names = Vec::new();
        rules.evaluate(&view, &mut scratch, |rule| {
            let rendered = rule.output.render(&view);
            assert!(!rendered.text.is_empty());
            names.push(rule.name.clone());
        });
        names
    };
    for (rule, base, positive, negative) in ROWS {
        let names = fired(base, &[positive]);
        assert!(names.iter().any(|name| name == rule), "{rule} must fire: {names:?}");
        let names = fired(base, &[positive, negative]);
        assert!(!names.iter().any(|name| name == rule), "{rule} must not fire: {names:?}");
    }
    let mut tested: Vec<&str> = ROWS.iter().map(|(rule, ..)| *rule).collect();
    let mut all: Vec<&str> = rules.rules().iter().map(|rule| rule.name.as_str()).collect();
    tested.sort_unstable();
    all.sort_unstable();
    assert_eq!(tested, all);
}
