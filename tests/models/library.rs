//! The library: models shared and changed under sessions that run, and what stays
//! when a model doesn't load, doesn't fit in memory, or fails.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mouthpiece::avatar::Avatar;
use mouthpiece::media::{AudioChunk, FRAME_PERIOD};
use mouthpiece::pool::FramePool;
use mouthpiece::process::resident;
use mouthpiece::run::library::{Error, Library, Model};
use mouthpiece::run::renderer::{Cast, Change, Renderer, SOURCE};
use mouthpiece::stage::audio::file::SoundFile;
use mouthpiece::stage::voice;
use mouthpiece::stats::Stats;

use crate::standins::{case, runtime, wav2lip};

/// A renderer that speaks the welcome speech.
struct Show {
    library: Arc<Library>,
    renderer: Renderer,
    stats: Arc<Stats>,
    speech: SoundFile,
    pts: Duration,
}

impl Show {
    /// With the library's configured model.
    fn new(library: &Arc<Library>) -> Self {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let avatar = Arc::new(Avatar::open(&assets.join("avatars/ava")).expect("the avatar"));
        let (stats, now) = (Stats::new(), Instant::now());
        let pool = FramePool::new(2, avatar.size);
        let voice = voice::Config::default();
        let model = library.configured();
        let renderer = Renderer::new(&avatar, &model, &voice, pool, &stats, now);
        let mut speech = SoundFile::open(&assets.join("speech/welcome.flac")).expect("speech");
        let mut chunk = AudioChunk::SILENCE;
        (0..25).for_each(|_| assert!(speech.next(&mut chunk).expect("decodes")));
        Self {
            library: Arc::clone(library),
            renderer: renderer.expect("made"),
            stats,
            speech,
            pts: Duration::ZERO,
        }
    }

    /// The picture of the next frame.
    fn frame(&mut self) -> Vec<u8> {
        let now = Instant::now();
        self.renderer.follow(now);
        while self.renderer.lacks() > 0 {
            let mut chunk = AudioChunk::SILENCE;
            self.speech.next(&mut chunk).expect("decodes");
            self.renderer.hear(&chunk, SOURCE);
        }
        let played = self.renderer.play_waiting(now, self.pts).expect("heard");
        self.pts += FRAME_PERIOD;
        played.frame.expect("a picture").i420().to_vec()
    }

    fn cast(&self) -> Cast {
        self.renderer.shown().cast()
    }

    fn model(&self) -> String {
        self.cast().model.bundle.id.clone()
    }

    /// Lets `model` take over with the next frame.
    fn change(&mut self, model: Arc<Model>) {
        let from = self.cast();
        let to = Cast {
            model,
            ..from.clone()
        };
        let no_pool = || unreachable!("the avatar stays");
        let (change, replaced) = Change::new(&from, &to, no_pool, Instant::now()).expect("made");
        self.renderer.change(change);
        self.renderer.follow(Instant::now());
        assert!(replaced.try_recv().expect("taken at once").taken);
    }

    fn swap(&mut self, name: &str) {
        let model = self.library.get(case(name), Instant::now());
        self.change(model.expect("it fits"));
    }
}

fn open(name: &str) -> Arc<Library> {
    Library::open(case(name), runtime(), u64::MAX, Instant::now()).expect("it fits")
}

#[test]
fn another_model_takes_over_between_two_frames_and_only_where_it_is_wanted() {
    let library = open("wav2lip-96");
    let (mut swapped, mut stays) = (Show::new(&library), Show::new(&library));
    for _ in 0..20 {
        assert_eq!(swapped.frame(), stays.frame());
    }
    // Of another size, another family, and further ahead.
    for (name, depth) in [
        ("wav2lip-192", 5),
        ("ultralight-wenet", 12),
        ("wav2lip-96", 5),
    ] {
        swapped.swap(name);
        let before = swapped.stats.lipsync.histogram().1;
        for n in 0..10 {
            assert!(
                swapped.frame() != stays.frame() || name == "wav2lip-96",
                "{name}: {n}"
            );
        }
        let drawn = swapped.stats.lipsync.histogram().1 - before;
        assert_eq!(drawn, 10, "{name} draws from its first frame on");
        assert_eq!(swapped.renderer.depth(), depth, "{name}");
        assert_eq!(swapped.model(), name);
        assert_eq!(stays.model(), "wav2lip-96");
    }
    assert_eq!(swapped.stats.failed_mouths.get(), 0);
    assert_eq!(stays.stats.failed_mouths.get(), 0);
}

#[test]
fn a_model_is_loaded_once_for_all_and_goes_when_nobody_wants_it() {
    let library = open("wav2lip-96");
    let mut show = Show::new(&library);
    let get = || library.get(case("wav2lip-192"), Instant::now());
    let (one, two) = (get().expect("it fits"), get().expect("it fits"));
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(library.loaded(), 2);
    show.frame();
    drop((one, two));
    // Seconds later only the one that is drawn with was wanted.
    let (now, idle) = (
        Instant::now() + Duration::from_secs(9),
        Duration::from_secs(5),
    );
    library.configured().touch(now);
    assert!(library.unload_idle(now, idle));
    assert_eq!(library.loaded(), 1);
    assert!(library.configured().loaded());
    assert!(!library.unload_idle(now, idle));
    assert_eq!(library.bytes() as u64, library.configured().bytes);
}

#[test]
fn a_model_that_does_not_load_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = open("wav2lip-96");
    let (mut show, mut stays) = (Show::new(&library), Show::new(&library));
    for name in ["truncated", "int64", "nan"] {
        let bundle = wav2lip(folder.path(), name);
        assert!(library.get(bundle, Instant::now()).is_err());
        (0..5).for_each(|_| assert_eq!(show.frame(), stays.frame()));
        assert_eq!((show.model(), library.loaded()), ("wav2lip-96".into(), 1));
    }
}

#[test]
fn a_model_that_fails_while_it_runs_gives_way_to_the_one_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut show = Show::new(&open("wav2lip-96"));
    (0..20).for_each(|_| drop(show.frame()));
    let bundle = wav2lip(folder.path(), "fails-later");
    let model = show.library.get(bundle, Instant::now());
    show.change(model.expect("it loads"));
    (0..25).for_each(|_| drop(show.frame()));
    assert_eq!(show.stats.failed_mouths.get(), 25);
    let before = show.stats.lipsync.histogram().1;
    (0..5).for_each(|_| drop(show.frame()));
    assert_eq!(show.model(), "wav2lip-96", "a second is enough");
    assert_eq!(show.stats.lipsync.histogram().1 - before, 5);
    assert_eq!(show.stats.failed_mouths.get(), 25);
}

#[test]
fn what_the_budget_has_no_room_for_is_not_loaded() {
    let used = resident().expect("Linux tells");
    assert!(used > 1 << 20);
    let refused = Library::open(case("wav2lip-96"), runtime(), 1 << 20, Instant::now());
    let Err(error @ Error::Memory { .. }) = refused else {
        panic!("there is no room");
    };
    let text = error.to_string();
    for words in [
        "wav2lip-96",
        "memory.budget_mb",
        "Raise the budget to",
        "smaller model",
    ] {
        assert!(text.contains(words), "{text}");
    }
}
