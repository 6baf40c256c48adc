//! Reads a viewer's offer, and writes the answer.
//!
//! The connection gets the offer without what it shall not take: other codecs,
//! further sections, candidates that we don't use. So its answer has one codec
//! a stream; what was left out comes back into the answer as refused.

use super::OfferError;
use super::section::{Chosen, Section, attribute, direction, transport, values};

/// Sections of an offer that are read.
const SECTIONS: usize = 16;

/// An offer that we can answer.
#[derive(Debug)]
pub(super) struct Offer {
    /// What the connection gets to read.
    pub(super) sdp: String,
    /// The pictures.
    pub(super) video: Chosen,
    /// The sound, unless the viewer wants none or no Opus.
    pub(super) audio: Option<Chosen>,
    /// Per section what the answer says instead, or `None` for a kept one.
    refused: Vec<Option<String>>,
}

impl Offer {
    /// Reads `sdp`.
    pub(super) fn read(sdp: &str) -> Result<Self, OfferError> {
        let broken = |what: &str| OfferError::Broken(what.to_owned());
        let mut parts = split(sdp);
        if !parts[0].starts_with(&["v=0"]) {
            return Err(broken("it is not SDP: it must begin with v=0"));
        }
        let sections = parts.split_off(1);
        let session = &parts.remove(0)[..];
        if sections.len() > SECTIONS {
            return Err(broken("it has too many sections"));
        }
        let sections: Vec<Section> = sections.into_iter().map(Section::new).collect();
        for needed in ["ice-ufrag", "ice-pwd", "fingerprint"] {
            let in_session = attribute(session, needed).is_some();
            if !in_session && !sections.iter().any(|s| s.value(needed).is_some()) {
                return Err(OfferError::Broken(format!("a={needed} is missing")));
            }
        }

        let wanted = |kind| {
            let of_kind = sections.iter().enumerate();
            of_kind.filter(move |(_, s)| s.kind == kind && s.wants_media(session))
        };
        if wanted("video").next().is_none() {
            return Err(OfferError::NoVideo);
        }
        let (video_at, video) = wanted("video")
            .find_map(|(n, s)| Some((n, s.h264()?)))
            .or_else(|| wanted("video").find_map(|(n, s)| Some((n, s.vp8()?))))
            .ok_or(OfferError::NoCodec)?;
        let video_mid = sections[video_at].value("mid").unwrap_or_default();
        let bundle = values(session, "group")
            .filter_map(|group| group.strip_prefix("BUNDLE"))
            .find(|group| group.split_whitespace().any(|mid| mid == video_mid));
        // Everything goes over one transport, so sound must be in its bundle.
        let bundled = |section: &Section| {
            let mid = section.value("mid").unwrap_or_default();
            bundle.is_some_and(|group| group.split_whitespace().any(|m| m == mid))
        };
        let audio = wanted("audio")
            .filter(|(_, s)| bundled(s))
            .find_map(|(n, s)| Some((n, s.opus()?)));

        let mut kept = vec![(video_at, &video)];
        kept.extend(audio.as_ref().map(|(n, chosen)| (*n, chosen)));
        kept.sort_by_key(|(n, _)| *n);
        if kept
            .iter()
            .any(|(n, _)| sections[*n].value("mid").is_none())
        {
            return Err(broken("a=mid is missing"));
        }

        let mut lines: Vec<String> = Vec::new();
        let session = session.iter().filter(|line| match line.strip_prefix("a=") {
            Some(attribute) => transport(attribute),
            None => true,
        });
        lines.extend(session.map(|line| (*line).to_owned()));
        if bundle.is_some() {
            let mids = kept.iter().filter_map(|(n, _)| sections[*n].value("mid"));
            lines.push(format!(
                "a=group:BUNDLE {}",
                mids.collect::<Vec<_>>().join(" ")
            ));
        }
        for (n, chosen) in kept {
            sections[n].keep(chosen, &mut lines);
        }
        let refused = sections.iter().enumerate().map(|(n, section)| {
            let kept = n == video_at || audio.as_ref().is_some_and(|(at, _)| n == *at);
            (!kept).then(|| section.refusal())
        });
        Ok(Self {
            sdp: joined(&lines),
            refused: refused.collect(),
            video,
            audio: audio.map(|(_, chosen)| chosen),
        })
    }

    /// The answer for the viewer: the connection's own, with the port's
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
                    Some(_) => "a=sendonly".to_owned(),
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

/// The viewer's half of the binding requests' user name in `sdp`.
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
pub(super) mod tests {
    use super::*;
    use crate::media::Codec;
    use crate::stage::send::section::CANDIDATES;

