//! What is refused for now is tried again; what is refused for good is not; and nothing that happened
//! meanwhile is undone.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::routing::{get, put};
use openkcm_client::{L1Spec, TenantSpec};
use openkcm_contracts::Revision;
use openkcm_contracts::problem::Code;
use openkcm_http::{Answer, IfMatch, WithEtag};
use serde_json::{Value, json};

use crate::harness::{Count, client_of, component, patient, refusal, tenant};

const L1: &str = "/v1/tenants/acme/l1";

fn spec() -> L1Spec {
    L1Spec { roots: Vec::new(), ..L1Spec::default() }
}

#[tokio::test]
async fn what_is_not_yet_known_is_asked_for_again_until_it_is() {
    let asked = Count::default();
    let handler = {
        let asked = asked.clone();
        async move || match asked.one() {
            0 | 1 => Err(refusal(Code::NotYetKnown)),
            _ => Ok(WithEtag(Revision::new(1, 7), Json(json!({"state": "linked"})))),
        }
    };
    let addr = component(Router::new().route(L1, put(handler))).await;
    let pointer = patient(addr).cmk().link(&tenant(), &spec()).await.unwrap();
    assert_eq!((pointer.text("state"), pointer.revision), (Some("linked"), Some(Revision::new(1, 7))));
    assert_eq!(asked.get(), 3);
}

#[tokio::test]
async fn without_patience_the_first_answer_is_taken() {
    let asked = Count::default();
    let handler = {
        let asked = asked.clone();
        async move || -> Answer<()> {
            asked.one();
            Err(refusal(Code::Hydrating))
        }
    };
    let addr = component(Router::new().route(L1, get(handler))).await;
    let error = client_of(addr, &[]).cmk().l1(&tenant()).await.unwrap_err();
    assert_eq!((error.code(), asked.get()), (Some(Code::Hydrating), 1));
}

#[tokio::test]
async fn what_the_customer_has_withdrawn_is_never_asked_for_again() {
    for code in Code::ALL.iter().copied().filter(|code| !code.retryable()) {
        let asked = Count::default();
        let handler = {
            let asked = asked.clone();
            async move || -> Answer<()> {
                asked.one();
                Err(refusal(code))
            }
        };
        let addr = component(Router::new().route(L1, get(handler))).await;
        let error = patient(addr).cmk().l1(&tenant()).await.unwrap_err();
        assert_eq!((error.code(), asked.get()), (Some(code), 1), "{code}");
    }
}

/// An L1 pointer that was unlinked at some revision, and can be linked again by whoever names it.
#[derive(Clone)]
struct Pointer {
    revision: Arc<Mutex<Revision>>,
    linked: Count,
}

impl Pointer {
    fn unlinked_at(revision: Revision) -> Self {
        Self { revision: Arc::new(Mutex::new(revision)), linked: Count::default() }
    }

    fn revision(&self) -> Revision {
        *self.revision.lock().unwrap()
    }

    fn show(&self) -> WithEtag<Json<Value>> {
        WithEtag(self.revision(), Json(json!({"state": "unlinked"})))
    }

    fn link(&self, condition: &IfMatch) -> Answer<Json<Value>> {
        condition.require(Some(self.revision()))?;
        self.linked.one();
        Ok(Json(json!({"state": "linked"})))
    }
}

#[tokio::test]
async fn a_link_after_an_unlink_names_the_unlink_that_it_undoes() {
    let pointer = Pointer::unlinked_at(Revision::new(1, 5));
    let (shown, linked) = (pointer.clone(), pointer.clone());
    let routes = put(async move |condition: IfMatch| linked.link(&condition)).get(async move || shown.show());
    let addr = component(Router::new().route(L1, routes)).await;
    let linked = client_of(addr, &[]).cmk().link(&tenant(), &spec()).await.unwrap();
    assert_eq!((linked.text("state"), pointer.linked.get()), (Some("linked"), 1));
}

#[tokio::test]
async fn an_unlink_that_comes_while_a_link_waits_is_not_undone() {
    let pointer = Pointer::unlinked_at(Revision::new(1, 5));
    let (shown, linked, asked) = (pointer.clone(), pointer.clone(), Count::default());
    let link = async move |condition: IfMatch| {
        if asked.one() == 0 {
            return Err(refusal(Code::NotYetKnown));
        }
        // Unlinked once more, after the caller was told to wait.
        *linked.revision.lock().unwrap() = Revision::new(1, 6);
        linked.link(&condition)
    };
    let addr = component(Router::new().route(L1, put(link).get(async move || shown.show()))).await;
    let error = patient(addr).cmk().link(&tenant(), &spec()).await.unwrap_err();
    assert_eq!((error.code(), pointer.linked.get()), (Some(Code::PreconditionFailed), 0));
}

#[tokio::test]
async fn a_definition_that_shows_no_revision_is_not_overwritten_blindly() {
    let define = async || -> Answer<()> { Err(refusal(Code::PreconditionRequired)) };
    let addr = component(Router::new().route("/v1/tenants/acme", put(define))).await;
    let spec = TenantSpec { regions: Vec::new(), labels: Default::default() };
    let error = patient(addr).registry().put_tenant(&tenant(), &spec).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::PreconditionRequired));
}
