//! The courier when nothing fails but itself: every letter arrives, once it is written and whenever it is stopped.

use std::sync::Arc;

use openkcm_contracts::{EventType, Lane};
use openkcm_orbital::{Letter, Reading, inbox, outbox};

use crate::fixture::{Landscape, letter, purge_letter, tenant_letter};
use crate::flaky::{Fault, Flaky};
use crate::post::{Author, FACTS, Post, put, reads, soon, until, until_held, until_told};

fn tenants(count: u64, revision: u64) -> Vec<Letter> {
    (0..count).map(|i| tenant_letter(&format!("t{i}"), revision)).collect()
}

#[tokio::test]
async fn every_letter_of_every_lane_arrives_and_is_forgotten() {
    let post = Post::new().await;
    let mut letters = tenants(600, 1);
    letters.extend((0..20).map(|i| purge_letter(&format!("t{i}"), 1)));
    put(&post.author, letters.clone()).await;
    let (_sending, _reading) = (post.send(post.mesh.clone()), post.read(post.mesh.clone()));
    until_held(&post.receiver.store, &letters).await;
    until_told(&post.author).await;
}

#[tokio::test]
async fn a_letter_that_is_written_while_the_courier_waits_is_sent_at_once() {
    let post = Post::new().await;
    let (_sending, _reading) = (post.send(post.mesh.clone()), post.read(post.mesh.clone()));
    for counter in 1..=100 {
        let word = vec![tenant_letter("acme", counter)];
        put(&post.author, word.clone()).await;
        until_held(&post.receiver.store, &word).await;
    }
}

/// Writers that race with the courier's own look into the outbox: no commit may fall between two looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_many_writers_at_once_all_arrive() {
    let post = Post::new().await;
    let (_sending, _reading) = (post.send(post.mesh.clone()), post.read(post.mesh.clone()));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let author = post.author.clone();
        writers.spawn(async move {
            for counter in 1..=40 {
                let letter = |i| tenant_letter(&format!("w{writer}-{i}"), counter);
                put(&author, vec![letter(counter % 5), purge_letter(&format!("w{writer}"), counter)]).await;
            }
        });
    }
    writers.join_all().await;
    let mut newest: Vec<Letter> = Vec::new();
    for writer in 0..8 {
        newest.push(purge_letter(&format!("w{writer}"), 40));
        newest.extend((36..=40).map(|counter| tenant_letter(&format!("w{writer}-{}", counter % 5), counter)));
    }
    until_held(&post.receiver.store, &newest).await;
    until_told(&post.author).await;
}

#[tokio::test]
async fn a_receiver_that_comes_later_finds_the_last_word_of_each_thing() {
    let post = Post::new().await;
    let _sending = post.send(post.mesh.clone());
    for revision in 1..=3 {
        put(&post.author, tenants(300, revision)).await;
        until_told(&post.author).await;
    }
    let reading = post.read(post.mesh.clone());
    soon("all was read", reading.hydrated()).await;
    until_held(&post.receiver.store, &tenants(300, 3)).await;
}

#[tokio::test]
async fn who_waited_for_hydration_holds_everything_that_was_said_before() {
    let post = Post::new().await;
    let sending = post.send(post.mesh.clone());
    put(&post.author, tenants(700, 1)).await;
    put(&post.author, vec![purge_letter("acme", 1)]).await;
    until_told(&post.author).await;
    drop(sending);
    let reading = post.read(post.mesh.clone());
    soon("all was read", reading.hydrated()).await;
    let held = post.receiver.store.read(|view| FACTS.list(view, "", None, usize::MAX)).await.expect("read");
    assert_eq!(held.len(), 701, "committed before hydration was told, not after");
}

#[tokio::test]
async fn streams_that_hold_nothing_hydrate() {
    let post = Post::new().await;
    let reading = post.read(post.mesh.clone());
    soon("nothing was read", reading.hydrated()).await;
    soon("and it can be asked again", reading.hydrated()).await;
}

#[tokio::test]
async fn hydration_is_not_told_while_one_stream_can_not_be_read() {
    let post = Post::new().await;
    let flaky = Flaky::new(post.mesh.clone(), &[], &[]);
    flaky.away.lock().expect("free").push(Lane::Facts);
    let reading = post.read(flaky.clone());
    flaky.tried(20).await;
    tokio::select! {
        biased;
        () = reading.hydrated() => panic!("the facts were never read"),
        () = std::future::ready(()) => {}
    }
    flaky.away.lock().expect("free").clear();
    soon("all was read", reading.hydrated()).await;
}

#[tokio::test]
async fn a_receiver_that_is_stuck_on_one_lane_still_gets_the_urgent_one() {
    let post = Post::new().await;
    post.receiver.stuck.lock().expect("free").push(Lane::Facts);
    let (_sending, _reading) = (post.send(post.mesh.clone()), post.read(post.mesh.clone()));
    put(&post.author, tenants(5_000, 1)).await;
    put(&post.author, vec![purge_letter("acme", 1)]).await;
    until_held(&post.receiver.store, &[purge_letter("acme", 1)]).await;
}

