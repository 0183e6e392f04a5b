//! What happens in the demo, and what must become of it.

use std::{
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use end_to_end::{activity::post_audit, containerd::Container};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{apart::Stop, stage::Stage};

/// Something that somebody does.
#[derive(Debug)]
pub struct Act {
    pub tenant: &'static str,
    what: &'static str,
    does: Does,
    /// The rule that tells it; nobody is told of what is normal.
    pub told: Option<&'static str>,
}

#[derive(Debug)]
enum Does {
    /// A command on the machine itself.
    Host(&'static [&'static str]),
    /// A command in the tenant's container.
    Exec(&'static [&'static str]),
    /// A further container in the tenant's pod.
    Start { image: &'static str, command: &'static [&'static str], tty: bool },
    /// A request to the API server about an object of the tenant's: user, verb, resource, name, status of the answer.
    Request(&'static str, &'static str, &'static str, &'static str, u16),
}

pub const SHOP_IMAGE: &str = "docker.io/library/web:1";
pub const RESEARCH_IMAGE: &str = "docker.io/library/notebook:1";
pub const STRANGE_IMAGE: &str = "docker.io/library/tool:1";

/// After what is normal comes, in the end, something that is told: by then the former would have been.
pub const ACTS: &[Act] = &[
    Act {
        tenant: "platform",
        what: "cat /etc/shadow, on the host",
        does: Does::Host(&["cat", "/etc/shadow"]),
        told: Some("Sensitive file read"),
    },
    Act { tenant: "shop", what: "ls /bin", does: Does::Exec(&["/bin/ls", "/bin"]), told: None },
    Act {
        tenant: "shop",
        what: "cat /etc/passwd",
        does: Does::Exec(&["/bin/cat", "/etc/passwd"]),
        told: None,
    },
    Act {
        tenant: "shop",
        what: "its service account reads a config map",
        does: Does::Request("system:serviceaccount:shop:web", "get", "configmaps", "settings", 200),
        told: None,
    },
    Act {
        tenant: "shop",
        what: "a shell with a terminal",
        does: Does::Start { image: SHOP_IMAGE, command: &["/bin/sh", "-c", ":"], tty: true },
        told: Some("Shell with a terminal in a container"),
    },
    Act {
        tenant: "shop",
        what: "cat /etc/shadow",
        does: Does::Exec(&["/bin/cat", "/etc/shadow"]),
        told: Some("Sensitive file read"),
    },
    Act {
        tenant: "shop",
        what: "apk add nmap",
        does: Does::Exec(&["/bin/apk", "add", "nmap"]),
        told: Some("Package manager in a container"),
    },
    Act {
        tenant: "shop",
        what: "a program is dropped and run",
        does: Does::Exec(&[
            "/bin/sh",
            "-c",
            "/bin/busybox cp /bin/busybox /var/busybox-1; /var/busybox-1 true",
        ]),
        told: Some("Program not from the image in a container"),
    },
    Act {
        tenant: "shop",
        what: "user eve reads the secret db-password",
        does: Does::Request("eve", "get", "secrets", "db-password", 200),
        told: Some("Secret read by a person"),
    },
    Act {
        tenant: "research",
        what: "apk add py3-numpy: an exception of this tenant's",
        does: Does::Exec(&["/bin/apk", "add", "py3-numpy"]),
        told: None,
    },
    Act {
        tenant: "research",
        what: "crond",
        does: Does::Exec(&["/bin/crond", "--help"]),
        told: Some("Cron started in a container"),
    },
    Act {
        tenant: "research",
        what: "a container of another image: a rule of this tenant's",
        does: Does::Start { image: STRANGE_IMAGE, command: &["/bin/true"], tty: false },
        told: Some("Image that does not belong on this node"),
    },
    Act {
        tenant: "research",
        what: "a miner's command line",
        does: Does::Exec(&["/bin/true", "-o", "stratum+tcp://pool.example.net:3333"]),
        told: Some("Crypto miner started"),
    },
    Act {
        tenant: "research",
        what: "its service account asks for all secrets, and is refused",
        does: Does::Request("system:serviceaccount:research:notebook", "list", "secrets", "", 403),
        told: Some("Access to secrets refused"),
    },
];

/// Recorded from an API server.
const EVENTS: &str = include_str!("../../../exporter/src/audit/tests/events.json");

impl Act {
    /// Where the host's are counted, too.
    pub fn namespace(&self) -> &'static str {
        if self.tenant == "platform" { "" } else { self.tenant }
    }

    /// Does it; the container that was made for it.
    fn perform(&self, stage: &Stage) -> Result<Option<String>> {
        let home = stage.homes.iter().find(|home| home.pod.namespace == self.tenant);
        match &self.does {
            Does::Host(command) => {
                Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).status()?;
            }
            Does::Exec(command) => {
                // Whether it gets what it wants does not matter.
                stage.cri.try_exec(&home.context("a pod")?.container, command);
            }
            Does::Start { image, command, tty } => {
                let home = home.context("a pod")?;
                let container =
                    Container { name: "further", image, command, tty: *tty, ..Container::default() };
                return Ok(Some(stage.cri.run(&home.sandbox, &home.pod, &container)));
            }
            Does::Request(user, verb, resource, name, code) => {
                let now = Timestamp::now().to_string();
                let mut event: Value = serde_json::from_str::<Value>(EVENTS)?["pod_read"].take();
                event["level"] = "Metadata".into();
                event["auditID"] = format!("demo-{now}").into();
                event["verb"] = (*verb).into();
                event["requestURI"] = format!("/api/v1/namespaces/{}/{resource}/{name}", self.tenant)
                    .trim_end_matches('/')
                    .into();
                event["user"] = json!({"username": user, "groups": ["system:authenticated"]});
                event["userAgent"] = "demo".into();
                event["objectRef"] = json!({"resource": resource, "namespace": self.tenant, "name": name});
                event["responseStatus"]["code"] = (*code).into();
                event["responseObject"].take();
                event["requestReceivedTimestamp"] = now.clone().into();
                event["stageTimestamp"] = now.into();
                let status = post_audit(&stage.api_server, &[&stage.authorization], [event]);
                ensure!(status == 200, "an audit event was answered with {status}");
            }
        }
        Ok(None)
    }

    fn print(&self, became: &str) {
        println!("{:<9} {:<58} → {became}", self.tenant, self.what);
    }
}

