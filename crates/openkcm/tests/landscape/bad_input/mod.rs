//! Bad input gets the right problem document, changes nothing, and comes back to nobody.
//!
//! Tables of requests against the real process; a table is a file. What is checked of each answer, and that
//! nothing was changed by the request, is here.

mod bodies;
mod border;
mod ciphertexts;
mod names;
mod sizes;
mod unknown;

use openkcm_client::{Client, Url};
use openkcm_contracts::problem::Code;
use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::setup::{SAMPLE, Setup, region};

/// Stands in bodies wherever a caller's secret could stand. No answer may hold it, in any form.
const CANARY: &str = "CANARY-7f3a9e";

/// The same in base64; its length is a multiple of three bytes but for one.
const CANARY_BASE64: &str = "Q0FOQVJZLTdmM2E5ZQ==";

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Registry,
    Cmk,
    Core,
}

const EVERYONE: [To; 3] = [To::Registry, To::Cmk, To::Core];

/// A landscape that is sent bad input.
struct Ground {
    setup: Setup,
    client: Client,
    /// What everyone holds, and shall still hold.
    before: Value,
}

impl Ground {
    /// A landscape with the sample tenant and nothing else.
    async fn prepare() -> Self {
        Self::prepare_with(async |_| ()).await
    }

    /// A landscape that this was done to first.
    async fn prepare_with(first: impl AsyncFn(&Client)) -> Self {
        let setup = Setup::start().await;
        let client = setup.client();
        first(&client).await;
        let mut ground = Self { setup, client, before: Value::Null };
        ground.settle().await;
        ground.before = ground.state().await;
        ground
    }

    /// Waits until what was done has arrived everywhere: from then on only requests change anything.
    async fn settle(&self) {
        let arrived = |state: &Value| {
            let cores = state["cores"].as_array().expect("a list");
            cores.iter().all(|core| {
                core["status"]["registry"] == state["registry"]
                    && core["status"]["cmk"] == state["cmk"]
                    && !core["key"].to_string().contains("\"at_risk\":true")
            })
        };
        openkcm_harness::until("the landscape is at rest", || async {
            arrived(&self.state().await).then_some(())
        })
        .await;
    }

    fn url(&self, to: To) -> &Url {
        let landscape = self.client.landscape();
        match to {
            To::Registry => &landscape.registry,
            To::Cmk => &landscape.cmk,
            To::Core => &landscape.region(&region("a")).expect("region a").url,
        }
    }

    /// Sends a request with the administrator's token, and expects this refusal. Gives its document.
    async fn refuses(&self, to: To, request: Request, code: Code) -> Value {
        let answer = self.ask(to, request.clone(), code).await;
        self.is_unchanged(&request.line()).await;
        answer.json()
    }

    /// As [`Ground::refuses`], without a look at what changed, for tables that look once for many.
    async fn ask(&self, to: To, request: Request, code: Code) -> Answer {
        let line = format!("{to:?}: {}", request.line());
        let answer = request.token(&self.setup.token()).send(self.url(to)).await;
        check(&line, &answer, code);
        answer
    }

    /// Asserts that nothing was changed since the test began.
    async fn is_unchanged(&self, what: &str) {
        assert_eq!(self.state().await, self.before, "{what} changed something");
    }

    /// The revisions of the authorities, and what the Cores hold.
    async fn state(&self) -> Value {
        let landscape = self.client.landscape();
        let mut cores = Vec::new();
        for core in &landscape.regions {
            let status = self.get(&core.url, "/v1/status").await;
            let key = self.get(&core.url, &format!("/v1/keys/{SAMPLE}")).await;
            cores.push(json!({
                "status": status["mesh"]["applied"], "tenants": status["tenants"], "key": key["versions"],
                "locked": status["locked_memory"]["keys"],
            }));
        }
        json!({
            "registry": self.get(&landscape.registry, "/v1/status").await["revision"],
            "cmk": self.get(&landscape.cmk, "/v1/status").await["revision"],
            "cores": cores,
        })
    }

    async fn get(&self, url: &Url, target: &str) -> Value {
        Request::new("GET", target).token(&self.setup.token()).send(url).await.json()
    }
}

/// Asserts that an answer is this refusal, whole and in good form, and holds nothing of a body.
fn check(line: &str, answer: &Answer, code: Code) {
    let text = String::from_utf8_lossy(&answer.body);
    let told = format!("{line}\n{}\n\n{text}", answer.head);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{told}");
    let document = answer.json();
    assert_eq!(document["code"], code.as_str(), "{told}");
    assert_eq!(answer.status, code.status(), "{told}");
    assert_eq!(document["status"], code.status(), "{told}");
    assert_eq!(document["type"], format!("urn:openkcm:problem:{code}"), "{told}");
    assert_eq!(document["title"], code.title(), "{told}");
    assert!(
        document["detail"].as_str().is_some_and(|detail| detail.len() > 10),
        "it says too little: {told}"
    );
    assert_eq!(answer.header("retry-after").is_some(), code.retryable(), "{told}");
    for canary in [CANARY, CANARY_BASE64.trim_end_matches('=')] {
        assert!(!told_to_the_caller(answer).contains(canary), "what was sent comes back: {told}");
    }
}

fn told_to_the_caller(answer: &Answer) -> String {
    format!("{}\n{}", answer.head, String::from_utf8_lossy(&answer.body))
}
