//! Components whose routes are a test's own, and a landscape of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use openkcm_client::{Client, Landscape, Patience, Region};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{ServicePath, TenantId, Timestamp};
use openkcm_host::{BootInstant, ManualClock, SeededEntropy};
use openkcm_http::{Access, Options, Problem, Service, Token, bind, serve};

pub(crate) const TOKEN: &str = "token-of-these-tests-0123456789";

/// What opens these components.
fn access() -> Access {
    Access::Token(Token::new(TOKEN).unwrap())
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    bind("127.0.0.1:0".parse().unwrap(), &access()).await.unwrap().local_addr().unwrap()
}

/// A component with these routes, until the test ends.
pub(crate) async fn component(routes: Router) -> SocketAddr {
    component_with(routes, access()).await
}

/// As [`component`], opened by something else.
pub(crate) async fn component_with(routes: Router, access: Access) -> SocketAddr {
    let listener = bind("127.0.0.1:0".parse().unwrap(), &access).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let options = Options::new("test", access, Arc::new(clock()));
    let service = Service::new(routes, &utoipa::openapi::OpenApiBuilder::new().build(), options);
    tokio::spawn(serve(listener, service, std::future::pending()));
    addr
}

/// A client whose Registry and CMK Server are both at `authorities`, with these regions.
pub(crate) fn client_of(authorities: SocketAddr, regions: &[(&str, SocketAddr)]) -> Client {
    client_in_time(&clock(), authorities, regions)
}

/// As [`client_of`], on this clock.
pub(crate) fn client_in_time(
    clock: &ManualClock,
    authorities: SocketAddr,
    regions: &[(&str, SocketAddr)],
) -> Client {
    let folder = tempfile::tempdir().unwrap();
    let credential = folder.path().join("admin.token");
    std::fs::write(&credential, format!("{TOKEN}\n")).unwrap();
    let url = |addr: &SocketAddr| format!("http://{addr}").parse().unwrap();
    let regions =
        regions.iter().map(|(name, addr)| Region { name: name.parse().unwrap(), url: url(addr) }).collect();
    let landscape =
        Landscape { registry: url(&authorities), cmk: url(&authorities), regions, credential, ca: None };
    client_on(clock, &landscape)
}

/// A client of this landscape.
pub(crate) fn client_in(landscape: &Landscape) -> Client {
    client_on(&clock(), landscape)
}

/// A client of this landscape, whose time goes by this clock.
pub(crate) fn client_on(clock: &ManualClock, landscape: &Landscape) -> Client {
    Client::new(landscape, Arc::new(clock.clone()), Arc::new(SeededEntropy::new(1))).unwrap()
}

/// As [`client_of`], with patience that outlasts every test.
pub(crate) fn patient(authorities: SocketAddr) -> Client {
    client_of(authorities, &[]).with_patience(Patience::INTERACTIVE)
}

/// Clocks that stand still.
pub(crate) fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(0), BootInstant::from_nanos(0))
}

pub(crate) fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

pub(crate) fn key() -> ServicePath {
    "acme/hr/payroll".parse().unwrap()
}

/// A refusal that may be tried again at once.
pub(crate) fn refusal(code: Code) -> Problem {
    Problem::new(code, "refused by the test").retry_after(std::time::Duration::ZERO)
}

/// Counts how often it was asked.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    /// One more; the number before.
    pub(crate) fn one(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
