//! What can be typed, and what is refused before anything is done.

use clap::{CommandFactory as _, Parser as _};

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

/// Every command below this one, with its full name.
fn all(command: &clap::Command, name: String, found: &mut Vec<(String, clap::Command)>) {
    found.push((name.clone(), command.clone()));
    for below in command.get_subcommands() {
        all(below, format!("{name} {}", below.get_name()), found);
    }
}

#[test]
fn the_definition_of_the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_and_every_flag_has_a_help_text() {
    let mut commands = Vec::new();
    all(&Arguments::command(), "openkcm".to_owned(), &mut commands);
    assert!(commands.len() > 25);
    for (name, command) in commands {
        assert!(command.get_about().is_some(), "{name} says nothing of itself");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name}: {} says nothing of itself", argument.get_id());
        }
    }
}

#[test]
fn the_tour_in_the_help_can_be_typed() {
    let tour = EXIT_CODES.lines().filter(|line| line.starts_with("  openkcm "));
    let mut typed = 0;
    for line in tour {
        let line = line.split('<').next().unwrap_or_default();
        assert!(parse(line).is_ok(), "{line}");
        typed += 1;
    }
    assert!(typed >= 6);
}

#[test]
fn the_commands_of_the_design_are_understood() {
    for line in [
        "openkcm tenant define acme --regions a,b --label k=v --label l=w",
        "openkcm tenant offboard acme --purge-after 7d",
        "openkcm tenant undelete acme",
        "openkcm tenant show acme",
        "openkcm cores list --region eu-1 --output json",
        "openkcm cores forget eu-1 --yes",
        "openkcm tenant list --state all --prefix ac --limit 5 --output json",
        "openkcm system define acme/hr --rotate-every 90d",
        "openkcm system compromise acme/hr 0e4fd0b1-8f3a-4f1e-9a57-0c6d8ab6a0f5",
        "openkcm service define acme/hr/payroll --rotate-every 90d --algorithm AES256 --no-wait",
        "openkcm service delete acme/hr/payroll --purge-after 0",
        "openkcm service list acme/hr",
        "openkcm l1 link acme --provider openbao --key transit/acme --option namespace=x --ttl 1h",
        "openkcm l1 link acme --root local:one --root local:two",
        "openkcm l1 unlink acme --wait 30s",
        "openkcm l1 status acme",
        "openkcm l1 list",
        "openkcm l1 create-local acme --directory roots",
        "openkcm encrypt acme/hr/payroll --in a --out b --region a",
        "openkcm encrypt acme/hr/payroll --raw --aad x",
        "openkcm decrypt acme/hr/payroll --raw",
        "openkcm datakey acme/hr/payroll --bytes 16",
        "openkcm rewrap acme/hr/payroll kcm1.AA",
        "openkcm rotate acme/hr",
        "openkcm rotate acme/hr/payroll --region b",
        "openkcm key show acme/hr",
        "openkcm quarantine list --component registry --tenant acme --stream 1.region.a --limit 5",
        "openkcm quarantine show --component a 9f86d081884c7d659a2feaa0c55ad015",
        "openkcm quarantine retry --component cmk 9f86d081884c7d659a2feaa0c55ad015",
        "openkcm quarantine drop --component eu-1 --yes 9f86d081884c7d659a2feaa0c55ad015",
        "openkcm failover --from eu-1 --to us-1 --dry-run",
        "openkcm failover --from a --to b --yes --wait 2m",
        "openkcm failover --back a --yes",
        "openkcm failover list --output json",
        "openkcm --landscape x.json status",
        "openkcm init --dir D --regions a,b --host 10.0.0.1 --hosts nats=10.0.0.9,krypton-a=core.example",
        "openkcm init --dir D --regions a --registry-port 1 --cmk-port 2 --core-port 3 --nats-port 4 --replicas 3",
        "openkcm init --dir D --add-region c --core-port 7040 --host 10.0.0.3",
        "openkcm init --dir D --renew-certificates --output json",
        "openkcm registry --config F --rebuild-from-mesh",
        "openkcm cmk --config F --data-dir D --listen 127.0.0.1:1 --set orbital.servers=tls://a:1,tls://b:1",
        "openkcm krypton --config F --check",
        "openkcm drill tier1 --scratch --for 5m --rotate-every 10s --regions a,b,c --region c --json F --output json",
        "openkcm drill tier1 --break x --heal y --root local:z --landscape F",
        "openkcm drill tier2 --scratch --component nats --how empty --nats-server F --dir D --keep",
        "openkcm drill tier2 --component cmk --how backup --backup w --break x --heal y --root local:z",
        "openkcm drill tier3 --scratch --tenants 10000 --services 10 --from a --to b --standby --no-return",
        "openkcm drill tier3 --break x --heal y --root local:z --whole-region",
        "openkcm mesh setup --config F",
        "openkcm mesh setup --dir D --set orbital.operator.nkey=operator.nk",
        "openkcm signer list --dir D",
        "openkcm signer add --dir D krypton-a",
        "openkcm signer use --dir D cmk",
        "openkcm signer retire --dir D registry",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}\n{error}");
        }
    }
}

