//! Where a key's value comes from, and what is refused with which words.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use openkcm_contracts::Role;

use super::layers::{Flag, FlagValue};
use super::*;

/// Reads a landscape's configuration with these variables and `--set` flags.
fn load(
    directory: &Path,
    role: Role,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, String> {
    let name = if role == Role::Krypton { "krypton-a".to_owned() } else { role.to_string() };
    let flag = |(key, value): &(&str, &str)| Flag {
        name: format!("--set {key}"),
        key: (*key).to_owned(),
        value: FlagValue::Any((*value).to_owned()),
    };
    let sources = Sources {
        path: directory.join(format!("{name}.toml")),
        environment: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        flags: flags.iter().map(flag).collect(),
    };
    Config::load(role, &sources).map_err(|error| error.to_string())
}

fn landscape() -> tempfile::TempDir {
    crate::init::tests::landscape()
}

#[test]
fn what_init_makes_is_a_configuration_of_each_component() {
    let landscape = landscape();
    let directory = landscape.path();
    let registry = load(directory, Role::Registry, &[], &[]).expect("the Registry's");
    assert_eq!((registry.component.clone(), registry.regions.len()), (Component::Registry, 2));
    assert_eq!(registry.mesh.operator.expect("the operator").wanted.replicas, 1);
    assert_eq!(registry.data_dir, directory.join("data/registry"));
    let cmk = load(directory, Role::Cmk, &[], &[]).expect("the CMK Server's");
    assert!(cmk.mesh.operator.is_none() && cmk.roots.local.expect("local roots").auto_create);
    let core = load(directory, Role::Krypton, &[], &[]).expect("the Core's");
    assert_eq!((core.component.to_string().as_str(), core.listen.address.port()), ("krypton-a", 7031));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file_and_that_over_the_defaults() {
    let landscape = landscape();
    let directory = landscape.path();
    let variable = ("OPENKCM_REGISTRY__LISTEN__ADDRESS", "127.0.0.1:2");
    let other = ("OPENKCM_CMK__LISTEN__ADDRESS", "127.0.0.1:9");
    let port = |variables: &[(&str, &str)], flags: &[(&str, &str)]| {
        load(directory, Role::Registry, variables, flags).expect("a configuration").listen.address.port()
    };
    assert_eq!(port(&[other], &[]), 7010);
    assert_eq!(port(&[variable, other], &[]), 2);
    assert_eq!(port(&[variable], &[("listen.address", "127.0.0.1:3")]), 3);
    let path = directory.join("registry.toml");
    let text = fs::read_to_string(&path).expect("readable").replace("data_dir = \"data/registry\"\n", "");
    fs::write(&path, text.replace("address = \"127.0.0.1:7010\"\n", "")).expect("written");
    assert_eq!(port(&[], &[]), 7010);
    let config = load(directory, Role::Registry, &[variable], &[]).expect("a configuration");
    assert_eq!(config.data_dir, directory.join("data"));
    let shown = config.to_text();
    assert!(shown.contains("# listen.address: by OPENKCM_REGISTRY__LISTEN__ADDRESS"), "{shown}");
    assert!(shown.contains("address = \"127.0.0.1:2\""), "{shown}");
}

#[test]
fn a_list_may_be_told_with_commas_and_a_value_may_be_toml() {
    let landscape = landscape();
    let flags = [
        ("regions", "a, b,c"),
        ("orbital.servers", "[\"tls://10.0.0.1:4222\", 'tls://10.0.0.2:4222']"),
        ("orbital.operator.replicas", "3"),
        ("data_dir", "\"7\""),
    ];
    let config = load(landscape.path(), Role::Registry, &[], &flags).expect("a configuration");
    assert_eq!(config.regions.len(), 3);
    assert_eq!(config.mesh.servers, ["tls://10.0.0.1:4222", "tls://10.0.0.2:4222"]);
    assert_eq!(config.mesh.operator.expect("the operator").wanted.replicas, 3);
    assert!(config.data_dir.ends_with("7"));
    let cmk = load(landscape.path(), Role::Cmk, &[("OPENKCM_CMK__ROOTS__LOCAL__AUTO_CREATE", "false")], &[]);
    assert!(!cmk.expect("a configuration").roots.local.expect("local roots").auto_create);
}

#[test]
fn a_bad_key_or_value_names_its_place_its_key_and_what_was_expected() {
    let landscape = landscape();
    let directory = landscape.path();
    for (flag, value, said) in [
        (
            "listen.addres",
            "x",
            "--set listen.addres: listen.addres: unknown key; expected one of address, certificate",
        ),
        ("foo", "1", "--set foo: foo: unknown key; expected one of data_dir, regions, listen, orbital"),
        ("roots.local.directory", "x", "--set roots.local.directory: roots: unknown key"),
        (
            "listen.address",
            "here",
            "listen.address: an address and a port are expected, such as 127.0.0.1:7010",
        ),
        ("listen.address", "7010", "listen.address: invalid type: integer"),
        (
            "listen.admins",
            "admin",
            "--set listen.admins: listen.admins[0]: a SPIFFE id begins with spiffe://",
        ),
        ("listen.admins", "", "at least one SPIFFE id is expected"),
        ("regions", "A", "--set regions: regions[0]: region: character 'A'"),
        ("regions", "a,a", "region a stands there twice"),
        ("regions", "", "at least one region is expected"),
        ("regions", "[\"a\"", "looks like TOML and is none"),
        ("orbital", "1", "orbital: invalid type: integer 1, expected a section with keys of its own"),
        ("orbital.nkey.x", "1", "nkey is no section"),
        ("orbital.nkey", "keys/none", "a readable file is expected at"),
        ("orbital.servers", "nats://10.0.0.1:4222", "tls:// is expected there"),
        ("orbital.operator.replicas", "9", "1 to 5 is expected"),
        ("orbital.operator.replicas", "999", "orbital.operator.replicas: invalid value"),
        ("..", "1", "this names no key"),
    ] {
        let error = load(directory, Role::Registry, &[], &[(flag, value)]).expect_err("refused");
        assert!(error.contains(said), "{flag}={value}: {error}");
    }
}

#[test]
fn a_lease_for_a_region_that_there_is_not_is_a_mistake() {
    let landscape = landscape();
    let directory = landscape.path();
    load(directory, Role::Cmk, &[], &[("lease.regions.a", "1h")]).expect("there is one");
    let error = load(directory, Role::Cmk, &[], &[("lease.regions.eu-9", "1h")]).expect_err("refused");
    assert!(error.contains("lease.regions.eu-9: the landscape has no region eu-9"), "{error}");
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_line() {
    let landscape = landscape();
    let path = landscape.path().join("registry.toml");
    let good = fs::read_to_string(&path).expect("readable");
    let line_of =
        |text: &str, what: &str| text.lines().position(|line| line.contains(what)).expect("there") + 1;
    for (from, to, said) in [
        ("data_dir =", "dta_dir =", "dta_dir: unknown key; expected one of data_dir"),
        ("replicas =", "replica =", "orbital.operator.replica: unknown key; expected one of nkey"),
        ("client_ca = \"tls/ca.pem\"", "client_ca = 3", "listen.client_ca: invalid type: integer 3"),
        ("trust = \"trust.json\"", "trust = ", "this is no TOML"),
    ] {
        let bad = good.replace(from, to);
        fs::write(&path, &bad).expect("written");
        let error = load(landscape.path(), Role::Registry, &[], &[]).expect_err("refused");
        let place = format!("registry.toml, line {}: {said}", line_of(&bad, to));
        assert!(error.contains(&place), "{place}\n{error}");
    }
    fs::write(&path, good.replace("signing_key = \"keys/registry.seed\"\n", "")).expect("written");
    let error = load(landscape.path(), Role::Registry, &[], &[]).expect_err("refused");
    assert!(error.contains("orbital.signing_key: missing"), "{error}");
    fs::remove_file(&path).expect("removed");
    let error = load(landscape.path(), Role::Registry, &[], &[]).expect_err("refused");
    assert!(error.contains("registry.toml can't be read"), "{error}");
}

#[test]
fn a_variable_of_this_component_that_is_no_key_is_refused_by_its_name() {
    let landscape = landscape();
    for name in ["OPENKCM_REGISTRY__LISTN__ADDRESS", "OPENKCM_REGISTRY__DATADIR", "OPENKCM_REGISTRY__"] {
        let error = load(landscape.path(), Role::Registry, &[(name, "1")], &[]).expect_err("refused");
        assert!(error.starts_with(&format!("{name}: ")), "{error}");
    }
}

#[test]
fn a_secret_that_others_may_use_is_refused_with_the_command_that_helps() {
    let landscape = landscape();
    let directory = landscape.path();
    for name in ["keys/registry.nk", "keys/registry.seed", "tls/registry.key", "keys/operator.nk"] {
        let path = directory.join(name);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            let error = load(directory, Role::Registry, &[], &[]).expect_err("refused");
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("changed");
        load(directory, Role::Registry, &[], &[]).expect("only its owner reads it");
    }
}

#[test]
fn a_secret_in_the_place_of_its_files_name_is_not_repeated() {
    let landscape = landscape();
    let seed = fs::read_to_string(landscape.path().join("keys/registry.nk")).expect("a seed");
    let error = load(landscape.path(), Role::Registry, &[], &[("orbital.nkey", &seed)]).expect_err("refused");
    assert!(error.contains("the name of a file") && !error.contains(&seed), "{error}");
}

#[test]
fn tls_to_the_broker_is_told_as_a_whole_or_not_at_all() {
    let landscape = landscape();
    let path = landscape.path().join("krypton-a.toml");
    let good = fs::read_to_string(&path).expect("readable");
    let (listen, orbital) = good.split_once("[orbital]").expect("a section");
    for key in ["ca", "certificate", "key"] {
        let without: String = orbital
            .lines()
            .filter(|line| !line.starts_with(&format!("{key} =")))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(&path, format!("{listen}[orbital]{without}")).expect("written");
        let error = load(landscape.path(), Role::Krypton, &[], &[]).expect_err("refused");
        assert!(error.contains(&format!("orbital.{key}: missing")), "{error}");
    }
}
