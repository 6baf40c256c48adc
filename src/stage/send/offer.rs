//! Reads an offer, and writes the answer.
//!
//! The connection gets the offer without what it shall not take: other codecs,
//! further sections, candidates that we don't use. So its answer has one codec
//! a stream; what was left out comes back into the answer as refused.

use super::OfferError;
use super::section::{Chosen, Section, attribute, direction, transport, values};

/// Sections of an offer that are read.
const SECTIONS: usize = 16;

/// Which way the media of a connection goes, in the words of either side.
#[derive(Clone, Copy, Debug)]
struct Way {
    theirs: &'static str,
    ours: &'static str,
}

/// To a viewer.
const OUT: Way = Way {
    theirs: "recvonly",
    ours: "sendonly",
};
/// From who publishes.
const IN: Way = Way {
    theirs: "sendonly",
    ours: "recvonly",
};

/// An offer that we can answer.
#[derive(Debug)]
pub(super) struct Offer {
    /// What the connection gets to read.
    pub(super) sdp: String,
    /// Per section what the answer says instead, or `None` for a kept one.
    refused: Vec<Option<String>>,
    way: Way,
}

/// What a viewer wants.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The offer.
    pub(super) offer: Offer,
    /// The pictures.
    pub(super) video: Chosen,
    /// The sound, unless the viewer wants none or no Opus.
    pub(super) audio: Option<Chosen>,
}

/// What somebody publishes.
#[derive(Debug)]
pub(super) struct Brought {
    /// The offer.
    pub(super) offer: Offer,
    /// The voice.
    pub(super) audio: Chosen,
}

impl Wanted {
    /// Reads a viewer's offer.
    pub(super) fn read(sdp: &str) -> Result<Self, OfferError> {
        let sections = Sections::read(sdp)?;
        let wanted = |kind| sections.of(kind, OUT);
        if wanted("video").next().is_none() {
            return Err(OfferError::NoVideo);
        }
        let (at, video) = wanted("video")
            .find_map(|(n, s)| Some((n, s.h264()?)))
            .or_else(|| wanted("video").find_map(|(n, s)| Some((n, s.vp8()?))))
            .ok_or(OfferError::NoCodec)?;
        // Everything goes over one transport, so sound must be in its bundle.
        let audio = wanted("audio")
            .filter(|(n, _)| sections.bundled(at, *n))
            .find_map(|(n, s)| Some((n, s.opus()?)));
        let mut kept = vec![(at, &video)];
        kept.extend(audio.as_ref().map(|(n, chosen)| (*n, chosen)));
        Ok(Self {
            offer: sections.keep(kept, OUT)?,
            video,
            audio: audio.map(|(_, chosen)| chosen),
        })
    }
}

impl Brought {
    /// Reads the offer of who publishes. Pictures that it brings are refused.
    pub(super) fn read(sdp: &str) -> Result<Self, OfferError> {
        let sections = Sections::read(sdp)?;
        let brought = || sections.of("audio", IN);
        if brought().next().is_none() {
            return Err(OfferError::NoVoice);
        }
        let (at, audio) = brought()
            .find_map(|(n, s)| Some((n, s.opus()?)))
            .ok_or(OfferError::NoOpus)?;
        Ok(Self {
            offer: sections.keep(vec![(at, &audio)], IN)?,
            audio,
        })
    }
}

impl Offer {
    /// The answer: the connection's own, with the port's
    /// `candidates` in place of its label, and with the refused sections.
    pub(super) fn answer(&self, ours: &str, candidates: &[String]) -> String {
        let mut parts = split(ours).into_iter();
        let mut lines: Vec<String> = Vec::new();
        lines.extend(
            parts
                .next()
                .unwrap_or_default()
                .iter()
                .map(|l| (*l).to_owned()),
        );
        let mut first = true;
        for refused in &self.refused {
            if let Some(refusal) = refused {
                lines.push(refusal.clone());
                continue;
            }
            for line in parts.next().unwrap_or_default() {
                if line.starts_with("a=candidate") || line.starts_with("a=end-of-candidates") {
                    continue;
                }
                lines.push(match direction(line) {
                    Some(_) => format!("a={}", self.way.ours),
                    None => line.to_owned(),
                });
            }
            // The transport is that of the first section in the bundle.
            if std::mem::take(&mut first) {
                lines.extend(candidates.iter().map(|c| format!("a=candidate:{c}")));
                lines.push("a=end-of-candidates".to_owned());
            }
        }
        joined(&lines)
    }
}

