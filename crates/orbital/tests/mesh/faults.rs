//! The courier when everything else fails: the mesh, its answers, the receiver's store, the receiver itself.

use openkcm_contracts::{EventType, Lane, Revision};
use openkcm_host::{SeededEntropy, random_array};
use openkcm_orbital::inbox::{self, QUARANTINE};
use openkcm_orbital::{Letter, Reading};

use crate::fixture::{Landscape, NOW, letter, purge_letter, tenant_letter};
use crate::flaky::{Fault, Flaky};
use crate::post::{Handed, Mishap, Post, put, reads, soon, until_held, until_told};

fn tenants(count: u64, revision: u64) -> Vec<Letter> {
    (0..count).map(|i| tenant_letter(&format!("t{i}"), revision)).collect()
}

#[tokio::test]
async fn a_mesh_that_refuses_many_times_gets_every_letter_in_the_end() {
    for fault in [Fault::Refuse, Fault::DoAndFail, Fault::DoHalfAndFail] {
        let post = Post::new().await;
        let flaky = Flaky::new(post.mesh.clone(), &[fault; 12], &[]);
        put(&post.author, tenants(400, 1)).await;
        let (_sending, _reading) = (post.send(flaky), post.read(post.mesh.clone()));
        until_held(&post.receiver.store, &tenants(400, 1)).await;
        until_told(&post.author).await;
    }
}

#[tokio::test]
async fn subscriptions_that_break_at_any_point_lose_no_event() {
    for fault in [Fault::Refuse, Fault::DoAndFail] {
        let post = Post::new().await;
        let faults: Vec<_> = (0..40).map(|i| if i % 3 == 0 { Fault::None } else { fault }).collect();
        let flaky = Flaky::new(post.mesh.clone(), &[], &faults);
        let _sending = post.send(post.mesh.clone());
        put(&post.author, tenants(900, 1)).await;
        until_told(&post.author).await;
        let reading = post.read(flaky);
        until_held(&post.receiver.store, &tenants(900, 1)).await;
        soon("all was read", reading.hydrated()).await;
    }
}

/// Everything at once, by a seed that is named when it fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_in_whatever_order_the_receiver_ends_with_the_newest_words() {
    for seed in 0..6 {
        let entropy = SeededEntropy::new(seed);
        let faults = || -> Vec<Fault> {
            let fault = |byte: u8| match byte % 5 {
                0 => Fault::Refuse,
                1 => Fault::DoAndFail,
                2 => Fault::DoHalfAndFail,
                _ => Fault::None,
            };
            random_array::<64>(&entropy).map(fault).into()
        };
        let post = Post::new().await;
        let (there, back) = (faults(), faults());
        let flaky = Flaky::new(post.mesh.clone(), &there, &back);
        post.receiver.will(random_array::<16>(&entropy).map(|byte| match byte % 3 {
            0 => Mishap::Refuse,
            1 => Mishap::TakeAndFail,
            _ => Mishap::Panic,
        }));
        let (_sending, _reading) = (post.send(flaky.clone()), post.read(flaky));
        for revision in 1..=5 {
            put(&post.author, tenants(60, revision)).await;
            put(&post.author, vec![purge_letter("acme", revision)]).await;
        }
        let mut newest = tenants(60, 5);
        newest.push(purge_letter("acme", 5));
        println!("seed {seed}");
        until_held(&post.receiver.store, &newest).await;
        until_told(&post.author).await;
    }
}

#[tokio::test]
async fn a_receiver_whose_store_refuses_gets_the_same_again_before_anything_later() {
    let post = Post::new().await;
    let landscape = Landscape::new();
    post.publish(tenants(3, 1).iter().map(|letter| landscape.registry.sign(letter)).collect()).await;
    post.receiver.will([Mishap::Refuse, Mishap::Refuse]);
    let _reading = post.read(post.mesh.clone());
    until_held(&post.receiver.store, &tenants(3, 1)).await;
    let facts: Vec<Handed> = handed_facts(&post);
    assert_eq!(facts.len(), 3, "twice in vain, and once more: {facts:?}");
    assert!(facts.iter().all(|handed| *handed == facts[0]), "{facts:?}");
    assert_eq!(facts[0].revisions, [Revision::new(1, 1); 3]);
}

