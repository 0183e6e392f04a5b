//! What the loaded rules want of the kernel side, and the tables that say it to the programs.

use std::collections::BTreeMap;

use exporter_common::{
    event_type::{COMPAT_OFFSET, EVENT_TYPE_SLOTS, EventType, IA32_SOCKETCALL, SYSCALL_TABLE_SIZE},
    object::{IO_URING_ENTER, SOCKETCALL_SLOT, SOCKETCALL_TYPES, URING_ENTER_SLOT},
    wants::{TypeConfig, WANT_EVENT},
};

use crate::rules::Clauses;

/// Per event type what the kernel side is to collect. The hooks of exec, fork and exit run whatever the plan
/// says, because the process table lives on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Indexed by event type id.
    pub types: [TypeConfig; EVENT_TYPE_SLOTS as usize],
    /// What an event of a type must fulfil to be reported. A type that is not here is reported whole.
    pub filters: BTreeMap<EventType, Clauses>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { types: [TypeConfig::default(); EVENT_TYPE_SLOTS as usize], filters: BTreeMap::new() }
    }
}

impl Plan {
    /// Replaces what is wanted of one type.
    pub fn set(&mut self, event_type: EventType, config: TypeConfig) {
        if let Some(slot) = self.types.get_mut(usize::from(event_type.id())) {
            *slot = config;
        }
    }

    /// What is wanted of one type.
    pub fn get(&self, event_type: EventType) -> TypeConfig {
        self.types.get(usize::from(event_type.id())).copied().unwrap_or_default()
    }

    /// The same plan with the bank in which its filters are.
    pub(super) fn with_bank(&self, bank: u32) -> Plan {
        let mut plan = self.clone();
        for event_type in self.filters.keys() {
            plan.set(*event_type, TypeConfig { bank, ..self.get(*event_type) });
        }
        plan
    }

    /// Is this type to be reported?
    pub fn wants(&self, event_type: EventType) -> bool {
        self.get(event_type).wants & WANT_EVENT != 0
    }

    /// The contents of the kernel's table from system call number to event type, for the wanted types that
    /// `available` says can be had. `uring`: requests to io_uring are followed.
    pub(super) fn syscall_table(&self, available: impl Fn(EventType) -> bool, uring: bool) -> Vec<u32> {
        let mut table = vec![0; SYSCALL_TABLE_SIZE as usize];
        let mut set = |nr: u32, value: u32| {
            if let Some(slot) = table.get_mut(nr as usize) {
                *slot = value;
            }
        };
        for event_type in EventType::ALL {
            if !self.wants(*event_type) || !available(*event_type) || !by_sys_exit(*event_type) {
                continue;
            }
            let id = u32::from(event_type.id());
            for nr in event_type.syscalls() {
                set(*nr, id);
            }
            for nr in event_type.compat_syscalls() {
                set(nr + COMPAT_OFFSET, id);
            }
            if SOCKETCALL_TYPES.iter().any(|(_, of_call)| of_call == event_type) {
                set(IA32_SOCKETCALL + COMPAT_OFFSET, SOCKETCALL_SLOT);
            }
        }
        if uring {
            set(IO_URING_ENTER, URING_ENTER_SLOT);
            set(IO_URING_ENTER + COMPAT_OFFSET, URING_ENTER_SLOT);
        }
        table
    }
}

/// Is this type found by `sys_exit`, rather than by a hook of the scheduler alone?
fn by_sys_exit(event_type: EventType) -> bool {
    exporter_common::object::program_of(event_type).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(types: &[EventType], available: impl Fn(EventType) -> bool) -> Vec<(usize, u32)> {
        let mut plan = Plan::default();
        for event_type in types {
            plan.set(*event_type, TypeConfig { wants: WANT_EVENT, ..TypeConfig::default() });
        }
        let table = plan.syscall_table(available, false);
        assert_eq!(table.len(), SYSCALL_TABLE_SIZE as usize);
        table.into_iter().enumerate().filter(|(_, id)| *id != 0).collect()
    }

    #[test]
    fn a_plan_becomes_a_table_of_both_system_call_sets() {
        use EventType::{Clone3, Execve, Open, Procexit, Setuid, Socket};
        type Row = (&'static [EventType], &'static [(usize, u32)]);
        let rows: &[Row] = &[
            (&[], &[]),
            (&[Open], &[(2, 8), (512 + 5, 8)]),
            (&[Setuid], &[(105, 38), (512 + 23, 38), (512 + 213, 38)]),
            // Failed execs come by sys_exit, forks and exits never.
            (&[Execve, Clone3, Procexit], &[(59, 1), (512 + 11, 1)]),
            (&[Socket], &[(41, 17), (512 + 102, 63), (512 + 359, 17)]),
        ];
        for (types, expected) in rows {
            assert_eq!(table(types, |_| true), *expected, "{types:?}");
        }
        assert_eq!(table(&[Open, Setuid], |event_type| event_type != Setuid), [(2, 8), (517, 8)]);
    }

    #[test]
    fn io_uring_enter_is_in_both_tables_while_requests_are_followed() {
        let table = Plan::default().syscall_table(|_| true, true);
        let set: Vec<_> = table.iter().enumerate().filter(|(_, id)| **id != 0).collect();
        assert_eq!(set, [(426, &62), (512 + 426, &62)]);
    }

    #[test]
    fn a_type_with_wants_but_not_the_event_is_off() {
        let mut plan = Plan::default();
        plan.set(EventType::Open, TypeConfig { wants: !WANT_EVENT, max_data: 9, ..TypeConfig::default() });
        assert!(plan.syscall_table(|_| true, false).iter().all(|id| *id == 0));
    }
}
