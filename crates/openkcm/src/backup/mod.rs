//! `openkcm backup` and `openkcm restore`: a component's store, copied while it runs, and put back on an empty node.
//!
//! Both work on the host of the component, with its configuration, and speak to no other component. What always
//! holds: a backup appears under its name when it is whole and synced, or not at all; it holds sealed material and no
//! credential; nothing is put in place that was not checked, and nothing is written over.

mod description;
mod restore;
mod take;

use std::path::PathBuf;

use clap::ValueEnum;
use openkcm_contracts::Role;
use openkcm_store::Space;

use crate::cli::Format;
use crate::run::{Config, Sources};

/// The store's name in a backup.
const STORE: &str = "store.db";

/// Which component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The Registry
    Registry,
    /// The CMK Server
    Cmk,
    /// The Core of a region
    Krypton,
}

impl Kind {
    fn role(self) -> Role {
        match self {
            Self::Registry => Role::Registry,
            Self::Cmk => Role::Cmk,
            Self::Krypton => Role::Krypton,
        }
    }
}

/// Whose store.
#[derive(Debug, clap::Args)]
struct Whose {
    /// What kind of component it is
    #[arg(value_enum)]
    component: Kind,
    /// Its configuration, as `openkcm init` makes it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Whose {
    fn config(&self) -> anyhow::Result<Config> {
        Ok(Config::load(self.component.role(), &Sources::of_process(&self.config, Vec::new())?)?)
    }
}

/// Copy a component's store while the component runs
///
/// Makes a directory with the copy and its description. It holds what the store holds: facts, pointers, sealed key
/// material, and no plaintext key, no credential and no lease. Keep the files beside the configuration (keys and
/// certificates) in a backup of their own.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    whose: Whose,
    /// The directory in which the backup gets a directory of its own
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Put a backup in the place of a component's lost store
///
/// For a node whose store is gone; one that is there is never written over. The backup is checked before: that it is
/// whole, this component's and this landscape's, and for a Core that the tenants' roots open what is sealed in it.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    whose: Whose,
    /// The backup's directory, as `openkcm backup` named it
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Do not ask the tenants' roots whether they open what is sealed: for when a provider is away
    #[arg(long)]
    without_roots: bool,
    /// Check the backup and put nothing in place
    #[arg(long)]
    check: bool,
}

/// Takes a backup.
///
/// # Errors
/// When the store can't be read, or the backup can't be written.
pub(crate) fn back_up(arguments: &BackupArguments, format: Format) -> anyhow::Result<()> {
    take::run(&arguments.whose.config()?, &arguments.to, format)
}

/// Puts a backup in place.
///
/// # Errors
/// When it is not fit, or the node is not empty.
pub(crate) fn restore(arguments: &RestoreArguments, format: Format) -> anyhow::Result<()> {
    restore::run(&arguments.whose.config()?, arguments, format)
}

/// Where a component's store lies.
fn store_of(config: &Config) -> PathBuf {
    openkcm_component::store_file(&config.data_dir, &config.component.role().to_string())
}

/// What is in no backup of a component.
fn left_out(config: &Config) -> Vec<Space> {
    match config.component.role() {
        Role::Registry | Role::Cmk => Vec::new(),
        Role::Krypton => openkcm_krypton::backup::left_out(),
    }
}

/// The identity of a component's store.
fn identity(config: &Config) -> String {
    openkcm_component::store_identity(&config.component.role().to_string(), config.component.region())
}
