//! A store that gives no view for a while.

//! Tests of the control loop: what the store refuses is neither lost nor made twice.

use std::collections::HashMap;

use openkcm_contracts::RegionId;
use openkcm_host::{BootInstant, ManualClock, SeededEntropy};
use openkcm_roots::Roots;
use openkcm_store::OpenOptions;

use super::*;
use crate::keyring::Keyring;

/// As many as a store keeps connections for, and some.
const READERS: usize = 8;

fn control_loop(store: Store) -> ControlLoop {
    let entropy = Arc::new(SeededEntropy::new(1));
    let core = Core::new(RegionId::new("a").expect("valid"), Arc::new(Keyring::default()), entropy);
    let (inputs, queue) = mpsc::channel(8);
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000), BootInstant::from_nanos(0)));
    ControlLoop {
        core: Arc::new(Mutex::new(core)),
        store,
        clock,
        provider: Provider::new(Roots::default(), inputs),
        queue,
        intakes: VecDeque::new(),
        traffic: Traffic::default(),
        settled: watch::channel(0).0,
        rotations: HashMap::new(),
        unsettled: false,
        started: true,
        seen: Timestamp::from_millis(1_000),
    }
}

/// Keeps every connection of the store's busy until this is dropped.
async fn keep_busy(store: &Store) -> Vec<std::sync::mpsc::Sender<()>> {
    let mut busy = Vec::new();
    for _ in 0..READERS {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let store = store.clone();
        tokio::spawn(async move {
            let read = store.read(move |_| {
                began.send(()).map_err(|()| StoreError::Closed)?;
                // Ends when the sender is dropped.
                let _ = released.recv();
                Ok::<_, StoreError>(())
            });
            read.await
        });
        begun.await.expect("it reads");
        busy.push(release);
    }
    busy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_the_store_gives_no_view_waits_for_one_and_is_taken_once() {
    let home = tempfile::tempdir().expect("a directory");
    let (here, away) = (home.path().join("here"), home.path().join("away"));
    std::fs::create_dir(&here).expect("a directory");
    let spaces = &[store::SPACES, openkcm_orbital::SPACES];
    let store = Store::open(&OpenOptions { path: here.join("k.db"), identity: "k".into(), spaces });
    let store = store.expect("a store");
    let mut control = control_loop(store.clone());
    let busy = keep_busy(&store).await;
    // No connection is idle and none can be opened, as when the process has run out of files.
    std::fs::rename(&here, &away).expect("moved");
    let (taken, mut was_taken) = mpsc::channel(8);
    let step = tokio::spawn(async move {
        let step = move |_: &mut Core, _: &dyn Read, _: Timestamp| {
            taken.try_send(()).expect("room");
            Ok(Effects::default())
        };
        control.step(step).await.map(drop).map(|()| control.unsettled)
    });
    tokio::time::sleep(STORE_RETRY / 2).await;
    assert!(!step.is_finished() && was_taken.try_recv().is_err(), "the step can't have had a view");
    std::fs::rename(&away, &here).expect("moved back");
    drop(busy);
    let unsettled = tokio::time::timeout(Duration::from_secs(20), step).await.expect("in time");
    assert!(!unsettled.expect("no panic").expect("taken"));
    assert_eq!((was_taken.recv().await, was_taken.recv().await), (Some(()), None), "exactly once");
}
