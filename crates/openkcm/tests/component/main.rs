//! One component as a process of its own, with nobody else there: no broker, no other component.
//!
//! What systemd is told, how it ends, and what `--check` shows. What components do together is tested elsewhere.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_openkcm");

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A landscape's directory; nothing of it runs.
fn landscape() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let flags = ["--regions", "a", "--output", "json"];
    let made = run(Command::new(PROGRAM).args(["init", "--dir"]).arg(directory.path()).args(flags));
    assert!(made.status.success(), "{}", said(&made));
    directory
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the program starts")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn registry(directory: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["registry", "--config"]).arg(directory.join("registry.toml"));
    command
}

/// Killed with the test, whatever becomes of that.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What the component told its service manager, up to this word.
fn told(manager: &UnixDatagram, last: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut buffer = [0; 1024];
    while !words.iter().any(|word| word == last) {
        let len = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("{last} after {words:?}: {error}"));
        words.extend(String::from_utf8_lossy(&buffer[..len]).lines().map(str::to_owned));
    }
    words
}

#[test]
fn a_component_serves_without_a_broker_and_tells_its_service_manager() {
    let landscape = landscape();
    let socket = landscape.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut command = registry(landscape.path());
    command.args(["--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "200000");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut component = Running(command.spawn().expect("the program starts"));

    assert!(told(&manager, "READY=1").iter().all(|word| word != "STOPPING=1"));
    told(&manager, "WATCHDOG=1");
    let pid = Pid::from_child(&component.0);
    // Read again, and nothing has changed.
    kill_process(pid, Signal::HUP).expect("signalled");
    told(&manager, "WATCHDOG=1");
    kill_process(pid, Signal::TERM).expect("signalled");
    told(&manager, "STOPPING=1");
    assert!(component.0.wait().expect("it ends").success());
    let mut printed = String::new();
    component.0.stdout.take().expect("piped").read_to_string(&mut printed).expect("text");
    assert_eq!(printed, "ready\n");
}

#[test]
fn two_processes_do_not_share_a_data_directory() {
    let landscape = landscape();
    let start = || {
        let mut command = registry(landscape.path());
        command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        command
    };
    let mut first = Running(start().spawn().expect("the program starts"));
    let mut ready = [0; 6];
    first.0.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("it gets ready");
    let second = run(&mut start());
    assert!(
        !second.status.success() && said(&second).contains("another process works in"),
        "{}",
        said(&second)
    );
}

#[test]
fn a_configuration_is_checked_and_shown_with_what_overrides_it_and_no_secret() {
    let landscape = landscape();
    let mut check = registry(landscape.path());
    check.args(["--check", "--set", "orbital.operator.replicas=3"]);
    check.env("OPENKCM_REGISTRY__LISTEN__ADDRESS", "127.0.0.1:7099");
    let shown = run(&mut check);
    assert!(shown.status.success(), "{}", said(&shown));
    let text = said(&shown);
    for line in [
        "address = \"127.0.0.1:7099\"",
        "replicas = 3",
        "# listen.address: by OPENKCM_REGISTRY__LISTEN__ADDRESS",
        "# orbital.operator.replicas: by --set orbital.operator.replicas",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let json = run(check.args(["--output", "json"]));
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["configuration"]["listen"]["address"], "127.0.0.1:7099");
    for secret in ["keys/registry.nk", "keys/registry.seed", "keys/operator.nk", "tls/registry.key"] {
        let secret = fs::read_to_string(landscape.path().join(secret)).expect("readable");
        assert!(!text.contains(secret.lines().last().expect("a line")));
    }
}

#[test]
fn a_check_fails_where_a_start_would() {
    for (file, content, expected) in [
        ("trust.json", "{", "trust bundle"),
        ("trust.json", "{\"keys\": []}", "won't believe"),
        ("keys/registry.seed", "no seed", "holds no signing key"),
        ("keys/registry.nk", "no key", "holds no NKey"),
        ("keys/operator.nk", "no key", "holds no NKey"),
        ("tls/registry.pem", "no certificate", "in PEM"),
        ("registry.toml", "regions = []", "registry.toml"),
    ] {
        let landscape = landscape();
        fs::write(landscape.path().join(file), content).expect("written");
        let checked = run(registry(landscape.path()).arg("--check"));
        assert_eq!(checked.status.code(), Some(1), "{file}: {}", said(&checked));
        assert!(said(&checked).contains(expected), "{file}: {}", said(&checked));
    }
}
