//! Tests of the questions to providers: whoever waits for an answer gets one, and nobody is asked for nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::problem::Code;
use openkcm_contracts::{Generation, LinkEpoch, Revision, TenantId, Timestamp};
use openkcm_host::{BootInstant, Entropy, ManualClock, SeededEntropy};
use openkcm_roots::{Description, Root};

use super::*;

/// A provider that hangs, panics, limits the rate or answers, as the key's name says.
struct Named {
    entropy: SeededEntropy,
    asked: AtomicUsize,
    under_way: AtomicUsize,
}

#[async_trait]
impl Root for Named {
    async fn seal(&self, key: &RootRef, _: &Binding, _: &SecretKey) -> Result<Vec<u8>, RootError> {
        match key.key.as_str() {
            "throttles-twice" if self.asked.fetch_add(1, Ordering::SeqCst) < 2 => Err(throttled()),
            "throttles" => Err(throttled()),
            "panics" => panic!("a defect"),
            _ => Ok(b"sealed".to_vec()),
        }
    }

    async fn unseal(&self, key: &RootRef, _: &Binding, _: &[u8]) -> Result<SecretKey, RootError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        match key.key.as_str() {
            "hangs" => std::future::pending().await,
            "panics" => panic!("a defect"),
            "throttles-twice" if asked < 2 => Err(throttled()),
            "alone" => {
                assert_eq!(
                    self.under_way.fetch_add(1, Ordering::SeqCst),
                    0,
                    "one version is asked for twice"
                );
                tokio::task::yield_now().await;
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                Ok(SecretKey::generate(&self.entropy)?)
            }
            _ => Ok(SecretKey::generate(&self.entropy)?),
        }
    }

    async fn describe(&self, _: &RootRef) -> Result<Description, RootError> {
        std::future::pending().await
    }

    fn entropy(&self) -> &dyn Entropy {
        &self.entropy
    }
}

fn throttled() -> RootError {
    RootError::Throttled { reason: "too many questions".into(), retry_after: None }
}

struct Bench {
    provider: Provider,
    root: Arc<Named>,
    clock: ManualClock,
    queue: mpsc::Receiver<Input>,
}

fn bench(per_second: u32) -> Bench {
    let (asked, under_way) = Default::default();
    let root = Arc::new(Named { entropy: SeededEntropy::new(1), asked, under_way });
    let roots = Roots::default().with("named", root.clone());
    let (inputs, queue) = mpsc::channel(8);
    let clock = ManualClock::new(Timestamp::from_millis(1), BootInstant::from_nanos(1));
    let keyring = Arc::new(Keyring::new(Arc::new(clock.clone())));
    let pace = PacePolicy { per_second, ..PacePolicy::default() };
    let provider = Provider::new(roots, pace, Arc::new(clock.clone()), keyring, inputs);
    Bench { provider, root, clock, queue }
}

fn unlimited() -> Bench {
    bench(PacePolicy::MOST_PER_SECOND)
}

fn root(key: &str) -> RootRef {
    RootRef { provider: "named".into(), key: key.into(), options: BTreeMap::new() }
}

fn job(path: &str, key: &str) -> UnsealJob {
    UnsealJob {
        path: path.parse().expect("valid"),
        epoch: LinkEpoch(Revision::new(1, 1)),
        generation: Generation(Revision::new(1, 1)),
        version: VersionId::from_bytes([1; 16]),
        seals: vec![(root(key), String::new())],
        wanted: Wanted::default(),
    }
}

fn new_l2(keys: &[&str]) -> SealJob {
    SealJob {
        path: "acme/hr".parse().expect("valid"),
        epoch: LinkEpoch(Revision::new(1, 1)),
        generation: Generation(Revision::new(1, 1)),
        version: VersionId::from_bytes([1; 16]),
        counter: 1,
        made_at: Timestamp::from_millis(1),
        key: Arc::new(SecretKey::generate(&SeededEntropy::new(2)).expect("memory")),
        roots: keys.iter().map(|key| root(key)).collect(),
        wanted: Wanted::default(),
    }
}

