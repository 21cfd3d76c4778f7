//! `openkcm registry`, `cmk`, `krypton`: one component as a process of its own, on the mesh of a broker.
//!
//! The same code as in `dev`, with another transport plugged in. What always holds: a component starts and serves
//! while the broker and all others are down; what is wrong with its configuration is told before anything is opened;
//! it says `ready` on stdout, and to systemd, when it serves.

mod config;
mod mesh;
mod notify;
mod parts;
mod reload;
mod serve;

use std::path::PathBuf;

use openkcm_contracts::Role;

use self::config::{Flag, FlagValue};
use crate::cli::{Format, output, parse_pair, render};

pub(crate) use self::config::{Config, GivenLeases, L1, Probes, Sources};
pub(crate) use self::mesh::{Command as MeshCommand, run as run_mesh};

/// How a component is run.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// Its configuration, as `openkcm init` makes it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where its state lies, instead of where `data_dir` says
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where it listens, instead of where `listen.address` says
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Set any key of the configuration, such as orbital.servers=tls://10.0.0.9:4222
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    set: Vec<(String, String)>,
    /// Check the configuration, print what comes of file, environment and flags, and end
    #[arg(long)]
    check: bool,
}

/// How an authority is run.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthorityArguments {
    #[command(flatten)]
    run: RunArguments,
    /// Get the facts of a lost store back from the mesh, before anything is published
    #[arg(long)]
    rebuild_from_mesh: bool,
}

/// Runs a Core until it is asked to stop.
///
/// # Errors
/// When its configuration can't be used, or it fails.
pub(crate) fn run_core(arguments: &RunArguments, format: Format) -> anyhow::Result<()> {
    run(Role::Krypton, arguments, false, format)
}

/// Runs the Registry or the CMK Server until it is asked to stop.
///
/// # Errors
/// When its configuration can't be used, or it fails.
pub(crate) fn run_authority(
    role: Role,
    arguments: &AuthorityArguments,
    format: Format,
) -> anyhow::Result<()> {
    run(role, &arguments.run, arguments.rebuild_from_mesh, format)
}

fn run(role: Role, arguments: &RunArguments, rebuild: bool, format: Format) -> anyhow::Result<()> {
    let sources = arguments.sources()?;
    let config = Config::load(role, &sources)?;
    if arguments.check {
        parts::check(&config)?;
        return output::result(&match format {
            Format::Table => config.to_text(),
            Format::Json => render::json(&config.to_json()),
        });
    }
    serve::run(sources, config, rebuild)
}

impl RunArguments {
    fn sources(&self) -> anyhow::Result<Sources> {
        let mut flags = set_flags(&self.set);
        if let Some(directory) = &self.data_dir {
            // Unlike in the file, it starts where this was typed.
            let directory = std::path::absolute(directory)?;
            let value = FlagValue::Text(directory.to_string_lossy().into_owned());
            flags.push(Flag { name: "--data-dir".to_owned(), key: "data_dir".to_owned(), value });
        }
        if let Some(address) = &self.listen {
            let value = FlagValue::Text(address.clone());
            flags.push(Flag { name: "--listen".to_owned(), key: "listen.address".to_owned(), value });
        }
        Ok(Sources::of_process(&self.config, flags)?)
    }
}

/// What `--set` says.
fn set_flags(pairs: &[(String, String)]) -> Vec<Flag> {
    let flag = |(key, value): &(String, String)| Flag {
        name: format!("--set {key}"),
        key: key.clone(),
        value: FlagValue::Any(value.clone()),
    };
    pairs.iter().map(flag).collect()
}
