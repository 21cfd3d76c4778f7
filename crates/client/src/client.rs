//! The client itself: sends a call, reads its answer, and tries again where that is right.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openkcm_contracts::problem::Code;
use openkcm_contracts::{RegionId, Revision, placement};
use openkcm_host::{BootInstant, Clock, Entropy};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::{Response, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::call::{Answer, Call, Component, Resource};
use crate::credential::Credential;
use crate::distrust;
use crate::error::{ClientError, ProblemDocument};
use crate::failover::{Budget, Exchanged, Health};
use crate::landscape::{Landscape, LandscapeError, Region};
use crate::patience::Patience;

/// For a connection to come about: far more than any network needs, and soon enough for a failover.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For a whole answer: a little more than the components give themselves.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);

/// How long an unused connection is kept: less than the components do, so that none is used as it closes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read: a plaintext of the data plane's largest body fits.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Calls the components of a landscape. Clones are handles to the same connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    health: Arc<Health>,
    patience: Patience,
}

struct Inner {
    http: reqwest::Client,
    landscape: Landscape,
    /// The names of the landscape's regions, in its order.
    regions: Vec<RegionId>,
    authorization: Option<HeaderValue>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Client {
    /// A client of this landscape, which takes the first answer ([`Patience::NONE`]). The clock measures its
    /// patience, the entropy spreads its tries.
    ///
    /// # Errors
    /// When the landscape's addresses and files do not go together: see [`LandscapeError`].
    pub fn new(
        landscape: &Landscape,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, LandscapeError> {
        let Credential { authorization, tls } = Credential::of(landscape)?;
        // No proxy and no redirect: the credential goes where the landscape says and nowhere else.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|source| LandscapeError::Setup { source })?;
        let health = Health::new(Budget::default(), clock.clone(), entropy.clone());
        let landscape = landscape.clone();
        let regions = landscape.regions.iter().map(|region| region.name.clone()).collect();
        let inner = Inner { http, landscape, regions, authorization, clock, entropy };
        Ok(Self { inner: Arc::new(inner), health: Arc::new(health), patience: Patience::NONE })
    }

    /// The same client with more or less patience.
    #[must_use]
    pub fn with_patience(&self, patience: Patience) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The same client with another budget of further attempts, which it does not share with this one; nor what this
    /// one has learned of regions and tenants.
    #[must_use]
    pub fn with_budget(&self, budget: Budget) -> Self {
        let Inner { clock, entropy, .. } = &*self.inner;
        let health = Health::new(budget, clock.clone(), entropy.clone());
        Self { health: Arc::new(health), ..self.clone() }
    }

    /// Where this client's components are.
    pub fn landscape(&self) -> &Landscape {
        &self.inner.landscape
    }

    /// Sends a call; again, within this client's patience, while it is refused for now.
    ///
    /// # Errors
    /// The component's refusal, the last one if there were several; or that there was no answer.
    pub async fn call(&self, call: &Call) -> Result<Answer, ClientError> {
        let mut tries = Tries::begin(self);
        loop {
            match self.once(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.wait_or(error).await?,
            }
        }
    }

    /// Writes a resource for a caller who has decided that it shall be so now, also where that undoes an
    /// earlier end (a link after an unlink, a definition after a deletion).
    ///
    /// That needs `If-Match`. The revision sent is the one seen when the component first refused, before
    /// any wait: what happens to the resource while this call is waiting is not undone by it.
    ///
    /// # Errors
    /// As [`Client::call`]; `precondition_failed` if the resource changed meanwhile.
    pub async fn put_again(&self, call: Call) -> Result<Answer, ClientError> {
        let mut call = call;
        let mut tries = Tries::begin(self);
        let mut seen: Option<Option<Revision>> = None;
        loop {
            let error = match self.once(&call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(problem) = error.problem() else { return Err(error) };
            let undoes = problem.code == Some(Code::PreconditionRequired) && call.if_match.is_none();
            if !undoes && !problem.retryable() {
                return Err(error);
            }
            let revision = match seen {
                Some(revision) => revision,
                None => *seen.insert(self.revision_of(&call).await?),
            };
            match revision {
                Some(_) if undoes => call.if_match = revision,
                _ => tries.wait_or(error).await?,
            }
        }
    }

    /// Reads a call's answer as a resource.
    pub(crate) async fn resource(&self, call: &Call) -> Result<Resource, ClientError> {
        self.to_resource(call, &self.call(call).await?)
    }

    /// As [`Client::put_again`], with the resource that came of it.
    pub(crate) async fn put_resource(&self, call: Call) -> Result<Resource, ClientError> {
        let answer = self.put_again(call.clone()).await?;
        self.to_resource(&call, &answer)
    }

    /// Reads a call's answer as a type.
    pub(crate) async fn typed<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        self.read_as(call, &self.call(call).await?)
    }

    /// Reads an answer as a type.
    pub(crate) fn read_as<T: DeserializeOwned>(
        &self,
        call: &Call,
        answer: &Answer,
    ) -> Result<T, ClientError> {
        answer.json().map_err(|error| {
            // serde's own words may repeat a plaintext; its place does not.
            let place = format!("line {}, column {}", error.line(), error.column());
            self.protocol(call, format!("a body that is not what was expected ({place})"))
        })
    }

    fn to_resource(&self, call: &Call, answer: &Answer) -> Result<Resource, ClientError> {
        let value: Value =
            answer.json().map_err(|_| self.protocol(call, "a body that is not JSON".to_owned()))?;
        Ok(Resource::new(answer.etag, value))
    }

    /// The revision at which the resource of a call is; `None` when the component shows none.
    async fn revision_of(&self, call: &Call) -> Result<Option<Revision>, ClientError> {
        match self.once(&Call::get(call.component.clone(), call.path.clone())).await {
            Ok(answer) => Ok(answer.etag),
            Err(ClientError::Problem(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn once(&self, call: &Call) -> Result<Answer, ClientError> {
        self.read(call, self.send(call, None).await?).await
    }

    /// Sends a call once, and gives up after so much time, where there is a limit shorter than for all calls.
    pub(crate) async fn exchange(&self, call: &Call, within: Option<Duration>) -> Exchanged<Answer> {
        let response = match self.send(call, within).await {
            Ok(response) => response,
            Err(error) => return Exchanged { result: Err(error), regions: None },
        };
        let regions = text_of(response.headers(), placement::HEADER).and_then(placement::read);
        Exchanged { result: self.read(call, response).await, regions: regions.map(Arc::from) }
    }

    async fn send(&self, call: &Call, within: Option<Duration>) -> Result<Response, ClientError> {
        let mut url = self.url(call)?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = self.inner.http.request(call.method.clone(), url);
        if let Some(authorization) = &self.inner.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(revision) = call.if_match {
            request = request.header(IF_MATCH, revision.etag());
        }
        if let Some(body) = &call.body {
            let body = Bytes::from_owner(body.clone());
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(within) = within {
            request = request.timeout(within);
        }
        request.send().await.map_err(|error| self.no_answer(call, error))
    }

    async fn read(&self, call: &Call, mut response: Response) -> Result<Answer, ClientError> {
        let status = response.status();
        let etag = text_of(response.headers(), ETAG.as_str()).and_then(revision_of_etag);
        let retry_after = text_of(response.headers(), RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs);
        // Components announce the length, so this is one allocation that is wiped.
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        let mut body = Zeroizing::new(Vec::with_capacity(announced.min(MAX_ANSWER_BYTES)));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.no_answer(call, error))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(self.protocol(call, format!("more than {MAX_ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(Answer { status: status.as_u16(), etag, body });
        }
        match ProblemDocument::read(status.as_u16(), retry_after, &body) {
            Some(problem) => Err(ClientError::Problem(Box::new(problem))),
            None => Err(self.protocol(call, format!("HTTP {} and no problem document", status.as_u16()))),
        }
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.inner.entropy
    }

    /// The names of the landscape's regions, in its order.
    pub(crate) fn regions(&self) -> &[RegionId] {
        &self.inner.regions
    }

    /// That the landscape has this region: nothing is found in one that there is not.
    ///
    /// # Errors
    /// That it has none of this name, and which it has.
    pub fn check_region(&self, name: &RegionId) -> Result<(), ClientError> {
        self.base(&Component::Core(name.clone())).map(|_| ())
    }

    fn base(&self, component: &Component) -> Result<&Url, ClientError> {
        let landscape = &self.inner.landscape;
        match component {
            Component::Registry => Ok(&landscape.registry),
            Component::Cmk => Ok(&landscape.cmk),
            Component::Core(name) => match landscape.region(name) {
                Some(Region { url, .. }) => Ok(url),
                None => Err(self.no_such_region(name.as_str())),
            },
        }
    }

    pub(crate) fn no_such_region(&self, name: &str) -> ClientError {
        let known: Vec<_> = self.inner.landscape.regions.iter().map(|region| region.name.as_str()).collect();
        ClientError::NoSuchRegion { name: name.to_owned(), known: known.join(", ") }
    }

    fn url(&self, call: &Call) -> Result<Url, ClientError> {
        let mut url = self.base(&call.component)?.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), call.path);
        url.set_path(&path);
        Ok(url)
    }

    /// The component's address as its landscape has it, for errors.
    fn address(&self, call: &Call) -> String {
        self.base(&call.component).map_or_else(|_| String::new(), |url| url.as_str().to_owned())
    }

    fn no_answer(&self, call: &Call, error: reqwest::Error) -> ClientError {
        let (component, url, source) = (call.component.clone(), self.address(call), error.without_url());
        if distrust::in_error(&source) {
            return ClientError::Distrust { component, url, source };
        }
        if source.is_connect() {
            return ClientError::Unreachable { component, url, source };
        }
        ClientError::Interrupted { component, url, source }
    }

    fn protocol(&self, call: &Call, what: String) -> ClientError {
        ClientError::Protocol { component: call.component.clone(), url: self.address(call), what }
    }
}

/// The tries of one call.
struct Tries<'a> {
    client: &'a Client,
    begun: BootInstant,
    number: u32,
}

impl<'a> Tries<'a> {
    fn begin(client: &'a Client) -> Self {
        Self { client, begun: client.inner.clock.boottime(), number: 0 }
    }

    /// Waits until it is time to try again; or gives the error back, when it is for good or the caller's
    /// patience ends.
    async fn wait_or(&mut self, error: ClientError) -> Result<(), ClientError> {
        let Some(problem) = error.problem().filter(|problem| problem.retryable()) else { return Err(error) };
        let Inner { clock, entropy, .. } = &*self.client.inner;
        let spent = clock.boottime().since(self.begun);
        match self.client.patience.wait(self.number, spent, problem.retry_after, &**entropy) {
            None => Err(error),
            Some(wait) => {
                self.number += 1;
                tokio::time::sleep(wait).await;
                Ok(())
            }
        }
    }
}

fn text_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn revision_of_etag(etag: &str) -> Option<Revision> {
    etag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}
