//! The wire as it was first written, byte for byte: one file and more for each event in `golden/v1`.
//!
//! A file is never changed once a release has sent what it holds: components of two releases meet on one mesh. What
//! must be said differently is a new numbered module beside `v1`, with files of its own.

mod examples;

use std::path::PathBuf;

use openkcm_contracts::{Event, EventType};
use serde_json::Value;

use examples::{Example, examples};

/// Objects whose names are data: whatever stands there is no field.
const FREE_MAPS: [&str; 2] = ["labels", "options"];

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", "v1", &format!("{name}.json")].iter().collect()
}

/// The body that a file holds: all of it but for the newline that ends a text file.
fn golden(name: &str) -> String {
    let path = file(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.strip_suffix('\n').expect("a text file ends with a newline").to_owned()
}

#[test]
fn todays_code_writes_exactly_the_golden_bytes() {
    for Example { name, event } in examples() {
        let written = String::from_utf8(event.to_body()).expect("JSON is UTF-8");
        assert_eq!(written, golden(name), "{name}");
    }
}

#[test]
fn todays_code_reads_the_golden_bytes_back() {
    for Example { name, event } in examples() {
        let read =
            Event::from_body(event.kind(), golden(name).as_bytes()).expect("a golden body can be read");
        assert_eq!(read, event, "{name}");
    }
}

#[test]
fn every_type_of_event_has_a_golden_file_and_every_file_an_example() {
    let examples = examples();
    for kind in EventType::ALL {
        let name = kind.wire_name().strip_prefix("openkcm.v1.").expect("this is v1");
        let example = examples.iter().find(|example| example.name == name);
        assert_eq!(example.map(|example| example.event.kind()), Some(kind), "{name}.json");
    }
    let directory = file("").parent().expect("a directory").to_owned();
    for entry in std::fs::read_dir(directory).expect("the golden directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        assert!(examples.iter().any(|example| example.name == name), "{name}.json has no example");
    }
}

#[test]
fn every_example_is_about_the_thing_that_it_names() {
    for Example { name, event } in examples() {
        let subject = event.subject().to_string();
        let tokens: Vec<&str> = subject.split('.').collect();
        let kind = match event.kind() {
            EventType::TenantDefine => "tenant",
            EventType::KeyDefine => "key",
            EventType::KeyPurge => "purge",
            EventType::L1Reference => "l1",
            EventType::L1Revoke => "revoke",
            EventType::SovereignLease => "lease",
            EventType::StateManifest if name.ends_with(".listing") => "listing",
            EventType::StateManifest => "manifest",
            EventType::ManifestQuery => "query",
            EventType::KeySealed if name.ends_with(".l2") => "sealed-l2",
            EventType::KeySealed => "sealed-l3",
        };
        assert_eq!(tokens[0], kind, "{subject}");
        assert!(tokens.iter().all(|token| !token.is_empty()), "{subject}");
    }
}

/// Visits every object of a body whose names are fields: `change` gets the whole body with one of them altered.
fn with_each_object(
    body: &Value,
    alter: &dyn Fn(&mut serde_json::Map<String, Value>),
    check: &mut dyn FnMut(Value),
) {
    for pointer in objects(body, String::new()) {
        let mut altered = body.clone();
        alter(altered.pointer_mut(&pointer).and_then(Value::as_object_mut).expect("it is an object"));
        check(altered);
    }
}

fn objects(value: &Value, pointer: String) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let inner = fields
                .iter()
                .filter(|(name, _)| !FREE_MAPS.contains(&name.as_str()))
                .flat_map(|(name, value)| objects(value, format!("{pointer}/{name}")));
            let inner: Vec<String> = inner.collect();
            std::iter::once(pointer).chain(inner).collect()
        }
        Value::Array(items) => {
            let inner =
                items.iter().enumerate().flat_map(|(i, item)| objects(item, format!("{pointer}/{i}")));
            inner.collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn an_unknown_field_anywhere_in_a_body_is_refused() {
    for Example { name, event } in examples() {
        let body: Value = serde_json::from_str(&golden(name)).expect("JSON");
        let add = |fields: &mut serde_json::Map<String, Value>| {
            fields.insert("since_v2".into(), Value::Bool(true));
        };
        with_each_object(&body, &add, &mut |altered| {
            let read = Event::from_body(event.kind(), altered.to_string().as_bytes());
            assert!(read.is_err(), "{name}: {altered}");
        });
    }
}

/// Two values for one field: whoever checks one must not be followed by one who uses the other.
#[test]
fn a_field_that_stands_twice_is_refused() {
    for Example { name, event } in examples() {
        let text = golden(name);
        let body: Value = serde_json::from_str(&text).expect("JSON");
        for (field, value) in body.as_object().expect("an object") {
            let twice = text.replacen('{', &format!("{{\"{field}\":{value},"), 1);
            assert!(Event::from_body(event.kind(), twice.as_bytes()).is_err(), "{name}: {twice}");
        }
    }
}

#[test]
fn a_body_of_one_type_is_not_read_as_another() {
    for Example { name, event } in examples() {
        for kind in EventType::ALL.into_iter().filter(|kind| *kind != event.kind()) {
            assert!(Event::from_body(kind, golden(name).as_bytes()).is_err(), "{name} as {kind:?}");
        }
    }
}

#[test]
fn a_body_that_is_cut_or_goes_on_is_refused_wherever_it_is() {
    for Example { name, event } in examples() {
        let text = golden(name);
        for len in 0..text.len() {
            assert!(Event::from_body(event.kind(), &text.as_bytes()[..len]).is_err(), "{name}, {len} bytes");
        }
        assert!(Event::from_body(event.kind(), format!("{text}{text}").as_bytes()).is_err(), "{name} twice");
    }
}
