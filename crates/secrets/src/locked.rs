//! The memory that plaintext keys live in: locked, undumpable, absent in children, zero unless in use.
//!
//! One arena per process hands out slots of 32 bytes, the length of an AES-256 key, and knows nothing of what
//! is in them. It is not an allocator for anything else: locked memory is scarce (8 MiB by default), so slots
//! are packed without headers, and a million keys take 32 MB.
//!
//! What always holds: a slot has one owner; a slot that has none is all zero; a chunk, once mapped, stays
//! mapped and locked for the life of the process, so the arena never shrinks below the most keys it ever
//! held. The arena's lock is taken to get a slot and to give it back, never to read one.
//!
//! This is the only module in the workspace that may use `unsafe`.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use rustix::process::{Resource, getrlimit};
use zeroize::Zeroize;

/// Length of a slot in bytes: one AES-256 key.
pub(crate) const SLOT_LEN: usize = 32;

/// How much is mapped and locked at a time, in bytes: a multiple of every page size that Linux has, little
/// for a process with a few keys, and only some 500 system calls for one with a million.
const CHUNK_LEN: usize = 64 * 1024;

const SLOTS_PER_CHUNK: usize = CHUNK_LEN / SLOT_LEN;

static ARENA: Mutex<Arena> = Mutex::new(Arena::new());

/// How much of the arena is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Slots that hold a key now.
    pub slots_in_use: usize,
    /// Memory that is locked for keys, in bytes, whether slots in it are in use or not.
    pub bytes_locked: usize,
}

/// How much locked memory this process uses for keys.
pub fn usage() -> Usage {
    let arena = arena();
    Usage { slots_in_use: arena.slots_in_use, bytes_locked: arena.bytes_locked }
}

/// A key can't be held, because no memory for it can be protected.
#[derive(Debug, thiserror::Error)]
pub enum LockedMemoryError {
    /// RLIMIT_MEMLOCK does not allow one more chunk.
    #[error(
        "no room for another key: {in_use_bytes} bytes of memory are locked for keys and the limit is \
         {limit_bytes} bytes; raise it (LimitMEMLOCK= in the systemd unit, or ulimit -l in a shell) and restart"
    )]
    LimitTooLow {
        /// The limit of this process, in bytes.
        limit_bytes: u64,
        /// What is locked for keys already, in bytes.
        in_use_bytes: u64,
    },
    /// The kernel refused for another reason.
    #[error("no room for another key: the kernel refused to protect memory for it ({call})")]
    Kernel {
        /// The system call that failed.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A slot of locked memory and the right to use it: all zero when it is allocated and again once dropped.
pub(crate) struct LockedSlot {
    at: SlotPtr,
}

impl LockedSlot {
    /// Takes a slot that nobody uses.
    pub(crate) fn allocate() -> Result<Self, LockedMemoryError> {
        arena().take().map(|at| Self { at })
    }

    /// What is in the slot. Takes no lock.
    pub(crate) fn bytes(&self) -> &[u8; SLOT_LEN] {
        // SAFETY: `at` points to 32 mapped, initialized bytes that are never unmapped, and until `self` is
        // dropped the arena gives them to no one else. `bytes_mut` needs `&mut self`, so nobody writes while
        // this borrow lives.
        unsafe { self.at.0.as_ref() }
    }

    /// The slot's bytes, to write a key in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; SLOT_LEN] {
        // SAFETY: as in `bytes`; and `&mut self` makes this the only borrow.
        unsafe { self.at.0.as_mut() }
    }
}

impl Drop for LockedSlot {
    fn drop(&mut self) {
        // Wiped while this is still the owner, so that the arena only ever sees slots that are zero.
        self.bytes_mut().as_mut_slice().zeroize();
        arena().give_back(self.at);
    }
}

/// The address of a slot in a chunk of the arena.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SlotPtr(NonNull<[u8; SLOT_LEN]>);

// SAFETY: it is only an address, of memory that belongs to the process and not to a thread. Who may follow
// it is argued where it is followed: the slot's one owner, or the arena for a slot that has none.
unsafe impl Send for SlotPtr {}
// SAFETY: as for `Send`.
unsafe impl Sync for SlotPtr {}

fn arena() -> MutexGuard<'static, Arena> {
    // Every change to the arena is complete before anything in it can panic.
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The slots that nobody owns, and the counts.
struct Arena {
    /// Slots that were given back, all zero; the last one goes out first. It lives in ordinary memory: an
    /// address tells nothing.
    free: Vec<SlotPtr>,
    /// The first slot of the newest chunk that was never handed out; meaningless when `fresh_left` is 0.
    fresh: SlotPtr,
    fresh_left: usize,
    slots_in_use: usize,
    bytes_locked: usize,
}

impl Arena {
    const fn new() -> Self {
        let nowhere = SlotPtr(NonNull::dangling());
        Self { free: Vec::new(), fresh: nowhere, fresh_left: 0, slots_in_use: 0, bytes_locked: 0 }
    }

