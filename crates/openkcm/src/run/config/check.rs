//! The values of a configuration: whether each can be what it is for.
//!
//! Looks at files, and never at the network: a component starts while everything else is down.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use openkcm_contracts::Role;
use openkcm_http::TlsOptions;
use openkcm_krypton::{Brake, PurgePolicy};
use openkcm_orbital::nats::Provision;

use super::file::File;
use super::layers::Layers;
use super::{Config, ConfigError, Listen, Mesh, MeshTls, Operator, file};
use crate::component::Component;
use crate::shell;

/// The most replicas that JetStream keeps.
const MAX_REPLICAS: u8 = 5;

/// The permissions of all but the owner.
const OTHERS: u32 = 0o077;

/// What the public and the secret form of an NKey begin with, and how long they are.
const NKEY_SEED: (&str, usize) = ("SU", 58);

/// Checks every value.
///
/// # Errors
/// At the first one that can't be used.
pub(super) fn check(file: File, layers: Layers) -> Result<Config, ConfigError> {
    let path = std::path::absolute(&layers.path)
        .map_err(|source| ConfigError::File { path: layers.path.clone(), source })?;
    let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let checker = Checker { layers: &layers, directory: &directory };
    let component = checker.component(&file)?;
    let listen = checker.listen(&file.listen)?;
    let mesh = checker.mesh(&file.orbital)?;
    let purge = checker.purge(&file.purge)?;
    let pace = file.l1.pace().or_else(|(key, expected)| checker.fault(key, expected))?;
    Ok(Config {
        component,
        regions: file.regions,
        data_dir: directory.join(&file.data_dir),
        listen,
        mesh,
        roots: file.roots,
        lease_terms: file.lease_terms,
        lease_policy: file.lease_policy,
        purge,
        change_wait: file.l1.change_wait(),
        pace,
        probed_every: file.probed_every.duration(),
        directory,
        shown: layers.table,
        overridden: layers.overridden,
    })
}

struct Checker<'a> {
    layers: &'a Layers,
    directory: &'a Path,
}

impl Checker<'_> {
    fn fault<T>(&self, key: &str, fault: impl Into<String>) -> Result<T, ConfigError> {
        Err(self.layers.fault(key, fault.into()))
    }

    fn component(&self, file: &File) -> Result<Component, ConfigError> {
        let twice = file.regions.iter().enumerate().find(|(at, region)| file.regions[..*at].contains(region));
        if let Some((_, region)) = twice {
            return self.fault("regions", format!("region {region} stands there twice"));
        }
        let leased = &file.lease_terms.regions;
        if let Some(region) = leased.keys().find(|region| !file.regions.contains(region)) {
            let fault = format!("the landscape has no region {region}: see `regions`");
            return self.fault(&format!("lease.regions.{region}"), fault);
        }
        match (file.role, &file.regions[..]) {
            (_, []) => self.fault("regions", "at least one region is expected"),
            (Role::Registry, _) => Ok(Component::Registry),
            (Role::Cmk, _) => Ok(Component::Cmk),
            (Role::Krypton, [region, ..]) => Ok(Component::Krypton(region.clone())),
        }
    }

    fn listen(&self, listen: &file::Listen) -> Result<Listen, ConfigError> {
        if listen.admins.is_empty() {
            return self.fault("listen.admins", "at least one SPIFFE id is expected: nobody else is let in");
        }
        let tls = TlsOptions {
            certificate: self.readable("listen.certificate", &listen.certificate)?,
            key: self.secret("listen.key", &listen.key)?,
            client_ca: self.readable("listen.client_ca", &listen.client_ca)?,
        };
        Ok(Listen { address: listen.address, tls, admins: listen.admins.clone() })
    }

    fn purge(&self, purge: &file::Purge) -> Result<PurgePolicy, ConfigError> {
        let file::Purge { minimum_wait, brake_percent, brake_least, brake_window } = *purge;
        if brake_percent > 100 {
            return self.fault("purge.brake_percent", "0 to 100 is expected");
        }
        let brake = Brake { percent: brake_percent, least: brake_least, window: brake_window.duration() };
        Ok(PurgePolicy { minimum_wait: minimum_wait.duration(), brake })
    }

    fn mesh(&self, orbital: &file::Orbital) -> Result<Mesh, ConfigError> {
        let tls = match (&orbital.ca, &orbital.certificate, &orbital.key) {
            (Some(ca), Some(certificate), Some(key)) => Some(MeshTls {
                ca: self.readable("orbital.ca", ca)?,
                certificate: self.readable("orbital.certificate", certificate)?,
                key: self.secret("orbital.key", key)?,
            }),
            (None, None, None) => None,
            (None, _, _) => return self.fault("orbital.ca", "missing: ca, certificate and key go together"),
            (_, None, _) => {
                return self.fault("orbital.certificate", "missing: ca, certificate and key go together");
            }
            (_, _, None) => return self.fault("orbital.key", "missing: ca, certificate and key go together"),
        };
        if orbital.servers.is_empty() {
            return self
                .fault("orbital.servers", "at least one broker is expected, such as tls://127.0.0.1:4222");
        }
        for server in &orbital.servers {
            if let Err(fault) = check_server(server, tls.is_some()) {
                return self.fault("orbital.servers", fault);
            }
        }
        let operator = orbital.operator.as_ref().map(|operator| self.operator(operator)).transpose()?;
        Ok(Mesh {
            servers: orbital.servers.clone(),
            nkey: self.nkey("orbital.nkey", &orbital.nkey)?,
            tls,
            signing_key: self.secret("orbital.signing_key", &orbital.signing_key)?,
            trust: self.readable("orbital.trust", &orbital.trust)?,
            operator,
        })
    }

    fn operator(&self, operator: &file::Operator) -> Result<Operator, ConfigError> {
        if !(1..=MAX_REPLICAS).contains(&operator.replicas) {
            return self.fault("orbital.operator.replicas", format!("1 to {MAX_REPLICAS} is expected"));
        }
        let nkey = self.nkey("orbital.operator.nkey", &operator.nkey)?;
        let wanted = Provision {
            replicas: operator.replicas.into(),
            storage: operator.storage,
            manifests_kept_for: operator.manifests_kept_for.duration(),
        };
        Ok(Operator { nkey, wanted })
    }

    fn nkey(&self, key: &str, path: &Path) -> Result<PathBuf, ConfigError> {
        let text = path.as_os_str().as_encoded_bytes();
        if text.len() == NKEY_SEED.1 && text.starts_with(NKEY_SEED.0.as_bytes()) {
            return self.fault(key, "this is a secret key; the name of a file that holds it is expected");
        }
        self.secret(key, path)
    }

    /// A file that this process can read.
    fn readable(&self, key: &str, path: &Path) -> Result<PathBuf, ConfigError> {
        let path = self.directory.join(path);
        let readable = fs::File::open(&path).and_then(|file| match file.metadata()?.is_file() {
            true => Ok(()),
            false => Err(io::Error::other("this is no file")),
        });
        match readable {
            Ok(()) => Ok(path),
            Err(error) => {
                self.fault(key, format!("a readable file is expected at {}: {error}", path.display()))
            }
        }
    }

    /// A file that this process can read, and no other user.
    fn secret(&self, key: &str, path: &Path) -> Result<PathBuf, ConfigError> {
        let path = self.readable(key, path)?;
        match others_may_use(&path) {
            None => Ok(path),
            Some(fault) => self.fault(key, fault),
        }
    }
}

