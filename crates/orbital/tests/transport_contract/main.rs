//! What every transport must do, run over each of them.
//!
//! A promise is one function over a [`Rig`](rig::Rig), which is a mesh that can be crashed; `contract!` runs all
//! of them over one rig. A new transport brings its rig and one line here, and changes none of the promises.
//! Nothing in here knows how a mesh does it: no timing, no numbering, no more than the trait says.

mod compaction;
mod durability;
mod embedded;
mod load;
mod nats;
mod reading;
mod rig;
mod separation;
mod traffic;

use std::time::Duration;

/// No promise is about time; a transport that lost a message must fail here and not hang.
const PATIENCE: Duration = Duration::from_secs(120);

macro_rules! promises {
    ($open:path: $($room:ident :: $promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let kept = async { crate::$room::$promise($open().await).await };
                tokio::time::timeout(crate::PATIENCE, kept).await.expect("the mesh stands still");
            }
        )*
    };
}

macro_rules! contract {
    ($transport:ident, $open:path) => {
        mod $transport {
            promises!($open:
                durability::what_was_answered_is_there_after_a_crash,
                durability::a_crash_forgets_neither_the_newest_revision_nor_the_position,
                durability::a_reader_that_goes_on_after_a_crash_skips_nothing,
                durability::a_message_that_is_published_twice_is_read_at_least_once,
                compaction::a_reader_that_starts_from_nothing_sees_the_last_word_of_each_thing,
                compaction::an_older_revision_never_buries_a_newer_one,
                compaction::an_older_revision_in_the_same_batch_buries_nothing,
                compaction::a_higher_term_wins_over_a_higher_counter,
                compaction::the_same_revision_with_other_content_replaces_what_was_there,
                compaction::a_message_without_a_readable_revision_buries_nothing,
                compaction::a_lane_that_is_not_compacted_keeps_its_recent_messages,
                compaction::an_older_revision_is_kept_on_a_lane_that_is_not_compacted,
                reading::an_empty_stream_tells_that_it_was_read_to_its_end,
                reading::a_stream_that_is_read_in_pieces_tells_its_end_once_it_is_there,
                reading::one_publishers_words_about_one_thing_keep_their_order,
                reading::a_waiting_reader_gets_what_comes_later,
                reading::a_reader_that_was_away_gets_what_it_missed_from_its_position,
                reading::a_reader_that_goes_on_gets_the_new_word_of_a_thing_that_it_had_read,
                reading::a_position_of_another_mesh_is_none,
                reading::a_position_that_the_mesh_has_not_come_to_is_none,
                reading::positions_rise_along_a_stream,
                reading::two_readers_of_one_stream_see_all_of_it_each,
                separation::a_region_never_sees_what_is_told_to_another,
                separation::an_authority_and_a_region_of_its_name_are_two_audiences,
                separation::the_lanes_of_an_audience_are_read_apart,
                separation::the_same_thing_on_two_streams_is_compacted_apart,
                separation::a_backlog_of_facts_does_not_delay_a_revoke,
                load::many_publishers_at_once_lose_nothing,
                load::a_slow_reader_blocks_no_publisher_and_misses_no_last_word,
                load::a_body_as_long_as_there_may_be_comes_through_whole,
                load::a_body_comes_through_byte_for_byte_whatever_is_in_it,
                load::an_empty_publication_is_answered,
            );
        }
    };
}

contract!(over_the_embedded_mesh, crate::embedded::EmbeddedRig::open);
contract!(over_nats, crate::nats::NatsRig::open);
