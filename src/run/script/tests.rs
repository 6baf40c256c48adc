//! A script that nobody watches, heard chunk by chunk.

mod cut; // what cuts speech off, and what comes in its place
mod pushed; // speech that is pushed

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