#[test]
fn what_is_not_typed_right_is_refused_before_anything_is_done() {
    for (line, said) in [
        ("openkcm tenant define Acme --regions a", "tenant: character 'A'"),
        ("openkcm tenant define acme", "--regions"),
        ("openkcm service define acme/hr", "TENANT/SYSTEM/SERVICE is expected"),
        ("openkcm system define acme/hr --rotate-every soon", "a span such as 90d"),
        ("openkcm system compromise acme/hr 12", "a UUID is expected"),
        ("openkcm l1 link acme --provider local", "--key"),
        ("openkcm l1 link acme --root local", "PROVIDER:KEY is expected"),
        ("openkcm tenant list --limit 0", "0 is not in"),
        ("openkcm encrypt acme/hr/payroll --aad x", "--raw"),
        ("openkcm quarantine retry 9f86d081884c7d659a2feaa0c55ad015", "--component"),
        ("openkcm quarantine drop --component a x", "32 hexadecimal digits"),
        ("openkcm status --wait 5s --no-wait", "cannot be used with"),
        ("openkcm status --output xml", "possible values: table, json"),
        ("openkcm init --dir D", "--regions"),
        ("openkcm failover", "--from"),
        ("openkcm failover --from a", "--to"),
        ("openkcm failover --back a --from b --to c", "cannot be used with"),
        ("openkcm failover --back a --dry-run", "cannot be used with"),
        ("openkcm registry", "--config"),
        ("openkcm krypton --config F --rebuild-from-mesh", "unexpected argument"),
        ("openkcm cmk --config F --set listen", "NAME=VALUE is expected"),
        ("openkcm drill tier1", "--scratch"),
        ("openkcm drill tier1 --break x --heal y", "--root"),
        ("openkcm drill tier1 --scratch --break x", "cannot be used with"),
        ("openkcm drill tier1 --scratch --for 2days", "at most 1 day"),
        ("openkcm drill tier2 --scratch", "--component"),
        ("openkcm mesh setup", "--config"),
        ("openkcm signer use --dir D nats", "registry, cmk or krypton-REGION is expected"),
    ] {
        let Err(error) = parse(line) else { panic!("{line} was taken") };
        assert!(error.to_string().contains(said), "{line}\n{error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn nobody_waits_who_does_not_want_to() {
    let patience = |line| parse(line).unwrap_or_else(|error| panic!("{error}")).globals.patience().total;
    assert_eq!(patience("openkcm status").as_secs(), 10);
    assert_eq!(patience("openkcm status --wait 1m").as_secs(), 60);
    assert_eq!(patience("openkcm --no-wait status").as_secs(), 0);
}

/// The folder of the units that an operator installs.
const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd");

#[test]
fn the_commands_of_the_systemd_units_are_understood() {
    let mut units = 0;
    for entry in std::fs::read_dir(UNITS).expect("the units") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
        let line = line.replace("/usr/local/bin/openkcm", "openkcm").replace("%i", "eu-1");
        assert!(parse(&line).is_ok(), "{}: {line}", path.display());
        for expected in
            ["Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "User=openkcm", "Restart=on-failure"]
        {
            assert!(text.lines().any(|line| line == expected), "{}: {expected}", path.display());
        }
        units += 1;
    }
    assert_eq!(units, 3);
}
