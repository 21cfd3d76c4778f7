//! A drill as a process: its flags, its report, its end.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use openkcm_harness::{tool, until};
use serde_json::Value;
use tempfile::TempDir;

/// A load that is small, a fault that is short, and a rotation that is due in it.
const SMALL: [[&str; 2]; 7] = [
    ["--for", "4s"],
    ["--steady", "1s"],
    ["--rotate-every", "2s"],
    ["--tenants", "2"],
    ["--services", "2"],
    ["--rate", "60"],
    ["--callers", "4"],
];

/// A drill that runs, or has ended. It is killed with this value.
pub(crate) struct Drill {
    child: Child,
    home: TempDir,
    directory: TempDir,
}

impl Drill {
    /// `openkcm drill ARGUMENTS` with the small load; further arguments win.
    pub(crate) fn start(tier: &str, arguments: &[&str]) -> Self {
        Self::start_in(
            TempDir::with_prefix("openkcm-drill-").expect("a temporary directory"),
            tier,
            arguments,
        )
    }

    fn start_in(home: TempDir, tier: &str, arguments: &[&str]) -> Self {
        let directory = TempDir::with_prefix("openkcm-drill-test-").expect("a temporary directory");
        let file = |name: &str| File::create(directory.path().join(name)).expect("a file for its output");
        let child = Command::new(program())
            .args(["--output", "json", "drill", tier])
            .args(SMALL.iter().filter(|[flag, _]| !arguments.contains(flag)).flatten())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the program starts");
        Self { child, home, directory }
    }

    /// As [`Drill::start`], on a scratch landscape, which is in [`Drill::home`].
    pub(crate) fn scratch(tier: &str, arguments: &[&str]) -> Self {
        let home = TempDir::with_prefix("openkcm-drill-").expect("a temporary directory");
        let directory = home.path().to_str().expect("text").to_owned();
        let broker = tool("nats-server", "nats");
        let place = ["--scratch", "--dir", &directory, "--nats-server", broker.to_str().expect("text")];
        Self::start_in(home, tier, &[&place[..], arguments].concat())
    }

    /// Where the scratch landscape is.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has told of something on stderr.
    pub(crate) async fn until_told(&self, what: &str) {
        until(&format!("the drill tells: {what}"), || async { self.told().contains(what).then_some(()) })
            .await;
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = std::sync::Mutex::new(&mut self.child);
        until("the drill ends", || async { child.lock().expect("ours").try_wait().expect("our own child") })
            .await
    }

    /// Waits until it has ended, and every promise held; gives the report.
    pub(crate) async fn must_hold(&mut self) -> Value {
        let status = self.ended().await;
        assert!(status.success(), "{}\n{}", self.told(), self.text("stdout"));
        let report = self.report();
        assert_eq!(report["held"], true);
        assert!(report["requests"]["served"].as_u64() > Some(0));
        report
    }

    /// What it printed.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.text("stdout")).expect("it prints JSON")
    }

    /// What it told on stderr.
    pub(crate) fn told(&self) -> String {
        self.text("stderr")
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Drill {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The promises that did not hold.
pub(crate) fn broken(report: &Value) -> Vec<String> {
    let promises = report["promises"].as_array().expect("a list of promises");
    let broken = promises.iter().filter(|promise| promise["held"] == false);
    broken.map(|promise| promise["promise"].as_str().expect("words").to_owned()).collect()
}

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_openkcm"))
}
