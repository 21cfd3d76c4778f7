//! Tests of the arena that need to look at memory which nobody owns any more, or at the kernel's view of it.
//! Counts are tested on arenas of their own, as other tests use the process's arena at the same time.

use std::collections::HashSet;
use std::process::Command;

use rustix::process::{Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;

fn filled(byte: u8) -> LockedSlot {
    let mut slot = LockedSlot::allocate().unwrap();
    slot.bytes_mut().fill(byte);
    slot
}

#[test]
fn once_a_slot_is_dropped_its_memory_is_zero() {
    // Another test may get the same slot between the drop and the look at it; then try again.
    loop {
        let slot = filled(0xA5);
        let at = slot.at;
        drop(slot);
        let arena = arena();
        if arena.free.contains(&at) {
            // SAFETY: the slot is mapped for ever; as it is free and the arena is held, nobody writes to it.
            let left = unsafe { at.0.read_volatile() };
            assert_eq!(left, [0; SLOT_LEN]);
            return;
        }
    }
}

#[test]
fn a_slot_that_was_used_is_all_zero_for_its_next_owner() {
    drop(filled(0xFF));
    assert_eq!(LockedSlot::allocate().unwrap().bytes(), &[0; SLOT_LEN]);
}

#[test]
fn the_kernel_keeps_keys_out_of_swap_and_core_dumps_and_children() {
    let slot = filled(0x5A);
    let address = slot.bytes().as_ptr().addr();
    let mapping = mapping_of(address).expect("the slot is in one of the process's mappings");
    let flags: Vec<_> = mapping.vm_flags.split_whitespace().collect();
    assert!(flags.contains(&"lo"), "locked: {flags:?}");
    assert!(flags.contains(&"dd"), "not dumped: {flags:?}");
    assert!(flags.contains(&"dc"), "not copied to children: {flags:?}");
    assert!(mapping.locked_kib > 0);
}

/// What the kernel tells of one mapping in `/proc/self/smaps`.
struct Mapping {
    vm_flags: String,
    locked_kib: u64,
}

fn mapping_of(address: usize) -> Option<Mapping> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = smaps.lines().skip_while(|line| {
        let bounds = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let parsed =
            bounds.map(|(low, high)| (usize::from_str_radix(low, 16), usize::from_str_radix(high, 16)));
        !matches!(parsed, Some((Ok(low), Ok(high))) if (low..high).contains(&address))
    });
    let locked = lines.find_map(|line| line.strip_prefix("Locked:"))?;
    let vm_flags = lines.find_map(|line| line.strip_prefix("VmFlags:"))?.to_owned();
    let locked_kib = locked.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(Mapping { vm_flags, locked_kib })
}

#[test]
fn slots_are_packed_without_a_gap_and_never_overlap() {
    let mut arena = Arena::new();
    let count = 3 * SLOTS_PER_CHUNK;
    let addresses: HashSet<_> = (0..count).map(|_| arena.take().unwrap().0.addr().get()).collect();
    assert_eq!(addresses.len(), count);
    assert!(addresses.iter().all(|address| address % SLOT_LEN == 0));
    assert_eq!((arena.slots_in_use, arena.bytes_locked), (count, 3 * CHUNK_LEN));
}

#[test]
fn slots_that_were_given_back_are_used_before_more_memory_is_locked() {
    let mut arena = Arena::new();
    let first: Vec<_> = (0..10_000).map(|_| arena.take().unwrap()).collect();
    let locked = arena.bytes_locked;
    first.iter().for_each(|slot| arena.give_back(*slot));
    assert_eq!(arena.slots_in_use, 0);

    let mut second: Vec<_> = (0..10_000).map(|_| arena.take().unwrap()).collect();
    second.reverse();
    assert!(second == first, "the slot that was given back last goes out first");
    assert_eq!((arena.slots_in_use, arena.bytes_locked), (10_000, locked));
}

#[test]
fn reading_a_slot_waits_for_nobody() {
    let slot = filled(0x77);
    let _held = arena();
    assert_eq!(slot.bytes(), &[0x77; SLOT_LEN]);
}

#[test]
fn threads_that_take_and_give_back_slots_never_meet_in_one() {
    std::thread::scope(|scope| {
        for thread in 1..=8u8 {
            scope.spawn(move || {
                let mut held: Vec<LockedSlot> = Vec::new();
                for round in 0..5_000usize {
                    // Grows and shrinks at different times in different threads.
                    if held.len() > 40 || (round * usize::from(thread)) % 3 == 0 {
                        held.drain(..held.len() / 2);
                    }
                    held.push(filled(thread));
                    assert!(held.iter().all(|slot| slot.bytes() == &[thread; SLOT_LEN]));
                }
            });
        }
    });
}

/// Set for the child process of the tests below: the limit it is to run under, in bytes.
const CHILD_LIMIT: &str = "OPENKCM_TEST_MEMLOCK_BYTES";

#[test]
fn a_limit_that_is_too_low_is_told_with_what_to_do_and_keys_already_held_go_on() {
    let Ok(limit_bytes) = std::env::var(CHILD_LIMIT) else {
        // Limits hold for a whole process, so each case gets one of its own.
        for limit_bytes in [0, 2 * CHUNK_LEN, 2 * CHUNK_LEN + 4_096] {
            run_as_child(
                "a_limit_that_is_too_low_is_told_with_what_to_do_and_keys_already_held_go_on",
                limit_bytes,
            );
        }
        return;
    };
    let limit_bytes: usize = limit_bytes.parse().unwrap();
    live_under_memlock_limit(limit_bytes as u64);

    let whole_chunks = limit_bytes / CHUNK_LEN;
    let mut held: Vec<_> = (0..whole_chunks * SLOTS_PER_CHUNK).map(|_| filled(3)).collect();
    for _ in 0..2 {
        let error = LockedSlot::allocate().map(|_| ()).unwrap_err();
        let LockedMemoryError::LimitTooLow { limit_bytes: limit, in_use_bytes } = error else {
            panic!("not told as a limit: {error:?}");
        };
        assert_eq!((limit, in_use_bytes), (limit_bytes as u64, (whole_chunks * CHUNK_LEN) as u64));
        let told = error.to_string();
        assert!(told.contains("LimitMEMLOCK=") && told.contains("ulimit -l"), "{told}");
    }

    assert!(held.iter().all(|slot| slot.bytes() == &[3; SLOT_LEN]));
    if held.pop().is_some() {
        LockedSlot::allocate().expect("a slot that was given back can be had again");
    }
}

fn run_as_child(test: &str, limit_bytes: usize) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("locked::tests::{test}")])
        .env(CHILD_LIMIT, limit_bytes.to_string())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "under {limit_bytes} bytes: {told}");
}

fn live_under_memlock_limit(limit_bytes: u64) {
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    sets.permitted.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, sets).unwrap();
    let limit = Rlimit { current: Some(limit_bytes), maximum: Some(limit_bytes) };
    setrlimit(Resource::Memlock, limit).unwrap();
}
