//! A broker keeps what it acknowledged, over whatever is done to it.

use std::fs;

use async_nats::Client;
use async_nats::jetstream::{self, stream};
use openkcm_harness::Nats;

const STREAM: &str = "WORDS";

/// A connection that a test makes anew after each start, so that it waits for no attempt of an old one.
async fn client(nats: &Nats) -> Client {
    async_nats::connect(nats.url()).await.expect("the broker accepts")
}

async fn make_stream(nats: &Nats) {
    let config =
        stream::Config { name: STREAM.into(), subjects: vec!["words.>".into()], ..Default::default() };
    jetstream::new(client(nats).await).create_stream(config).await.expect("a new stream");
}

/// Publishes until acknowledged, which means synced.
async fn say(nats: &Nats, word: &'static str) {
    let jetstream = jetstream::new(client(nats).await);
    let acknowledged = jetstream.publish(format!("words.{word}"), word.into()).await.expect("it is sent");
    acknowledged.await.expect("it is stored");
}

async fn count(nats: &Nats) -> u64 {
    jetstream::new(client(nats).await)
        .get_stream(STREAM)
        .await
        .expect("the stream is there")
        .cached_info()
        .state
        .messages
}

#[tokio::test]
async fn a_broker_that_was_killed_or_stopped_comes_back_with_its_address_and_its_stream() {
    let mut nats = Nats::start().await;
    make_stream(&nats).await;
    say(&nats, "one").await;
    let (url, pid) = (nats.url().to_owned(), nats.pid());
    nats.kill();
    assert!(!nats.is_running());
    nats.start_again().await;
    assert_eq!(nats.url(), url);
    assert_ne!(nats.pid(), pid);
    assert_eq!(count(&nats).await, 1);
    say(&nats, "two").await;
    nats.stop().await;
    nats.start_again().await;
    assert_eq!(count(&nats).await, 2);
}

#[tokio::test]
async fn a_broker_comes_back_every_time_however_often_it_is_killed() {
    let mut nats = Nats::start().await;
    make_stream(&nats).await;
    for _ in 0..20 {
        nats.kill();
        nats.start_again().await;
    }
    assert_eq!(count(&nats).await, 0);
}

#[tokio::test]
async fn a_restored_broker_has_forgotten_what_came_after_the_copy() {
    let mut nats = Nats::start().await;
    make_stream(&nats).await;
    say(&nats, "one").await;
    let copy = nats.copy_store().await;
    say(&nats, "two").await;
    assert_eq!(count(&nats).await, 2);
    nats.stop().await;
    nats.restore_from(&copy);
    nats.start_again().await;
    assert_eq!(count(&nats).await, 1);
}

#[tokio::test]
async fn a_frozen_broker_answers_when_it_is_thawed() {
    let nats = Nats::start().await;
    let client = client(&nats).await;
    nats.freeze();
    assert!(nats.is_running());
    let flushed = tokio::spawn(async move { client.flush().await });
    nats.thaw();
    flushed.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broker_reads_its_configuration_again_without_a_restart() {
    let nats = Nats::start().await;
    let text = fs::read_to_string(nats.configuration()).unwrap();
    fs::write(nats.configuration(), format!("{text}max_payload: 2048\n")).unwrap();
    let pid = nats.pid();
    nats.reload().await;
    assert_eq!(nats.pid(), pid);
    assert_eq!(client(&nats).await.server_info().max_payload, 2048);
}

#[tokio::test]
#[should_panic(expected = "nats-server refused")]
async fn a_configuration_that_the_broker_refuses_fails_the_test() {
    let nats = Nats::start().await;
    fs::write(nats.configuration(), "listen: {").unwrap();
    nats.reload().await;
}
