use std::path::Path;
use std::time::Duration;

use super::*;
use crate::avatar::{Avatar, Player};
use crate::events::{Event, Listener};

/// `ava` on a timeline that is drawn in lock step.
struct Show {
    avatar: Arc<Avatar>,
    timeline: Timeline,
    events: Events,
    told: Listener,
    next: u64,
}

impl Show {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/avatars/ava");
        let avatar = Arc::new(Avatar::open(&folder).expect("the bundled avatar is whole"));
        let events = Events::default();
        Self {
            timeline: Timeline::new(avatar.idle()).expect("a decoder"),
            told: events.listen(None),
            events,
            avatar,
            next: 0,
        }
    }

    fn act(&mut self, name: &str, when: When, loops: u32) {
        let action = Action::new(&self.avatar, name, when, loops);
        let mut action = action.expect("a decoder").expect("ava can");
        while !action.track.prepare(0) {
            std::thread::yield_now();
        }
        self.timeline.act(action, &self.events);
    }

    fn frames(&self, name: &str) -> u64 {
        self.avatar.clip(name).expect("ava has it").len() as u64
    }

    /// One frame: which picture is on top, and which one shows through it how much.
    fn frame(&mut self, pause: bool) -> (usize, Option<(usize, u16)>) {
        self.timeline.step(self.next, pause, &self.events);
        let drawn = self.timeline.draw(self.next, Player::picture_waiting);
        self.next += 1;
        let drawn = drawn.expect("it is waited for");
        assert!(!drawn.late());
        let under = drawn.under.as_ref();
        (
            drawn.top.picture.index,
            under.map(|(shot, share)| (shot.picture.index, *share)),
        )
    }

    /// What was told of actions since it was asked last.
    fn told(&mut self) -> Vec<(String, &'static str, Option<bool>)> {
        let events = std::iter::from_fn(|| self.told.try_next());
        let actions = events.map(|(_, event)| match event {
            Event::Action {
                clip,
                state,
                interrupted,
            } => (clip.into(), state, interrupted),
            other => panic!("{other:?}"),
        });
        actions.collect()
    }
}

fn told(
    clip: &str,
    state: &'static str,
    interrupted: Option<bool>,
) -> (String, &'static str, Option<bool>) {
    (clip.to_owned(), state, interrupted)
}

#[test]
fn an_action_fades_in_plays_its_rounds_and_gives_way_to_the_beginning_of_the_idle_clip() {
    let mut show = Show::new();
    for n in 0..10 {
        assert_eq!(show.frame(false), (n, None));
    }
    show.act("nod", When::Now, 2);
    let nod = show.frames("nod") as usize;
    let idle = show.frames("idle") as usize;
    let fade = FADE as usize;
    let mut last = 256;
    for n in 0..2 * nod - fade {
        let (top, under) = show.frame(false);
        assert_eq!(top, n % nod);
        assert_eq!(under.map(|(index, _)| index), (n < fade).then_some(10 + n));
        if let Some((_, share)) = under {
            assert!(share < last, "less and less of it shows");
            last = share;
        }
    }
    for n in 0..fade {
        let (top, under) = show.frame(false);
        assert_eq!(
            top,
            idle - fade + n,
            "the idle clip's end leads to its beginning"
        );
        assert_eq!(under.expect("it fades").0, nod - fade + n);
    }
    assert_eq!(show.told(), [told("nod", "started", None)]);
    for n in 0..idle + 3 {
        assert_eq!(show.frame(false), (n % idle, None));
    }
    assert_eq!(show.told(), [told("nod", "finished", Some(false))]);
}

#[test]
fn an_action_waits_for_a_pause_and_another_takes_its_place() {
    let mut show = Show::new();
    show.act("nod", When::Pause, 1);
    for n in 0..20 {
        assert_eq!(show.frame(false), (n, None), "somebody talks");
    }
    show.act("smile", When::Pause, 1);
    assert_eq!(show.told(), [told("nod", "dropped", None)]);
    assert_eq!(show.frame(true).0, 0);
    for _ in 0..20 {
        show.frame(false);
    }
    show.act("nod", When::Now, 1);
    let (top, under) = show.frame(false);
    assert_eq!(
        (top, under.expect("it fades").0),
        (0, 21),
        "one fades into the other"
    );
    for _ in 0..FADE {
        show.frame(false);
    }
    assert_eq!(
        show.told(),
        [
            told("smile", "started", None),
            told("nod", "started", None),
            told("smile", "finished", Some(true)),
        ]
    );
}

#[test]
fn the_idle_clip_comes_back_when_it_is_asked_for() {
    let mut show = Show::new();
    show.act("nod", When::Now, 1_000);
    for _ in 0..30 {
        show.frame(false);
    }
    show.act("smile", When::Pause, 1);
    show.timeline.rest(&show.events);
    for _ in 0..LEAD {
        assert_eq!(show.frame(false).1, None);
    }
    for _ in 0..FADE {
        assert!(show.frame(false).1.is_some(), "it fades");
    }
    assert_eq!(show.frame(true), (0, None));
    let all = [
        told("nod", "started", None),
        told("smile", "dropped", None),
        told("nod", "finished", Some(true)),
    ];
    assert_eq!(show.told(), all);
    show.timeline.rest(&show.events);
    assert_eq!(show.frame(true), (1, None));
    assert_eq!(show.told(), [], "there was nothing to end");
}

#[test]
fn what_nobody_watches_is_over_in_time_and_leaves_no_picture_behind() {
    let mut show = Show::new();
    let clip = Arc::clone(show.avatar.clip("nod").expect("ava can"));
    assert_eq!(clip.decoded_bytes(), 0);
    show.act("nod", When::Now, 1);
    assert!(clip.decoded_bytes() > 0, "whose pictures they are is known");
    for _ in 0..show.frames("nod") + 2 {
        show.timeline.step(show.next, false, &show.events);
        show.next += 1;
    }
    let whole = [
        told("nod", "started", None),
        told("nod", "finished", Some(false)),
    ];
    assert_eq!(show.told(), whole);
    show.act("nod", When::Now, 1);
    show.frame(false);
    show.timeline.close(&show.events);
    assert_eq!(show.told()[1], told("nod", "finished", Some(true)));
    for _ in 0..500 {
        if clip.decoded_bytes() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} bytes are left", clip.decoded_bytes());
}

#[test]
fn a_face_is_between_those_of_two_pictures() {
    let mut show = Show::new();
    for _ in 0..60 {
        show.frame(false);
    }
    show.act("smile", When::Now, 1);
    show.timeline.step(60, false, &show.events);
    let drawn = show
        .timeline
        .draw(60, Player::picture_waiting)
        .expect("both");
    let (under, share) = drawn.under.as_ref().expect("it fades");
    assert_eq!(*share, (FADE * 256 / (FADE + 1)) as u16);
    let (top, under) = (drawn.top.face.expect("a face"), under.face.expect("a face"));
    let face = drawn.face().expect("a face");
    assert_ne!(top, under);
    assert!((face.mouth[0] - top.mouth[0]).abs() > (face.mouth[0] - under.mouth[0]).abs());
    let mut i420 = vec![0; show.avatar.size.i420_bytes()];
    drawn.onto(&mut i420);
    let pictures = [&drawn.top, &drawn.under.as_ref().expect("it fades").0];
    let [top, under] = pictures.map(|shot| shot.picture.i420());
    for ((pixel, a), b) in i420.iter().zip(top).zip(under) {
        assert!((*a.min(b)..=*a.max(b)).contains(pixel));
    }
    assert_ne!(i420, top);
    assert_ne!(i420, under);
}
