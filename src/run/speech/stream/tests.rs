use super::*;
use crate::run::speech::{Config, Spoken, Voice};

const RATE: u32 = 16_000;
/// Samples of a chunk at [`RATE`].
const CHUNK: usize = (RATE / FPS) as usize;

fn queue() -> (Speech, Voice) {
    Speech::start(&Config::default()).expect("a thread")
}

/// The chunks that come until there is none for a while that a decoder never takes.
fn hear(voice: &mut Voice, until: impl Fn(&[Spoken]) -> bool) -> Vec<Spoken> {
    let mut heard = Vec::new();
    let late = Instant::now() + Duration::from_secs(20);
    while !until(&heard) {
        match voice.try_next() {
            Some(spoken) => heard.push(spoken),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(Instant::now() < late, "{} chunks came", heard.len());
    }
    heard
}

/// Until as many utterances are over.
fn utterances(n: usize) -> impl Fn(&[Spoken]) -> bool {
    move |heard| heard.iter().filter(|spoken| spoken.last).count() == n
}

fn numbers(heard: &[Spoken]) -> Vec<u64> {
    let mut numbers: Vec<u64> = heard.iter().map(|spoken| spoken.utterance).collect();
    numbers.dedup();
    numbers
}

#[tokio::test]
async fn a_segment_is_spoken_whole_in_chunks_of_its_rate() {
    for rate in [16_000, 24_000, 48_000] {
        let (speech, mut voice) = queue();
        let mut stream = speech.open(rate).expect("a place");
        // Not in whole chunks, and not in equal parts.
        let samples = rate as usize * 3 / 2 + 7;
        let mut sent = 0;
        while sent < samples {
            let part = [8_192; 997];
            let part = &part[..part.len().min(samples - sent)];
            sent += stream.write(part).await.expect("room");
        }
        stream.end();
        let heard = hear(&mut voice, utterances(1));
        // 1.5 s and seven samples are 37.5 chunks.
        assert_eq!((heard.len(), numbers(&heard)), (38, vec![1]), "{rate}");
        for spoken in &heard[1..36] {
            let off = |sample: &f32| (sample - 0.25).abs() > 0.01;
            assert!(!spoken.chunk.sound.iter().any(off), "no gap at {rate}");
            assert!(!spoken.chunk.speech.iter().any(off), "no gap at {rate}");
        }
        assert!(heard[..37].iter().all(|spoken| !spoken.last));
        assert_eq!((speech.queued(), speech.utterances()), (Duration::ZERO, 0));
    }
}

#[tokio::test]
async fn talk_begins_before_the_segment_ends() {
    let (speech, mut voice) = queue();
    let mut stream = speech.open(RATE).expect("a place");
    stream.write(&[1; CHUNK * 4]).await.expect("room");
    let late = Instant::now() + Duration::from_secs(20);
    while !voice.ready(3) {
        assert!(Instant::now() < late, "three of four chunks are complete");
        std::thread::yield_now();
    }
    let first = voice.try_next().expect("it is ready");
    assert!(first.chunk.accepted.is_some() && !first.last);
}

#[tokio::test]
async fn utterances_are_spoken_in_the_order_of_their_first_sound() {
    let (speech, mut voice) = queue();
    let mut one = speech.open(RATE).expect("a place");
    let mut other = speech.open(48_000).expect("a place");
    // Opened first, but heard second.
    other.write(&[1; 4_800]).await.expect("room");
    one.write(&[1; 1_600]).await.expect("room");
    assert_eq!((other.utterance(), one.utterance()), (Some(1), Some(2)));
    // What was begun goes on in its own place.
    other.write(&[1; 4_800]).await.expect("room");
    one.end();
    other.end();
    one.write(&[1; 1_600]).await.expect("room");
    assert_eq!(one.utterance(), Some(3));
    drop(one);
    let heard = hear(&mut voice, utterances(3));
    assert_eq!(numbers(&heard), [1, 2, 3]);
    // 200 ms, 100 ms, 100 ms.
    assert_eq!(heard.len(), 5 + 3 + 3);
}

#[tokio::test]
async fn who_is_too_fast_is_held_at_ten_seconds() {
    let (speech, mut voice) = queue();
    let mut stream = speech.open(RATE).expect("a place");
    let minute = vec![1; RATE as usize * 60];
    let mut taken = 0;
    // The decoder goes some way ahead of the voice.
    loop {
        let more = stream.try_write(&minute[taken..]).expect("open");
        taken += more;
        if more == 0 && stream.buffered() == BUFFER {
            std::thread::sleep(Duration::from_millis(20));
            let more = stream.try_write(&minute[taken..]).expect("open");
            taken += more;
            if more == 0 {
                break;
            }
        }
        std::thread::yield_now();
    }
    let queued = speech.queued();
    assert!(
        queued >= BUFFER && queued <= BUFFER + FRAMES_AHEAD,
        "{queued:?}"
    );
    // Room comes with the playing, and nothing is lost or doubled.
    let playing = std::thread::spawn(move || hear(&mut voice, utterances(1)).len());
    while taken < minute.len() {
        taken += stream.write(&minute[taken..]).await.expect("open");
        assert!(stream.buffered() <= BUFFER);
    }
    stream.end();
    assert_eq!(playing.join().expect("it plays"), 60 * FPS as usize);
}

/// What the decoder holds beyond the stream's own buffer.
const FRAMES_AHEAD: Duration = Duration::from_millis(40 * 24);

#[tokio::test]
async fn a_clear_takes_the_rest_of_what_it_cut_with_it() {
    let (speech, mut voice) = queue();
    let mut stream = speech.open(RATE).expect("a place");
    stream.write(&[1; CHUNK * 100]).await.expect("room");
    hear(&mut voice, |heard| heard.len() == 3);
    assert_eq!(speech.clear().utterances, 1..2);
    assert!(voice.try_next().is_none() && stream.buffered().is_zero());
    // This is still of the utterance that was cut.
    let rest = [1; CHUNK * 100];
    assert_eq!(stream.write(&rest).await.expect("open"), rest.len());
    assert_eq!((speech.queued(), speech.utterances()), (Duration::ZERO, 0));
    stream.end();
    stream.write(&[1; CHUNK * 2]).await.expect("room");
    stream.end();
    let heard = hear(&mut voice, utterances(1));
    assert_eq!((numbers(&heard), heard.len()), (vec![2], 2));
    // What had ended before the clear is cut, and costs the next one nothing.
    stream.write(&[1; CHUNK]).await.expect("room");
    stream.end();
    speech.clear();
    stream.write(&[1; CHUNK]).await.expect("room");
    assert_eq!(stream.utterance(), Some(4));
}

#[tokio::test]
async fn who_waits_for_room_is_told_of_a_clear_and_of_the_end() {
    let (speech, voice) = queue();
    let mut stream = speech.open(RATE).expect("a place");
    let much = vec![1; RATE as usize * 20];
    let full = async |stream: &mut Stream| {
        while stream.try_write(&much).expect("open") > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    full(&mut stream).await;
    let waiting = tokio::spawn(async move {
        let taken = stream.write(&[1; CHUNK]).await;
        (stream, taken.expect("open"))
    });
    tokio::task::yield_now().await;
    speech.clear();
    let (mut stream, taken) = waiting.await.expect("it waited");
    assert_eq!(taken, CHUNK, "thrown away");
    stream.end();
    full(&mut stream).await;
    let waiting = tokio::spawn(async move { stream.write(&[1; CHUNK]).await });
    tokio::task::yield_now().await;
    drop(voice);
    let refused = waiting.await.expect("it waited");
    assert!(matches!(refused, Err(PushError::Ended)));
    assert!(matches!(speech.open(RATE), Err(PushError::Ended)));
}

#[tokio::test]
async fn who_falls_silent_keeps_nobody_waiting_for_long() {
    let (speech, mut voice) = queue();
    let mut silent = speech.open(RATE).expect("a place");
    let mut other = speech.open(RATE).expect("a place");
    silent.write(&[1; CHUNK]).await.expect("room");
    other.write(&[1; CHUNK]).await.expect("room");
    other.end();
    let heard = hear(&mut voice, utterances(2));
    assert_eq!(numbers(&heard), [1, 2]);
    // What comes now is another utterance, and nothing was cut.
    silent.write(&[1; CHUNK]).await.expect("room");
    assert_eq!(silent.utterance(), Some(3));
}

#[test]
fn places_are_few_and_given_back() {
    let (speech, _voice) = queue();
    let taken: Vec<_> = (0..MOST_STREAMS).map(|_| speech.open(RATE)).collect();
    assert!(taken.iter().all(Result::is_ok));
    assert!(matches!(speech.open(RATE), Err(PushError::Streams)));
    drop(taken);
    assert!(speech.open(RATE).is_ok());
    assert!(matches!(speech.open(7), Err(PushError::NotSound(_))));
}

#[tokio::test]
async fn who_makes_speech_is_told_when_it_is_silenced_and_only_then() {
    use std::task::{Context, Poll, Waker};
    let mut nobody = Context::from_waker(Waker::noop());
    let (speech, voice) = Speech::by_hand();
    let mut stream = speech.open(RATE).expect("a place");
    let mut silenced = Box::pin(stream.silenced());
    stream.write(&[1; CHUNK]).await.expect("room");
    stream.end();
    assert_eq!(silenced.as_mut().poll(&mut nobody), Poll::Pending);
    speech.clear();
    silenced.await;
    stream.silenced().await;
    let stream = speech.open(RATE).expect("a place");
    let mut silenced = Box::pin(stream.silenced());
    assert_eq!(
        silenced.as_mut().poll(&mut nobody),
        Poll::Pending,
        "what was before"
    );
    drop(voice);
    silenced.await;
}
