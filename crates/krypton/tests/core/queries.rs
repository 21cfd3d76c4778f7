//! Authorities ask what a Core holds, each of its own kind of things.

use std::collections::BTreeSet;

use openkcm_contracts::Event;
use openkcm_contracts::v1::{Contents, Kept, ManifestBody, ManifestQuery, Node};

use crate::rig::{World, eventually, facts};

/// Asks a Core for nodes; `author` is who signs.
async fn ask(world: &World, author: &str, of: Kept, nonce: &str, nodes: Vec<Node>) {
    let query = ManifestQuery { region: facts::region("a"), nonce: nonce.into(), of, nodes };
    world.tell_as(author, 9, &Event::ManifestQuery(query)).await;
}

/// The answer to a query: what was listed.
async fn answer(world: &World, nonce: &str) -> Vec<Contents> {
    eventually("an answer", async || {
        let bodies = world.listings().await.into_iter().map(|manifest| manifest.body);
        bodies.into_iter().find_map(|body| match body {
            ManifestBody::Listing { query, listed, .. } if query == nonce => {
                Some(listed.into_iter().map(|listed| listed.contents).collect())
            }
            _ => None,
        })
    })
    .await
}

fn buckets() -> Vec<Node> {
    (0..=u8::MAX).map(Node::Bucket).collect()
}

#[tokio::test]
async fn each_authority_is_told_of_its_own_kind_of_things_down_to_the_things() {
    let world = World::defined().await;
    let a = world.start("a").await;
    world.heard_by(&a).await;
    for (author, of, nonce, subject) in [
        ("registry", Kept::Definitions, "one", "key.acme.hr.payroll"),
        ("cmk", Kept::Links, "two", "l1.acme"),
    ] {
        ask(&world, author, of, nonce, buckets()).await;
        let units: Vec<Node> = (answer(&world, nonce).await.into_iter())
            .flat_map(|contents| match contents {
                Contents::Nodes(nodes) => nodes.into_iter().map(|entry| entry.node).collect::<Vec<_>>(),
                Contents::Things(things) => panic!("a bucket holds units, not {things:?}"),
            })
            .collect();
        let nonce = format!("{nonce}, on");
        ask(&world, author, of, &nonce, units).await;
        let subjects: BTreeSet<String> = (answer(&world, &nonce).await.into_iter())
            .flat_map(|contents| match contents {
                Contents::Things(things) => things.into_iter().map(|thing| thing.subject).collect::<Vec<_>>(),
                Contents::Nodes(nodes) => vec![format!("{nodes:?}")],
            })
            .collect();
        assert!(subjects.contains(subject), "{subjects:?}");
    }
}

#[tokio::test]
async fn an_authority_is_told_nothing_of_the_others_things() {
    let world = World::defined().await;
    let a = world.start("a").await;
    world.heard_by(&a).await;
    ask(&world, "registry", Kept::Links, "not its own", buckets()).await;
    ask(&world, "cmk", Kept::Definitions, "not its own", buckets()).await;
    ask(&world, "registry", Kept::Definitions, "its own", buckets()).await;
    answer(&world, "its own").await;
    let answered = |manifest: &openkcm_contracts::v1::StateManifest| match &manifest.body {
        ManifestBody::Listing { query, .. } => query == "not its own",
        ManifestBody::Digests { .. } => false,
    };
    assert!(!world.listings().await.iter().any(answered));
}
