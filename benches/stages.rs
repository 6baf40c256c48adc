//! Each stage alone: milliseconds of processor time for one frame.
//!
//!     cargo bench --bench stages             all of them
//!     cargo bench --bench stages -- compose  those whose name has this in it
//!
//! "hot" is back to back, "every 40 ms" is what a session pays: between two
//! frames others use the caches and the processor slows down.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mouthpiece::avatar::{Avatar, Picture, Player};
use mouthpiece::media::{
    AudioChunk, FRAME_PERIOD, MEL_BANDS, MEL_STEPS, MelWindow, SPEECH_SAMPLES,
};
use mouthpiece::model::Bundle;
use mouthpiece::native::{process_cpu_time, thread_cpu_time};
use mouthpiece::ring::{Next, ring};
use mouthpiece::run::library::Library;
use mouthpiece::stage::audio::door::Door;
use mouthpiece::stage::audio::file::SoundFile;
use mouthpiece::stage::compose::Compositor;
use mouthpiece::stage::encode::{self, H264, Opus, Vp8};
use mouthpiece::stage::lipsync::{self, Mouth, Runtime};
use mouthpiece::stage::mel::{Mel, first_column};
use mouthpiece::stage::voice::{self, Voice};

mod timing;
use timing::{HEADING, Times};

/// Runs that bring a stage's memory and the clip's cache to where they stay.
const WARM: usize = 160;
/// Runs that are timed back to back.
const HOT: usize = 300;
/// Runs that are timed every 40 ms: two seconds.
const PACED: usize = 50;
/// The model's whole window lies this far behind the last sound, in frames.
const LATE: usize = 8;

fn main() {
    let bench = Bench::new();
    println!("ms of CPU a frame   hot{HEADING}   every 40 ms{HEADING}");
    bench.sound();
    bench.clip();
    bench.mouth();
    bench.encoders();
    bench.ring();
}

/// What the stages work on.
struct Bench {
    only: String,
    assets: PathBuf,
    avatar: Arc<Avatar>,
    library: Arc<Library>,
    /// The welcome speech, without its first second.
    speech: Vec<AudioChunk>,
    /// The idle clip.
    pictures: Vec<Arc<Picture>>,
}

impl Bench {
    fn new() -> Self {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let avatar = Arc::new(Avatar::open(&assets.join("avatars/ava")).expect("the avatar"));
        let runtime = Runtime::load(&lipsync::Config::default()).expect("make setup");
        let bundle = Bundle::open(&assets.join("models/mouthpiece-256")).expect("the model");
        let library =
            Library::open(bundle, runtime, u64::MAX, Instant::now()).expect("the model fits");
        let welcome = assets.join("speech/welcome.flac");
        let mut file = SoundFile::open(&welcome).expect("the speech");
        let mut speech = Vec::new();
        let mut chunk = AudioChunk::SILENCE;
        while file.next(&mut chunk).expect("decodes") {
            speech.push(chunk);
        }
        speech.drain(..25);
        let player = Player::start(avatar.idle()).expect("a decoder");
        avatar.idle().cache.set_limit(usize::MAX);
        let pictures = (0..avatar.idle().len() as u64)
            .map(|n| player.picture_waiting(n).expect("decodes"))
            .collect();
        Self {
            only: std::env::args()
                .skip(1)
                .find(|a| !a.starts_with('-'))
                .unwrap_or_default(),
            assets,
            avatar,
            library,
            speech,
            pictures,
        }
    }

    fn chunk(&self, n: usize) -> &AudioChunk {
        &self.speech[n % self.speech.len()]
    }

    fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// Times `run`, which is told how often it ran before.
    fn row(&self, name: &str, run: impl FnMut(usize)) {
        self.measure(name, false, run);
    }

    /// Likewise; with `all` other threads' time counts too.
    fn measure(&self, name: &str, all: bool, mut run: impl FnMut(usize)) {
        if !self.wants(name) {
            return;
        }
        let clock = if all {
            process_cpu_time
        } else {
            thread_cpu_time
        };
        let mut n = 0;
        let mut run = || {
            run(n);
            n += 1;
        };
        (0..WARM).for_each(|_| run());
        let hot = Times::hot(HOT, clock, &mut run);
        let paced = Times::paced(PACED, clock, all, &mut run);
        println!("{name:22} {}              {}", hot.row(), paced.row());
    }

    fn sound(&self) {
        // As if the speech had been recorded so; nobody listens to its pitch.
        let stereo = |n: usize| self.chunk(n).sound[..1_764].iter().flat_map(|x| [*x; 2]);
        let stereo: Vec<Vec<f32>> = (0..self.speech.len())
            .map(|n| stereo(n).collect())
            .collect();
        let mut door = Door::new(44_100, 2).expect("a rate that can be heard");
        self.row("door, 44.1 kHz stereo", |n| {
            door.push(&stereo[n % stereo.len()], None, |chunk| {
                black_box(chunk);
            });
        });
        let mut mel = Mel::new();
        let mut window = [[0.0; MEL_STEPS]; MEL_BANDS];
        self.row("mel", |n| {
            mel.push(&self.chunk(n).speech);
            let first = first_column(n.saturating_sub(LATE) as u64, 0.0);
            assert!(n < LATE || mel.window(first, &mut window));
        });
        let mut voice = Voice::new(&voice::Config::default());
        self.row("voice", |n| {
            black_box(voice.hear(&self.chunk(n).speech));
        });
    }

