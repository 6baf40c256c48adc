//! What cuts speech off, and what is heard in its place: silence, a looped file, a
//! published voice.

use super::*;

#[test]
fn what_interrupts_is_said_next_and_nothing_in_between() {
    let mut show = Show::pushed(None);
    for marks in [100..150, 200..250] {
        show.speech.push(utterance(marks), None).expect("room");
    }
    show.decoded();
    assert_eq!(show.hear_decoded(3), [100, 101, 102]);
    let next = Opened::file(utterance(300..303), None).expect("a sound");
    let (cut, accepted) = show.script.interrupt_with(next);
    let expected = Interrupted {
        interrupted: true,
        utterance: Some(1),
        played_ms: 120,
        dropped: vec![2],
    };
    assert_eq!(cut, expected);
    let accepted = accepted.expect("the show goes on");
    assert_eq!((accepted.utterance, accepted.queued), (3, Duration::ZERO));
    show.decoded();
    assert_eq!(show.hear_decoded(3), [300, 301, 302]);
}

#[test]
fn an_interrupt_silences_the_next_frame_and_says_what_was_cut() {
    // Played chunks of three utterances of 2, 3 and 2 chunks, what is cut, how
    // much of it was played, and what had not begun.
    let cases: [(usize, Option<u64>, u64, &[u64]); 9] = [
        (0, Some(1), 0, &[2, 3]),
        (1, Some(1), 40, &[2, 3]),
        (2, Some(2), 0, &[3]),
        (3, Some(2), 40, &[3]),
        (4, Some(2), 80, &[3]),
        (5, Some(3), 0, &[]),
        (6, Some(3), 40, &[]),
        (7, None, 0, &[]),
        (9, None, 0, &[]),
    ];
    for (frames, utterance, played_ms, dropped) in cases {
        let mut show = Show::by_hand(None);
        show.say(1, 100..102, true);
        show.say(2, 200..203, true);
        show.say(3, 300..302, true);
        show.hear(frames);
        let expected = Interrupted {
            interrupted: utterance.is_some(),
            utterance,
            played_ms,
            dropped: dropped.to_vec(),
        };
        assert_eq!(show.script.interrupt(), expected, "after {frames} frames");
        assert_eq!(show.hear(show.depth), silent(show.depth));
        assert_eq!(show.hear(1), [LIVE]);
        let nothing = show.script.interrupt();
        assert_eq!(nothing, Interrupted::default(), "it was cut already");
        let stats = &show.script.stats;
        assert_eq!(stats.interrupts.get(), u64::from(utterance.is_some()));
        let over = [
            stats.finished_utterances.get(),
            stats.cut_utterances.get(),
            stats.dropped_utterances.get(),
        ];
        assert_eq!(
            over.iter().sum::<u64>(),
            3,
            "each is counted once: {over:?}"
        );
        assert_eq!(over[1], u64::from(played_ms > 0), "after {frames} frames");
        show.say(4, 400..401, true);
        assert_eq!(show.hear(1), [400], "what is pushed now is heard");
    }
}

#[test]
fn an_interrupt_while_the_decoder_starves_counts_what_was_played() {
    let mut show = Show::by_hand(None);
    let enough = show.depth + 1;
    show.say(1, vec![100; enough], false);
    show.hear(enough + 20);
    let cut = show.script.interrupt();
    let played_ms = enough as u64 * 40;
    assert_eq!((cut.utterance, cut.played_ms), (Some(1), played_ms));
    assert_eq!(show.hear(show.depth + 1)[show.depth], LIVE);
}

#[test]
fn after_pushed_speech_a_looped_file_is_hushed_and_begins_anew() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    wav(&mut file, 1_000..1_200);
    let mut show = Show::by_hand(Some(file.path()));
    let begins = Vec::from_iter(1_000..1_030);
    assert_eq!(show.hear(30), begins);
    assert_eq!(show.next(None).accepted, Some(show.now), "when it is taken");
    // Its end, and more within the time in which the file is hushed.
    let quiet = silent(HUSHED + show.depth);
    show.say(1, 100..103, true);
    assert_eq!(show.hear(3), [100, 101, 102]);
    assert_eq!(show.hear(HUSHED - 1), silent(HUSHED - 1));
    show.say(2, [200], true);
    assert_eq!(show.hear(1), [200]);
    assert_eq!(show.hear(quiet.len()), quiet);
    assert_eq!(show.hear(30), begins);
    // An interrupt of what was pushed, and one of the file itself.
    show.say(3, 300..310, true);
    assert_eq!(show.hear(2), [300, 301]);
    for _ in 0..2 {
        show.script.interrupt();
        assert_eq!(show.hear(HUSHED), silent(HUSHED));
        assert_eq!(show.hear(30), begins);
    }
}

#[test]
fn a_published_voice_is_heard_in_the_place_of_a_looped_file() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    wav(&mut file, 1_000..1_200);
    let mut show = Show::by_hand(Some(file.path()));
    let depth = show.depth;
    assert_eq!(show.hear(30), Vec::from_iter(1_000..1_030));
    show.script.set_published(true);
    assert_eq!(show.hear(depth + 5)[depth..], [LIVE; 5]);
    // Pushed speech goes first, as with the microphone.
    show.say(1, 100..103, true);
    assert_eq!(show.hear(3), [100, 101, 102]);
    assert_eq!(show.hear(depth + 1)[depth], LIVE);
    show.say(2, 200..210, true);
    show.hear(2);
    show.script.interrupt();
    assert_eq!(
        show.hear(depth + 1)[depth],
        LIVE,
        "nobody is hushed who speaks"
    );
    let paused = Vec::from_iter((0..=depth).map(|_| mark(&show.next(None))));
    assert_eq!(paused[depth], 0, "who publishes pauses");
    show.script.set_published(false);
    let after = show.hear(HUSHED + depth + 30);
    let again = after.iter().position(|mark| *mark == 1_000);
    assert!(again.is_some_and(|n| n >= HUSHED), "{again:?}");
}

#[test]
fn sound_that_is_cut_off_goes_on_without_a_click() {
    let mut show = Show::by_hand(None);
    show.say(1, [20_000; 10], true);
    let before = show.next(None);
    show.script.interrupt();
    let after = show.next(None);
    let both = [before.sound, after.sound].concat();
    let steps = both.windows(2).map(|w| (w[1] - w[0]).abs());
    assert!(steps.fold(0.0, f32::max) < 0.01);
    assert_eq!(after.sound[EDGE..], [0.0; SOUND_SAMPLES - EDGE]);
}