/// Committed, and the receiver says it was not: the position says that it was, and nothing is applied twice.
#[tokio::test]
async fn a_receiver_whose_answer_is_lost_is_not_handed_what_it_committed() {
    let post = Post::new().await;
    let landscape = Landscape::new();
    post.publish(tenants(3, 1).iter().map(|letter| landscape.registry.sign(letter)).collect()).await;
    post.receiver.will([Mishap::TakeAndFail]);
    let reading = post.read(post.mesh.clone());
    soon("all was read", reading.hydrated()).await;
    until_held(&post.receiver.store, &tenants(3, 1)).await;
    assert_eq!(handed_facts(&post).len(), 1);
}

fn handed_facts(post: &Post) -> Vec<Handed> {
    let handed = post.receiver.handed();
    handed
        .into_iter()
        .filter(|handed| handed.stream.lane == Lane::Facts && !handed.revisions.is_empty())
        .collect()
}

/// A lane that ends in silence would be the worst of failures: nobody would hear of the next revoke.
#[tokio::test]
async fn a_receiver_that_panics_ends_no_lane() {
    let post = Post::new().await;
    let landscape = Landscape::new();
    post.receiver.will([Mishap::Panic, Mishap::Panic, Mishap::Panic]);
    let _reading = post.read(post.mesh.clone());
    post.publish(vec![landscape.registry.sign(&purge_letter("acme", 1))]).await;
    until_held(&post.receiver.store, &[purge_letter("acme", 1)]).await;
}

