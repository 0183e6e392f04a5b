//! `fs.path.*`, `user.*`, `group.*`, and what is known of the container without asking anyone.

use super::fields;

fields! {
    /// Fields of paths, users, groups and the container's id.
    OtherField in Other;
    FsName = "fs.path.name", String, None, One, SYSCALL, 0, "Absolute path of the file that the event works on.";
    FsNameRaw = "fs.path.nameraw", String, None, One, SYSCALL, 0, "The same path as the caller passed it.";
    FsSource = "fs.path.source", String, None, One, SYSCALL, 0, "Absolute path of the source of a rename, link, symlink or mount.";
    FsSourceRaw = "fs.path.sourceraw", String, None, One, SYSCALL, 0, "The same path as the caller passed it.";
    FsTarget = "fs.path.target", String, None, One, SYSCALL, 0, "Absolute path of the target of a rename, link, symlink or mount.";
    FsTargetRaw = "fs.path.targetraw", String, None, One, SYSCALL, 0, "The same path as the caller passed it.";
    UserUid = "user.uid", Uint32, None, One, SYSCALL, 0, "Effective user id.";
    UserName = "user.name", String, None, One, SYSCALL, 0, "Name of the effective user by the /etc/passwd of the process's own root; <NA> if it has none.";
    UserHomedir = "user.homedir", String, None, One, SYSCALL, 0, "Home folder of the effective user by the /etc/passwd of the process's own root; <NA> if it has none.";
    UserShell = "user.shell", String, None, One, SYSCALL, 0, "Login shell of the effective user by the /etc/passwd of the process's own root; <NA> if it has none.";
    UserLoginUid = "user.loginuid", Int64, None, One, SYSCALL, 0, "User id at login, kept across su and sudo; -1 if there was no login.";
    UserLoginName = "user.loginname", String, None, One, SYSCALL, 0, "Name of the user at login by the host's /etc/passwd; <NA> if there was no login.";
    GroupGid = "group.gid", Uint32, None, One, SYSCALL, 0, "Effective group id.";
    GroupName = "group.name", String, None, One, SYSCALL, 0, "Name of the effective group by the /etc/group of the process's own root; <NA> if it has none.";
    ContainerId = "container.id", String, None, One, SYSCALL, 0, "First 12 characters of the container's id, or 'host' for a process outside containers.";
    ContainerFullId = "container.full_id", String, None, One, SYSCALL, 0, "Whole id of the container; absent for a process outside containers.";
}
