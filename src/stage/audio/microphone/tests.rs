use super::*;
use std::cell::RefCell;
use std::rc::Rc;

use crate::media::AudioChunk;
use crate::ring::{self, Next, Reader};
use crate::stage::audio::tap::{Alarm, Tap, tap};

const MS: Duration = Duration::from_millis(1);

/// A device that is plugged in and out by the test.
#[derive(Default)]
struct Bench {
    plugged: bool,
    hangs: bool,
    tries: usize,
    asked: bool,
    tap: Option<(Tap, Alarm)>,
}

#[derive(Clone, Default)]
struct Fake(Rc<RefCell<Bench>>);

impl Opening for Fake {
    fn begin(&mut self) {
        let mut bench = self.0.borrow_mut();
        (bench.tries, bench.asked) = (bench.tries + 1, true);
    }

    fn answer(&mut self) -> Option<Result<Feed, Error>> {
        let mut bench = self.0.borrow_mut();
        if bench.hangs || !std::mem::take(&mut bench.asked) {
            return None;
        }
        if !bench.plugged {
            return Some(Err(Error::Silent("the fake".into())));
        }
        let (tap, alarm, feed) = tap("the fake".into(), 16_000, 2, &thread::current());
        bench.tap = Some((tap, alarm));
        Some(Ok(feed))
    }

    fn close(&mut self) {
        self.0.borrow_mut().tap = None;
    }
}

/// A capture and its clock, in lock step.
struct Rig {
    fake: Fake,
    capture: Capture<Fake>,
    sound: Reader<AudioChunk>,
    stats: Arc<Stats>,
    now: Instant,
    said: Vec<Change>,
    chunks: usize,
}

impl Rig {
    fn new(plugged: bool) -> Self {
        let fake = Fake::default();
        fake.0.borrow_mut().plugged = plugged;
        let (writer, sound) = ring::ring(3);
        let stats = Stats::new();
        Self {
            capture: Capture::new(
                fake.clone(),
                Inlet::new(writer, Arc::clone(&stats)),
                Arc::clone(&stats),
            ),
            fake,
            sound,
            stats,
            now: Instant::now(),
            said: Vec::new(),
            chunks: 0,
        }
    }

    /// Lets `time` pass, with a callback every 10 ms while there is a device.
    fn run(&mut self, time: Duration, talking: bool) {
        let end = self.now + time;
        while self.now < end {
            if let Some((tap, _)) = self.fake.0.borrow_mut().tap.as_mut().filter(|_| talking) {
                tap.push(&[0.5_f32; 320]);
            }
            self.said.extend(self.capture.step(self.now));
            while let Next::Item(chunk) = self.sound.next(Duration::ZERO) {
                assert!(chunk.accepted.is_some());
                self.chunks += 1;
            }
            self.now += 10 * MS;
        }
    }

    fn said(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.said)
    }

    fn tries(&self) -> usize {
        std::mem::take(&mut self.fake.0.borrow_mut().tries)
    }
}

fn heard() -> Change {
    Change::Heard("the fake, 16000 Hz × 2".into())
}

fn lost() -> Change {
    Change::Lost("the microphone the fake is silent".into())
}

#[test]
fn sound_becomes_a_chunk_every_forty_milliseconds() {
    let mut rig = Rig::new(true);
    rig.run(2_000 * MS, true);
    assert_eq!(rig.said(), [heard()]);
    assert!((48..=50).contains(&rig.chunks), "{}", rig.chunks);
    assert_eq!(rig.stats.late_chunks.get(), 0);
}

#[test]
fn a_device_that_stops_calling_is_lost_once_and_comes_back_within_two_seconds() {
    let mut rig = Rig::new(true);
    rig.run(500 * MS, true);
    assert_eq!(rig.said(), [heard()]);
    rig.fake.0.borrow_mut().plugged = false;
    rig.run(990 * MS, false);
    assert_eq!(rig.said(), [], "not before a second has passed");
    rig.run(20 * MS, false);
    rig.run(60_000 * MS, true);
    assert_eq!(rig.said(), [lost()], "once, however long it takes");
    let tries = rig.tries();
    assert!((110..=125).contains(&tries), "{tries} tries in a minute");
    rig.chunks = 0;
    rig.fake.0.borrow_mut().plugged = true;
    rig.run(2_000 * MS, true);
    assert_eq!(rig.said(), [heard()]);
    assert!(rig.chunks > 20, "{}", rig.chunks);
    rig.run(60_000 * MS, true);
    assert_eq!(rig.said(), []);
}

