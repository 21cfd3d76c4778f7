//! Providers that hang, and providers with a defect: whoever waits for an answer gets one.

//! Tests of the questions to providers: which answer of which root decides.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::{Generation, LinkEpoch, Revision};
use openkcm_host::{Entropy, SeededEntropy};
use openkcm_roots::{Description, Root};

use super::*;

/// A provider that hangs, panics or answers, as the key's name says.
struct Named(SeededEntropy);

#[async_trait]
impl Root for Named {
    async fn seal(&self, _: &RootRef, _: &Binding, _: &SecretKey) -> Result<Vec<u8>, RootError> {
        panic!("a defect");
    }

    async fn unseal(&self, key: &RootRef, _: &Binding, _: &[u8]) -> Result<SecretKey, RootError> {
        match key.key.as_str() {
            "hangs" => std::future::pending().await,
            "panics" => panic!("a defect"),
            _ => Ok(SecretKey::generate(&self.0)?),
        }
    }

    async fn describe(&self, _: &RootRef) -> Result<Description, RootError> {
        std::future::pending().await
    }

    fn entropy(&self) -> &dyn Entropy {
        &self.0
    }
}

fn provider() -> (Provider, mpsc::Receiver<Input>) {
    let roots = Roots::default().with("named", Arc::new(Named(SeededEntropy::new(1))));
    let (inputs, queue) = mpsc::channel(8);
    (Provider::new(roots, Arc::new(openkcm_host::SystemClock), inputs), queue)
}

fn job(tenant: &str, key: &str) -> UnsealJob {
    let root = RootRef { provider: "named".into(), key: key.into(), options: BTreeMap::new() };
    UnsealJob {
        path: format!("{tenant}/hr").parse().expect("valid"),
        epoch: LinkEpoch(Revision::new(1, 1)),
        generation: Generation(Revision::new(1, 1)),
        version: VersionId::from_bytes([1; 16]),
        seals: vec![(root, String::new())],
    }
}

async fn next(queue: &mut mpsc::Receiver<Input>) -> (TenantId, Option<Code>) {
    let input = tokio::time::timeout(Duration::from_secs(10), queue.recv()).await;
    match input.expect("an answer").expect("the provider is here") {
        Input::Unsealed(answer) => (answer.job.path.tenant, answer.outcome.err().map(|no| no.code)),
        _ => panic!("an L2 was to be opened"),
    }
}

#[tokio::test]
async fn one_tenant_whose_provider_hangs_delays_no_other() {
    let (provider, mut queue) = provider();
    (0..3 * MAX_JOBS).for_each(|_| provider.unseal(job("slow", "hangs")));
    provider.unseal(job("acme", "answers"));
    assert_eq!(next(&mut queue).await, (TenantId::new("acme").expect("valid"), None));
}

#[tokio::test]
async fn a_defect_of_a_provider_is_an_answer_too() {
    let (provider, mut queue) = provider();
    provider.unseal(job("acme", "panics"));
    assert_eq!(next(&mut queue).await.1, Some(Code::L1Unreachable));
}

#[tokio::test]
async fn tenants_without_jobs_leave_nothing_behind() {
    let (provider, mut queue) = provider();
    for number in 0..1_000 {
        provider.unseal(job(&format!("t-{number}"), "answers"));
        next(&mut queue).await;
    }
    let kept = provider.tenants.lock().expect("no panic").len();
    assert!(kept < 100, "{kept} tenants are remembered");
}
