//! How often an address may ask: a bucket each, which fills at the rate that is
//! configured and gives a token to every request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Seconds of the rate that may come at once: a page and all that it loads, for each
/// of a household, or a script that was waiting.
const BURST_S: f64 = 10.0;
/// Addresses that are told apart: some 300 kB. Those beyond share one bucket.
const ADDRESSES: usize = 4_096;
/// How often to look whose bucket is full again, who is then as good as unknown.
const SWEEP: Duration = Duration::from_secs(1);

/// The buckets.
pub(super) struct Rates {
    per_s: f64,
    buckets: HashMap<IpAddr, Bucket>,
    others: Bucket,
    swept: Instant,
}

impl Rates {
    /// Admits `per_s` requests a second from each address.
    pub fn new(per_s: u32, now: Instant) -> Self {
        let per_s = f64::from(per_s);
        Self {
            per_s,
            buckets: HashMap::new(),
            others: Bucket::full(per_s, now),
            swept: now,
        }
    }

    /// Takes a token of `from`, which is a [`network`].
    ///
    /// # Errors
    ///
    /// When there will be one, if there is none.
    pub fn admit(&mut self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let per_s = self.per_s;
        if self.buckets.len() >= ADDRESSES && !self.buckets.contains_key(&from) {
            if now.duration_since(self.swept) >= SWEEP {
                self.swept = now;
                self.buckets.retain(|_, bucket| !bucket.is_full(per_s, now));
            }
            if self.buckets.len() >= ADDRESSES {
                return self.others.take(per_s, now);
            }
        }
        let bucket = self.buckets.entry(from);
        bucket
            .or_insert_with(|| Bucket::full(per_s, now))
            .take(per_s, now)
    }
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(per_s: f64, at: Instant) -> Self {
        let tokens = per_s * BURST_S;
        Self { tokens, at }
    }

    fn tokens(&self, per_s: f64, now: Instant) -> f64 {
        let since = now.duration_since(self.at).as_secs_f64();
        (self.tokens + since * per_s).min(per_s * BURST_S)
    }

    fn is_full(&self, per_s: f64, now: Instant) -> bool {
        self.tokens(per_s, now) >= per_s * BURST_S
    }

    fn take(&mut self, per_s: f64, now: Instant) -> Result<(), Duration> {
        let tokens = self.tokens(per_s, now);
        (self.tokens, self.at) = (tokens, now);
        if tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - tokens) / per_s));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

/// Whose an address is: an IPv6 one is its network's, of which everybody has 2^64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let begun = Instant::now();
        let mut rates = Rates::new(5, begun);
        for _ in 0..50 {
            assert_eq!(rates.admit(address(1), begun), Ok(()));
        }
        let wait = rates.admit(address(1), begun).expect_err("all are gone");
        assert_eq!(wait, Duration::from_millis(200));
        assert_eq!(rates.admit(address(2), begun), Ok(()), "another's is full");
        // An hour of twice the rate.
        let mut taken = 0;
        for n in 1..=3_600 * 10 {
            let now = begun + Duration::from_millis(100) * n;
            taken += u32::from(rates.admit(address(1), now).is_ok());
        }
        assert!((3_600 * 5 - 1..=3_600 * 5).contains(&taken), "{taken}");
    }

    #[test]
    fn many_addresses_are_bounded_and_those_who_were_known_stay_so() {
        let begun = Instant::now();
        let mut rates = Rates::new(1, begun);
        for n in 0..ADDRESSES as u32 {
            rates.admit(address(n), begun).expect("a full bucket");
        }
        let beyond = (0..100).filter(|n| rates.admit(address(1 << 30 | n), begun).is_ok());
        assert_eq!(beyond.count(), 10, "they share one bucket");
        assert_eq!(rates.admit(address(7), begun), Ok(()));
        assert_eq!(rates.buckets.len(), ADDRESSES);
        // All but one are full again, and forgotten.
        let later = begun + SWEEP;
        assert_eq!(rates.admit(address(1 << 31), later), Ok(()));
        assert_eq!(rates.buckets.len(), 2);
    }

    #[test]
    fn an_ipv6_address_is_its_networks() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
