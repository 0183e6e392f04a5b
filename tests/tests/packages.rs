//! The unit and the Debian package, for machines without Kubernetes.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output, Stdio},
};

use end_to_end::{daemon::binary, manifest::Manifest, repository};
use serde_json::{Value, json};

fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}

fn unit() -> String {
    fs::read_to_string(repository().join("packaging/yagura.service")).expect("the unit")
}

#[test]
fn the_unit_is_valid_and_exposes_little() {
    end_to_end::install("systemd");
    let folder = tempfile::tempdir().expect("a folder");
    // systemd asks whether the program is there.
    let path = folder.path().join("yagura.service");
    fs::write(&path, unit().replace("/usr/bin/yagura", binary().to_str().expect("text"))).expect("a file");
    let verified = Command::new("systemd-analyze").arg("verify").arg(&path).output().expect("it runs");
    assert!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    // In tenths: 10.0 is unprotected, 2.5 is what the capabilities, root and the network leave.
    let mut security = Command::new("systemd-analyze");
    run(security.args(["security", "--offline=true", "--threshold=26"]).arg(&path));
}

#[test]
fn the_unit_has_the_capabilities_of_the_manifest() {
    let unit = unit();
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("a set");
    let mut names: Vec<String> =
        line.split(' ').map(|name| name.trim_start_matches("CAP_").to_lowercase()).collect();
    names.sort();
    assert_eq!(names, Manifest::of("base").capabilities());
    assert!(unit.contains("\nNoNewPrivileges=yes\n"));
}

/// What cargo builds of a package for a target, as `name version`.
fn built(folder: &str, package: &str, target: &str) -> BTreeSet<String> {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    tree.args(["--package", package, "--target", target]);
    let lines = run(tree.current_dir(repository().join(folder)));
    let crates = lines.lines().filter(|line| !line.is_empty());
    crates.map(|line| line.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ").replace(" v", " ")).collect()
}

#[test]
fn the_bill_of_materials_names_what_is_built_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["one.json", "two.json"].map(|name| folder.path().join(name));
    for file in &files {
        run(Command::new(repository().join("packaging/sbom.sh")).arg(file));
    }
    let [bill, again] = files.each_ref().map(|file| fs::read_to_string(file).expect("a file"));
    assert!(bill == again, "two runs differ");
    assert!(!bill.contains(repository().to_str().expect("text")), "it says where it was made");

    let bill: Value = serde_json::from_str(&bill).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
    let components = bill["components"].as_array().expect("components");
    for component in components {
        assert!(component["licenses"].as_array().is_some_and(|all| !all.is_empty()), "{component}");
    }
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let named = components.iter().map(|of| format!("{} {}", text(&of["name"]), text(&of["version"])));
    let mut expected = built(".", "exporter", "x86_64-unknown-linux-gnu");
    expected.extend(built("exporter-ebpf", "exporter-ebpf", "bpfel-unknown-none"));
    // The daemon is what the components are of.
    assert!(expected.remove(&format!("exporter {}", text(&bill["metadata"]["component"]["version"]))));
    assert_eq!(named.collect::<BTreeSet<_>>(), expected);

    end_to_end::install("sbom-validator");
    let script = "import sys; from cyclonedx.schema import SchemaVersion; \
                  from cyclonedx.validation.json import JsonStrictValidator as Validator; \
                  sys.exit(Validator(SchemaVersion.V1_5).validate_str(sys.stdin.read()) is not None)";
    let validate = |bill: &Value| {
        let mut python = Command::new(repository().join("target/tools/sbom/bin/python"));
        let mut python = python.args(["-c", script]).stdin(Stdio::piped()).spawn().expect("it runs");
        let mut input = python.stdin.take().expect("a pipe");
        input.write_all(bill.to_string().as_bytes()).expect("it reads");
        drop(input);
        python.wait().expect("it ends").success()
    };
    assert!(validate(&bill));
    let mut spoilt = bill;
    spoilt["components"][0]["type"] = json!("crate");
    assert!(!validate(&spoilt), "the validator finds nothing wrong");
}

