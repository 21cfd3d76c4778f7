//! Many at once, slow ones, large ones, strange ones.

use std::collections::BTreeSet;

use openkcm_contracts::{Lane, Revision};
use openkcm_orbital::MAX_BODY_LEN;

use crate::rig::Rig;
use crate::traffic::{
    STEP, all_things, bodies, everything, facts, last_words, message, next, publish, region, rest, store,
    stream, subscribe, thing, things, with_body,
};

pub(crate) async fn many_publishers_at_once_lose_nothing(mesh: impl Rig) {
    const PUBLISHERS: usize = 16;
    const WORDS: u64 = 20;
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let client = mesh.transport();
        publishers.spawn(async move {
            for counter in 1..=WORDS {
                // A thing of its own, and one that all speak about, each with words of its own.
                let shared = Revision::new(1, counter * 100 + publisher as u64);
                let own = message(&facts(), &thing(publisher), counter);
                let common = with_body(&facts(), "tenant.all", shared, shared.to_string().into_bytes());
                publish(&*client, vec![own, common]).await;
            }
        });
    }
    let client = mesh.transport();
    let mut live = subscribe(&*client, &facts(), None).await;
    publishers.join_all().await;
    let newest = Revision::new(1, WORDS * 100 + PUBLISHERS as u64 - 1).to_string();
    for read in [everything(&*client, &facts()).await, rest(&mut *live).await] {
        let mut words = last_words(&read);
        assert_eq!(words.remove("tenant.all"), Some(newest.clone()));
        assert_eq!(words, all_things(PUBLISHERS, WORDS));
        let positions: BTreeSet<_> = read.iter().map(|delivered| delivered.position.clone()).collect();
        assert_eq!(positions.len(), read.len(), "no two messages share a place");
    }
}

pub(crate) async fn a_slow_reader_blocks_no_publisher_and_misses_no_last_word(mesh: impl Rig) {
    let client = mesh.transport();
    store(&*client, things(&facts(), 2 * STEP, 1)).await;
    let mut slow = subscribe(&*client, &facts(), None).await;
    let mut read = next(&mut *slow, 1).await.messages;
    // It reads no more while all of this is published and answered.
    for counter in 2..=20 {
        store(&*client, things(&facts(), 4 * STEP, counter)).await;
    }
    read.extend(rest(&mut *slow).await);
    assert_eq!(last_words(&read), all_things(4 * STEP, 20));
}

pub(crate) async fn a_body_as_long_as_there_may_be_comes_through_whole(mesh: impl Rig) {
    let client = mesh.transport();
    for lane in Lane::ALL {
        let stream = stream(lane, region("a"));
        let body: Vec<u8> = (0..MAX_BODY_LEN).map(|i| b'a' + (i % 26) as u8).collect();
        let long = with_body(&stream, "sealed-l3.a.acme.hr.payroll.v", Revision::new(1, 1), body);
        store(&*client, vec![long.clone(), message(&stream, "tenant.acme", 1)]).await;
        let read = everything(&*client, &stream).await;
        assert_eq!(read.len(), 2);
        assert!(read[0].message == long, "{lane:?}: {} bytes came through", read[0].message.body.len());
    }
}

pub(crate) async fn a_body_comes_through_byte_for_byte_whatever_is_in_it(mesh: impl Rig) {
    let client = mesh.transport();
    let strange: [&[u8]; 6] = [
        b"",
        b"\0",
        b"\xff\xfe\x00\x80",
        b"{\"a\":\"\xc3\x28\"}",
        b"\r\n\r\n",
        "\u{2028}\u{feff}é".as_bytes(),
    ];
    for (i, body) in strange.into_iter().enumerate() {
        let sent = with_body(&facts(), &thing(i), Revision::new(1, 1), body.to_vec());
        store(&*client, vec![sent.clone()]).await;
        let read = everything(&*client, &facts()).await;
        assert_eq!(read.last().map(|delivered| &delivered.message), Some(&sent));
    }
}

pub(crate) async fn an_empty_publication_is_answered(mesh: impl Rig) {
    let client = mesh.transport();
    store(&*client, Vec::new()).await;
    assert!(bodies(&everything(&*client, &facts()).await).is_empty());
}
