//! Requests that a user may make, whose answers it would have stored as another's word: the requester names the
//! subject of the answer, and the broker publishes it there with its own rights.

/// Where the answers are wanted.
pub(crate) const TARGETS: [&str; 5] = [
    "orbital.1.region.b.cmk.l1.acme",
    "orbital.0.region.b.cmk.revoke.acme",
    "orbital.1.region.a.registry.tenant.acme",
    "orbital.2.cores.krypton.sealed-l2.b.acme.hr.v",
    "orbital.1.region.b.cmk.l1.never-said",
];

/// What the requests below publish themselves, rightly.
pub(crate) const PUBLISHED: [&str; 4] = [
    "orbital.1.region.a.registry.tenant.acme",
    "orbital.1.region.a.cmk.l1.acme",
    "orbital.2.cores.krypton.sealed-l2.a.acme.hr.v",
    "orbital.2.cores.krypton.sealed-l2.b.acme.hr.v",
];

/// Every kind of request that a user may make.
pub(crate) fn of(user: &str) -> Vec<(String, String)> {
    let (stream, reader, word) = match user {
        "registry" => ("ORBITAL_1_region_a", "registry-words", PUBLISHED[0]),
        "cmk" => ("ORBITAL_1_region_a", "cmk-words", PUBLISHED[1]),
        "krypton-a" => ("ORBITAL_2_cores", "krypton-a", PUBLISHED[2]),
        _ => ("ORBITAL_2_cores", "krypton-b", PUBLISHED[3]),
    };
    let consumer = |call: &str, body: &str| {
        (format!("$JS.ORBITAL.API.CONSUMER.{call}.{stream}.{reader}"), body.to_owned())
    };
    vec![
        (word.to_owned(), "a word of its own".to_owned()),
        consumer("INFO", ""),
        consumer("RESET", r#"{"seq":1}"#),
        consumer("MSG.NEXT", r#"{"batch":10,"no_wait":true}"#),
        consumer("MSG.NEXT", r#"{"batch":0,"expires":-1}"#),
        (format!("$JS.ORBITAL.API.DIRECT.GET.{stream}.{word}"), String::new()),
        (format!("$JS.ORBITAL.API.STREAM.INFO.{stream}"), String::new()),
    ]
}
