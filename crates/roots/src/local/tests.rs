//! What is special about roots that are files; what every provider does alike is in `tests/conformance`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use openkcm_contracts::{SystemId, TenantId, VersionId};
use openkcm_host::OsEntropy;
use tempfile::TempDir;

use super::*;

struct Scene {
    root: LocalRoot,
    home: TempDir,
}

impl Scene {
    fn new(auto_create: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = LocalConfig { auto_create, ..LocalConfig::default() };
        Self { root: LocalRoot::build(&config, home.path(), Arc::new(OsEntropy::new())).unwrap(), home }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join("local-roots").join(name)
    }
}

fn key(name: &str) -> RootRef {
    RootRef { provider: "local".into(), key: name.into(), options: BTreeMap::new() }
}

fn binding() -> Binding {
    Binding {
        tenant: TenantId::new("acme").unwrap(),
        system: SystemId::new("hr").unwrap(),
        version: VersionId::from_bytes([7; 16]),
    }
}

fn plaintext() -> SecretKey {
    SecretKey::from_slice_wiping(&mut [0x42; 32]).unwrap()
}

#[tokio::test]
async fn only_the_owner_can_read_what_is_made() {
    let scene = Scene::new(false);
    scene.root.create("acme").await.unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(scene.file("acme.key")), 0o600);
    assert_eq!(mode(scene.file("")), 0o700);
    assert_eq!(
        fs::read_dir(scene.file("")).unwrap().count(),
        2,
        "the key, the note that it was made, and nothing else"
    );
}

#[tokio::test]
async fn a_key_is_never_made_over_another() {
    let scene = Scene::new(false);
    scene.root.create("acme").await.unwrap();
    let before = fs::read(scene.file("acme.key")).unwrap();
    assert!(matches!(scene.root.create("acme").await, Err(CreateError::Exists { .. })));
    assert!(!scene.root.ensure("acme").await.unwrap());
    assert_eq!(fs::read(scene.file("acme.key")).unwrap(), before);
    assert!(scene.root.ensure("other").await.unwrap());
    assert_ne!(fs::read(scene.file("other.key")).unwrap(), before);
}

