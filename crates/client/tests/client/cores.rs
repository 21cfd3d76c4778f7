//! Cores that serve or refuse as a test wants, and count who asks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use openkcm_client::Client;
use openkcm_contracts::placement;
use openkcm_contracts::problem::Code;
use openkcm_host::ManualClock;
use openkcm_http::{Base64, Problem, WipedJson};
use serde_json::json;
use tokio::sync::Notify;

use crate::harness::{client_in_time, component, nobody};

pub(crate) const VERSION: &str = "0e4fd0b1-8f3a-4f1e-9a57-0c6d8ab6a0f5";

/// What a Core does with every request of the data plane.
#[derive(Clone)]
pub(crate) enum Mood {
    /// Serves.
    Serves,
    /// Refuses with this code, and asks for so many seconds where the code allows that.
    Refuses(Code, u64),
    /// Keeps each request until it is told to go on, then serves.
    Waits(Arc<Notify>),
}

/// A Core of a test.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    mood: Mood,
    /// The tenant's regions, as it tells them.
    tells: Option<&'static str>,
    /// The paths that were asked for, in order.
    asked: Vec<String>,
}

impl Core {
    pub(crate) async fn new(mood: Mood) -> Self {
        let state = Arc::new(Mutex::new(State { mood, tells: None, asked: Vec::new() }));
        let answers = state.clone();
        let answer = async move |uri: Uri| {
            let (mood, tells) = {
                let mut state = answers.lock().unwrap();
                state.asked.push(uri.path().to_owned());
                (state.mood.clone(), state.tells)
            };
            answer(mood, tells).await
        };
        let routes = Router::new().route("/v1/keys/{*path}", post(answer));
        Self { addr: component(routes).await, state }
    }

    pub(crate) async fn serving() -> Self {
        Self::new(Mood::Serves).await
    }

    /// Refuses for now, and asks for no time.
    pub(crate) async fn refusing(code: Code) -> Self {
        Self::new(Mood::Refuses(code, 0)).await
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// From now on it tells the tenant's regions so.
    pub(crate) fn tell(&self, regions: &'static str) {
        self.state.lock().unwrap().tells = Some(regions);
    }

    /// How often it was asked since this was asked last.
    pub(crate) fn asked(&self) -> usize {
        std::mem::take(&mut self.state.lock().unwrap().asked).len()
    }
}

async fn answer(mood: Mood, tells: Option<&'static str>) -> Response {
    let mut headers = HeaderMap::new();
    if let Some(regions) = tells {
        headers.insert(placement::HEADER, HeaderValue::from_static(regions));
    }
    match mood {
        Mood::Refuses(code, secs) => {
            let problem = Problem::new(code, "refused by the test").retry_after(Duration::from_secs(secs));
            return (headers, problem).into_response();
        }
        Mood::Waits(go) => go.notified().await,
        Mood::Serves => {}
    }
    let plaintext = Base64::from(&[7; 32][..]);
    let body = json!({"ciphertext": "kcm1.x", "plaintext": plaintext, "version": VERSION});
    (headers, WipedJson(body)).into_response()
}

/// A client of these regions, on this clock.
pub(crate) async fn client(clock: &ManualClock, regions: &[(&str, &Core)]) -> Client {
    let regions: Vec<_> = regions.iter().map(|(name, core)| (*name, core.addr)).collect();
    client_in_time(clock, nobody().await, &regions)
}
