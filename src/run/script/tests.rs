use std::fs::File;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::thread;

use super::*;
use crate::avatar::Avatar;
use crate::events::Listener;
use crate::model::Bundle;
use crate::pool::FramePool;
use crate::run::library::Library;
use crate::run::speech::{Config, Spoken};
use crate::stage::lipsync::{self, Runtime};
use crate::stage::voice;
use crate::stats::Stats;

/// Chunks are told apart by the sample in their middle, in steps of 16 bits.
type Mark = u16;

/// The mark of silence.
const SILENT: Mark = 0;
/// The mark of live sound.
const LIVE: Mark = 7;
/// Frames for which a file that loops is quiet.
const HUSHED: usize = (HUSH.as_millis() / FRAME_PERIOD.as_millis()) as usize;

fn chunk(mark: Mark) -> AudioChunk {
    let value = f32::from(mark) / 32_768.0;
    AudioChunk {
        sound: [value; SOUND_SAMPLES],
        ..AudioChunk::SILENCE
    }
}

fn mark(chunk: &AudioChunk) -> Mark {
    (chunk.sound[SOUND_SAMPLES / 2] * 32_768.0).round() as Mark
}

/// A WAV file at 48 kHz, 16 bits, one channel, of a chunk for each of `marks`.
fn wav(mut file: impl Write, marks: impl IntoIterator<Item = Mark>) {
    let chunk = |mark: Mark| [mark.to_le_bytes(); SOUND_SAMPLES].concat();
    let data: Vec<u8> = marks.into_iter().flat_map(chunk).collect();
    let mut head = b"RIFF".to_vec();
    head.extend((data.len() as u32 + 36).to_le_bytes());
    head.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data");
    head.extend((data.len() as u32).to_le_bytes());
    file.write_all(&head).expect("room on the disk");
    file.write_all(&data).expect("room on the disk");
}

fn utterance(marks: impl IntoIterator<Item = Mark>) -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    wav(&file, marks);
    file
}

/// The bundled avatar and model, once for all tests.
fn bundled() -> &'static (Arc<Avatar>, Arc<Library>) {
    static BUNDLED: OnceLock<(Arc<Avatar>, Arc<Library>)> = OnceLock::new();
    BUNDLED.get_or_init(|| {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let avatar = Avatar::open(&assets.join("avatars/ava")).expect("the avatar");
        let runtime = Runtime::load(&lipsync::Config::default()).expect("ONNX Runtime: make setup");
        let bundle = Bundle::open(&assets.join("models/mouthpiece-256")).expect("the model");
        let library =
            Library::open(bundle, runtime, u64::MAX, Instant::now()).expect("the model fits");
        (Arc::new(avatar), library)
    })
}

/// A script that nobody watches, played frame by frame.
struct Show {
    script: Script,
    speech: Speech,
    depth: usize,
    frames: u32,
    now: Instant,
    told: Listener,
}

fn started(utterance: u64) -> Event {
    Event::SpeechStarted { utterance }
}

fn finished(utterance: u64, played_ms: u64, interrupted: bool) -> Event {
    Event::SpeechFinished {
        utterance,
        played_ms,
        interrupted,
    }
}

impl Show {
    fn new((speech, voice): (Speech, Voice), looped: Option<&Path>) -> Self {
        let (avatar, library) = bundled();
        let (pool, now) = (FramePool::new(1, avatar.size), Instant::now());
        let config = voice::Config::default();
        let (stats, model) = (Stats::new(), library.configured());
        let renderer = Renderer::new(avatar, &model, &config, pool, &stats, now);
        let renderer = renderer.expect("the model fits the avatar");
        let depth = renderer.depth();
        assert!(depth > 0, "the bundled model hears ahead");
        let script = Script::new(renderer, speech.clone(), voice, looped);
        Self {
            script: script.expect("a sound file"),
            speech,
            depth,
            frames: 0,
            now,
            told: stats.events.listen(None),
        }
    }

    /// A show to which files can be pushed.
    fn pushed(looped: Option<&Path>) -> Self {
        Self::new(Speech::start(&Config::default()).expect("a thread"), looped)
    }

    /// A show in which nothing is decoded but by [`Show::say`].
    fn by_hand(looped: Option<&Path>) -> Self {
        Self::new(Speech::by_hand(), looped)
    }

    /// Puts in chunks of an utterance, with its end or without.
    fn say(&self, utterance: u64, marks: impl IntoIterator<Item = Mark>, ends: bool) {
        let mut marks = marks.into_iter().peekable();
        while let Some(mark) = marks.next() {
            let last = ends && marks.peek().is_none();
            self.speech.put(Spoken {
                utterance,
                chunk: chunk(mark),
                last,
            });
        }
    }

    /// The next frame's sound.
    fn next(&mut self, live: Option<&AudioChunk>) -> AudioChunk {
        let looped = self.script.looped.as_ref();
        while looped.is_some_and(|looped| !looped.full()) {
            thread::yield_now();
        }
        let pts = FRAME_PERIOD * self.frames;
        self.frames += 1;
        self.script.play(self.now, pts, live, false, |_| {}).chunk
    }

    /// The marks of the next frames, while live sound comes.
    fn hear(&mut self, frames: usize) -> Vec<Mark> {
        let live = chunk(LIVE);
        (0..frames).map(|_| mark(&self.next(Some(&live)))).collect()
    }

    /// As [`Show::hear`], with a decoder that keeps up.
    fn hear_decoded(&mut self, frames: usize) -> Vec<Mark> {
        let one = |_| {
            while !self.script.voice.ready(1) && self.speech.utterances() > 0 {
                thread::yield_now();
            }
            self.hear(1)[0]
        };
        (0..frames).map(one).collect()
    }

    /// What was told of speech since this was last asked.
    fn told(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.told.try_next())
            .map(|(_, event)| event)
            .collect()
    }

    /// Waits until pushed speech can begin.
    fn decoded(&self) {
        while !self.script.voice.ready(self.depth + 1) {
            thread::yield_now();
        }
    }
}

fn silent(frames: usize) -> Vec<Mark> {
    vec![SILENT; frames]
}

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
