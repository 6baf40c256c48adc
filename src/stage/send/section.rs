//! One section of an offer: what it has, and what is taken of it.

use crate::media::Codec;

/// Candidates that are tried: each costs packets to an address that the other
/// side chose.
pub(super) const CANDIDATES: usize = 16;

/// A codec as it was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The codec.
    pub(super) codec: Codec,
    /// Its number in this offer.
    pub(super) payload_type: u8,
    /// Its parameters in this offer.
    pub(super) parameters: String,
    /// The number of its retransmissions.
    pub(super) retransmission: Option<u8>,
}

/// One section of an offer.
pub(super) struct Section<'a> {
    /// What it is about: `audio`, `video` …
    pub(super) kind: &'a str,
    refused: bool,
    protocol: &'a str,
    formats: Vec<&'a str>,
    lines: Vec<&'a str>,
}

impl<'a> Section<'a> {
    /// `lines` begin with the section's `m=`.
    pub(super) fn new(lines: Vec<&'a str>) -> Self {
        let mut words = lines[0]["m=".len()..].split_whitespace();
        let kind = words.next().unwrap_or_default();
        let port = words.next();
        let bundle_only = lines.contains(&"a=bundle-only");
        Self {
            kind,
            refused: port == Some("0") && !bundle_only,
            protocol: words.next().unwrap_or_default(),
            formats: words.collect(),
            lines,
        }
    }

    /// The value of the attribute `name`.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        attribute(&self.lines, name)
    }

    /// Whether media may go here as the direction `way` says.
    pub(super) fn goes(&self, way: &str, session: &[&str]) -> bool {
        let direction = self.lines.iter().chain(session).find_map(|l| direction(l));
        let wanted = direction.is_none_or(|direction| direction == "sendrecv" || direction == way);
        wanted && !self.refused && self.protocol.contains("SAVP")
    }

    /// The codec `name` under each of its numbers, in the offer's order.
    fn codecs(&self, codec: Codec, name: &str) -> impl Iterator<Item = Chosen> {
        let numbers = self.formats.iter().filter(move |number| {
            let map = self.of_format("rtpmap", number).unwrap_or_default();
            map.eq_ignore_ascii_case(name)
        });
        numbers.filter_map(move |number| {
            let retransmission = self.formats.iter().find(|rtx| {
                let map = self.of_format("rtpmap", rtx).unwrap_or_default();
                let parameters = self.of_format("fmtp", rtx).unwrap_or_default();
                map.eq_ignore_ascii_case("rtx/90000")
                    && parameter(parameters, "apt") == Some(number)
            });
            Some(Chosen {
                codec,
                payload_type: number.parse().ok().filter(|number| *number < 128)?,
                parameters: self
                    .of_format("fmtp", number)
                    .unwrap_or_default()
                    .to_owned(),
                retransmission: retransmission.and_then(|number| number.parse().ok()),
            })
        })
    }

    /// The H.264 that fits our constrained baseline best.
    pub(super) fn h264(&self) -> Option<Chosen> {
        let fitness = |chosen: &Chosen| {
            let mode = parameter(&chosen.parameters, "packetization-mode");
            let profile = parameter(&chosen.parameters, "profile-level-id").unwrap_or("42");
            let profile = profile.to_ascii_lowercase();
            // Who decodes a larger profile decodes ours too.
            let profile = ["42e0", "42c0", "42", "4d", "64"]
                .iter()
                .position(|known| profile.starts_with(known))?;
            Some((mode != Some("1"), profile))
        };
        self.codecs(Codec::H264, "H264/90000")
            .filter_map(|chosen| Some((fitness(&chosen)?, chosen)))
            .min_by_key(|(fitness, _)| *fitness)
            .map(|(_, chosen)| chosen)
    }

    /// VP8.
    pub(super) fn vp8(&self) -> Option<Chosen> {
        self.codecs(Codec::Vp8, "VP8/90000").next()
    }

    /// Opus.
    pub(super) fn opus(&self) -> Option<Chosen> {
        let usual = self.codecs(Codec::Opus, "opus/48000/2").next();
        usual.or_else(|| self.codecs(Codec::Opus, "opus/48000").next())
    }

    /// The value of `a=name:number value`.
    fn of_format(&self, name: &str, number: &str) -> Option<&'a str> {
        values(&self.lines, name).find_map(|value| {
            let (of, value) = value.split_once(' ')?;
            (of == number).then_some(value.trim())
        })
    }

    /// Writes the section with nothing but `chosen`, and in the direction `way`.
    pub(super) fn keep(&self, chosen: &Chosen, way: &str, lines: &mut Vec<String>) {
        let mut numbers = vec![chosen.payload_type.to_string()];
        numbers.extend(chosen.retransmission.map(|number| number.to_string()));
        lines.push(format!(
            "m={} 9 {} {}",
            self.kind,
            self.protocol,
            numbers.join(" ")
        ));
        let mut candidates = 0;
        for line in &self.lines[1..] {
            let Some(attribute) = line.strip_prefix("a=") else {
                lines.push((*line).to_owned());
                continue;
            };
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            let number = value.split(' ').next().unwrap_or_default();
            let kept = match name {
                "rtpmap" | "fmtp" => numbers.iter().any(|kept| kept == number),
                "rtcp-fb" => number == "*" || numbers.iter().any(|kept| kept == number),
                "candidate" => {
                    candidates += usize::from(usable(value));
                    candidates <= CANDIDATES && usable(value)
                }
                "mid" | "rtcp-mux" | "rtcp-rsize" | "end-of-candidates" => true,
                _ => transport(attribute),
            };
            if kept {
                lines.push((*line).to_owned());
            }
        }
        lines.push(format!("a={way}"));
    }

    /// What the answer has in this section's place.
    pub(super) fn refusal(&self) -> String {
        let format = self.formats.first().unwrap_or(&"0");
        let mut refusal = format!("m={} 0 {} {format}\r\n", self.kind, self.protocol);
        refusal += "c=IN IP4 0.0.0.0\r\n";
        if let Some(mid) = self.value("mid") {
            refusal += &format!("a=mid:{mid}\r\n");
        }
        refusal + "a=inactive"
    }
}

