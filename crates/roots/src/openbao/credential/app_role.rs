//! An AppRole: logs in, keeps the token, renews it before its end.
//!
//! A login can cost one of a limited number of uses of the secret id, so a token is renewed as long as the
//! server lets it live. Five refused logins within fifteen minutes lock a role in OpenBao, also for the
//! right secret id; so one that was refused is tried again only after some minutes, or when the files have
//! changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openkcm_host::{BootInstant, Clock};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::file;
use crate::openbao::answer::{Answer, Said};
use crate::openbao::http::{Body, Http, Request};
use crate::openbao::message;
use crate::openbao::token::Token;
use crate::{AppRoleConfig, RootError};

/// How long the same login is not tried again after it was refused: three refusals in a quarter of an hour,
/// where five lock the role.
const REFUSED_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Room for all of a login but its values, each byte of which can become six (`\u0001`) when it is written
/// as JSON.
const FRAME_LEN: usize = 64;

/// A role, and the token that it has now.
pub(super) struct AppRole {
    role_id_file: PathBuf,
    secret_id_file: PathBuf,
    mount: String,
    namespace: Option<String>,
    clock: Arc<dyn Clock>,
    /// Held over a login and a renewal, so that there is one at a time.
    session: Mutex<Session>,
}

#[derive(Default)]
struct Session {
    held: Option<Held>,
    refused: Option<Refused>,
}

struct Held {
    token: Arc<Token>,
    /// The length of the lease that the login gave; shorter ones mean that the token nears its last moment.
    first_lease: Duration,
    renewable: bool,
    lease: Duration,
    since: BootInstant,
}

struct Refused {
    login: Login,
    at: BootInstant,
}

/// What a login shows.
#[derive(PartialEq, Eq)]
struct Login {
    role_id: Zeroizing<String>,
    secret_id: Zeroizing<String>,
}

#[derive(Serialize)]
struct LoginBody<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}

#[derive(Deserialize)]
struct Issued<'a> {
    #[serde(borrow)]
    auth: Auth<'a>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    client_token: &'a str,
    lease_duration: u64,
    renewable: bool,
}

impl AppRole {
    pub(super) fn new(
        config: &AppRoleConfig,
        data_dir: &Path,
        namespace: Option<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            role_id_file: data_dir.join(&config.role_id_file),
            secret_id_file: data_dir.join(&config.secret_id_file),
            mount: config.mount.clone(),
            namespace,
            clock,
            session: Mutex::default(),
        }
    }

    /// A token with some life left.
    pub(super) async fn token(&self, http: &Http) -> Result<Arc<Token>, RootError> {
        let mut session = self.session.lock().await;
        let now = self.clock.boottime();
        if session.held.as_ref().is_some_and(|held| held.is_young(now))
            || self.renew(&mut session, http).await
        {
            let held = session.held.as_ref().map(|held| held.token.clone());
            return Ok(held.expect("it is young, or was renewed"));
        }
        match (self.log_in(&mut session, http).await, &session.held) {
            // It is time for another token, and there is none; the old one still has some life.
            (Err(_), Some(held)) if held.lives(now) => Ok(held.token.clone()),
            (result, _) => result,
        }
    }

    /// A token in place of one that the server has refused.
    pub(super) async fn newer(&self, http: &Http, refused: &Token) -> Result<Arc<Token>, RootError> {
        let mut session = self.session.lock().await;
        match &session.held {
            // Somebody else has been here first.
            Some(held) if *held.token != *refused => return Ok(held.token.clone()),
            _ => session.held = None,
        }
        self.log_in(&mut session, http).await
    }

    /// Prolongs the lease; `false` when it is better to log in.
    async fn renew(&self, session: &mut Session, http: &Http) -> bool {
        let now = self.clock.boottime();
        let Some(held) = session.held.as_mut().filter(|held| held.renewable && held.lives(now)) else {
            return false;
        };
        let answer = self.post(http, "auth/token/renew-self", Some(&held.token), b"{}".to_vec().into()).await;
        let Ok(answer) = answer else { return false };
        let Ok(Issued { auth }) = serde_json::from_slice(answer.body()) else { return false };
        held.lease = Duration::from_secs(auth.lease_duration);
        held.since = now;
        held.lease >= held.first_lease / 2
    }

    async fn log_in(&self, session: &mut Session, http: &Http) -> Result<Arc<Token>, RootError> {
        let login = Login {
            role_id: trimmed(file::read(&self.role_id_file).await?),
            secret_id: trimmed(file::read(&self.secret_id_file).await?),
        };
        let now = self.clock.boottime();
        if session.refused.as_ref().is_some_and(|refused| refused.holds(&login, now)) {
            return Err(self.refusal(http));
        }
        let path = format!("auth/{}/login", self.mount);
        let answer = self.post(http, &path, None, login.body()).await?;
        match answer.said() {
            Said::Done => {}
            Said::Transient => return Err(answer.trouble(http.address())),
            Said::LoginRefused => {
                session.refused = Some(Refused { login, at: now });
                return Err(self.refusal(http));
            }
            _ => return Err(self.no_login(http, &answer)),
        }
        let Ok(Issued { auth }) = serde_json::from_slice(answer.body()) else {
            return Err(self.no_login(http, &answer));
        };
        let token =
            Token::parse(auth.client_token).map(Arc::new).ok_or_else(|| self.no_login(http, &answer))?;
        let lease = Duration::from_secs(auth.lease_duration);
        let held =
            Held { token: token.clone(), first_lease: lease, renewable: auth.renewable, lease, since: now };
        *session = Session { held: Some(held), refused: None };
        Ok(token)
    }

    async fn post(
        &self,
        http: &Http,
        path: &str,
        token: Option<&Token>,
        body: Body,
    ) -> Result<Answer, RootError> {
        let namespace = self.namespace.as_deref();
        http.send(Request { method: Method::POST, path, token, namespace, body }).await
    }

    fn refusal(&self, http: &Http) -> RootError {
        RootError::misconfigured(format!(
            "{} refused the AppRole login of {} and {}: put a new secret id there (the same is tried \
             again in some minutes, since the server locks a role that fails often)",
            http.address(),
            self.role_id_file.display(),
            self.secret_id_file.display()
        ))
    }

    fn no_login(&self, http: &Http, answer: &Answer) -> RootError {
        RootError::misconfigured(format!(
            "{} answered the login at auth/{} with status {}: see whether AppRole is mounted there, \
             whether the namespace is right, and whether the role is locked after refused logins",
            http.address(),
            self.mount,
            answer.status()
        ))
    }
}

impl Held {
    /// Whether it is too early to renew it: before two thirds of its lease. A lease of zero never ends.
    fn is_young(&self, now: BootInstant) -> bool {
        self.lease.is_zero() || now.since(self.since) < self.lease * 2 / 3
    }

    fn lives(&self, now: BootInstant) -> bool {
        self.lease.is_zero() || now.since(self.since) < self.lease
    }
}

impl Refused {
    fn holds(&self, login: &Login, now: BootInstant) -> bool {
        self.login == *login && now.since(self.at) < REFUSED_PAUSE
    }
}

impl Login {
    fn body(&self) -> Body {
        let room = FRAME_LEN + 6 * (self.role_id.len() + self.secret_id.len());
        message::body(room, &LoginBody { role_id: &self.role_id, secret_id: &self.secret_id })
    }
}

fn trimmed(text: Zeroizing<String>) -> Zeroizing<String> {
    Zeroizing::new(text.trim().to_owned())
}