/// The offer as it is.
struct Sections<'a> {
    session: Vec<&'a str>,
    sections: Vec<Section<'a>>,
}

impl<'a> Sections<'a> {
    fn read(sdp: &'a str) -> Result<Self, OfferError> {
        let mut parts = split(sdp);
        if !parts[0].starts_with(&["v=0"]) {
            return Err(broken("it is not SDP: it must begin with v=0"));
        }
        let sections = parts.split_off(1);
        let session = parts.remove(0);
        if sections.len() > SECTIONS {
            return Err(broken("it has too many sections"));
        }
        let sections: Vec<Section> = sections.into_iter().map(Section::new).collect();
        for needed in ["ice-ufrag", "ice-pwd", "fingerprint"] {
            let in_session = attribute(&session, needed).is_some();
            if !in_session && !sections.iter().any(|s| s.value(needed).is_some()) {
                return Err(OfferError::Broken(format!("a={needed} is missing")));
            }
        }
        Ok(Self { session, sections })
    }

    /// The sections of `kind` whose media goes this way, and their numbers.
    fn of(&self, kind: &str, way: Way) -> impl Iterator<Item = (usize, &Section<'a>)> {
        let of_kind = self.sections.iter().enumerate();
        of_kind.filter(move |(_, s)| s.kind == kind && s.goes(way.theirs, &self.session))
    }

    /// The sections that share a transport with section `n`.
    fn bundle(&self, n: usize) -> Option<&'a str> {
        let mid = self.mid(n).unwrap_or_default();
        values(&self.session, "group")
            .filter_map(|group| group.strip_prefix("BUNDLE"))
            .find(|group| group.split_whitespace().any(|m| m == mid))
    }

    fn bundled(&self, with: usize, n: usize) -> bool {
        let mid = self.mid(n).unwrap_or_default();
        let bundle = self.bundle(with);
        bundle.is_some_and(|group| group.split_whitespace().any(|m| m == mid))
    }

    fn mid(&self, n: usize) -> Option<&'a str> {
        self.sections[n].value("mid")
    }

    /// The offer with nothing but what was chosen of the `kept` sections, all of
    /// one transport.
    fn keep(&self, mut kept: Vec<(usize, &Chosen)>, way: Way) -> Result<Offer, OfferError> {
        kept.sort_by_key(|(n, _)| *n);
        if kept.iter().any(|(n, _)| self.mid(*n).is_none()) {
            return Err(broken("a=mid is missing"));
        }
        let mut lines: Vec<String> = Vec::new();
        let session = self.session.iter();
        let session = session.filter(|line| match line.strip_prefix("a=") {
            Some(attribute) => transport(attribute),
            None => true,
        });
        lines.extend(session.map(|line| (*line).to_owned()));
        if self.bundle(kept[0].0).is_some() {
            let mids = kept.iter().filter_map(|(n, _)| self.mid(*n));
            lines.push(format!(
                "a=group:BUNDLE {}",
                mids.collect::<Vec<_>>().join(" ")
            ));
        }
        for (n, chosen) in &kept {
            self.sections[*n].keep(chosen, way.theirs, &mut lines);
        }
        let refused = self.sections.iter().enumerate().map(|(n, section)| {
            let kept = kept.iter().any(|(at, _)| n == *at);
            (!kept).then(|| section.refusal())
        });
        Ok(Offer {
            sdp: joined(&lines),
            refused: refused.collect(),
            way,
        })
    }
}

fn broken(what: &str) -> OfferError {
    OfferError::Broken(what.to_owned())
}

/// The other side's half of the binding requests' user name in `sdp`.
pub(super) fn ufrag(sdp: &str) -> Option<&str> {
    sdp.lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
}

/// The session's lines, then each section's.
fn split(sdp: &str) -> Vec<Vec<&str>> {
    let mut parts = vec![Vec::new()];
    for line in sdp
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
    {
        if line.starts_with("m=") {
            parts.push(Vec::new());
        }
        parts.last_mut().expect("there is a first").push(line);
    }
    parts
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

#[cfg(test)]
pub(super) mod tests;
