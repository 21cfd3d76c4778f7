//! A region that failed is left alone, is tried by one caller at a time, and gets its callers back when it answers.

use std::sync::Arc;
use std::time::Duration;

use openkcm_client::{Client, ClientError, Route};
use openkcm_contracts::ServicePath;
use openkcm_contracts::problem::Code;
use tokio::sync::Notify;

use crate::cores::{Core, Mood, client};
use crate::harness::{clock, key};

async fn served_by(client: &Client, key: &ServicePath) -> String {
    let served = client.core(Route::First).datakey(key, 32).await;
    served.unwrap_or_else(|error| panic!("{error}")).region.to_string()
}

/// Asks until the region is left alone; says how often it was asked.
async fn until_left_alone(client: &Client, core: &Core) -> usize {
    let mut asked = 0;
    loop {
        assert_eq!(served_by(client, &key()).await, "b");
        match core.asked() {
            0 => return asked,
            more => asked += more,
        }
    }
}

#[tokio::test]
async fn a_region_that_fails_again_and_again_is_left_alone_and_gets_its_callers_back_when_it_answers() {
    let (clock, a, b) = (clock(), Core::refusing(Code::NotReady).await, Core::serving().await);
    let client = client(&clock, &[("a", &a), ("b", &b)]).await;
    assert_eq!(until_left_alone(&client, &a).await, 3);
    clock.advance(Duration::from_secs(1));
    assert_eq!(served_by(&client, &key()).await, "b");
    assert_eq!(a.asked(), 1, "one caller has tried it");
    assert_eq!(until_left_alone(&client, &a).await, 0);
    a.set(Mood::Serves);
    assert_eq!(served_by(&client, &key()).await, "b", "nobody knows yet");
    clock.advance(Duration::from_secs(30));
    for _ in 0..3 {
        assert_eq!(served_by(&client, &key()).await, "a");
    }
}

#[tokio::test]
async fn a_region_that_lets_a_caller_wait_is_left_alone_at_once() {
    let (a, b) = (Core::new(Mood::Waits(Arc::new(Notify::new()))).await, Core::serving().await);
    let client = client(&clock(), &[("a", &a), ("b", &b)]).await;
    for _ in 0..10 {
        assert_eq!(served_by(&client, &key()).await, "b");
    }
    assert_eq!(a.asked(), 1);
}

#[tokio::test]
async fn while_one_caller_tries_a_region_the_others_do_not_wait_for_it() {
    let (clock, a, b) = (clock(), Core::refusing(Code::NotReady).await, Core::serving().await);
    let client = client(&clock, &[("a", &a), ("b", &b)]).await;
    until_left_alone(&client, &a).await;
    clock.advance(Duration::from_secs(1));
    let go = Arc::new(Notify::new());
    a.set(Mood::Waits(go.clone()));
    let probe = {
        let client = client.clone();
        tokio::spawn(async move { served_by(&client, &key()).await })
    };
    while a.asked() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        assert_eq!(served_by(&client, &key()).await, "b");
    }
    assert_eq!(a.asked(), 0);
    go.notify_one();
    assert_eq!(probe.await.unwrap(), "a");
    a.set(Mood::Serves);
    assert_eq!(served_by(&client, &key()).await, "a");
}

#[tokio::test]
async fn a_caller_that_gives_up_while_it_tries_a_region_leaves_that_to_the_next() {
    let (clock, a, b) = (clock(), Core::refusing(Code::NotReady).await, Core::serving().await);
    let client = client(&clock, &[("a", &a), ("b", &b)]).await;
    until_left_alone(&client, &a).await;
    clock.advance(Duration::from_secs(1));
    a.set(Mood::Waits(Arc::new(Notify::new())));
    let gone = {
        let client = client.clone();
        tokio::spawn(async move { served_by(&client, &key()).await })
    };
    while a.asked() == 0 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    a.set(Mood::Serves);
    assert_eq!(served_by(&client, &key()).await, "a");
}

#[tokio::test]
async fn where_a_tenant_was_refused_for_now_it_is_not_asked_for_before_its_time_and_others_are() {
    let (clock, a, b) =
        (clock(), Core::new(Mood::Refuses(Code::LeaseExpired, 5)).await, Core::serving().await);
    let client = client(&clock, &[("a", &a), ("b", &b)]).await;
    for _ in 0..10 {
        assert_eq!(served_by(&client, &key()).await, "b");
    }
    assert_eq!(a.asked(), 1);
    let other: ServicePath = "other/hr/payroll".parse().unwrap();
    served_by(&client, &other).await;
    assert_eq!(a.asked(), 1, "what one tenant is refused another may get");
    a.set(Mood::Serves);
    assert_eq!(served_by(&client, &key()).await, "b");
    clock.advance(Duration::from_secs(5));
    assert_eq!(served_by(&client, &key()).await, "a");
}

#[tokio::test]
async fn when_every_region_is_left_alone_the_caller_is_told_at_once_what_they_said() {
    let (clock, a, b) = (clock(), Core::refusing(Code::NotReady).await, Core::refusing(Code::Internal).await);
    let client = client(&clock, &[("a", &a), ("b", &b)]).await;
    let ask = async || client.core(Route::First).datakey(&key(), 32).await.unwrap_err();
    for _ in 0..3 {
        ask().await;
    }
    assert_eq!((a.asked(), b.asked()), (3, 3));
    let error = ask().await;
    assert_eq!((a.asked(), b.asked()), (0, 0));
    let ClientError::NoRegionServes(none) = &error else { panic!("{error}") };
    assert!(none.said().iter().all(|said| !said.asked) && none.said().len() == 2, "{error}");
    assert_eq!(error.code(), Some(Code::NotReady));
    clock.advance(Duration::from_secs(1));
    b.set(Mood::Serves);
    assert_eq!(served_by(&client, &key()).await, "b");
}
