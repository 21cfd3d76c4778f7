//! What a mesh may forget, and what it never forgets: the newest word about each thing.

use openkcm_contracts::{Lane, Revision};
use openkcm_orbital::{Message, Published};

use crate::rig::Rig;
use crate::traffic::{
    STEP, all_things, at, bodies, everything, facts, last_words, message, publish, region, store, stream,
    things, with_body,
};

/// Messages of a lane that is not compacted which a mesh must keep for a reader that was away: what a region's
/// Core and two authorities say on it in an hour.
const RECENT: u64 = 256;

pub(crate) async fn a_reader_that_starts_from_nothing_sees_the_last_word_of_each_thing(mesh: impl Rig) {
    let client = mesh.transport();
    for lane in Lane::ALL.into_iter().filter(|lane| lane.compacted()) {
        let stream = stream(lane, region("a"));
        for counter in 1..=4 {
            store(&*client, things(&stream, 3 * STEP, counter)).await;
        }
        let read = everything(&*client, &stream).await;
        assert_eq!(last_words(&read), all_things(3 * STEP, 4), "{stream}");
    }
}

pub(crate) async fn an_older_revision_never_buries_a_newer_one(mesh: impl Rig) {
    let client = mesh.transport();
    store(&*client, vec![message(&facts(), "l1.acme", 9)]).await;
    for older in [8, 1, 0] {
        let answers = publish(&*client, vec![message(&facts(), "l1.acme", older)]).await;
        assert_eq!(answers, [Published::Superseded], "1.{older}");
    }
    assert_eq!(bodies(&everything(&*client, &facts()).await), ["l1.acme@1.9"]);
    store(&*client, vec![message(&facts(), "l1.acme", 10)]).await;
    assert_eq!(last_words(&everything(&*client, &facts()).await)["l1.acme"], "l1.acme@1.10");
}

pub(crate) async fn an_older_revision_in_the_same_batch_buries_nothing(mesh: impl Rig) {
    let client = mesh.transport();
    let batch = [1, 3, 2].map(|counter| message(&facts(), "l1.acme", counter)).into();
    publish(&*client, batch).await;
    let read = everything(&*client, &facts()).await;
    assert_eq!(last_words(&read)["l1.acme"], "l1.acme@1.3", "{:?}", bodies(&read));
}

pub(crate) async fn a_higher_term_wins_over_a_higher_counter(mesh: impl Rig) {
    let client = mesh.transport();
    store(&*client, vec![at(&facts(), "l1.acme", Revision::new(1, u64::MAX))]).await;
    store(&*client, vec![at(&facts(), "l1.acme", Revision::new(2, 1))]).await;
    let answers = publish(&*client, vec![at(&facts(), "l1.acme", Revision::new(1, u64::MAX))]).await;
    assert_eq!(answers, [Published::Superseded]);
    assert_eq!(last_words(&everything(&*client, &facts()).await)["l1.acme"], "l1.acme@2.1");
}

pub(crate) async fn the_same_revision_with_other_content_replaces_what_was_there(mesh: impl Rig) {
    let client = mesh.transport();
    let word = |text: &str| with_body(&facts(), "l1.acme", Revision::new(1, 1), text.into());
    store(&*client, vec![word("what somebody changed")]).await;
    store(&*client, vec![word("what the authority says")]).await;
    assert_eq!(last_words(&everything(&*client, &facts()).await)["l1.acme"], "what the authority says");
}

pub(crate) async fn a_message_without_a_readable_revision_buries_nothing(mesh: impl Rig) {
    let client = mesh.transport();
    store(&*client, vec![message(&facts(), "l1.acme", 1)]).await;
    for garbage in
        [None, Some(""), Some("1"), Some("-1.1"), Some("01.9"), Some("99999999999.1"), Some("1.2.3")]
    {
        let mut unreadable = message(&facts(), "l1.acme", 1);
        unreadable.body = "garbage".into();
        set_revision(&mut unreadable, garbage);
        publish(&*client, vec![unreadable]).await;
        let read = everything(&*client, &facts()).await;
        assert!(bodies(&read).contains(&"l1.acme@1.1".to_owned()), "{garbage:?}: {:?}", bodies(&read));
    }
    let mut first = message(&facts(), "l1.other", 1);
    set_revision(&mut first, None);
    publish(&*client, vec![first]).await;
    store(&*client, vec![message(&facts(), "l1.other", 1)]).await;
    assert_eq!(last_words(&everything(&*client, &facts()).await)["l1.other"], "l1.other@1.1");
}

fn set_revision(message: &mut Message, text: Option<&str>) {
    message.headers.remove("ce-kcmrevision");
    message.headers.extend(text.map(|text| ("ce-kcmrevision".into(), text.into())));
}

pub(crate) async fn a_lane_that_is_not_compacted_keeps_its_recent_messages(mesh: impl Rig) {
    let client = mesh.transport();
    let manifests = stream(Lane::Manifests, openkcm_contracts::Audience::Authorities);
    let newest = 10 * RECENT;
    for from in (1..=newest).step_by(STEP) {
        let batch = (from..from + STEP as u64).map(|counter| message(&manifests, "manifest.a", counter));
        store(&*client, batch.collect()).await;
    }
    let read = bodies(&everything(&*client, &manifests).await);
    let recent: Vec<String> =
        (newest - RECENT + 1..=newest).map(|counter| format!("manifest.a@1.{counter}")).collect();
    assert!(read.ends_with(&recent), "the last {RECENT} of one subject, in order");
}

pub(crate) async fn an_older_revision_is_kept_on_a_lane_that_is_not_compacted(mesh: impl Rig) {
    let client = mesh.transport();
    let manifests = stream(Lane::Manifests, openkcm_contracts::Audience::Authorities);
    for counter in [2, 1] {
        store(&*client, vec![message(&manifests, "manifest.a", counter)]).await;
    }
    let read = bodies(&everything(&*client, &manifests).await);
    assert_eq!(read, ["manifest.a@1.2", "manifest.a@1.1"], "queries of two authorities have no common order");
}
