//! Drills on a landscape that is there: the operator's commands break and heal it, the drill's tenants are its own and
//! are offboarded, and a promise that does not hold is told by the exit code.

use std::path::Path;
use std::sync::Arc;

use openkcm_client::{Client, Landscape};
use openkcm_contracts::TenantId;
use openkcm_harness::Distributed;
use openkcm_host::{OsEntropy, SystemClock};
use tempfile::TempDir;

use crate::run::{Drill, broken, program};

/// A tenant that is nobody's business here.
const BYSTANDER: &str = "bystander";

struct Operator {
    landscape: Distributed,
    _directory: TempDir,
}

impl Operator {
    async fn start() -> Self {
        let directory = TempDir::with_prefix("openkcm-landscape-").expect("a temporary directory");
        let landscape = Distributed::start(program(), &directory.path().join("landscape"), &["a", "b"]).await;
        let operator = Self { landscape, _directory: directory };
        operator.must(&["tenant", "define", BYSTANDER, "--regions", "a,b"]);
        operator
    }

    fn must(&self, arguments: &[&str]) {
        let ended = self.landscape.command(arguments).output().expect("the program starts");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }

    /// A drill of tier 2 whose fault is this part standing still, in mid-air.
    fn drill(&self, component: &str, frozen: &str) -> Drill {
        let file = self.landscape.landscape_file();
        let pid = self.landscape.pid(frozen);
        let (stop, go_on) = (format!("kill -STOP {pid}"), format!("kill -CONT {pid}"));
        let file = file.to_str().expect("text");
        let place = ["--landscape", file, "--root", "local:shared", "--break", &stop, "--heal", &go_on];
        let mut arguments = vec!["--component", component, "--for", "6s", "--settle", "60s"];
        arguments.extend(place);
        Drill::start("tier2", &arguments)
    }

    /// The tenants that are not offboarded.
    async fn tenants(&self) -> Vec<String> {
        let tenants =
            client(&self.landscape.landscape_file()).registry().tenants().all().await.expect("a list");
        let active = tenants.iter().filter(|tenant| tenant["state"] == "active");
        active.map(|tenant| tenant["tenant"].as_str().expect("a name").to_owned()).collect()
    }
}

fn client(landscape: &Path) -> Client {
    let landscape = Landscape::load(landscape).expect("the landscape's file");
    Client::new(&landscape, Arc::new(SystemClock), Arc::new(OsEntropy::new())).expect("a client")
}

#[tokio::test]
async fn a_drill_on_a_landscape_that_is_there_leaves_its_other_tenants_alone_and_takes_its_own_away() {
    let operator = Operator::start().await;
    let mut drill = operator.drill("cmk", "cmk");
    let report = drill.must_hold().await;
    assert_eq!(report["setting"]["services"], 4);
    assert_eq!(operator.tenants().await, [BYSTANDER]);
    let client = client(&operator.landscape.landscape_file());
    let bystander = client.registry().tenant(&TenantId::new(BYSTANDER).expect("a name")).await;
    assert_eq!(bystander.expect("it is there").text("state"), Some("active"));
}

#[tokio::test]
async fn a_fault_that_is_none_is_told_by_the_report_and_the_exit_code() {
    let operator = Operator::start().await;
    // What stands still is a Core, and not the Registry.
    let mut drill = operator.drill("registry", "krypton-b");
    let status = drill.ended().await;
    assert_eq!(status.code(), Some(1), "{}", drill.told());
    let broken = broken(&drill.report());
    assert!(broken.iter().any(|promise| promise.contains("the Registry was lost")), "{broken:?}");
    assert!(drill.told().contains("promises did not hold"), "{}", drill.told());
    assert_eq!(operator.tenants().await, [BYSTANDER]);
}

#[tokio::test]
async fn a_landscape_that_is_not_well_is_not_drilled() {
    let mut operator = Operator::start().await;
    operator.landscape.kill("cmk");
    let file = operator.landscape.landscape_file();
    let file = file.to_str().expect("text");
    let place = ["--landscape", file, "--root", "local:shared", "--break", "true", "--heal", "true"];
    let mut drill = Drill::start("tier1", &[&place[..], &["--settle", "2s"]].concat());
    assert_eq!(drill.ended().await.code(), Some(1));
    assert!(drill.told().contains("the CMK Server does not answer"), "{}", drill.told());
    assert_eq!(operator.tenants().await, [BYSTANDER]);
}

#[tokio::test]
async fn a_region_that_is_lost_with_its_disk_loses_nothing_and_its_other_tenants_stay_where_they_are() {
    let operator = Operator::start().await;
    let (file, pid) = (operator.landscape.landscape_file(), operator.landscape.pid("krypton-a"));
    let disk = operator.landscape.directory().join("data").join("krypton-a");
    let lose = format!("kill -9 {pid} && rm -rf '{}'", disk.display());
    let place = ["--landscape", file.to_str().expect("text"), "--root", "local:shared"];
    let fault = ["--break", &lose, "--heal", "true", "--no-return", "--for", "1s"];
    let mut drill = Drill::start("tier3", &[&place[..], &fault].concat());
    let report = drill.must_hold().await;
    let recovery = &report["recovery"];
    assert_eq!((&recovery["served"], &recovery["tenants"]), (&2.into(), &2.into()), "{recovery}");
    assert_eq!(report["ciphertexts"]["lost"], 0);
    assert!(report["promises"].to_string().contains("says tenant_unlinked"), "{report:#}");
    let client = client(&file);
    let bystander = client.registry().tenant(&TenantId::new(BYSTANDER).expect("a name")).await;
    assert_eq!(bystander.expect("it is there").value["regions"], serde_json::json!(["a", "b"]));
    assert_eq!(operator.tenants().await, [BYSTANDER]);
}