/// What dpkg is told in a root of its own.
struct Dpkg<'a>(&'a Path);

impl Dpkg<'_> {
    fn run(&self, args: &[&str]) -> String {
        // What dpkg wants on its PATH are tools of a whole system; this root is none.
        let log = format!("--log={}", self.0.join("dpkg.log").display());
        let root = format!("--root={}", self.0.display());
        run(Command::new("dpkg").args([&*root, &*log, "--force-bad-path"]).args(args))
    }
}

/// Systemd's programs as far as the package's scripts call them: each notes how it was called. `was-enabled` fails once the
/// administrator has disabled the unit, which here is a file.
fn systemd_that_takes_notes(root: &Path) {
    fs::create_dir_all(root.join("run/systemd/system")).expect("a folder");
    // The scripts silence what they call; without it nothing would be called at all.
    fs::create_dir_all(root.join("dev")).expect("a folder");
    fs::write(root.join("dev/null"), "").expect("a file");
    for name in ["systemctl", "deb-systemd-invoke", "deb-systemd-helper"] {
        let path = root.join("bin").join(name);
        let script = format!(
            "#!/bin/sh\necho \"{name} $*\" >>/calls\n[ \"$2\" != was-enabled ] || [ ! -e /disabled ]\n"
        );
        fs::write(&path, script).expect("a file");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its mode");
    }
}

/// The same package as a later version, with another configuration in it.
fn later(package: &str, folder: &Path) -> String {
    let tree = folder.join("later");
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&tree));
    let change = |file: &str, change: &dyn Fn(String) -> String| {
        let path = tree.join(file);
        fs::write(&path, change(fs::read_to_string(&path).expect("a file"))).expect("a file");
    };
    let version = format!("Version: {}\n", env!("CARGO_PKG_VERSION"));
    change("DEBIAN/control", &|control| {
        assert!(control.contains(&version), "{control}");
        control.replace(&version, "Version: 999.0\n")
    });
    change("etc/yagura/yagura.yaml", &|config| config + "# New in this version.\n");
    let made = folder.join("later.deb");
    run(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&tree).arg(&made));
    made.to_str().expect("text").to_owned()
}