#[test]
fn a_device_that_opens_but_stays_silent_is_not_back() {
    let mut rig = Rig::new(true);
    rig.run(10_000 * MS, false);
    assert_eq!(rig.said(), [lost()]);
    rig.run(700 * MS, true);
    assert_eq!(rig.said(), [heard()]);
}

#[test]
fn a_missing_device_is_waited_for() {
    let mut rig = Rig::new(false);
    rig.run(5_000 * MS, true);
    assert_eq!(rig.said(), [lost()]);
    rig.fake.0.borrow_mut().plugged = true;
    rig.run(1_500 * MS, true);
    assert_eq!(rig.said(), [heard()]);
}

#[test]
fn a_driver_that_reports_its_end_is_believed_at_once() {
    let mut rig = Rig::new(true);
    rig.run(500 * MS, true);
    let taken = rig.fake.0.borrow_mut().tap.take();
    taken.expect("it is open").1.raise();
    rig.run(20 * MS, true);
    assert_eq!(rig.said(), [heard(), lost()]);
    rig.run(500 * MS, true);
    assert_eq!(rig.said(), [heard()]);
}

#[test]
fn a_driver_that_hangs_is_given_up_and_tried_again() {
    let mut rig = Rig::new(true);
    rig.fake.0.borrow_mut().hangs = true;
    rig.run(20_000 * MS, true);
    let silent = Change::Lost("the sound system doesn't answer".into());
    assert_eq!(rig.said(), [silent]);
    assert!(rig.tries() >= 4);
    rig.fake.0.borrow_mut().hangs = false;
    rig.run(4_000 * MS, true);
    assert_eq!(rig.said(), [heard()]);
}

#[test]
fn a_device_that_outruns_time_is_refused() {
    let mut rig = Rig::new(true);
    for _ in 0..3 {
        rig.run(20 * MS, true);
        if let Some((tap, _)) = &mut rig.fake.0.borrow_mut().tap {
            (0..10_000).for_each(|_| tap.push(&[0.0_f32; 320]));
        }
        rig.run(UNPACED_WAIT, true);
    }
    assert_eq!(rig.tries(), 3);
    assert!(matches!(&rig.said()[..], [Change::Lost(why)] if why.contains("faster than time")));
}

#[test]
fn what_nobody_takes_in_time_is_counted() {
    let mut rig = Rig::new(true);
    rig.run(20 * MS, true);
    if let Some((tap, _)) = &mut rig.fake.0.borrow_mut().tap {
        // 400 ms at once: ten chunks for a ring of three.
        (0..40).for_each(|_| tap.push(&[0.1_f32; 320]));
    }
    rig.capture.step(rig.now);
    assert!((6..=7).contains(&rig.stats.late_chunks.get()));
}

/// A device whose driver is quick, slow to open, or stuck.
struct Driver {
    release: Receiver<()>,
}

impl Opens for Driver {
    fn open(&self, _: &Thread) -> Result<(Feed, Box<dyn Any>), Error> {
        let _released = self.release.recv();
        Err(Error::NoAnswer)
    }
}

#[test]
fn dropping_the_microphone_closes_the_ring_even_while_a_driver_hangs() {
    let (hang, release) = bounded(0);
    let (writer, sound) = ring::ring(3);
    let inlet = Inlet::new(writer, Stats::new());
    let microphone = Microphone::listen_to(Driver { release }, inlet, Stats::new());
    drop(microphone.expect("a thread"));
    assert_eq!(sound.next(Duration::ZERO), Next::Closed);
    drop(hang);
}

#[test]
fn no_more_than_a_few_helpers_hang() {
    let (hang, release) = bounded(0);
    let mut helpers = Helpers::new(Driver { release }, thread::current());
    for _ in 0..20 {
        helpers.begin();
        assert!(helpers.answer().is_none());
    }
    assert_eq!(Arc::strong_count(&helpers.running), 1 + MOST_HELPERS);
    drop(hang);
}
