//! Nothing secret is shown: not by `Debug`, not in the log, not in what is stored or sent.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use openkcm_contracts::VersionId;
use openkcm_host::{Entropy, OsEntropy, SeededEntropy};
use openkcm_http::encode_base64;
use openkcm_krypton::control::{SealJob, Sealed, UnsealJob, Unsealed, Wanted};
use openkcm_secrets::SecretKey;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::rig::facts::{self, SERVICE, SYSTEM, generation};
use crate::rig::{Mood, World};

const CANARY: &str = "canary-71d0-plaintext";
const KEY_CANARY: &[u8; 32] = b"canary-key-canary-key-canary-key";

/// A log that is kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Every form in which a secret could be written.
fn forms(secret: &[u8]) -> Vec<String> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = String::from_utf8_lossy(secret).into_owned();
    vec![text, encode_base64(secret).to_string(), hex, format!("{secret:?}"), format!("{secret:02x?}")]
}

#[track_caller]
fn assert_holds_none(what: &str, written: &str, secrets: &[&[u8]]) {
    for form in secrets.iter().flat_map(|secret| forms(secret)) {
        assert!(!written.contains(&form), "{what} shows {form}");
    }
}

#[tokio::test]
async fn debug_of_whatever_holds_a_key_or_a_plaintext_shows_neither() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, CANARY.as_bytes()).await;
    let path = SERVICE.parse().expect("a key's name");
    let data = a.handle.data();
    let opened = data.decrypt(&path, &sealed, b"").expect("it opens");
    let (data_key, wrapped) = data.data_key(&path, 32).expect("it is made");
    let ring = data.service(&path).expect("it is served");
    let l3: Vec<[u8; 32]> =
        ring.versions().iter().map(|version| *version.key.as_ref().expect("open").expose()).collect();
    let key = Arc::new(SecretKey::from_slice_wiping(&mut KEY_CANARY.to_owned()).expect("memory"));
    let epoch = openkcm_contracts::LinkEpoch(openkcm_contracts::Revision::new(1, 4));
    let (system, version) = (SYSTEM.parse().expect("a name"), VersionId::from_bytes([1; 16]));
    let seal = SealJob {
        path: system,
        epoch,
        generation: generation(2),
        version,
        counter: 1,
        made_at: openkcm_contracts::Timestamp::from_millis(0),
        key: key.clone(),
        roots: Vec::new(),
        wanted: Wanted::default(),
    };
    let (path, seals, wanted) = (seal.path.clone(), Vec::new(), Wanted::default());
    let unseal = UnsealJob { path, epoch, generation: generation(2), version, seals, wanted };
    let asked = openkcm_krypton::rules::Moment::of(&world.clock);
    let shown = [
        format!("{opened:?} {opened:#?}"),
        format!("{data_key:?} {wrapped:?}"),
        format!("{ring:?} {:?}", a.handle),
        format!("{seal:?}"),
        format!("{:?}", Sealed { job: seal, outcome: Ok(Vec::new()), asked, denied_by: None }),
        format!("{:?}", Unsealed { job: unseal, outcome: Ok(key), asked, denied_by: None }),
    ];
    for shown in shown {
        let secrets: [&[u8]; 4] = [CANARY.as_bytes(), data_key.expose(), &l3[0], KEY_CANARY];
        assert_holds_none("Debug", &shown, &secrets);
    }
}

#[tokio::test]
async fn the_log_at_its_most_talkative_holds_no_plaintext_and_no_key() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // Of every thread: the control loop's steps run beside the runtime.
    tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
    let mut secrets: Vec<Vec<u8>> = vec![CANARY.into()];
    use_everything(&mut secrets).await;
    let written = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    assert!(written.contains("the L1 provider did not do what was asked"), "the log was kept: {written}");
    let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
    assert_holds_none("the log", &written, &secrets);
}

