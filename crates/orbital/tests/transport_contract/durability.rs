//! Answered is durable; and a crash loses no reader's place.

use openkcm_orbital::{Delivered, Published};

use crate::rig::Rig;
use crate::traffic::{
    STEP, all_things, bodies, everything, facts, last_words, message, next, publish, rest, store, subscribe,
    thing, things, until,
};

pub(crate) async fn what_was_answered_is_there_after_a_crash(mut mesh: impl Rig) {
    for counter in 1..=20 {
        store(&*mesh.transport(), vec![message(&facts(), "tenant.acme", counter)]).await;
        mesh.crash().await;
        let read = everything(&*mesh.transport(), &facts()).await;
        assert_eq!(bodies(&read).last(), Some(&format!("tenant.acme@1.{counter}")));
    }
}

pub(crate) async fn a_crash_forgets_neither_the_newest_revision_nor_the_position(mut mesh: impl Rig) {
    store(&*mesh.transport(), vec![message(&facts(), "l1.acme", 7)]).await;
    let read = everything(&*mesh.transport(), &facts()).await;
    let position = read.last().expect("one message").position.clone();
    mesh.crash().await;
    let client = mesh.transport();
    assert_eq!(publish(&*client, vec![message(&facts(), "l1.acme", 6)]).await, [Published::Superseded]);
    store(&*client, vec![message(&facts(), "l1.other", 1)]).await;
    let read = rest(&mut *subscribe(&*client, &facts(), Some(position)).await).await;
    assert_eq!(bodies(&read), ["l1.other@1.1"], "it is still the same mesh, and read on from the same place");
}

pub(crate) async fn a_reader_that_goes_on_after_a_crash_skips_nothing(mut mesh: impl Rig) {
    store(&*mesh.transport(), things(&facts(), 5 * STEP, 1)).await;
    let mut read = Vec::new();
    loop {
        let client = mesh.transport();
        let after = read.last().map(|last: &Delivered| last.position.clone());
        let mut subscription = subscribe(&*client, &facts(), after).await;
        let batch = next(&mut *subscription, STEP).await;
        let caught_up = batch.caught_up;
        read.extend(batch.messages);
        if caught_up {
            break;
        }
        drop((subscription, client));
        mesh.crash().await;
    }
    assert_eq!(last_words(&read), all_things(5 * STEP, 1));
}

pub(crate) async fn a_message_that_is_published_twice_is_read_at_least_once(mesh: impl Rig) {
    let client = mesh.transport();
    let same = message(&facts(), &thing(1), 1);
    for _ in 0..3 {
        store(&*client, vec![same.clone()]).await;
    }
    store(&*client, vec![same.clone(), same.clone(), message(&facts(), "end", 1)]).await;
    let read = until(&mut *subscribe(&*client, &facts(), None).await, "end@1.1").await;
    assert_eq!(last_words(&read).get(&same.address.subject), Some(&format!("{}@1.1", thing(1))));
    let unaltered = read.iter().filter(|delivered| delivered.message == same).count();
    assert!(unaltered >= 1, "address, headers and body are what was published");
}
