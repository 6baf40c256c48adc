//! Viewers as they come: over HTTP and UDP, against a session on loopback.

mod client;
mod http;
mod server;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use client::{Client, Vanishing};
use http::SDP;
use mouthpiece::stage::send::{Config, Turn};
use server::{Server, config, moment};

/// Timestamps of `rate` from `from` to `to`, in seconds, at the payloads'
/// moments: what the payload says and what the header says agree.
fn assert_in_time(packets: &[rtc::rtp::Packet], rate: f64) {
    let marked = packets.iter().filter_map(|packet| {
        let whole = packet.header.marker || rate == 48_000.0;
        whole.then(|| (packet.header.timestamp, moment(&packet.payload)))
    });
    let all: Vec<(u32, Duration)> = marked
        .map(|(ticks, moment)| (ticks, moment.expect("its end")))
        .collect();
    let (first_ticks, first) = all[0];
    for (ticks, moment) in &all {
        let said = f64::from(ticks.wrapping_sub(first_ticks)) / rate;
        let meant = (*moment - first).as_secs_f64();
        assert!((said - meant).abs() < 1e-9, "{said} s for {meant} s");
    }
    for pair in packets.windows(2) {
        let [a, b] = [&pair[0].header, &pair[1].header];
        assert_eq!(b.sequence_number, a.sequence_number.wrapping_add(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_sees_and_hears_in_time() {
    let server = Server::start(config(), None).await;
    let mut client = Client::new(server.addr, Some("any")).await;
    let reply = client.join().await;
    for (name, value) in [
        ("content-type", "application/sdp"),
        ("accept-patch", "application/trickle-ice-sdpfrag"),
        ("access-control-allow-origin", "*"),
    ] {
        assert_eq!(reply.header(name), Some(value));
    }
    assert!(client.location.starts_with("/whep/live/"));
    assert_eq!(client.location.len(), "/whep/live/".len() + 32);
    let answer = &client.answer;
    assert!(answer.contains("a=group:BUNDLE 0 1"), "{answer}");
    assert_eq!(answer.matches("a=sendonly").count(), 2, "{answer}");
    assert_eq!(answer.matches("a=rtcp-mux").count(), 2, "{answer}");
    assert_eq!(answer.matches("a=msid:mouthpiece ").count(), 2, "{answer}");
    assert!(answer.contains("rtx/90000"), "{answer}");
    let here = format!("127.0.0.1 {} typ host", server.viewers.port());
    assert!(answer.contains(&here), "{answer}");

    client
        .until(|got| got.video.len() > 60 && got.audio.len() > 60 && got.reports.len() >= 4)
        .await;
    assert_eq!(server.viewers.count("live"), 1);
    {
        let got = client.got.borrow();
        let first = &got.video[0].payload;
        assert_eq!(
            first[0] & 0x1F,
            24,
            "parameter sets begin the first picture"
        );
        assert_in_time(&got.video, 90_000.0);
        assert_in_time(&got.audio, 48_000.0);

        // What the reports say about the same moment, for both streams.
        let zero = |packets: &[rtc::rtp::Packet], rate: f64| {
            let last = packets
                .iter()
                .rfind(|p| p.header.marker || rate == 48_000.0);
            let last = last.expect("a whole one");
            let report = got
                .reports
                .iter()
                .rfind(|report| report.ssrc == last.header.ssrc)
                .expect("a report on this stream");
            let ntp_s = report.ntp_time as f64 / 4_294_967_296.0;
            let ticks = report.rtp_time.wrapping_sub(last.header.timestamp) as i32;
            let pts = moment(&last.payload).expect("its end").as_secs_f64();
            ntp_s - (pts + f64::from(ticks) / rate)
        };
        let apart = zero(&got.video, 90_000.0) - zero(&got.audio, 48_000.0);
        assert!(apart.abs() < 0.005, "sound and picture are {apart} s apart");
    }
    assert!(server.stats.voice_latency.histogram().1 > 0);
    assert_eq!(server.stats.slow_viewers.get(), 0);

    assert_eq!(client.leave().await.status, 200);
    assert_eq!(server.viewers.count("live"), 0);
    client.until(|got| got.goodbyes == 1).await;
    client.hung_up().await;
    assert_eq!(client.leave().await.status, 404);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_picture_brings_a_key_frame() {
    let server = Server::start(config(), None).await;
    let mut client = Client::watching(server.addr).await;
    assert_eq!(server.keys.load(Relaxed), 1, "one to begin with");
    client.lose_picture().await;
    let parameters = |got: &client::Got| {
        let sets = got.video.iter().filter(|p| p.payload[0] & 0x1F == 24);
        sets.count()
    };
    client.until(|got| parameters(got) == 2).await;
    assert_eq!(server.keys.load(Relaxed), 2);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_packet_is_sent_again() {
    let server = Server::start(config(), None).await;
    let mut client = Client::watching(server.addr).await;
    // The end of a picture, which is like no other packet.
    client
        .until(|got| got.video.iter().any(|packet| packet.header.marker))
        .await;
    let lost = {
        let got = client.got.borrow();
        let end = got.video.iter().find(|packet| packet.header.marker);
        end.expect("a whole picture").clone()
    };
    client.lose_packet(lost.header.sequence_number).await;
    let again = |got: &client::Got| {
        let same = got.video.iter().filter(|packet| {
            let whole = packet.payload == lost.payload;
            whole || packet.payload.get(2..) == Some(&lost.payload)
        });
        same.count()
    };
    client.until(|got| again(got) == 2).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_falls_behind_goes_on_at_a_key_frame() {
    let server = Server::start(config(), None).await;
    let mut client = Client::watching(server.addr).await;
    server.burst();
    let before = client.got.borrow().video.len();
    client.until(|got| got.video.len() > before + 30).await;
    assert!(server.stats.slow_viewers.get() > 0);
    assert!(server.keys.load(Relaxed) > 1, "another one to go on with");
    assert_in_time(&client.got.borrow().video, 90_000.0);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vp8_comes_where_h264_does_not() {
    let server = Server::start(config(), None).await;
    let mut client = Client::new(server.addr, Some("any")).await;
    let offer = client.offer().await.replace("H264", "H265");
    let reply = http::send(server.addr, "POST", "/whep/live", &[SDP], &offer).await;
    client.take(&reply).await;
    client.until(|got| got.video.len() > 20).await;
    {
        let got = client.got.borrow();
        assert_eq!(got.video[0].payload[0] & 0x10, 0x10, "a VP8 picture begins");
        assert_in_time(&got.video, 90_000.0);
    }
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_may_come_later_and_in_every_players_manner() {
    let server = Server::start(config(), None).await;
    let mut client = Client::new(server.addr, Some("any")).await;
    let offer = client.offer().await;
    let lines = offer.split_inclusive("\r\n");
    let (later, now): (Vec<&str>, Vec<&str>) = lines.partition(|l| l.contains("candidate"));
    let reply = http::send(server.addr, "POST", "/whep/live", &[SDP], &now.concat()).await;
    client.take(&reply).await;
    let ufrag = now.iter().find(|line| line.starts_with("a=ice-ufrag"));
    let pwd = now.iter().find(|line| line.starts_with("a=ice-pwd"));
    let fragment = format!(
        "{}{}m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{}",
        ufrag.expect("credentials"),
        pwd.expect("credentials"),
        later.concat()
    );
    let etag = client.etag.clone();
    for headers in [
        &[][..],
        &[("If-Match", "*")],
        &[("If-Match", "\"*\"")],
        &[("If-Match", &etag)],
    ] {
        let reply = client.trickle(headers, &fragment).await;
        assert_eq!(reply.status, 204, "{headers:?}: {}", reply.body);
    }
    let stale = client
        .trickle(&[("If-Match", "\"other\"")], &fragment)
        .await;
    assert_eq!(stale.status, 412);
    assert_eq!(client.trickle(&[], "hello").await.status, 422);
    let unasked = client.trickle(&[], "a=ice-ufrag:new1\r\na=ice-pwd:secret\r\n");
    assert_eq!(unasked.await.status, 428);
    let other = http::send(server.addr, "PATCH", &client.location, &[SDP], &fragment);
    assert_eq!(other.await.status, 415);
    client.until(|got| got.video.len() > 10).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_the_stream() {
    let server = Server::start(config(), None).await;
    let mut client = Client::watching(server.addr).await;
    client.pc.restart_ice().await.expect("asked");
    let offer = client.offer().await;
    let told = ["a=ice-ufrag", "a=ice-pwd", "a=candidate"];
    let fragment: String = offer
        .split_inclusive("\r\n")
        .filter(|line| told.iter().any(|name| line.starts_with(name)))
        .collect();
    let reply = client.trickle(&[("If-Match", "*")], &fragment).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_ne!(reply.header("etag"), Some(&*client.etag));
    assert!(reply.body.contains("a=candidate:"), "{}", reply.body);

    let value = |name: &str| {
        let line = reply.body.lines().find(|line| line.starts_with(name));
        line.expect("new credentials").to_owned()
    };
    let answer: String = client
        .answer
        .lines()
        .map(|line| match line.split_once(':').map(|(name, _)| name) {
            Some(name @ ("a=ice-ufrag" | "a=ice-pwd")) => value(name) + "\r\n",
            _ => format!("{line}\r\n"),
        })
        .collect();
    assert_ne!(answer, client.answer);
    client.take_answer(answer).await;
    let before = client.got.borrow().video.len();
    client.until(|got| got.video.len() > before + 100).await;
    assert_eq!(server.viewers.count("live"), 1);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_offer_gets_its_answer() {
    let server = Server::start(config(), None).await;
    let mut client = Client::new(server.addr, Some("any")).await;
    let good = client.offer().await;
    let mut deaf = Client::new(server.addr, None).await;
    let no_video = deaf.offer().await;
    let huge = "v=0\r\n".repeat(2_000_000);
    let no_codec = good.replace("H264", "H265").replace("VP8", "VP9");
    let no_hash = good.replace("sha-256", "sha-1");
    let twice = format!("{good}{}", &good[good.find("m=").expect("a section")..]);
    let lying = good.replace("a=rtpmap:", "a=rtpmap:999999999999 ");
    for (status, path, offer) in [
        (422, "/whep/live", ""),
        (422, "/whep/live", "hello"),
        (422, "/whep/live", "v=0\r\n"),
        (413, "/whep/live", &huge),
        (422, "/whep/live", &no_video),
        (406, "/whep/live", &no_codec),
        (422, "/whep/live", &no_hash),
        (406, "/whep/live", &lying),
        (404, "/whep/other", &good),
        (409, "/whep/waiting", &good),
    ] {
        let reply = http::send(server.addr, "POST", path, &[SDP], offer).await;
        let start = &offer[..offer.len().min(20)];
        assert_eq!(reply.status, status, "{path} {start:?}: {}", reply.body);
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(reply.header("retry-after").is_some(), status == 409);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
    for mangled in [
        twice,
        good.replace("a=mid:0", "a=mid:1"),
        good.replace("a=setup:actpass", "a=setup:nonsense"),
        good.replace("a=ice-ufrag:", "a=ice-ufrag:\u{fffd}"),
        good.replace("UDP/TLS/RTP/SAVPF ", "UDP/TLS/RTP/SAVPF 300 -1 x "),
        good.replace("a=fmtp:", "a=fmtp:;;=;="),
        good.replace("typ host", "typ"),
        good.chars().filter(|c| *c != ' ').collect(),
    ] {
        let reply = http::send(server.addr, "POST", "/whep/live", &[SDP], &mangled).await;
        assert!((200..500).contains(&reply.status), "{}", reply.body);
    }
    let kind = ("Content-Type", "application/json");
    let reply = http::send(server.addr, "POST", "/whep/live", &[kind], &good).await;
    assert_eq!(reply.status, 415);
    let kind = ("Content-Type", "Application/SDP; charset=utf-8");
    let reply = http::send(server.addr, "POST", "/whep/live", &[kind], &good).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    client.take(&reply).await;
    client.until(|got| got.video.len() > 10).await;
    client.close().await;
    deaf.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seats_are_bounded_and_can_be_closed() {
    let one_seat = Config {
        max_viewers: 1,
        ..config()
    };
    let server = Server::start(one_seat, None).await;
    let mut first = Client::watching(server.addr).await;
    let mut second = Client::new(server.addr, Some("any")).await;
    let offer = second.offer().await;
    let full = http::send(server.addr, "POST", "/whep/live", &[SDP], &offer).await;
    assert_eq!(full.status, 503);
    assert!(full.header("retry-after").is_some());

    // The session ends: its viewer is told, and its seat is free.
    server.end_show();
    first.until(|got| got.goodbyes == 1).await;
    server.viewers.close_all().await;
    assert_eq!(server.viewers.count("live"), 0);
    first.close().await;
    second.close().await;

    let server = Server::start(config(), None).await;
    server.viewers.refuse(true);
    let refused = http::send(server.addr, "POST", "/whep/live", &[SDP], &offer).await;
    assert_eq!(refused.status, 503);
    server.viewers.refuse(false);
    let mut client = Client::watching(server.addr).await;
    server.viewers.close_all().await;
    client.until(|got| got.goodbyes == 1).await;
    assert_eq!(server.viewers.count("live"), 0);
    let stopped = http::send(server.addr, "POST", "/whep/live", &[SDP], &offer).await;
    assert_eq!(stopped.status, 503);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_guards_the_offer_and_a_preflight_tells_no_password() {
    let with_turn = Config {
        turn: vec![Turn {
            urls: vec!["turn:turn.example.org".to_owned()],
            username: "me".to_owned(),
            credential: "word".to_owned(),
        }],
        ..config()
    };
    let server = Server::start(with_turn, Some("secret")).await;
    let ask = |method, headers: &'static [(&'static str, &'static str)]| {
        http::send(server.addr, method, "/whep/live", headers, "")
    };
    let reply = ask("POST", &[SDP]).await;
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").is_some());
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    for good in ["Bearer secret", "secret"] {
        let headers = Box::leak(Box::new([SDP, ("Authorization", good)]));
        assert_eq!(ask("POST", headers).await.status, 422, "{good}");
    }
    let reply = ask("OPTIONS", &[]).await;
    assert_eq!((reply.status, reply.header("link")), (204, None));
    let reply = ask("OPTIONS", &[("Authorization", "Bearer secret")]).await;
    assert_eq!(reply.header("accept-post"), Some("application/sdp"));
    let link = reply.header("link").expect("the ICE servers");
    assert!(link.contains("credential-type=\"password\""), "{link}");
    assert!(reply.header("access-control-expose-headers").is_some());
    let reply = ask("GET", &[("Authorization", "secret")]).await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow"), Some("POST, OPTIONS"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanishes_and_who_never_comes_lose_their_seats() {
    let server = Server::start(config(), None).await;
    let mut absent = Client::new(server.addr, Some("any")).await;
    let offer = absent.offer().await;
    absent.close().await;
    let reply = http::send(server.addr, "POST", "/whep/live", &[SDP], &offer).await;
    assert_eq!(reply.status, 201);
    let vanishing = Vanishing::watching(server.addr).await;
    assert_eq!(server.viewers.count("live"), 2);
    vanishing.vanish();
    let start = tokio::time::Instant::now();
    while server.viewers.count("live") > 0 {
        assert!(start.elapsed() < Duration::from_secs(15), "still seated");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
