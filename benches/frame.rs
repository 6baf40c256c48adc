//! One frame against its 40 ms: a session as it runs, with one who watches and
//! without the network between. All threads' processor time, and what is resident.
//!
//!     cargo bench --bench frame

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mouthpiece::avatar::Avatar;
use mouthpiece::hub::Hub;
use mouthpiece::media::{AudioChunk, Codec, FRAME_PERIOD};
use mouthpiece::memory;
use mouthpiece::model::Bundle;
use mouthpiece::native::{limit_arenas, process_cpu_time};
use mouthpiece::pool::FramePool;
use mouthpiece::run::library::Library;
use mouthpiece::run::renderer::Renderer;
use mouthpiece::run::script::Script;
use mouthpiece::run::session::{Parts, Session};
use mouthpiece::run::speech::{self, Speech};
use mouthpiece::stage::audio::file::SoundFile;
use mouthpiece::stage::audio::{self, Source};
use mouthpiece::stage::encode::{self, Opus, Pictures};
use mouthpiece::stage::lipsync::{self, Runtime};
use mouthpiece::stage::voice;
use mouthpiece::stats::Stats;

mod timing;
use timing::{HEADING, Times, ms};

/// Frames of each row: eight seconds.
const FRAMES: usize = 200;
/// Frames before them: once round the clip, and the speech's first breath.
const WARM: usize = 160;

fn main() {
    // As the program does.
    limit_arenas(2);
    let bench = Bench::new();
    println!("ms of CPU a frame            {HEADING}  of 40 ms  mouth   resident");
    for talking in [true, false] {
        bench.hot(talking);
    }
    for talking in [true, false] {
        bench.session(talking);
    }
}

struct Bench {
    welcome: PathBuf,
    avatar: Arc<Avatar>,
    library: Arc<Library>,
}

impl Bench {
    fn new() -> Self {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let runtime = Runtime::load(&lipsync::Config::default()).expect("make setup");
        let bundle = Bundle::open(&assets.join("models/mouthpiece-256")).expect("the model");
        Self {
            welcome: assets.join("speech/welcome.flac"),
            avatar: Arc::new(Avatar::open(&assets.join("avatars/ava")).expect("the avatar")),
            library: Library::open(bundle, runtime, u64::MAX, Instant::now())
                .expect("the model fits"),
        }
    }

    /// The stages of a session in lock step, as fast as they go.
    fn hot(&self, talking: bool) {
        let now = Instant::now();
        self.avatar
            .idle()
            .cache
            .set_limit(memory::Config::default().clip_cache());
        let config = encode::Config::default();
        let (stats, hub) = (Stats::new(), Hub::new());
        let pool = FramePool::new(2, self.avatar.size);
        let voice = voice::Config::default();
        let renderer = Renderer::new(
            &self.avatar,
            &self.library.configured(),
            &voice,
            pool,
            &stats,
            now,
        );
        let (speech, heard) = Speech::start(&speech::Config::default()).expect("a thread");
        let mut script = Script::new(renderer.expect("made"), speech, heard, None).expect("made");
        let mut opus = Opus::new(&config).expect("built in");
        let mut pictures = Pictures::new(&config).expect("built in");
        let _watch = hub.watch(Codec::H264);
        let sound = self.speech();
        let mut n = 0;
        let mut frame = || {
            let chunk = if talking {
                sound[n % sound.len()]
            } else {
                AudioChunk::SILENCE
            };
            let played = script.play(now, FRAME_PERIOD * n as u32, Some(&chunk), true, |_| {});
            opus.encode(&played.chunk.sound).expect("good sound");
            if let Some(frame) = played.frame {
                pictures.encode(&frame, &hub).expect("good pictures");
            }
            n += 1;
        };
        (0..WARM).for_each(|_| frame());
        let mouths = stats.lipsync.histogram().1;
        let times = Times::hot(FRAMES, process_cpu_time, frame);
        report("hot", talking, &times, &stats, mouths);
    }

    /// A session on its threads, which give 25 frames a second.
    fn session(&self, talking: bool) {
        let audio = audio::Config {
            source: Source::None,
            ..Default::default()
        };
        let session = Session::start(
            Parts {
                id: "bench",
                avatar: Arc::clone(&self.avatar),
                model: self.library.configured(),
                audio: &audio,
                file: self.welcome.clone(),
                speech: &speech::Config::default(),
                voice: &voice::Config::default(),
                encode: &encode::Config::default(),
                within: None,
                idle_timeout: Duration::ZERO,
            },
            false,
        )
        .expect("a session");
        // Nobody takes the packets: the oldest go.
        let _watch = session.hub.watch(Codec::H264);
        if talking {
            let file = File::open(&self.welcome).expect("the speech");
            session
                .speech
                .push(file, Some("flac"))
                .expect("the queue is empty");
        }
        let pause = || std::thread::sleep(FRAME_PERIOD);
        (0..WARM).for_each(|_| pause());
        let stats = Arc::clone(&session.stats);
        let mouths = stats.lipsync.histogram().1;
        let times = Times::paced(FRAMES, process_cpu_time, true, || {});
        report("session", talking, &times, &stats, mouths);
        for (stage, timing) in stats.stages() {
            let recent = timing.recent();
            let columns = [recent.mean, recent.p50, recent.p95, recent.max];
            let columns = columns.map(|time| format!("{:7.3}", ms(time))).concat();
            println!("    {stage:24} {columns}  by the clock");
        }
        let late = [&stats.late_frames, &stats.late_pictures].map(|count| count.get());
        assert_eq!(stats.failed_mouths.get(), 0);
        println!("    late frames, late pictures {late:?}");
    }

    fn speech(&self) -> Vec<AudioChunk> {
        let mut file = SoundFile::open(&self.welcome).expect("the speech");
        let (mut chunks, mut chunk) = (Vec::new(), AudioChunk::SILENCE);
        while file.next(&mut chunk).expect("decodes") {
            chunks.push(chunk);
        }
        chunks
    }
}

fn report(how: &str, talking: bool, times: &Times, stats: &Stats, mouths: u64) {
    let what = if talking { "talking" } else { "idle" };
    let share = times.mean().as_secs_f64() / FRAME_PERIOD.as_secs_f64() * 100.0;
    let mouths = stats.lipsync.histogram().1 - mouths;
    let resident = psutil::process::Process::current().and_then(|process| process.memory_info());
    println!(
        "{:28} {}  {share:6.1} %  {:3} %  {:5} MB",
        format!("{what}, {how}"),
        times.row(),
        mouths * 100 / FRAMES as u64,
        resident.map_or(0, |memory| memory.rss() >> 20),
    );
}