    /// A browser's offer, shortened: sound, pictures in five codecs, data.
    pub(in crate::stage::send) const BROWSER: &str = "v=0\r
o=- 1 2 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=group:BUNDLE 0 1 2\r
a=extmap-allow-mixed\r
a=msid-semantic: WMS\r
m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r
c=IN IP4 0.0.0.0\r
a=candidate:1 1 udp 2113937151 192.0.2.1 50000 typ host\r
a=candidate:2 1 udp 2113937151 4a0c.local 50001 typ host\r
a=candidate:3 1 udp 2113937151 2001:db8::1 50002 typ host\r
a=candidate:4 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r
a=ice-ufrag:abcd\r
a=ice-pwd:0123456789012345678901\r
a=ice-options:trickle\r
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r
a=setup:actpass\r
a=mid:0\r
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r
a=recvonly\r
a=rtcp-mux\r
a=rtpmap:111 opus/48000/2\r
a=fmtp:111 minptime=10;useinbandfec=1\r
a=rtpmap:63 red/48000/2\r
a=fmtp:63 111/111\r
m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 109 114 45\r
c=IN IP4 0.0.0.0\r
a=ice-ufrag:abcd\r
a=ice-pwd:0123456789012345678901\r
a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r
a=fingerprint:sha-512 00:11\r
a=setup:actpass\r
a=mid:1\r
a=recvonly\r
a=rtcp-mux\r
a=rtcp-rsize\r
a=rtpmap:96 VP8/90000\r
a=rtcp-fb:96 nack pli\r
a=rtpmap:97 rtx/90000\r
a=fmtp:97 apt=96\r
a=rtpmap:103 H264/90000\r
a=rtcp-fb:103 nack\r
a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r
a=rtpmap:104 rtx/90000\r
a=fmtp:104 apt=103\r
a=rtpmap:109 H264/90000\r
a=rtcp-fb:109 nack\r
a=rtcp-fb:109 nack pli\r
a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r
a=rtpmap:114 rtx/90000\r
a=fmtp:114 apt=109\r
a=rtpmap:45 AV1/90000\r
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r
c=IN IP4 0.0.0.0\r
a=ice-ufrag:abcd\r
a=ice-pwd:0123456789012345678901\r
a=fingerprint:sha-256 00:11\r
a=setup:actpass\r
a=mid:2\r
a=sctp-port:5000\r
";

    fn chosen(offer: &str) -> Chosen {
        Offer::read(offer).expect("an answerable offer").video
    }

    #[test]
    fn constrained_baseline_is_the_first_choice() {
        let video = chosen(BROWSER);
        assert_eq!((video.codec, video.payload_type), (Codec::H264, 109));
        assert_eq!(video.retransmission, Some(114));
    }

    #[test]
    fn any_profile_that_contains_ours_will_do() {
        let without = BROWSER.replace("SAVPF 96 97 103 104 109 114 45", "SAVPF 96 97 103 104");
        for profile in ["42001f", "42C01F", "4d001f", "640c1f", "64001f"] {
            let offer = without.replace("42001f", profile);
            assert_eq!(chosen(&offer).payload_type, 103, "{profile}");
        }
        let hint = ";packetization-mode=1;profile-level-id=42001f";
        assert_eq!(chosen(&without.replace(hint, "")).payload_type, 103);
        let other = without.replace("42001f", "f4001f");
        assert_eq!(chosen(&other).codec, Codec::Vp8, "4:4:4 is another format");
    }

    #[test]
    fn vp8_is_for_who_has_no_h264() {
        let video = chosen(&BROWSER.replace("H264", "H265"));
        assert_eq!((video.codec, video.payload_type), (Codec::Vp8, 96));
    }

    /// Firefox names the transport once, and bundles sections of port 0.
    #[test]
    fn a_section_of_port_0_in_the_bundle_is_no_refusal() {
        let offer = "v=0\r\no=mozilla 1 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
            a=sendrecv\r\na=fingerprint:sha-256 00:11\r\na=group:BUNDLE 0 1\r\n\
            a=ice-options:trickle\r\na=msid-semantic:WMS *\r\n\
            m=video 56421 UDP/TLS/RTP/SAVPF 120 124 126 127 97 98\r\nc=IN IP4 192.0.2.1\r\n\
            a=recvonly\r\na=ice-pwd:0123\r\na=ice-ufrag:abcd\r\na=mid:0\r\n\
            a=fmtp:126 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1\r\n\
            a=fmtp:97 profile-level-id=42e01f;level-asymmetry-allowed=1\r\n\
            a=fmtp:120 max-fs=12288;max-fr=60\r\na=fmtp:127 apt=126\r\na=rtcp-mux\r\n\
            a=rtpmap:120 VP8/90000\r\na=rtpmap:124 rtx/90000\r\na=rtpmap:126 H264/90000\r\n\
            a=rtpmap:127 rtx/90000\r\na=rtpmap:97 H264/90000\r\na=rtpmap:98 rtx/90000\r\n\
            m=audio 0 UDP/TLS/RTP/SAVPF 109 9\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\n\
            a=bundle-only\r\na=ice-pwd:0123\r\na=ice-ufrag:abcd\r\na=mid:1\r\n\
            a=rtpmap:109 opus/48000/2\r\na=rtpmap:9 G722/8000/1\r\n";
        let offer = Offer::read(offer).expect("an answerable offer");
        assert_eq!(offer.video.payload_type, 126);
        assert_eq!(offer.video.retransmission, Some(127));
        assert_eq!(offer.audio.map(|audio| audio.payload_type), Some(109));
        assert!(offer.sdp.contains("m=audio 9 UDP/TLS/RTP/SAVPF 109\r\n"));
        assert!(offer.sdp.contains("a=fingerprint:sha-256 00:11\r\n"));
        assert!(!offer.sdp.contains("sendrecv"));
    }

