//! A broker with the configuration of a landscape of regions `a` and `b`, and clients under each identity.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, Event};
use futures_util::StreamExt as _;
use openkcm_harness::{Distributed, LOOKER, until};

/// Every user but for the operator.
pub(crate) const COMPONENTS: [&str; 4] = ["registry", "cmk", "krypton-a", "krypton-b"];

/// A word of each author, which must stay.
pub(crate) const WORDS: [(&str, &str); 10] = [
    ("registry", "orbital.0.region.b.registry.purge.acme.hr"),
    ("registry", "orbital.1.region.a.registry.tenant.acme"),
    ("registry", "orbital.1.region.b.registry.tenant.acme"),
    ("registry", "orbital.1.cmk.registry.tenant.acme"),
    ("cmk", "orbital.0.region.b.cmk.revoke.acme"),
    ("cmk", "orbital.1.region.a.cmk.l1.acme"),
    ("cmk", "orbital.1.region.b.cmk.l1.acme"),
    ("krypton-a", "orbital.2.cores.krypton.sealed-l2.a.acme.hr.v"),
    ("krypton-b", "orbital.2.cores.krypton.sealed-l2.b.acme.hr.v"),
    ("krypton-b", "orbital.3.authorities.krypton.manifest.b"),
];

/// For an answer that may not come: what is refused is told at once, so this is for a broken broker.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Broker {
    landscape: Distributed,
    _directory: tempfile::TempDir,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let program = Path::new(env!("CARGO_BIN_EXE_openkcm"));
        let home = directory.path().join("landscape");
        let mut landscape = Distributed::init(program, &home, &["a", "b"]);
        landscape.nats_mut().start_again().await;
        let home = landscape.directory().display().to_string();
        let output = landscape.command(&["mesh", "setup", "--dir", &home]).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { landscape, _directory: directory }
    }

    pub(crate) fn url(&self) -> String {
        self.landscape.nats().url().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.landscape.directory().join(name)
    }

    pub(crate) async fn as_user(&self, user: &str) -> User {
        let violations = Arc::new(Mutex::new(Vec::new()));
        let heard = violations.clone();
        let certificate = if user == "operator" { "registry" } else { user };
        let seed = std::fs::read_to_string(self.path(&format!("keys/{user}.nk"))).expect("a seed");
        let client = ConnectOptions::with_nkey(seed.trim().to_owned())
            .require_tls(true)
            .add_root_certificates(self.path("tls/ca.pem"))
            .add_client_certificate(
                self.path(&format!("tls/{certificate}.pem")),
                self.path(&format!("tls/{certificate}.key")),
            )
            .custom_inbox_prefix(format!("_INBOX_{user}"))
            .request_timeout(Some(PATIENCE))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    heard.lock().expect("no panic holds it").push(error.to_string());
                }
                std::future::ready(())
            })
            .connect(self.landscape.nats().url())
            .await
            .expect("the broker lets its users in");
        User { client, name: user.to_owned(), violations }
    }

    /// Has every author say a word, and gives them all.
    pub(crate) async fn words_of_everyone(&self) -> BTreeMap<String, String> {
        for (user, subject) in WORDS {
            self.as_user(user).await.asks(subject, b"the word that must stay").await.expect("acknowledged");
        }
        self.words().await
    }

    /// What all streams hold, as someone sees it who may look everywhere.
    pub(crate) async fn words(&self) -> BTreeMap<String, String> {
        let client = ConnectOptions::with_user_and_password(LOOKER.into(), LOOKER.into())
            .add_root_certificates(self.path("tls/ca.pem"))
            .add_client_certificate(self.path("tls/cmk.pem"), self.path("tls/cmk.key"))
            .connect(self.landscape.nats().url())
            .await
            .expect("the broker knows the user");
        let operator = jetstream::new(client);
        let mut words = BTreeMap::new();
        let mut streams = operator.streams();
        while let Some(info) = streams.next().await {
            let info = info.expect("the operator may list streams");
            let stream = operator.get_stream(&info.config.name).await.expect("it is there");
            let mut subjects = stream.info_with_subjects(">").await.expect("the operator may look");
            while let Some(subject) = subjects.next().await {
                let (subject, _) = subject.expect("a subject");
                let last = stream.get_last_raw_message_by_subject(&subject).await.expect("its last word");
                words.insert(subject, String::from_utf8_lossy(&last.payload).into_owned());
            }
        }
        words
    }
}

/// A connection under one identity.
pub(crate) struct User {
    client: Client,
    name: String,
    violations: Arc<Mutex<Vec<String>>>,
}

impl User {
    /// A request, and its answer.
    pub(crate) async fn asks(&self, subject: &str, body: &[u8]) -> Result<String, String> {
        let answer = self.client.request(subject.to_owned(), body.to_vec().into()).await;
        answer.map(|answer| String::from_utf8_lossy(&answer.payload).into_owned()).map_err(|e| e.to_string())
    }

    /// Whether the broker refuses that this user publishes on a subject.
    pub(crate) async fn is_refused(&self, subject: &str, body: &[u8]) -> bool {
        let before = self.violations().len();
        let inbox = format!("_INBOX_{}.x", self.name);
        let sent = self.client.publish_with_reply(subject.to_owned(), inbox, body.to_vec().into());
        sent.await.expect("it is sent");
        self.refused_since(before, subject).await
    }

    /// Whether the broker refuses that this user subscribes to a subject.
    pub(crate) async fn is_not_heard(&self, subject: &str) -> bool {
        let before = self.violations().len();
        let _subscription = self.client.subscribe(subject.to_owned()).await.expect("it is asked for");
        self.refused_since(before, subject).await
    }

    /// A request whose answer is to go elsewhere. Refused or not: nothing may come of it.
    pub(crate) async fn asks_to_answer_on(&self, subject: &str, body: &[u8], target: &str) {
        let sent =
            self.client.publish_with_reply(subject.to_owned(), target.to_owned(), body.to_vec().into());
        sent.await.expect("it is sent");
    }

    /// Waits until the broker has handled all that this user sent: answers to a last question of its own.
    pub(crate) async fn until_all_was_handled(&self) {
        let own = match self.name.as_str() {
            "registry" => "ORBITAL_3_authorities.registry",
            "cmk" => "ORBITAL_1_cmk.cmk",
            "krypton-a" => "ORBITAL_1_region_a.krypton-a",
            _ => "ORBITAL_1_region_b.krypton-b",
        };
        // Twice: the first answer shows that what came before it was taken up.
        for _ in 0..2 {
            self.asks(&format!("$JS.ORBITAL.API.CONSUMER.INFO.{own}"), b"").await.expect("an answer");
        }
    }

    fn violations(&self) -> Vec<String> {
        self.violations.lock().expect("no panic holds it").clone()
    }

    /// Waits until the broker says that this was a violation. It names the broker's own calls by the name that the
    /// components' account maps them to.
    async fn refused_since(&self, before: usize, subject: &str) -> bool {
        self.client.flush().await.expect("the broker takes it");
        let mapped = subject.replace("$JS.API.", "$JS.ORBITAL.API.");
        let what = format!("\"{}\"", if self.name == "operator" { subject } else { &mapped }).to_lowercase();
        until(&format!("the broker refuses {what}"), || async {
            self.violations()[before..].iter().any(|said| said.to_lowercase().contains(&what)).then_some(true)
        })
        .await
    }
}
