//! Teeth: each deliberate bug is caught, by the invariant that it breaks, within a few histories.
//!
//! A checker that was never seen to fail proves nothing.

#![allow(clippy::print_stdout, reason = "which seed catches a bug is worth seeing")]

use openkcm_simulator::{Bug, Options, run};

/// Histories that a bug may live through.
const SEEDS: u64 = 240;

/// Steps of each.
const STEPS: u32 = 400;

/// The invariant that catches a bug first.
fn caught(bug: Bug) -> &'static str {
    let violated = |seed| run(seed, Options { steps: STEPS, bug: Some(bug) }).violation;
    let caught = (0..SEEDS).find_map(|seed| violated(seed).map(|violation| (seed, violation)));
    let Some((seed, violation)) = caught else { panic!("{bug:?} lived through {SEEDS} histories") };
    println!("{bug:?}: caught by seed {seed}: {violation}");
    violation.invariant
}

#[test]
fn letters_that_are_forgotten_before_the_mesh_has_them_are_missed() {
    assert_eq!(caught(Bug::ForgetBeforePublish), "convergence");
}

#[test]
fn an_outbox_that_a_crash_loses_is_missed() {
    assert_eq!(caught(Bug::LoseOutboxOnCrash), "convergence");
}

#[test]
fn a_newer_letter_that_is_forgotten_with_an_older_one_is_missed() {
    assert_eq!(caught(Bug::ForgetNewerLetter), "convergence");
}

#[test]
fn a_missing_revision_check_is_caught() {
    let caught = caught(Bug::SkipRevisionCheck);
    assert!(["no zombie", "authority", "sovereignty", "convergence"].contains(&caught));
}

#[test]
fn an_old_link_that_is_taken_for_the_newest_is_caught() {
    assert!(["no zombie", "sovereignty"].contains(&caught(Bug::OldLinkAsNewest)));
}

#[test]
fn a_revoke_that_is_skipped_is_caught() {
    assert!(["sovereignty", "no zombie"].contains(&caught(Bug::SkipRevoke)));
}

#[test]
fn a_position_that_is_committed_before_its_effects_is_caught() {
    assert_eq!(caught(Bug::PositionBeforeEffects), "convergence");
}

#[test]
fn a_version_that_is_lost_after_it_was_kept_is_missed() {
    assert_eq!(caught(Bug::LoseKeptVersion), "no key lost");
}

#[test]
fn a_version_that_encrypts_before_it_is_kept_is_caught() {
    assert!(["no key lost", "no wrongful purge"].contains(&caught(Bug::EncryptBeforeKeep)));
}

#[test]
fn a_merge_that_overwrites_is_caught() {
    // A Core that has forgotten a version may make another one in its place.
    assert!(["no key lost", "no key made twice"].contains(&caught(Bug::MergeByOverwriting)));
}

#[test]
fn a_first_version_that_is_made_again_after_a_crash_is_caught() {
    assert_eq!(caught(Bug::MakeAgainAfterCrash), "no key made twice");
}

#[test]
fn a_plaintext_that_is_written_down_is_found() {
    assert_eq!(caught(Bug::LeakPlaintext), "containment");
}

#[test]
fn a_key_reference_in_the_registry_is_found() {
    assert_eq!(caught(Bug::ArnInRegistry), "containment");
}

#[test]
fn a_signature_that_is_not_looked_at_is_caught() {
    assert_eq!(caught(Bug::BelieveAnyone), "authority");
}

#[test]
fn a_command_that_waits_for_the_mesh_is_caught() {
    assert_eq!(caught(Bug::WaitForMesh), "independence");
}

#[test]
fn a_core_that_never_rests_is_caught() {
    assert_eq!(caught(Bug::NeverRest), "rest");
}

#[test]
fn an_authority_that_speaks_before_it_has_compared_is_caught() {
    assert_eq!(caught(Bug::SpeakBeforeComparing), "authority");
}

#[test]
fn a_stale_cmk_server_that_links_is_caught() {
    assert_eq!(caught(Bug::LinkWhileStale), "authority");
}

#[test]
fn a_term_that_is_not_raised_is_caught() {
    assert!(["authority", "convergence"].contains(&caught(Bug::KeepTerm)));
}

#[test]
fn revisions_that_are_compared_by_their_counters_alone_are_caught() {
    assert!(["authority", "convergence"].contains(&caught(Bug::CompareCounters)));
}

#[test]
fn a_restart_that_takes_new_changes_for_common_ones_is_caught() {
    assert!(["authority", "convergence"].contains(&caught(Bug::ForgetBase)));
}

#[test]
fn a_rebuild_that_puts_older_words_over_newer_ones_is_caught() {
    assert!(["convergence", "no zombie"].contains(&caught(Bug::RebuildByOverwriting)));
}

#[test]
fn a_lease_that_counts_longer_than_it_was_granted_is_caught() {
    // What its roots have said holds for a lease too.
    assert!(["sovereignty", "the owner's word"].contains(&caught(Bug::LongerLease)));
}

#[test]
fn a_denial_that_is_taken_for_a_failure_is_caught() {
    assert_eq!(caught(Bug::DenialAsFailure), "the owner's word");
}

#[test]
fn a_silence_that_is_taken_for_consent_is_caught() {
    assert_eq!(caught(Bug::SilenceAsConsent), "the owner's word");
}

#[test]
fn a_lease_that_is_taken_for_links_that_came_later_is_caught() {
    assert_eq!(caught(Bug::LeaseOfLaterLinks), "no zombie");
}

#[test]
fn a_core_that_destroys_at_once_is_caught() {
    assert_eq!(caught(Bug::HurryPurge), "no wrongful purge");
}

#[test]
fn a_core_that_goes_on_with_what_is_purged_is_caught() {
    assert!(["purged stays dead", "no key made twice"].contains(&caught(Bug::IgnoreTombstones)));
}

#[test]
fn a_store_that_was_edited_and_is_not_recounted_is_missed() {
    assert_eq!(caught(Bug::SkipRecount), "convergence");
}

#[test]
fn a_registry_that_tells_nothing_again_is_caught() {
    assert_eq!(caught(Bug::CorrectNothing), "convergence");
}
