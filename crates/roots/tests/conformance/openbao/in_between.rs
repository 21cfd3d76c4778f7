//! Something that stands between us and the server, or poses as it: it can hinder, and not deny.

use openkcm_roots::{Roots, TransitConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::customer::{bao_key, roots_at};
use crate::customer::{CANARY, binding, plaintext};
use crate::suite::assert_refused;

/// Answers every connection with the same bytes; gives the address.
async fn answering(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            // One request's head is enough to answer it.
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn roots(address: String) -> (Roots, TempDir) {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), "s.canary-token").unwrap();
    let config = TransitConfig { address, token_file: Some("token".into()), ..TransitConfig::default() };
    (roots_at(&home, config), home)
}

#[tokio::test]
async fn a_proxy_that_refuses_in_its_own_words_is_no_denial() {
    let key = bao_key("transit/acme");
    for status in [
        "400 Bad Request",
        "403 Forbidden",
        "404 Not Found",
        "407 Proxy Authentication Required",
        "502 Bad Gateway",
    ] {
        let page = answer(status, "", "<html>permission denied</html>");
        let (roots, _home) = roots(answering(page).await);
        assert_refused!(roots.probe(&key, &binding()).await, Unreachable);
        assert_refused!(roots.unseal(&key, &binding(), b"kcmR\x01\x02\0\0\0\x01raw").await, Unreachable);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("location: http://{}/\r\n", elsewhere.local_addr().unwrap());
    let (roots, _home) = roots(answering(answer("307 Temporary Redirect", &location, "")).await);
    assert_refused!(roots.probe(&bao_key("transit/acme"), &binding()).await, Misconfigured);
    // Nobody has knocked: accepting has to wait.
    let knocked = std::pin::pin!(elsewhere.accept());
    assert!(matches!(poll_once(knocked).await, std::task::Poll::Pending));
}

async fn poll_once<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> std::task::Poll<T> {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn what_echoes_a_secret_is_not_repeated() {
    let secret = String::from_utf8_lossy(CANARY).into_owned();
    let words = format!("{{\"errors\":[\"unknown thing {secret} s.canary-token Y2FuYXJ5\"]}}");
    for status in ["400 Bad Request", "403 Forbidden", "404 Not Found", "500 Internal Server Error"] {
        let (roots, _home) = roots(answering(answer(status, "", &words)).await);
        let error = roots.seal(&bao_key("transit/acme"), &binding(), &plaintext()).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&secret) && !shown.contains("canary-token"), "{shown}");
        assert!(!shown.contains("Y2FuYXJ5"), "{shown}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let endless = answer("200 OK", "", &"x".repeat(2 * 1024 * 1024));
    let (roots, _home) = roots(answering(endless).await);
    assert_refused!(roots.describe(&bao_key("transit/acme")).await, Unreachable);
}

#[tokio::test]
async fn what_is_no_server_of_this_kind_is_misconfigured() {
    let (roots, _home) = roots(answering(answer("200 OK", "", "<html>welcome</html>")).await);
    assert_refused!(roots.describe(&bao_key("transit/acme")).await, Misconfigured);
    assert_refused!(roots.seal(&bao_key("transit/acme"), &binding(), &plaintext()).await, Misconfigured);
}
