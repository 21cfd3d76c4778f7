//! A landscape of one region in which one tenant is used without a pause.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::jetstream;
use async_nats::{ConnectOptions, HeaderMap};
use openkcm_client::{Client, KeySpec, Patience, Route};
use openkcm_contracts::{KeyPath, RegionId, ServicePath};
use openkcm_harness::{Distributed, LOOKER, Proxy};
use tokio::task::JoinHandle;

use crate::landscape::{self, elapsed};

/// The Core that is measured.
pub(super) const CORE: &str = "krypton-a";

/// A request that takes longer has no answer.
const REQUEST: Duration = Duration::from_millis(500);

/// A landscape, and who uses it.
pub(super) struct Stage {
    pub(super) landscape: Distributed,
    /// The Core's way to the broker.
    pub(super) core_way: Proxy,
    /// The CMK Server's way to the broker.
    pub(super) cmk_way: Proxy,
    pub(super) client: Client,
    pub(super) path: ServicePath,
    user: User,
}

/// What a fault came to.
pub(super) struct Served {
    /// From the Unlink's answer to the last request that succeeded; nothing when none did after it.
    pub(super) longest: Duration,
    /// How requests were refused in the end.
    pub(super) refusal: String,
}

/// Who encrypts and decrypts without a pause.
struct User {
    last: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<String>,
}

