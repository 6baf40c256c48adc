//! The two loops of a live session: render and encode.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::events::Event;
use crate::hub::Hub;
use crate::media::{AudioChunk, Codec, FRAME_PERIOD, Packet};
use crate::native::thread_cpu_time;
use crate::pool::Frame;
use crate::ring::{self, Next};
use crate::run::looped::Looped;
use crate::run::pacer::Pacer;
use crate::run::renderer::{Action, Change};
use crate::run::script::{Interrupted, Script};
use crate::run::speech::{Accepted, Opened};
use crate::stage::audio::inlet::Inlet;
use crate::stage::encode::{Opus, Pictures};
use crate::stage::still::Still;
use crate::stats::Stats;

/// What others ask of the render thread.
pub(super) enum Order {
    Interrupt(Sender<Interrupted>),
    /// An interrupt, and what is said in the place of what was cut.
    Replace(Box<Opened>, Sender<(Interrupted, Option<Accepted>)>),
    /// Another avatar or model.
    Change(Box<Change>),
    /// A named clip in the idle one's place.
    Act(Box<Action>),
    /// The idle clip again.
    Idle,
    /// What plays while nothing is pushed.
    Loop(Option<Looped>),
}

/// A still that is wanted. Whoever asks brings the room for it.
pub(super) struct Asked {
    pub room: Vec<u8>,
    pub answer: Sender<Still>,
}

impl Asked {
    fn answer(self, frame: &Frame) {
        let mut i420 = self.room;
        i420.extend_from_slice(frame.i420());
        let size = frame.size();
        // Whoever asked may have stopped waiting.
        let _gone = self.answer.try_send(Still { size, i420 });
    }
}

/// The render thread: from sound to frames, and sound to packets.
pub(super) struct Rendering {
    pub script: Script,
    pub sound: Sound,
    pub stats: Arc<Stats>,
    pub frames: ring::Writer<Frame>,
    pub orders: Receiver<Order>,
    /// The encode thread answers; here they only count as somebody who watches.
    pub stills: Receiver<Asked>,
    pub previewed: Arc<AtomicBool>,
    /// Only seen: it ends with its owners.
    pub inlet: Weak<Inlet>,
}

impl Rendering {
    pub fn run(mut self, sound: &ring::Reader<AudioChunk>) {
        let mut pacer = Pacer::new(Instant::now());
        loop {
            std::thread::sleep(pacer.spacing(Instant::now()));
            let next = sound.next(pacer.patience(Instant::now()));
            let now = Instant::now();
            let (live, pts) = match next {
                Next::Item(chunk) => (Some(chunk), pacer.on_chunk(now)),
                Next::Timeout => (None, pacer.on_silence(now)),
                Next::Closed => return,
            };
            self.stats.ring_depth.set(sound.len() as f64);
            while let Ok(order) = self.orders.try_recv() {
                self.obey(order);
            }
            let inlet = self.inlet.upgrade();
            let published = inlet.is_some_and(|inlet| inlet.published());
            self.script.set_published(published);
            let in_time = pacer.behind(now) < FRAME_PERIOD;
            self.turn(now, pts, live.as_ref(), in_time);
        }
    }

    /// Whoever asked may have stopped waiting for the answer.
    fn obey(&mut self, order: Order) {
        match order {
            Order::Interrupt(answer) => {
                let _gone = answer.try_send(self.script.interrupt());
            }
            Order::Replace(next, answer) => {
                let _gone = answer.try_send(self.script.interrupt_with(*next));
            }
            Order::Change(change) => self.script.change(change),
            Order::Act(action) => self.script.act(action),
            Order::Idle => self.script.end_action(),
            Order::Loop(looped) => self.script.set_looped(looped),
        }
    }

