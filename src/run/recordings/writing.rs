//! The thread that writes, and never keeps the stream waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::{fs, io};

use crossbeam_channel::{Sender, bounded};
use tokio::sync::{mpsc, oneshot};

use super::listening::{Listening, Queued, WAITING};
use super::running::{Outcome, Reason, Running, begun, lock};
use super::{Error, Make, Recordings, folder};
use crate::events::{Event, Events};
use crate::media::{Codec, Packet};
use crate::pool::Size;
use crate::run::session::Session;
use crate::stage::write::{self, Mp4Writer};

/// Packets of sound that the next file may begin with: half a second, by which no
/// sound is ahead of its picture.
const AHEAD: usize = 25;

/// The thread that writes.
pub(super) struct Writing {
    recordings: Arc<Recordings>,
    running: Arc<Running>,
    outcome: Sender<Outcome>,
    events: Events,
    session: String,
    pre_skip: u16,
    /// The last packets of sound.
    sound: VecDeque<Packet>,
}

impl Writing {
    /// Begins to listen and to write.
    pub(super) fn start(
        recordings: &Arc<Recordings>,
        session: &Session,
    ) -> Result<Arc<Running>, Error> {
        let make = Make {
            size: session.cast().avatar.size,
            pre_skip: session.pre_skip,
        };
        let (id, writer) = recordings
            .create(&session.id, make)
            .map_err(|error| folder(io::Error::other(error)))?;
        let (stop, stopped) = oneshot::channel();
        let (outcome, told) = bounded(1);
        let running = Arc::new(Running::new(begun(&session.id, id), stop, told));
        let writing = Self {
            recordings: Arc::clone(recordings),
            running: Arc::clone(&running),
            outcome,
            events: session.stats.events.clone(),
            session: session.id.clone(),
            pre_skip: session.pre_skip,
            sound: VecDeque::with_capacity(AHEAD),
        };
        let (queue, queued) = mpsc::channel(WAITING);
        // Before it can end, which takes it out again.
        let entry = (session.id.clone(), Arc::clone(&running));
        recordings.lock().extend([entry]);
        std::thread::Builder::new()
            .name("record".into())
            .spawn(move || writing.run(writer, queued))
            .map_err(|error| {
                recordings.lock().remove(&session.id);
                folder(error)
            })?;
        let shown = session.shown();
        let listening = Listening {
            watch: session.hub.watch(Codec::H264),
            size: Box::new(move || shown.cast().avatar.size),
            queue,
            running: Arc::clone(&running),
        };
        tokio::spawn(listening.run(stopped));
        Ok(running)
    }

    fn run(mut self, mut writer: Mp4Writer, mut queued: mpsc::Receiver<Queued>) {
        self.post_started();
        let mut failed = None;
        while let Some(Queued { packet, size }) = queued.blocking_recv() {
            let bytes = packet.data.len() as u64;
            self.running.waiting.fetch_sub(bytes, Relaxed);
            let before = writer.bytes();
            if let Err(error) = self.write(&mut writer, &packet, size) {
                failed = Some(error);
                break;
            }
            self.tell(&writer);
            if writer.bytes() > before && self.recordings.full() {
                tracing::warn!(
                    session = self.session,
                    "the recordings have recordings.max_mb"
                );
                self.running.over(Reason::Full);
                break;
            }
        }
        // Whoever listens stops, and what it still has is not written.
        drop(queued);
        self.end(writer, failed);
    }

    /// Adds `packet` to the file, or to the next one where pictures became others.
    fn write(
        &mut self,
        writer: &mut Mp4Writer,
        packet: &Packet,
        size: Option<Size>,
    ) -> Result<(), write::Error> {
        match (writer.write(packet), size) {
            (Err(write::Error::Pictures { .. }), Some(size)) => {
                let pre_skip = self.pre_skip;
                let make = Make { size, pre_skip };
                let (id, next) = self.recordings.create(&self.session, make)?;
                let finished = std::mem::replace(writer, next).finish();
                self.post_ended(Reason::Changed);
                *lock(&self.running.told) = begun(&self.session, id);
                self.post_started();
                finished?;
                // The sound of these pictures came before them.
                for sound in &self.sound {
                    writer.write(sound)?;
                }
                writer.write(packet)?;
            }
            (written, _) => written?,
        }
        if packet.codec == Codec::Opus {
            if self.sound.len() == AHEAD {
                self.sound.pop_front();
            }
            self.sound.push_back(packet.clone());
        }
        Ok(())
    }

    fn tell(&self, writer: &Mp4Writer) {
        self.running.unwritten.store(writer.held_bytes(), Relaxed);
        let mut told = lock(&self.running.told);
        told.bytes = writer.bytes();
        told.seconds = writer.length().as_millis() as f64 / 1e3;
    }

    fn end(self, writer: Mp4Writer, failed: Option<write::Error>) {
        let (length, bytes) = (writer.length(), writer.bytes());
        let mut told = self.running.told();
        let finished = match failed {
            None => writer.finish(),
            Some(error) => Err(error),
        };
        if finished.is_err() && bytes == 0 {
            // A file of no bytes helps nobody; if it can't go, it may stay.
            let _stays = fs::remove_file(self.recordings.place(&told.id));
        }
        if let Err(error) = &finished {
            let full = matches!(error, write::Error::Full { .. });
            self.running
                .over(if full { Reason::Full } else { Reason::Failed });
            tracing::warn!(session = self.session, "{error}");
        }
        told.running = false;
        told.seconds = length.as_millis() as f64 / 1e3;
        told.bytes = *finished.as_ref().unwrap_or(&bytes);
        // Out of the list first: who is told that it is over may begin the next.
        self.recordings.lock().remove(&self.session);
        self.post_ended(*self.running.reason.get_or_init(|| Reason::Failed));
        let _nobody_waits = self.outcome.try_send(finished.map(|_| told));
    }

    fn post_started(&self) {
        self.events.post(Event::Recording {
            recording: self.running.told().id.into(),
            state: "started",
            reason: None,
        });
    }

    fn post_ended(&self, reason: Reason) {
        self.events.post(Event::Recording {
            recording: self.running.told().id.into(),
            state: "ended",
            reason: Some(reason.word()),
        });
    }
}
