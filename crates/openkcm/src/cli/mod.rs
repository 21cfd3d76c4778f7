//! The command line: what can be typed, and which file does it.
//!
//! Each command has a file of its own. What all share is here and beside: the global flags (`globals`), the
//! session that a command works in (`session`), what is printed (`output`, `render`) and how a failure is told
//! (`report`).
//!
//! What always holds: results go to stdout and everything else to stderr; a command that ends with 0 has done
//! what it says, and one that ends with 5 has, of which not every region knows yet; no plaintext and no key is in a message.

mod arrival;
mod container;
mod core_keys;
mod cores;
mod decrypt;
mod drift;
mod encrypt;
mod failover;
mod files;
mod globals;
mod key;
mod l1;
pub(crate) mod output;
mod owner_key;
mod progress;
mod purge;
mod quarantine;
mod regions;
pub(crate) mod render;
mod report;
mod service;
mod session;
mod status;
mod system;
mod tenant;

use clap::{Parser, Subcommand};
use openkcm_contracts::Role;

use self::globals::Globals;
use self::session::Session;
use crate::{backup, dev, drill, init, run as component};

pub(crate) use self::globals::{parse_pair, parse_span};
pub(crate) use self::l1::parse_root;
pub(crate) use self::progress::Progress;
pub(crate) use self::render::Format;
pub(crate) use self::report::report;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed here, for another reason than the following
  2  the command was not typed right, or the landscape has no such region
  3  a component refused; its problem code is printed
  4  a component is unreachable
  5  committed, and not every region was seen to follow in time (--wait): of `l1 unlink`, `tenant offboard`, `delete`,
     `undelete` and `failover`

A first tour, beside `openkcm dev` in another terminal:
  openkcm tenant define acme --regions a,b
  openkcm l1 link acme --provider local --key acme
  openkcm system define acme/hr
  openkcm service define acme/hr/payroll --rotate-every 90d
  openkcm encrypt acme/hr/payroll < report.pdf > report.pdf.enc
  openkcm l1 unlink acme";

/// Sovereign key management: tenants keep their root keys, regions keep serving.
#[derive(Parser)]
#[command(name = "openkcm", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole landscape in this process, on loopback
    Dev(dev::DevArguments),
    Init(init::InitArguments),
    /// Run the Registry, the Architect: what tenants, systems and services there are
    Registry(component::AuthorityArguments),
    /// Run the CMK Server, the Sovereign Anchor: which tenants are linked to which root keys
    Cmk(component::AuthorityArguments),
    /// Run the Krypton Core of a region, the Builder: makes keys and uses them
    Krypton(component::RunArguments),
    Backup(backup::BackupArguments),
    Restore(backup::RestoreArguments),
    #[command(subcommand)]
    Drill(drill::Command),
    #[command(subcommand)]
    Mesh(component::MeshCommand),
    #[command(subcommand)]
    Signer(init::SignerCommand),
    /// Define, show and offboard tenants
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Define, show and delete systems, whose keys are L2
    #[command(subcommand)]
    System(system::Command),
    /// Define, show and delete services, whose keys are L3
    #[command(subcommand)]
    Service(service::Command),
    /// Link tenants to their own root keys (L1), and unlink them
    #[command(subcommand)]
    L1(l1::Command),
    /// Encrypt a file of any size, or a small text
    Encrypt(encrypt::Arguments),
    /// Decrypt what `encrypt` made
    Decrypt(decrypt::Arguments),
    /// Make a data key and print it IN THE CLEAR beside its sealed form
    ///
    /// Use the key and forget it, keep the sealed form beside the data, and open that again with `openkcm decrypt`.
    Datakey(key::DatakeyArguments),
    /// Encrypt a `kcm1.…` ciphertext anew under the newest version
    Rewrap(key::RewrapArguments),
    /// Make a new version of a key
    Rotate(key::RotateArguments),
    /// Show keys as the regions see them
    #[command(subcommand)]
    Key(key::Command),
    /// Look at what the regions are to destroy, confirm and hold it
    #[command(subcommand)]
    Purge(purge::Command),
    /// Look at, retry and drop events that a component could not read or apply
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    Drift(drift::Arguments),
    Failover(failover::Arguments),
    /// Look at the regions' Cores as the CMK Server sees them, and have starts of one forgotten
    #[command(subcommand)]
    Cores(cores::Command),
    /// Look at the regions as the Registry sees them, and overrule what one claims
    #[command(subcommand)]
    Regions(regions::Command),
    /// Show how all components are
    Status(status::Arguments),
}

/// Does what was typed.
///
/// # Errors
/// When it was not done; [`report()`] tells a person why.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { globals, command } = arguments;
    let format = globals.output;
    let result = match command {
        Command::Dev(arguments) => dev::run(arguments),
        Command::Init(arguments) => init::run(&arguments, format),
        Command::Registry(arguments) => component::run_authority(Role::Registry, &arguments, format),
        Command::Cmk(arguments) => component::run_authority(Role::Cmk, &arguments, format),
        Command::Krypton(arguments) => component::run_core(&arguments, format),
        Command::Backup(arguments) => backup::back_up(&arguments, format),
        Command::Restore(arguments) => backup::restore(&arguments, format),
        Command::Drill(command) => drill::run(&command, globals.landscape, format),
        Command::Mesh(command) => component::run_mesh(&command, format),
        Command::Signer(command) => init::run_signer(&command, format),
        Command::L1(l1::Command::CreateLocal(arguments)) => l1::create_local(&arguments, &globals),
        Command::L1(l1::Command::OwnerKey(command)) => owner_key::run(&command, &globals),
        command => Session::open(&globals).and_then(|session| run_in(command, &session)),
    };
    result.map_err(|error| report::Failure::new(error, format).into())
}

/// Does what needs a landscape.
fn run_in(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Tenant(command) => session.block_on(tenant::run(command, session)),
        Command::System(command) => session.block_on(system::run(command, session)),
        Command::Service(command) => session.block_on(service::run(command, session)),
        Command::L1(command) => session.block_on(l1::run(command, session)),
        Command::Encrypt(arguments) => encrypt::run(&arguments, session),
        Command::Decrypt(arguments) => decrypt::run(&arguments, session),
        Command::Datakey(arguments) => session.block_on(key::datakey(&arguments, session)),
        Command::Rewrap(arguments) => session.block_on(key::rewrap(&arguments, session)),
        Command::Rotate(arguments) => session.block_on(key::rotate(&arguments, session)),
        Command::Key(command) => session.block_on(key::run(&command, session)),
        Command::Purge(command) => session.block_on(purge::run(command, session)),
        Command::Quarantine(command) => session.block_on(quarantine::run(command, session)),
        Command::Cores(command) => session.block_on(cores::run(command, session)),
        Command::Failover(arguments) => session.block_on(failover::run(arguments, session)),
        Command::Regions(command) => session.block_on(regions::run(command, session)),
        Command::Drift(arguments) => session.block_on(drift::run(&arguments, session)),
        Command::Status(arguments) => session.block_on(status::run(&arguments, session)),
        Command::Dev(_)
        | Command::Init(_)
        | Command::Registry(_)
        | Command::Cmk(_)
        | Command::Krypton(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Drill(_)
        | Command::Mesh(_)
        | Command::Signer(_) => unreachable!("needs no landscape, so `run` has done it"),
    }
}

#[cfg(test)]
mod tests;
