//! What each user tries and may not do: by the broker's own calls, and on others' subjects.

use crate::broker::WORDS;

/// Calls of the broker that no component needs, under both names that there are for them.
const CALLS: [(&str, &str); 26] = [
    ("INFO", ""),
    ("STREAM.NAMES", ""),
    ("STREAM.LIST", ""),
    (
        "STREAM.CREATE.ORBITAL_1_region_c",
        r#"{"name":"ORBITAL_1_region_c","sources":[{"name":"ORBITAL_1_region_a"}]}"#,
    ),
    (
        "STREAM.UPDATE.ORBITAL_1_region_a",
        r#"{"name":"ORBITAL_1_region_a","subjects":["orbital.1.region.a.>"]}"#,
    ),
    ("STREAM.DELETE.ORBITAL_1_region_a", ""),
    ("STREAM.PURGE.ORBITAL_1_region_a", ""),
    ("STREAM.SNAPSHOT.ORBITAL_1_region_b", r#"{"deliver_subject":"_INBOX_x"}"#),
    ("STREAM.MSG.GET.ORBITAL_1_region_b", r#"{"seq":1}"#),
    ("STREAM.MSG.DELETE.ORBITAL_1_region_b", r#"{"seq":1}"#),
    ("DIRECT.GET.ORBITAL_1_region_a", r#"{"seq":1}"#),
    ("DIRECT.GET.ORBITAL_1_region_b", r#"{"seq":1}"#),
    ("DIRECT.GET.ORBITAL_2_cores", r#"{"seq":1}"#),
    ("CONSUMER.NAMES.ORBITAL_1_region_a", ""),
    ("CONSUMER.LIST.ORBITAL_1_region_a", ""),
    (
        "CONSUMER.CREATE.ORBITAL_1_region_a",
        r#"{"stream_name":"ORBITAL_1_region_a","config":{"deliver_policy":"all"}}"#,
    ),
    (
        "CONSUMER.CREATE.ORBITAL_1_region_a.mine",
        r#"{"stream_name":"ORBITAL_1_region_a","config":{"name":"mine"}}"#,
    ),
    (
        "CONSUMER.CREATE.ORBITAL_1_region_a.krypton-a",
        r#"{"stream_name":"ORBITAL_1_region_a","config":{"name":"krypton-a"}}"#,
    ),
    ("CONSUMER.CREATE.ORBITAL_1_region_a.mine.orbital.1.region.a.registry.>", "{}"),
    ("CONSUMER.DURABLE.CREATE.ORBITAL_1_region_a.mine", "{}"),
    ("CONSUMER.DELETE.ORBITAL_1_region_a.krypton-a", ""),
    ("CONSUMER.DELETE.ORBITAL_1_region_a.registry-words", ""),
    ("CONSUMER.PAUSE.ORBITAL_1_region_a.krypton-a", "{}"),
    ("CONSUMER.LEADER.STEPDOWN.ORBITAL_1_region_a.krypton-a", ""),
    ("STREAM.LEADER.STEPDOWN.ORBITAL_1_region_a", ""),
    ("ACCOUNT.PURGE.ORBITAL", ""),
];

/// Readers, and whose they are.
const READERS: [(&str, &str, &str); 8] = [
    ("registry", "ORBITAL_3_authorities", "registry"),
    ("registry", "ORBITAL_1_region_a", "registry-words"),
    ("cmk", "ORBITAL_1_cmk", "cmk"),
    ("cmk", "ORBITAL_1_region_b", "cmk-words"),
    ("krypton-a", "ORBITAL_0_region_a", "krypton-a"),
    ("krypton-a", "ORBITAL_2_cores", "krypton-a"),
    ("krypton-b", "ORBITAL_1_region_b", "krypton-b"),
    ("krypton-b", "ORBITAL_2_cores", "krypton-b"),
];

/// What a user may not publish on, with a body that would do harm.
pub(crate) fn of(user: &str) -> Vec<(String, String)> {
    let both = |call: &str| [format!("$JS.API.{call}"), format!("$JS.ORBITAL.API.{call}")];
    let calls = CALLS.iter().flat_map(|(call, body)| both(call).map(|subject| (subject, (*body).to_owned())));
    let others_words = WORDS.iter().filter(|(author, _)| *author != user);
    let words = others_words.map(|(_, subject)| ((*subject).to_owned(), "another's word".to_owned()));
    let others_readers = READERS.iter().filter(|(owner, ..)| *owner != user);
    let readers = others_readers.flat_map(|(_, stream, reader)| {
        ["MSG.NEXT", "RESET", "INFO"]
            .map(|call| (format!("$JS.ORBITAL.API.CONSUMER.{call}.{stream}.{reader}"), String::new()))
    });
    let gets = WORDS.iter().filter(|(author, _)| *author != user).map(|(_, subject)| {
        let stream = stream_of(subject);
        (format!("$JS.ORBITAL.API.DIRECT.GET.{stream}.{subject}"), String::new())
    });
    let others = ["$SYS.REQ.SERVER.PING", "_INBOX_nobody.x", "$KV.x.y", "orbital.9.region.a.registry.x"];
    let others = others.map(|subject| (subject.to_owned(), String::new()));
    calls.chain(words).chain(readers).chain(gets).chain(others).collect()
}

/// What takes a word, or shows one.
pub(crate) fn to_the_operator() -> Vec<(String, String)> {
    let words = WORDS.iter().map(|(_, subject)| (*subject).to_owned());
    let calls = [
        "STREAM.DELETE.ORBITAL_1_region_a",
        "STREAM.PURGE.ORBITAL_1_region_a",
        "STREAM.SNAPSHOT.ORBITAL_1_region_a",
        "STREAM.MSG.GET.ORBITAL_1_region_a",
        "STREAM.MSG.DELETE.ORBITAL_1_region_a",
        "DIRECT.GET.ORBITAL_1_region_a",
        "DIRECT.GET.ORBITAL_1_region_a.orbital.1.region.a.cmk.l1.acme",
        "CONSUMER.MSG.NEXT.ORBITAL_1_region_a.krypton-a",
        "CONSUMER.DELETE.ORBITAL_1_region_a.krypton-a",
    ];
    let calls = calls.map(|call| format!("$JS.API.{call}"));
    words.chain(calls).map(|subject| (subject, "{}".to_owned())).collect()
}

fn stream_of(subject: &str) -> String {
    let tokens: Vec<&str> = subject.split('.').collect();
    let audience = if tokens[2] == "region" { format!("region_{}", tokens[3]) } else { tokens[2].to_owned() };
    format!("ORBITAL_{}_{audience}", tokens[1])
}
