//! What one region refuses for a reason of its own another serves; what the tenant has ended no region is asked for.

use std::net::SocketAddr;

use openkcm_client::{Client, ClientError, Patience, Route};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{KeyPath, RegionId};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::cores::{Core, Mood, client};
use crate::harness::{client_of, clock, key, nobody};

/// Codes that are of one region alone.
const ELSEWHERE: [Code; 12] = [
    Code::LeaseExpired,
    Code::Hydrating,
    Code::MaterialNotHere,
    Code::L1Unreachable,
    Code::L1Misconfigured,
    Code::NotYetKnown,
    Code::UnknownKey,
    Code::NotReady,
    Code::StoreUnavailable,
    Code::RequestTimeout,
    Code::LockedMemoryExhausted,
    Code::Internal,
];

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

/// The region that makes a data key.
async fn served_by(client: &Client) -> String {
    let served = client.core(Route::First).datakey(&key(), 32).await;
    served.unwrap_or_else(|error| panic!("{error}")).region.to_string()
}

#[tokio::test]
async fn what_a_region_refuses_for_a_reason_of_its_own_the_next_one_serves() {
    for code in ELSEWHERE {
        let (a, b) = (Core::refusing(code).await, Core::serving().await);
        let client = client(&clock(), &[("a", &a), ("b", &b)]).await;
        let core = client.core(Route::First);
        let served = core.encrypt(&key(), b"x", None).await.unwrap();
        assert_eq!(served.region.as_str(), "b", "{code}");
        let said = &served.passed_over[0];
        assert_eq!((said.region.as_str(), said.asked), ("a", true));
        assert_eq!(said.problem.as_ref().and_then(|problem| problem.code), Some(code));
        assert_eq!(core.decrypt(&key(), "kcm1.x", None).await.unwrap().region.as_str(), "b", "{code}");
        assert_eq!(core.datakey(&key(), 32).await.unwrap().region.as_str(), "b", "{code}");
    }
}

#[tokio::test]
async fn what_has_ended_everywhere_is_asked_for_in_one_region_and_once() {
    for code in Code::ALL.iter().copied().filter(|code| !ELSEWHERE.contains(code)) {
        let (a, b) = (Core::refusing(code).await, Core::serving().await);
        let client = client(&clock(), &[("a", &a), ("b", &b)]).await.with_patience(Patience::INTERACTIVE);
        let core = client.core(Route::First);
        for error in [
            core.encrypt(&key(), b"x", None).await.unwrap_err(),
            core.decrypt(&key(), "kcm1.x", None).await.unwrap_err(),
            core.datakey(&key(), 32).await.unwrap_err(),
        ] {
            assert_eq!(error.code(), Some(code));
        }
        assert_eq!((a.asked(), b.asked()), (3, 0), "{code}");
    }
}

#[tokio::test]
async fn what_a_later_region_says_for_good_ends_the_search() {
    let (a, b, c) = (
        Core::refusing(Code::LeaseExpired).await,
        Core::refusing(Code::TenantUnlinked).await,
        Core::serving().await,
    );
    let client = client(&clock(), &[("a", &a), ("b", &b), ("c", &c)]).await;
    let error = client.core(Route::First).datakey(&key(), 32).await.unwrap_err();
    assert_eq!((error.code(), c.asked()), (Some(Code::TenantUnlinked), 0));
}

/// Takes each request, and hangs up instead of an answer.
async fn hangs_up() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16];
            assert!(stream.read(&mut request).await.unwrap() > 0);
        }
    });
    addr
}

#[tokio::test]
async fn a_region_that_is_lost_before_or_amid_an_answer_is_replaced_by_the_next() {
    for lost in [nobody().await, hangs_up().await] {
        let b = Core::serving().await;
        let client = client_of(nobody().await, &[("a", lost), ("b", b.addr)]);
        for _ in 0..10 {
            assert_eq!(served_by(&client).await, "b");
        }
    }
}

#[tokio::test]
async fn what_changes_something_stays_in_its_region() {
    for code in [Code::LeaseExpired, Code::NotReady, Code::UnknownKey] {
        let (a, b) = (Core::refusing(code).await, Core::serving().await);
        let client = client(&clock(), &[("a", &a), ("b", &b)]).await;
        let core = client.core(Route::First);
        let rotated = core.rotate(&KeyPath::Service(key())).await.unwrap_err();
        let rewrapped = core.rewrap(&key(), "kcm1.x", None).await.unwrap_err();
        assert_eq!((rotated.code(), rewrapped.code(), b.asked()), (Some(code), Some(code), 0));
    }
    let b = Core::serving().await;
    let client = client_of(nobody().await, &[("a", nobody().await), ("b", b.addr)]);
    let error = client.core(Route::First).rotate(&KeyPath::Service(key())).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }) && b.asked() == 0);
}

