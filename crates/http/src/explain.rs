//! What is wrong with a body or a query, without a word of what was in it.
//!
//! serde's own messages quote the value that they could not use: `invalid type: string "hunter2",
//! expected u64`. Bodies of the data plane hold plaintext, so of such a message only the part that the
//! program wrote is used: what was expected, or which field is missing. Of the place, field names are
//! told (the keys of maps among them, when they look like names), and never a value.

use openkcm_contracts::problem::Code;
use serde::de::IgnoredAny;
use serde_path_to_error::{Path, Segment};

use crate::base64::NOT_BASE64;
use crate::problem::Problem;

/// The longest name of a field that is repeated to the caller. Our own are far shorter.
const MAX_NAME_LEN: usize = 40;

/// Messages of serde that end in what the type's author wrote as its expectation.
const SAYS_WHAT_IT_EXPECTS: [&str; 5] =
    ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant ", "unknown field "];

/// The problem with this JSON body.
pub(crate) fn bad_json(error: &serde_path_to_error::Error<serde_json::Error>, body: &[u8]) -> Problem {
    let json = error.inner();
    let place = format!("line {}, column {}", json.line(), json.column());
    // serde_json calls it bad syntax, too, when a number or null stands where an enum's name is expected.
    if !json.is_data() && serde_json::from_slice::<IgnoredAny>(body).is_err() {
        return Problem::new(Code::InvalidRequest, format!("the body is not valid JSON at {place}"));
    }
    let message = json.to_string();
    let fault = bad_value(error.path(), &message);
    let detail = format!("{} (at {place} of the body)", fault.detail);
    Problem { detail: detail.into(), ..fault }
}

/// The problem with a value at `path` of which serde says `message`.
pub(crate) fn bad_value(path: &Path, message: &str) -> Problem {
    let unknown = message.starts_with("unknown field ");
    let field = name_of(path, unknown);
    let code = if message.starts_with(NOT_BASE64) { Code::InvalidBase64 } else { Code::InvalidRequest };
    let fault = fault(message);
    let detail = match &field {
        None => fault,
        Some(field) => format!("{field}: {fault}"),
    };
    // The path of a field that is not there, or there twice, ends at what it should be a part of.
    let to_blame = match (field, own_field(message)) {
        (Some(whole), Some((name, _))) => Some(format!("{whole}.{name}")),
        (None, Some((name, _))) => Some(name.to_owned()),
        (field, None) => field,
    };
    to_blame.into_iter().fold(Problem::new(code, detail), Problem::field)
}

/// The program's name of a field that is missing or doubled, and which of the two it is.
fn own_field(message: &str) -> Option<(&str, &'static str)> {
    [("missing field `", "is missing"), ("duplicate field `", "is given twice")].into_iter().find_map(
        |(start, says)| {
            let (name, _) = message.strip_prefix(start)?.split_once('`')?;
            Some((name, says))
        },
    )
}

/// The part of serde's message that the program wrote.
fn fault(message: &str) -> String {
    if message.starts_with(NOT_BASE64) {
        return NOT_BASE64.to_owned();
    }
    if let Some((name, says)) = own_field(message) {
        return format!("the field {name} {says}");
    }
    let expected = SAYS_WHAT_IT_EXPECTS.iter().any(|start| message.starts_with(start)).then(|| {
        // The last one: the quoted value, which comes first, might hold the words too.
        message.rsplit_once(", expected ").map(|(_, expected)| without_place(expected))
    });
    match (message.starts_with("unknown field "), expected.flatten()) {
        (true, Some(known)) => format!("a field is not known here; expected {known}"),
        (true, None) => "a field is not known here".to_owned(),
        (false, Some(expected)) => format!("{expected} is expected"),
        (false, None) => "the value is not valid here".to_owned(),
    }
}

/// serde_json adds the place to the message; it is told apart from it.
fn without_place(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(text, _)| text)
}

