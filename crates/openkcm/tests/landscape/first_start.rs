//! A first start that is killed on the way is done again, as a whole.
//!
//! The moments are those at which files appear: each is the end of one step and the beginning of the next.

use std::path::Path;

use openkcm_harness::{Landscape, until};
use tempfile::TempDir;

use crate::setup::{
    REGIONS, SAMPLE, client, encrypt, opens_everywhere, program, service_path, until_active, version_ids,
};

/// Looks at the disk between two pauses: a step of the start is shorter than a pause.
const LOOKS_AT_ONCE: u32 = 10_000;

#[tokio::test]
async fn a_first_start_that_is_killed_while_it_prepares_its_directory_is_done_again() {
    for file in ["credential", "keys/registry.seed", "keys/krypton-b.seed", "trust.json", "orbital/mesh.db"] {
        kill_at(file).await;
    }
}

#[tokio::test]
async fn a_first_start_that_is_killed_while_the_components_start_is_done_again() {
    for file in ["registry", "cmk", "krypton-a", "krypton-b", "landscape.json"] {
        kill_at(file).await;
    }
}

#[tokio::test]
async fn a_first_start_that_is_killed_while_it_makes_the_sample_is_done_again() {
    for file in ["local-roots", "local-roots/demo.key", "sample"] {
        kill_at(file).await;
    }
}

/// Kills a first start as soon as this is there, and expects of the next one all that a first start gives.
async fn kill_at(file: &str) {
    let directory = TempDir::new().expect("a temporary directory");
    let mut landscape = Landscape::new(program(), &directory.path().join(".openkcm"), &[]);
    landscape.spawn();
    let path = landscape.directory().join(file);
    until(&format!("{file} appears"), || async { appears(&path).then_some(()) }).await;
    landscape.kill();

    landscape.start_again().await;
    let client = client(&landscape);
    let sample = service_path(SAMPLE);
    let made = version_ids(&until_active(&client, "a", &sample).await);
    let received = version_ids(&until_active(&client, "b", &sample).await);
    assert_eq!((made.len(), &made), (1, &received), "killed at {file}: the key was made twice");
    for name in REGIONS {
        let ciphertext = encrypt(&client, name, SAMPLE).await;
        opens_everywhere(&client, SAMPLE, &ciphertext).await;
    }
    assert!(landscape.stop().await, "killed at {file}:\n{}", landscape.log());
}

fn appears(path: &Path) -> bool {
    (0..LOOKS_AT_ONCE).any(|_| path.exists())
}
