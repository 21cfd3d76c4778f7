//! A tenant whose L1 is a key in a real OpenBao: a file through the command line, the plug pulled, and the
//! key's owner saying no.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use openkcm_client::Patience;
use openkcm_contracts::KeyPath;
use openkcm_harness::{OpenBao, until};
use openkcm_host::{Entropy as _, OsEntropy};

use crate::setup::{REGIONS, Setup, only, refusal, service_path};

const KEY: &str = "acme/hr/payroll";

/// Larger than what the command line may hold in memory, twice over with what it makes of it.
const FILE_BYTES: usize = 32 * 1024 * 1024;

/// What the command line may hold in memory, in KiB.
const RESIDENT_LIMIT_KIB: u64 = 64 * 1024;

#[tokio::test]
async fn a_file_comes_back_unless_the_tenant_has_unlinked_and_constant_memory_is_enough() {
    let bao = bao().await;
    let setup = setup(&bao).await;
    let mut plain = vec![0; FILE_BYTES];
    OsEntropy::new().fill(&mut plain);
    std::fs::write(setup.path("plain"), &plain).expect("a file");

    pipe(&setup, &["encrypt", KEY, "--region", "a"], "plain", "sealed").await.expect("it encrypts");
    pipe(&setup, &["decrypt", KEY, "--region", "b"], "sealed", "opened").await.expect("it decrypts");
    assert!(std::fs::read(setup.path("opened")).expect("a file") == plain, "it came back changed");
    let sealed = std::fs::read(setup.path("sealed")).expect("a file");
    assert!(!contains(&sealed, &plain[..64]), "it was not encrypted");

    setup.must(&["l1", "unlink", "acme"]);
    for name in REGIONS {
        let refused = pipe(&setup, &["decrypt", KEY, "--region", name], "sealed", "refused").await;
        let told = refused.expect_err("it is refused");
        assert!(told.contains("tenant_unlinked"), "{name}: {told}");
        assert_eq!(std::fs::metadata(setup.path("refused")).expect("a file").len(), 0, "{name}");
        let refused = pipe(&setup, &["encrypt", KEY, "--region", name], "plain", "refused").await;
        assert!(refused.expect_err("it is refused").contains("tenant_unlinked"), "{name}");
        assert_eq!(std::fs::metadata(setup.path("refused")).expect("a file").len(), 0, "{name}");
    }

    setup.must(&["l1", "link", "acme", "--provider", "openbao", "--key", "transit/acme"]);
    pipe(&setup, &["decrypt", KEY], "sealed", "opened-again").await.expect("it decrypts again");
    assert!(std::fs::read(setup.path("opened-again")).expect("a file") == plain, "it came back changed");
}

#[tokio::test]
async fn a_file_that_was_cut_or_altered_anywhere_is_refused_and_no_wrong_byte_is_written() {
    let bao = bao().await;
    let setup = setup(&bao).await;
    let mut plain = vec![0; 300 * 1024];
    OsEntropy::new().fill(&mut plain);
    std::fs::write(setup.path("plain"), &plain).expect("a file");
    pipe(&setup, &["encrypt", KEY], "plain", "sealed").await.expect("it encrypts");
    let sealed = std::fs::read(setup.path("sealed")).expect("a file");

    let chunk = 64 * 1024;
    let mut damaged: Vec<Vec<u8>> = Vec::new();
    for len in [0, 1, 21, 100, sealed.len() / 2, sealed.len() - chunk, sealed.len() - 1] {
        damaged.push(sealed[..len].to_vec());
    }
    for at in [0, 30, 150, sealed.len() / 3, sealed.len() - 1] {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        damaged.push(altered);
    }
    damaged.push([&sealed[..], b"more"].concat());
    let mut swapped = sealed.clone();
    let end = swapped.len();
    let (first, second) = swapped[end - 3 * chunk..].split_at_mut(chunk);
    first.swap_with_slice(&mut second[..chunk]);
    damaged.push(swapped);
    for (number, damaged) in damaged.iter().enumerate() {
        std::fs::write(setup.path("damaged"), damaged).expect("a file");
        let refused = pipe(&setup, &["decrypt", KEY], "damaged", "written").await;
        assert!(refused.is_err(), "damage {number} was not noticed");
        let written = std::fs::read(setup.path("written")).expect("a file");
        assert!(plain.starts_with(&written), "damage {number}: what was written is not what was encrypted");
        let out = setup.path("out");
        let named = ["decrypt", KEY, "--out", out.to_str().expect("UTF-8")];
        assert!(pipe(&setup, &named, "damaged", "written").await.is_err(), "damage {number}");
        assert!(!out.exists(), "damage {number}: a file that is not whole was left");
    }
}

