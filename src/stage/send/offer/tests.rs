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
    Wanted::read(offer).expect("an answerable offer").video
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
    let Wanted {
        offer,
        video,
        audio,
    } = Wanted::read(offer).expect("an answerable offer");
    assert_eq!(video.payload_type, 126);
    assert_eq!(video.retransmission, Some(127));
    assert_eq!(audio.map(|audio| audio.payload_type), Some(109));
    assert!(offer.sdp.contains("m=audio 9 UDP/TLS/RTP/SAVPF 109\r\n"));
    assert!(offer.sdp.contains("a=fingerprint:sha-256 00:11\r\n"));
    assert!(!offer.sdp.contains("sendrecv"));
}

#[test]
fn the_connection_reads_only_what_it_shall_take() {
    let offer = Wanted::read(BROWSER).expect("an answerable offer").offer;
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
    let offer = Wanted::read(BROWSER).expect("an answerable offer").offer;
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
    let silent = Wanted::read(&BROWSER.replace("opus", "G722")).expect("still pictures");
    assert_eq!(silent.audio, None);
    for wrong in [
        BROWSER.replace("m=video", "m=image"),
        BROWSER.replace("a=recvonly", "a=sendonly"),
        BROWSER.replace("m=video 9", "m=video 0"),
    ] {
        assert!(matches!(Wanted::read(&wrong), Err(OfferError::NoVideo)));
    }
    let none = BROWSER.replace("H264", "H265").replace("VP8", "VP9");
    assert!(matches!(Wanted::read(&none), Err(OfferError::NoCodec)));
}

#[test]
fn sound_outside_the_bundle_is_refused() {
    let offer = Wanted::read(&BROWSER.replace("BUNDLE 0 1 2", "BUNDLE 1 2"));
    let wanted = offer.expect("pictures are enough");
    assert_eq!(wanted.audio, None);
    assert!(wanted.offer.answer("", &[]).contains("m=audio 0 "));
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
        let sentence = Wanted::read(wrong).expect_err(why).to_string();
        assert!(sentence.contains(why), "{sentence}");
    }
}

#[test]
fn a_flood_of_candidates_is_cut() {
    let one = "a=candidate:1 1 udp 2113937151 192.0.2.1 50000 typ host\r\n";
    let offer = Wanted::read(&BROWSER.replace(one, &one.repeat(1_000)));
    let read = offer.expect("the rest is fine").offer.sdp;
    assert_eq!(read.matches("a=candidate").count(), CANDIDATES);
}

/// What OBS and browsers bring: a voice and pictures.
fn publisher() -> String {
    BROWSER.replace("a=recvonly", "a=sendonly")
}

#[test]
fn of_what_is_published_only_the_voice_is_taken() {
    let Brought { offer, audio } = Brought::read(&publisher()).expect("an answerable offer");
    assert_eq!((audio.codec, audio.payload_type), (Codec::Opus, 111));
    assert_eq!(audio.parameters, "minptime=10;useinbandfec=1");
    assert_eq!(offer.sdp.matches("m=").count(), 1, "{}", offer.sdp);
    assert!(offer.sdp.contains("a=group:BUNDLE 0\r\n"), "{}", offer.sdp);
    assert!(offer.sdp.ends_with("a=sendonly\r\n"), "{}", offer.sdp);
    let ours = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=recvonly\r\n";
    let answer = offer.answer(ours, &["1 1 udp 9 192.0.2.9 8189 typ host".into()]);
    assert_eq!(
        answer,
        "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=recvonly\r\n\
         a=candidate:1 1 udp 9 192.0.2.9 8189 typ host\r\na=end-of-candidates\r\n\
         m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=inactive\r\n\
         m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n\
         c=IN IP4 0.0.0.0\r\na=mid:2\r\na=inactive\r\n"
    );
}

#[test]
fn who_publishes_must_bring_a_voice_in_opus() {
    let both = publisher().replace("a=sendonly", "a=sendrecv");
    assert!(Brought::read(&both).is_ok());
    for wrong in [
        BROWSER,
        &publisher().replace("m=audio", "m=image"),
        &publisher().replace("m=audio 9", "m=audio 0"),
    ] {
        assert!(matches!(Brought::read(wrong), Err(OfferError::NoVoice)));
    }
    let other = publisher().replace("opus/", "G722/");
    assert!(matches!(Brought::read(&other), Err(OfferError::NoOpus)));
    assert!(matches!(Brought::read("v=0"), Err(OfferError::Broken(_))));
}