/// Stopped wherever it happens to be, by being dropped, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_courier_that_is_stopped_and_started_again_loses_nothing() {
    let post = Post::new().await;
    let letters = tenants(3_000, 1);
    put(&post.author, letters.clone()).await;
    for at_least in (200..3_000).step_by(400) {
        let (sending, reading) = (post.send(post.mesh.clone()), post.read(post.mesh.clone()));
        let condition = move |view: &dyn openkcm_store::Read| {
            Ok((FACTS.list(view, "", None, usize::MAX)?.len() >= at_least).then_some(()))
        };
        until(&post.receiver.store, "some of it arrives", condition).await;
        drop((sending, reading));
    }
    let (_sending, _reading) = (post.send(post.mesh.clone()), post.read(post.mesh.clone()));
    until_held(&post.receiver.store, &letters).await;
    until_told(&post.author).await;
}

#[tokio::test]
async fn a_receiver_that_starts_again_is_not_handed_what_it_had_committed() {
    let post = Post::new().await;
    let landscape = Landscape::new();
    post.publish(vec![landscape.registry.sign(&tenant_letter("acme", 1))]).await;
    let reading = post.read(post.mesh.clone());
    until_held(&post.receiver.store, &[tenant_letter("acme", 1)]).await;
    drop(reading);
    let facts = &reads()[1];
    let position = post.receiver.store.read({
        let facts = facts.clone();
        move |view| inbox::position(view, &Reading::all(facts))
    });
    assert!(position.await.expect("read").is_some());
    let before = post.receiver.handed().len();
    let reading = post.read(post.mesh.clone());
    soon("all was read", reading.hydrated()).await;
    let again = &post.receiver.handed()[before..];
    assert!(again.iter().all(|handed| handed.revisions.is_empty()), "{again:?}");
}

#[tokio::test]
async fn the_author_is_told_of_each_letter_that_the_mesh_holds() {
    let post = Post::new().await;
    let author = Arc::new(Author::default());
    let _sending = post.send_as(post.mesh.clone(), author.clone());
    put(&post.author, tenants(300, 1)).await;
    until_told(&post.author).await;
    let told: Vec<_> =
        author.told.lock().expect("free").iter().map(|told| told.letter.subject.clone()).collect();
    assert_eq!(told, tenants(300, 1).into_iter().map(|letter| letter.subject).collect::<Vec<_>>());
}

/// A version would stay *at risk* for ever if its maker was not told: the letter waits until that is committed.
#[tokio::test]
async fn a_letter_is_not_forgotten_before_its_author_took_the_news() {
    let post = Post::new().await;
    let author = Arc::new(Author::default());
    *author.refusals.lock().expect("free") = 3;
    put(&post.author, vec![tenant_letter("acme", 1)]).await;
    let _sending = post.send_as(post.mesh.clone(), author.clone());
    until_told(&post.author).await;
    let told = author.told.lock().expect("free").clone();
    assert_eq!(told.len(), 4, "three times in vain, and once more");
    assert!(told.iter().all(|told| told.letter == tenant_letter("acme", 1)));
}

/// An author that was restored from an old backup: what it says is not the newest, and nothing waits for ever.
#[tokio::test]
async fn a_letter_that_the_mesh_knows_better_than_is_forgotten() {
    let post = Post::new().await;
    post.publish(vec![Landscape::new().registry.sign(&tenant_letter("acme", 9))]).await;
    put(&post.author, vec![tenant_letter("acme", 2)]).await;
    let (_sending, _reading) = (post.send(post.mesh.clone()), post.read(post.mesh.clone()));
    until_told(&post.author).await;
    until_held(&post.receiver.store, &[tenant_letter("acme", 9)]).await;
}

/// While a letter is on its way its thing changes: the newer word is not taken for told.
#[tokio::test]
async fn a_word_that_changes_while_it_is_being_sent_is_sent_again() {
    let post = Post::new().await;
    let flaky = Flaky::new(post.mesh.clone(), &[Fault::DoAndFail; 30], &[]);
    put(&post.author, vec![tenant_letter("acme", 1)]).await;
    let (_sending, _reading) = (post.send(flaky.clone()), post.read(post.mesh.clone()));
    for counter in 2..=15 {
        flaky.tried(usize::try_from(counter).expect("small")).await;
        put(&post.author, vec![tenant_letter("acme", counter)]).await;
    }
    until_held(&post.receiver.store, &[tenant_letter("acme", 15)]).await;
    until_told(&post.author).await;
    let left = post.author.read(|view| outbox::depth(view, Lane::Facts)).await.expect("read");
    assert_eq!(left.letters, 0);
}

#[tokio::test]
async fn sealed_copies_wait_until_the_authorities_words_were_read_to_their_ends() {
    let post = Post::new().await;
    let store = post.receiver.store.clone();
    put(&store, vec![letter(EventType::KeySealed)]).await;
    let flaky = Flaky::new(post.mesh.clone(), &[], &[]);
    flaky.away.lock().expect("free").push(Lane::Facts);
    let _core = post.core(flaky.clone());
    flaky.tried(20).await;
    let waits = store.read(|view| outbox::waiting(view, Lane::Sealed, 9)).await.expect("read");
    assert_eq!(waits.len(), 1, "what has ended meanwhile is not known yet");
    flaky.away.lock().expect("free").clear();
    until_told(&store).await;
}
