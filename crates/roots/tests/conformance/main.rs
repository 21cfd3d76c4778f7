//! One suite over every provider, and what is special about OpenBao.
//!
//! The suite (`suite`) knows a provider by the trait that the product uses, and its customer by another
//! that is only for tests: the one who makes, disables and deletes keys. OpenBao is a real server. Nothing
//! is skipped: without the server these tests fail and say how to install it.

#![expect(clippy::unwrap_used, reason = "what fails in here fails the test")]

mod customer;
mod local;
mod openbao;
mod suite;

use customer::Customer;
use local::LocalCustomer;
use openbao::customer::BaoCustomer;

/// A test of the suite for each provider. Each starts afresh, so they can run at once and in any order.
macro_rules! conformance {
    ($provider:ident, $customer:ty, $($test:ident),+ $(,)?) => {
        mod $provider {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    suite::$test(&<$customer>::new().await).await;
                }
            )+
        }
    };
    ($($provider:ident: $customer:ty),+ $(,)?) => {
        $(
            conformance!(
                $provider,
                $customer,
                what_was_sealed_opens_to_the_same_key,
                sealing_twice_gives_two_ciphertexts,
                what_was_sealed_for_another_binding_is_unopenable,
                what_another_key_sealed_is_unopenable,
                whatever_is_altered_is_unopenable,
                a_disabled_key_is_denied_until_it_is_enabled_again,
                a_deleted_key_is_denied_to_what_it_has_sealed,
                a_key_that_does_not_exist_is_misconfigured_and_is_never_made,
                a_reference_that_makes_no_sense_is_misconfigured,
                a_key_is_described_as_usable,
                neither_errors_nor_debug_hold_a_secret,
            );
        )+
    };
}

conformance!(local_conforms: LocalCustomer, openbao_conforms: BaoCustomer);
