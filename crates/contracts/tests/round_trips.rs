//! Whatever is written is read back as it was; whatever is read was written in the one way there is.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use openkcm_contracts::{
    Audience, Event, EventType, Generation, KeyPath, LinkEpoch, Period, RegionId, Revision, ServiceId,
    ServicePath, SystemId, SystemPath, TenantId, Timestamp, VersionId,
};
use proptest::prelude::{Just, Strategy, TestCaseError, any, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq, prop_assume};
use serde::Serialize;
use serde::de::DeserializeOwned;

const LABEL: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";

fn label() -> impl Strategy<Value = String> {
    LABEL
}

fn revision() -> impl Strategy<Value = Revision> {
    let term = prop_oneof![Just(0), Just(1), Just(u32::MAX), any::<u32>()];
    let counter = prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()];
    (term, counter).prop_map(|(term, counter)| Revision::new(term, counter))
}

/// By text and by JSON, which says the same.
fn comes_back<T>(value: &T) -> Result<(), TestCaseError>
where
    T: Display + FromStr<Err: Debug> + Serialize + DeserializeOwned + PartialEq + Debug,
{
    let text = value.to_string();
    prop_assert_eq!(&text.parse::<T>().expect("what was shown can be read"), value);
    let json = serde_json::to_string(value).expect("JSON");
    prop_assert_eq!(&json, &serde_json::to_string(&text).expect("JSON"));
    prop_assert_eq!(&serde_json::from_str::<T>(&json).expect("what was written can be read"), value);
    Ok(())
}

proptest! {
    #[test]
    fn labels_come_back(label in label()) {
        comes_back(&TenantId::new(&label).expect("a label"))?;
        comes_back(&SystemId::new(&label).expect("a label"))?;
        comes_back(&ServiceId::new(&label).expect("a label"))?;
        comes_back(&RegionId::new(&label).expect("a label"))?;
    }

    #[test]
    fn only_labels_are_labels(text in prop_oneof!["\\PC{0,70}", "[a-zA-Z0-9._/-]{0,70}", any::<String>()]) {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let expected = (1..=63).contains(&text.len())
            && text.chars().all(allowed) && !text.starts_with('-') && !text.ends_with('-');
        prop_assert_eq!(TenantId::new(&text).is_ok(), expected);
        let json = serde_json::to_string(&text).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<TenantId>(&json).is_ok(), expected, "by JSON as well");
    }

    #[test]
    fn key_names_come_back(tenant in label(), system in label(), service in label()) {
        let l2: SystemPath = format!("{tenant}/{system}").parse().expect("a name");
        let l3: ServicePath = format!("{tenant}/{system}/{service}").parse().expect("a name");
        prop_assert_eq!(&l3.system_path(), &l2);
        for path in [KeyPath::System(l2), KeyPath::Service(l3)] {
            prop_assert_eq!(path.to_string().parse::<KeyPath>().expect("a name"), path);
        }
    }

    #[test]
    fn revisions_come_back(revision in revision()) {
        comes_back(&revision)?;
        let json = serde_json::to_string(&revision).expect("JSON");
        prop_assert_eq!(&serde_json::to_string(&Generation(revision)).expect("JSON"), &json);
        prop_assert_eq!(serde_json::from_str::<LinkEpoch>(&json).expect("an epoch"), LinkEpoch(revision));
    }

    #[test]
    fn a_text_that_is_read_as_a_revision_is_its_only_form(text in "[+0]{0,2}[0-9]{0,11}\\.[+0]{0,2}[0-9]{0,21}") {
        if let Ok(revision) = text.parse::<Revision>() {
            prop_assert_eq!(revision.to_string(), text);
        }
    }

    #[test]
    fn revisions_are_ordered_by_term_and_then_by_counter(one in revision(), other in revision()) {
        let by_parts = (one.term, one.counter).cmp(&(other.term, other.counter));
        prop_assert_eq!(one.cmp(&other), by_parts);
        prop_assume!(one.counter < u64::MAX);
        prop_assert!(one.next() > one && one.next().term == one.term);
    }

    #[test]
    fn periods_come_back(secs in prop_oneof![1..=Period::MAX_SECS, 1..200_000u64]) {
        let period = Period::from_secs(secs).expect("in range");
        comes_back(&period)?;
        prop_assert_eq!(period.duration(), Duration::from_secs(secs));
    }

    #[test]
    fn no_text_makes_a_period_that_is_out_of_range(text in prop_oneof!["[0-9]{1,20}(ns|ms|s|m|h|d|w|M|y)", "\\PC{0,20}"]) {
        if let Ok(period) = text.parse::<Period>() {
            let secs = period.duration().as_secs();
            prop_assert!((1..=Period::MAX_SECS).contains(&secs) && period.duration().subsec_nanos() == 0);
            comes_back(&period)?;
        }
    }

    #[test]
    fn moments_come_back(millis in prop_oneof![0..4_102_444_800_000u64, any::<u64>()]) {
        let moment = Timestamp::from_millis(millis);
        comes_back(&moment)?;
        prop_assert_eq!(moment.to_string().len(), "2026-02-02T08:00:00.000Z".len(), "one form for all");
    }

    #[test]
    fn moments_are_shown_in_their_order(one in any::<u64>(), other in any::<u64>()) {
        let (one, other) = (Timestamp::from_millis(one), Timestamp::from_millis(other));
        prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
        prop_assert_eq!(one.max(other), one.min(other).after(one.max(other).since(one.min(other))));
    }

    #[test]
    fn no_text_makes_a_moment_that_can_not_be_written(
        text in prop_oneof!["[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?Z", "\\PC{0,30}"],
    ) {
        if let Ok(moment) = text.parse::<Timestamp>() {
            comes_back(&moment)?;
        }
    }

    #[test]
    fn version_ids_come_back(bytes in any::<[u8; 16]>()) {
        let id = VersionId::from_bytes(bytes);
        comes_back(&id)?;
        prop_assert_eq!(id.as_bytes(), &bytes);
        let drawn = VersionId::from_random(bytes);
        comes_back(&drawn)?;
        // RFC 9562, section 5.4: version 4 and the variant of that document, and 122 bits that were drawn.
        prop_assert_eq!((drawn.as_bytes()[6] >> 4, drawn.as_bytes()[8] >> 6), (4, 2));
        prop_assert_eq!(drawn.as_bytes()[15], bytes[15]);
    }

    #[test]
    fn audiences_come_back(label in label()) {
        let region = Audience::Region(RegionId::new(&label).expect("a label"));
        for audience in [region, Audience::Cores, Audience::Registry, Audience::Cmk, Audience::Authorities] {
            comes_back(&audience)?;
        }
    }

    #[test]
    fn no_bytes_make_a_body_that_panics_or_that_is_not_written_as_it_was_read(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "\\{(\"[a-z_]{1,12}\":(null|\"[a-z0-9.-]{0,9}\"|[0-9]{1,3}|\\[\\]),?){0,8}\\}".prop_map(String::into_bytes),
        ],
        kind in prop::sample::select(EventType::ALL.to_vec()),
    ) {
        if let Ok(event) = Event::from_body(kind, &body) {
            prop_assert_eq!(Event::from_body(kind, &event.to_body()).expect("what was written can be read"), event);
        }
    }
}