/// Everything once, each a line; how many detections of the tenants' were not expected. `looked` is how many lines of
/// the daemon's were looked at before, and are now.
pub fn round(stage: &Stage, stop: &Stop, looked: &mut usize) -> Result<usize> {
    let (mut normal, mut unexpected) = (Vec::new(), 0);
    for act in ACTS {
        stop.check()?;
        let Some(rule) = act.told else {
            act.perform(stage)?;
            normal.push(act);
            continue;
        };
        let is = |detection: &Value| detection["rule"] == rule && detection["tenant"] == act.tenant;
        let printed = stage.daemon.lines().len();
        // Somebody has to wait for it beforehand: a command's end comes long after it was told.
        let told = thread::scope(|scope| {
            let told = scope.spawn(|| {
                let detection = stage.daemon.detection_after(printed, is);
                (Timestamp::now(), detection)
            });
            let container = act.perform(stage)?;
            let told = told.join().map_err(|_| anyhow!("{rule} was not told"))?;
            if let Some(container) = container {
                stage.cri.remove(&container);
            }
            anyhow::Ok(told)
        });
        let (at, detection) = told?;
        let others = stage.daemon.lines().split_off(*looked);
        *looked += others.len();
        let others = others.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let others: Vec<Value> = others.filter(|other| other["tenant"] != "platform" && !is(other)).collect();
        if others.is_empty() {
            normal.iter().for_each(|act| act.print("nobody is told: it is normal"));
        }
        normal.clear();
        for other in &others {
            println!("not expected: {other}");
        }
        unexpected += others.len();
        let happened: Timestamp = detection["time"].as_str().context("a time")?.parse()?;
        let late = at.duration_since(happened).as_secs_f64() * 1e3;
        let priority = detection["priority"].as_str().context("a priority")?;
        act.print(&format!("{rule} ({priority}), told after {late:.1} ms"));
    }
    Ok(unexpected)
}
