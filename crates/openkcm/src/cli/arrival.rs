//! Waits until the regions have heard of a change, so that commands can be typed one after the other.
//!
//! Nothing depends on it: the change is committed before, and arrives whether or not anybody waits. What has not
//! arrived when the caller's patience ends is a warning, never a failure.

use std::sync::Arc;
use std::time::Duration;

use openkcm_client::{Call, Client, ClientError, Component};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{RegionId, Revision, ServicePath, TenantId};
use openkcm_host::{BootInstant, Clock};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::output;
use super::session::Session;

/// Between the first two looks at a region; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest time between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What a region is to show.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    /// The service, as of this generation, has a version that encrypts.
    ServiceActive(ServicePath, String),
    /// The tenant is served under the link of this revision.
    Linked(TenantId, Revision),
    /// The tenant is refused by the unlink of this revision.
    Unlinked(TenantId, Revision),
}

/// What one look at a region showed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// It is so.
    Yes(&'static str),
    /// It will not become so by waiting.
    Settled(String),
    /// Not yet; this is how it is.
    NotYet(String),
}

/// Watches the regions until each shows what is expected, and tells of each as it does. The times count from
/// `begun`. Gives back what came of it, for programs.
pub(crate) async fn watch(
    session: &Session,
    expected: &Expected,
    regions: Vec<RegionId>,
    begun: BootInstant,
) -> Value {
    if session.patience.total.is_zero() {
        return json!([]);
    }
    let mut looks = JoinSet::new();
    for region in regions {
        let watcher = Watcher {
            client: session.asker(),
            clock: session.clock().clone(),
            expected: expected.clone(),
            begun,
            patience: session.patience.total,
            region,
        };
        looks.spawn(watcher.watch());
    }
    let mut arrivals = Vec::new();
    while let Some(Ok((region, seen, after))) = looks.join_next().await {
        arrivals.push(told(&region, &seen, after));
    }
    arrivals.sort_by_key(|arrival| arrival["region"].to_string());
    Value::Array(arrivals)
}

/// Tells a person what came of one region, and gives it back for programs.
fn told(region: &RegionId, seen: &Seen, after: Duration) -> Value {
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    let (arrived, how) = match seen {
        Seen::Yes(how) => {
            output::note(&format!("{region}: {how} after {after_ms} ms"));
            (true, (*how).to_owned())
        }
        Seen::Settled(why) => {
            output::note(&format!("{region}: {why}"));
            (false, why.clone())
        }
        Seen::NotYet(how) => {
            output::warn(&format!(
                "region {region} has not got there in {after_ms} ms ({how}); it does so by itself, see `openkcm status`"
            ));
            (false, how.clone())
        }
    };
    json!({ "region": region, "arrived": arrived, "state": how, "after_ms": after_ms })
}

struct Watcher {
    client: Client,
    clock: Arc<dyn Clock>,
    expected: Expected,
    begun: BootInstant,
    patience: Duration,
    region: RegionId,
}

