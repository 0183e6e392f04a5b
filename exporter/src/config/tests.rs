use super::*;
use crate::{
    backoff::Pace,
    delivery::{Feed, Filter},
    kubernetes::ServerUrl,
    rules::Selector,
    secret::Secret,
    sinks::{
        alertmanager, file,
        http::{Authorization, Target},
        loki, remote_write,
        tenant_ids::TenantIds,
        webhook::{self, Form},
    },
    web::Access,
};

fn env(name: &str) -> Option<String> {
    (name == "NODE_NAME").then(|| "node-7".to_owned())
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse("yagura.yaml", text, &env)
}

#[test]
fn an_empty_file_is_the_default() {
    for text in ["", "# nothing\n", "---\n", "{}\n"] {
        assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
    }
}

#[test]
fn every_key_is_read() {
    let config = parse(
        "rules_files: [/etc/yagura/rules.d, \"/opt/$${x}\"]
rules:
  - disable: {tag: network}
  - enable: {rule: Read *}
rule_matching: all
priority: warning
watch_config_files: false
json_output: false
json_include_output_property: false
json_include_message_property: true
json_include_output_fields_property: false
json_include_tags_property: false
time_format_iso_8601: true
log_level: notice
log_format: json
listen: \"[::1]:1\"
web:
  tls: {certificate: /c.pem, key: /k.pem, client_ca: /ca.pem}
  tokens: [{file: /t}, {env: YAGURA_AUDIT_TOKEN, scope: audit}, {file: /s, tenant: platform}]
k8s_audit: {enabled: false, max_body_size: 1MiB, queue_events: 100, queue_size: 2MiB, remembered_events: 1000}
kubernetes: {enabled: true, api_server: \"https://k:6443\", ca_file: /ca, token_file: /token, delete_delay: 2m}
journal: {enabled: false, path: /j.db, max_size: 2MiB, max_age: 1h}
resolve_names: false
hostname: h
node: ${NODE_NAME}
cluster: c
queue_size: 64
drain_timeout: 2m
kernel:
  ring_size: 16MiB
  push_down: false
process_table:
  max_processes: 4096
  max_env_bytes: 2KiB
rate_limit:
  rate: 0.5
  burst: 3
  window: 90
container_engines:
  root: /host
  wait: 250ms
  cri: {sockets: [/run/x.sock]}
  docker: {enabled: false, sockets: [/run/y.sock]}
  podman: {enabled: true}
",
    );
    let expected = Config {
        rules_files: vec!["/etc/yagura/rules.d".into(), "/opt/${x}".into()],
        rules: vec![
            Selection { enable: false, by: Selector::Tag("network".into()) },
            Selection { enable: true, by: Selector::Rule("Read *".into()) },
        ],
        rule_matching: RuleMatching::All,
        priority: Priority::Warning,
        watch_config_files: false,
        output: OutputConfig {
            format: Format::Text,
            include_output: false,
            include_message: true,
            include_output_fields: false,
            include_tags: false,
            time_iso8601: true,
        },
        log: LogConfig { level: "info".into(), format: Format::Json },
        listen: "[::1]:1".parse().unwrap(),
        web: WebConfig {
            tls: Some(TlsConfig {
                certificate: "/c.pem".into(),
                key: "/k.pem".into(),
                client_ca: Some("/ca.pem".into()),
            }),
            tokens: vec![
                TokenConfig { secret: Secret::File("/t".into()), access: Access::All },
                TokenConfig {
                    secret: Secret::Environment("YAGURA_AUDIT_TOKEN".into()),
                    access: Access::Audit,
                },
                TokenConfig { secret: Secret::File("/s".into()), access: Access::Tenant("platform".into()) },
            ],
        },
        audit: AuditConfig {
            enabled: false,
            max_body: 1 << 20,
            queue_events: 100,
            queue_bytes: 2 << 20,
            remembered: 1000,
        },
        kubernetes: Settings {
            enabled: Some(true),
            api_server: Some(ServerUrl::parse("https://k:6443").unwrap()),
            ca_file: Some("/ca".into()),
            token_file: Some("/token".into()),
            delete_delay: Duration::from_secs(120),
            ..Settings::default()
        },
        journal: crate::journal::Settings {
            enabled: false,
            path: "/j.db".into(),
            max_size: 2 << 20,
            max_age: Duration::from_secs(3600),
            ..crate::journal::Settings::default()
        },
        sinks: Vec::new(),
        resolve_names: false,
        hostname: Some("h".into()),
        node: Some("node-7".into()),
        cluster: "c".into(),
        ring_size: 16 << 20,
        push_down: false,
        max_processes: 4096,
        max_env_bytes: 2048,
        rate_limit: RateLimit { rate: 0.5, burst: 3, window: Duration::from_secs(90) },
        queue_size: 64,
        drain_timeout: Duration::from_secs(120),
        tenants: Vec::new(),
        containers: containers::Options {
            root: "/host".into(),
            patience: Duration::from_millis(250),
            cri: vec!["/run/x.sock".into()],
            docker: Vec::new(),
            ..containers::Options::default()
        },
    };
    assert_eq!(config, Ok(expected));
}

#[test]
fn a_sink_is_read() {
    let config = parse(
        "sinks:
- name: sidekick
  type: webhook
  url: https://sidekick:2801/in
  format: lines
  headers: [{name: X-Org, value: shop}, {name: X-Key, file: /key}]
  bearer_token: {env: YAGURA_TOKEN}
  tls: {ca: /ca, certificate: /c, key: /k}
  timeout: 3s
  tenants: [shop-*]
  minimum_priority: error
  rules: [Shell *]
  tags: [container]
  batch: {max_entries: 7, max_size: 2KiB, max_wait: 2s}
  retry: {first: 100ms, longest: 5m}
- {name: plain, type: webhook, url: \"http://127.0.0.1:1/\"}
",
    )
    .unwrap();
    let pattern = |text| vec![crate::tenants::Pattern::new(text)];
    let [sidekick, plain] = &*config.sinks else { panic!("{:?}", config.sinks) };
    assert_eq!(sidekick.name, "sidekick");
    assert_eq!(
        sidekick.feed,
        Feed {
            filter: Filter {
                tenants: pattern("shop-*"),
                minimum_priority: Priority::Error,
                rules: pattern("Shell *"),
                tags: pattern("container"),
            },
            pace: Pace { first: Duration::from_millis(100), longest: Duration::from_secs(300) },
            batch: 7,
            batch_bytes: 2048,
            max_wait: Duration::from_secs(2),
        }
    );
    let target = Target {
        url: "https://sidekick:2801/in".parse().unwrap(),
        headers: vec![
            ("X-Org".into(), Secret::Literal("shop".into())),
            ("X-Key".into(), Secret::File("/key".into())),
        ],
        authorization: Some(Authorization::Bearer(Secret::Environment("YAGURA_TOKEN".into()))),
        ca: Some("/ca".into()),
        identity: Some(("/c".into(), "/k".into())),
        timeout: Duration::from_secs(3),
    };
    let settings = webhook::Settings { target, form: Form::Lines };
    assert_eq!(sidekick.kind, SinkKind::Webhook(settings));
    assert_eq!(plain.feed, Feed::default());
}

#[test]
fn a_loki_is_read() {
    let loki = |more: &str| {
        let config = parse(&format!("sinks: [{{name: l, type: loki, {more}}}]")).unwrap();
        let SinkConfig { kind: SinkKind::Loki(settings), feed, .. } = config.sinks[0].clone() else {
            panic!("{config:?}")
        };
        (settings, feed)
    };
    for (more, url) in [
        ("url: 'http://l:3100'", "http://l:3100/loki/api/v1/push"),
        ("url: 'http://l:3100/'", "http://l:3100/loki/api/v1/push"),
        ("url: 'http://l/tenants/push?x=1'", "http://l/tenants/push?x=1"),
        ("url: 'http://l:9428', dialect: victorialogs", "http://l:9428/insert/loki/api/v1/push"),
        ("url: 'http://l/insert/loki/api/v1/push'", "http://l/insert/loki/api/v1/push"),
    ] {
        let (settings, feed) = loki(more);
        assert_eq!(settings.target.url.as_str(), url, "{more}");
        assert_eq!((settings.limits, settings.ids), (loki::Limits::default(), TenantIds::default()));
        assert_eq!(feed, Feed { max_wait: Duration::from_secs(1), ..Feed::default() });
    }
    let (settings, feed) = loki(
        "url: 'http://l/', tenant_id: 't-{tenant}', tenant_ids: [{tenant: platform, id: ops}], \
         limits: {max_line_size: 1MiB, reject_old_samples_max_age: 1d, creation_grace_period: 10m}, \
         batch: {max_wait: 0}",
    );
    assert_eq!(settings.ids.of("shop").as_deref(), Some("t-shop"));
    assert_eq!(settings.ids.of("platform").as_deref(), Some("ops"));
    let limits = loki::Limits {
        max_line_size: 1 << 20,
        reject_old_samples_max_age: Duration::from_secs(86400),
        creation_grace_period: Duration::from_secs(600),
    };
    assert_eq!((settings.dialect, settings.limits), (loki::Dialect::Loki, limits));
    assert_eq!(feed, Feed::default());
}

#[test]
fn an_otlp_is_read() {
    let otlp = |more: &str| {
        let config = parse(&format!("sinks: [{{name: o, type: otlp, url: 'http://o:4318'{more}}}]")).unwrap();
        let SinkConfig { kind: SinkKind::Otlp(settings), .. } = config.sinks[0].clone() else {
            panic!("{config:?}")
        };
        settings
    };
    let plain = otlp("");
    assert_eq!((plain.gzip, &plain.tenant_header, plain.metrics), (false, &None, None));
    assert_eq!((plain.sample_ratio, otlp(", traces: {}").sample_ratio), (None, Some(0.1)));
    assert_eq!(otlp(", traces: {sample_ratio: 1}").sample_ratio, Some(1.0));
    let settings = otlp(
        ", compression: gzip, tenant_header: X-Scope-OrgID, tenant_id: 't-{tenant}', metrics: {interval: 30s}",
    );
    let (header, ids) = settings.tenant_header.unwrap();
    assert_eq!((header.as_str(), ids.of("shop").as_deref()), ("x-scope-orgid", Some("t-shop")));
    assert_eq!((settings.gzip, settings.metrics), (true, Some(Duration::from_secs(30))));
    assert_eq!(otlp(", metrics: {}").metrics, Some(Duration::from_secs(60)));
}

#[test]
fn remote_write_is_read() {
    let text = "journal: {enabled: false}\ntenants: [{name: shop, match: {nodes: [a]}}]\nsinks:\n- name: m\n  type: remote_write\n  \
                url: http://v:8480/insert/{tenant_id}/prometheus/api/v1/write\n  version: 2\n  interval: 30s\n  \
                tenant_ids: [{tenant: shop, id: \"3:0\"}]\n  tenant_id: \"7\"\n  tenants: [s*, platform]\n  \
                external_labels: [{name: zone, value: a}]\n  spool: {max_size: 1MiB, max_age: 1h}\n  \
                retry: {first: 1s, longest: 2s}\n";
    let config = parse(text).unwrap();
    let [SinkConfig { name, feed, kind: SinkKind::RemoteWrite(settings) }] = &config.sinks[..] else {
        panic!("{:?}", config.sinks)
    };
    assert_eq!((name.as_str(), feed.pace.longest), ("m", Duration::from_secs(2)));
    assert!(feed.filter.wants_tenant("shop") && !feed.filter.wants_tenant("ml"));
    let named = [("shop".to_owned(), "3:0".to_owned())].into();
    let expected = remote_write::Settings {
        target: Target {
            timeout: Duration::from_secs(10),
            ..Target::to("http://v:8480/insert/%7Btenant_id%7D/prometheus/api/v1/write".parse().unwrap())
        },
        version: remote_write::Version::Two,
        interval: Duration::from_secs(30),
        tenancy: remote_write::Tenancy::Path(TenantIds { named, otherwise: Some("7".into()) }),
        external_labels: [("zone".to_owned(), "a".to_owned())].into(),
        bounds: remote_write::Bounds { max_size: 1 << 20, max_age: Duration::from_secs(3600) },
    };
    assert_eq!(settings, &expected);
    let plain = parse("sinks: [{name: m, type: remote_write, url: 'http://p:9090/api/v1/write'}]").unwrap();
    let SinkKind::RemoteWrite(settings) = &plain.sinks[0].kind else { panic!("{:?}", plain.sinks) };
    assert_eq!(
        (settings.version, &settings.tenancy),
        (remote_write::Version::One, &remote_write::Tenancy::Plain)
    );
    assert_eq!(
        (settings.interval, settings.bounds),
        (Duration::from_secs(15), remote_write::Bounds::default())
    );
}

#[test]
fn a_file_sink_is_read() {
    let settings = |text: &str| match parse(&format!("sinks: [{{name: a, type: file, path: {text}}}]")) {
        Ok(config) => match config.sinks.into_iter().next().map(|sink| sink.kind) {
            Some(SinkKind::File(settings)) => settings,
            other => panic!("{other:?}"),
        },
        Err(error) => panic!("{error}"),
    };
    let expected = |path: &str, format, rotate| file::Settings { path: path.into(), format, rotate };
    let rotate = |max_size, keep| Some(file::Rotate { max_size, keep });
    assert_eq!(settings("/l"), expected("/l", Format::Json, None));
    assert_eq!(
        settings("'/l/{tenant}', format: text, rotate: {}"),
        expected("/l/{tenant}", Format::Text, rotate(100 << 20, 5))
    );
    assert_eq!(
        settings("/l, rotate: {max_size: 1MiB, keep: 9}"),
        expected("/l", Format::Json, rotate(1 << 20, 9))
    );
}

#[test]
fn an_alertmanager_sink_is_read() {
    let config = parse(
        "sinks:
- {name: plain, type: alertmanager, url: 'http://a:9093/prefix'}
- name: full
  type: alertmanager
  urls: ['https://a/', 'https://b/']
  basic_auth: {username: u, password: {file: /p}}
  tls: {ca: /ca}
  refresh: 30s
  resolve_after: 10m
  max_alerts: 50
  dashboard_url: https://g/{tenant}
  runbook_url: https://r/{rule}
  generator_url: https://y/
",
    )
    .unwrap();
    let [plain, full] = &*config.sinks else { panic!("{:?}", config.sinks) };
    let template = |text| Some(alertmanager::Template::parse(text).unwrap());
    let target = |url: &str| Target {
        authorization: Some(Authorization::Basic {
            username: "u".into(),
            password: Secret::File("/p".into()),
        }),
        ca: Some("/ca".into()),
        timeout: Duration::from_secs(10),
        ..Target::to(url.parse().unwrap())
    };
    let expected = alertmanager::Settings {
        targets: vec![target("https://a/"), target("https://b/")],
        refresh: Duration::from_secs(30),
        resolve_after: Duration::from_secs(600),
        max_alerts: 50,
        links: alertmanager::Links {
            dashboard_url: template("https://g/{tenant}"),
            runbook_url: template("https://r/{rule}"),
            generator_url: template("https://y/"),
        },
    };
    assert_eq!(full.kind, SinkKind::Alertmanager(expected));
    let url = "http://a:9093/prefix".parse().unwrap();
    let expected = alertmanager::Settings {
        targets: vec![Target { timeout: Duration::from_secs(10), ..Target::to(url) }],
        refresh: Duration::from_secs(60),
        resolve_after: Duration::from_secs(300),
        max_alerts: 1000,
        links: alertmanager::Links::default(),
    };
    assert_eq!(plain.kind, SinkKind::Alertmanager(expected));
}

#[test]
fn errors_say_where_and_what() {
    for (text, expected) in [
        ("rule_file: []", "1:1: unknown key 'rule_file', did you mean 'rules_files'?"),
        ("zzz: 1", "1:1: unknown key 'zzz'"),
        ("- a", "1:1: the configuration must be a mapping, not a list"),
        ("just text", "1:1: the configuration must be a mapping, not 'just text'"),
        ("1: x", "1:1: a key must be a word, not '1'"),
        ("rule_matching: some", "1:16: 'some' is not one of: first, all"),
        ("rules_files: /etc", "1:14: rules_files must be a list, not '/etc'"),
        ("rules_files:\n  - [a]", "2:5: rules_files must hold text, not a list"),
        ("json_output: 1", "1:14: json_output must be true or false, not '1'"),
        ("process_table: {max_env_bytes: 8193}", "1:32: 8193 is more than 8192"),
        ("json_output:", "1:12: json_output must be true or false, not nothing"),
        (
            "listen: 0.0.0.0:9752",
            "1:9: anybody who reaches 0.0.0.0:9752 could read the metrics of every tenant and post audit events: set web.tokens or web.tls.client_ca",
        ),
        (
            "listen: '[::]:1'\nweb: {tls: {certificate: a, key: b}}",
            "1:9: anybody who reaches [::]:1 could read the metrics of every tenant and post audit events: set web.tokens or web.tls.client_ca",
        ),
        (
            "listen: 0.0.0.0:1\nk8s_audit: {enabled: false}",
            "1:9: anybody who reaches 0.0.0.0:1 could read the metrics of every tenant and post audit events: set web.tokens or web.tls.client_ca",
        ),
        ("web: {tls: {key: k}}", "1:18: web.tls needs both certificate and key"),
        ("web: {tokens: [{}]}", "1:16: an entry of tokens must have either file or env"),
        ("web: {tokens: [{file: f, scope: some}]}", "1:33: 'some' is not one of: all, read, audit"),
        ("web: {tokens: [{file: f, tenant: shop}]}", "1:34: there is no tenant 'shop'"),
        (
            "tenants: [{name: shop, match: {nodes: [a]}}]\nweb: {tokens: [{file: f, tenant: shap}]}",
            "2:34: there is no tenant 'shap', did you mean 'shop'?",
        ),
        (
            "web: {tokens: [{file: f, tenant: platform, scope: read}]}",
            "1:51: a tenant's token has no scope: it reads what is the tenant's",
        ),
        ("web: {tokens: [{env: TOKEN}]}", "1:22: 'TOKEN' does not begin with YAGURA_"),
        ("k8s_audit: {max_body_size: 1}", "1:28: 1 is not between 64KiB and 256MiB"),
        ("k8s_audit: {queue_events: 1}", "1:27: 1 is not between 16 and 1000000"),
        ("listen: localhost", "1:9: 'localhost' is not an address like 127.0.0.1:9752"),
        ("rules: all", "1:8: rules must be a list, not 'all'"),
        ("rules: [all]", "1:9: an entry of rules must be a mapping, not 'all'"),
        ("rules: [{}]", "1:9: an entry of rules must have either enable or disable"),
        ("rules: [{enable: {}}]", "1:9: an entry of rules must name either a rule or a tag"),
        (
            "rules:\n- enabel: {rule: x}",
            "2:3: an entry of rules must have either enable or disable\nyagura.yaml:2:3: unknown key 'enabel', did you mean 'enable'?",
        ),
        (
            "rules:\n- enable: {rul: x}",
            "2:3: an entry of rules must name either a rule or a tag\nyagura.yaml:2:12: unknown key 'rul', did you mean 'rule'?",
        ),
        ("kernel: 3", "1:9: kernel must be a mapping, not '3'"),
        ("kernel:\n  rings: 3", "2:3: unknown key 'rings'"),
        ("kernel:\n  ring_sise: 3", "2:3: unknown key 'ring_sise', did you mean 'ring_size'?"),
        ("kernel:\n  ring_size: 3MiB", "2:14: 3145728 is not a power of two between 256KiB and 1GiB"),
        ("kernel:\n  ring_size: 3MB", "2:14: ring_size must be a size like 8MiB, not '3MB'"),
        (
            "kernel:\n  ring_size: 99999999999GiB",
            "2:14: ring_size must be a size like 8MiB, not '99999999999GiB'",
        ),
        ("queue_size: 1", "1:13: 1 is not between 16 and 1000000"),
        ("queue_size: -1", "1:13: queue_size must be a number of 0 or more, not '-1'"),
        ("rate_limit: {rate: -1}", "1:20: -1 is not between 0 and 1000000"),
        ("rate_limit: {rate: .inf}", "1:20: inf is not between 0 and 1000000"),
        ("rate_limit: {window: 0}", "1:22: 0s is not between 1s and 86400s"),
        ("drain_timeout: soon", "1:16: drain_timeout must be a time like 30s, not 'soon'"),
        ("container_engines: {wait: 6s}", "1:27: 6s is more than 5s"),
        ("container_engines: {root: host}", "1:27: 'host' is not an absolute path"),
        ("container_engines: {lxc: {}}", "1:21: unknown key 'lxc'"),
        ("tenants: [{match: {namespaces: [a]}}]", "1:11: a tenant must have a name"),
        (
            "tenants: [{name: Shop, match: {namespaces: [a]}}]",
            "1:18: 'Shop' is no name of a tenant: lower-case letters, digits and '-', at most 63",
        ),
        (
            "tenants: [{name: platform, match: {namespaces: [a]}}]",
            "1:18: 'platform' owns what no tenant does; it needs no entry",
        ),
        (
            "tenants: [{name: a, match: {images: [a]}}, {name: a, match: {images: [b]}}]",
            "1:51: another tenant is called 'a'",
        ),
        (
            "tenants: [{name: a}]",
            "1:11: a tenant must match something: namespaces, labels, annotations, namespace_labels, images, nodes or node_labels",
        ),
        (
            "tenants: [{name: a, match: {labels: [=x]}}]",
            "1:11: a tenant must match something: namespaces, labels, annotations, namespace_labels, images, nodes or node_labels\nyagura.yaml:1:38: '=x' is not NAME=PATTERN or NAME",
        ),
        (
            "tenants: [{name: a, match: {nodes: [a]}, priorities: [{rule: x}]}]",
            "1:55: an entry of priorities must have a rule and a priority",
        ),
        (
            "tenants: [{name: a, match: {nodes: [a]}, exceptions: [{rule: x}]}]",
            "1:55: an entry of exceptions must have a rule and a condition",
        ),
        (
            "tenants: [{name: a, match: {nodes: [a]}, quota: {detections_per_second: -1}}]",
            "1:73: -1 is not between 0 and 1000000",
        ),
        (
            "sinks: [{}]",
            "1:9: a sink must have a name\nyagura.yaml:1:9: a sink must have a type: webhook, loki, remote_write, otlp, file, alertmanager",
        ),
        (
            "sinks: [{name: a b, type: webhook, url: 'http://x/'}]",
            "1:16: 'a b' is no name: letters, digits, '-', '_', '.', at most 64",
        ),
        (
            "sinks: [{name: a, type: webhook, url: 'http://x/'}, {name: a, type: webhook, url: 'http://x/'}]",
            "1:60: a second sink named 'a'",
        ),
        (
            "sinks: [{name: stdout, type: webhook, url: 'http://x/'}]",
            "1:16: 'stdout' is the name of a sink that there always is",
        ),
        (
            "sinks: [{name: a, type: kafka, url: 'http://x/'}]",
            "1:25: 'kafka' is not one of: webhook, loki, remote_write, otlp, file, alertmanager",
        ),
        ("sinks: [{name: a, type: webhook, url: x}]", "1:39: no URL: relative URL without a base"),
        ("sinks: [{name: a, type: webhook, url: 'ftp://x/'}]", "1:39: a url begins with https:// or http://"),
        (
            "sinks: [{name: a, type: webhook, url: 'http://u:p@x/'}]",
            "1:39: a url must have no user and no password: use headers",
        ),
        ("sinks: [{name: a, type: webhook}]", "1:9: this sink must have a url"),
        (
            "sinks: [{name: a, type: webhook, url: 'http://x/', bearer_token: {file: f}, basic_auth: {username: u, password: {file: f}}}]",
            "1:89: either bearer_token or basic_auth",
        ),
        (
            "sinks: [{name: a, type: webhook, url: 'http://x/', basic_auth: {username: u}}]",
            "1:64: basic_auth must have a username and a password",
        ),
        (
            "sinks: [{name: a, type: webhook, url: 'http://x/', headers: [{name: X}]}]",
            "1:62: expected exactly one of value (of a header), file and env",
        ),
        (
            "sinks: [{name: a, type: webhook, url: 'http://x/', bearer_token: {env: TOKEN}}]",
            "1:72: 'TOKEN' does not begin with YAGURA_",
        ),
        (
            "sinks: [{name: a, type: webhook, url: 'http://x/', tls: {key: k}}]",
            "1:63: tls needs both certificate and key",
        ),
        (
            "sinks: [{name: a, type: webhook, url: 'http://x/', retry: {first: 2s, longest: 1s}}]",
            "1:80: the longest wait is not between the first one and 1h",
        ),
        ("sinks: [{name: a, type: file}]", "1:9: this sink must have a path"),
        ("sinks: [{name: a, type: file, path: log}]", "1:37: 'log' is not the absolute path of a file"),
        ("sinks: [{name: a, type: file, path: /a/}]", "1:37: '/a/' is not the absolute path of a file"),
        ("sinks: [{name: a, type: file, path: /a/../b}]", "1:37: '/a/../b' has '..' in it"),
        (
            "sinks: [{name: a, type: file, path: '/a/{rule}'}]",
            "1:37: '/a/{rule}': only {tenant} can stand in braces",
        ),
        ("sinks: [{name: a, type: file, path: /a, format: xml}]", "1:49: 'xml' is not one of: json, text"),
        ("sinks: [{name: a, type: file, path: /a, url: 'http://x/'}]", "1:41: unknown key 'url'"),
        (
            "sinks: [{name: a, type: file, path: /a, rotate: {max_size: 1}}]",
            "1:60: 1 is not between 4KiB and 1024GiB",
        ),
        ("sinks: [{name: a, type: file, path: /a, rotate: {keep: 0}}]", "1:56: 0 is not between 1 and 1000"),
        (
            "sinks: [{name: a, type: file, path: /a}, {name: b, type: file, path: /a}]",
            "1:70: a second sink with the path '/a'",
        ),
        ("sinks: [{name: a, type: alertmanager}]", "1:9: this sink must have either url or urls"),
        ("sinks: [{name: a, type: alertmanager, urls: []}]", "1:9: this sink must have either url or urls"),
        (
            "sinks: [{name: a, type: alertmanager, url: 'http://x/', urls: ['http://y/']}]",
            "1:9: this sink must have either url or urls",
        ),
        (
            "sinks: [{name: a, type: alertmanager, urls: ['http://x/', 'http://x']}]",
            "1:59: the same url again",
        ),
        (
            "sinks: [{name: a, type: alertmanager, urls: ['http://x/', y]}]",
            "1:59: no URL: relative URL without a base",
        ),
        (
            "sinks: [{name: a, type: alertmanager, url: 'http://x/?a=b'}]",
            "1:44: the url of an Alertmanager has no query and no fragment",
        ),
        (
            "sinks: [{name: a, type: alertmanager, url: 'http://x/api/v2/alerts'}]",
            "1:44: the url of an Alertmanager is without /api/v2/alerts",
        ),
        (
            "sinks: [{name: a, type: alertmanager, url: 'http://x/', refresh: 100ms}]",
            "1:66: 0.1s is not between 1s and 3600s",
        ),
        (
            "sinks: [{name: a, type: alertmanager, url: 'http://x/', resolve_after: 8d}]",
            "1:72: 691200s is not between 1s and 604800s",
        ),
        (
            "sinks: [{name: a, type: alertmanager, url: 'http://x/', max_alerts: 0}]",
            "1:69: 0 is not between 1 and 10000",
        ),
        (
            "sinks: [{name: a, type: alertmanager, url: 'http://x/', runbook_url: 'https://r/{pod}'}]",
            "1:70: '{pod}' is not one of: rule, tenant, namespace, cluster, severity, uuid",
        ),
        (
            "sinks: [{name: a, type: webhook, url: 'http://x/', batch: {max_wait: 2m}}]",
            "1:70: max_wait is not between 0 and 60s",
        ),
        (
            "sinks: [{name: a, type: loki, url: 'http://x/', tenant_id: 'a|b'}]",
            "1:60: 'a|b' is no name of an organisation: letters, digits and !-_.*'(), at most 150",
        ),
        (
            "sinks: [{name: a, type: loki, url: 'http://x/', tenant_ids: [{tenant: t, id: ../x}]}]",
            "1:78: '../x' is no name of an organisation: letters, digits and !-_.*'(), at most 150",
        ),
        (
            "sinks: [{name: a, type: loki, dialect: victorialogs, url: 'http://x/', tenant_id: '{tenant}'}]",
            "1:83: '{tenant}' is not ACCOUNT or ACCOUNT:PROJECT, each a number below 2^32",
        ),
        (
            "sinks: [{name: a, type: loki, dialect: elastic, url: 'http://x/'}]",
            "1:40: 'elastic' is not one of: loki, victorialogs",
        ),
        (
            "sinks: [{name: a, type: loki, url: 'http://x/', headers: [{name: X-Scope-OrgID, value: t}]}]",
            "1:9: the header X-Scope-OrgID is made from tenant_id and tenant_ids",
        ),
        (
            "sinks: [{name: a, type: loki, url: 'http://x/', limits: {max_line_sizes: 1}}]",
            "1:58: unknown key 'max_line_sizes', did you mean 'max_line_size'?",
        ),
        (
            "sinks: [{name: a, type: loki, url: 'http://x/', limits: {creation_grace_period: 4000d}}]",
            "1:81: creation_grace_period is more than ten years",
        ),
        (
            "sinks: [{name: a, type: otlp, url: 'http://x/', compression: zstd, metrics: {interval: 0}}]",
            "1:62: 'zstd' is not one of: none, gzip\nyagura.yaml:1:88: 0s is not between 1s and 3600s",
        ),
        (
            "sinks: [{name: a, type: otlp, url: 'http://x/', traces: {sample_ratio: 2}}, {name: b, type: otlp, url: 'http://x/', traces: {}}]",
            "1:72: 2 is not between 0 and 1\nyagura.yaml:1:125: traces go to one sink",
        ),
        (
            "sinks: [{name: a, type: otlp, url: 'http://x/', tenant_header: 'a b', tenant_id: t}]",
            "1:9: tenant_ids are for a tenant_header\nyagura.yaml:1:64: 'a b' is no header: invalid HTTP header name",
        ),
        (
            "sinks: [{name: a, type: otlp, url: 'http://x/', tenant_header: X-T}]",
            "1:9: tenant_header needs tenant_id or tenant_ids",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/', version: 3, interval: 0}]",
            "1:66: 3 is not one of: 1, 2\nyagura.yaml:1:79: 0s is not between 1s and 3600s",
        ),
        ("sinks: [{name: a, type: remote_write, url: 'http://x/', rules: [r]}]", "1:57: unknown key 'rules'"),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/{tenant}/'}]",
            "1:9: in the path of this url, and nowhere else, {tenant_id} may stand",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/?t={tenant_id}'}]",
            "1:9: in the path of this url, and nowhere else, {tenant_id} may stand",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/{tenant_id}/w'}]",
            "1:9: tenant 'platform' has no id at this receiver: see tenant_ids, tenant_id, or leave it out with tenants",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/{tenant_id}/w', tenants: [shop], tenant_ids: [{tenant: shop, id: 3/4}]}]\ntenants: [{name: shop, match: {nodes: [a]}}]",
            "1:9: tenant 'shop' has no id at this receiver: see tenant_ids, tenant_id, or leave it out with tenants\nyagura.yaml:1:119: '3/4' is not ACCOUNT or ACCOUNT:PROJECT, each a number below 2^32",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/', tenancy: labels, tenant_id: '4294967296'}]",
            "1:9: tenant 'platform' has no id at this receiver: see tenant_ids, tenant_id, or leave it out with tenants\nyagura.yaml:1:85: '4294967296' is not ACCOUNT or ACCOUNT:PROJECT, each a number below 2^32",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/', tenancy: labels, tenant_id: 'team-{tenant}'}]",
            "1:9: tenant 'platform' has no id at this receiver: see tenant_ids, tenant_id, or leave it out with tenants\nyagura.yaml:1:85: 'team-0' is not ACCOUNT or ACCOUNT:PROJECT, each a number below 2^32",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/', tenant_id: '3'}]",
            "1:9: tenant_ids are for a url with {tenant_id} in its path, 'tenancy: labels' or a tenant_header",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/{tenant_id}', tenancy: labels, tenant_id: '3'}]",
            "1:9: one of: {tenant_id} in the url, 'tenancy: labels', tenant_header",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/', tenant_header: X-T, tenant_id: 'a|b', headers: [{name: x-t, value: v}]}]",
            "1:9: the header 'x-t' says whose samples they are: it cannot be in headers\nyagura.yaml:1:9: tenant 'platform' has no id at this receiver: see tenant_ids, tenant_id, or leave it out with tenants\nyagura.yaml:1:88: 'a|b' is no name of an organisation: letters, digits and !-_.*'(), at most 150",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/', headers: [{name: Content-Type, value: v}]}]",
            "1:9: remote-write has its own header 'Content-Type'",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/', external_labels: [{name: a-b, value: v}, {name: c}]}]",
            "1:82: 'a-b' is no name of a label\nyagura.yaml:1:98: an external label must have a name and a value",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/', tenancy: labels, tenant_id: '1', external_labels: [{name: vm_account_id, value: '7'}]}]",
            "1:9: with 'tenancy: labels', vm_account_id and vm_project_id are made from tenant_ids",
        ),
        (
            "sinks: [{name: a, type: remote_write, url: 'http://x/', spool: {max_size: 1KiB, max_age: 1s}}]",
            "1:75: 1024 is not between 1MiB and 1TiB\nyagura.yaml:1:90: 1s is not between 60s and 2592000s",
        ),
        (
            "journal: {enabled: false}\nsinks: [{name: a, type: webhook, url: 'http://x/'}]",
            "2:9: sinks are fed from the journal, which is not enabled",
        ),
        ("log_level: loud", "1:12: unknown log level 'loud', expected error, warning, info, debug or trace"),
        ("node: ${NOPE}", "1:7: environment variable 'NOPE' is not set"),
        ("node: ${NOPE", "1:7: '${' without '}'"),
        ("a: 1\na: 2", "2:1: duplicated key in mapping"),
        ("{}\n---\n{}", "3:1: a second YAML document; there must be one"),
    ] {
        let errors = parse(text).expect_err(text);
        assert_eq!(errors.to_string(), format!("yagura.yaml:{expected}"), "{text}");
    }
}

#[test]
fn all_errors_are_reported_in_order() {
    let errors = parse("priority: loud\nqueue_size: 1\nkernel:\n  x: 1\nlisten: [1]\n").unwrap_err();
    let places: Vec<_> = errors.0.iter().map(|e| (e.line, e.column)).collect();
    assert_eq!(places, [(1, 11), (2, 13), (4, 3), (5, 9)], "{errors}");
    assert!(errors.0[0].message.starts_with("unknown priority 'loud', expected one of: emergency, "));
}

#[test]
fn broken_yaml_has_a_place() {
    let errors = parse("a: [1\nb: 2").unwrap_err();
    assert_eq!(errors.0.len(), 1);
    assert!(errors.0[0].line >= 1 && !errors.0[0].message.is_empty(), "{errors}");
}

#[test]
fn exposure_is_fine_where_it_is_guarded() {
    for text in [
        "listen: 127.0.0.1:1",
        "listen: '[::1]:1'",
        "listen: '[::ffff:127.0.0.1]:1'",
        "listen: 0.0.0.0:1\nweb: {tokens: [{env: YAGURA_T}]}",
        "listen: 0.0.0.0:1\nweb: {tls: {certificate: a, key: b, client_ca: c}}",
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_named_file_must_exist() {
    let errors = Config::load(Some(Path::new("/nonexistent/yagura.yaml"))).unwrap_err();
    assert!(errors.to_string().starts_with("/nonexistent/yagura.yaml: cannot read: "), "{errors}");
}

#[test]
fn the_page_lists_every_key_with_its_default() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block =
        page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a YAML block");
    assert_eq!(parse(block), Ok(Config::default()));
    // Keys without a default stand there as comments.
    let block = block.replace("# hostname:", "hostname:").replace("# node:", "node:");
    let mut errors = Errors::new("page");
    let RawConfig {
        rules_files,
        rules: _,
        rule_matching,
        priority,
        watch_config_files,
        json_output,
        json_include_output_property,
        json_include_message_property,
        json_include_output_fields_property,
        json_include_tags_property,
        time_format_iso_8601,
        log_level,
        log_format,
        listen,
        web: _,
        audit,
        kubernetes,
        journal,
        resolve_names,
        hostname,
        node,
        cluster,
        ring_size,
        push_down,
        max_processes,
        max_env_bytes,
        rate,
        burst,
        window,
        queue_size,
        drain_timeout,
        tenants: _,
        journal_shares: _,
        sinks: _,
        sinks_at: _,
        containers_root,
        containers_wait,
        engines,
    } = RawConfig::parse(&block, &env, &mut errors);
    let texts =
        [rule_matching, priority, log_level, log_format, listen, hostname, node, cluster, containers_root];
    let flags = [
        resolve_names,
        push_down,
        watch_config_files,
        json_output,
        json_include_output_property,
        json_include_message_property,
        json_include_output_fields_property,
        json_include_tags_property,
        time_format_iso_8601,
    ];
    let audit_numbers = [audit.max_body, audit.queue_events, audit.queue_bytes, audit.remembered];
    assert!(audit.enabled.is_some() && audit_numbers.iter().all(Option::is_some), "{audit_numbers:?}");
    let numbers = [ring_size, max_processes, max_env_bytes, burst, queue_size];
    let times = [window, drain_timeout, containers_wait];
    assert!(kubernetes.delete_delay.is_some());
    assert!(journal.enabled.is_some() && journal.path.is_some());
    assert!(journal.max_size.is_some() && journal.max_age.is_some());
    assert!(rules_files.is_some() && block.contains("\nrules: "));
    assert!(engines.iter().all(|engine| engine.enabled.is_some() && engine.sockets.is_some()), "{engines:?}");
    assert!(texts.iter().all(Option::is_some), "{texts:?}");
    assert!(flags.iter().all(Option::is_some), "{flags:?}");
    assert!(numbers.iter().all(Option::is_some), "{numbers:?}");
    assert!(times.iter().all(Option::is_some) && rate.is_some(), "{times:?}");
}
