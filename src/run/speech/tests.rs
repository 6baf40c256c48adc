use super::*;
use std::io::Write;

/// A WAV file in which every sample of utterance `n` is `n / 1000`.
fn utterance(n: u16, chunks: u32) -> File {
    let samples = chunks * 640;
    let mut wav = b"RIFF".to_vec();
    wav.extend_from_slice(&(samples * 2 + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
    wav.extend_from_slice(&(samples * 2).to_le_bytes());
    let value = (f32::from(n) / 1_000.0 * 32_768.0).round() as i16;
    wav.extend((0..samples).flat_map(|_| value.to_le_bytes()));
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&wav).expect("room on the disk");
    file
}

fn queue(queue_s: u64) -> (Speech, Voice) {
    let config = Config {
        queue_s,
        ..Config::default()
    };
    Speech::start(&config).expect("a thread")
}

/// What is said next, once it is decoded.
fn next(voice: &mut Voice) -> Spoken {
    loop {
        match voice.try_next() {
            Some(spoken) => return spoken,
            None => thread::yield_now(),
        }
    }
}

/// Pulls the utterance that comes next to its end: its number, its value, its chunks.
fn hear(voice: &mut Voice) -> (u64, u16, usize) {
    let mut heard = (0, 0, 0);
    loop {
        let Spoken {
            utterance,
            chunk,
            last,
        } = next(voice);
        assert!(heard.2 == 0 || utterance == heard.0, "{utterance}");
        let value = (chunk.speech[320] * 1_000.0).round() as u16;
        heard = (utterance, value, heard.2 + 1);
        if last {
            return heard;
        }
    }
}

#[test]
fn utterances_play_whole_and_in_order() {
    let (speech, mut voice) = queue(600);
    assert!(voice.try_next().is_none());
    for n in 1..=5_u16 {
        let accepted = speech.push(utterance(n, 30), None).expect("room");
        assert_eq!(accepted.utterance, u64::from(n));
        assert_eq!(accepted.duration, FRAME_PERIOD * 30);
        let before = FRAME_PERIOD * 30 * u32::from(n - 1);
        let off = accepted.queued.abs_diff(before);
        assert!(off <= FRAME_PERIOD, "{accepted:?}");
    }
    assert_eq!(speech.utterances(), 5);
    for n in 1..=5 {
        assert_eq!(hear(&mut voice), (u64::from(n), n, 30));
    }
    assert_eq!((speech.queued(), speech.utterances()), (Duration::ZERO, 0));
}

#[test]
fn only_speech_that_begins_at_once_says_when_it_was_accepted() {
    let (speech, mut voice) = queue(600);
    let before = Instant::now();
    speech.push(utterance(1, 3), None).expect("room");
    speech.push(utterance(2, 3), None).expect("room");
    let accepted: Vec<_> = (0..6).map(|_| next(&mut voice).chunk.accepted).collect();
    assert!(accepted[0].is_some_and(|at| at >= before));
    assert_eq!(accepted[1..], [None; 5]);
}

#[test]
fn a_full_queue_says_when_to_come_again_and_loses_nothing() {
    let (speech, mut voice) = queue(2);
    speech
        .push(utterance(1, 25), None)
        .expect("the first one always fits");
    speech
        .push(utterance(2, 25), None)
        .expect("two seconds fit");
    let full = speech
        .push(utterance(3, 25), None)
        .expect_err("three don't");
    assert!(
        full.to_string().contains("full; push this again in"),
        "{full}"
    );
    let PushError::Full { retry_after } = full else {
        panic!("{full}");
    };
    assert!((1..=2).contains(&retry_after.as_secs()), "{retry_after:?}");
    assert_eq!(hear(&mut voice), (1, 1, 25));
    speech.push(utterance(3, 25), None).expect("one is gone");
    assert_eq!(hear(&mut voice), (2, 2, 25));
    assert_eq!(hear(&mut voice), (3, 3, 25));
}

#[test]
fn an_empty_queue_takes_any_length_and_a_long_one_waits_for_it() {
    let (speech, mut voice) = queue(1);
    speech
        .push(utterance(1, 250), None)
        .expect("nothing else waits");
    let Err(PushError::Full { retry_after }) = speech.push(utterance(2, 250), None) else {
        panic!("ten seconds wait");
    };
    assert!(
        (10..=11).contains(&retry_after.as_secs()),
        "{retry_after:?}"
    );
    assert_eq!(hear(&mut voice), (1, 1, 250));
    speech
        .push(utterance(2, 250), None)
        .expect("nothing waits any more");
    assert_eq!(hear(&mut voice), (2, 2, 250));
}

#[test]
fn a_clear_silences_everything_at_once_and_what_comes_after_is_heard() {
    let (speech, mut voice) = queue(600);
    for round in 0..20_u64 {
        for n in 1..=3 {
            speech.push(utterance(n, 100), None).expect("room");
        }
        for _ in 0..round {
            next(&mut voice);
        }
        let cleared = speech.clear();
        let first = round * 4 + 1;
        assert_eq!(cleared.utterances, first..first + 3);
        let heard = FRAME_PERIOD * round as u32;
        let off = cleared.unheard.abs_diff(FRAME_PERIOD * 300 - heard);
        assert!(off <= 2 * FRAME_PERIOD, "{cleared:?} after {heard:?}");
        assert!(voice.try_next().is_none(), "not one chunk more");
        assert_eq!(speech.utterances(), 0);
        let accepted = speech.push(utterance(9, 2), None).expect("room");
        assert_eq!(accepted.queued, Duration::ZERO);
        assert_eq!(hear(&mut voice), (accepted.utterance, 9, 2));
    }
    let nothing = speech.clear();
    assert!(nothing.utterances.is_empty() && nothing.unheard.is_zero());
}

#[test]
fn many_who_push_at_once_lose_no_word_and_keep_their_order() {
    let (speech, mut voice) = queue(600);
    let pushing: Vec<_> = (0..8_u16)
        .map(|who| {
            let speech = speech.clone();
            thread::spawn(move || {
                let push = |n| speech.push(utterance(who * 10 + n, 5), None);
                (0..10)
                    .map(|n| push(n).expect("room").utterance)
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    drop(speech);
    let heard: Vec<_> = (0..80).map(|_| hear(&mut voice)).collect();
    for (who, pushed) in pushing.into_iter().enumerate() {
        for (n, utterance) in pushed.join().expect("a pusher").into_iter().enumerate() {
            let value = (who * 10 + n) as u16;
            assert_eq!(heard[utterance as usize - 1], (utterance, value, 5));
        }
    }
    assert!(voice.try_next().is_none());
}

#[test]
fn what_is_no_sound_is_refused_and_costs_the_queue_nothing() {
    let (speech, mut voice) = queue(600);
    let empty = tempfile::tempfile().expect("a temporary file");
    let refused = speech.push(empty, Some("a.wav")).expect_err("empty");
    assert_eq!(refused.to_string(), "the sound file is empty");
    assert_eq!(speech.utterances(), 0);
    speech.push(utterance(1, 1), None).expect("room");
    assert_eq!(hear(&mut voice), (1, 1, 1));
}

#[test]
fn nobody_speaks_to_a_session_that_has_ended() {
    let (speech, voice) = queue(600);
    speech.push(utterance(1, 500), None).expect("room");
    drop(voice);
    let refused = speech.push(utterance(2, 1), None).expect_err("ended");
    assert!(matches!(refused, PushError::Ended));
}

#[test]
fn what_waits_is_decoded_when_its_turn_comes() {
    let (speech, mut voice) = queue(600);
    // A file that is cut off once it was accepted: it has an end all the same.
    let cut = utterance(1, 100);
    let same = cut.try_clone().expect("a descriptor");
    speech.push(utterance(7, 30), None).expect("room");
    speech.push(cut, None).expect("room");
    speech.push(utterance(9, 2), None).expect("room");
    same.set_len(0).expect("it is ours");
    assert_eq!(hear(&mut voice), (1, 7, 30));
    assert_eq!(hear(&mut voice), (2, 0, 1));
    assert_eq!(hear(&mut voice), (3, 9, 2));
    assert_eq!((speech.queued(), speech.utterances()), (Duration::ZERO, 0));
}

#[test]
fn speech_is_ready_when_enough_is_decoded_or_all_there_is() {
    let (speech, mut voice) = Speech::by_hand();
    let say = |last| {
        let chunk = AudioChunk::SILENCE;
        speech.put(Spoken {
            utterance: 1,
            chunk,
            last,
        });
    };
    assert!(!voice.ready(1), "nothing is not enough");
    say(false);
    say(false);
    assert!(voice.ready(2) && !voice.ready(3));
    say(true);
    assert!(voice.ready(9), "three are all");
    assert!(voice.try_next().is_some() && voice.ready(9));
    speech.clear();
    assert!(!voice.ready(1), "what is cleared counts no more");
}
