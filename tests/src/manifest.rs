//! What kustomize makes of `kustomize/`, as Kubernetes would be given it.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    containerd::{Spec, SpecMount},
    repository,
};

/// The documents of one build.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// As `kubectl kustomize` prints it.
    pub text: String,
    documents: Vec<Value>,
}

/// A program of `tools/toolchain.sh kubernetes-tools`.
fn tool(name: &str) -> Command {
    Command::new(repository().join("target/tools/kubernetes/bin").join(name))
}

/// Runs it with this on its stdin.
fn feed(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("a writer").expect("it reads all");
    output
}

/// The documents of a text in YAML.
pub fn documents(yaml: &str) -> Vec<Value> {
    crate::install("kubernetes-tools");
    let mut python = tool("python");
    python.args(["-c", "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"]);
    let json = feed(python, yaml);
    assert!(json.status.success(), "{}", String::from_utf8_lossy(&json.stderr));
    serde_json::from_slice(&json.stdout).expect("JSON")
}

/// Reads an object of the Prometheus operator by the types that are made of its CRDs, and compares: what they do not know is
/// not there any more.
const READ_AS_THE_OPERATOR: &str = "
import json, sys
from cloudcoil.models.prometheus_operator import v1
given = json.load(sys.stdin)
read = getattr(v1, given['kind']).model_validate(given).model_dump(mode='json', by_alias=True, exclude_unset=True)
if read != given: sys.exit('unknown keys')
";

/// What is wrong with an object of the Prometheus operator by the operator's own schemas.
pub fn wrong_for_the_operator(object: &Value) -> Option<String> {
    crate::install("kubernetes-tools");
    let mut python = tool("python");
    python.args(["-c", READ_AS_THE_OPERATOR]);
    let output = feed(python, &object.to_string());
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

impl Manifest {
    /// Builds a folder of `kustomize/`.
    pub fn of(folder: &str) -> Manifest {
        Manifest::build(&repository().join("kustomize").join(folder))
    }

    /// Builds the base with these components.
    pub fn with(components: &[&str]) -> Manifest {
        Manifest::patched(components, "")
    }

    /// The same, with more of an overlay, such as `patches:`.
    pub fn patched(components: &[&str], more: &str) -> Manifest {
        let repository = repository();
        // kustomize takes relative paths only.
        let folder = tempfile::tempdir_in(repository.join("target")).expect("a folder");
        let mut text = String::from("namespace: yagura\nresources: [../../kustomize/base]\ncomponents:\n");
        for component in components {
            writeln!(text, "  - ../../kustomize/components/{component}").expect("text");
        }
        text.push_str(more);
        fs::write(folder.path().join("kustomization.yaml"), text).expect("a file");
        Manifest::build(folder.path())
    }

    fn build(folder: &Path) -> Manifest {
        crate::install("kubernetes-tools");
        let built = tool("kubectl").arg("kustomize").arg(folder).output().expect("kubectl runs");
        let (out, err) = (String::from_utf8(built.stdout), String::from_utf8_lossy(&built.stderr));
        assert!(built.status.success() && err.is_empty(), "{}: {err}", folder.display());
        let text = out.expect("text");
        let documents = documents(&text);
        Manifest { text, documents }
    }

    /// Asks Kubernetes' own schemas about each document, and the Prometheus operator's about its objects. What they do not
    /// know is a failure, too.
    pub fn validate(&self) {
        let (operators, own): (Vec<&Value>, Vec<&Value>) =
            self.documents.iter().partition(|document| document["apiVersion"] == "monitoring.coreos.com/v1");
        for object in operators {
            assert_eq!(wrong_for_the_operator(object), None, "{object}");
        }
        let text: Vec<String> = own.iter().map(|document| document.to_string()).collect();
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a file");
        fs::write(file.path(), text.join("\n---\n")).expect("a file");
        let output = tool("kubernetes-validate").arg("--strict").arg(file.path()).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let passed =
            said.lines().filter(|line| line.starts_with("INFO") && line.contains(" passed ")).count();
        assert!(output.status.success() && passed == said.lines().count(), "{said}");
        assert_eq!(passed, own.len(), "{said}");
    }

    /// Everything that it has.
    pub fn documents(&self) -> &[Value] {
        &self.documents
    }

    /// All of a kind.
    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.documents.iter().filter(|document| document["kind"] == kind).collect()
    }

    /// The one of a kind.
    pub fn the(&self, kind: &str) -> &Value {
        match self.all(kind)[..] {
            [one] => one,
            ref all => panic!("{} of {kind}", all.len()),
        }
    }

    /// The data of a ConfigMap, by its name without the hash.
    pub fn config_map(&self, name: &str) -> &serde_json::Map<String, Value> {
        let is = |map: &&Value| {
            map["metadata"]["name"].as_str().is_some_and(|full| {
                full == name
                    || full.strip_prefix(name).is_some_and(|rest| rest.len() == 11 && rest.starts_with('-'))
            })
        };
        let maps = self.all("ConfigMap");
        let map = maps.into_iter().find(is).unwrap_or_else(|| panic!("no ConfigMap {name}"));
        map["data"].as_object().expect("data")
    }

    /// The configuration of the daemon.
    pub fn configuration(&self) -> &str {
        self.config_map("yagura-config")["yagura.yaml"].as_str().expect("text")
    }

    /// The specification of the DaemonSet's pods.
    pub fn pod(&self) -> &Value {
        &self.the("DaemonSet")["spec"]["template"]["spec"]
    }

    /// The one container of these.
    pub fn container(&self) -> &Value {
        let containers = self.pod()["containers"].as_array().expect("containers");
        assert_eq!(containers.len(), 1);
        &containers[0]
    }

    /// What is added to no capabilities, in lower case, sorted.
    pub fn capabilities(&self) -> Vec<String> {
        let capabilities = &self.container()["securityContext"]["capabilities"];
        assert_eq!(capabilities["drop"], serde_json::json!(["ALL"]));
        let mut names: Vec<String> =
            strings(&capabilities["add"]).iter().map(|name| name.to_lowercase()).collect();
        names.sort();
        names
    }
}

