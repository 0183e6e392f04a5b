//! What is sent, to where, and what an answer means.

use super::*;

#[test]
fn families_become_the_series_of_a_scrape() {
    let (registry, _) = registry();
    let families: Vec<MetricFamily> = registry.gather();
    let tenants = by_tenant(&families, |tenant| tenant != "nobody");
    let text = |series: &Series| {
        let labels = series.labels.iter().map(|(name, value)| format!("{name}={value}"));
        format!("{} {}", labels.collect::<Vec<_>>().join(","), series.value)
    };
    let of = |tenant: &str| tenants[tenant].iter().map(text).collect::<BTreeSet<_>>();
    assert_eq!(of("shop"), BTreeSet::from(["__name__=hits_total,namespace=a,tenant=shop 3".to_owned()]));
    // What is of no tenant is the platform's; an empty label is none.
    let expected = [
        "__name__=hits_total,tenant=platform 5",
        "__name__=up_ish 0.5",
        "__name__=latency_seconds_bucket,le=0.25 0",
        "__name__=latency_seconds_bucket,le=1 1",
        "__name__=latency_seconds_bucket,le=+Inf 1",
        "__name__=latency_seconds_sum 0.5",
        "__name__=latency_seconds_count 1",
    ];
    assert_eq!(of("platform"), expected.map(str::to_owned).into());
    assert!(!by_tenant(&families, |tenant| tenant == "shop").contains_key("platform"));
}

