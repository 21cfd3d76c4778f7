//! Tests of the control loop: what the store refuses is neither lost nor made twice.

use std::collections::HashMap;

use openkcm_contracts::v1::KeyDefine;
use openkcm_contracts::{
    Algorithm, Audience, DefinitionState, Event, Generation, Lane, Layer, RegionId, Revision, ServiceId,
    SystemId, TenantId,
};
use openkcm_host::{BootInstant, ManualClock, SeededEntropy};
use openkcm_orbital::{Intake, Position, Stream, Verified};
use openkcm_roots::Roots;
use openkcm_store::OpenOptions;

use super::*;
use crate::keyring::Keyring;
use crate::store::SLICE;

/// As many as a store keeps connections for, and some.
const READERS: usize = 8;

/// Needs a tokio runtime.
fn control_loop(store: Store) -> ControlLoop {
    let entropy = Arc::new(SeededEntropy::new(1));
    let (inputs, queue) = mpsc::channel(8);
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000), BootInstant::from_nanos(0)));
    let keyring = Arc::new(Keyring::new(clock.clone()));
    let core = Core::new(RegionId::new("a").expect("valid"), keyring.clone(), entropy);
    let pace = crate::rules::PacePolicy::default();
    ControlLoop {
        core: Arc::new(Mutex::new(core)),
        store,
        clock: clock.clone(),
        provider: Provider::new(Roots::default(), pace, clock, keyring, inputs),
        queue,
        intakes: VecDeque::new(),
        traffic: Traffic::default(),
        settled: watch::channel(0).0,
        rotations: HashMap::new(),
        unsettled: false,
        to_catch_up: false,
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

/// So many definitions of services that nobody serves, as one intake.
fn backlog(events: usize) -> Intake {
    let (tenant, system) = (TenantId::new("acme").expect("valid"), SystemId::new("hr").expect("valid"));
    let stream = Stream { lane: Lane::Facts, audience: Audience::Region(RegionId::new("a").expect("valid")) };
    let audience = stream.audience.clone();
    let verified = |number| Verified {
        event: Event::KeyDefine(KeyDefine {
            tenant: tenant.clone(),
            system: system.clone(),
            service: ServiceId::new(&format!("s-{number}")).ok(),
            generation: Generation(Revision::new(1, 1)),
            parent: Generation(Revision::new(1, 1)),
            layer: Layer::L3,
            algorithm: Algorithm::AES256,
            rotate_every: None,
            state: DefinitionState::Defined,
            compromised: [].into(),
        }),
        revision: Revision::new(1, 1),
        audience: audience.clone(),
        author: openkcm_contracts::Role::Registry,
        region: None,
    };
    Intake {
        events: (0..events).map(verified).collect(),
        stream,
        words_of: None,
        poison: Vec::new(),
        dropped: [].into(),
        unbelieved: None,
        position: Some(Position { mesh: "m".into(), sequence: 1 }),
        caught_up: true,
        releases: None,
    }
}

#[tokio::test]
async fn what_comes_while_a_backlog_is_committed_is_taken_between_its_slices() {
    let home = tempfile::tempdir().expect("a directory");
    let spaces = &[store::SPACES, openkcm_orbital::SPACES];
    let options = OpenOptions { path: home.path().join("k.db"), identity: "k".into(), spaces };
    let mut control = control_loop(Store::open(&options).expect("a store"));
    let (inputs, queue) = mpsc::channel(8);
    control.queue = queue;
    let (mut settled, store) = (control.settled.subscribe(), control.store.clone());
    let running = tokio::spawn(control.run());
    let (reply, mut committed) = oneshot::channel();
    let intake = backlog(8 * SLICE);
    let reading = intake.reading();
    inputs.send(Input::Intake(Slices::of(intake).into(), reply)).await.expect("it runs");
    settled.changed().await.expect("the first slice is settled");
    let (reply, rotated) = oneshot::channel();
    inputs.send(Input::Rotate("acme/hr".parse().expect("valid"), reply)).await.expect("it runs");
    assert!(rotated.await.expect("it is answered").is_err(), "nobody linked the tenant");
    assert!(committed.try_recv().is_err(), "slices are left");
    committed.await.expect("it is answered").expect("all is committed");
    let position = store.read(move |view| openkcm_orbital::inbox::position(view, &reading)).await;
    assert!(position.expect("it can be read").is_some());
    running.abort();
}