/// A list of texts.
pub fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    items.iter().map(|item| item.as_str().expect("text").to_owned()).collect()
}

/// Writes a volume as a kubelet does: the files are links through `..data` into a folder that is replaced as a whole.
pub fn write_volume(folder: &Path, data: &serde_json::Map<String, Value>) -> PathBuf {
    let version = folder.join("..2026_01_01");
    fs::create_dir_all(&version).expect("a folder");
    std::os::unix::fs::symlink("..2026_01_01", folder.join("..data")).expect("a link");
    for (name, text) in data {
        fs::write(version.join(name), text.as_str().expect("text")).expect("a file");
        std::os::unix::fs::symlink(Path::new("..data").join(name), folder.join(name)).expect("a link");
    }
    folder.to_owned()
}

impl Manifest {
    /// The container as a kubelet would ask for it, from what the manifest says. `volume` says where on this machine a
    /// volume is, by its name; `env` what a field of the pod is, by its path.
    pub fn spec(&self, volume: impl Fn(&str) -> PathBuf, env: impl Fn(&str) -> String) -> Spec {
        let (container, security) = (self.container(), &self.container()["securityContext"]);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let mounts = container["volumeMounts"].as_array().expect("mounts").iter().map(|mount| {
            let mut host = volume(&text(&mount["name"]));
            if let Some(path) = mount["subPath"].as_str() {
                host = host.join(path);
            }
            SpecMount {
                host: host.to_str().expect("text").to_owned(),
                container: text(&mount["mountPath"]),
                readonly: mount["readOnly"] == true,
                from_host: mount["mountPropagation"] == "HostToContainer",
            }
        });
        let variables = container["env"].as_array().expect("variables").iter();
        let value = |entry: &Value| match entry["value"].as_str() {
            Some(value) => value.to_owned(),
            None => env(&text(&entry["valueFrom"]["fieldRef"]["fieldPath"])),
        };
        let memory = text(&container["resources"]["limits"]["memory"]);
        let mebibytes: i64 = memory.strip_suffix("Mi").and_then(|n| n.parse().ok()).expect("mebibytes");
        assert_eq!(security["privileged"], false);
        Spec {
            args: strings(&container["args"]),
            env: variables.map(|entry| (text(&entry["name"]), value(entry))).collect(),
            mounts: mounts.collect(),
            add_capabilities: strings(&security["capabilities"]["add"]),
            drop_capabilities: strings(&security["capabilities"]["drop"]),
            user: security["runAsUser"].as_i64().expect("a user"),
            readonly_root: security["readOnlyRootFilesystem"] == true,
            no_new_privileges: security["allowPrivilegeEscalation"] == false,
            seccomp: security["seccompProfile"]["type"] == "RuntimeDefault",
            memory_limit: mebibytes << 20,
            log: "yagura.log".into(),
        }
    }
}
