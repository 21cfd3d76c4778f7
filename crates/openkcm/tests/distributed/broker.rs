//! The broker as those see it who hold a credential for it: each user of the landscape, and one who may
//! look at all streams.
//!
//! What a test does here is what a component, or whoever stole its files, could do. Nothing is said or read for the
//! components' own work.

use std::collections::BTreeMap;
use std::path::Path;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::{Client, ConnectOptions, HeaderMap, jetstream};
use futures_util::StreamExt as _;
use openkcm_harness::{Distributed, LOOKER};
use openkcm_orbital::Message;

/// A word as a stream keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) subject: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Word {
    /// One of the author's headers.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers))
    }
}

impl From<Message> for Word {
    fn from(message: Message) -> Self {
        let Message { address, headers, body } = message;
        Self { subject: address.to_string(), headers, body: body.to_vec() }
    }
}

/// A connection under the identity of a component.
pub(crate) async fn connect(landscape: &Distributed, user: &str) -> Client {
    let seed = landscape.directory().join(format!("keys/{user}.nk"));
    let seed = std::fs::read_to_string(seed).expect("an NKey");
    let options = ConnectOptions::with_nkey(seed.trim().to_owned());
    secured(landscape, user, options.custom_inbox_prefix(format!("_INBOX_{user}"))).await
}

/// A connection to the account that owns the streams, of one who may do all there.
pub(crate) async fn look(landscape: &Distributed) -> Client {
    let options = ConnectOptions::with_user_and_password(LOOKER.into(), LOOKER.into());
    secured(landscape, "registry", options).await
}

async fn secured(landscape: &Distributed, certificate: &str, options: ConnectOptions) -> Client {
    let tls = landscape.directory().join("tls");
    let (chain, key) = (tls.join(format!("{certificate}.pem")), tls.join(format!("{certificate}.key")));
    options
        .require_tls(true)
        .add_root_certificates(tls.join("ca.pem"))
        .add_client_certificate(chain, key)
        .connect(landscape.nats().url())
        .await
        .expect("the broker lets its users in")
}

/// Says a word whatever stands there, and waits until its stream holds it.
pub(crate) async fn say(client: &Client, word: impl Into<Word>) {
    let answer = try_to_say(client, word).await;
    assert!(answer.contains("\"seq\""), "the stream did not take it: {answer}");
}

/// Says a word, and gives the stream's answer.
pub(crate) async fn try_to_say(client: &Client, word: impl Into<Word>) -> String {
    let Word { subject, headers, body } = word.into();
    let mut sent = HeaderMap::new();
    for (name, value) in &headers {
        sent.insert(name.as_str(), value.as_str());
    }
    let answer = client.request_with_headers(subject, sent, body.into()).await.expect("the broker answers");
    String::from_utf8_lossy(&answer.payload).into_owned()
}

/// The last word on a subject, as the looker sees it; none where none was ever said.
pub(crate) async fn last_word(looker: &Client, stream: &str, subject: &str) -> Option<Word> {
    let streams = jetstream::new(looker.clone());
    let stream = streams.get_stream(stream).await.expect("the looker may look at streams");
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => {
            let headers = headers(&message.headers);
            Some(Word { subject: subject.to_owned(), headers, body: message.payload.to_vec() })
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => None,
        Err(error) => panic!("{subject}: {error}"),
    }
}

/// All words of a stream in their order, as the looker sees them; the broker's runs are no words.
pub(crate) async fn words(looker: &Client, stream: &str) -> Vec<Word> {
    let streams = jetstream::new(looker.clone());
    let mut stream = streams.get_stream(stream).await.expect("the looker may look at streams");
    let mut left = stream.info().await.expect("the looker may look").state.messages;
    let consumer = stream.create_consumer(pull::Config { ack_policy: AckPolicy::None, ..Default::default() });
    let mut messages = consumer.await.expect("the looker may read").messages().await.expect("messages");
    let mut words = Vec::new();
    while left > 0 {
        let message = messages.next().await.expect("as many as there are").expect("a message");
        left -= 1;
        let headers = message.headers.as_ref().map(headers).unwrap_or_default();
        let (subject, body) = (message.subject.to_string(), message.payload.to_vec());
        if !subject.ends_with(".run") {
            words.push(Word { subject, headers, body });
        }
    }
    words
}

fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let named = headers.iter().filter(|(name, _)| !AsRef::<str>::as_ref(*name).starts_with("Nats-"));
    named.filter_map(|(name, values)| Some((name.to_string(), values.last()?.as_str().to_owned()))).collect()
}

/// A signing seed of the landscape.
pub(crate) fn seed(home: &Path, component: &str) -> String {
    std::fs::read_to_string(home.join(format!("keys/{component}.seed"))).expect("a seed")
}
