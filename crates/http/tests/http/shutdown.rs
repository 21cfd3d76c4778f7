//! The end of a service: what has begun may end, and nothing holds it up for ever.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use crate::harness::{Running, options, routes};

#[tokio::test]
async fn a_request_that_has_begun_is_answered_before_the_server_ends() {
    let (entered, released) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let handler = {
        let (entered, released) = (entered.clone(), released.clone());
        async move || {
            entered.add_permits(1);
            released.notified().await;
            "done"
        }
    };
    let (router, openapi) = routes();
    let router = router.route("/v1/wait", get(handler));
    let server = Running::start_with(router, &openapi, options()).await;
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let caller = tokio::spawn(crate::harness::call(stream, "/v1/wait"));
    entered.acquire().await.unwrap().forget();
    let ended = server.stop();
    released.notify_one();
    assert_eq!(caller.await.unwrap().body, "done");
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_dropped_at_the_deadline() {
    let mut options = options();
    options.connections.drain = Duration::from_millis(20);
    let server = Running::start(options).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    crate::harness::ask(&mut stream, "/v1/hang").await;
    server.stop().await.unwrap().unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let server = Running::start(options()).await;
    let idle = TcpStream::connect(server.addr).await.unwrap();
    assert_eq!(server.get("/v1/things").await.status, 200);
    let ended = server.stop();
    drop(idle);
    ended.await.unwrap().unwrap();
}
