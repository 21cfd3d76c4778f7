//! What `init` makes, makes again, refuses, and extends.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command as Program;
use std::time::Duration;

use clap::Parser as _;
use openkcm_contracts::Timestamp;
use openkcm_harness::tool;
use openkcm_host::{BootInstant, ManualClock};
use openkcm_orbital::{Signer, Verifier};

use super::*;

/// The moment at which the tests' certificates begin.
const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    arguments: InitArguments,
}

/// Does what a line of flags says, in a directory.
pub(crate) fn init(directory: &Path, flags: &str) -> anyhow::Result<()> {
    init_at(NOW, directory, flags)
}

fn init_at(now: Timestamp, directory: &Path, flags: &str) -> anyhow::Result<()> {
    let directory = directory.to_str().expect("a readable name");
    let line = ["init", "--dir", directory].into_iter().chain(flags.split_whitespace());
    let arguments = Line::try_parse_from(line)?.arguments;
    let (clock, entropy) = (ManualClock::new(now, BootInstant::from_nanos(0)), OsEntropy::new());
    let site = Site::new(&arguments.dir, &clock, &entropy)?;
    work(&arguments, &site).map(drop)
}

/// A landscape with the regions a and b.
pub(crate) fn landscape() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    init(directory.path(), "--regions a,b").expect("made");
    directory
}

/// Every file below a directory, by its name there.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(directory).expect("below").display().to_string();
            match path.is_dir() {
                true => open.push(path),
                false => drop(found.insert(name, fs::read(&path).expect("readable"))),
            }
        }
    }
    found
}

fn text(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).expect("readable")
}

