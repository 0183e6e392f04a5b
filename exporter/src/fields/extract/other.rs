//! `fs.path.*`, `user.*`, `group.*`, `container.id`.

use std::borrow::Cow;

use exporter_common::{event_type::EventType as T, record::SectionKind};

use super::{NOT_AVAILABLE, owned, path};
use crate::{
    enrich::{View, users::User},
    fields::{Value, table::other::OtherField as F},
};

impl<'e> View<'e> {
    pub(super) fn other(&self, field: F) -> Option<Value<'_>> {
        let header = &self.event.header;
        let user = |part: fn(&User) -> &[u8]| {
            let user = self.own_users?.user(header.euid).map(part).filter(|text| !text.is_empty());
            Some(Value::str(user.unwrap_or(NOT_AVAILABLE)))
        };
        match field {
            F::FsName => self.fs_path(SectionKind::Path, SectionKind::PathArg, single),
            F::FsNameRaw => self.fs_raw(SectionKind::PathArg, single),
            F::FsSource => match self.event.event_type() {
                // The target of a symbolic link is text: nothing says that it is a path of the caller's.
                T::Symlink | T::Symlinkat | T::Mount => self.fs_raw(SectionKind::PathArg, double),
                _ => self.fs_path(SectionKind::Path, SectionKind::PathArg, double),
            },
            F::FsSourceRaw => self.fs_raw(SectionKind::PathArg, double),
            F::FsTarget => self.fs_path(SectionKind::Path2, SectionKind::Path2Arg, double),
            F::FsTargetRaw => self.fs_raw(SectionKind::Path2Arg, double),
            F::UserUid => Some(Value::Uint(header.euid.into())),
            F::UserName => Some(Value::str(self.user_name(header.euid)?.unwrap_or(NOT_AVAILABLE))),
            F::UserHomedir => user(|user| &user.home),
            F::UserShell => user(|user| &user.shell),
            F::UserLoginUid => Some(Value::Int(match header.loginuid {
                u32::MAX => -1,
                uid => i64::from(uid),
            })),
            F::UserLoginName => {
                let user = Some(header.loginuid).filter(|uid| *uid != u32::MAX);
                let name = user.and_then(|uid| self.users.user(uid)).map(|user| &*user.name);
                Some(Value::str(name.unwrap_or(NOT_AVAILABLE)))
            }
            F::GroupGid => Some(Value::Uint(header.egid.into())),
            F::GroupName => Some(Value::str(self.group_name(header.egid)?.unwrap_or(NOT_AVAILABLE))),
            F::ContainerId => Some(Value::str(self.container_id()?)),
            F::ContainerFullId => Some(Value::str(self.container()??)),
        }
    }

    fn fs_raw(&self, kind: SectionKind, of: fn(T) -> bool) -> Option<Value<'_>> {
        of(self.event.event_type()).then_some(())?;
        self.event.bytes(kind).map(Value::str)
    }

    fn fs_path(&self, kind: SectionKind, raw: SectionKind, of: fn(T) -> bool) -> Option<Value<'_>> {
        of(self.event.event_type()).then_some(())?;
        self.absolute(kind, raw).map(Value::Str)
    }

    /// A path of the event: resolved by the kernel if it is there, else the argument made absolute as text.
    pub(super) fn absolute(&self, kind: SectionKind, raw: SectionKind) -> Option<Cow<'e, [u8]>> {
        if let Some(path) = self.event.bytes(kind) {
            return Some(Cow::Borrowed(path));
        }
        let dir = match raw {
            SectionKind::Path2Arg => SectionKind::Dir2,
            _ => SectionKind::Dir,
        };
        let raw = self.event.bytes(raw)?;
        let dir = self.event.bytes(dir).or_else(|| self.event.bytes(SectionKind::Cwd));
        match owned(path::join(dir, raw)) {
            Value::Str(path) => Some(path),
            _ => None,
        }
    }
}

/// Calls that work on one path (Falco's `fs.path.name`).
fn single(ty: T) -> bool {
    matches!(
        ty,
        T::Open
            | T::Openat
            | T::Openat2
            | T::OpenByHandleAt
            | T::Creat
            | T::Unlink
            | T::Unlinkat
            | T::Mkdir
            | T::Mkdirat
            | T::Rmdir
            | T::Chmod
            | T::Fchmod
            | T::Fchmodat
            | T::Fchmodat2
            | T::Umount2
    )
}

/// Calls that work on a source and a target.
fn double(ty: T) -> bool {
    matches!(
        ty,
        T::Rename | T::Renameat | T::Renameat2 | T::Link | T::Linkat | T::Symlink | T::Symlinkat | T::Mount
    )
}
