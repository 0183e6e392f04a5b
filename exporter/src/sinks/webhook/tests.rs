use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// Answers each request with the next of `answers`; yields what it heard.
async fn receiver(answers: Vec<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let count = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let length = text.lines().find_map(|line| {
                    line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
                });
                if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
                    && body.len() >= length
                {
                    break;
                }
            }
            kept.lock().unwrap().push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _closed = stream.shutdown().await;
        }
    });
    (url, heard)
}

fn webhook(url: &str, change: impl FnOnce(&mut Settings)) -> Webhook {
    let mut settings = Settings {
        url: url.parse().unwrap(),
        headers: vec![("x-scope".parse().unwrap(), "blue".parse().unwrap())],
        token_file: None,
        ca_file: None,
        identity_file: None,
        batch: 1,
        timeout: Duration::from_secs(5),
    };
    change(&mut settings);
    Webhook::new(settings).unwrap()
}

fn entries(count: i64) -> Vec<Entry> {
    (0..count).map(|id| Entry { id, written_ns: 0, line: format!("{{\"n\":{id}}}") }).collect()
}

#[tokio::test]
async fn one_is_an_object_and_several_are_an_array() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let (url, heard) = receiver(vec!["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"; 2]).await;
    webhook(&url, |settings| settings.token_file = Some(token)).send("t", &entries(1)).await.unwrap();
    webhook(&url, |settings| settings.batch = 10).send("t", &entries(3)).await.unwrap();
    let heard = heard.lock().unwrap();
    let (first, second) = (&heard[0], &heard[1]);
    assert!(first.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{first}");
    for header in ["content-type: application/json", "x-scope: blue", "authorization: Bearer secret"] {
        assert!(first.contains(header), "{header}\n{first}");
    }
    assert!(first.ends_with("\r\n\r\n{\"n\":0}"), "{first}");
    assert!(second.ends_with("\r\n\r\n[{\"n\":0},{\"n\":1},{\"n\":2}]"), "{second}");
}

#[tokio::test]
async fn answers_mean_what_they_say() {
    let answer = |status: &'static str| -> &'static str {
        format!("HTTP/1.1 {status}\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nwhy\n").leak()
    };
    for (status, expected) in [
        ("204 No Content", None),
        ("400 Bad Request", Some("rejected")),
        ("413 Payload Too Large", Some("rejected")),
        ("422 Unprocessable Entity", Some("rejected")),
        ("401 Unauthorized", Some("refused")),
        ("404 Not Found", Some("refused")),
        // Followed nowhere.
        ("302 Found", Some("refused")),
        ("429 Too Many Requests", Some("too_many")),
        ("500 Internal Server Error", Some("server_error")),
        ("503 Service Unavailable", Some("server_error")),
    ] {
        let (url, _) = receiver(vec![answer(status)]).await;
        let result = webhook(&url, |_| {}).send("t", &entries(1)).await;
        match (result, expected) {
            (Ok(()), None) => {}
            (Err(SendError::Rejected { text }), Some("rejected")) => {
                assert!(text.contains("why\\n"), "{text}")
            }
            (Err(SendError::Later { reason, text, after }), Some(expected)) => {
                assert_eq!((reason, after), (expected, Some(Duration::from_secs(7))), "{text}");
            }
            (other, _) => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let reason = |result: Result<(), SendError>| match result {
        Err(SendError::Later { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(webhook(&url, |_| {}).send("t", &entries(1)).await), "connect");
    assert_eq!(
        reason(webhook("http://nowhere.invalid/", |_| {}).send("t", &entries(1)).await),
        "connect",
        "a name that is not known"
    );
    // It takes the request and closes in the middle of its answer.
    let (url, _) = receiver(vec!["HTTP/1.1 200 OK\r\ncontent-le"]).await;
    assert_eq!(reason(webhook(&url, |_| {}).send("t", &entries(1)).await), "connection");
    // It says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let quick = webhook(&url, |settings| settings.timeout = Duration::from_millis(50));
    assert_eq!(reason(quick.send("t", &entries(1)).await), "timeout");
    let missing = webhook(&url, |settings| settings.token_file = Some("/nonexistent/token".into()));
    assert_eq!(reason(missing.send("t", &entries(1)).await), "file");
}

#[test]
fn files_that_are_no_certificates_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let settings = |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings {
            url: "https://x/".parse().unwrap(),
            headers: Vec::new(),
            token_file: None,
            ca_file: None,
            identity_file: None,
            batch: 1,
            timeout: Duration::from_secs(1),
        };
        change(&mut settings);
        Webhook::new(settings)
    };
    let absent = settings(&|settings| settings.ca_file = Some("/nonexistent/ca".into())).unwrap_err();
    assert!(matches!(absent, WebhookError::File { .. }), "{absent}");
    let bad = settings(&|settings| settings.identity_file = Some(file.clone())).unwrap_err();
    assert!(matches!(bad, WebhookError::Pem { .. } | WebhookError::Client(_)), "{bad}");
}
