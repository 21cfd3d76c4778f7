//! Messages to publish, and what was read of them. Unsigned: a transport looks at address and revision only.

use std::collections::BTreeMap;

use openkcm_contracts::{Audience, Lane, RegionId, Revision, Role};
use openkcm_orbital::{
    Address, Batch, Delivered, Message, Position, Published, Reading, Stream, Subscription, Transport,
};

/// Messages that the suite reads at once: few, so that a backlog takes several steps.
pub(crate) const STEP: usize = 64;

pub(crate) fn region(name: &str) -> Audience {
    Audience::Region(RegionId::new(name).expect("a label"))
}

pub(crate) fn stream(lane: Lane, audience: Audience) -> Stream {
    Stream { lane, audience }
}

/// The facts for region `a`: the compacted stream that most promises are tried on.
pub(crate) fn facts() -> Stream {
    stream(Lane::Facts, region("a"))
}

/// A message of which the body tells subject and revision.
pub(crate) fn message(stream: &Stream, subject: &str, counter: u64) -> Message {
    at(stream, subject, Revision::new(1, counter))
}

pub(crate) fn at(stream: &Stream, subject: &str, revision: Revision) -> Message {
    with_body(stream, subject, revision, format!("{subject}@{revision}").into_bytes())
}

pub(crate) fn with_body(stream: &Stream, subject: &str, revision: Revision, body: Vec<u8>) -> Message {
    Message {
        address: Address { stream: stream.clone(), author: Role::Registry, subject: subject.into() },
        headers: BTreeMap::from([
            ("ce-specversion".into(), "1.0".into()),
            ("ce-id".into(), format!("{subject}@{revision}")),
            ("ce-kcmrevision".into(), revision.to_string()),
        ]),
        body: body.into(),
    }
}

/// `key.acme.hr.s0`, `key.acme.hr.s1`, …: `count` things at revision `1.counter`.
pub(crate) fn things(stream: &Stream, count: usize, counter: u64) -> Vec<Message> {
    (0..count).map(|i| message(stream, &thing(i), counter)).collect()
}

pub(crate) fn thing(i: usize) -> String {
    format!("key.acme.hr.s{i}")
}

/// Publishes and checks that there is an answer for each message.
pub(crate) async fn publish(mesh: &dyn Transport, messages: Vec<Message>) -> Vec<Published> {
    let count = messages.len();
    let answers = mesh.publish(messages).await.expect("the mesh takes messages");
    assert_eq!(answers.len(), count, "one answer for each message");
    answers
}

/// Publishes what nobody has said anything newer about.
pub(crate) async fn store(mesh: &dyn Transport, messages: Vec<Message>) {
    let answers = publish(mesh, messages).await;
    assert!(answers.iter().all(|answer| *answer == Published::Stored), "{answers:?}");
}

pub(crate) async fn subscribe(
    mesh: &dyn Transport,
    stream: &Stream,
    after: Option<Position>,
) -> Box<dyn Subscription> {
    mesh.subscribe(&Reading::all(stream.clone()), after).await.expect("the mesh can be read")
}

pub(crate) async fn next(subscription: &mut dyn Subscription, max: usize) -> Batch {
    let batch = subscription.next(max).await.expect("the mesh can be read");
    assert!(batch.messages.len() <= max, "no more than was asked for");
    batch
}

/// Reads until the subscription tells that nothing more waits.
pub(crate) async fn rest(subscription: &mut dyn Subscription) -> Vec<Delivered> {
    let mut read = Vec::new();
    loop {
        let batch = next(subscription, STEP).await;
        read.extend(batch.messages);
        if batch.caught_up {
            return read;
        }
    }
}

/// Reads until a message with this text in its body came.
pub(crate) async fn until(subscription: &mut dyn Subscription, body: &str) -> Vec<Delivered> {
    let mut read: Vec<Delivered> = Vec::new();
    while !read.iter().any(|delivered| delivered.message.body == body) {
        read.extend(next(subscription, STEP).await.messages);
    }
    read
}

/// Everything that a reader without a position gets.
pub(crate) async fn everything(mesh: &dyn Transport, stream: &Stream) -> Vec<Delivered> {
    rest(&mut *subscribe(mesh, stream, None).await).await
}

pub(crate) fn bodies(read: &[Delivered]) -> Vec<String> {
    let text = |delivered: &Delivered| String::from_utf8_lossy(&delivered.message.body).into_owned();
    read.iter().map(text).collect()
}

/// The last word about each thing, by subject.
pub(crate) fn last_words(read: &[Delivered]) -> BTreeMap<String, String> {
    read.iter().map(|delivered| delivered.message.address.subject.clone()).zip(bodies(read)).collect()
}

/// What [`last_words`] are when `count` things are known at revision `1.counter`.
pub(crate) fn all_things(count: usize, counter: u64) -> BTreeMap<String, String> {
    (0..count).map(|i| (thing(i), format!("{}@1.{counter}", thing(i)))).collect()
}
