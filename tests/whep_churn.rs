//! Viewers who come and go, alone in a process whose descriptors are counted.

#[path = "whep/client.rs"]
mod client;
#[path = "whep/http.rs"]
mod http;
#[path = "whep/server.rs"]
mod server;

use std::time::Duration;

use client::Client;
use server::{Server, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_come_and_go_without_a_trace() {
    let server = Server::start(config(), None).await;
    // Once before counting: what is made once stays.
    come_and_go(&server, 2).await;
    let before = settled().await;
    come_and_go(&server, 50).await;
    assert_eq!(settled_like(before).await, before);
    assert_eq!(server.viewers.count("live"), 0);
}

async fn come_and_go(server: &Server, times: usize) {
    for n in 0..times {
        let client = Client::watching(server.addr).await;
        if n % 2 == 0 {
            assert_eq!(client.leave().await.status, 200);
        }
        client.close().await;
    }
    while server.viewers.count("live") > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Tasks and descriptors of this process's test.
fn held() -> (usize, usize) {
    let tasks = tokio::runtime::Handle::current().metrics();
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    (tasks.num_alive_tasks(), files)
}

async fn settled() -> (usize, usize) {
    let mut last = held();
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        last = last.min(held());
    }
    last
}

async fn settled_like(wanted: (usize, usize)) -> (usize, usize) {
    for _ in 0..300 {
        if held() == wanted {
            return wanted;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    held()
}