/// A root with a shell and an empty package database.
fn bare_root(root: &Path) {
    for folder in ["bin", "var/lib/dpkg/updates", "var/lib/dpkg/info", "proc", "tmp"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    for file in ["status", "available"] {
        fs::write(root.join("var/lib/dpkg").join(file), "").expect("a file");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    for applet in ["sh", "rm"] {
        symlink("busybox", root.join("bin").join(applet)).expect("a link");
    }
}

#[test]
fn the_package_is_built_installed_run_and_removed() {
    end_to_end::install("containers");
    let folder = tempfile::tempdir().expect("a folder");
    let mut build = Command::new(repository().join("packaging/deb.sh"));
    let built = run(build.arg(folder.path()).env("BUILD_PROFILE", "dev"));
    let package = built.trim();
    let info = run(Command::new("dpkg-deb").args(["--info", package]));
    for line in ["Package: yagura", "Architecture: amd64", "Recommends: ca-certificates", "conffiles"] {
        assert!(info.contains(line), "{line}: {info}");
    }
    // Nothing is needed: the program is static.
    assert!(!info.contains("Depends:"), "{info}");
    let contents = run(Command::new("dpkg-deb").args(["--contents", package]));
    for (mode, path) in [
        ("-rwxr-xr-x root/root", "./usr/bin/yagura"),
        ("-rw-r--r-- root/root", "./lib/systemd/system/yagura.service"),
        ("-rw------- root/root", "./etc/yagura/yagura.yaml"),
        ("-rw-r--r-- root/root", "./usr/share/doc/yagura/yagura.cdx.json"),
    ] {
        let line = contents.lines().find(|line| line.ends_with(path)).unwrap_or_else(|| panic!("{contents}"));
        assert!(line.starts_with(mode), "{line}");
    }

    let root = folder.path().join("root");
    bare_root(&root);
    let dpkg = |args: &[&str]| Dpkg(&root).run(args);
    dpkg(&["--install", package]);
    assert!(dpkg(&["--status", "yagura"]).contains("Status: install ok installed"));
    let inside = |args: &[&str]| run(Command::new("chroot").arg(&root).arg("/usr/bin/yagura").args(args));
    assert!(inside(&["rules", "list"]).contains("Sensitive file read"));
    // Its configuration is one.
    let config = fs::read_to_string(root.join("etc/yagura/yagura.yaml")).expect("a file");
    let parsed = yagura::config::Config::parse("yagura.yaml", &config, &|_| None).expect("accepted");
    assert_eq!(parsed, yagura::config::Config::default());
    let mode = fs::metadata(root.join("etc/yagura/yagura.yaml")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // What an administrator wrote stays when it is removed, and goes with a purge, as does the journal.
    fs::create_dir_all(root.join("var/lib/yagura")).expect("a folder");
    dpkg(&["--remove", "yagura"]);
    assert!(
        !root.join("usr/bin/yagura").exists() && !root.join("lib/systemd/system/yagura.service").exists()
    );
    assert!(root.join("etc/yagura/yagura.yaml").exists() && root.join("var/lib/yagura").exists());
    dpkg(&["--purge", "yagura"]);
    assert!(!root.join("etc/yagura").exists() && !root.join("var/lib/yagura").exists());

    upgrades_as_systemd_wants_it(package, folder.path());
}

/// With systemd: what is enabled, started and stopped when, and whose configuration stays.
fn upgrades_as_systemd_wants_it(package: &str, folder: &Path) {
    let root = folder.join("with-systemd");
    bare_root(&root);
    systemd_that_takes_notes(&root);
    let dpkg = |args: &[&str]| {
        Dpkg(&root).run(args);
        let calls = fs::read_to_string(root.join("calls")).unwrap_or_default();
        fs::write(root.join("calls"), "").expect("a file");
        calls.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let configured = |then: &str, action: &str| {
        [
            "deb-systemd-helper unmask yagura.service".to_owned(),
            "deb-systemd-helper --quiet was-enabled yagura.service".to_owned(),
            format!("deb-systemd-helper {then} yagura.service"),
            "systemctl --system daemon-reload".to_owned(),
            format!("deb-systemd-invoke {action} yagura.service"),
        ]
    };
    assert_eq!(dpkg(&["--install", package]), configured("enable", "start"));

    // Both have changed the configuration, and the administrator has disabled the unit: both stay.
    let config = root.join("etc/yagura/yagura.yaml");
    let edited = "# Ours.\njournal: {enabled: false}\n";
    fs::write(&config, edited).expect("a file");
    fs::write(root.join("disabled"), "").expect("a file");
    let later = later(package, folder);
    let calls = dpkg(&["--force-confold", "--install", &later]);
    assert_eq!(calls, configured("update-state", "restart"));
    assert!(Dpkg(&root).run(&["--status", "yagura"]).contains("\nVersion: 999.0\n"));
    assert_eq!(fs::read_to_string(&config).expect("a file"), edited);
    let theirs = fs::read_to_string(config.with_extension("yaml.dpkg-dist")).expect("the new one beside it");
    assert!(theirs.ends_with("# New in this version.\n"), "{theirs}");

    let removed = ["deb-systemd-invoke stop yagura.service", "systemctl --system daemon-reload"];
    assert_eq!(dpkg(&["--remove", "yagura"]), removed);
    assert_eq!(fs::read_to_string(&config).expect("a file"), edited);
    assert_eq!(dpkg(&["--purge", "yagura"]), ["deb-systemd-helper purge yagura.service"]);
    assert!(!root.join("etc/yagura").exists());
}