#[tokio::test]
async fn many_who_make_the_same_key_at_once_get_one_key() {
    let scene = Scene::new(true);
    let (a, b, c, d) = tokio::join!(
        scene.root.ensure("acme"),
        scene.root.ensure("acme"),
        scene.root.ensure("acme"),
        scene.root.ensure("acme"),
    );
    let made = [a, b, c, d].into_iter().filter(|made| *made.as_ref().unwrap()).count();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_deleted_name_is_not_used_again() {
    let scene = Scene::new(true);
    scene.root.create("acme").await.unwrap();
    fs::remove_file(scene.file("acme.key")).unwrap();
    fs::write(scene.file("acme.deleted"), "").unwrap();
    assert!(matches!(scene.root.ensure("acme").await, Err(CreateError::Deleted { .. })));
    assert!(matches!(
        scene.root.seal(&key("acme"), &binding(), &plaintext()).await,
        Err(RootError::Denied { .. })
    ));
    assert!(!scene.file("acme.key").exists());
}

#[tokio::test]
async fn a_missing_key_is_made_to_seal_with_where_that_is_configured() {
    let scene = Scene::new(true);
    let sealed = scene.root.seal(&key("acme"), &binding(), &plaintext()).await.unwrap();
    let opened = scene.root.unseal(&key("acme"), &binding(), &sealed).await.unwrap();
    assert_eq!(opened.expose(), plaintext().expose());
}

#[tokio::test]
async fn a_key_that_was_there_and_is_gone_is_not_replaced_by_another() {
    let scene = Scene::new(true);
    let sealed = scene.root.seal(&key("acme"), &binding(), &plaintext()).await.unwrap();
    let away = scene.file("acme.away");
    fs::rename(scene.file("acme.key"), &away).unwrap();
    let refused = scene.root.seal(&key("acme"), &binding(), &plaintext()).await;
    assert!(matches!(refused, Err(RootError::Misconfigured { .. })), "{refused:?}");
    assert!(scene.root.describe(&key("acme")).await.is_err());
    assert!(!scene.file("acme.key").exists());
    fs::rename(away, scene.file("acme.key")).unwrap();
    let opened = scene.root.unseal(&key("acme"), &binding(), &sealed).await.unwrap();
    assert_eq!(opened.expose(), plaintext().expose());
}

#[tokio::test]
async fn a_missing_key_is_never_made_to_open_with() {
    let scene = Scene::new(true);
    let sealed = scene.root.seal(&key("acme"), &binding(), &plaintext()).await.unwrap();
    fs::remove_file(scene.file("acme.key")).unwrap();
    let refused = scene.root.unseal(&key("acme"), &binding(), &sealed).await;
    assert!(matches!(refused, Err(RootError::Misconfigured { .. })), "{refused:?}");
    assert!(!scene.file("acme.key").exists());
}

#[tokio::test]
async fn a_name_that_could_leave_the_directory_is_refused() {
    let scene = Scene::new(true);
    let too_long = "a".repeat(64);
    for name in
        ["", "..", "../acme", "a/b", "/etc/passwd", ".acme", "Acme", "a\0", "-a", "a-", too_long.as_str()]
    {
        assert!(matches!(scene.root.create(name).await, Err(CreateError::Name { .. })), "{name:?}");
        let refused = scene.root.describe(&key(name)).await;
        assert!(matches!(refused, Err(RootError::Misconfigured { .. })), "{name:?}: {refused:?}");
    }
}

#[tokio::test]
async fn an_option_is_refused_since_there_is_none() {
    let scene = Scene::new(true);
    let mut key = key("acme");
    key.options.insert("region".into(), "eu".into());
    assert!(matches!(scene.root.describe(&key).await, Err(RootError::Misconfigured { .. })));
}

#[tokio::test]
async fn a_file_that_others_can_read_is_not_used() {
    let scene = Scene::new(false);
    scene.root.create("acme").await.unwrap();
    fs::set_permissions(scene.file("acme.key"), fs::Permissions::from_mode(0o640)).unwrap();
    let refused = scene.root.probe(&key("acme"), &binding()).await;
    assert!(matches!(refused, Err(RootError::Misconfigured { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_file_that_holds_no_key_is_no_denial_and_is_not_shown() {
    let scene = Scene::new(false);
    scene.root.create("acme").await.unwrap();
    let whole = fs::read_to_string(scene.file("acme.key")).unwrap();
    let wrong = [
        String::new(),
        whole[..whole.len() - 1].to_owned(),
        format!("{whole}\n"),
        whole.replace("-v1", "-v2"),
        whole.replace(|digit: char| digit.is_ascii_digit(), "x"),
    ];
    for text in wrong {
        fs::write(scene.file("acme.key"), &text).unwrap();
        let Err(RootError::Misconfigured { reason }) = scene.root.probe(&key("acme"), &binding()).await
        else {
            panic!("{text:?} is no key");
        };
        assert!(reason.ends_with("acme.key is not a local root's file: restore it from a copy"), "{reason}");
    }
    fs::write(scene.file("acme.key"), whole).unwrap();
    scene.root.probe(&key("acme"), &binding()).await.unwrap();
}

/// Sealed by the first release. It must open in every later one.
const GOLDEN_KEY: &str =
    "openkcm-local-root-v1\n000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
const GOLDEN_SEALED: &str = "6b636d5201019a3744504560639ec670b7a17d492b273e077b0a96bef58b\
     9a7370537687c76eb908ee626a1012bd0e1c909563aa8ff1b99e7b844c143f794f07fdddb43a826dc168042f30fb3e09";

#[tokio::test]
async fn what_an_earlier_release_sealed_still_opens() {
    let scene = Scene::new(false);
    fs::write(scene.file("golden.key"), GOLDEN_KEY).unwrap();
    fs::set_permissions(scene.file("golden.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let digits = GOLDEN_SEALED.as_bytes().chunks_exact(2);
    let sealed: Vec<u8> =
        digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    let opened = scene.root.unseal(&key("golden"), &binding(), &sealed).await.unwrap();
    assert_eq!(opened.expose(), plaintext().expose());
}
