//! Reading: from the beginning, from a position, in order, to the end and beyond it.

use openkcm_contracts::Lane;
use openkcm_orbital::{Delivered, Position};

use crate::rig::Rig;
use crate::traffic::{
    STEP, all_things, bodies, everything, facts, last_words, message, next, region, rest, store, stream,
    subscribe, thing, things, until,
};

fn last_position(read: &[Delivered]) -> Option<Position> {
    read.last().map(|delivered| delivered.position.clone())
}

pub(crate) async fn an_empty_stream_tells_that_it_was_read_to_its_end(mesh: impl Rig) {
    let client = mesh.transport();
    for lane in Lane::ALL {
        let batch = next(&mut *subscribe(&*client, &stream(lane, region("a")), None).await, STEP).await;
        assert!(batch.messages.is_empty() && batch.caught_up, "{lane:?}");
    }
}

/// Whether the last piece is a full one or not: both ways to reach the end are told, and neither too early.
pub(crate) async fn a_stream_that_is_read_in_pieces_tells_its_end_once_it_is_there(mesh: impl Rig) {
    let client = mesh.transport();
    for (name, count) in [("one", 1), ("full", STEP), ("two-full", 2 * STEP), ("more", 2 * STEP + 1)] {
        let stream = stream(Lane::Facts, region(name));
        store(&*client, things(&stream, count, 1)).await;
        let read = everything(&*client, &stream).await;
        assert_eq!(last_words(&read), all_things(count, 1), "all of {count} came before the end was told");
    }
}

pub(crate) async fn one_publishers_words_about_one_thing_keep_their_order(mesh: impl Rig) {
    let client = mesh.transport();
    let manifests = stream(Lane::Manifests, region("a"));
    let mut subscription = subscribe(&*client, &manifests, None).await;
    for counter in 1..=50 {
        // One by one and together: the order is that of the calls, and within a call that of the list.
        store(
            &*client,
            vec![message(&manifests, "query.a", 2 * counter), message(&manifests, "query.b", counter)],
        )
        .await;
        store(&*client, vec![message(&manifests, "query.a", 2 * counter + 1)]).await;
    }
    let read = until(&mut *subscription, "query.a@1.101").await;
    let of = |subject: &str| -> Vec<_> {
        read.iter()
            .filter(|delivered| delivered.message.address.subject == subject)
            .map(|delivered| delivered.message.revision().expect("revisions are intact"))
            .collect()
    };
    assert!(of("query.a").is_sorted() && of("query.a").len() >= 100, "{:?}", of("query.a"));
    assert!(of("query.b").is_sorted() && of("query.b").len() >= 50, "{:?}", of("query.b"));
}

pub(crate) async fn a_waiting_reader_gets_what_comes_later(mesh: impl Rig) {
    let client = mesh.transport();
    let mut subscription = subscribe(&*client, &facts(), None).await;
    assert!(next(&mut *subscription, STEP).await.caught_up);
    let (waited, ()) = tokio::join!(next(&mut *subscription, STEP), async {
        // What comes on other streams is not for this reader, and does not wake it with nothing.
        store(&*client, vec![message(&stream(Lane::Urgent, region("a")), "revoke.acme", 1)]).await;
        store(&*client, vec![message(&facts(), "tenant.acme", 1)]).await;
    });
    assert_eq!(bodies(&waited.messages), ["tenant.acme@1.1"]);
}

pub(crate) async fn a_reader_that_was_away_gets_what_it_missed_from_its_position(mesh: impl Rig) {
    let client = mesh.transport();
    store(&*client, things(&facts(), STEP, 1)).await;
    let position = last_position(&everything(&*client, &facts()).await);
    let missed: Vec<_> = (0..3 * STEP).map(|i| message(&facts(), &format!("l1.t{i}"), 2)).collect();
    store(&*client, missed.clone()).await;
    let read = rest(&mut *subscribe(&*client, &facts(), position).await).await;
    let expected: Vec<String> =
        missed.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect();
    assert_eq!(bodies(&read), expected, "what was read is not read again, what was missed is");
}

pub(crate) async fn a_reader_that_goes_on_gets_the_new_word_of_a_thing_that_it_had_read(mesh: impl Rig) {
    let client = mesh.transport();
    store(&*client, things(&facts(), 2 * STEP, 1)).await;
    let mut subscription = subscribe(&*client, &facts(), None).await;
    let first = next(&mut *subscription, STEP).await.messages;
    // The word at the reader's very position is replaced too: a compacting mesh no longer holds it.
    store(&*client, things(&facts(), 2 * STEP, 2)).await;
    for after in [last_position(&first), None] {
        let read = rest(&mut *subscribe(&*client, &facts(), after).await).await;
        assert_eq!(last_words(&read), all_things(2 * STEP, 2));
    }
    assert_eq!(last_words(&rest(&mut *subscription).await), all_things(2 * STEP, 2));
}

pub(crate) async fn a_position_of_another_mesh_is_none(mesh: impl Rig) {
    let (client, other) = (mesh.transport(), mesh.another_mesh().await);
    store(&*client, things(&facts(), 3, 1)).await;
    store(&*other, things(&facts(), 2, 1)).await;
    let position = last_position(&everything(&*client, &facts()).await);
    let elsewhere = last_position(&everything(&*other, &facts()).await);
    let read = rest(&mut *subscribe(&*other, &facts(), position).await).await;
    assert_eq!(last_words(&read), all_things(2, 1));
    let read = rest(&mut *subscribe(&*client, &facts(), elsewhere).await).await;
    assert_eq!(last_words(&read), all_things(3, 1));
}

/// The mesh was restored from an older copy: it counts again what its readers have passed already, and a reader
/// that kept to its position would miss a revoke.
pub(crate) async fn a_position_that_the_mesh_has_not_come_to_is_none(mesh: impl Rig) {
    let client = mesh.transport();
    store(&*client, things(&facts(), 3, 1)).await;
    let mut position = last_position(&everything(&*client, &facts()).await).expect("something was read");
    position.sequence += 1_000;
    let mut subscription = subscribe(&*client, &facts(), Some(position)).await;
    assert_eq!(last_words(&rest(&mut *subscription).await), all_things(3, 1));
    store(&*client, vec![message(&facts(), "l1.acme", 2)]).await;
    assert_eq!(last_words(&until(&mut *subscription, "l1.acme@1.2").await)["l1.acme"], "l1.acme@1.2");
}

pub(crate) async fn positions_rise_along_a_stream(mesh: impl Rig) {
    let client = mesh.transport();
    for counter in 1..=3 {
        store(&*client, things(&facts(), STEP, counter)).await;
        store(&*client, vec![message(&facts(), "tenant.acme", counter)]).await;
    }
    let read = everything(&*client, &facts()).await;
    let positions: Vec<_> = read.iter().map(|delivered| delivered.position.clone()).collect();
    assert!(
        positions.windows(2).all(|pair| pair[0].mesh == pair[1].mesh && pair[0] < pair[1]),
        "{positions:?}"
    );
}

pub(crate) async fn two_readers_of_one_stream_see_all_of_it_each(mesh: impl Rig) {
    let client = mesh.transport();
    let mut one = subscribe(&*client, &facts(), None).await;
    let mut other = subscribe(&*client, &facts(), None).await;
    store(&*client, things(&facts(), STEP, 1)).await;
    let end = format!("{}@1.1", thing(STEP - 1));
    assert_eq!(last_words(&until(&mut *one, &end).await), all_things(STEP, 1));
    assert_eq!(last_words(&until(&mut *other, &end).await), all_things(STEP, 1));
}