/// Whether an attribute is about the transport: kept wherever it stands.
pub(super) fn transport(attribute: &str) -> bool {
    let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
    match name {
        // The connection knows no other hash.
        "fingerprint" => value.to_ascii_lowercase().starts_with("sha-256 "),
        name => matches!(
            name,
            "ice-ufrag" | "ice-pwd" | "ice-options" | "ice-lite" | "setup"
        ),
    }
}

/// Whether a connection of ours could use this candidate: UDP and IPv4.
pub(super) fn usable(candidate: &str) -> bool {
    let mut words = candidate.split_whitespace().skip(2);
    let udp = words.next().is_some_and(|p| p.eq_ignore_ascii_case("udp"));
    let address = words.nth(1).unwrap_or_default();
    udp && address.parse::<std::net::Ipv4Addr>().is_ok()
}

/// The values of the attribute `name`.
pub(super) fn values<'a>(lines: &[&'a str], name: &str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| {
        let value = line.strip_prefix("a=")?.strip_prefix(name)?;
        value.strip_prefix(':')
    })
}

/// The value of the attribute `name`.
pub(super) fn attribute<'a>(lines: &[&'a str], name: &str) -> Option<&'a str> {
    values(lines, name).next()
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let pairs = parameters
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .next()
}

/// The direction that an attribute's line is.
pub(super) fn direction(line: &str) -> Option<&str> {
    let name = line.strip_prefix("a=")?;
    ["sendrecv", "recvonly", "sendonly", "inactive"]
        .contains(&name)
        .then_some(name)
}
