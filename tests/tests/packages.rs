//! The unit and the Debian package, for machines without Kubernetes.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output},
};

use end_to_end::{daemon::binary, manifest::Manifest, repository};

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
    ] {
        let line = contents.lines().find(|line| line.ends_with(path)).unwrap_or_else(|| panic!("{contents}"));
        assert!(line.starts_with(mode), "{line}");
    }

    let root = folder.path().join("root");
    bare_root(&root);
    let dpkg = |args: &[&str]| {
        // What dpkg wants on its PATH are tools of a whole system; this root is none.
        let log = format!("--log={}", folder.path().join("dpkg.log").display());
        let root = format!("--root={}", root.display());
        run(Command::new("dpkg").args([&*root, &*log, "--force-bad-path"]).args(args))
    };
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
}