    fn take(&mut self) -> Result<SlotPtr, LockedMemoryError> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.take_fresh()?,
        };
        debug_assert!(Self::is_zero(slot), "a slot without an owner is all zero");
        self.slots_in_use += 1;
        Ok(slot)
    }

    fn take_fresh(&mut self) -> Result<SlotPtr, LockedMemoryError> {
        if self.fresh_left == 0 {
            self.fresh = map_chunk(self.bytes_locked)?;
            self.fresh_left = SLOTS_PER_CHUNK;
            self.bytes_locked += CHUNK_LEN;
        }
        let slot = self.fresh;
        // SAFETY: `fresh_left` slots follow from `fresh` on in the same mapping, at least this one; so the
        // result is inside of it, or one past its end when this was the last.
        self.fresh = SlotPtr(unsafe { slot.0.add(1) });
        self.fresh_left -= 1;
        Ok(slot)
    }

    /// Takes back a slot that its owner has wiped and will not touch again.
    fn give_back(&mut self, slot: SlotPtr) {
        debug_assert!(Self::is_zero(slot), "a slot is wiped before it is given back");
        self.slots_in_use -= 1;
        self.free.push(slot);
    }

    /// Only for a slot that has no owner: the caller holds the arena.
    fn is_zero(slot: SlotPtr) -> bool {
        // SAFETY: the slot is mapped and initialized, and as it has no owner nobody writes to it.
        unsafe { *slot.0.as_ref() == [0; SLOT_LEN] }
    }
}

/// Maps and protects one more chunk, all zero, and gives the address of its first slot.
fn map_chunk(in_use_bytes: usize) -> Result<SlotPtr, LockedMemoryError> {
    let chunk = Chunk::map()?;
    // Locked last: mlock brings the pages in, and they have to be kept out of everything else by then.
    chunk.keep_out_of_dumps()?;
    chunk.keep_out_of_children()?;
    chunk.keep_out_of_swap(in_use_bytes)?;
    Ok(chunk.into_first_slot())
}

/// A chunk on its way into the arena, which nothing refers to yet; unmapped if it does not get there.
struct Chunk(NonNull<c_void>);

impl Chunk {
    fn map() -> Result<Self, LockedMemoryError> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so the mapping replaces nothing that exists.
        let mapped = unsafe { mmap_anonymous(ptr::null_mut(), CHUNK_LEN, access, MapFlags::PRIVATE) };
        let start = mapped.map_err(|errno| kernel("mmap", errno))?;
        Ok(Self(NonNull::new(start).expect("mmap gives no null address unless it is asked for it")))
    }

    fn keep_out_of_dumps(&self) -> Result<(), LockedMemoryError> {
        // SAFETY: exactly this mapping; the advice changes nothing in it.
        unsafe { madvise(self.0.as_ptr(), CHUNK_LEN, Advice::LinuxDontDump) }
            .map_err(|errno| kernel("madvise(MADV_DONTDUMP)", errno))
    }

    /// Not by MADV_WIPEONFORK: a child that went on without exec would find zeros in place of its keys and
    /// encrypt with them. Without the pages it crashes.
    fn keep_out_of_children(&self) -> Result<(), LockedMemoryError> {
        // SAFETY: exactly this mapping; the advice changes nothing in it.
        unsafe { madvise(self.0.as_ptr(), CHUNK_LEN, Advice::LinuxDontFork) }
            .map_err(|errno| kernel("madvise(MADV_DONTFORK)", errno))
    }

    fn keep_out_of_swap(&self, in_use_bytes: usize) -> Result<(), LockedMemoryError> {
        // SAFETY: exactly this mapping; locking changes nothing in it.
        let Err(errno) = (unsafe { mlock(self.0.as_ptr(), CHUNK_LEN) }) else { return Ok(()) };
        // mlock(2): ENOMEM when the limit would be exceeded, EPERM when it is zero; a lack of real memory is
        // EAGAIN.
        match (errno, getrlimit(Resource::Memlock).current) {
            (Errno::NOMEM | Errno::PERM, Some(limit_bytes)) => {
                Err(LockedMemoryError::LimitTooLow { limit_bytes, in_use_bytes: in_use_bytes as u64 })
            }
            _ => Err(kernel("mlock", errno)),
        }
    }

    fn into_first_slot(self) -> SlotPtr {
        let first = self.0.cast();
        // From here on the chunk belongs to the arena, for ever.
        mem::forget(self);
        SlotPtr(first)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: exactly this mapping, and as it never reached the arena no slot of it was handed out.
        // A failure would only leave an empty mapping behind, so it is not reported.
        let _ = unsafe { munmap(self.0.as_ptr(), CHUNK_LEN) };
    }
}

fn kernel(call: &'static str, errno: Errno) -> LockedMemoryError {
    LockedMemoryError::Kernel { call, source: errno.into() }
}

#[cfg(test)]
mod tests;