#[tokio::test]
async fn a_key_that_its_owner_disables_is_denied_after_a_restart_and_served_again_when_it_is_restored() {
    let bao = bao().await;
    let mut setup = setup(&bao).await;
    let sealed = crate::setup::encrypt(&setup.client(), "a", KEY).await;

    assert!(setup.landscape.stop().await);
    bao.soft_delete_key("transit", "acme").await;
    setup.landscape.start_again().await;
    let client = setup.client().with_patience(Patience::NONE);
    for name in REGIONS {
        until(&format!("{name} is denied"), || async {
            (refusal(&client, name, KEY, &sealed).await.as_deref() == Some("l1_denied")).then_some(())
        })
        .await;
    }
    let encrypted = client.core(only("a")).encrypt(&service_path(KEY), b"new", None).await;
    let refused = encrypted.expect_err("nothing new is encrypted either");
    assert_eq!(refused.problem().map(|problem| problem.code_text.as_str()), Some("l1_denied"));
    let shown = client.core(only("a")).key(&KeyPath::Service(service_path(KEY))).await.expect("the key");
    assert_eq!(shown.answer.value["refusal"]["code"], "l1_denied");

    bao.restore_key("transit", "acme").await;
    for name in REGIONS {
        until(&format!("{name} serves again"), || async {
            refusal(&client, name, KEY, &sealed).await.is_none().then_some(())
        })
        .await;
    }
    crate::setup::opens_everywhere(&setup.client(), KEY, &sealed).await;
}

#[tokio::test]
async fn a_policy_that_is_withdrawn_while_serving_ends_that_by_the_next_probe_and_its_return_resumes_it() {
    let bao = bao().await;
    let setup = setup(&bao).await;
    let sealed = crate::setup::encrypt(&setup.client(), "a", KEY).await;
    crate::setup::opens_everywhere(&setup.client(), KEY, &sealed).await;
    let client = setup.client().with_patience(Patience::NONE);
    let refused = async |name: &str| refusal(&client, name, KEY, &sealed).await;

    bao.delete_policy("acme").await;
    for name in REGIONS {
        until(&format!("{name} refuses"), || async {
            // The CMK Server's revoke may overtake the region's own probe.
            let code = refused(name).await;
            matches!(code.as_deref(), Some("l1_denied" | "tenant_unlinked")).then_some(())
        })
        .await;
    }
    let tenant = service_path(KEY).tenant;
    until("the CMK Server sees it too", || async {
        let shown = client.cmk().l1(&tenant).await.expect("the pointer").value;
        (shown["health"]["outcome"] == "denied" && shown["state"] == "unlinked").then_some(())
    })
    .await;

    bao.put_policy("acme", &openkcm_harness::transit_policy("transit", "acme")).await;
    for name in REGIONS {
        until(&format!("{name} serves again"), || async { refused(name).await.is_none().then_some(()) })
            .await;
    }
    crate::setup::opens_everywhere(&setup.client(), KEY, &sealed).await;
}

/// A server with the tenant's key.
async fn bao() -> OpenBao {
    let bao = OpenBao::start().await;
    bao.mount("transit", "transit").await;
    bao.create_key("transit", "acme").await;
    bao
}

/// A landscape that reaches the server with a token for this key alone, and a service under it.
async fn setup(bao: &OpenBao) -> Setup {
    bao.put_policy("acme", &openkcm_harness::transit_policy("transit", "acme")).await;
    let token = bao.create_token("acme").await;
    let setup = Setup::start_prepared(|home| {
        std::fs::write(home.join("bao-token"), &token).expect("a file");
        let config = format!(
            "[probe]\nevery = \"1s\"\n\n[roots.openbao]\naddress = \"{}\"\ntoken_file = \"bao-token\"\n",
            bao.address()
        );
        std::fs::write(home.join("dev.toml"), config).expect("a file");
    })
    .await;
    setup.must(&["tenant", "define", "acme", "--regions", "a,b"]);
    setup.must(&["l1", "link", "acme", "--provider", "openbao", "--key", "transit/acme"]);
    setup.must(&["system", "define", "acme/hr"]);
    setup.must(&["service", "define", KEY]);
    setup
}

/// `openkcm ARGUMENTS` from one file to another, watched: its memory stays within the limit. What it said
/// when it failed.
async fn pipe(setup: &Setup, arguments: &[&str], from: &str, to: &str) -> Result<(), String> {
    let mut child = setup
        .command(arguments)
        .stdin(File::open(setup.path(from)).expect("the input"))
        .stdout(File::create(setup.path(to)).expect("the output"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut peak_kib = 0;
    let status = until("the command ends", || {
        peak_kib = peak_kib.max(peak_resident_kib(child.id()));
        let ended = child.try_wait().expect("our own child");
        async move { ended }
    })
    .await;
    assert!(peak_kib < RESIDENT_LIMIT_KIB, "{arguments:?} held {peak_kib} KiB");
    let mut told = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut told).expect("what it said");
    if status.success() { Ok(()) } else { Err(told) }
}

/// The kernel's high-water mark of a process's resident memory; 0 when it has ended.
fn peak_resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
