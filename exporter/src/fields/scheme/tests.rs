use super::*;

/// How `NAME` or `NAME[ARG]` resolves for kernel events, as text.
fn resolved(source: Source, text: &str) -> String {
    let (name, arg) = match text.split_once('[') {
        Some((name, rest)) => (name, Some(rest.trim_end_matches(']'))),
        None => (text, None),
    };
    match scheme().resolve(source, name, arg) {
        Ok(field) => {
            let name = scheme().def(field.id).name;
            match field.arg {
                FieldArg::None => name.to_owned(),
                FieldArg::Index(index) => format!("{name} #{index}"),
                FieldArg::Key(key) => format!("{name} '{key}'"),
            }
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn names_resolve_as_in_falco() {
    for (text, expected) in [
        ("proc.name", "proc.name"),
        ("proc.aname", "proc.aname"),
        ("proc.aname[2]", "proc.aname #2"),
        ("proc.aname[x]", "field 'proc.aname' takes a number as argument"),
        ("proc.aname.2", "unknown field 'proc.aname.2', did you mean 'proc.aname'?"),
        ("proc.name[1]", "field 'proc.name' takes no argument"),
        ("proc.env[HOME]", "proc.env 'HOME'"),
        ("proc.env[]", "field 'proc.env' has an empty argument"),
        ("proc.aenv[2]", "proc.aenv #2"),
        ("evt.arg.flags", "evt.arg 'flags'"),
        ("evt.arg[flags]", "evt.arg 'flags'"),
        ("evt.arg[0]", "evt.arg #0"),
        ("evt.arg.0", "evt.arg #0"),
        ("evt.arg", "field 'evt.arg' needs a name after a dot or in brackets"),
        ("evt.arg.falgs", "no event type has an argument 'falgs', did you mean 'flags'?"),
        ("evt.rawarg.flags", "evt.rawarg 'flags'"),
        ("evt.rawarg[0]", "field 'evt.rawarg' takes a name: the type at a position differs by event"),
        ("evt.rawarg.falgs", "no event type has an argument 'falgs', did you mean 'flags'?"),
        ("thread.cgroup.cpu", "thread.cgroup 'cpu'"),
        ("evt.arg.zzz", "no event type has an argument 'zzz'"),
        ("evt.type.is.open", "evt.type.is 'open'"),
        ("evt.abspath", "evt.abspath"),
        ("evt.abspath.src", "evt.abspath 'src'"),
        ("evt.abspath.up", "field 'evt.abspath' takes 'src' or 'dst' as argument"),
        ("evt.dir", "evt.dir"),
        (
            "evt.latency",
            "field 'evt.latency' is known but not provided: only the end of a system call is observed",
        ),
        ("fd.nmae", "unknown field 'fd.nmae', did you mean 'fd.name'?"),
        ("fd", "unknown field 'fd'"),
        ("nonsense.field", "unknown field 'nonsense.field'"),
        ("container.image.repository", "container.image.repository"),
        ("container.mount.dest[/proc*]", "container.mount.dest '/proc*'"),
        ("k8s.ns.label.app", "k8s.ns.label 'app'"),
        ("ka.verb", "field 'ka.verb' is not available for source 'syscall'"),
        ("", "unknown field ''"),
        (".", "unknown field '.'"),
        ("évt.arg.flags", "unknown field 'évt.arg.flags'"),
    ] {
        assert_eq!(resolved(Source::Syscall, text), expected, "{text}");
    }
    for (text, expected) in [
        ("ka.verb", "ka.verb"),
        ("evt.time", "evt.time"),
        ("jevt.value[/stage]", "jevt.value '/stage'"),
        ("jevt.value", "field 'jevt.value' needs an argument in brackets"),
        ("ka.req.pod.containers.image[0]", "ka.req.pod.containers.image #0"),
        ("proc.name", "field 'proc.name' is not available for source 'k8s_audit'"),
        ("ka.target.nam", "unknown field 'ka.target.nam', did you mean 'ka.target.name'?"),
    ] {
        assert_eq!(resolved(Source::K8sAudit, text), expected, "{text}");
    }
}

#[test]
fn names_are_unique_and_described() {
    let scheme = scheme();
    assert_eq!(scheme.by_name.len(), scheme.fields.len(), "a name is there twice");
    for def in &scheme.fields {
        assert!(def.description.ends_with('.'), "{}", def.name);
        assert_eq!(def.field.is_some(), def.provided == Provided::Yes, "{}", def.name);
    }
}

#[test]
fn an_argument_takes_any_to_one() {
    for (text, expected) in [
        ("proc.aname", Cardinality::Any),
        ("proc.aname[2]", Cardinality::One),
        ("fd.ip", Cardinality::Any),
        ("proc.name", Cardinality::One),
    ] {
        let (name, arg) =
            text.split_once('[').map_or((text, None), |(n, a)| (n, Some(a.trim_end_matches(']'))));
        let field = scheme().resolve(Source::Syscall, name, arg).unwrap();
        assert_eq!(scheme().cardinality(&field), expected, "{text}");
    }
}

#[test]
fn the_kernel_collects_what_a_field_needs() {
    use exporter_common::wants::WANT_ANCESTORS;
    for (name, ty, wants, exec_wants) in [
        ("proc.name", EventType::Open, 0, 0),
        ("proc.cwd", EventType::Open, WANT_CWD, 0),
        ("proc.aname", EventType::Open, WANT_ANCESTORS, 0),
        ("proc.env", EventType::Open, 0, WANT_ENV),
        ("evt.buffer", EventType::Sendto, WANT_DATA, 0),
        ("evt.arg.data", EventType::Sendto, WANT_DATA, 0),
        ("evt.arg.data", EventType::Open, 0, 0),
        ("evt.arg.cwd", EventType::Execve, WANT_CWD, 0),
        ("evt.arg.flags", EventType::Clone, WANT_THREADS, 0),
        ("evt.arg.flags", EventType::Openat, 0, 0),
    ] {
        let field = scheme().resolve(Source::Syscall, name, None).unwrap();
        assert_eq!(scheme().wants(&field, ty), wants, "{name} {ty:?}");
        assert_eq!(scheme().exec_wants(&field), exec_wants, "{name}");
    }
}

/// Every field that Falco's own list has is known, with the same type, for the same sources.
#[test]
fn falcos_fields_are_known() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/falco/fields.tsv");
    let Ok(list) = std::fs::read_to_string(path) else {
        eprintln!("skipped: {path} is absent");
        return;
    };
    let mut rows = 0;
    for row in list.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [name, ty, source] = columns[..] else { panic!("{row}") };
        // Falco's container plugin is a source of its own; here its fields belong to system calls.
        let source = if source == "container" { "syscall" } else { source };
        let Some(source) = Source::from_name(source) else { continue };
        let id = scheme().by_name.get(name).unwrap_or_else(|| panic!("{name} is unknown"));
        let def = scheme().def(*id);
        assert!(def.sources.contains(&source), "{name} {source:?}");
        let (element, list) = match ty {
            "list(string)" | "string(list)" => ("string", true),
            "dynamic" => ("string", false),
            ty => (ty, false),
        };
        assert_eq!(def.ty.name(), element, "{name}");
        assert_eq!(def.cardinality == Cardinality::List, list, "{name}");
        rows += 1;
    }
    assert!(rows > 300, "{rows}");
}

/// What Falco deprecated of Kubernetes' metadata: all of `k8s.*` but the pod's and the namespace's name.
fn is_deprecated(name: &str) -> bool {
    name.starts_with("k8s.") && !name.starts_with("k8s.pod.") && name != "k8s.ns.name"
}

/// A field is provided, or the documentation says why it is not. `docs.rs` checks that the pages are made
/// from these reasons.
#[test]
fn a_field_is_provided_or_says_why_not() {
    for def in &scheme().fields {
        match def.provided {
            Provided::Yes => assert!(def.field.is_some(), "{} is extracted", def.name),
            Provided::Absent(reason) => {
                assert!(is_deprecated(def.name) && !reason.is_empty(), "{} could be provided", def.name);
            }
            Provided::No(reason) => assert!(reason.len() > 15, "{} gives a reason", def.name),
        }
    }
}

/// Fields that a file's conditions and outputs name, as Falco's language writes them.
fn fields_of(text: &str) -> (std::collections::BTreeSet<String>, std::collections::BTreeSet<String>) {
    let pattern = r"\b(?:evt|syscall|proc|thread|fd|fs|user|group|container|k8s|ka|jevt)\.[a-zA-Z_][a-zA-Z0-9_.]*(?:\[[^\]]*\])?";
    let pattern = regex::Regex::new(pattern).unwrap();
    let (mut conditions, mut outputs) =
        (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    // Descriptions are prose, items are values: only conditions and outputs count.
    let mut key = "";
    for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', '-'])) {
        if let Some((
            word @ ("condition" | "output" | "desc" | "priority" | "tags" | "items" | "enabled"),
            _,
        )) = line.trim_start().split_once(':')
        {
            key = word;
        }
        let found = pattern.find_iter(line).map(|found| found.as_str().trim_end_matches('.').to_owned());
        match key {
            // `k8s.io` is part of a registry's name.
            "condition" => conditions.extend(found.filter(|name| name != "k8s.io")),
            "output" => outputs.extend(found),
            _ => {}
        }
    }
    (conditions, outputs)
}

/// Every field that a stock rule file names can be used and has values, except container metadata; there are as
/// many as the language inventory counts.
#[test]
fn the_stock_rules_fields_can_be_used() {
    use std::collections::BTreeSet;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/falco/rules");
    let [mut all_conditions, mut all] = [BTreeSet::new(), BTreeSet::new()];
    for (file, source) in [
        ("falco_rules.yaml", Source::Syscall),
        ("falco-incubating_rules.yaml", Source::Syscall),
        ("falco-sandbox_rules.yaml", Source::Syscall),
        ("k8s_audit_rules.yaml", Source::K8sAudit),
    ] {
        let Ok(text) = std::fs::read_to_string(format!("{folder}/{file}")) else {
            eprintln!("skipped: {folder}/{file} is absent");
            return;
        };
        let (conditions, outputs) = fields_of(&text);
        assert!(conditions.len() + outputs.len() > 20, "{file}");
        for name in conditions.iter().chain(&outputs) {
            let (bare, arg) = name
                .split_once('[')
                .map_or((name.as_str(), None), |(bare, arg)| (bare, arg.strip_suffix(']')));
            let field = scheme().resolve(source, bare, arg).unwrap_or_else(|error| panic!("{file}: {error}"));
            if source == Source::Syscall {
                assert_eq!(scheme().def(field.id).provided, Provided::Yes, "{file}: {name}");
                // The inventory counts proc.aname[2] and proc.aname[3] as one field.
                all.insert(bare.to_owned());
                if conditions.contains(name) {
                    all_conditions.insert(bare.to_owned());
                }
            }
        }
    }
    assert_eq!((all_conditions.len(), all.len()), (71, 90), "conditions, with outputs: {all:#?}");
}
