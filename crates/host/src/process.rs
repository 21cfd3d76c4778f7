//! What a process gives up at its start so that its memory stays its own.
//!
//! Called once, by the binary, before the first secret is read. It does not lock memory (the `secrets` crate
//! locks the pages that hold keys) and it does not drop privileges (the service manager does). Locks and
//! limits that it sets are inherited by nobody who could raise them again.

use std::io;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Turns core dumps off, and lets no other process of the same user attach or read this one's memory.
///
/// Both are needed. Where `core_pattern` names a pipe (systemd-coredump, apport) the kernel does not honour a
/// core size of zero, and only a process that is not dumpable writes nothing. The limit in turn holds after
/// an `exec`, which makes a process dumpable again.
///
/// A process that is not dumpable can't read its own `/proc/self/maps` and the like any more, unless it runs
/// as root.
///
/// # Errors
///
/// When the kernel refuses: then the process must not go on to handle keys.
pub fn harden() -> Result<Hardening, HardenError> {
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, nothing).map_err(|errno| HardenError::CoreLimit(errno.into()))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| HardenError::Dumpable(errno.into()))?;
    let dumpable = dumpable_behavior().map_err(|errno| HardenError::Dumpable(errno.into()))?;
    Ok(Hardening {
        core_dumps_off: getrlimit(Resource::Core) == nothing,
        undumpable: dumpable == DumpableBehavior::NotDumpable,
        memlock_limit_bytes: getrlimit(Resource::Memlock).current,
    })
}

/// How the process stands after [`harden`], read back from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// RLIMIT_CORE is zero, and can't be raised again without privilege.
    pub core_dumps_off: bool,
    /// PR_SET_DUMPABLE is zero: no core, no ptrace and no `/proc/<pid>/mem` for others of the same user.
    pub undumpable: bool,
    /// RLIMIT_MEMLOCK, in bytes: how much memory may be locked, and so how many keys can be held. `None`
    /// means no limit. A process with CAP_IPC_LOCK is not bound by it.
    pub memlock_limit_bytes: Option<u64>,
}

/// The kernel did not let this process protect its memory.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// RLIMIT_CORE can't be set.
    #[error("core dumps can't be turned off (RLIMIT_CORE); see whether a seccomp profile forbids prlimit64")]
    CoreLimit(#[source] io::Error),
    /// PR_SET_DUMPABLE can't be set or read.
    #[error("the process can't be made undumpable; see whether a seccomp profile forbids prctl")]
    Dumpable(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardened_process_leaves_no_core_and_can_not_take_that_back() {
        let hardening = harden().unwrap();
        assert!(hardening.core_dumps_off && hardening.undumpable);
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }

    #[test]
    fn hardening_twice_changes_nothing() {
        assert_eq!(harden().unwrap(), harden().unwrap());
    }

    #[test]
    fn the_limit_on_locked_memory_is_told_so_that_the_binary_can_warn() {
        assert_eq!(harden().unwrap().memlock_limit_bytes, getrlimit(Resource::Memlock).current);
    }
}
