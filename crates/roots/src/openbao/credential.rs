//! Who we are to the server: a token in a file, or an AppRole that logs in for one.
//!
//! Not for what a token may do. What always holds: a token file is read for each operation, so a token that
//! is replaced is used at once; one login is under way at a time, and whoever needs it too waits for it; a
//! login that was refused is not tried again and again, since the server would lock the role.

mod app_role;
mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openkcm_host::Clock;
use reqwest::Method;

use super::answer::Said;
use super::http::{Http, Request};
use super::target;
use super::token::Token;
use crate::{BuildError, RootError, TransitConfig};
use app_role::AppRole;

/// What the server thinks of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It knows the token.
    Good,
    /// It does not: expired, revoked, used up, or never issued.
    Refused,
}

/// Where tokens come from.
pub(super) struct Credential {
    source: Source,
    /// The namespace that tokens are issued in.
    namespace: Option<String>,
}

enum Source {
    TokenFile(PathBuf),
    AppRole(Box<AppRole>),
}

impl Credential {
    pub(super) fn build(
        provider: &'static str,
        config: &TransitConfig,
        data_dir: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        let source = match (&config.token_file, &config.app_role) {
            (Some(file), None) => Source::TokenFile(data_dir.join(file)),
            (None, Some(role)) if target::is_path(&role.mount) => {
                Source::AppRole(Box::new(AppRole::new(role, data_dir, config.namespace.clone(), clock)))
            }
            (None, Some(_)) => {
                let fault = "a path such as approle is expected";
                return Err(BuildError::Setting { provider, setting: "app_role.mount", fault });
            }
            _ => return Err(BuildError::Credential { provider }),
        };
        Ok(Self { source, namespace: config.namespace.clone() })
    }

    /// The token to use now.
    pub(super) async fn token(&self, http: &Http) -> Result<Arc<Token>, RootError> {
        match &self.source {
            Source::TokenFile(path) => token_of(path).await,
            Source::AppRole(role) => role.token(http).await,
        }
    }

    /// A token to use in place of one that the server refused.
    pub(super) async fn newer(&self, http: &Http, refused: &Token) -> Result<Arc<Token>, RootError> {
        match &self.source {
            Source::TokenFile(path) => {
                let token = token_of(path).await?;
                if *token == *refused { Err(self.no_good(http.address())) } else { Ok(token) }
            }
            Source::AppRole(role) => role.newer(http, refused).await,
        }
    }

    /// Asks the server what it thinks of `token`.
    pub(super) async fn standing(&self, http: &Http, token: &Token) -> Result<Standing, RootError> {
        let request = Request {
            method: Method::GET,
            path: "auth/token/lookup-self",
            token: Some(token),
            namespace: self.namespace.as_deref(),
            body: Vec::new().into(),
        };
        let answer = http.send(request).await?;
        match answer.said() {
            // A token without the policy `default` may not look itself up; to be told so it has to be known.
            Said::Done | Said::Forbidden => Ok(Standing::Good),
            Said::TokenRefused => Ok(Standing::Refused),
            _ => Err(answer.trouble(http.address())),
        }
    }

    /// The server knows none of the tokens that we have.
    pub(super) fn no_good(&self, address: &str) -> RootError {
        RootError::misconfigured(match &self.source {
            Source::TokenFile(path) => format!(
                "{address} does not know the token in {}: it has expired, was revoked or used up, or is \
                 another server's; put a new one there",
                path.display()
            ),
            Source::AppRole(_) => format!(
                "{address} refuses the token that it has just issued for the configured AppRole: see \
                 whether its token_num_uses or token_bound_cidrs is too strict"
            ),
        })
    }
}

async fn token_of(path: &Path) -> Result<Arc<Token>, RootError> {
    let text = file::read(path).await?;
    Token::parse(&text).map(Arc::new).ok_or_else(|| {
        RootError::misconfigured(format!(
            "{} holds no token: one line is expected, and nothing else",
            path.display()
        ))
    })
}
