//! How to reach the providers: the sections `[roots.…]` of a component's configuration.
//!
//! Each component has its own; none of it crosses the mesh. Credentials are named by file and are never
//! part of the configuration itself. A relative path is relative to the component's data directory.

use std::io;
use std::path::PathBuf;

use openkcm_contracts::Period;
use serde::Deserialize;

/// The providers that a component can reach. One without a section can't be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RootsConfig {
    /// Key files on this machine, to try things out.
    pub local: Option<LocalConfig>,
    /// The transit engine of an OpenBao server.
    pub openbao: Option<TransitConfig>,
    /// The transit engine of a HashiCorp Vault server.
    pub vault: Option<TransitConfig>,
}

/// `[roots.local]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalConfig {
    /// The directory of the key files. It is made if there is none.
    pub directory: PathBuf,
    /// Whether a key that is missing is made when it is first described, probed or sealed with. Never when
    /// something is to be opened with it.
    pub auto_create: bool,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self { directory: PathBuf::from("local-roots"), auto_create: false }
    }
}

/// `[roots.openbao]` and `[roots.vault]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransitConfig {
    /// The server's base address: `https://bao.example:8200`. Plain HTTP is for loopback alone, since an L2
    /// in the clear travels over it.
    pub address: String,
    /// A file that holds a token. It is read again for every request, so it can be replaced at any time.
    pub token_file: Option<PathBuf>,
    /// An AppRole to log in with, instead of a token.
    pub app_role: Option<AppRoleConfig>,
    /// The namespace of the credential, and of the keys whose reference has no option `namespace` of its own.
    pub namespace: Option<String>,
    /// The certificates that may have issued the server's, in PEM, instead of those that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// The longest that one operation may take, with everything that it needs. 5s if it is not given.
    pub timeout: Option<Period>,
}

/// `[roots.openbao.app_role]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRoleConfig {
    /// A file that holds the role's id.
    pub role_id_file: PathBuf,
    /// A file that holds the secret id. It is read again for every login.
    pub secret_id_file: PathBuf,
    /// Where the auth method is mounted.
    #[serde(default = "default_app_role_mount")]
    pub mount: String,
}

fn default_app_role_mount() -> String {
    "approle".to_owned()
}

/// The configuration can't be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address is none that this driver would send a key to.
    #[error("roots.{provider}.address: {fault}")]
    Address {
        /// The section.
        provider: &'static str,
        /// What is wrong and what is expected.
        fault: &'static str,
    },
    /// There has to be one credential.
    #[error("roots.{provider}: give either token_file or app_role, and not both")]
    Credential {
        /// The section.
        provider: &'static str,
    },
    /// A setting has a value that can't be used.
    #[error("roots.{provider}.{setting}: {fault}")]
    Setting {
        /// The section.
        provider: &'static str,
        /// The setting.
        setting: &'static str,
        /// What is expected.
        fault: &'static str,
    },
    /// A file or directory that is needed from the start can't be used.
    #[error("roots.{provider}: can't use {}", path.display())]
    Path {
        /// The section.
        provider: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no way to speak TLS.
    #[error(
        "roots.{provider}: TLS can't be set up; look at ca_file, or at the certificates that this machine \
         trusts"
    )]
    Tls {
        /// The section.
        provider: &'static str,
        /// Why.
        source: reqwest::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_providers_and_files() {
        let config: RootsConfig = toml::from_str(
            r#"
            [local]
            directory = "keys"

            [openbao]
            address = "https://bao.example:8200"
            namespace = "team"
            timeout = "10s"
            [openbao.app_role]
            role_id_file = "role-id"
            secret_id_file = "secret-id"
            "#,
        )
        .unwrap();
        assert_eq!(config.local, Some(LocalConfig { directory: "keys".into(), auto_create: false }));
        let openbao = config.openbao.unwrap();
        assert_eq!(openbao.app_role.unwrap().mount, "approle");
        assert_eq!(openbao.timeout, Some("10s".parse().unwrap()));
        assert_eq!(config.vault, None);
    }

    #[test]
    fn a_word_that_is_misspelt_is_refused() {
        assert!(toml::from_str::<RootsConfig>("[openboa]\naddress = \"x\"").is_err());
        assert!(toml::from_str::<RootsConfig>("[openbao]\ntoken = \"s.secret\"").is_err());
        assert!(toml::from_str::<RootsConfig>("[local]\nautocreate = true").is_err());
    }
}