    /// One frame. Its picture is left out where there is no time for it: sound
    /// goes first.
    fn turn(&mut self, now: Instant, pts: Duration, live: Option<&AudioChunk>, in_time: bool) {
        let cpu = thread_cpu_time();
        let heard = self.sound.hub.watched();
        let watched = heard || self.previewed.load(Relaxed) || !self.stills.is_empty();
        let sound = &mut self.sound;
        let on_sound = |chunk: &AudioChunk| {
            if heard {
                sound.send(pts, chunk);
            }
        };
        let played = self
            .script
            .play(now, pts, live, watched && in_time, on_sound);
        let talking = f64::from(u8::from(played.talking));
        if talking != self.stats.talking.get() {
            self.stats.talking.set(talking);
            let state = if played.talking { "talking" } else { "idle" };
            self.stats.events.post(Event::State { state });
        }
        let Some(mut frame) = played.frame else {
            self.stats.late_frames.add(u64::from(watched && !in_time));
            return;
        };
        frame.begun = Some(now);
        frame.cpu = thread_cpu_time().saturating_sub(cpu);
        if self.frames.push(frame).is_some() {
            self.stats.late_frames.add(1);
        }
    }
}

/// From chunks to packets.
pub(super) struct Sound {
    pub opus: Opus,
    pub hub: Arc<Hub>,
    pub stats: Arc<Stats>,
}

impl Sound {
    fn send(&mut self, pts: Duration, chunk: &AudioChunk) {
        let started = Instant::now();
        let Ok(packets) = self.opus.encode(&chunk.sound) else {
            // 40 ms of silence; the encoder takes any samples, so it was out of memory.
            return;
        };
        self.stats.encode_sound.add(started.elapsed());
        for (n, data) in (0..).zip(packets) {
            self.hub.send(Packet {
                codec: Codec::Opus,
                pts: pts + FRAME_PERIOD / 2 * n,
                key: true,
                accepted: chunk.accepted,
                data,
            });
        }
    }
}

/// The encode thread: from frames to packets, and on to the window.
pub(super) struct Encoding {
    pub pictures: Pictures,
    /// The bitrate of the pictures in kbit/s, as it is and as it is wanted.
    pub video_kbps: (u32, Arc<AtomicU32>),
    pub hub: Arc<Hub>,
    pub stats: Arc<Stats>,
    pub window: Option<ring::Writer<Frame>>,
    pub stills: Receiver<Asked>,
    pub previewed: Arc<AtomicBool>,
}

impl Encoding {
    pub fn run(mut self, frames: &ring::Reader<Frame>) {
        let mut failing = false;
        loop {
            match frames.next(Duration::from_secs(1)) {
                Next::Item(frame) => self.turn(frame, &mut failing),
                Next::Timeout => {}
                Next::Closed => return,
            }
        }
    }

    fn turn(&mut self, frame: Frame, failing: &mut bool) {
        while let Ok(asked) = self.stills.try_recv() {
            asked.answer(&frame);
        }
        let (started, cpu) = (Instant::now(), thread_cpu_time());
        let wanted = self.video_kbps.1.load(Relaxed);
        let mut result = Ok(());
        if self.video_kbps.0 != wanted {
            self.video_kbps.0 = wanted;
            result = self.pictures.set_bitrate(wanted);
        }
        let result = result.and(self.pictures.encode(&frame, &self.hub));
        // Once for each time that it begins to fail.
        if let Err(error) = &result
            && !*failing
        {
            tracing::error!("{error}");
        }
        *failing = result.is_err();
        if let Some(begun) = frame.begun
            && self.hub.watched()
        {
            self.stats.encode.add(started.elapsed());
            self.stats.frame.add(begun.elapsed());
            let cpu = thread_cpu_time().saturating_sub(cpu);
            self.stats.frame_cpu.add(frame.cpu + cpu);
            self.stats.av_skew.set(-begun.elapsed().as_secs_f64());
        }
        let Some(window) = &self.window else {
            return;
        };
        // The ring holds one frame: what comes back is an older one, unless the
        // window is closed and nobody reads any more.
        let pts = frame.pts;
        if window.push(frame).is_some_and(|back| back.pts == pts) {
            self.window = None;
            self.previewed.store(false, Relaxed);
        }
    }
}
