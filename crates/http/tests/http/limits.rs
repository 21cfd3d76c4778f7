//! What a stranger can grow has a limit: bodies, heads, time and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::routing::get;
use openkcm_http::{BindError, MANAGEMENT_BODY_BYTES, bind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Running, TOKEN, access, hear, options, routes};

const SEAL: &str = "/v1/keys/acme/hr/seal";

fn head(path: &str, length: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n{length}\r\n\r\n")
}

#[tokio::test]
async fn an_oversized_body_is_refused_when_it_is_announced() {
    let server = Running::start(options()).await;
    // Not a byte of it is sent, and the answer comes all the same.
    let length = format!("content-length: {}", MANAGEMENT_BODY_BYTES + 1);
    let heard = server.raw(head(SEAL, &length).as_bytes()).await;
    assert_eq!((heard.status, heard.code().as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn the_refusal_arrives_though_the_caller_was_still_sending() {
    let server = Running::start(options()).await;
    let body = vec![b' '; 3 * 1024 * 1024];
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let length = format!("content-length: {}", body.len());
    stream.write_all(head(SEAL, &length).as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    assert_eq!(hear(stream).await.code(), "body_too_large");
}

#[tokio::test]
async fn an_oversized_body_in_chunks_is_refused_where_it_passes_the_limit() {
    let server = Running::start(options()).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(head(SEAL, "transfer-encoding: chunked").as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    for _ in 0..=MANAGEMENT_BODY_BYTES / 0x1000 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    // The last chunk is never sent.
    assert_eq!(hear(stream).await.code(), "body_too_large");
}

#[tokio::test]
async fn a_router_may_read_more_than_its_service() {
    let server = Running::start(options()).await;
    let body = format!("{}{{}}", " ".repeat(2 * MANAGEMENT_BODY_BYTES));
    assert_eq!(server.send("POST", "/v1/large", &[], &body).await.status, 200);
    let body = " ".repeat(openkcm_http::DATA_PLANE_BODY_BYTES + 1);
    assert_eq!(server.send("POST", "/v1/large", &[], &body).await.code(), "body_too_large");
}

#[tokio::test]
async fn a_connection_whose_head_does_not_come_is_closed() {
    let mut options = options();
    options.connections.head_timeout = Duration::from_millis(20);
    let server = Running::start(options).await;
    for beginning in ["", "GET /v1/things HT", "GET /v1/things HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // An end or a reset: what matters is that the connection does not stay.
        stream.read_to_end(&mut answer).await.ok();
        assert_eq!(answer, b"", "{beginning:?}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let server = Running::start(options()).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(33 * 1024));
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(hear(stream).await.status, 431);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_told_to_come_again() {
    let mut options = options();
    options.request_timeout = Duration::from_millis(20);
    let server = Running::start(options).await;
    let heard = server.get("/v1/hang").await;
    assert_eq!((heard.status, heard.code().as_str()), (408, "request_timeout"));
    assert!(heard.header("retry-after").is_some());
    // The body's arrival counts too.
    let heard = server.raw(format!("{}{{", head(SEAL, "content-length: 9")).as_bytes()).await;
    assert_eq!(heard.code(), "request_timeout");
}

#[tokio::test]
async fn no_more_connections_are_served_at_a_time_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (now, most) = (now.clone(), most.clone());
        async move || {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
        }
    };
    let mut options = options();
    options.connections.connections = 2;
    let (router, openapi) = routes();
    let server = Running::start_with(router.route("/v1/count", get(handler)), &openapi, options).await;
    let server = Arc::new(server);
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.get("/v1/count").await.status })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), 200);
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_token_opens_nothing_beyond_loopback() {
    for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let error = bind(addr.parse().unwrap(), &access()).await.unwrap_err();
        assert!(matches!(error, BindError::NotLoopback { .. }), "{addr}");
        assert!(error.to_string().contains("TLS"));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let first = bind("127.0.0.1:0".parse().unwrap(), &access()).await.unwrap();
    let error = bind(first.local_addr().unwrap(), &access()).await.unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }));
    assert!(error.to_string().contains("choose another port"));
}
