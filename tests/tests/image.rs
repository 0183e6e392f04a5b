//! The container image: built by Docker, run by containerd as the manifest says, in a pod beside others.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use end_to_end::{
    DEADLINE,
    containerd::{Container, Containerd, IMAGE, Pod},
    docker::Docker,
    http::{Answer, Client},
    kernel_tests_run,
    manifest::{Manifest, write_volume},
    receiver::{Act, Receiver, free_address},
    repository,
};
use serde_json::{Map, Value, json};

/// Tells who a program of the host's is.
const HOST_RULE: &str = "
- rule: Host program
  desc: A user of the host's lists something.
  condition: evt.type = execve and evt.res = SUCCESS and proc.name = ls and user.uid = 1 and container.id = host
  output: '%user.name %proc.cmdline'
  priority: NOTICE
";

/// What a container prints, from the log that containerd writes: time, stream, whether the line is whole, line.
struct Log<'a>(&'a Path);

impl Log<'_> {
    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0).unwrap_or_default();
        let mut lines = vec![String::new()];
        for entry in text.lines() {
            let mut parts = entry.splitn(4, ' ').skip(2);
            let (Some(whole), Some(line)) = (parts.next(), parts.next()) else { continue };
            if let Some(last) = lines.last_mut() {
                last.push_str(line);
            }
            if whole == "F" {
                lines.push(String::new());
            }
        }
        lines
    }

    /// The first line that is JSON and satisfies.
    fn wait(&self, what: &str, found: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let lines = self.lines();
            let values = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
            if let Some(value) = values.into_iter().find(&found) {
                return value;
            }
            assert!(Instant::now() < end, "never: {what}\n{}", lines.join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Builds the image and puts it into an archive; returns the size of the program.
fn build(archive: &Path, name: &str) -> u64 {
    let docker = Docker::start();
    let built = Command::new(repository().join("packaging/image.sh"))
        .arg(name)
        .env("DOCKER_HOST", docker.host())
        .env("BUILD_PROFILE", "dev")
        .output()
        .expect("packaging/image.sh runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    docker.save(name, archive);
    let said = String::from_utf8(built.stdout).expect("text");
    said.trim()
        .rsplit_once(": ")
        .and_then(|(_, size)| size.strip_suffix(" bytes")?.parse().ok())
        .expect("a size")
}

fn rule_is<'a>(rule: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |value| value["rule"] == rule
}

#[test]
fn the_image_runs_as_the_manifest_says_and_detects_in_a_neighbouring_pod() {
    if !kernel_tests_run() {
        return;
    }
    let manifest = Manifest::with(&["sinks", "falcosidekick"]);
    let image = manifest.container()["image"].as_str().expect("text");
    let server = Containerd::start_shared();
    server.import(IMAGE, &[]);
    let archive = server.root().join("yagura.tar");
    let size = build(&archive, image);
    server.load(&archive, "docker.io/library/yagura");

    // What a kubelet would write, with addresses that tests may listen on.
    let receiver = Receiver::start(free_address(), |_| Act::Answer(200));
    let folder = server.root().join("kubelet");
    let port = receiver.address().port();
    let config = manifest.configuration();
    let config = config.replace("0.0.0.0:9752", "127.0.0.1:0").replace(":2801/", &format!(":{port}/"));
    // And with time for the runtime's answers, however slow the machine is today.
    let (engines, patient) = ("container_engines:\n", "container_engines:\n  wait: 5s\n");
    assert!(config.contains(engines), "{config}");
    let config = config.replace(engines, patient);
    let data = |name: &str, text: &str| Map::from_iter([(name.to_owned(), json!(text))]);
    write_volume(&folder.join("config"), &data("yagura.yaml", &config));
    let mut rules = manifest.config_map("yagura-rules").clone();
    rules.extend(data("95-test.yaml", HOST_RULE));
    write_volume(&folder.join("rules"), &rules);
    let (token, mut tokens) = ("a-token-for-prometheus", data("metrics", "a-token-for-prometheus"));
    tokens.extend(data("audit", "a-token-for-api-servers"));
    write_volume(&folder.join("tokens"), &tokens);
    let hosts = folder.join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost falcosidekick.falco.svc\n").expect("a file");
    let journal = server.root().join("var/lib/yagura");
    fs::create_dir_all(&journal).expect("a folder");

    let volume = |name: &str| match name {
        "journal" => journal.clone(),
        "runtime" => server.root().join("run/containerd"),
        _ => folder.join(name),
    };
    let mut spec = manifest.spec(volume, |field| {
        assert_eq!(field, "spec.nodeName");
        "node-1".into()
    });
    let cri = server.cri();
    let logs = folder.join("logs");
    fs::create_dir_all(&logs).expect("a folder");
    let pod = Pod {
        name: "yagura-1",
        namespace: "yagura",
        uid: "0f3a1b2c-0000-4444-8888-00000000ffff",
        logs: logs.to_str().expect("text"),
        ..Pod::default()
    };
    // A kubelet gives each container the pod's own.
    spec.mounts.push(end_to_end::containerd::SpecMount {
        host: hosts.to_str().expect("text").into(),
        container: "/etc/hosts".into(),
        readonly: true,
        from_host: false,
    });
    let sandbox = cri.run_pod(&pod);
    let host_pid = manifest.pod()["hostPID"] == true;
    let id = cri.run(
        &sandbox,
        &pod,
        &Container { name: "yagura", image, host_pid, spec: Some(&spec), ..Container::default() },
    );
    let log = logs.join("yagura.log");
    let log = Log(&log);
    let ready = log.wait("ready", |line| line["fields"]["message"] == "ready" || line["message"] == "ready");
    let listen = ready["fields"]["listen"].as_str().or(ready["listen"].as_str()).expect("an address");

    // The kubelet's probes, and a scrape.
    let client = Client::plain(listen.to_owned());
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &manifest.container()[probe]["httpGet"];
        assert_eq!(get["port"], "http");
        let answer = client.get(get["path"].as_str().expect("text")).expect("an answer");
        assert_eq!(answer.status, 200, "{probe}: {}", answer.text);
    }
    assert_eq!(client.get("/metrics").expect("an answer").status, 401);
    let metrics = || -> Answer {
        client.get_with("/metrics", &[&format!("Authorization: Bearer {token}")]).expect("an answer")
    };
    assert_eq!(metrics().status, 200);

    // In a neighbouring pod.
    let shop = Pod {
        name: "web-0",
        namespace: "shop",
        uid: "0f3a1b2c-1111-4444-8888-00000000000b",
        ..Pod::default()
    };
    let shop_sandbox = cri.run_pod(&shop);
    let command = ["/bin/sh", "-c", "while :; do /bin/cat /etc/shadow; /bin/sleep 1; done"];
    let web = Container { name: "web", image: IMAGE, command: &command, ..Container::default() };
    let web_id = cri.run(&shop_sandbox, &shop, &web);
    let found = log.wait("a detection", |value| {
        value["rule"] == "Sensitive file read"
            && value["output_fields"]["k8s.pod.name"] == "web-0"
            && value["incomplete_fields"] == json!([])
    });
    let fields = &found["output_fields"];
    assert_eq!(fields["k8s.ns.name"], "shop", "{found:#}");
    assert_eq!(fields["container.id"], web_id[..12], "{found:#}");
    assert_eq!(fields["container.name"], "web", "{found:#}");
    assert_eq!(fields["container.image.repository"], "docker.io/library/app", "{found:#}");
    assert_eq!((&found["node"], &found["hostname"]), (&json!("node-1"), &json!("node-1")), "{found:#}");
    // The runtime's socket was asked, and answered.
    let answered = metrics().text;
    let cri_found = "yagura_container_source_answers_total{source=\"cri\",result=\"found\"}";
    let line =
        answered.lines().find(|line| line.starts_with(cri_found)).unwrap_or_else(|| panic!("{answered}"));
    assert!(!line.ends_with(" 0"), "{line}");
    // A receiver, by a name: the static program resolves it.
    let uuid = found["uuid"].as_str().expect("text").to_owned();
    let end = Instant::now() + DEADLINE;
    while !receiver.bodies().iter().any(|body| body.contains(&uuid)) {
        assert!(Instant::now() < end, "the receiver has it not:\n{}", log.lines().join("\n"));
        std::thread::sleep(Duration::from_millis(20))
    }

    // The host's users have the host's names, not the image's.
    let by_user = Command::new("setpriv").args(["--reuid=1", "--clear-groups", "ls", "/"]).output();
    assert!(by_user.expect("setpriv runs").status.success());
    let found = log.wait("a detection of the host", rule_is("Host program"));
    // Where nobody may look at the first process (a machine that guards it so) they have none, and that is said.
    if Path::new("/proc/1/root/etc/passwd").exists() {
        assert_eq!(found["output_fields"]["user.name"], "daemon", "{found:#}");
    } else {
        assert_eq!(found["incomplete_fields"], json!(["user.name"]), "{found:#}");
    }

    // What a container had mounted does not outlive it here.
    let pid = fs::read_to_string(
        server.root().join("run/containerd/io.containerd.runtime.v2.task/k8s.io").join(&id).join("init.pid"),
    )
    .expect("its process");
    let mounts = || fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("it runs");
    assert!(mounts().contains(&web_id), "{}", mounts());
    cri.remove_pod(&shop_sandbox);
    assert!(!mounts().contains(&web_id), "{}", mounts());

    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    println!("program {size} bytes; {resident}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert!(journal.join("journal.db").exists());

    cri.stop(&id);
    let last = log.wait("its last line", |line| !line["seen"].is_null());
    assert_eq!(last["lost"], 0, "{last}");
    cri.remove_pod(&sandbox);
}