impl Watcher {
    async fn watch(self) -> (RegionId, Seen, Duration) {
        let started = self.clock.boottime();
        let mut pause = FIRST_PAUSE;
        loop {
            let seen = self.look().await;
            let now = self.clock.boottime();
            let over = now.since(started).saturating_add(pause) >= self.patience;
            if over || !matches!(seen, Seen::NotYet(_)) {
                return (self.region, seen, now.since(self.begun));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn look(&self) -> Seen {
        let path = match &self.expected {
            Expected::ServiceActive(key, _) => format!("/v1/keys/{key}"),
            Expected::Linked(tenant, _) | Expected::Unlinked(tenant, _) => format!("/v1/tenants/{tenant}"),
        };
        let call = Call::get(Component::Core(self.region.clone()), path);
        match self.client.call(&call).await {
            Ok(answer) => match answer.json::<Value>() {
                Ok(value) => self.expected.judge(&value),
                Err(_) => Seen::Settled("its answer is not understood".to_owned()),
            },
            Err(error) => self.expected.judge_refusal(&error),
        }
    }
}

impl Expected {
    /// What a region's document says of it.
    fn judge(&self, document: &Value) -> Seen {
        match self {
            Self::ServiceActive(_, generation) if document["generation"] != generation.as_str() => {
                Seen::NotYet("it has not heard of this definition".to_owned())
            }
            Self::ServiceActive(..) if document["active"].is_string() => Seen::Yes("active"),
            Self::ServiceActive(..) => not_served(document, "no version yet"),
            Self::Linked(_, revision) | Self::Unlinked(_, revision) => {
                let held = document.pointer("/link/revision").and_then(Value::as_str);
                let held = held.and_then(|text| text.parse::<Revision>().ok());
                if held.is_none_or(|held| held < *revision) {
                    let serves =
                        matches!(self, Self::Unlinked(..)) && document["serving"] == Value::Bool(true);
                    let unheard = if serves { "it STILL SERVES: it" } else { "it" };
                    return Seen::NotYet(format!("{unheard} has not heard of the change"));
                }
                self.judge_link(document)
            }
        }
    }

    /// What a region's document says of a link that it has heard of.
    fn judge_link(&self, document: &Value) -> Seen {
        let serving = document["serving"] == Value::Bool(true);
        let linked = document.pointer("/link/state").and_then(Value::as_str) == Some("linked");
        match (self, linked, serving) {
            (Self::Unlinked(..), false, false) => Seen::Yes("refused"),
            (Self::Unlinked(..), true, true) => Seen::Settled(
                "it SERVES, under a later link than this Unlink; see `openkcm l1 status`".to_owned(),
            ),
            (Self::Unlinked(..), true, false) => Seen::Settled("it holds a later link".to_owned()),
            (Self::Unlinked(..), false, true) => Seen::NotYet("it still serves".to_owned()),
            (_, false, _) => Seen::Settled("it was unlinked meanwhile".to_owned()),
            (_, true, true) => Seen::Yes("serving"),
            (_, true, false) => not_served(document, "it does not serve yet"),
        }
    }

    /// What it means that a region gave no document.
    fn judge_refusal(&self, error: &ClientError) -> Seen {
        match (self, error) {
            (Self::Unlinked(..), error) if error.code() == Some(Code::UnknownKey) => {
                Seen::Yes("knows no such tenant, so refused")
            }
            (_, ClientError::NoSuchRegion { .. }) => {
                Seen::Settled("it is not in the landscape's file".to_owned())
            }
            (_, ClientError::Unreachable { .. }) => Seen::NotYet("it is unreachable".to_owned()),
            (_, error) if error.code() == Some(Code::UnknownKey) => {
                Seen::NotYet("it has not heard of the definition".to_owned())
            }
            (_, error) => Seen::NotYet(error.to_string()),
        }
    }
}

/// What a refusal inside a region's document means to someone who waits.
fn not_served(document: &Value, otherwise: &str) -> Seen {
    let text = |member| document.pointer(member).and_then(Value::as_str);
    let Some(code) = text("/refusal/code") else { return Seen::NotYet(otherwise.to_owned()) };
    let detail = text("/refusal/detail").unwrap_or_default();
    match Code::from_text(code) {
        Some(Code::NotYetKnown | Code::TenantUnlinked) => {
            Seen::Settled(format!("defined; not served until the tenant's L1 is linked ({code})"))
        }
        Some(Code::UnknownKey) => Seen::NotYet("it has not heard of the definition".to_owned()),
        Some(code) if code.retryable() => Seen::NotYet(format!("{code}: {detail}")),
        _ => Seen::Settled(format!("not served: {detail} ({code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Expected {
        Expected::ServiceActive("acme/hr/payroll".parse().unwrap(), "1.7".to_owned())
    }

    fn linked(counter: u64) -> Expected {
        Expected::Linked("acme".parse().unwrap(), Revision::new(1, counter))
    }

    fn unlinked(counter: u64) -> Expected {
        Expected::Unlinked("acme".parse().unwrap(), Revision::new(1, counter))
    }

    fn tenant(state: &str, revision: &str, serving: bool, code: Option<&str>) -> Value {
        let refusal = code.map(|code| json!({"code": code, "detail": "why"}));
        json!({"link": {"state": state, "revision": revision}, "serving": serving, "refusal": refusal})
    }

    #[test]
    fn a_service_has_arrived_when_a_version_encrypts() {
        assert_eq!(service().judge(&json!({"generation": "1.7", "active": "an-id"})), Seen::Yes("active"));
        let earlier =
            json!({"generation": "1.3", "active": null, "refusal": {"code": "key_disabled", "detail": "d"}});
        assert!(matches!(service().judge(&earlier), Seen::NotYet(_)), "what was deleted is no answer");
        let hydrating =
            json!({"generation": "1.7", "active": null, "refusal": {"code": "hydrating", "detail": "d"}});
        assert!(matches!(service().judge(&hydrating), Seen::NotYet(_)));
    }

    #[test]
    fn nobody_waits_for_a_service_whose_tenant_is_not_linked() {
        for code in ["not_yet_known", "tenant_unlinked"] {
            let document =
                json!({"generation": "1.7", "active": null, "refusal": {"code": code, "detail": "d"}});
            let Seen::Settled(text) = service().judge(&document) else { panic!("{code}") };
            assert!(text.contains("not served until the tenant's L1 is linked"), "{text}");
        }
        let denied =
            json!({"generation": "1.7", "active": null, "refusal": {"code": "l1_denied", "detail": "d"}});
        assert!(matches!(service().judge(&denied), Seen::Settled(_)));
    }

    #[test]
    fn a_link_has_arrived_when_its_revision_is_served() {
        assert_eq!(linked(2).judge(&tenant("linked", "1.2", true, None)), Seen::Yes("serving"));
        assert_eq!(linked(2).judge(&tenant("linked", "1.3", true, None)), Seen::Yes("serving"));
        for earlier in [tenant("linked", "1.1", true, None), json!({"link": null, "serving": false})] {
            assert!(matches!(linked(2).judge(&earlier), Seen::NotYet(_)), "{earlier}");
        }
        assert!(matches!(linked(2).judge(&tenant("unlinked", "1.3", false, None)), Seen::Settled(_)));
        let waiting = tenant("linked", "1.2", false, Some("lease_expired"));
        assert!(matches!(linked(2).judge(&waiting), Seen::NotYet(_)));
    }

    #[test]
    fn an_unlink_has_arrived_when_nothing_is_served_by_it_and_not_before() {
        let refused = tenant("unlinked", "1.2", false, Some("tenant_unlinked"));
        assert_eq!(unlinked(2).judge(&refused), Seen::Yes("refused"));
        assert!(matches!(unlinked(2).judge(&tenant("unlinked", "1.2", true, None)), Seen::NotYet(_)));
        assert!(matches!(unlinked(2).judge(&tenant("linked", "1.1", true, None)), Seen::NotYet(_)));
        assert!(matches!(unlinked(2).judge(&tenant("linked", "1.4", true, None)), Seen::Settled(_)));
    }
}
