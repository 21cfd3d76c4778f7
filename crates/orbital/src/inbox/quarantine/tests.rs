//! The quarantine: what is found again, what goes first, and what its numbers say.

use openkcm_store::Memory;

use super::*;

const AUTHOR: &str = "0011223344556677";
const OTHER: &str = "8899aabbccddeeff";

fn stream(text: &str) -> Stream {
    text.parse().expect("a stream")
}

fn poison(author: &str, subject: &str, at: u64) -> Quarantined {
    let headers = [("ce-kcmkeyid", author), ("ce-subject", subject), ("ce-kcmrevision", "1.1")];
    Quarantined {
        at: Timestamp::from_millis(at),
        reason: "the type is not known here".into(),
        tenant: crate::Envelope::tenant_of(subject),
        revokes: subject.starts_with("revoke."),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: "{}".into(),
    }
}

fn keep(store: &mut Memory, of: &str, poison: &Quarantined) {
    store.write(|tx| quarantine(tx, &stream(of), poison)).expect("memory takes it");
}

fn let_go(store: &mut Memory, entry: &Entry) -> bool {
    store.write(|tx| release(tx, entry)).expect("memory takes it")
}

fn all() -> Wanted {
    Wanted { limit: usize::MAX, ..Wanted::default() }
}

fn subjects(store: &Memory, wanted: &Wanted) -> (Vec<String>, Option<String>) {
    list(store, wanted, |entry| entry.event.subject().to_owned()).expect("memory can be read")
}

fn entries(store: &Memory) -> Vec<Entry> {
    list(store, &all(), |entry| entry).expect("memory can be read").0
}

#[test]
fn an_entry_is_found_by_its_id_and_released_once() {
    let mut store = Memory::default();
    keep(&mut store, "1.region.a", &poison(AUTHOR, "tenant.acme", 1));
    let entry = entries(&store).remove(0);
    assert_eq!(find(&store, &entry.id).expect("read"), Some(entry.clone()));
    assert_eq!(entry.stream, stream("1.region.a"));
    assert!(let_go(&mut store, &entry) && !let_go(&mut store, &entry));
    assert_eq!(find(&store, &entry.id).expect("read"), None);
    assert_eq!((entries(&store), kept(&store).expect("read")), (vec![], Kept::default()));
}

#[test]
fn a_newer_word_about_the_same_thing_keeps_the_id_and_is_not_released_for_the_older() {
    let mut store = Memory::default();
    let first = poison(AUTHOR, "tenant.acme", 1);
    keep(&mut store, "1.region.a", &first);
    let older = entries(&store).remove(0);
    let mut newer = poison(AUTHOR, "tenant.acme", 2);
    newer.headers.insert("ce-kcmrevision".into(), "1.2".into());
    keep(&mut store, "1.region.a", &newer);
    keep(&mut store, "1.region.a", &first);
    assert!(!let_go(&mut store, &older), "what was tried again is not what is held now");
    let held = entries(&store);
    assert_eq!((held.len(), &held[0].id, &held[0].event), (1, &older.id, &newer));
    assert_eq!(kept(&store).expect("read"), Kept { entries: 1, pushed_out: 0 });
}

#[test]
fn a_list_is_read_in_parts_and_by_stream_and_tenant() {
    let mut store = Memory::default();
    for (of, subject) in [
        ("1.region.a", "key.acme.hr"),
        ("1.region.a", "key.zeta.hr"),
        ("1.region.a", "tenant.acme"),
        ("2.cores", "sealed-l2.b.acme.hr.x"),
    ] {
        keep(&mut store, of, &poison(AUTHOR, subject, 1));
    }
    let of_stream = Wanted { stream: Some(stream("2.cores")), ..all() };
    assert_eq!(subjects(&store, &of_stream), (vec!["sealed-l2.b.acme.hr.x".to_owned()], None));
    let mut wanted = Wanted { tenant: TenantId::new("acme").ok(), limit: 1, ..all() };
    let mut read = Vec::new();
    loop {
        let (part, more) = subjects(&store, &wanted);
        read.extend(part);
        let Some(after) = more else { break };
        wanted.after = Some(after);
    }
    assert_eq!(read, ["key.acme.hr", "tenant.acme", "sealed-l2.b.acme.hr.x"]);
}

#[test]
fn a_filter_that_lets_nothing_through_ends_with_a_place_to_go_on_from() {
    let mut store = Memory::default();
    for number in 0..MAX_LOOKED_AT + 1 {
        keep(&mut store, "1.region.a", &poison(AUTHOR, &format!("key.acme.s{number:05}"), 1));
    }
    let wanted = Wanted { tenant: TenantId::new("zeta").ok(), ..all() };
    let (none, more) = subjects(&store, &wanted);
    assert_eq!(none, [""; 0]);
    assert_eq!(subjects(&store, &Wanted { after: more, ..wanted }), (vec![], None));
}

#[test]
fn beyond_its_bound_an_authors_oldest_entry_goes_and_those_that_revoke_go_last() {
    let mut store = Memory::default();
    let filled = MAX_BYTES / 4;
    let big = |subject: &str, at| Quarantined {
        body: "x".repeat(usize::try_from(filled).expect("it fits")),
        ..poison(AUTHOR, subject, at)
    };
    keep(&mut store, "0.region.a", &poison(OTHER, "key.other", 1));
    keep(&mut store, "0.region.a", &big("revoke.acme", 1));
    for (subject, at) in [("key.b", 3), ("key.a", 2), ("key.c", 4)] {
        keep(&mut store, "0.region.a", &big(subject, at));
    }
    assert_eq!(subjects(&store, &all()).0, ["key.b", "key.c", "revoke.acme", "key.other"]);
    assert_eq!(kept(&store).expect("read"), Kept { entries: 4, pushed_out: 1 });
    for (subject, at) in [("revoke.b", 5), ("revoke.c", 6), ("revoke.d", 7), ("key.late", 8)] {
        keep(&mut store, "0.region.a", &big(subject, at));
    }
    assert_eq!(subjects(&store, &all()).0, ["revoke.b", "revoke.c", "revoke.d", "key.other"]);
}

#[test]
fn small_entries_are_bounded_by_their_number() {
    let mut store = Memory::default();
    let written = store.write(|tx| {
        for number in 0..MAX_ENTRIES + 3 {
            quarantine(tx, &stream("1.region.a"), &poison(AUTHOR, &format!("key.s{number:05}"), number))?;
        }
        Ok::<_, StoreError>(())
    });
    written.expect("memory takes it");
    assert_eq!(kept(&store).expect("read"), Kept { entries: MAX_ENTRIES, pushed_out: 3 });
    assert_eq!(subjects(&store, &Wanted { limit: 1, ..all() }).0, ["key.s00003"]);
}

#[test]
fn a_subject_longer_than_any_of_ours_makes_no_long_key() {
    let mut store = Memory::default();
    let long = format!("key.{}", "x".repeat(10_000));
    keep(&mut store, "1.region.a", &poison(AUTHOR, &long, 1));
    keep(&mut store, "1.region.a", &poison(AUTHOR, "tenant.z", 1));
    let (first, more) = subjects(&store, &Wanted { limit: 1, ..all() });
    assert_eq!(first, [long]);
    assert!(more.expect("there is more").len() < 100);
}
