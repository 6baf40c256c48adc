//! Just enough HTTP.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut of_name = self.headers.iter().filter(|(key, _)| key == name);
        of_name.next().map(|(_, value)| value.as_str())
    }
}

/// Sends a request and reads the whole answer.
pub async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    head += body;
    let talk = move || {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        stream.write_all(head.as_bytes()).expect("sent whole");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("an answer");
        reply
    };
    let reply = tokio::task::spawn_blocking(talk).await.expect("it talks");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    Reply {
        status: status.expect("a status"),
        headers: headers.collect(),
        body: body.to_owned(),
    }
}

pub const SDP: (&str, &str) = ("Content-Type", "application/sdp");
pub const FRAGMENT: (&str, &str) = ("Content-Type", "application/trickle-ice-sdpfrag");