#[test]
fn a_summary_becomes_its_quantiles_sum_and_count() {
    use prometheus::proto::{Metric, MetricType, Quantile, Summary};
    let mut quantile = Quantile::default();
    quantile.set_quantile(0.99);
    quantile.set_value(2.5);
    let mut summary = Summary::default();
    summary.set_quantile(vec![quantile]);
    summary.set_sample_sum(7.5);
    summary.set_sample_count(4);
    let mut metric = Metric::default();
    metric.set_summary(summary);
    let mut family = MetricFamily::default();
    family.set_name("s".into());
    family.set_field_type(MetricType::SUMMARY);
    family.set_metric(vec![metric]);
    let series = by_tenant(&[family], |_| true).remove("platform").unwrap();
    let found: Vec<(String, f64)> =
        series.iter().map(|one| (format!("{:?}", one.labels), one.value)).collect();
    let expected = [
        (r#"[("__name__", "s"), ("quantile", "0.99")]"#, 2.5),
        (r#"[("__name__", "s_sum")]"#, 7.5),
        (r#"[("__name__", "s_count")]"#, 4.0),
    ];
    assert_eq!(found, expected.map(|(labels, value)| (labels.to_owned(), value)));
}

#[test]
fn a_request_of_1_0_is_this() {
    let external = BTreeMap::from([("job".to_owned(), "yagura".to_owned()), ("zone".into(), "z".into())]);
    let series = [one_series(&[("__name__", "hits_total"), ("zone", "own")], 3.0)];
    for with_metadata in [true, false] {
        let frame = Frame { version: Version::One, time_ms: 1234, external: &external, with_metadata };
        let mut expected = Vec::new();
        // By hand, as the protocol has it: length-delimited fields 1 (series) and 3 (metadata).
        let label = |name: &str, value: &str| {
            let inner = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
            field(1, &inner)
        };
        let sample = [&[0x09][..], &3.0_f64.to_le_bytes(), &[0x10, 0xd2, 0x09]].concat();
        let timeseries = [
            label("__name__", "hits_total"),
            label("job", "yagura"),
            label("zone", "own"),
            field(2, &sample),
        ];
        expected.extend(field(1, &timeseries.concat()));
        if with_metadata {
            let counter = [&[0x08, 1][..], &field(2, b"hits_total"), &field(4, b"Hits.")].concat();
            expected.extend(field(3, &counter));
        }
        assert_eq!(unpack(&frame.body(&series).unwrap()), expected);
    }
}

/// A length-delimited field, of less than 128 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

#[test]
fn a_request_of_2_0_is_this() {
    let external = BTreeMap::from([("job".to_owned(), "yagura".to_owned())]);
    let series = [
        one_series(&[("__name__", "hits_total"), ("a", "yagura")], 3.0),
        one_series(&[("__name__", "hits_total"), ("a", "b")], 3.0),
    ];
    let frame = Frame { version: Version::Two, time_ms: 1234, external: &external, with_metadata: false };
    let symbols = ["", "__name__", "hits_total", "a", "yagura", "job", "Hits.", "b"];
    let mut expected: Vec<u8> = symbols.iter().flat_map(|text| field(4, text.as_bytes())).collect();
    let sample = [&[0x09][..], &3.0_f64.to_le_bytes(), &[0x10, 0xd2, 0x09]].concat();
    // Type 1, help_ref 6.
    let metadata = field(5, &[0x08, 1, 0x18, 6]);
    for refs in [[1, 2, 3, 4, 5, 4], [1, 2, 3, 7, 5, 4]] {
        expected.extend(field(5, &[field(1, &refs), field(2, &sample), metadata.clone()].concat()));
    }
    assert_eq!(unpack(&frame.body(&series).unwrap()), expected);
}

#[test]
fn a_tenant_has_its_own_way_or_none() {
    let plain = "http://r/api/v1/write";
    let account = "http://r/insert/{tenant_id}/prometheus/api/v1/write";
    let shop = &[("shop", "3:1")][..];
    let org = HeaderName::from_static("x-scope-orgid");
    for (url, tenancy, tenant, expected) in [
        (plain, Tenancy::Plain, "ml", Some((plain, "", ""))),
        (
            account,
            Tenancy::Path(ids(shop, None)),
            "shop",
            Some(("http://r/insert/3:1/prometheus/api/v1/write", "", "")),
        ),
        (account, Tenancy::Path(ids(shop, None)), "ml", None),
        (
            account,
            Tenancy::Path(ids(shop, Some("7"))),
            "ml",
            Some(("http://r/insert/7/prometheus/api/v1/write", "", "")),
        ),
        // A name made from the tenant's may be none.
        (account, Tenancy::Path(ids(&[], Some("{tenant}"))), "ml", None),
        (account, Tenancy::Path(ids(&[], Some("{tenant}"))), "..", None),
        (
            plain,
            Tenancy::Labels(ids(shop, None)),
            "shop",
            Some((plain, "", "vm_account_id=3 vm_project_id=1")),
        ),
        (
            plain,
            Tenancy::Labels(ids(shop, Some("7"))),
            "ml",
            Some((plain, "", "vm_account_id=7 vm_project_id=0")),
        ),
        (plain, Tenancy::Labels(ids(shop, None)), "ml", None),
        (
            plain,
            Tenancy::Header(org.clone(), ids(&[], Some("team-{tenant}"))),
            "ml",
            Some((plain, "team-ml", "")),
        ),
        (plain, Tenancy::Header(org.clone(), ids(&[], Some("a|b"))), "ml", None),
    ] {
        let settings = Settings { tenancy, ..settings(url.parse().unwrap()) };
        let route = settings.route(tenant).map(|route| {
            let labels = route.labels.iter().map(|(name, value)| format!("{name}={value}"));
            let header = route.headers.get(&org).map_or("", |value| value.to_str().unwrap());
            (route.url.to_string(), header.to_owned(), labels.collect::<Vec<_>>().join(" "))
        });
        let expected = expected.map(|(url, header, labels)| (url.into(), header.into(), labels.into()));
        assert_eq!(route, expected, "{:?} {tenant}", settings.tenancy);
    }
}

#[test]
fn an_answer_means_this() {
    use reqwest::{StatusCode, header::HeaderMap};
    let answer = |status: u16, written: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        let value = written.map(reqwest::header::HeaderValue::from_static);
        headers
            .extend(value.map(|v| (HeaderName::from_static("x-prometheus-remote-write-samples-written"), v)));
        crate::sinks::http::Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Vec::new(),
        }
    };
    for (version, status, written, expected) in [
        (Version::One, 204, None, Some((10, 0))),
        (Version::One, 200, Some("3"), Some((10, 0))),
        (Version::One, 400, None, Some((0, 10))),
        (Version::One, 413, None, Some((0, 10))),
        (Version::One, 404, None, None),
        (Version::One, 429, None, None),
        (Version::One, 500, None, None),
        (Version::Two, 204, None, None),
        (Version::Two, 204, Some("x"), None),
        (Version::Two, 204, Some("10"), Some((10, 0))),
        (Version::Two, 204, Some("4"), Some((4, 6))),
        (Version::Two, 204, Some("400"), Some((10, 0))),
        (Version::Two, 400, Some("9"), Some((9, 1))),
        (Version::Two, 413, None, Some((0, 10))),
        (Version::Two, 415, None, None),
        (Version::One, 415, None, None),
        (Version::Two, 503, Some("9"), None),
    ] {
        let done = judge::judge(version, 10, &answer(status, written)).ok();
        let numbers = done.as_ref().map(|done| (done.sent, done.rejected));
        assert_eq!(numbers, expected, "{version:?} {status} {written:?}");
        assert_eq!(done.is_some_and(|done| done.what.is_some()), expected.is_some_and(|(_, bad)| bad > 0));
    }
}

#[test]
fn labels_of_a_scrape_can_be_replaced_and_taken_away() {
    let configured = BTreeMap::from([("job".to_owned(), "j".to_owned()), ("instance".into(), String::new())]);
    let labels = external_labels("n", "c", &configured);
    assert_eq!(labels, BTreeMap::from([("cluster".into(), "c".into()), ("job".into(), "j".into())]));
}
