//! Streams are apart: by audience, so that nobody reads what is another's, and by lane, so that none waits for another.

use openkcm_contracts::{Audience, Lane, RegionId};

use crate::rig::Rig;
use crate::traffic::{
    STEP, bodies, everything, facts, message, next, region, store, stream, subscribe, things,
};

pub(crate) async fn a_region_never_sees_what_is_told_to_another(mesh: impl Rig) {
    let client = mesh.transport();
    // Names of which one is the beginning of another, or reads like a place within it.
    let regions = ["a", "a-1", "a1", "b", "region", "0"];
    for lane in Lane::ALL {
        for name in regions {
            let told = stream(lane, region(name));
            store(&*client, vec![message(&told, &format!("for-{name}"), 1)]).await;
        }
        for name in regions {
            let read = bodies(&everything(&*client, &stream(lane, region(name))).await);
            assert_eq!(read, [format!("for-{name}@1.1")], "{lane:?}");
        }
    }
}

pub(crate) async fn an_authority_and_a_region_of_its_name_are_two_audiences(mesh: impl Rig) {
    let client = mesh.transport();
    let authorities = [Audience::Cmk, Audience::Registry, Audience::Authorities, Audience::Cores];
    for audience in authorities {
        let name = RegionId::new(&audience.to_string()).expect("a label");
        store(&*client, vec![message(&stream(Lane::Facts, audience.clone()), "authority", 1)]).await;
        store(&*client, vec![message(&stream(Lane::Facts, Audience::Region(name.clone())), "region", 1)])
            .await;
        let heard = everything(&*client, &stream(Lane::Facts, audience)).await;
        assert_eq!(bodies(&heard), ["authority@1.1"]);
        let heard = everything(&*client, &stream(Lane::Facts, Audience::Region(name))).await;
        assert_eq!(bodies(&heard), ["region@1.1"]);
    }
}

pub(crate) async fn the_lanes_of_an_audience_are_read_apart(mesh: impl Rig) {
    let client = mesh.transport();
    let of = |lane: Lane| stream(lane, region("a"));
    store(&*client, Lane::ALL.map(|lane| message(&of(lane), &format!("lane-{}", lane.number()), 1)).into())
        .await;
    for lane in Lane::ALL {
        let read = everything(&*client, &of(lane)).await;
        assert_eq!(bodies(&read), [format!("lane-{}@1.1", lane.number())]);
        assert!(read.iter().all(|delivered| delivered.message.address.stream == of(lane)));
    }
}

pub(crate) async fn the_same_thing_on_two_streams_is_compacted_apart(mesh: impl Rig) {
    let client = mesh.transport();
    let elsewhere = stream(Lane::Facts, region("b"));
    store(&*client, vec![message(&facts(), "tenant.acme", 5)]).await;
    store(&*client, vec![message(&elsewhere, "tenant.acme", 4)]).await;
    assert_eq!(bodies(&everything(&*client, &facts()).await), ["tenant.acme@1.5"]);
    assert_eq!(bodies(&everything(&*client, &elsewhere).await), ["tenant.acme@1.4"]);
}

/// By order and not by the clock: the first thing that a reader of lane 0 gets is the revoke, while the backlog of
/// lane 1 that was published before it has hardly been begun.
pub(crate) async fn a_backlog_of_facts_does_not_delay_a_revoke(mesh: impl Rig) {
    const BACKLOG: usize = 5_000;
    let client = mesh.transport();
    let urgent = stream(Lane::Urgent, region("a"));
    let mut revokes = subscribe(&*client, &urgent, None).await;
    let mut backlog = subscribe(&*client, &facts(), None).await;
    assert!(next(&mut *revokes, STEP).await.caught_up);
    for some in things(&facts(), BACKLOG, 1).chunks(500) {
        store(&*client, some.to_vec()).await;
    }
    let begun = next(&mut *backlog, STEP).await;
    store(&*client, vec![message(&urgent, "revoke.acme", 1)]).await;
    let heard = next(&mut *revokes, STEP).await;
    assert_eq!(bodies(&heard.messages), ["revoke.acme@1.1"]);
    assert!(!begun.caught_up, "most of the backlog still waits");
}
