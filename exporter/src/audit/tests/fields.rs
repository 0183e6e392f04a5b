//! Rows of (field, expected text).

use super::event;
use crate::{
    audit::AuditView,
    fields::{Source, Subject, scheme},
    rules::value_text,
};

const ABSENT: &str = "(absent)";

fn check(base: &str, patch: &str, rows: &[(&str, &str)]) {
    let event = event(base, patch);
    let first_ns = event.time_ns() - 1_500_000_000;
    let view = AuditView { event: &event, number: 7, first_ns, hostname: "node-1", cluster: "prod" };
    for (name, expected) in rows {
        let (bare, arg) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((bare, arg)) => (bare, Some(arg)),
            None => (*name, None),
        };
        let field = scheme().resolve(Source::K8sAudit, bare, arg).unwrap_or_else(|error| panic!("{error}"));
        let found = view.get(&field).map_or(ABSENT.to_owned(), |value| value_text(&value).into_owned());
        assert_eq!(found, *expected, "{name} of {base} with {patch}");
    }
}

#[test]
fn of_the_request() {
    check(
        "exec_started",
        "",
        &[
            ("ka.auditid", "1dd799ab-ff8c-4504-b63c-9b8866979a59"),
            ("ka.stage", "ResponseStarted"),
            ("ka.verb", "get"),
            ("ka.auth.decision", "allow"),
            ("ka.auth.reason", ""),
            ("ka.user.name", "admin"),
            ("ka.user.groups", "(system:masters,system:authenticated)"),
            ("ka.user.groups[1]", "(system:authenticated)"),
            ("ka.user.groups[2]", ABSENT),
            ("ka.impuser.name", ABSENT),
            ("ka.uri.param[command]", "ls"),
            ("ka.uri.param[container]", "main"),
            ("ka.uri.param[stdin]", ABSENT),
            ("ka.target.name", "web-0"),
            ("ka.target.namespace", "team-a"),
            ("ka.target.resource", "pods"),
            ("ka.target.subresource", "exec"),
            ("ka.target.pod.name", "web-0"),
            ("ka.response.code", "400"),
            ("ka.response.reason", "BadRequest"),
            ("ka.useragent", "kubectl/v1.37.1 (linux/amd64) kubernetes/f78e722"),
            ("ka.sourceips", "(127.0.0.1)"),
            ("ka.cluster.name", "prod"),
            ("ka.req.pod.containers.image", ABSENT),
            ("ka.resp.name", ABSENT),
            ("jevt.value[/stage]", "ResponseStarted"),
            ("jevt.value[stage]", "ResponseStarted"),
            ("jevt.value[/user/groups/0]", "system:masters"),
            ("jevt.value[/user/groups]", r#"["system:masters","system:authenticated"]"#),
            ("jevt.value[/responseStatus/code]", "400"),
            ("jevt.value[/annotations/authorization.k8s.io~1decision]", "allow"),
            ("jevt.value[/nothing]", ABSENT),
            ("jevt.rawtime", "1795403851206336000"),
            ("evt.num", "7"),
            ("evt.time", "03:17:31.206336000"),
            ("evt.time.s", "03:17:31"),
            ("evt.time.iso8601", "2026-11-23T03:17:31.206336000+0000"),
            ("evt.datetime", "2026-11-23 03:17:31.206336000"),
            ("evt.datetime.s", "2026-11-23 03:17:31"),
            ("evt.rawtime", "1795403851206336000"),
            ("evt.rawtime.s", "1795403851"),
            ("evt.rawtime.ns", "206336000"),
            ("evt.reltime", "1500000000"),
            ("evt.reltime.s", "1"),
            ("evt.reltime.ns", "500000000"),
            ("evt.source", "k8s_audit"),
            ("evt.is_async", "false"),
            ("evt.hostname", "node-1"),
        ],
    );
    check(
        "exec_started",
        r#"{"requestURI":"/x?command=sh%20-c&a=1+2&a=3&empty","impersonatedUser":{"username":"root"},
            "annotations":{"authentication.openshift.io/decision":"error","authentication.openshift.io/username":"eve",
            "pod-security.kubernetes.io/audit-violations":"would violate","validation.policy.admission.k8s.io/validation_failure":"[1]"}}"#,
        &[
            ("ka.uri", "/x?command=sh%20-c&a=1+2&a=3&empty"),
            ("ka.uri.param[command]", "sh -c"),
            ("ka.uri.param[a]", "1 2"),
            ("ka.uri.param[empty]", ""),
            ("ka.impuser.name", "root"),
            ("ka.auth.openshift.decision", "error"),
            ("ka.auth.openshift.username", "eve"),
            ("ka.security.pod.violations", "would violate"),
            ("ka.validations.admission.policy.failure", "[1]"),
        ],
    );
    check(
        "anonymous_refused",
        "",
        &[
            ("ka.user.name", "system:anonymous"),
            ("ka.target.name", ABSENT),
            ("ka.target.pod.name", ABSENT),
            ("ka.uri.param[command]", ABSENT),
        ],
    );
}

