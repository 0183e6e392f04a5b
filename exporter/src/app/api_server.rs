//! What a Kubernetes API server must be told, so that its audit events come here and suffice for the rules.
//!
//! The policy asks for as little as the rules need: objects cost the API server memory and the network bytes, and
//! what is in them is copied to wherever audit events go. The contents of Secrets and tokens are never asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::{
    config::Config,
    fields::{Field, FieldArg, FieldRef, Source, scheme},
    rules::{
        Rule, RuleSet, ValueSet,
        typed::{Expr, ExprId, Expressions, Term, Test},
    },
};

/// The three parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiServerSetup {
    /// Arguments of kube-apiserver, one a line.
    pub flags: String,
    /// The file behind `--audit-webhook-config-file`.
    pub webhook: String,
    /// The file behind `--audit-policy-file`.
    pub policy: String,
}

/// How much of an event a rule looks at: the levels of an audit policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        }
    }
}

/// Which resources are in which API group: a policy has to name both.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "bindings",
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "podtemplates",
            "replicationcontrollers",
            "resourcequotas",
            "secrets",
            "serviceaccounts",
            "services",
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("apps", &["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("batch", &["cronjobs", "jobs"]),
    ("certificates.k8s.io", &["certificatesigningrequests"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
    ("rbac.authorization.k8s.io", &["clusterrolebindings", "clusterroles", "rolebindings", "roles"]),
];

/// Their contents are secrets, whatever a rule asks for.
const NEVER_MORE: &str = "  # The contents of these are secrets: who did what with them is enough.
  - level: Metadata
    resources:
      - group: \"\"
        resources: [secrets, serviceaccounts/token]
      - group: authentication.k8s.io
        resources: [tokenreviews]
";

const FLAGS: &str = "\
--audit-policy-file=/etc/kubernetes/yagura/policy.yaml
--audit-webhook-config-file=/etc/kubernetes/yagura/webhook.yaml
--audit-webhook-mode=batch
--audit-webhook-batch-max-size=100
--audit-webhook-batch-max-wait=200ms
--audit-webhook-initial-backoff=1s
--audit-webhook-truncate-enabled=true
--audit-webhook-truncate-max-batch-size=10485760
--audit-webhook-truncate-max-event-size=8388608
";

impl ApiServerSetup {
    /// For the enabled rules of a set. `server` is the URL by which the API server reaches the daemon.
    pub fn new(config: &Config, rules: &RuleSet, server: Option<&str>) -> ApiServerSetup {
        ApiServerSetup { flags: FLAGS.into(), webhook: webhook(config, server), policy: policy(rules) }
    }
}

fn webhook(config: &Config, server: Option<&str>) -> String {
    let scheme = if config.web.tls.is_some() { "https" } else { "http" };
    let mut listen = config.listen;
    if listen.ip().is_unspecified() {
        // The daemon of the API server's own node.
        listen.set_ip([127, 0, 0, 1].into());
    }
    let server =
        server.map_or_else(|| format!("{scheme}://{listen}"), |url| url.trim_end_matches('/').to_owned());
    let mut text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n  - name: yagura\n    cluster:\n      server: {server}/k8s-audit\n"
    );
    if server.starts_with("https") {
        text.push_str("      certificate-authority: /etc/kubernetes/yagura/server-ca.crt\n");
    }
    text.push_str("users:\n  - name: kube-apiserver\n    user:");
    let certificate = config.web.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    text.push_str(if certificate {
        "\n      client-certificate: /etc/kubernetes/yagura/client.crt\n      client-key: /etc/kubernetes/yagura/client.key\n"
    } else if config.web.tokens.iter().any(|token| token.access.posts_audit().is_ok()) {
        "\n      tokenFile: /etc/kubernetes/yagura/token\n"
    } else {
        " {}\n"
    });
    text.push_str(
        "contexts:\n  - name: yagura\n    context:\n      cluster: yagura\n      user: kube-apiserver\ncurrent-context: yagura\n",
    );
    text
}

fn policy(rules: &RuleSet) -> String {
    let all = rules.expressions();
    let mut general = Level::default();
    let mut needed: BTreeMap<String, Level> = BTreeMap::new();
    let mut needs_received = false;
    for rule in rules.rules().iter().filter(|rule| rule.enabled && rule.source == Source::K8sAudit) {
        needs_received |= names_stage(all, rule.condition, "RequestReceived");
        let level = level_of(rule);
        match resources(all, rule.condition) {
            Some(resources) if resources.iter().all(|resource| group_of(resource).is_some()) => {
                for resource in resources {
                    let known = needed.entry(resource).or_default();
                    *known = level.max(*known);
                }
            }
            // Of a resource whose group is not known nothing but everything can be asked for.
            _ => general = general.max(level),
        }
    }
    let secret =
        |resource: &str| resource == "serviceaccounts/token" || resource.split('/').next() == Some("secrets");
    needed.retain(|resource, level| *level > general && !secret(resource));
    let mut text = "apiVersion: audit.k8s.io/v1\nkind: Policy\n".to_owned();
    if !needs_received {
        text.push_str("# No rule needs them: what is received is answered.\nomitStages: [RequestReceived]\n");
    }
    text.push_str("rules:\n");
    text.push_str(NEVER_MORE);
    for level in [Level::RequestResponse, Level::Request] {
        let of_level = |resource: &&String| needed.get(*resource) == Some(&level);
        if needed.keys().any(|resource| of_level(&resource)) {
            let _ = writeln!(text, "  - level: {}\n    resources:", level.name());
        }
        for (group, _) in GROUPS {
            let of_group: Vec<&str> = needed
                .keys()
                .filter(of_level)
                .filter(|resource| group_of(resource) == Some(group))
                .map(String::as_str)
                .collect();
            if !of_group.is_empty() {
                let group = if group.is_empty() { "\"\"" } else { group };
                let _ = writeln!(text, "      - group: {group}\n        resources:");
                for resource in of_group {
                    let _ = writeln!(text, "          - {resource}");
                }
            }
        }
    }
    let _ = writeln!(text, "  - level: {}", general.name());
    text
}

fn group_of(resource: &str) -> Option<&'static str> {
    let name = resource.split('/').next().unwrap_or(resource);
    GROUPS.iter().find(|(_, names)| names.contains(&name)).map(|(group, _)| *group)
}

/// What a rule's condition and output look at.
fn level_of(rule: &Rule) -> Level {
    rule.fields.iter().chain(rule.output.fields()).map(level_of_field).max().unwrap_or_default()
}

fn level_of_field(field: &FieldRef) -> Level {
    use crate::fields::table::audit::AuditField as F;
    let Some(Field::Audit(audit)) = scheme().def(field.id).field else { return Level::Metadata };
    let by_first = |key: &str| match key {
        "requestObject" => Level::Request,
        "responseObject" => Level::RequestResponse,
        _ => Level::Metadata,
    };
    match audit {
        F::Text(path) | F::Items(path) => path.first().map_or(Level::Metadata, |key| by_first(key)),
        F::Each(..)
        | F::Repositories(_)
        | F::HostPorts(_)
        | F::Effective(..)
        | F::FirstImage
        | F::FirstRepository
        | F::AnyPrivileged
        | F::HostPath
        | F::VolumeTypes
        | F::Subjects(_)
        | F::ServiceAccounts => Level::Request,
        F::TargetPod | F::Whole => Level::RequestResponse,
        F::Pointer => match &field.arg {
            FieldArg::Key(key) => by_first(key.trim_start_matches('/').split('/').next().unwrap_or_default()),
            _ => Level::RequestResponse,
        },
        F::HasName | F::Param | F::Cluster | F::RawTime => Level::Metadata,
    }
}

/// The resources, with subresources, that a condition can hold for; `None` if it does not say.
fn resources(all: &Expressions, condition: ExprId) -> Option<BTreeSet<String>> {
    let names = values(all, condition, "ka.target.resource")?;
    let join = |name: &String, sub: &str| format!("{name}/{sub}");
    Some(match values(all, condition, "ka.target.subresource") {
        Some(subs) => names.iter().flat_map(|name| subs.iter().map(move |sub| join(name, sub))).collect(),
        None if excludes(all, condition, "ka.target.subresource") => names,
        None => names.iter().flat_map(|name| [name.clone(), join(name, "*")]).collect(),
    })
}

/// The texts of which a field must be one for the condition to hold.
fn values(all: &Expressions, condition: ExprId, field: &str) -> Option<BTreeSet<String>> {
    match all.expr(condition) {
        Expr::And(items) => items.iter().find_map(|item| values(all, *item, field)),
        Expr::Or(items) => {
            let sets: Option<Vec<_>> = items.iter().map(|item| values(all, *item, field)).collect();
            Some(sets?.into_iter().flatten().collect())
        }
        Expr::Not(_) => None,
        Expr::Check(check) => {
            let check = all.check(*check);
            match (&check.term, &check.test) {
                (Term::Field(found), Test::In(ValueSet::Strings(set))) if is(found, field) => {
                    Some(set.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
                }
                _ => None,
            }
        }
    }
}

/// Whether the condition demands that the field is absent.
fn excludes(all: &Expressions, condition: ExprId, field: &str) -> bool {
    match all.expr(condition) {
        Expr::And(items) => items.iter().any(|item| excludes(all, *item, field)),
        Expr::Not(inner) => match all.expr(*inner) {
            Expr::Check(check) => {
                let check = all.check(*check);
                check.test == Test::Exists && matches!(&check.term, Term::Field(found) if is(found, field))
            }
            _ => false,
        },
        Expr::Or(_) | Expr::Check(_) => false,
    }
}

/// Whether a comparison anywhere in the condition names a stage.
fn names_stage(all: &Expressions, condition: ExprId, stage: &str) -> bool {
    match all.expr(condition) {
        Expr::And(items) | Expr::Or(items) => items.iter().any(|item| names_stage(all, *item, stage)),
        Expr::Not(inner) => names_stage(all, *inner, stage),
        Expr::Check(_) => {
            let named = |field| values(all, condition, field).is_some_and(|set| set.contains(stage));
            named("ka.stage") || named("jevt.value")
        }
    }
}

fn is(field: &FieldRef, name: &str) -> bool {
    scheme().def(field.id).name == name
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        config::{TlsConfig, TokenConfig, WebConfig},
        embedded,
        rules::{LoadOptions, SourceFile, load},
    };

    fn rules(files: &[SourceFile]) -> RuleSet {
        let load = load(files, &LoadOptions::default());
        load.rules.unwrap_or_else(|| panic!("{:#?}", load.diagnostics))
    }

    fn rule(condition: &str, output: &str) -> String {
        format!(
            "- rule: {condition}\n  desc: d\n  source: k8s_audit\n  condition: {condition}\n  output: \"{output}\"\n  priority: INFO\n"
        )
    }

    fn policy_of(text: &str) -> String {
        policy(&rules(&[SourceFile { name: "r.yaml".into(), text: text.into() }]))
    }

    /// The lines of a policy after the part that is always there.
    fn check(rule: &str, expected: &str) {
        let policy = policy_of(rule);
        let (head, tail) = policy.split_once(NEVER_MORE).expect("secrets first");
        assert!(head.ends_with("rules:\n"), "{head}");
        assert_eq!(tail, expected, "{rule}");
    }

    #[test]
    fn the_policy_asks_for_what_a_rule_looks_at() {
        for (condition, output, expected) in [
            ("ka.verb = get", "x", "  - level: Metadata\n"),
            ("ka.verb = get", "%ka.req.pod.host_pid", "  - level: Request\n"),
            ("ka.verb = get", "%jevt.obj", "  - level: RequestResponse\n"),
            ("ka.verb = get", "%jevt.value[/annotations/x]", "  - level: Metadata\n"),
            ("ka.verb = get", "%jevt.value[/responseObject/x]", "  - level: RequestResponse\n"),
            ("ka.target.resource = widgets", "%ka.req.pod.host_pid", "  - level: Request\n"),
            ("ka.target.resource = secrets", "%ka.req.configmap.obj", "  - level: Metadata\n"),
            (
                "ka.target.resource = pods and not ka.target.subresource exists",
                "%ka.resp.name",
                "  - level: RequestResponse\n    resources:\n      - group: \"\"\n        resources:\n          - pods\n  - level: Metadata\n",
            ),
            (
                "(ka.target.resource = roles or ka.target.resource in (deployments, pods)) and ka.target.subresource = scale",
                "%ka.req.role.rules",
                "  - level: Request\n    resources:\n      - group: \"\"\n        resources:\n          - pods/scale\n      - group: apps\n        resources:\n          - deployments/scale\n      - group: rbac.authorization.k8s.io\n        resources:\n          - roles/scale\n  - level: Metadata\n",
            ),
            (
                "ka.target.resource = services",
                "%ka.req.service.type",
                "  - level: Request\n    resources:\n      - group: \"\"\n        resources:\n          - services\n          - services/*\n  - level: Metadata\n",
            ),
            ("(ka.target.resource = roles or ka.verb = get)", "%ka.req.role.rules", "  - level: Request\n"),
            ("not ka.target.resource = roles", "%ka.req.role.rules", "  - level: Request\n"),
        ] {
            check(&rule(condition, output), expected);
        }
        assert!(policy_of("").contains("omitStages: [RequestReceived]\n"));
        for stage in
            ["ka.stage = RequestReceived", "ka.verb = x or jevt.value[/stage] in (Panic, RequestReceived)"]
        {
            assert!(!policy_of(&rule(stage, "x")).contains("omitStages"), "{stage}");
        }
        let disabled = rule("ka.stage = RequestReceived", "%jevt.obj") + "  enabled: false\n";
        assert!(policy_of(&disabled).ends_with("  - level: Metadata\n"));
        assert!(policy_of(&disabled).contains("omitStages"));
    }

    #[test]
    fn the_webhook_is_as_the_server_is_guarded() {
        let tls = |client_ca: Option<&str>| {
            Some(TlsConfig { certificate: "c".into(), key: "k".into(), client_ca: client_ca.map(Into::into) })
        };
        let secret = crate::secret::Secret::Environment("YAGURA_T".into());
        let tokens = vec![TokenConfig { secret, access: crate::web::Access::Audit }];
        for (web, listen, server, contains, absent) in [
            (
                WebConfig::default(),
                "127.0.0.1:9752",
                None,
                "server: http://127.0.0.1:9752/k8s-audit",
                "authority",
            ),
            (
                WebConfig { tls: None, tokens: tokens.clone() },
                "0.0.0.0:1",
                None,
                "server: http://127.0.0.1:1/k8s-audit",
                "client-key",
            ),
            (WebConfig { tls: None, tokens: tokens.clone() }, "0.0.0.0:1", None, "tokenFile:", "user: {}"),
            (
                WebConfig { tls: tls(Some("ca")), tokens: Vec::new() },
                "[::1]:1",
                None,
                "server: https://[::1]:1/k8s-audit",
                "tokenFile",
            ),
            (WebConfig { tls: tls(Some("ca")), tokens }, "[::1]:1", None, "client-certificate:", "tokenFile"),
            (
                WebConfig { tls: tls(None), tokens: Vec::new() },
                "[::1]:1",
                Some("https://y.example/"),
                "server: https://y.example/k8s-audit",
                "tokenFile",
            ),
        ] {
            let config = Config { web, listen: listen.parse().unwrap(), ..Config::default() };
            let text = webhook(&config, server);
            assert!(text.contains(contains) && !text.contains(absent), "{text}");
        }
    }

    #[test]
    fn docs_the_page_shows_what_is_printed() {
        let setup = ApiServerSetup::new(&Config::default(), &rules(&embedded::files()), None);
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes.md");
        let mut page = fs::read_to_string(&path).expect("docs/kubernetes.md");
        let committed = page.clone();
        for (part, text, language) in [
            ("flags", &setup.flags, "text"),
            ("webhook", &setup.webhook, "yaml"),
            ("policy", &setup.policy, "yaml"),
        ] {
            let (start, end) = (format!("<!-- {part} -->\n"), format!("<!-- /{part} -->"));
            let (before, rest) = page.split_once(&start).expect("the start");
            let (_, after) = rest.split_once(&end).expect("the end");
            page = format!("{before}{start}```{language}\n{text}```\n{end}{after}");
        }
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, page).expect("docs/kubernetes.md");
        } else {
            assert!(page == committed, "docs/kubernetes.md is not up to date: run `make docs`");
        }
    }
}
