//! For each event type: programs do it, and the event's fields are compared with what they did.
//!
//! The rows are in the modules, one a family. `every_event_type_has_its_cases` keeps them complete.

mod compat;
mod opens;
mod paths;
mod processes;
mod sockets;
mod system;
mod tasks;
mod unix;
mod uring;

use std::collections::BTreeSet;

use end_to_end::case::{Case, type_of};
use exporter_common::event_type::EventType;

/// All rows of all families.
const FAMILIES: &[&[Case<'_>]] = &[
    compat::CASES,
    opens::CASES,
    paths::CASES,
    processes::EXECS,
    processes::FORKS,
    sockets::INET,
    unix::CASES,
    sockets::FAILURES,
    system::CASES,
    tasks::CASES,
    uring::CASES,
];

/// Does any field of the row say that the call failed (or, by `false`, succeeded)?
fn outcome(case: &Case<'_>, event_type: EventType, failed: bool) -> bool {
    case.sees.iter().filter(|(selector, _)| type_of(selector) == event_type).any(|(_, fields)| {
        fields.iter().any(|(name, value)| {
            (*name == "evt.failed" && *value == if failed { "true" } else { "false" })
                || (*name == "evt.res" && (*value == "SUCCESS") != failed)
        })
    })
}

#[test]
fn every_event_type_has_its_cases() {
    use EventType::{Clone, Clone3, FinitModule, Fork, InitModule, Procexit, Vfork};
    let has = |failed| -> BTreeSet<EventType> {
        EventType::ALL
            .iter()
            .copied()
            .filter(|ty| FAMILIES.iter().any(|cases| cases.iter().any(|case| outcome(case, *ty, failed))))
            .collect()
    };
    let all: BTreeSet<EventType> = EventType::ALL.iter().copied().collect();
    let without = |exceptions: &[EventType]| -> BTreeSet<EventType> {
        all.iter().copied().filter(|ty| !exceptions.contains(ty)).collect()
    };
    // A module that loads would change the machine. An exit has no result.
    assert_eq!(has(false), without(&[InitModule, FinitModule, Procexit]), "types with a row that succeeds");
    // A process event is a process: a fork that failed made none. An exit cannot fail.
    assert_eq!(has(true), without(&[Fork, Vfork, Clone, Clone3, Procexit]), "types with a row that fails");
}

#[test]
fn io_uring() {
    end_to_end::case::check_all(uring::CASES, |_| ());
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) >= (Some(6), Some(12)) {
        end_to_end::case::check_all(uring::BY_WORKERS, |_| ());
    } else {
        end_to_end::skipped(&format!("Linux {release} does not tell when a worker of a ring is done"));
    }
}

#[test]
fn opens() {
    end_to_end::case::check_all(opens::CASES, |_| ());
}

#[test]
fn paths() {
    end_to_end::case::check_all(paths::CASES, |_| ());
}

#[test]
fn inet_sockets() {
    end_to_end::case::check_all(sockets::INET, |_| ());
}

#[test]
fn unix_sockets() {
    end_to_end::case::check_all(unix::CASES, |_| ());
}

#[test]
fn failing_socket_calls() {
    end_to_end::case::check_all(sockets::FAILURES, |_| ());
}

#[test]
fn execs() {
    end_to_end::case::check_all(processes::EXECS, processes::prepare);
}

#[test]
fn forks_and_exits() {
    end_to_end::case::check_all(processes::FORKS, |_| ());
}

#[test]
fn system_calls() {
    end_to_end::case::check_all(system::CASES, |_| ());
}

#[test]
fn compat_calls() {
    end_to_end::case::check_all(compat::CASES, |_| ());
}

#[test]
fn facts_of_the_task() {
    if end_to_end::kernel_tests_run() {
        let group = end_to_end::cgroups::ContainerGroup::new().expect("a cgroup");
        end_to_end::case::check_all(tasks::CASES, |scratch| {
            scratch.set("cgroup", group.path().to_str().expect("text"));
            scratch.set("cgroup_id", group.inode().to_string());
            scratch.set("container", &group.id()[..12]);
            scratch.set("container_full", group.id());
        });
    }
}