#[test]
fn of_pods() {
    check(
        "pod_created",
        "",
        &[
            ("ka.resp.name", "web-0"),
            ("ka.req.pod.containers.image", "(registry.example.com/shop/web:v1.2)"),
            ("ka.req.pod.containers.image.repository", "(registry.example.com/shop/web)"),
            ("ka.req.container.image", "registry.example.com/shop/web:v1.2"),
            ("ka.req.container.image.repository", "registry.example.com/shop/web"),
            ("ka.req.pod.containers.name", "(main)"),
            ("ka.req.pod.containers.command", "(sleep,1)"),
            ("ka.req.pod.containers.args", "()"),
            ("ka.req.pod.containers.privileged", "()"),
            ("ka.req.container.privileged", "false"),
            ("ka.req.pod.containers.eff_run_as_user", "(0)"),
            ("ka.req.pod.initContainers.image", ABSENT),
            ("ka.req.pod.host_network", ABSENT),
            ("ka.req.pod.volumes.hostpath", ABSENT),
            ("ka.req.volume.hostpath[/]", ABSENT),
        ],
    );
    let two = r#"{"objectRef":{"name":null},"responseObject":{"metadata":{"name":"web-xyz"}},"requestObject":{"spec":{
        "hostIPC":true,"hostPID":true,"hostNetwork":true,
        "securityContext":{"runAsUser":1000,"runAsGroup":100,"fsGroup":5,"supplementalGroups":[1,2]},
        "volumes":[{"name":"a","hostPath":{"path":"/etc"}},{"name":"b","flexVolume":{"driver":"x/y"}},{"name":"c","emptyDir":{}}],
        "initContainers":[{"name":"i","image":"init@sha256:ab","args":["x"],"securityContext":{"privileged":true}}],
        "ephemeralContainers":[{"name":"e","image":"busybox","command":["sh"],"securityContext":{"runAsUser":0}}],
        "containers":[
          {"name":"a","image":"localhost:5000/a:1@sha256:12","ports":[{"containerPort":80,"hostPort":8080},{"containerPort":81}],
           "securityContext":{"privileged":true,"allowPrivilegeEscalation":true,"readOnlyRootFilesystem":false,"procMount":"Unmasked",
             "runAsUser":0,"runAsGroup":0,"capabilities":{"add":["SYS_ADMIN","NET_RAW"]}}},
          {"name":"b","image":"localhost:5000/b","args":["-v"],"ports":[{}],"securityContext":{"privileged":false,"runAsUser":null}}]}}}"#;
    check(
        "pod_created",
        two,
        &[
            ("ka.target.pod.name", "web-xyz"),
            ("ka.req.pod.host_ipc", "true"),
            ("ka.req.pod.host_pid", "true"),
            ("ka.req.pod.host_network", "true"),
            ("ka.req.container.host_network", "true"),
            ("ka.req.pod.run_as_user", "1000"),
            ("ka.req.pod.run_as_group", "100"),
            ("ka.req.pod.fs_group", "5"),
            ("ka.req.pod.supplemental_groups", "(1,2)"),
            ("ka.req.pod.supplemental_groups[1]", "(2)"),
            ("ka.req.pod.containers.image", "(localhost:5000/a:1@sha256:12,localhost:5000/b)"),
            ("ka.req.pod.containers.image[1]", "(localhost:5000/b)"),
            ("ka.req.pod.containers.image[2]", ABSENT),
            ("ka.req.pod.containers.image.repository", "(localhost:5000/a,localhost:5000/b)"),
            ("ka.req.container.image[1]", "localhost:5000/b"),
            ("ka.req.pod.containers.privileged", "(true,false)"),
            ("ka.req.container.privileged", "true"),
            ("ka.req.pod.containers.allow_privilege_escalation", "(true)"),
            ("ka.req.pod.containers.read_only_fs", "(false)"),
            ("ka.req.pod.containers.proc_mount", "(Unmasked)"),
            ("ka.req.pod.containers.run_as_user", "(0)"),
            ("ka.req.pod.containers.run_as_group", "(0)"),
            ("ka.req.pod.containers.eff_run_as_user", "(0,1000)"),
            ("ka.req.pod.containers.eff_run_as_user[1]", "(1000)"),
            ("ka.req.pod.containers.eff_run_as_group", "(0,100)"),
            ("ka.req.pod.containers.add_capabilities", "(SYS_ADMIN,NET_RAW)"),
            ("ka.req.pod.containers.host_port", "(8080,81)"),
            ("ka.req.pod.containers.args", "(-v)"),
            ("ka.req.pod.initContainers.image", "(init@sha256:ab)"),
            ("ka.req.pod.initContainers.image.repository", "(init)"),
            ("ka.req.pod.initContainers.privileged", "(true)"),
            ("ka.req.pod.initContainers.args", "(x)"),
            ("ka.req.pod.ephemeralContainers.image", "(busybox)"),
            ("ka.req.pod.ephemeralContainers.command", "(sh)"),
            ("ka.req.pod.ephemeralContainers.eff_run_as_user", "(0)"),
            ("ka.req.pod.volumes.hostpath", "(/etc)"),
            ("ka.req.pod.volumes.flexvolume_driver", "(x/y)"),
            ("ka.req.pod.volumes.volume_type", "(hostPath,flexVolume,emptyDir)"),
            ("ka.req.volume.hostpath[/etc]", "true"),
            ("ka.req.volume.hostpath[/e*]", "true"),
            ("ka.req.volume.hostpath[/e]", "false"),
        ],
    );
    // What is not what it should be is absent, and nothing panics.
    let odd = r#"{"requestObject":{"spec":{"containers":[1,null,{"image":{}},{"ports":3,"securityContext":[]}],"volumes":{"a":1}}}}"#;
    check(
        "pod_created",
        odd,
        &[
            ("ka.req.pod.containers.image", "({})"),
            ("ka.req.pod.containers.image.repository", "()"),
            ("ka.req.pod.containers.host_port", "()"),
            ("ka.req.pod.containers.eff_run_as_user", "(0,0,0,0)"),
            ("ka.req.pod.volumes.hostpath", ABSENT),
        ],
    );
}

