//! Each type of sink, and what can be wrong with it.

use std::time::Duration;

use super::{
    super::{Format, SinkConfig, SinkKind},
    check_error, parse,
};
use crate::{
    backoff::Pace,
    delivery::{Feed, Filter},
    rules::Priority,
    secret::Secret,
    sinks::{
        alertmanager, file,
        http::{Authorization, Target},
        loki, remote_write,
        tenant_ids::TenantIds,
        webhook::{self, Form},
    },
};

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
            "sinks: [{name: a, type: loki, url: 'http://x/', tenant_ids: [{tenant: shop, id: s}]}]\ntenants: [{name: shop, match: {nodes: [a]}}]",
            "1:9: tenant 'platform' has no id at this receiver: see tenant_ids, tenant_id, or leave it out with tenants",
        ),
        (
            "sinks: [{name: a, type: otlp, url: 'http://x/', tenant_header: X-T, tenants: [shop], tenant_ids: [{tenant: platform, id: t}]}]\ntenants: [{name: shop, match: {nodes: [a]}}]",
            "1:9: tenant 'shop' has no id at this receiver: see tenant_ids, tenant_id, or leave it out with tenants",
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
    ] {
        check_error(text, expected);
    }
}
