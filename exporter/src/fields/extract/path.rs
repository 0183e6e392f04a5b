//! Paths as text: joined and normalised without looking at any file system.

/// Joins a folder and a path as a caller passed it, and normalises: no `.`, no `..`, no double slash. An
/// absolute path ignores the folder. Without a folder a relative path stays as it is.
pub fn join(dir: Option<&[u8]>, path: &[u8]) -> Vec<u8> {
    let absolute = path.first() == Some(&b'/');
    let Some(dir) = dir.filter(|_| !absolute).or(absolute.then_some(b"")) else { return path.to_vec() };
    let mut joined = Vec::with_capacity(dir.len() + path.len() + 1);
    for component in dir.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match component {
            b"" | b"." => {}
            b".." => {
                let parent = joined.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                joined.truncate(parent);
            }
            name => {
                joined.push(b'/');
                joined.extend_from_slice(name);
            }
        }
    }
    if joined.is_empty() {
        joined.push(b'/');
    }
    joined
}

/// The folder part, as Falco cuts it: `/` for what is directly below the root.
pub fn directory(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None | Some(0) => b"/",
        Some(slash) if slash + 1 == path.len() => path,
        Some(slash) => path.get(..slash).unwrap_or_default(),
    }
}

/// The last part.
pub fn filename(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None => b"/",
        Some(slash) if slash + 1 == path.len() => path,
        Some(slash) => path.get(slash + 1..).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_normalised() {
        for (dir, path, expected) in [
            (Some("/home/a"), "b", "/home/a/b"),
            (Some("/home/a"), "../b/./c", "/home/b/c"),
            (Some("/home/a"), "/etc//shadow", "/etc/shadow"),
            (Some("/"), "x", "/x"),
            (Some("/a"), "../../../x", "/x"),
            (Some("/a"), "", "/a"),
            (Some("/a"), "..", "/"),
            (Some("/a"), "b/", "/a/b"),
            (None, "b/../c", "b/../c"),
            (None, "/a/../etc/shadow", "/etc/shadow"),
            (Some(""), "x", "/x"),
            (Some("/a"), "...", "/a/..."),
        ] {
            let joined = join(dir.map(str::as_bytes), path.as_bytes());
            assert_eq!(String::from_utf8_lossy(&joined), expected, "{dir:?} {path}");
        }
    }

    #[test]
    fn paths_are_cut_as_in_falco() {
        for (path, dir, file) in [
            ("/etc/shadow", "/etc", "shadow"),
            ("/x", "/", "x"),
            ("/a/b/", "/a/b/", "/a/b/"),
            ("x", "/", "/"),
        ] {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(
                (text(directory(path.as_bytes())), text(filename(path.as_bytes()))),
                (dir.into(), file.into())
            );
        }
    }
}