#[test]
fn of_other_objects() {
    check(
        "configmap_created",
        r#"{"requestObject":{"data":{"a":"b"}}}"#,
        &[("ka.req.configmap.name", "creds"), ("ka.target.pod.name", ABSENT)],
    );
    check(
        "service_created",
        r#"{"requestObject":{"spec":{"type":"NodePort","ports":[{"port":80}]}}}"#,
        &[("ka.req.service.type", "NodePort"), ("ka.req.service.ports", r#"({"port":80})"#)],
    );
    let binding = r#"{"requestObject":{"roleRef":{"name":"cluster-admin"},"subjects":[{"kind":"User","name":"eve"},
        {"kind":"Group","name":"ops"},{"kind":"ServiceAccount","name":"bot","namespace":"ci"}]}}"#;
    check(
        "service_account_created",
        binding,
        &[
            ("ka.req.binding.role", "cluster-admin"),
            ("ka.req.binding.subjects[0]", r#"({"kind":"User","name":"eve"})"#),
            ("ka.req.binding.subjects.user_names", "(eve)"),
            ("ka.req.binding.subjects.user_names[1]", "()"),
            ("ka.req.binding.subjects.group_names", "(ops)"),
            ("ka.req.binding.subjects.serviceaccount_names", "(bot)"),
            ("ka.req.binding.subjects.serviceaccount_ns_names", "(ci:bot)"),
            ("ka.req.binding.subject.has_name[x]", "true"),
        ],
    );
    let role = r#"{"requestObject":{"rules":[{"apiGroups":[""],"resources":["pods","pods/exec"],"verbs":["*"]},
        {"nonResourceURLs":["/metrics"],"verbs":["get"]}]}}"#;
    check(
        "service_account_created",
        role,
        &[
            ("ka.req.role.rules[1]", r#"({"nonResourceURLs":["/metrics"],"verbs":["get"]})"#),
            ("ka.req.role.rules.apiGroups", "()"),
            ("ka.req.role.rules.resources", "(pods,pods/exec)"),
            ("ka.req.role.rules.resources[0]", "(pods,pods/exec)"),
            ("ka.req.role.rules.verbs", "(*,get)"),
            ("ka.req.role.rules.nonResourceURLs", "(/metrics)"),
        ],
    );
}

/// A field of the table that no event yields would be one that nobody looked at.
#[test]
fn every_field_of_the_source_is_extracted() {
    let patch = r#"{"impersonatedUser":{"username":"x"},"responseStatus":{"reason":"x"},"requestObject":{"data":{},"subjects":[],"rules":[],
        "roleRef":{"name":"x"},"spec":{"type":"x","ports":[],"hostPID":true,"hostIPC":true,"hostNetwork":true,"volumes":[],"initContainers":[],
        "ephemeralContainers":[],"securityContext":{"runAsUser":1,"runAsGroup":1,"fsGroup":1,"supplementalGroups":[]}}},
        "objectRef":{"subresource":"x"},"annotations":{"authentication.openshift.io/decision":"x","authentication.openshift.io/username":"x",
        "pod-security.kubernetes.io/audit-violations":"x","validation.policy.admission.k8s.io/validation_failure":"x"}}"#;
    let event = event("pod_created", patch);
    let view = AuditView { event: &event, number: 1, first_ns: 0, hostname: "h", cluster: "c" };
    for def in scheme().of_source(Source::K8sAudit) {
        let arg = match def.name {
            "jevt.value" => Some("/stage"),
            "ka.uri.param" => Some("fieldManager"),
            "ka.req.binding.subject.has_name" | "ka.req.volume.hostpath" => Some("x"),
            _ => None,
        };
        let field = scheme().resolve(Source::K8sAudit, def.name, arg).unwrap();
        assert!(view.get(&field).is_some(), "{}", def.name);
    }
}