/// Every operation and many failures; collects the secrets that were in them.
async fn use_everything(secrets: &mut Vec<Vec<u8>>) {
    let world = World::defined().await;
    let a = world.start("a").await;
    let canary = CANARY.as_bytes();
    let sealed = a.sealed_when_usable(SERVICE, canary).await;
    a.opens(SERVICE, &sealed, canary).await;
    secrets.push(a.ask(SERVICE, "datakey", &json!({})).await.plaintext());
    a.rewrap(SERVICE, &sealed).await;
    a.rotate(SERVICE).await;
    a.rotate(SYSTEM).await;
    let ring = a.handle.data().service(&SERVICE.parse().expect("a name")).expect("it is served");
    for version in ring.versions() {
        secrets.push(version.key.as_ref().expect("open").expose().to_vec());
    }
    drop(ring);
    a.decrypt(SERVICE, &format!("{sealed}x")).await;
    a.ask(SERVICE, "encrypt", &json!({ "plaintext": CANARY })).await;
    a.ask(SERVICE, "encrypt", &json!({ "plaintext": *encode_base64(canary), "aad": 7 })).await;
    a.ask(SERVICE, "decrypt", &json!({ "ciphertext": CANARY })).await;
    a.encrypt("acme/hr/none", canary).await;
    world.tell_nonsense(openkcm_contracts::EventType::L1Revoke, "revoke.acme", 5).await;
    a.refuses(SERVICE, "tenant_unlinked").await;
    world.moody.set(Mood::Denies);
    world.tell(6, &facts::linked_to("acme", 6, &[facts::root("moody", "acme"), facts::local("acme")])).await;
    a.opens(SERVICE, &sealed, canary).await;
    a.ask(SYSTEM, "rotate", &json!({})).await;
    world.tell(8, &facts::linked_to("acme", 8, &[facts::local("another")])).await;
    a.refuses(SERVICE, "material_not_here").await;
    std::fs::write(world.disabled_marker("acme"), "").expect("the directory is here");
    world.tell(10, &facts::link("acme", 10)).await;
    a.refuses(SERVICE, "l1_denied").await;
}

#[tokio::test]
async fn what_is_stored_and_sent_holds_no_plaintext_and_no_key() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, CANARY.as_bytes()).await;
    a.opens(SERVICE, &sealed, CANARY.as_bytes()).await;
    a.rotate(SERVICE).await;
    a.replicates().await;
    let ring = a.handle.data().service(&SERVICE.parse().expect("a name")).expect("it is served");
    let keys: Vec<[u8; 32]> =
        ring.versions().iter().map(|version| *version.key.as_ref().expect("open").expose()).collect();
    let mut secrets: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    secrets.push(CANARY.as_bytes());
    let mut files = 0;
    for folder in ["", "core-a"] {
        for entry in std::fs::read_dir(world.directory.path().join(folder)).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let bytes = std::fs::read(&path).expect("a file");
                for secret in &secrets {
                    let held = bytes.windows(secret.len()).any(|window| window == *secret);
                    assert!(!held, "{} holds a secret", path.display());
                }
                assert_holds_none("a file", &String::from_utf8_lossy(&bytes), &secrets);
                files += 1;
            }
        }
    }
    assert!(files >= 4, "the stores and their logs were looked into");
}

#[tokio::test]
async fn metrics_name_no_tenant_and_no_key() {
    let world = World::defined().await;
    let a = world.start("a").await;
    a.sealed_when_usable(SERVICE, b"x").await;
    let metrics = a.get("/metrics").await.text;
    assert!(metrics.contains("tenants_serving") && metrics.contains("plaintext_keys"), "{metrics}");
    for name in ["acme", "payroll"] {
        assert!(!metrics.contains(name), "{metrics}");
    }
}

#[test]
fn a_key_of_the_test_is_found_in_every_form_that_it_could_be_written_in() {
    // The search itself: a check that finds nothing anywhere would prove nothing.
    let entropy: &dyn Entropy = &SeededEntropy::new(1);
    let (mut key, os) = ([0; 32], OsEntropy::new());
    entropy.fill(&mut key);
    for form in forms(&key) {
        let written = format!("key={form} and more");
        let found = std::panic::catch_unwind(|| assert_holds_none("it", &written, &[&key]));
        assert!(found.is_err(), "{form}");
    }
    os.fill(&mut key);
    assert_holds_none("it", "key=none", &[&key]);
}