/// A word that was on the mesh, to be said again as it was.
pub(super) struct Recorded {
    subject: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Stage {
    pub(super) async fn set(program: &Path, directory: &Path, ttl: u64) -> anyhow::Result<Self> {
        let mut landscape = Distributed::init(program, directory, &["a"]);
        let configuration = landscape.configuration("cmk");
        let text = std::fs::read_to_string(&configuration)?;
        let changed = text.replace("ttl = \"1d\"", &format!("ttl = \"{ttl}s\""));
        anyhow::ensure!(changed != text, "init writes how long leases hold");
        std::fs::write(&configuration, changed)?;
        let broker = landscape.nats().address();
        let (core_way, cmk_way) = (Proxy::start(broker), Proxy::start(broker));
        landscape.direct(CORE, core_way.address());
        landscape.direct("cmk", cmk_way.address());
        landscape.start_all().await;
        let client = landscape::client(&landscape.landscape_file())?;
        let path: ServicePath = "bench/app/data".parse()?;
        landscape::tenant(&client, &path.system_path(), landscape::local_root("bench")).await?;
        client.registry().put_key(&KeyPath::Service(path.clone()), &KeySpec::default()).await?;
        let user = User::begin(client.with_patience(Patience::NONE), path.clone());
        user.is_served().await?;
        Ok(Self { landscape, core_way, cmk_way, client, path, user })
    }

    /// The region's Core, and no other.
    pub(super) fn region() -> Route {
        Route::Only(RegionId::new("a").expect("a label"))
    }

    /// Unlinks; gives when that was committed.
    pub(super) async fn unlink(&self) -> anyhow::Result<Duration> {
        self.client.cmk().unlink(&self.path.tenant).await?;
        Ok(elapsed())
    }

    /// Waits until nothing has been served for so long, and gives what it came to.
    pub(super) async fn served_since(self, unlinked: Duration, quiet: Duration) -> anyhow::Result<Served> {
        let begun = elapsed();
        loop {
            let last = self.user.last().max(unlinked);
            if elapsed().saturating_sub(last.max(begun)) >= quiet {
                break;
            }
            if elapsed() - begun > quiet * 20 {
                bail!("the tenant is served without an end");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (last, refusal) = self.user.end().await?;
        Ok(Served { longest: last.saturating_sub(unlinked), refusal })
    }

    /// The data directory of a component, which does not run.
    pub(super) fn data(&self, component: &str) -> PathBuf {
        self.landscape.directory().join("data").join(component)
    }

    /// Copies a component's data; it is stopped for that, and started again.
    pub(super) async fn back_up(&mut self, component: &str) -> anyhow::Result<tempfile::TempDir> {
        let copy = tempfile::tempdir()?;
        self.landscape.stop(component).await;
        copy_all(&self.data(component), copy.path())?;
        self.landscape.start_again(component).await;
        self.user.is_served().await?;
        Ok(copy)
    }

    /// Kills a component, and puts a copy of its data in their place.
    pub(super) fn kill_and_restore(&mut self, component: &str, copy: &Path) -> anyhow::Result<()> {
        self.landscape.kill(component);
        std::fs::remove_dir_all(self.data(component))?;
        copy_all(copy, &self.data(component))
    }

    pub(super) async fn is_served(&self) -> anyhow::Result<()> {
        self.user.is_served().await
    }

    /// The last word on a subject of a stream.
    pub(super) async fn record(&self, (stream, subject): (&str, &str)) -> anyhow::Result<Recorded> {
        let streams = jetstream::new(self.look().await?);
        let stream = streams.get_stream(stream).await?;
        let message = stream.get_last_raw_message_by_subject(subject).await?;
        let headers = message.headers.clone();
        Ok(Recorded { subject: subject.to_owned(), headers, body: message.payload.to_vec() })
    }

    /// Says a recorded word again, as whoever owns the broker could.
    pub(super) async fn say_again(&self, word: &Recorded) -> anyhow::Result<()> {
        let mut headers = HeaderMap::new();
        for (name, values) in word.headers.iter() {
            // What the broker would compare is left out: it is to be taken.
            if !name.to_string().starts_with("Nats-") {
                values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
            }
        }
        let client = self.look().await?;
        let said = client.request_with_headers(word.subject.clone(), headers, word.body.clone().into());
        let answer = said.await?.payload;
        let answer = String::from_utf8_lossy(&answer);
        anyhow::ensure!(answer.contains("\"seq\""), "the broker did not take a recorded word: {answer}");
        Ok(())
    }

    async fn look(&self) -> anyhow::Result<async_nats::Client> {
        let tls = self.landscape.directory().join("tls");
        ConnectOptions::with_user_and_password(LOOKER.into(), LOOKER.into())
            .require_tls(true)
            .add_root_certificates(tls.join("ca.pem"))
            .add_client_certificate(tls.join("registry.pem"), tls.join("registry.key"))
            .connect(self.landscape.nats().url())
            .await
            .context("the broker lets its users in")
    }
}

impl User {
    fn begin(client: Client, path: ServicePath) -> Self {
        let (last, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (last.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut refusal = "no answer".to_owned();
            let mut ciphertext: Option<String> = None;
            while !stopped.load(Ordering::Relaxed) {
                let core = client.core(Stage::region());
                // Encrypts and decrypts in turn.
                let used = async {
                    match &ciphertext {
                        None => {
                            core.encrypt(&path, b"x", None).await.map(|made| Some(made.answer.ciphertext))
                        }
                        Some(made) => core.decrypt(&path, made, None).await.map(|_| None),
                    }
                };
                match tokio::time::timeout(REQUEST, used).await {
                    Ok(Ok(next)) => {
                        let now = u64::try_from(elapsed().as_nanos()).unwrap_or(u64::MAX);
                        noted.store(now, Ordering::Relaxed);
                        ciphertext = next;
                    }
                    Ok(Err(error)) => {
                        let code = error.code().map(|code| code.as_str().to_owned());
                        refusal = code.unwrap_or_else(|| "no answer".to_owned());
                        ciphertext = None;
                    }
                    Err(_) => refusal = "no answer".to_owned(),
                }
                tokio::task::yield_now().await;
            }
            refusal
        });
        Self { last, stop, task }
    }

    fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }

    /// Waits until a request succeeds that begins from now on.
    async fn is_served(&self) -> anyhow::Result<()> {
        let begun = elapsed() + REQUEST;
        while self.last() < begun {
            if elapsed() > begun + Duration::from_secs(60) {
                bail!("the tenant is not served");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn end(self) -> anyhow::Result<(Duration, String)> {
        self.stop.store(true, Ordering::Relaxed);
        let refusal = self.task.await?;
        Ok((Duration::from_nanos(self.last.load(Ordering::Relaxed)), refusal))
    }
}

fn copy_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}