#[tokio::test]
async fn when_no_region_serves_each_tells_why_and_the_most_useful_code_is_given() {
    let (a, b) = (Core::refusing(Code::UnknownKey).await, Core::refusing(Code::LeaseExpired).await);
    let regions = [("a", a.addr), ("b", b.addr), ("c", nobody().await)];
    let client = client_of(nobody().await, &regions);
    let error = client.core(Route::First).datakey(&key(), 32).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::LeaseExpired));
    let ClientError::NoRegionServes(none) = &error else { panic!("{error}") };
    let told: Vec<_> = none.said().iter().map(|said| said.region.as_str()).collect();
    assert_eq!(told, ["a", "b", "c"]);
    let text = error.to_string();
    for said in ["unknown_key", "lease_expired", "region c: the Core of region c at http://127.0.0.1:"] {
        assert!(text.contains(said), "{text}");
    }
}

#[tokio::test]
async fn a_region_that_was_named_alone_is_asked_whatever_is_known_of_it() {
    let (a, b) = (Core::refusing(Code::NotReady).await, Core::serving().await);
    let client = client(&clock(), &[("a", &a), ("b", &b)]).await;
    for _ in 0..10 {
        assert_eq!(served_by(&client).await, "b");
    }
    a.asked();
    let only = client.core(Route::Only(region("a")));
    for _ in 0..10 {
        let error = only.datakey(&key(), 32).await.unwrap_err();
        assert!(matches!(error, ClientError::Problem(_)), "{error}");
    }
    assert_eq!(a.asked(), 10);
}

#[tokio::test]
async fn the_order_of_a_tenants_regions_is_learned_from_the_cores() {
    let (a, b, c) = (Core::refusing(Code::UnknownKey).await, Core::serving().await, Core::serving().await);
    b.tell("c, b");
    let client = client(&clock(), &[("a", &a), ("b", &b), ("c", &c)]).await;
    assert_eq!(served_by(&client).await, "b", "nothing is known yet");
    for _ in 0..3 {
        assert_eq!(served_by(&client).await, "c");
    }
    assert_eq!((a.asked(), b.asked(), c.asked()), (1, 1, 3));
    let preferred = client.core(Route::Prefer(region("b"))).datakey(&key(), 32).await.unwrap();
    assert_eq!(preferred.region.as_str(), "b", "a nearer region that is one of the tenant's");
    let preferred = client.core(Route::Prefer(region("a"))).datakey(&key(), 32).await.unwrap();
    assert_eq!((preferred.region.as_str(), a.asked()), ("c", 0), "and one that is not");
}

#[tokio::test]
async fn a_refusal_for_now_tells_the_tenants_regions_too() {
    let (a, b, c) = (Core::refusing(Code::LeaseExpired).await, Core::serving().await, Core::serving().await);
    a.tell("a, c");
    let client = client(&clock(), &[("a", &a), ("b", &b), ("c", &c)]).await;
    assert_eq!((served_by(&client).await.as_str(), b.asked()), ("c", 0));
}

#[tokio::test]
async fn a_tenant_that_was_moved_is_found_though_the_list_is_out_of_date() {
    let (a, b) = (Core::serving().await, Core::serving().await);
    a.tell("a");
    let client = client(&clock(), &[("a", &a), ("b", &b)]).await;
    assert_eq!(served_by(&client).await, "a");
    a.set(Mood::Refuses(Code::UnknownKey, 0));
    b.tell("b");
    assert_eq!(served_by(&client).await, "b");
    a.asked();
    assert_eq!((served_by(&client).await.as_str(), a.asked()), ("b", 0));
}

#[tokio::test]
async fn a_key_that_no_region_knows_is_unknown() {
    let (a, b) = (Core::refusing(Code::UnknownKey).await, Core::refusing(Code::UnknownKey).await);
    let client = client(&clock(), &[("a", &a), ("b", &b)]).await;
    for _ in 0..3 {
        let error = client.core(Route::First).datakey(&key(), 32).await.unwrap_err();
        assert_eq!((error.code(), a.asked(), b.asked()), (Some(Code::UnknownKey), 1, 1));
    }
}

#[tokio::test]
async fn what_every_region_refuses_for_now_is_asked_for_again_until_one_serves() {
    let (a, b) = (Core::refusing(Code::Hydrating).await, Core::refusing(Code::Hydrating).await);
    let client = client(&clock(), &[("a", &a), ("b", &b)]).await.with_patience(Patience::INTERACTIVE);
    let asking = tokio::spawn(async move { served_by(&client).await });
    while b.asked() == 0 {
        tokio::task::yield_now().await;
    }
    b.set(Mood::Serves);
    assert_eq!(asking.await.unwrap(), "b");
}

#[tokio::test]
async fn a_region_that_asked_for_time_is_not_asked_again_before_by_the_same_call() {
    let (a, b) =
        (Core::new(Mood::Refuses(Code::Hydrating, 3_600)).await, Core::refusing(Code::Hydrating).await);
    let client = client(&clock(), &[("a", &a), ("b", &b)]).await.with_patience(Patience::INTERACTIVE);
    let asking = tokio::spawn(async move { served_by(&client).await });
    let mut times = 0;
    while times < 3 {
        times += b.asked();
        tokio::task::yield_now().await;
    }
    b.set(Mood::Serves);
    assert_eq!((asking.await.unwrap().as_str(), a.asked()), ("b", 1));
}
