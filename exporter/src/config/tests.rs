use super::*;
use crate::{kubernetes::ServerUrl, rules::Selector, secret::Secret, web::Access};

mod sinks;

fn env(name: &str) -> Option<String> {
    (name == "NODE_NAME").then(|| "node-7".to_owned())
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse("yagura.yaml", text, &env)
}

/// What is wrong with a text, each on a line of its own.
fn check_error(text: &str, expected: &str) {
    let errors = parse(text).expect_err(text);
    assert_eq!(errors.to_string(), format!("yagura.yaml:{expected}"), "{text}");
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
        rule_matching: Some(RuleMatching::All),
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
fn errors_say_where_and_what() {
    for (text, expected) in [
        ("rule_file: []", "1:1: unknown key 'rule_file', did you mean 'rules_files'?"),
        ("zzz: 1", "1:1: unknown key 'zzz'"),
        ("- a", "1:1: the configuration must be a mapping, not a list"),
        ("just text", "1:1: the configuration must be a mapping, not 'just text'"),
        ("1: x", "1:1: a key must be a word, not '1'"),
        ("rule_matching: some", "1:16: 'some' is not one of: first, all, most_severe"),
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
        ("log_level: loud", "1:12: unknown log level 'loud', expected error, warning, info, debug or trace"),
        ("node: ${NOPE}", "1:7: environment variable 'NOPE' is not set"),
        ("node: ${NOPE", "1:7: '${' without '}'"),
        ("a: 1\na: 2", "2:1: duplicated key in mapping"),
        ("{}\n---\n{}", "3:1: a second YAML document; there must be one"),
    ] {
        check_error(text, expected);
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
    let texts = [priority, log_level, log_format, listen, hostname, node, cluster, containers_root];
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
    // What is usual depends on where the rules come from.
    assert!(rule_matching.is_none() && block.contains("\n# rule_matching: first\n"));
    assert!(rules_files.is_some() && block.contains("\nrules: "));
    assert!(engines.iter().all(|engine| engine.enabled.is_some() && engine.sockets.is_some()), "{engines:?}");
    assert!(texts.iter().all(Option::is_some), "{texts:?}");
    assert!(flags.iter().all(Option::is_some), "{flags:?}");
    assert!(numbers.iter().all(Option::is_some), "{numbers:?}");
    assert!(times.iter().all(Option::is_some) && rate.is_some(), "{times:?}");
}
