//! The addresses under which viewers may find the port.
//!
//! The host's own, those that the configuration announces, and those that a
//! STUN server sees. The servers are asked from the port itself, once for all
//! viewers, so that nobody who joins has to wait for them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Mutex;
use std::time::Duration;

use rtc::shared::ifaces::ifaces;
use tokio::net::lookup_host;

use super::stun::{self, Transaction};
use super::{Config, Error, lock};

/// How often names are looked up and servers asked: routers forget a UDP
/// mapping that was silent for 30 seconds.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(20);

/// Own addresses announced at most: a host full of container bridges has
/// dozens, and every one costs the viewer checks.
const OWN: usize = 12;

/// What is known of the port's addresses.
#[derive(Debug)]
pub(super) struct Outside {
    announce: Vec<String>,
    servers: Vec<String>,
    transaction: Transaction,
    announced: Mutex<Vec<Ipv4Addr>>,
    seen: Mutex<Option<SocketAddrV4>>,
}

impl Outside {
    /// Looks up the names that `config` announces.
    pub(super) async fn new(config: &Config) -> Result<Self, Error> {
        let mut announced = Vec::new();
        for name in &config.announce {
            let found = resolve(name).await;
            announced.extend(found.map_err(|source| Error::Announce {
                name: name.clone(),
                source,
            })?);
        }
        let servers = config.stun.iter().map(|url| host_and_port(url));
        Ok(Self {
            announce: config.announce.clone(),
            servers: servers.collect(),
            transaction: rand::random(),
            announced: Mutex::new(announced),
            seen: Mutex::new(None),
        })
    }

    /// Looks up the names again; returns the questions to put to servers.
    pub(super) async fn ask(&self) -> Vec<(SocketAddr, [u8; 20])> {
        let mut announced = Vec::new();
        for name in &self.announce {
            announced.extend(resolve(name).await.into_iter().flatten());
        }
        // A name server that is away for a moment doesn't make us unreachable.
        if !announced.is_empty() {
            *lock(&self.announced) = announced;
        }
        let mut questions = Vec::new();
        for server in &self.servers {
            let found = lookup_host(server).await.into_iter().flatten();
            let server = found.into_iter().find(SocketAddr::is_ipv4);
            questions.extend(server.map(|addr| (addr, stun::question(self.transaction))));
        }
        questions
    }

    /// Takes a server's answer. Whether `datagram` was one.
    pub(super) fn heard(&self, datagram: &[u8]) -> bool {
        let seen = stun::seen_at(datagram, self.transaction);
        if seen.is_some() {
            *lock(&self.seen) = seen;
        }
        seen.is_some()
    }

    /// Candidates for `port`, best first.
    pub(super) fn candidates(&self, port: u16) -> Vec<String> {
        let mut hosts = own_addresses();
        for ip in lock(&self.announced).iter() {
            if !hosts.contains(ip) {
                hosts.push(*ip);
            }
        }
        // A browser on this machine needs it; for the others it is the last.
        hosts.push(Ipv4Addr::LOCALHOST);
        let seen = lock(&self.seen).filter(|seen| !hosts.contains(seen.ip()));
        let hosts = hosts.into_iter().enumerate().map(|(n, ip)| {
            let priority = priority(126, n);
            format!("{} 1 udp {priority} {ip} {port} typ host", n + 1)
        });
        let seen = seen.into_iter().map(|seen| {
            let (ip, port) = (seen.ip(), seen.port());
            let priority = priority(100, 0);
            format!("99 1 udp {priority} {ip} {port} typ srflx raddr 0.0.0.0 rport 0")
        });
        hosts.chain(seen).collect()
    }
}

/// RFC 8445, 5.1.2.1, for the only component.
fn priority(type_preference: u32, n: usize) -> u32 {
    (type_preference << 24) + ((65_535 - n as u32) << 8) + 255
}

/// The host's IPv4 addresses that another machine could reach.
fn own_addresses() -> Vec<Ipv4Addr> {
    let mut own = Vec::new();
    for interface in ifaces().into_iter().flatten() {
        let Some(IpAddr::V4(ip)) = interface.addr.map(|addr| addr.ip()) else {
            continue;
        };
        let reachable = !ip.is_loopback() && !ip.is_unspecified() && !ip.is_link_local();
        if reachable && !own.contains(&ip) && own.len() < OWN {
            own.push(ip);
        }
    }
    own
}

async fn resolve(name: &str) -> io::Result<Vec<Ipv4Addr>> {
    let found = lookup_host((name, 0)).await?;
    let found: Vec<Ipv4Addr> = found
        .filter_map(|addr| match addr.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
        .collect();
    if found.is_empty() {
        return Err(io::Error::other("it has no IPv4 address"));
    }
    Ok(found)
}

/// `stun:host[:port][?…]` as `host:port`.
fn host_and_port(url: &str) -> String {
    let address = url.split_once(':').map_or(url, |(_, address)| address);
    let address = address.split('?').next().unwrap_or(address);
    if address.contains(':') {
        address.to_owned()
    } else {
        format!("{address}:3478")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn announcing(name: &str) -> Result<Outside, Error> {
        let config = Config {
            announce: vec![name.to_owned()],
            ..Config::default()
        };
        Outside::new(&config).await
    }

    #[tokio::test]
    async fn announced_addresses_are_candidates_beside_our_own() {
        let outside = announcing("203.0.113.7").await.expect("an address");
        let candidates = outside.candidates(8189);
        let all = candidates.join("\n");
        assert!(all.contains(" 203.0.113.7 8189 typ host"), "{all}");
        assert!(candidates.last().expect("one").contains(" 127.0.0.1 8189"));
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_told_at_the_start() {
        let outside = announcing("no.such.host.invalid").await;
        let sentence = outside.expect_err("there is none").to_string();
        assert!(sentence.contains("no.such.host.invalid"), "{sentence}");
        assert!(sentence.contains("media.announce"), "{sentence}");
    }

    #[test]
    fn a_server_without_a_port_has_the_usual_one() {
        assert_eq!(host_and_port("stun:a.example"), "a.example:3478");
        assert_eq!(host_and_port("stun:a.example:19302"), "a.example:19302");
    }

    #[tokio::test]
    async fn where_a_server_sees_us_is_a_candidate() {
        let outside = Outside::new(&Config::default())
            .await
            .expect("nothing to look up");
        *lock(&outside.seen) = Some(SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 40_000));
        let last = outside.candidates(8189).pop().expect("one");
        assert!(last.contains("198.51.100.1 40000 typ srflx"), "{last}");
    }
}
