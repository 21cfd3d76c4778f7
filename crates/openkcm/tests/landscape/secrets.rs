//! No secret is written anywhere: not to disk, not to a log, not to a metric.
//!
//! Canaries go in by every way that there is, with everything logged; then all that the processes wrote is
//! searched for them, in every form in which they might stand there.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use openkcm_client::Client;
use openkcm_contracts::KeyPath;
use serde_json::json;

use crate::http::Request;
use crate::setup::{REGIONS, SAMPLE, Setup, only, service_path};

const PLAINTEXT: &str = "CANARY-plaintext-5b1f0c";
const AAD: &str = "CANARY-aad-c0ffee7d";
const CONTENT: &str = "CANARY-content-91ab44";

/// Something that must not be found, and what to call it then.
struct Secret {
    name: String,
    forms: Vec<Vec<u8>>,
    /// The one file where it is to be.
    home: Option<String>,
}

#[tokio::test]
async fn nothing_that_the_processes_write_holds_a_secret() {
    let mut setup = Setup::start_with(&[("RUST_LOG", "trace")], |_| ()).await;
    let mut written = Vec::new();
    let data_keys = use_secrets(&setup, &mut written).await;
    let mut secrets = vec![
        Secret::new("the plaintext", PLAINTEXT.as_bytes()),
        Secret::new("the additional data", AAD.as_bytes()),
        Secret::new("the file's content", CONTENT.as_bytes()),
    ];
    secrets.extend(data_keys.iter().map(|key| Secret::new("a data key", key)));
    secrets.extend(key_files(setup.landscape.directory()));
    secrets.push(Secret::new("the token", setup.token().as_bytes()).at_home_in("credential"));
    written.extend(answers(&setup).await);

    // While it runs, with the stores' logs not folded in yet; after a kill; and after a stop.
    search(&setup, &secrets, &written);
    setup.landscape.kill();
    search(&setup, &secrets, &written);
    setup.landscape.start_again().await;
    assert!(setup.landscape.stop().await);
    search(&setup, &secrets, &written);

    let log = setup.landscape.log();
    assert!(log.contains("TRACE"), "not everything was logged, so the search proves nothing");
}

#[tokio::test]
async fn a_crash_leaves_no_image_of_the_memory() {
    let setup = Setup::start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", setup.landscape.pid())).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    let limits: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(limits, ["0", "0"], "{core}");
}