    #[test]
    fn the_connection_reads_only_what_it_shall_take() {
        let offer = Offer::read(BROWSER).expect("an answerable offer");
        for kept in [
            "a=group:BUNDLE 0 1\r\n",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n",
            "m=video 9 UDP/TLS/RTP/SAVPF 109 114\r\n",
            "192.0.2.1 50000",
        ] {
            assert!(offer.sdp.contains(kept), "{kept} in\n{}", offer.sdp);
        }
        for gone in [
            "AV1",
            "rtpmap:96",
            "extmap",
            ".local",
            "2001:db8",
            " tcp ",
            "application",
        ] {
            assert!(!offer.sdp.contains(gone), "{gone} in\n{}", offer.sdp);
        }
    }

    #[test]
    fn the_answer_has_our_candidates_and_the_refused_sections() {
        let offer = Offer::read(BROWSER).expect("an answerable offer");
        let ours = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=sendrecv\r\n\
                    a=candidate:1 1 udp 1 127.0.0.1 40000 typ host\r\n\
                    m=video 9 X 109\r\na=mid:1\r\na=sendonly\r\n";
        let answer = offer.answer(ours, &["1 1 udp 9 192.0.2.9 8189 typ host".into()]);
        assert_eq!(
            answer,
            "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=sendonly\r\n\
             a=candidate:1 1 udp 9 192.0.2.9 8189 typ host\r\na=end-of-candidates\r\n\
             m=video 9 X 109\r\na=mid:1\r\na=sendonly\r\n\
             m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n\
             c=IN IP4 0.0.0.0\r\na=mid:2\r\na=inactive\r\n"
        );
    }

    #[test]
    fn sound_is_optional_and_pictures_are_not() {
        let silent = Offer::read(&BROWSER.replace("opus", "G722")).expect("still pictures");
        assert_eq!(silent.audio, None);
        for wrong in [
            BROWSER.replace("m=video", "m=image"),
            BROWSER.replace("a=recvonly", "a=sendonly"),
            BROWSER.replace("m=video 9", "m=video 0"),
        ] {
            assert!(matches!(Offer::read(&wrong), Err(OfferError::NoVideo)));
        }
        let none = BROWSER.replace("H264", "H265").replace("VP8", "VP9");
        assert!(matches!(Offer::read(&none), Err(OfferError::NoCodec)));
    }

    #[test]
    fn sound_outside_the_bundle_is_refused() {
        let offer = Offer::read(&BROWSER.replace("BUNDLE 0 1 2", "BUNDLE 1 2"));
        let offer = offer.expect("pictures are enough");
        assert_eq!(offer.audio, None);
        assert!(offer.answer("", &[]).contains("m=audio 0 "));
    }

    #[test]
    fn what_is_no_offer_is_told_why() {
        let many = format!(
            "{BROWSER}{}",
            "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(100)
        );
        for (wrong, why) in [
            ("", "v=0"),
            ("hello", "v=0"),
            ("v=0\r\ns=-\r\n", "ice-ufrag"),
            (&BROWSER.replace("a=ice-pwd", "a=x"), "ice-pwd"),
            (&BROWSER.replace("a=fingerprint", "a=x"), "fingerprint"),
            (&BROWSER.replace("a=mid", "a=x"), "mid"),
            (many.as_str(), "too many"),
        ] {
            let sentence = Offer::read(wrong).expect_err(why).to_string();
            assert!(sentence.contains(why), "{sentence}");
        }
    }

    #[test]
    fn a_flood_of_candidates_is_cut() {
        let one = "a=candidate:1 1 udp 2113937151 192.0.2.1 50000 typ host\r\n";
        let offer = Offer::read(&BROWSER.replace(one, &one.repeat(1_000)));
        let read = offer.expect("the rest is fine").sdp;
        assert_eq!(read.matches("a=candidate").count(), CANDIDATES);
    }
}