impl Bench {
    /// The next answer. Time passes meanwhile, since turns are given as it does.
    async fn next(&mut self) -> Input {
        let waiting = async {
            loop {
                tokio::select! {
                    input = self.queue.recv() => return input.expect("the provider is here"),
                    () = tokio::time::sleep(Duration::from_millis(1)) => {
                        self.clock.advance(Duration::from_millis(100));
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("an answer")
    }

    async fn unsealed(&mut self) -> (SystemPath, Option<Code>) {
        match self.next().await {
            Input::Unsealed(answer) => (answer.job.path, answer.outcome.err().map(|no| no.code)),
            _ => panic!("an L2 was to be opened"),
        }
    }

    async fn sealed(&mut self) -> Result<usize, Code> {
        match self.next().await {
            Input::Sealed(answer) => answer.outcome.map(|seals| seals.len()).map_err(|no| no.code),
            _ => panic!("an L2 was to be sealed"),
        }
    }

    fn asked(&self) -> usize {
        self.root.asked.load(Ordering::SeqCst)
    }

    fn line(&self) -> LineView {
        self.provider.turns().lines()[0].1
    }
}

fn path(name: &str) -> SystemPath {
    name.parse().expect("valid")
}

#[tokio::test]
async fn one_tenant_whose_provider_hangs_delays_no_other() {
    let mut bench = unlimited();
    (0..3 * PacePolicy::default().concurrent).for_each(|_| bench.provider.unseal(job("slow/hr", "hangs")));
    bench.provider.unseal(job("acme/hr", "answers"));
    assert_eq!(bench.unsealed().await, (path("acme/hr"), None));
}

#[tokio::test]
async fn a_defect_of_a_provider_is_an_answer_too() {
    let mut bench = unlimited();
    bench.provider.unseal(job("acme/hr", "panics"));
    assert_eq!(bench.unsealed().await.1, Some(Code::L1Unreachable));
}

#[tokio::test]
async fn a_provider_that_is_not_configured_is_an_answer_and_opens_no_line() {
    let mut bench = unlimited();
    let mut asked = job("acme/hr", "answers");
    asked.seals[0].0.provider = "another".into();
    bench.provider.unseal(asked);
    assert_eq!(bench.unsealed().await.1, Some(Code::L1Unreachable));
    assert_eq!(bench.provider.turns().lines().len(), 1);
}

#[tokio::test]
async fn a_provider_that_limits_the_rate_is_asked_again_and_more_slowly_and_the_key_has_not_failed() {
    let mut bench = bench(100);
    bench.provider.unseal(job("acme/hr", "throttles-twice"));
    assert_eq!(bench.unsealed().await, (path("acme/hr"), None));
    assert_eq!((bench.asked(), bench.line().throttled), (3, 2));
    assert!(bench.line().per_second < 100, "{:?}", bench.line());
}

#[tokio::test]
async fn what_one_root_puts_off_another_one_opens() {
    let mut bench = bench(100);
    let mut asked = job("acme/hr", "throttles-twice");
    asked.seals.push((root("answers"), String::new()));
    bench.provider.unseal(asked);
    assert_eq!((bench.unsealed().await, bench.asked()), ((path("acme/hr"), None), 2));
}

#[tokio::test]
async fn a_new_key_is_sealed_to_a_root_that_puts_it_off_too_but_not_for_ever() {
    let mut bench = bench(100);
    bench.provider.seal(new_l2(&["throttles-twice", "answers"]));
    assert_eq!(bench.sealed().await, Ok(2));
    bench.provider.seal(new_l2(&["throttles", "answers"]));
    assert_eq!(bench.sealed().await, Ok(1), "one seal is enough to serve");
}

#[tokio::test]
async fn no_more_is_asked_than_the_pace_allows() {
    let mut bench = bench(10);
    for number in 0..5 {
        bench.provider.unseal(job(&format!("acme/s-{number}"), "answers"));
    }
    // One may be asked at once, and the clock stands still.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!((bench.asked(), bench.line().rest), (1, 4));
    for _ in 0..5 {
        bench.unsealed().await;
    }
    assert_eq!((bench.asked(), bench.line().asked), (5, 5));
}

#[tokio::test]
async fn a_system_that_a_caller_waits_for_is_asked_about_before_all_others() {
    let mut bench = bench(1);
    for number in 0..40 {
        bench.provider.unseal(job(&format!("big/s-{number}"), "answers"));
    }
    bench.provider.raise(&path("acme/later"));
    bench.provider.raise(&path("big/s-30"));
    bench.provider.unseal(job("acme/later", "answers"));
    let mut opened = Vec::new();
    for _ in 0..4 {
        opened.push(bench.unsealed().await.0.to_string());
    }
    // The first had its turn before any caller came.
    let first = opened.iter().position(|path| path == "big/s-0").unwrap_or(usize::MAX);
    let wanted = |name: &str| opened.iter().position(|path| path == name).unwrap_or(usize::MAX);
    assert!(first == 0 || first == 2 || first == 3, "{opened:?}");
    assert!(wanted("acme/later") < 3 && wanted("big/s-30") < 3, "{opened:?}");
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_not_asked_about() {
    let mut bench = bench(1);
    bench.provider.unseal(job("acme/first", "answers"));
    assert_eq!(bench.unsealed().await.0, path("acme/first"));
    let system = crate::control::Ticket::default();
    let mut withdrawn = job("acme/withdrawn", "answers");
    withdrawn.wanted = system.wanted();
    bench.provider.unseal(withdrawn);
    let mut sealing = new_l2(&["answers"]);
    sealing.wanted = system.wanted();
    bench.provider.seal(sealing);
    bench.provider.unseal(job("acme/stays", "answers"));
    drop(system);
    // Who waits for a new L2 is told that there is none; who waits for the other is gone.
    assert_eq!(bench.sealed().await, Err(Code::Hydrating));
    assert_eq!(bench.unsealed().await, (path("acme/stays"), None));
    assert_eq!((bench.asked(), bench.line().asked), (2, 2));
}

#[tokio::test]
async fn one_version_is_never_asked_for_twice_at_once() {
    let mut bench = unlimited();
    for _ in 0..6 {
        bench.provider.unseal(job("acme/hr", "alone"));
    }
    for _ in 0..6 {
        assert_eq!(bench.unsealed().await, (path("acme/hr"), None));
    }
}

#[tokio::test]
async fn a_caller_is_told_to_wait_for_as_long_as_the_line_takes() {
    let mut bench = bench(1);
    let ring = bench.provider.asker.turns.keyring().tenant_or_new(&TenantId::new("big").expect("valid"));
    for number in 0..21 {
        bench.provider.unseal(job(&format!("big/s-{number}"), "hangs"));
        bench.provider.raise(&path(&format!("big/s-{number}")));
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.line().demanded, 20);
    assert_eq!(ring.wait(), Duration::from_secs(20));
    bench.provider.unseal(job("small/hr", "answers"));
    bench.provider.raise(&path("small/hr"));
    assert_eq!(bench.unsealed().await.0, path("small/hr"));
}
