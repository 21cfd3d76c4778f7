//! Callers do not bring down what is failing already: what is sent beyond the calls themselves is bounded, as long as
//! it helps nobody; and is not, where it does.

use openkcm_client::{Budget, Client, Route};
use openkcm_contracts::problem::Code;

use crate::cores::{Core, client};
use crate::harness::{clock, key};

const CALLS: usize = 1_000;
const BUDGET: Budget = Budget { reserve: 20, percent: 10 };

/// How many of many calls are served.
async fn served(client: &Client) -> usize {
    let mut served = 0;
    for _ in 0..CALLS {
        served += usize::from(client.core(Route::First).datakey(&key(), 32).await.is_ok());
    }
    served
}

#[tokio::test]
async fn while_every_region_refuses_the_budget_bounds_what_is_sent() {
    for code in [Code::LeaseExpired, Code::Hydrating, Code::UnknownKey] {
        let regions = [Core::refusing(code).await, Core::refusing(code).await, Core::refusing(code).await];
        let [a, b, c] = &regions;
        let client = client(&clock(), &[("a", a), ("b", b), ("c", c)]).await.with_budget(BUDGET);
        assert_eq!(served(&client).await, 0);
        let sent: usize = regions.iter().map(Core::asked).sum();
        let most = CALLS + CALLS / 10 + 20;
        assert!((CALLS..=most).contains(&sent), "{code}: {sent} requests of {CALLS} calls");
    }
}

#[tokio::test]
async fn while_every_region_is_broken_next_to_nothing_is_sent() {
    let regions = [Core::refusing(Code::NotReady).await, Core::refusing(Code::Internal).await];
    let [a, b] = &regions;
    let client = client(&clock(), &[("a", a), ("b", b)]).await.with_budget(BUDGET);
    assert_eq!(served(&client).await, 0);
    assert_eq!(regions.iter().map(Core::asked).sum::<usize>(), 6);
}

#[tokio::test]
async fn what_another_region_serves_costs_no_budget_however_much_it_is() {
    // Of a ciphertext, so that nothing is remembered of it, and every call asks both regions.
    let (a, b) = (Core::refusing(Code::MaterialNotHere).await, Core::serving().await);
    let client =
        client(&clock(), &[("a", &a), ("b", &b)]).await.with_budget(Budget { reserve: 1, percent: 0 });
    assert_eq!(served(&client).await, CALLS);
    assert_eq!((a.asked(), b.asked()), (CALLS, CALLS));
}

#[tokio::test]
async fn many_callers_at_once_lose_nothing_when_a_region_is_lost() {
    let (a, b) = (Core::refusing(Code::NotReady).await, Core::serving().await);
    let client = client(&clock(), &[("a", &a), ("b", &b)]).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let client = client.clone();
        callers.spawn(async move { client.core(Route::First).datakey(&key(), 32).await });
    }
    while let Some(served) = callers.join_next().await {
        assert_eq!(served.unwrap().unwrap().region.as_str(), "b");
    }
}