#[test]
fn the_directory_holds_what_each_component_needs_and_nobody_else_may_look() {
    let directory = landscape();
    let made = files(directory.path());
    let names: Vec<&str> = made.keys().map(String::as_str).collect();
    let expected = "admin.pem cmk.toml keys/cmk.nk keys/cmk.seed keys/krypton-a.nk keys/krypton-a.seed \
                    keys/krypton-b.nk keys/krypton-b.seed keys/operator.nk keys/registry.nk keys/registry.seed \
                    krypton-a.toml krypton-b.toml landscape.json lock nats.conf registry.toml tls/ca.key tls/ca.pem \
                    tls/cmk.key tls/cmk.pem tls/krypton-a.key tls/krypton-a.pem tls/krypton-b.key tls/krypton-b.pem \
                    tls/nats.key tls/nats.pem tls/registry.key tls/registry.pem trust.json";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    for name in names.iter().filter(|name| **name != LANDSCAPE) {
        let mode = fs::metadata(directory.path().join(name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    for room in ["tls", "keys", "data", "data/registry", "data/cmk", "data/krypton-a", "data/nats"] {
        let mode = fs::metadata(directory.path().join(room)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{room}");
    }
}

#[test]
fn what_may_be_read_by_all_names_no_secret() {
    let directory = landscape();
    let made = files(directory.path());
    let public: Vec<u8> =
        ["nats.conf", "trust.json", "landscape.json", "registry.toml", "tls/ca.pem", "tls/cmk.pem"]
            .into_iter()
            .flat_map(|name| made[name].clone())
            .collect();
    let public = String::from_utf8(public).expect("text");
    for (name, bytes) in made.iter().filter(|(name, _)| name.ends_with(".nk") || name.ends_with(".seed")) {
        let secret = std::str::from_utf8(bytes).expect("text").trim();
        assert!(secret.len() >= 44 && !public.contains(secret), "{name}");
    }
    assert!(!public.contains("PRIVATE"));
}

#[test]
fn a_landscape_that_is_complete_is_not_made_again() {
    let directory = landscape();
    let before = files(directory.path());
    let refused = init(directory.path(), "--regions a,b").expect_err("it is there").to_string();
    assert!(refused.contains("holds a landscape already") && refused.contains("--add-region"), "{refused}");
    assert_eq!(files(directory.path()), before);
}

#[test]
fn an_init_that_was_killed_at_any_file_is_typed_again_and_keeps_the_keys() {
    let directory = landscape();
    let whole = files(directory.path());
    for lost in whole.keys().filter(|name| *name != "lock") {
        let again = tempfile::tempdir().expect("a directory");
        // As if the kill had come before this file and the last one.
        for (name, bytes) in whole.iter().filter(|(name, _)| *name != lost && *name != LANDSCAPE) {
            let path = again.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, bytes).expect("written");
        }
        init(again.path(), "--regions a,b --registry-port 7099").expect("made");
        let made = files(again.path());
        assert_eq!(made.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>(), "without {lost}");
        let keys = |name: &&String| name.starts_with("keys/") || name.ends_with(".key");
        for name in whole.keys().filter(keys).filter(|name| *name != lost) {
            assert_eq!(made[name], whole[name], "{name}, without {lost}");
        }
        assert!(text(again.path(), "registry.toml").contains("127.0.0.1:7099"), "this time's flags hold");
    }
}

#[test]
fn a_region_is_added_and_no_key_no_certificate_and_no_other_line_is_touched() {
    let directory = landscape();
    let own = "# the operator's own line\nregions = [\"a\", \"b\"]";
    for name in ["registry.toml", "cmk.toml"] {
        let edited = text(directory.path(), name).replace("regions = [\"a\", \"b\"]", own);
        fs::write(directory.path().join(name), edited).expect("written");
    }
    let edited = text(directory.path(), BROKER).replace("server_name: openkcm", "server_name: mine # kept");
    fs::write(directory.path().join(BROKER), edited).expect("written");
    let before = files(directory.path());
    init(directory.path(), "--add-region c").expect("extended");
    let after = files(directory.path());

    let new: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    let expected = [
        "keys/krypton-c.nk",
        "keys/krypton-c.seed",
        "krypton-c.toml",
        "tls/krypton-c.key",
        "tls/krypton-c.pem",
    ];
    assert_eq!(new, expected);
    let changed: Vec<&String> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(changed, ["cmk.toml", LANDSCAPE, BROKER, "registry.toml", TRUST]);
    for name in ["registry.toml", "cmk.toml"] {
        let expected = String::from_utf8(before[name].clone()).expect("text");
        let expected = expected.replace("[\"a\", \"b\"]", "[\"a\", \"b\", \"c\"]");
        assert_eq!(text(directory.path(), name), expected);
    }
    let broker = text(directory.path(), BROKER);
    assert!(broker.contains("server_name: mine # kept") && broker.contains("{ # krypton-c"), "{broker}");
    let nkeys = |text: &[u8]| -> Vec<String> {
        let text = std::str::from_utf8(text).expect("text");
        text.lines().filter(|line| line.contains("nkey:")).map(str::to_owned).collect()
    };
    let (old, new) = (nkeys(&before[BROKER]), nkeys(&after[BROKER]));
    assert_eq!((new.len(), &new[..old.len()]), (old.len() + 1, &old[..]));
    assert!(text(directory.path(), "krypton-c.toml").contains("127.0.0.1:7033"), "behind the last one's");
}

#[test]
fn an_extension_that_was_killed_is_typed_again() {
    let directory = landscape();
    let before = text(directory.path(), LANDSCAPE);
    init(directory.path(), "--add-region c").expect("extended");
    let whole = files(directory.path());
    // As if the kill had come before the last file.
    fs::write(directory.path().join(LANDSCAPE), before).expect("written");
    init(directory.path(), "--add-region c").expect("extended again");
    for (name, bytes) in files(directory.path()) {
        // A certificate is issued anew, for the same key.
        assert!(name == "tls/krypton-c.pem" || bytes == whole[&name], "{name}");
    }
}

#[test]
fn what_can_not_be_extended_is_refused_before_anything_is_changed() {
    let directory = landscape();
    for (file, said) in
        [(BROKER, "marked lines"), ("tls/ca.key", "bring its key back"), ("cmk.toml", "regions")]
    {
        let kept = fs::read(directory.path().join(file)).expect("readable");
        match file {
            "tls/ca.key" => fs::remove_file(directory.path().join(file)).expect("removed"),
            "cmk.toml" => fs::write(directory.path().join(file), "regions = 1").expect("written"),
            _ => {
                let stranger =
                    String::from_utf8(kept.clone()).expect("text").replace("{ # cmk\n", "{ # me\n");
                fs::write(directory.path().join(file), stranger).expect("written");
            }
        }
        let before = files(directory.path());
        let refused = format!("{:#}", init(directory.path(), "--add-region c").expect_err("refused"));
        assert!(refused.contains(said), "{file}: {refused}");
        for (name, bytes) in &before {
            assert_eq!(&files(directory.path())[name], bytes, "{name}, with {file} broken");
        }
        fs::write(directory.path().join(file), kept).expect("written");
    }
    for (flags, said) in [
        ("--add-region a", "in this landscape already"),
        ("--add-region c --core-port 7031", "someone else listens"),
        ("--add-region c --hosts krypton-d=10.0.0.1", "none of these"),
    ] {
        let refused = init(directory.path(), flags).expect_err("refused").to_string();
        assert!(refused.contains(said), "{flags}: {refused}");
    }
    let empty = tempfile::tempdir().expect("a directory");
    let refused = init(empty.path(), "--add-region a").expect_err("nothing is there").to_string();
    assert!(refused.contains("no landscape to extend"), "{refused}");
}

#[test]
fn a_plan_that_can_not_work_is_refused_and_nothing_is_made() {
    for (flags, said) in [
        ("--regions a,a", "stands twice"),
        ("--regions a --cmk-port 7010", "two would listen at 127.0.0.1:7010"),
        ("--regions a,b --core-port 65535", "no room for all regions"),
        ("--regions a --hosts krypton-b=10.0.0.1", "none of these"),
        ("--regions a --hosts nats=10.0.0.1,nats=10.0.0.2", "two hosts"),
        ("--regions a --hosts nats", "NAME=HOST is expected"),
        ("--regions a --hosts me=10.0.0.1", "is nobody here"),
        ("--regions a --host 0.0.0.0", "others reach it"),
        ("--regions a --registry-port 0", "0 is not in"),
        ("--regions a --add-region b", "cannot be used with"),
        ("--regions a --renew-certificates", "cannot be used with"),
        ("", "--regions"),
    ] {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("d");
        let refused = init(&directory, flags).expect_err("refused").to_string();
        assert!(refused.contains(said), "{flags}: {refused}");
        assert!(!directory.exists(), "{flags}");
    }
    let parent = tempfile::tempdir().expect("a directory");
    assert!(init(&parent.path().join("a\"b"), "--regions a").is_err());
}

#[test]
fn each_component_is_believed_as_itself_and_no_key_is_two_speakers() {
    let directory = landscape();
    let bundle = TrustBundle::load(&directory.path().join(TRUST)).expect("a bundle");
    Verifier::new(&bundle).expect("valid");
    assert_eq!(bundle.keys.len(), 4);
    let regions = [RegionId::new("a").expect("a label"), RegionId::new("b").expect("a label")];
    for component in Component::all(&regions) {
        let seed = text(directory.path(), &format!("keys/{component}.seed"));
        let signer = Signer::from_seed(&seed, component.role(), component.region().cloned()).expect("a seed");
        assert!(bundle.keys.contains(&signer.trusted_key()), "{component}");
    }
}

#[test]
fn a_certificate_names_its_bearer_and_where_it_listens() {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = "--regions a --host core.example --hosts nats=10.0.0.9";
    init(directory.path(), flags).expect("made");
    assert_certificates(directory.path(), NOW);
    assert!(text(directory.path(), "registry.toml").contains("address = \"0.0.0.0:7010\""));
    assert!(text(directory.path(), "cmk.toml").contains("servers = [\"tls://10.0.0.9:4222\"]"));
    assert!(text(directory.path(), BROKER).contains("listen: \"10.0.0.9:4222\""));
    assert!(text(directory.path(), LANDSCAPE).contains("https://core.example:7031"));
}

#[test]
fn certificates_are_renewed_for_the_same_keys_and_places() {
    let directory = tempfile::tempdir().expect("a directory");
    init(directory.path(), "--regions a --host core.example --hosts nats=10.0.0.9").expect("made");
    let before = files(directory.path());
    let later = NOW.after(Duration::from_secs(300 * 24 * 60 * 60));
    init_at(later, directory.path(), "--renew-certificates").expect("renewed");
    assert_certificates(directory.path(), later);
    let after = files(directory.path());
    let changed: Vec<&String> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(
        changed,
        ["admin.pem", "tls/cmk.pem", "tls/krypton-a.pem", "tls/nats.pem", "tls/registry.pem"]
    );
    let key = |files: &BTreeMap<String, Vec<u8>>| {
        let text = String::from_utf8(files[CREDENTIAL].clone()).expect("text");
        text[text.find("-----BEGIN PRIVATE").expect("a key")..].to_owned()
    };
    assert_eq!(key(&before), key(&after));
    let empty = tempfile::tempdir().expect("a directory");
    assert!(init(empty.path(), "--renew-certificates").is_err());
}

/// Expects the certificates of a landscape with the region a at core.example and a broker at 10.0.0.9.
fn assert_certificates(directory: &Path, issued: Timestamp) {
    for (name, expected) in [
        ("tls/registry", "spiffe://openkcm/registry core.example localhost 127.0.0.1"),
        ("tls/cmk", "spiffe://openkcm/cmk core.example localhost 127.0.0.1"),
        ("tls/krypton-a", "spiffe://openkcm/krypton/a core.example localhost 127.0.0.1"),
        ("tls/nats", "spiffe://openkcm/nats 10.0.0.9 localhost 127.0.0.1"),
        ("admin", "spiffe://openkcm/admin"),
    ] {
        let pem = text(directory, &format!("{name}.pem"));
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
        let certificate = pem.parse_x509().expect("a certificate");
        let names = certificate.subject_alternative_name().expect("names").expect("names");
        let mut names: Vec<String> = names.value.general_names.iter().map(shown).collect();
        let mut expected: Vec<&str> = expected.split(' ').collect();
        names.sort();
        expected.sort_unstable();
        assert_eq!(names, expected, "{name}");
        let usage = certificate.extended_key_usage().expect("a usage").expect("a usage");
        assert_eq!((usage.value.client_auth, usage.value.server_auth), (true, name != "admin"), "{name}");
        let began = i64::try_from(issued.as_millis() / 1_000).expect("a time");
        assert!(certificate.validity().not_before.timestamp() <= began, "{name}");
        let year = 365 * 24 * 60 * 60;
        assert_eq!(certificate.validity().not_after.timestamp(), began + year, "{name}");
    }
}

fn shown(name: &x509_parser::extensions::GeneralName<'_>) -> String {
    use x509_parser::extensions::GeneralName;
    match name {
        GeneralName::URI(text) | GeneralName::DNSName(text) => (*text).to_owned(),
        GeneralName::IPAddress([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_broker_takes_its_configuration_before_and_after_a_region_is_added() {
    let directory = landscape();
    let accept = || {
        let conf = directory.path().join(BROKER);
        let told = Program::new(tool("nats-server", "nats")).arg("-t").arg("-c").arg(conf).output();
        let told = told.expect("the program starts");
        let text = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.success() && text.contains("is valid"), "{text}");
    };
    accept();
    init(directory.path(), "--add-region c").expect("extended");
    accept();
}
