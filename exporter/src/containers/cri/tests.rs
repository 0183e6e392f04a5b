use super::{
    messages::{
        ContainerMetadata, ContainerStatus, ImageSpec, Mount, PodSandboxMetadata, PodSandboxNetworkStatus,
    },
    *,
};

/// A status as containerd 1.6 answers it.
fn response(image: &str, image_ref: &str, info: Value) -> ContainerStatusResponse {
    ContainerStatusResponse {
        status: Some(ContainerStatus {
            metadata: Some(ContainerMetadata { name: "app".into() }),
            created_at: 5,
            image: Some(ImageSpec { image: image.into(), user_specified_image: String::new() }),
            image_ref: image_ref.into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            mounts: vec![Mount {
                container_path: "/host".into(),
                host_path: "/".into(),
                readonly: true,
                propagation: 1,
            }],
            image_id: String::new(),
        }),
        info: [("info".to_owned(), info.to_string())].into(),
    }
}

#[test]
fn an_image_is_called_as_its_maker_called_it() {
    let id = "0".repeat(64);
    let by_id = format!("sha256:{id}");
    let config = |image: &str| serde_json::json!({"config": {"image": {"image": image}}});
    let user = serde_json::json!({"config": {"image": {"image": by_id, "user_specified_image": "u:2"}}});
    for (image, image_ref, info, reference, found_id, digest) in [
        ("r:1", "r@sha256:11", config("r:2"), Some("r:2"), None, Some("sha256:11")),
        ("r:1", "r@sha256:11", config(&by_id), Some("r:1"), None, Some("sha256:11")),
        ("r:1", "r@sha256:11", user, Some("u:2"), None, Some("sha256:11")),
        (&*by_id, "r@sha256:11", config(&by_id), Some("r"), Some(&*id), Some("sha256:11")),
        ("r:1", &*by_id, Value::Null, Some("r:1"), Some(&*id), None),
        (&*by_id, &*by_id, Value::Null, None, Some(&*id), None),
    ] {
        let found = container(&response(image, image_ref, info)).image;
        let texts = [&found.reference, &found.id, &found.digest].map(|text| text.as_deref());
        assert_eq!(texts, [reference, found_id, digest], "{image} {image_ref}");
    }
}

#[test]
fn a_status_is_read() {
    let privileged = serde_json::json!({"config": {"linux": {"security_context": {"privileged": true}}}});
    for (info, expected) in [
        (privileged, Some(true)),
        (serde_json::json!({"config": {}}), Some(false)),
        (serde_json::json!({"privileged": true}), Some(true)),
        (Value::Null, None),
    ] {
        let container = container(&response("r:1", "", info));
        assert_eq!(container.privileged, expected);
        assert_eq!((container.name.as_deref(), container.created_ns), (Some("app"), Some(5)));
        let mounts: Vec<_> = container.mounts.iter().flatten().map(ToString::to_string).collect();
        assert_eq!(mounts, ["/:/host::false:rslave"]);
    }
    assert_eq!(container(&ContainerStatusResponse::default()).name, None);
}

#[test]
fn a_pod_is_read() {
    let status = PodSandboxStatus {
        id: "s".into(),
        metadata: Some(PodSandboxMetadata {
            name: "web-0".into(),
            uid: "u".into(),
            namespace: "shop".into(),
        }),
        network: Some(PodSandboxNetworkStatus { ip: "10.0.0.1".into() }),
        labels: [("app".to_owned(), "web".to_owned())].into(),
        ..PodSandboxStatus::default()
    };
    let info = serde_json::json!({"cniResult": {"Interfaces": {}}}).to_string();
    let found = pod(&status, &[("info".to_owned(), info)].into());
    let texts = [&found.name, &found.namespace, &found.uid, &found.sandbox_id, &found.ip, &found.cni];
    let texts = texts.map(|text| text.as_deref().unwrap_or("-"));
    assert_eq!(texts, ["web-0", "shop", "u", "s", "10.0.0.1", r#"{"Interfaces":{}}"#]);
    assert_eq!(found.labels.unwrap().get("app").map(|value| &**value), Some("web"));
    assert_eq!(pod(&PodSandboxStatus::default(), &HashMap::new()).cni, None);
}