    fn clip(&self) {
        // A clip of its own: the other one's pictures are all kept.
        let avatar = Avatar::open(&self.assets.join("avatars/ava")).expect("the avatar");
        for (name, limit) in [("clip, decoded", 0), ("clip, from the cache", usize::MAX)] {
            avatar.idle().cache.set_limit(limit);
            let player = Player::start(avatar.idle()).expect("a decoder");
            self.measure(name, true, |n| {
                black_box(player.picture_waiting(n as u64).expect("decodes"));
            });
        }
    }

    fn mouth(&self) {
        let size = self.avatar.size;
        let mut mouth = self.network();
        let mut compositor = self.compositor();
        let mut i420 = self.picture(0).i420().to_vec();
        self.row("compose, the picture", |n| {
            i420.copy_from_slice(self.picture(n).i420());
        });
        self.row("compose, crop", |n| {
            let picture = self.picture(n);
            let face = self.avatar.idle().face(picture.index).expect("it shows");
            compositor.crop(picture.i420(), face, mouth.reference_mut());
        });
        let mel = self.mel(LATE);
        self.row("lipsync", |_| say(&mut mouth, &mel));
        let mut i420 = vec![128; size.i420_bytes()];
        self.row("compose, draw", |n| {
            let face = self.avatar.idle().face(self.picture(n).index);
            compositor.draw(&mut i420, face.expect("it shows"), mouth.pictures(), 1.0);
        });
    }

    fn encoders(&self) {
        let config = encode::Config::default();
        let mut opus = Opus::new(&config).expect("built in");
        self.row("opus", |n| {
            black_box(opus.encode(&self.chunk(n).sound).expect("good sound"));
        });
        if !self.wants("h264") && !self.wants("vp8") {
            return;
        }
        let talking = self.talking();
        let (size, pts) = (self.avatar.size, |n: usize| FRAME_PERIOD * n as u32);
        let mut h264 = H264::new(&config, size).expect("built in");
        self.row("h264, talking", |n| {
            let i420 = &talking[n % talking.len()];
            black_box(h264.encode(i420, pts(n), false).expect("a good picture"));
        });
        let mut h264 = H264::new(&config, size).expect("built in");
        self.row("h264, idle", |n| {
            let i420 = self.picture(n).i420();
            black_box(h264.encode(i420, pts(n), false).expect("a good picture"));
        });
        let mut vp8 = Vp8::new(&config, size).expect("built in");
        self.row("vp8, talking", |n| {
            let i420 = &talking[n % talking.len()];
            black_box(vp8.encode(i420, pts(n), false).expect("a good picture"));
        });
    }

    fn ring(&self) {
        let (writer, reader) = ring::<AudioChunk>(3);
        self.row("ring, there and back", |n| {
            assert!(writer.push(*self.chunk(n)).is_none());
            let Next::Item(chunk) = reader.next(Duration::ZERO) else {
                panic!("a chunk was pushed");
            };
            black_box(&chunk);
        });
    }

    fn picture(&self, n: usize) -> &Picture {
        &self.pictures[n % self.pictures.len()]
    }

    fn network(&self) -> Mouth {
        Mouth::new(
            &self
                .library
                .configured()
                .want(Instant::now())
                .expect("loaded"),
        )
        .expect("tensors")
    }

    fn compositor(&self) -> Compositor {
        let model = self.library.configured();
        Compositor::new(self.avatar.size, model.side, &model.bundle.manifest)
    }

    /// What the model hears for frame `frame` of the speech.
    fn mel(&self, frame: usize) -> MelWindow {
        let mut mel = Mel::new();
        for n in 0..=LATE {
            mel.push(&self.chunk(frame + n).speech);
        }
        assert_eq!(mel.samples(), ((LATE + 1) * SPEECH_SAMPLES) as u64);
        let mut window = [[0.0; MEL_STEPS]; MEL_BANDS];
        assert!(mel.window(0, &mut window));
        window
    }

    /// The clip's pictures with a mouth that speaks the speech.
    fn talking(&self) -> Vec<Vec<u8>> {
        let (mut mouth, mut compositor) = (self.network(), self.compositor());
        let draw = |(n, picture): (usize, &Arc<Picture>)| {
            let face = self.avatar.idle().face(picture.index).expect("it shows");
            let mut i420 = picture.i420().to_vec();
            compositor.crop(&i420, face, mouth.reference_mut());
            say(&mut mouth, &self.mel(n));
            compositor.draw(&mut i420, face, mouth.pictures(), 1.0);
            i420
        };
        self.pictures.iter().enumerate().map(draw).collect()
    }
}

/// Runs the network with `mel`.
fn say(mouth: &mut Mouth, mel: &MelWindow) {
    let hears = |_, window: &mut [f32]| {
        window.copy_from_slice(mel.as_flattened());
        true
    };
    assert!(mouth.run(0, hears).expect("runs"));
}
