//! Images made of nothing but a static busybox, as archives of `docker save`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// What a pod's sandbox runs.
pub(super) const PAUSE: &str = "localhost/pause:1";

/// An archive of an image with this name, in a folder.
pub(crate) fn archive(name: &str, folder: &Path) -> PathBuf {
    let build = tempfile::tempdir_in(folder).expect("a folder");
    let root = build.path().join("root");
    for dir in ["bin", "etc", "tmp", "proc", "sys", "dev", "var"] {
        fs::create_dir_all(root.join(dir)).expect("a folder");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    // apk is none of its applets: it says so and ends.
    for applet in ["sh", "cat", "sleep", "ls", "true", "id", "apk", "crond"] {
        symlink("busybox", root.join("bin").join(applet)).expect("a link");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")
        .expect("a file");
    fs::write(root.join("etc/shadow"), "root:*:1::::::\n").expect("a file");
    // Images differ in their contents, so in their ids.
    fs::write(root.join("etc/image"), name).expect("a file");
    run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(build.path().join("layer.tar")).arg("."));
    let sum = run(Command::new("sha256sum").arg(build.path().join("layer.tar")));
    let sum = sum.split(' ').next().expect("a digest");
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/bin/sleep", "1000000"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(build.path().join("config.json"), config.to_string()).expect("a file");
    fs::write(build.path().join("manifest.json"), manifest.to_string()).expect("a file");
    let archive = folder.join("image.tar");
    let files = ["manifest.json", "config.json", "layer.tar"];
    run(Command::new("tar").arg("-C").arg(build.path()).arg("-cf").arg(&archive).args(files));
    archive
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