/// What is wrong with the permissions of a file that holds a secret, if anything is.
pub(crate) fn others_may_use(path: &Path) -> Option<String> {
    let word = shell::word(path);
    match fs::metadata(path) {
        Err(error) => Some(format!("{word} can't be looked at: {error}")),
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o7777;
            let fault = || {
                format!("{word} holds a secret and others have rights on it ({mode:04o}): chmod 600 {word}")
            };
            (mode & OTHERS != 0).then(fault)
        }
    }
}

/// Whether this is a broker's URL; without TLS only one on this machine is.
fn check_server(server: &str, tls: bool) -> Result<(), String> {
    let expected = || format!("{server:?} is no broker; tls://HOST:PORT is expected");
    let (scheme, rest) = server.split_once("://").ok_or_else(expected)?;
    if rest.contains('@') {
        return Err("a broker without user or password is expected: the NKey says who this is".to_owned());
    }
    let (host, port) = rest.rsplit_once(':').ok_or_else(expected)?;
    if host.is_empty() || rest.contains('/') || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(expected());
    }
    let here = host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match scheme {
        "tls" if tls => Ok(()),
        "tls" => Err("tls:// needs ca, certificate and key".to_owned()),
        "nats" if here => Ok(()),
        "nats" => Err(format!("{server} is not on this machine: tls:// is expected there")),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_beyond_this_machine_is_reached_over_tls() {
        for (server, tls, right) in [
            ("tls://127.0.0.1:4222", true, true),
            ("tls://mesh.example:4222", true, true),
            ("tls://[::1]:4222", true, true),
            ("nats://127.0.0.1:4222", false, true),
            ("nats://localhost:4222", false, true),
            ("tls://127.0.0.1:4222", false, false),
            ("nats://10.0.0.1:4222", true, false),
            ("nats://mesh.example:4222", false, false),
            ("tls://127.0.0.1", true, false),
            ("tls://:4222", true, false),
            ("tls://127.0.0.1:0", true, false),
            ("tls://me:secret@127.0.0.1:4222", true, false),
            ("http://127.0.0.1:4222", true, false),
            ("127.0.0.1:4222", true, false),
        ] {
            assert_eq!(check_server(server, tls).is_ok(), right, "{server}");
        }
    }
}
