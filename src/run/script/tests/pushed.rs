//! Pushed speech: all of it, in order, late or not, and told of.

use super::*;

#[test]
fn live_sound_is_delayed_by_what_the_model_hears_ahead() {
    let mut show = Show::pushed(None);
    let depth = show.depth as Mark;
    for begins in [0, 50] {
        for n in 0..50 {
            let heard = mark(&show.next(Some(&chunk(begins + n + 1))));
            let then = (n + 1).checked_sub(depth).filter(|then| *then > 0);
            assert_eq!(heard, then.map_or(SILENT, |then| begins + then));
        }
        // Live sound begins with silence again.
        assert!(!show.script.interrupt().interrupted);
    }
}

#[test]
fn pushed_speech_begins_with_the_next_frame_and_none_of_it_is_lost_or_doubled() {
    let mut show = Show::pushed(None);
    let depth = show.depth;
    assert_eq!(show.hear(20)[depth..], vec![LIVE; 20 - depth]);
    show.speech
        .push(utterance(100..160), None)
        .expect("nothing waits");
    show.decoded();
    assert_eq!(show.hear_decoded(60), Vec::from_iter(100..160));
    // The line is empty of it, and live sound begins as it always does.
    assert_eq!(show.hear(depth), silent(depth));
    assert_eq!(show.hear(5), [LIVE; 5]);
}

#[test]
fn utterances_follow_each_other_in_order_and_without_a_gap() {
    let mut show = Show::pushed(None);
    let queue = [100..130, 200..201, 300..302, 400..440, 500..501];
    for marks in &queue {
        show.speech
            .push(utterance(marks.clone()), None)
            .expect("room");
    }
    show.decoded();
    let all: Vec<Mark> = queue.into_iter().flatten().collect();
    assert_eq!(show.hear_decoded(all.len()), all);
    assert_eq!(show.hear(1), [SILENT]);
}

#[test]
fn a_decoder_that_starves_costs_silence_and_the_source_puts_in_no_word() {
    let mut show = Show::by_hand(None);
    let depth = show.depth as Mark;
    let enough = depth + 1;
    show.say(1, 100..100 + depth, false);
    assert_eq!(
        show.hear(show.depth),
        silent(show.depth),
        "not enough to begin with"
    );
    show.say(1, [100 + depth], false);
    let begun = Vec::from_iter(100..100 + enough);
    assert_eq!(show.hear(begun.len()), begun);
    assert_eq!(show.hear(30), silent(30));
    show.say(1, 200..200 + enough, true);
    let rest = Vec::from_iter(200..200 + enough);
    assert_eq!(show.hear(rest.len()), rest, "it goes on at once");
    assert_eq!(show.hear(show.depth), silent(show.depth));
    assert_eq!(show.hear(1), [LIVE]);
}

#[test]
fn a_late_chunk_takes_the_place_of_the_silence_that_stood_in_for_it() {
    let mut show = Show::by_hand(None);
    let enough = show.depth as Mark + 1;
    show.say(1, 100..100 + enough, false);
    let mut all = show.hear(1);
    // From here on each chunk comes a frame later than it is wanted, up to the
    // last one that keeps the line from running out.
    all.extend(show.hear(1));
    for next in 100 + enough..130 {
        show.say(1, [next], false);
        all.extend(show.hear(1));
    }
    assert_eq!(all, Vec::from_iter(100..100 + all.len() as Mark));
    show.say(1, [130], true);
    let rest = 131 - (100 + all.len());
    assert_eq!(show.hear(rest), Vec::from_iter(131 - rest as Mark..131));
    assert_eq!(show.told(), [started(1), finished(1, 31 * 40, false)]);
}

#[test]
fn sound_that_is_late_is_joined_without_a_click_and_counted_without_the_pause() {
    let mut show = Show::by_hand(None);
    let enough = show.depth + 1;
    show.say(1, vec![20_000; enough], false);
    let mut sound = Vec::new();
    for frame in 0..2 * enough + 10 {
        if frame == enough + 10 {
            show.say(1, vec![20_000; enough], true);
        }
        sound.extend(show.next(None).sound);
    }
    let steps = sound.windows(2).map(|w| (w[1] - w[0]).abs());
    assert!(steps.fold(0.0, f32::max) < 0.01);
    let played = enough as u64 * 2 * 40;
    assert_eq!(show.told(), [started(1), finished(1, played, false)]);
}

#[test]
fn every_utterance_is_told_of_when_it_is_heard() {
    let mut show = Show::by_hand(None);
    show.say(1, 100..102, true);
    show.say(2, 200..203, true);
    show.say(3, 300..302, true);
    show.say(4, 400..402, true);
    assert_eq!(show.told(), []);
    show.hear(2);
    assert_eq!(show.told(), [started(1), finished(1, 80, false)]);
    show.hear(1);
    assert_eq!(show.told(), [started(2)]);
    show.script.interrupt();
    let dropped = Event::SpeechDropped { first: 3, last: 4 };
    assert_eq!(show.told(), [finished(2, 40, true), dropped]);
    show.script.interrupt();
    assert_eq!(show.told(), [], "it was cut already");
    show.say(5, [500], true);
    show.script.interrupt();
    let dropped = Event::SpeechDropped { first: 5, last: 5 };
    assert_eq!(show.told(), [dropped], "it had not begun");
}
