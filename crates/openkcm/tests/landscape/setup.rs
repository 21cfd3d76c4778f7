//! What the tests share: a landscape in a directory of its own, a client of it, and the command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use openkcm_client::{Client, KeySpec, L1Spec, Landscape as Addresses, Patience, Route, TenantSpec};
use openkcm_contracts::{KeyPath, RegionId, RootRef, ServicePath};
use openkcm_harness::{Landscape, until};
use openkcm_host::{OsEntropy, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

/// The regions of a landscape that is started without `--regions`.
pub(crate) const REGIONS: [&str; 2] = ["a", "b"];

/// The service of the sample tenant.
pub(crate) const SAMPLE: &str = "demo/app/data";

/// What a client waits for what is on its way.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program that is tested.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_openkcm"))
}

/// A landscape in a directory that goes when the test ends.
pub(crate) struct Setup {
    pub(crate) landscape: Landscape,
    directory: TempDir,
}

impl Setup {
    /// A landscape with the sample tenant.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[], |_| ()).await
    }

    /// A landscape whose directory holds something before its first start.
    pub(crate) async fn start_prepared(prepare: impl FnOnce(&Path)) -> Self {
        Self::start_with(&[], prepare).await
    }

    /// As [`Setup::start_prepared`], with further variables in the process's environment.
    pub(crate) async fn start_with(environment: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        // A name with a space in it: whatever is printed for pasting has to bear that.
        let directory = TempDir::with_prefix("openkcm landscape ").expect("a temporary directory");
        let home = directory.path().join(".openkcm");
        std::fs::create_dir(&home).expect("the directory is new");
        prepare(&home);
        let landscape = Landscape::start_with(program(), &home, &[], environment).await;
        Self { landscape, directory }
    }

    /// A directory for the test's own files; the landscape's is below it, as `.openkcm`.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// A client that waits for what is on its way. Ports change with each start, so each start needs its own.
    pub(crate) fn client(&self) -> Client {
        client(&self.landscape)
    }

    /// `openkcm ARGUMENTS` on this landscape, from its beginning to its end.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    /// As [`Setup::cli`]; a panic with what it said when it fails. Gives what it printed.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openkcm {} failed: {told}", arguments.join(" "));
        String::from_utf8(output.stdout).expect("a command prints text")
    }

    /// `openkcm ARGUMENTS` on this landscape, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.env("OPENKCM_LANDSCAPE", self.landscape.file()).args(arguments).stdin(Stdio::null());
        command
    }

    /// The administrator's token.
    pub(crate) fn token(&self) -> String {
        let path = self.landscape.directory().join("credential");
        std::fs::read_to_string(path).expect("the credential is there").trim().to_owned()
    }
}

/// A client of a landscape that runs, which waits for what is on its way.
pub(crate) fn client(landscape: &Landscape) -> Client {
    let addresses = Addresses::load(&landscape.file()).expect("the landscape's file");
    let client = Client::new(&addresses, Arc::new(SystemClock), Arc::new(OsEntropy::new()));
    client.expect("a client").with_patience(Patience { total: PATIENCE })
}

/// Defines a service, and what it belongs to, in both regions, and links its tenant to a `local` root.
pub(crate) async fn define(client: &Client, service: &str) {
    let path = service_path(service);
    let regions = REGIONS.map(region).to_vec();
    let registry = client.registry();
    let spec = TenantSpec { regions, labels: Default::default() };
    registry.put_tenant(&path.tenant, &spec).await.expect("a tenant");
    registry.put_key(&KeyPath::System(path.system_path()), &KeySpec::default()).await.expect("a system");
    registry.put_key(&KeyPath::Service(path.clone()), &KeySpec::default()).await.expect("a service");
    link(client, &path).await;
    for name in REGIONS {
        until_active(client, name, &path).await;
    }
}

/// Links a service's tenant to the `local` root of its name.
pub(crate) async fn link(client: &Client, path: &ServicePath) {
    let root =
        RootRef { provider: "local".into(), key: path.tenant.to_string(), options: Default::default() };
    client
        .cmk()
        .link(&path.tenant, &L1Spec { roots: vec![root], ..L1Spec::default() })
        .await
        .expect("a link");
}

/// Waits until a region encrypts with a service, without asking it to; gives what it shows of the key.
pub(crate) async fn until_active(client: &Client, name: &str, path: &ServicePath) -> Value {
    let key = KeyPath::Service(path.clone());
    until(&format!("{path} is active in region {name}"), || async {
        let shown = client.with_patience(Patience::NONE).core(only(name)).key(&key).await.ok()?;
        shown.answer.value["active"].is_string().then_some(shown.answer.value)
    })
    .await
}

/// The code with which a region refuses to open a ciphertext; `None` when it opens it.
pub(crate) async fn refusal(client: &Client, name: &str, path: &str, ciphertext: &str) -> Option<String> {
    let opened = client.core(only(name)).decrypt(&service_path(path), ciphertext, None).await;
    opened.err().map(|error| error.problem().expect("a problem document").code_text.clone())
}

/// Encrypts in a region; the plaintext is the key's own name.
pub(crate) async fn encrypt(client: &Client, name: &str, path: &str) -> String {
    let encrypted = client.core(only(name)).encrypt(&service_path(path), path.as_bytes(), None).await;
    encrypted.unwrap_or_else(|error| panic!("{path} in {name}: {error}")).answer.ciphertext
}

/// Asserts that both regions open what [`encrypt`] made.
pub(crate) async fn opens_everywhere(client: &Client, path: &str, ciphertext: &str) {
    for name in REGIONS {
        let opened = client.core(only(name)).decrypt(&service_path(path), ciphertext, None).await;
        let opened = opened.unwrap_or_else(|error| panic!("{path} in {name}: {error}"));
        assert_eq!(opened.answer.plaintext.as_slice(), path.as_bytes(), "{path} in {name}");
    }
}

/// The ids of the versions that a document of a Core shows.
pub(crate) fn version_ids(shown: &Value) -> Vec<String> {
    let versions = shown["versions"].as_array().expect("a list of versions");
    versions.iter().map(|version| version["version"].as_str().expect("an id").to_owned()).collect()
}

pub(crate) fn service_path(text: &str) -> ServicePath {
    text.parse().expect("tenant/system/service")
}

pub(crate) fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a region's name")
}

pub(crate) fn only(name: &str) -> Route {
    Route::Only(region(name))
}
