//! What a running component takes over from its files, and what it leaves as it was.

use std::fs;

use openkcm_contracts::Role;
use openkcm_host::OsEntropy;

use super::*;

/// A CMK Server of a landscape on disk; no broker runs, and none is needed.
struct Rig {
    directory: tempfile::TempDir,
    parts: Parts,
    reload: Reload,
    regions: watch::Receiver<Vec<RegionId>>,
}

impl Rig {
    async fn new() -> Self {
        let directory = crate::init::tests::landscape();
        let path = directory.path().join("cmk.toml");
        let sources = Sources { path, environment: Vec::new(), flags: Vec::new() };
        let config = Config::load(Role::Cmk, &sources).expect("a configuration");
        let parts = Parts::open(&config).await.expect("the parts");
        let (reload, regions) = Reload::new(sources, &config, &parts).expect("a reload");
        Self { directory, parts, reload, regions }
    }

    fn write(&self, name: &str, text: &str) {
        files::replace(&self.directory.path().join(name), text.as_bytes()).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).expect("readable")
    }

    fn key(&self) -> String {
        self.parts.signer.trusted_key().id
    }

    /// A new seed, its key's id, and the trust bundle with it.
    fn another_key(&self) -> (String, String, String) {
        let seed = Signer::new_seed(&OsEntropy::new());
        let key = Signer::from_seed(&seed, Role::Cmk, None).expect("a seed").trusted_key();
        let mut bundle = TrustBundle::load(&self.directory.path().join("trust.json")).expect("a bundle");
        let id = key.id.clone();
        bundle.keys.push(key);
        (seed, id, serde_json::to_string(&bundle).expect("JSON"))
    }
}

#[tokio::test]
async fn a_key_that_is_believed_signs_from_the_next_look_on() {
    let mut rig = Rig::new().await;
    let (seed, id, bundle) = rig.another_key();
    rig.write("trust.json", &bundle);
    rig.write("keys/cmk.seed", &seed);
    assert_ne!(rig.key(), id);
    rig.reload.look(false);
    assert_eq!(rig.key(), id);
}

#[tokio::test]
async fn a_key_that_nobody_believes_yet_waits_for_the_bundle_that_has_it() {
    let mut rig = Rig::new().await;
    let (before, (seed, id, bundle)) = (rig.key(), rig.another_key());
    rig.write("keys/cmk.seed", &seed);
    rig.reload.look(false);
    assert_eq!(rig.key(), before);
    rig.write("trust.json", &bundle);
    rig.reload.look(false);
    assert_eq!(rig.key(), id);
}

#[tokio::test]
async fn a_file_that_can_not_be_used_changes_nothing() {
    let mut rig = Rig::new().await;
    let (before, regions) = (rig.key(), rig.regions.borrow().clone());
    let (_, _, bundle) = rig.another_key();
    rig.write("trust.json", &bundle[..bundle.len() / 2]);
    rig.write("keys/cmk.seed", "no seed");
    rig.write("cmk.toml", "regions = [");
    rig.reload.look(false);
    assert_eq!((rig.key(), rig.regions.borrow().clone()), (before.clone(), regions));
    assert!(!rig.regions.has_changed().expect("open"));
    fs::remove_file(rig.directory.path().join("keys/cmk.seed")).expect("removed");
    rig.reload.look(true);
    assert_eq!(rig.key(), before);
}

#[tokio::test]
async fn a_key_that_others_may_read_is_not_taken() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut rig = Rig::new().await;
    let (before, (seed, id, bundle)) = (rig.key(), rig.another_key());
    rig.write("trust.json", &bundle);
    rig.write("keys/cmk.seed", &seed);
    let path = rig.directory.path().join("keys/cmk.seed");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
    rig.reload.look(false);
    assert_eq!(rig.key(), before);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
    rig.reload.look(true);
    assert_eq!(rig.key(), id);
}

#[tokio::test]
async fn regions_are_told_when_they_change_and_only_then() {
    let mut rig = Rig::new().await;
    rig.reload.look(true);
    assert!(!rig.regions.has_changed().expect("open"), "a look that finds nothing new tells nothing");
    crate::init::tests::init(rig.directory.path(), "--add-region c").expect("extended");
    rig.reload.look(false);
    assert!(rig.regions.has_changed().expect("open"));
    assert_eq!(rig.regions.borrow_and_update().len(), 3);
    rig.reload.look(false);
    assert!(!rig.regions.has_changed().expect("open"));
}

#[tokio::test]
async fn a_component_does_not_become_another_one() {
    let mut rig = Rig::new().await;
    let other = rig.read("krypton-a.toml");
    rig.write("cmk.toml", &other);
    rig.reload.look(true);
    assert_eq!(rig.regions.borrow().len(), 2);
}