/// The path as callers write it, `roots[0].provider`; without its last name when that is the caller's.
fn name_of(path: &Path, last_is_the_callers: bool) -> Option<String> {
    let mut name = String::new();
    let mut segments: Vec<&Segment> = path.iter().collect();
    if last_is_the_callers {
        segments.pop();
    }
    for segment in segments {
        match segment {
            Segment::Seq { index } => name.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(if looks_like_a_name(key) { key } else { "?" });
            }
            Segment::Unknown => name.push('?'),
        }
    }
    (!name.is_empty() && name != "?").then_some(name)
}

fn looks_like_a_name(key: &str) -> bool {
    (1..=MAX_NAME_LEN).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::base64::Base64;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by the deserializer")]
    struct Request {
        count: u32,
        #[serde(default)]
        plaintext: Base64,
        #[serde(default)]
        kind: Option<Kind>,
        #[serde(default)]
        inner: Vec<Inner>,
        #[serde(default)]
        labels: BTreeMap<String, u8>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only read by the deserializer")]
        name: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
    }

    fn problem(body: &str) -> Problem {
        let mut json = serde_json::Deserializer::from_str(body);
        bad_json(&serde_path_to_error::deserialize::<_, Request>(&mut json).unwrap_err(), body.as_bytes())
    }

    #[test]
    fn no_message_repeats_a_value_of_the_body() {
        for body in [
            r#"{"count": "CANARY"}"#,
            r#"{"count": "CANARY, expected CANARY at line CANARY"}"#,
            r#"{"count": 1, "kind": "CANARY"}"#,
            r#"{"count": 1, "CANARY": 2}"#,
            r#"{"count": 1, "CANARY`, expected `CANARY": 2}"#,
            r#"{"count": 1, "plaintext": "CANARY!"}"#,
            r#"{"count": 1, "inner": [{"name": "CANARY"}, "CANARY"]}"#,
            r#"{"count": 1, "labels": {"the CANARY sings": "CANARY"}}"#,
            r#""CANARY""#,
            r#"{"count": CANARY"#,
            "CANARY",
        ] {
            let problem = problem(body);
            let told = format!("{problem:?}");
            assert!(!told.contains("CANARY"), "{body}: {told}");
        }
    }

    #[test]
    fn the_field_the_expectation_and_the_place_are_told() {
        let problem = problem("{\"count\": 1,\n \"inner\": [{\"name\": 5}]}");
        assert_eq!(problem.field.as_deref(), Some("inner[0].name"));
        assert_eq!(problem.detail, "inner[0].name: a string is expected (at line 2, column 21 of the body)");
        assert_eq!(problem.code, Code::InvalidRequest);
    }

    #[test]
    fn missing_and_unknown_fields_are_told_apart() {
        for (body, detail, field) in [
            ("{}", "the field count is missing", "count"),
            (r#"{"count": 1, "count": 2}"#, "the field count is given twice", "count"),
            (r#"{"count": 1, "inner": [{}]}"#, "inner[0]: the field name is missing", "inner[0].name"),
        ] {
            let problem = problem(body);
            assert!(problem.detail.starts_with(detail), "{problem}");
            assert_eq!(problem.field.as_deref(), Some(field), "{problem}");
        }
        let unknown = problem(r#"{"cuont": 1}"#);
        assert!(
            unknown.detail.starts_with("a field is not known here; expected one of `count`, `plaintext`")
        );
    }

    #[test]
    fn a_value_of_another_kind_in_the_place_of_a_name_is_not_taken_for_bad_syntax() {
        let problem = problem(r#"{"count": 1, "kind": 7}"#);
        assert_eq!(problem.field.as_deref(), Some("kind"));
        assert!(problem.detail.starts_with("kind: the value is not valid here"), "{problem}");
    }

    #[test]
    fn a_bad_base64_text_has_a_code_of_its_own() {
        let problem = problem(r#"{"count": 1, "plaintext": "%%"}"#);
        assert_eq!((problem.code, problem.field.as_deref()), (Code::InvalidBase64, Some("plaintext")));
    }
}