/// Sends secrets by every way; the right ones and some wrong ones. Gives the data keys that came back.
async fn use_secrets(setup: &Setup, written: &mut Vec<(String, Vec<u8>)>) -> Vec<Vec<u8>> {
    let client = setup.client();
    let path = service_path(SAMPLE);
    let mut data_keys = Vec::new();
    for name in REGIONS {
        let core = client.core(only(name));
        let (plaintext, aad) = (PLAINTEXT.as_bytes(), Some(AAD.as_bytes()));
        let sealed = core.encrypt(&path, plaintext, aad).await.expect("it encrypts").answer.ciphertext;
        core.decrypt(&path, &sealed, aad).await.expect("it decrypts");
        core.rewrap(&path, &sealed, aad).await.expect("it rewraps");
        core.decrypt(&path, &sealed, None).await.expect_err("the additional data is missing");
        core.decrypt(&path, PLAINTEXT, aad).await.expect_err("it is no ciphertext");
        let key = core.datakey(&path, 32).await.expect("a data key").answer;
        core.decrypt(&path, &key.ciphertext, None).await.expect("it opens");
        data_keys.push(key.plaintext.to_vec());
        core.rotate(&KeyPath::Service(path.clone())).await.expect("it rotates");
    }
    wrong_requests(setup, &client).await;
    for (arguments, input) in [
        (&["encrypt", SAMPLE][..], CONTENT),
        (&["encrypt", SAMPLE, "--raw", "--aad", AAD], CONTENT),
        (&["encrypt", "demo/app/none", "--no-wait"], CONTENT),
    ] {
        let mut child = setup
            .command(arguments)
            .env("RUST_LOG", "trace")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may have refused already.
        let _ = stdin.write_all(input.repeat(1_000).as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        written.push((format!("what {arguments:?} printed"), output.stdout));
        written.push((format!("what {arguments:?} said"), output.stderr));
    }
    data_keys
}

/// Secrets in requests that are refused, each at another place on the way.
async fn wrong_requests(setup: &Setup, client: &Client) {
    let core = &client.landscape().regions[0].url;
    let token = setup.token();
    for (target, body) in [
        ("encrypt", json!({ "plaintext": PLAINTEXT, "aad": AAD })),
        ("encrypt", json!({ PLAINTEXT: AAD })),
        ("decrypt", json!({ "ciphertext": format!("kcm1.{}", STANDARD.encode(PLAINTEXT)) })),
        ("datakey", json!({ "bytes": PLAINTEXT })),
        ("nothing", json!(PLAINTEXT)),
    ] {
        let request = Request::new("POST", &format!("/v1/keys/{SAMPLE}/{target}")).json(body.to_string());
        assert!(request.token(&token).send(core).await.status >= 400, "{target} was not refused");
    }
    // The right token in wrong places.
    let misplaced = Request::new("GET", "/v1/status").header("authorization", &format!("Basic {token}"));
    assert_eq!(misplaced.send(core).await.status, 401);
    let doubled = Request::new("GET", "/v1/status").token(&token).token(&token);
    assert_eq!(doubled.send(core).await.status, 401);
}

/// What each component answers to those who watch it.
async fn answers(setup: &Setup) -> Vec<(String, Vec<u8>)> {
    let landscape = setup.client().landscape().clone();
    let mut answers = Vec::new();
    let cores = landscape.regions.iter().map(|region| &region.url);
    for url in [&landscape.registry, &landscape.cmk].into_iter().chain(cores) {
        for target in ["/metrics", "/readyz", "/openapi.json", "/v1/status", "/v1/tenants/demo"] {
            let answer = Request::new("GET", target).token(&setup.token()).send(url).await;
            answers.push((format!("{url}{target}"), answer.body));
        }
    }
    answers
}

/// Searches every file below the landscape's directory, and what else was written.
fn search(setup: &Setup, secrets: &[Secret], written: &[(String, Vec<u8>)]) {
    let mut files = Vec::new();
    list(setup.landscape.directory(), &mut files);
    let stores = files.iter().filter(|path| path.extension().is_some_and(|kind| kind == "db")).count();
    assert!(stores >= 5, "the stores were not found: {files:?}");
    let mut names_seen = false;
    for path in &files {
        let bytes = fs::read(path).expect("a file of the landscape");
        names_seen |= find(&bytes, b"demo");
        let place = path.display().to_string();
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        for secret in secrets.iter().filter(|secret| secret.home.as_deref() != Some(&name)) {
            secret.assert_not_in(&place, &bytes);
        }
    }
    assert!(names_seen, "not even a tenant's name was found, so the search proves nothing");
    for (place, bytes) in written {
        for secret in secrets {
            secret.assert_not_in(place, bytes);
        }
    }
}

impl Secret {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![bytes.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        // In the middle of a longer text, base64 depends on where it begins; its edges mix with the neighbours.
        for skip in 0..3 {
            let whole = bytes.len().saturating_sub(skip) / 3 * 3;
            let inner = &bytes[skip..skip + whole];
            forms.push(STANDARD_NO_PAD.encode(inner).into_bytes());
            forms.push(URL_SAFE_NO_PAD.encode(inner).into_bytes());
        }
        // As Rust shows bytes.
        let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
        forms.push(list.join(", ").into_bytes());
        Self { name: name.to_owned(), forms, home: None }
    }

    fn at_home_in(self, file: &str) -> Self {
        Self { home: Some(file.to_owned()), ..self }
    }

    fn assert_not_in(&self, place: &str, bytes: &[u8]) {
        for form in &self.forms {
            assert!(!find(bytes, form), "{} is in {place}, as {}", self.name, String::from_utf8_lossy(form));
        }
    }
}

/// The keys that have files of their own: the components' signing keys, and the root that is a file.
fn key_files(directory: &Path) -> Vec<Secret> {
    let mut files = Vec::new();
    list(&directory.join("keys"), &mut files);
    let seeds = files.iter().map(|path| {
        let seed = STANDARD.decode(fs::read_to_string(path).expect("a seed").trim()).expect("base64");
        (path, seed)
    });
    let root = directory.join("local-roots/demo.key");
    let text = fs::read_to_string(&root).expect("the sample's root");
    let hex = text.trim().rsplit(|character: char| !character.is_ascii_hexdigit()).next().expect("a key");
    let key = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal"));
    let key: Vec<u8> = key.collect();
    let all: Vec<(&PathBuf, Vec<u8>)> = seeds.chain([(&root, key)]).collect();
    assert!(all.len() == 5 && all.iter().all(|(_, key)| key.len() == 32), "the keys were not found");
    let secret = |(path, key): &(&PathBuf, Vec<u8>)| {
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        Secret::new(&name, key).at_home_in(&name)
    };
    all.iter().map(secret).collect()
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the landscape") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}

/// Whether `part` is somewhere in `bytes`.
fn find(bytes: &[u8], part: &[u8]) -> bool {
    let Some((first, rest)) = part.split_first() else { return false };
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        if bytes[from + at + 1..].starts_with(rest) {
            return true;
        }
        from += at + 1;
    }
    false
}
