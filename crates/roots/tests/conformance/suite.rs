//! What every provider has to hold, written once.

use openkcm_contracts::RootRef;
use openkcm_roots::{KeyState, RootError};

use crate::customer::{CANARY, Customer, binding, binding_of, plaintext};

/// Asserts the variant of an error, and shows what it was otherwise.
macro_rules! assert_refused {
    ($result:expr, $variant:ident) => {
        match $result {
            Err(openkcm_roots::RootError::$variant { .. }) => {}
            other => panic!("{} was expected, not {other:?}", stringify!($variant)),
        }
    };
}
pub(crate) use assert_refused;

pub(crate) async fn what_was_sealed_opens_to_the_same_key(customer: &impl Customer) {
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    assert!(sealed.len() <= openkcm_roots::MAX_SEALED_LEN);
    assert!(!sealed.windows(8).any(|window| CANARY.windows(8).any(|secret| secret == window)));
    let opened = roots.unseal(&key, &binding(), &sealed).await.unwrap();
    assert_eq!(opened.expose(), CANARY);
    roots.probe(&key, &binding()).await.unwrap();
    let proof = roots.prove(&key, &binding()).await.unwrap();
    roots.prove_again(&key, &binding(), &proof).await.unwrap();
}

pub(crate) async fn sealing_twice_gives_two_ciphertexts(customer: &impl Customer) {
    let (roots, key) = (customer.roots(), customer.key());
    let one = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    let other = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    assert_ne!(one, other);
}

pub(crate) async fn what_was_sealed_for_another_binding_is_unopenable(customer: &impl Customer) {
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    for other in [binding_of("evil", "hr", 1), binding_of("acme", "crm", 1), binding_of("acme", "hr", 2)] {
        assert_refused!(roots.unseal(&key, &other, &sealed).await, Unopenable);
    }
}

pub(crate) async fn what_another_key_sealed_is_unopenable(customer: &impl Customer) {
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&customer.other_key(), &binding(), &plaintext()).await.unwrap();
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Unopenable);
}

pub(crate) async fn whatever_is_altered_is_unopenable(customer: &impl Customer) {
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert_refused!(roots.unseal(&key, &binding(), &altered).await, Unopenable);
    }
    for len in [0, 1, 6, 10, sealed.len() - 1] {
        assert_refused!(roots.unseal(&key, &binding(), &sealed[..len]).await, Unopenable);
    }
    let longer = [&sealed[..], &[0]].concat();
    assert_refused!(roots.unseal(&key, &binding(), &longer).await, Unopenable);
    let longest = [&sealed[..], &[0; 100_000]].concat();
    assert_refused!(roots.unseal(&key, &binding(), &longest).await, Unopenable);
    roots.unseal(&key, &binding(), &sealed).await.unwrap();
}

pub(crate) async fn a_disabled_key_is_denied_until_it_is_enabled_again(customer: &impl Customer) {
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    for _ in 0..2 {
        customer.disable().await;
        assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Denied);
        assert_refused!(roots.seal(&key, &binding(), &plaintext()).await, Denied);
        assert_refused!(roots.probe(&key, &binding()).await, Denied);
        assert_refused!(roots.prove_again(&key, &binding(), &sealed).await, Denied);
        assert_eq!(roots.describe(&key).await.unwrap().state, KeyState::Disabled);
        roots.probe(&customer.other_key(), &binding()).await.unwrap();
        customer.enable().await;
        assert_eq!(roots.unseal(&key, &binding(), &sealed).await.unwrap().expose(), CANARY);
        roots.probe(&key, &binding()).await.unwrap();
    }
}

pub(crate) async fn a_deleted_key_is_denied_to_what_it_has_sealed(customer: &impl Customer) {
    let (roots, key) = (customer.roots(), customer.key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    let proof = roots.prove(&key, &binding()).await.unwrap();
    customer.delete().await;
    assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Denied);
    assert_refused!(roots.prove_again(&key, &binding(), &proof).await, Denied);
    // Without anything that it sealed, a provider may not be able to tell that it was ever there.
    assert!(matches!(
        roots.probe(&key, &binding()).await,
        Err(RootError::Denied { .. } | RootError::Misconfigured { .. })
    ));
    assert!(roots.describe(&key).await.is_err_and(is_misconfigured) || is_deleted(customer, &key).await);
}

fn is_misconfigured(error: RootError) -> bool {
    matches!(error, RootError::Misconfigured { .. })
}

async fn is_deleted(customer: &impl Customer, key: &RootRef) -> bool {
    customer.roots().describe(key).await.is_ok_and(|told| told.state == KeyState::Deleted)
}

pub(crate) async fn a_key_that_does_not_exist_is_misconfigured_and_is_never_made(customer: &impl Customer) {
    let (roots, key) = (customer.roots(), customer.unknown_key());
    for _ in 0..2 {
        assert_refused!(roots.describe(&key).await, Misconfigured);
        assert_refused!(roots.seal(&key, &binding(), &plaintext()).await, Misconfigured);
        assert_refused!(roots.probe(&key, &binding()).await, Misconfigured);
    }
}

pub(crate) async fn a_reference_that_makes_no_sense_is_misconfigured(customer: &impl Customer) {
    let roots = customer.roots();
    let sealed = roots.seal(&customer.key(), &binding(), &plaintext()).await.unwrap();
    for key in customer.nonsense() {
        assert_refused!(roots.describe(&key).await, Misconfigured);
        assert_refused!(roots.seal(&key, &binding(), &plaintext()).await, Misconfigured);
        assert_refused!(roots.unseal(&key, &binding(), &sealed).await, Misconfigured);
        assert_refused!(roots.probe(&key, &binding()).await, Misconfigured);
    }
}

pub(crate) async fn a_key_is_described_as_usable(customer: &impl Customer) {
    let described = customer.roots().describe(&customer.key()).await.unwrap();
    assert_eq!(described.state, KeyState::Usable);
    assert!(described.algorithm.is_some());
    assert_eq!(described.version, Some(1));
}

pub(crate) async fn neither_errors_nor_debug_hold_a_secret(customer: &impl Customer) {
    let (roots, key, unknown) = (customer.roots(), customer.key(), customer.unknown_key());
    let sealed = roots.seal(&key, &binding(), &plaintext()).await.unwrap();
    let secrets: Vec<String> = [String::from_utf8_lossy(CANARY).into_owned(), "Y2FuYXJ5".into()]
        .into_iter()
        .chain(customer.secrets())
        .collect();
    let mut shown = vec![format!("{roots:?} {:?} {:?}", plaintext(), roots.describe(&key).await)];
    let mut show = |error: RootError| shown.push(format!("{error} {error:?}"));
    show(roots.seal(&unknown, &binding(), &plaintext()).await.unwrap_err());
    show(roots.unseal(&key, &binding_of("evil", "hr", 1), &sealed).await.unwrap_err());
    show(roots.unseal(&key, &binding(), &sealed[1..]).await.unwrap_err());
    customer.disable().await;
    show(roots.seal(&key, &binding(), &plaintext()).await.unwrap_err());
    show(roots.unseal(&key, &binding(), &sealed).await.unwrap_err());
    for text in shown {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}