#[tokio::test]
async fn a_stream_that_starts_over_does_not_count_for_one_that_was_never_read() {
    let post = Post::new().await;
    let landscape = Landscape::new();
    let flaky = Flaky::new(post.mesh.clone(), &[], &[]);
    flaky.away.lock().expect("free").push(Lane::Facts);
    post.receiver.will([Mishap::Panic, Mishap::Refuse, Mishap::Panic, Mishap::TakeAndFail]);
    let reading = post.read(flaky.clone());
    for counter in 1..=5 {
        // Each of these is read to the stream's end anew, four of them from a new start.
        post.publish(vec![landscape.registry.sign(&purge_letter("acme", counter))]).await;
        until_held(&post.receiver.store, &[purge_letter("acme", counter)]).await;
    }
    tokio::select! {
        biased;
        () = reading.hydrated() => panic!("the facts were never read"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn poison_is_put_aside_and_what_comes_after_it_is_applied() {
    let post = Post::new().await;
    let landscape = Landscape::new();
    let later_version = Letter { kind: "openkcm.v2.Key.Rename".into(), ..tenant_letter("poison", 2) };
    let no_body = Letter { body: "{\"tenant\":".into(), ..tenant_letter("damaged", 3) };
    let messages = [
        landscape.registry.sign(&tenant_letter("before", 1)),
        landscape.registry.sign(&later_version),
        landscape.registry.sign(&no_body),
        landscape.stranger.sign(&tenant_letter("forged", 4)),
        landscape.registry.sign(&tenant_letter("after", 5)),
    ];
    post.publish(messages.into()).await;
    let reading = post.read(post.mesh.clone());
    soon("all was read", reading.hydrated()).await;
    until_held(&post.receiver.store, &[tenant_letter("before", 1), tenant_letter("after", 5)]).await;
    let kept = post.receiver.store.read(|view| QUARANTINE.list(view, "", None, 10)).await.expect("read");
    let tenants: Vec<_> = kept.iter().filter_map(|(_, poison)| poison.tenant.as_ref()).collect();
    assert_eq!(kept.len(), 2, "what is not authentic is not kept");
    assert!(tenants.iter().all(|tenant| ["poison", "damaged"].contains(&tenant.as_str())), "{tenants:?}");
    assert!(kept.iter().all(|(_, poison)| poison.at == NOW && !poison.revokes));
}

#[tokio::test]
async fn a_stream_of_nothing_but_poison_is_read_to_its_end_and_on() {
    let post = Post::new().await;
    let landscape = Landscape::new();
    let poison = |i| Letter { body: "{".into(), ..purge_letter(&format!("t{i}"), 1) };
    post.publish((0..700).map(|i| landscape.registry.sign(&poison(i))).collect()).await;
    let reading = post.read(post.mesh.clone());
    soon("all was read", reading.hydrated()).await;
    let urgent = reads()[0].clone();
    let position = post
        .receiver
        .store
        .read(move |view| inbox::position(view, &Reading::all(urgent)))
        .await
        .expect("read");
    assert_eq!(position.expect("it moved").sequence, 700);
    post.publish(vec![landscape.registry.sign(&purge_letter("acme", 2))]).await;
    until_held(&post.receiver.store, &[purge_letter("acme", 2)]).await;
}

#[tokio::test]
async fn the_connection_tells_when_the_mesh_is_away_and_when_it_answers_again() {
    let post = Post::new().await;
    let flaky = Flaky::new(post.mesh.clone(), &[Fault::Refuse; 5], &[]);
    put(&post.author, vec![tenant_letter("acme", 1)]).await;
    let sending = post.send(flaky);
    let mut connection = sending.connection();
    let away =
        soon("it is told", connection.wait_for(|state| state.error.is_some())).await.expect("runs").clone();
    assert!(!away.connected && away.error.is_some_and(|error| error.contains("cut on purpose")));
    let back = soon("it is told", connection.wait_for(|state| state.connected)).await.expect("runs").clone();
    assert_eq!((back.error, back.since), (None, NOW));
}

/// An operator who reads that the mesh is away must not look for it when the disk is full.
#[tokio::test]
async fn a_store_that_refuses_is_not_reported_as_a_mesh_that_is_away() {
    let post = Post::new().await;
    let landscape = Landscape::new();
    post.publish(vec![landscape.registry.sign(&letter(EventType::TenantDefine))]).await;
    post.receiver.will((0..10).map(|_| Mishap::Refuse));
    let reading = post.read(post.mesh.clone());
    let mut connection = reading.connection();
    let answers = connection.wait_for(|state| state.connected && state.unread.is_empty());
    soon("it answers", answers).await.expect("runs");
    connection.mark_unchanged();
    until_held(&post.receiver.store, &[letter(EventType::TenantDefine)]).await;
    assert!(!connection.has_changed().expect("runs"), "{:?}", connection.borrow());
}

/// What works on one lane says nothing of another: an operator must see that no facts come, and whoever waits for
/// them must not take the urgent lane's silence for theirs.
#[tokio::test]
async fn a_lane_that_works_does_not_hide_one_that_does_not() {
    let post = Post::new().await;
    let landscape = Landscape::new();
    let flaky = Flaky::new(post.mesh.clone(), &[], &[]);
    flaky.away.lock().expect("free").push(Lane::Facts);
    let reading = post.read(flaky.clone());
    let mut connection = reading.connection();
    let shows = |lanes: &[Lane]| {
        let lanes: std::collections::BTreeSet<Lane> = lanes.iter().copied().collect();
        move |shown: &openkcm_orbital::Connection| shown.unread == lanes
    };
    soon("only the facts are missing", connection.wait_for(shows(&[Lane::Facts])))
        .await
        .expect("it is held here");
    for revision in 1..=20 {
        post.publish(vec![landscape.registry.sign(&purge_letter("acme", revision))]).await;
        until_held(&post.receiver.store, &[purge_letter("acme", revision)]).await;
        let shown = connection.borrow().clone();
        assert!(!shown.connected && shown.error.is_some(), "{shown:?}");
    }
    flaky.away.lock().expect("free").clear();
    let shown = soon("all are read", connection.wait_for(shows(&[]))).await.expect("it is held here").clone();
    assert!(shown.connected && shown.error.is_none(), "{shown:?}");
}
