use std::time::Duration;

use super::{Form, Settings, Webhook};
use crate::{
    delivery::{Entry, Reason, Refusal, Sent, Sink},
    secret::Secret,
    sinks::{
        http::{Authorization, Target},
        receiver::{Act, Receiver},
    },
};

fn settings(receiver: &Receiver) -> Settings {
    Settings { target: Target::to(receiver.url()), form: Form::Single }
}

fn entries(count: i64) -> Vec<Entry> {
    (1..=count).map(|seq| Entry::of_test(seq, &format!(r#"{{"n":{seq},"output":"é"}}"#))).collect()
}

#[test]
fn a_body_is_the_lines_and_nothing_else() {
    let entries = entries(2);
    let (one, two) = (&*entries[0].line, &*entries[1].line);
    for (form, expected, kind) in [
        (Form::Array, format!("[{one},{two}]"), "application/json"),
        (Form::Lines, format!("{one}\n{two}\n"), "application/x-ndjson"),
    ] {
        assert_eq!(String::from_utf8(form.body(&entries)).unwrap(), expected);
        assert_eq!(form.content_type(), kind);
    }
    assert_eq!(Form::Single.body(&entries[..1]), one.as_bytes());
}

#[tokio::test]
async fn posts_as_falco_does() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "old\n").unwrap();
    let target = Target {
        headers: vec![("X-Org".into(), Secret::Literal("shop".into()))],
        authorization: Some(Authorization::Bearer(Secret::File(token.clone()))),
        ..Target::to(receiver.url())
    };
    let webhook = Webhook::new(Settings { target, form: Form::Single });
    assert_eq!(webhook.send("t", &entries(3)).await, Sent { taken: 3, refusal: None });
    let taken = receiver.taken();
    let bodies: Vec<&str> = taken.iter().map(|request| &*request.body).collect();
    assert_eq!(bodies, entries(3).iter().map(|entry| &*entry.line).collect::<Vec<_>>());
    let head = taken[0].head.to_ascii_lowercase();
    for line in [
        "post /in?x=1 http/1.1",
        "content-type: application/json",
        "x-org: shop",
        "authorization: bearer old",
    ] {
        assert!(head.contains(line), "{head}");
    }
    // A token that is no longer good is read again.
    std::fs::write(&token, "new\n").unwrap();
    receiver.next([Act::Answer(401, "")]);
    let refusal = webhook.send("t", &entries(1)).await.refusal;
    assert!(matches!(refusal, Some(Refusal::Later { reason: Reason::Denied, .. })), "{refusal:?}");
    assert_eq!(webhook.send("t", &entries(1)).await.taken, 1);
    assert!(receiver.taken()[3].head.to_ascii_lowercase().contains("authorization: bearer new"));
    // So are all files after a connection that broke off: with TLS 1.3 that is how a certificate is refused.
    std::fs::write(&token, "newest\n").unwrap();
    receiver.next([Act::Reset]);
    let refusal = webhook.send("t", &entries(1)).await.refusal;
    assert!(matches!(refusal, Some(Refusal::Later { reason: Reason::Connection, .. })), "{refusal:?}");
    assert_eq!(webhook.send("t", &entries(1)).await.taken, 1);
    assert!(receiver.taken()[4].head.to_ascii_lowercase().contains("authorization: bearer newest"));
}

#[tokio::test]
async fn an_answer_says_what_to_do() {
    let receiver = Receiver::start().await;
    let webhook = Webhook::new(settings(&receiver));
    let later = |reason, seconds: Option<u64>| Some((reason, seconds.map(Duration::from_secs)));
    for (act, expected) in [
        (Act::Answer(400, ""), None),
        (Act::Answer(413, ""), None),
        (Act::Answer(415, ""), later(Reason::Answer, None)),
        (Act::Answer(422, ""), None),
        (Act::Answer(401, ""), later(Reason::Denied, None)),
        (Act::Answer(403, ""), later(Reason::Denied, None)),
        (Act::Answer(404, ""), later(Reason::Answer, None)),
        (Act::Answer(302, "location: http://127.0.0.1:1/\r\n"), later(Reason::Answer, None)),
        (Act::Answer(429, "retry-after: 7\r\n"), later(Reason::Throttled, Some(7))),
        (Act::Answer(429, "retry-after: tomorrow\r\n"), later(Reason::Throttled, None)),
        (Act::Answer(500, ""), later(Reason::Answer, None)),
        (Act::Answer(503, "retry-after: 1\r\n"), later(Reason::Answer, Some(1))),
        (Act::Reset, later(Reason::Connection, None)),
    ] {
        receiver.next([Act::Answer(200, ""), act.clone()]);
        let Sent { taken, refusal } = webhook.send("t", &entries(3)).await;
        assert_eq!(taken, 1, "{act:?}");
        match (refusal, expected) {
            (Some(Refusal::Poison { .. }), None) => {}
            (Some(Refusal::Later { reason, after, .. }), Some(expected)) => {
                assert_eq!((reason, after), expected, "{act:?}");
            }
            other => panic!("{act:?} {other:?}"),
        }
    }
    let target = Target { timeout: Duration::from_millis(300), ..Target::to(receiver.url()) };
    let webhook = Webhook::new(Settings { target, form: Form::Single });
    receiver.next([Act::Hang]);
    let Sent { taken, refusal } = webhook.send("t", &entries(3)).await;
    assert_eq!(taken, 0);
    assert!(
        matches!(refusal, Some(Refusal::Later { reason: Reason::Timeout, after: None, .. })),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn several_go_together_or_not_at_all() {
    let receiver = Receiver::start().await;
    let webhook = Webhook::new(Settings { form: Form::Lines, ..settings(&receiver) });
    assert!(webhook.sends_together());
    assert_eq!(webhook.send("t", &entries(3)).await, Sent { taken: 3, refusal: None });
    assert_eq!(receiver.taken().len(), 1);
    receiver.next([Act::Answer(500, "")]);
    assert_eq!(webhook.send("t", &entries(3)).await.taken, 0);
}

#[tokio::test]
async fn the_check_gives_nothing_to_the_receiver() {
    let receiver = Receiver::start().await;
    let webhook = Webhook::new(settings(&receiver));
    let gone = Webhook::new(settings(&receiver));
    receiver.judge(|request| {
        if request.head.starts_with("HEAD ") { Act::Answer(405, "") } else { Act::Answer(200, "") }
    });
    assert_eq!(webhook.probe("shop").await, Ok(()));
    assert!(receiver.taken().is_empty());
    drop(receiver);
    // It ends at its next turn.
    tokio::task::yield_now().await;
    assert!(matches!(gone.probe("shop").await, Err(Refusal::Later { .. })));
}

#[tokio::test]
async fn a_user_and_a_password() {
    let receiver = Receiver::start().await;
    let password = Secret::Literal("open sesame".into());
    let authorization = Some(Authorization::Basic { username: "Aladdin".into(), password });
    let target = Target { authorization, ..Target::to(receiver.url()) };
    let webhook = Webhook::new(Settings { target, form: Form::Single });
    assert_eq!(webhook.send("t", &entries(1)).await.taken, 1);
    // As RFC 7617 has it.
    let head = &receiver.taken()[0].head;
    assert!(head.contains("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), "{head}");
}
