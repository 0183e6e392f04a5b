//! `type: file`.

use std::collections::HashSet;

use saphyr::Marker;

use super::super::{
    Format,
    walk::{Errors, Map},
};
use crate::sinks::{
    file::{Rotate, Settings},
    tenant_ids::PLACE,
};

const DEFAULT_ROTATE: Rotate = Rotate { max_size: 100 << 20, keep: 5 };

/// `paths` are those of the sinks before it.
pub(super) fn read(
    at: Marker,
    entry: &mut Map<'_>,
    paths: &mut HashSet<String>,
    errors: &mut Errors,
) -> Option<Settings> {
    let path = entry.string("path", errors);
    if path.is_none() {
        errors.at(at, "this sink must have a path".into());
    }
    let path = errors.parsed(path, None, |path| {
        check(path)?;
        if paths.insert(path.clone()) {
            Ok(Some(path.clone()))
        } else {
            Err(format!("a second sink with the path '{path}'"))
        }
    });
    let format = entry.string("format", errors);
    let format = errors.choice(format, &[("json", Format::Json), ("text", Format::Text)], Format::Json);
    let rotate = entry.map("rotate", errors).map(|mut map| {
        let size = map.size("max_size", errors);
        let max_size = errors.parsed(size, DEFAULT_ROTATE.max_size, |&size| {
            if (4 << 10..=1 << 40).contains(&size) {
                Ok(size)
            } else {
                Err(format!("{size} is not between 4KiB and 1024GiB"))
            }
        });
        let keep = map.integer("keep", errors);
        let keep = errors.ranged(keep, 1..=1000, DEFAULT_ROTATE.keep);
        map.finish(errors);
        Rotate { max_size, keep }
    });
    Some(Settings { path: path?, format, rotate })
}

fn check(path: &str) -> Result<(), String> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(format!("'{path}' is not the absolute path of a file"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("'{path}' has '..' in it"));
    }
    if path.replace(PLACE, "").contains(['{', '}']) {
        return Err(format!("'{path}': only {PLACE} can stand in braces"));
    }
    Ok(())
}
