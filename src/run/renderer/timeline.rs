//! What is on: the idle clip, or an action in its place, one faded into the other.
//!
//! Everything is counted in frames of the timeline, whether they are drawn or not.
//! While an action plays the idle clip rests. It comes back at its own beginning,
//! since actions end as it begins; so nothing jumps where the fade is over.

use std::io;
use std::sync::Arc;

use super::action::{Action, When};
use super::scene::{LEAD, Reads};
use super::track::{Shot, Track};
use crate::avatar::{Clip, Face};
use crate::events::Events;
use crate::stage::compose::mix;

/// Frames over which one clip fades into another: 320 ms, in which a head that is
/// elsewhere is not seen twice for long.
const FADE: u64 = 8;

/// The clips of one avatar, as they are played.
pub(super) struct Timeline {
    idle: Track,
    /// What the idle clip is ahead of the timeline, in frames.
    shift: u64,
    /// What waits for its first picture, or for a pause.
    coming: Option<Box<Action>>,
    playing: Option<Playing>,
    fade: Option<Fade>,
    /// The next frame.
    next: u64,
}

/// An action that is on.
struct Playing {
    action: Box<Action>,
    /// Its first frame on the timeline, and the first one after it.
    begun: u64,
    ends: u64,
}

/// What goes.
struct Fade {
    since: u64,
    /// An action, or else the idle clip.
    from: Option<Playing>,
}

/// The picture of one frame.
pub(super) struct Drawn {
    top: Shot,
    /// What shows through it, and how much of 256.
    under: Option<(Shot, u16)>,
}

impl Timeline {
    /// Idles with `clip`.
    pub fn new(clip: &Arc<Clip>) -> io::Result<Self> {
        Ok(Self {
            idle: Track::start(clip)?,
            shift: 0,
            coming: None,
            playing: None,
            fade: None,
            next: 0,
        })
    }

    /// The idle clip, for who begins with it.
    pub fn idle(&mut self) -> &mut Track {
        &mut self.idle
    }

    /// Lets `action` begin as soon as it can, in the place of one that waits.
    pub fn act(&mut self, action: Box<Action>, events: &Events) {
        self.drop_coming(events);
        self.coming = Some(action);
    }

    /// Ends what is on as soon as the idle clip can be there, and what waits.
    pub fn rest(&mut self, events: &Events) {
        self.drop_coming(events);
        let soon = self.next + LEAD + FADE;
        if let Some(playing) = &mut self.playing
            && soon < playing.ends
        {
            playing.ends = soon;
            if self.fade.is_none() {
                self.rejoin();
            }
        }
    }

    /// Tells that all of it is over: it will not be seen any more.
    pub fn close(&mut self, events: &Events) {
        self.drop_coming(events);
        let fading = self.fade.take().and_then(|fade| fade.from);
        for playing in [fading, self.playing.take()].into_iter().flatten() {
            playing.end(self.next, events);
        }
    }

    /// Goes on to frame `index` of the timeline. `pause`: nobody talks.
    pub fn step(&mut self, index: u64, pause: bool, events: &Events) {
        self.next = index + 1;
        if let Some(fade) = self.fade.take_if(|fade| index >= fade.since + FADE) {
            if let Some(gone) = fade.from {
                gone.end(fade.since + FADE, events);
            }
            self.rejoin();
        }
        let ready = |action: &mut Box<Action>| {
            action.track.prepare(0) && (pause || action.when == When::Now)
        };
        if self.coming.as_mut().is_some_and(ready) && self.fade.is_none() {
            let action = self.coming.take().expect("it is ready");
            events.post(action.told("started", None));
            let from = self.playing.replace(Playing {
                begun: index,
                ends: index + action.frames,
                action,
            });
            self.fade = Some(Fade { since: index, from });
        }
        let over = |playing: &mut Playing| index + FADE >= playing.ends;
        if self.fade.is_none()
            && let Some(gone) = self.playing.take_if(over)
        {
            let from = Some(gone);
            self.fade = Some(Fade { since: index, from });
        }
    }

    /// The picture of frame `index`. `None` before the first one.
    pub fn draw(&mut self, index: u64, read: Reads) -> Option<Drawn> {
        let idle = index + self.shift;
        let top = match &mut self.playing {
            Some(playing) => playing.shot(index, read),
            None => self.idle.shot(idle, read),
        };
        let under = self.fade.as_mut().and_then(|fade| {
            let shot = match &mut fade.from {
                Some(playing) => playing.shot(index, read),
                None => self.idle.shot(idle, read),
            };
            let shown = index.saturating_sub(fade.since) + 1;
            let left = (FADE + 1).saturating_sub(shown) * 256 / (FADE + 1);
            Some((shot?, left as u16))
        });
        match (top, under) {
            (Some(top), under) => Some(Drawn { top, under }),
            (None, Some((top, _))) => Some(Drawn { top, under: None }),
            (None, None) => None,
        }
    }

    /// Has the idle clip begin when what plays ends, and be decoded when it fades in.
    fn rejoin(&mut self) {
        if let Some(playing) = &self.playing {
            let len = self.idle.len();
            self.shift = (len - playing.ends % len) % len;
            let from = playing.ends.saturating_sub(FADE).max(self.next);
            self.idle.seek(from + self.shift);
        }
    }

    /// Lets what waits go.
    fn drop_coming(&mut self, events: &Events) {
        if let Some(action) = self.coming.take() {
            action.drop_unseen(events);
        }
    }
}

impl Playing {
    fn shot(&mut self, index: u64, read: Reads) -> Option<Shot> {
        self.action
            .track
            .shot(index.saturating_sub(self.begun), read)
    }

    /// It is gone at frame `index`.
    fn end(self, index: u64, events: &Events) {
        let interrupted = index < self.begun + self.action.frames;
        events.post(self.action.told("finished", Some(interrupted)));
        self.action.track.leave();
    }
}

impl Drawn {
    /// Whether a part of it stands in for one that was not decoded in time.
    pub fn late(&self) -> bool {
        self.top.late || self.under.as_ref().is_some_and(|(under, _)| under.late)
    }

    /// Draws it on `i420`.
    pub fn onto(&self, i420: &mut [u8]) {
        i420.copy_from_slice(self.top.picture.i420());
        if let Some((under, share)) = &self.under {
            mix(i420, under.picture.i420(), *share);
        }
    }

    /// Where the face is, if one shows.
    pub fn face(&self) -> Option<Face> {
        let Some((under, share)) = &self.under else {
            return self.top.face;
        };
        match (self.top.face, under.face) {
            (Some(top), Some(under)) => Some(top.between(under, f32::from(*share) / 256.0)),
            // Where one of them turned away there is no mouth to be drawn on both.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
