//! One speech socket, from its start to its close.
//!
//! A socket is read only while its sound has somewhere to go: that is what pushes
//! back, and what keeps one socket within its bounds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Error;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use tokio::time::{interval, timeout};

use super::MOST_BYTES;
use super::message::{Fault, Said, Told};
use crate::events::{Event, Listener};
use crate::run::session::Session;
use crate::run::speech::{PushError, Stream};

/// How long a client may take to say its start.
const START: Duration = Duration::from_secs(10);
/// How often the level and the other side's life are looked at.
const GLANCE: Duration = Duration::from_millis(100);
/// How long after the last message the other side is asked whether it is there.
const QUIET: Duration = Duration::from_secs(5);
/// How long after the last message it is gone.
const GONE: Duration = Duration::from_secs(15);
/// How long it may take to read what it is told.
const READING: Duration = Duration::from_secs(10);
/// How long after a close it may take to answer it.
const LINGER: Duration = Duration::from_secs(1);
/// Sound that waits, below which the client is told to go on.
const LOW: Duration = Duration::from_secs(1);

/// Why a socket is left.
enum Leave {
    /// The other side closed it, or is gone.
    Gone,
    /// It did something wrong.
    Fault(Fault),
    /// The session has ended.
    Ended,
}

impl From<PushError> for Leave {
    fn from(_: PushError) -> Self {
        // A stream that is open is only ever refused by the end.
        Self::Ended
    }
}

impl From<Error> for Leave {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        // The library keeps its errors to itself, but for their words.
        if text.contains("too long") || text.contains("too big") {
            return Self::Fault(Fault {
                code: close_code::SIZE,
                sentence: format!("A message has {MOST_BYTES} bytes at most: send smaller ones."),
            });
        }
        Self::Gone
    }
}

/// Talks until the socket is left.
pub(super) async fn talk(socket: WebSocket, session: Arc<Session>, speech: Stream) {
    let mut talk = Talk {
        socket,
        events: session.stats.events.listen(None),
        session,
        speech,
        started: false,
        own: VecDeque::new(),
        told: Level::Empty,
    };
    let leave = match talk.run().await {
        Ok(never) => match never {},
        Err(leave) => leave,
    };
    // Whatever was written is spoken to its end.
    drop(talk.speech);
    let mut socket = talk.socket;
    let close = match leave {
        Leave::Gone => return,
        Leave::Ended => CloseFrame {
            code: close_code::AWAY,
            reason: "The session has ended.".into(),
        },
        Leave::Fault(fault) => {
            let (code, detail) = (fault.code, fault.sentence.clone());
            let told = text(&Told::Error { code, detail });
            let _gone = timeout(LINGER, socket.send(told)).await;
            fault.frame()
        }
    };
    let _gone = timeout(LINGER, socket.send(Message::Close(Some(close)))).await;
    // Dropped at once the connection would break, and take back what was told.
    let _late = timeout(LINGER, async {
        while let Some(Ok(_)) = socket.recv().await {}
        // What can't be read any more may still be on its way.
        tokio::time::sleep(LINGER).await;
    })
    .await;
}

fn text(told: &Told) -> Message {
    let json = serde_json::to_string(told).expect("plain data");
    Message::Text(json.into())
}

/// What the client was told last of how much waits.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    /// That little does, or nothing.
    Empty,
    /// Nothing since more than a little does.
    Some,
    /// That no more is read.
    Full,
}

struct Talk {
    socket: WebSocket,
    session: Arc<Session>,
    events: Listener,
    speech: Stream,
    started: bool,
    /// Its utterances that aren't over, in order.
    own: VecDeque<u64>,
    told: Level,
}

impl Talk {
    async fn run(&mut self) -> Result<std::convert::Infallible, Leave> {
        let mut glance = interval(GLANCE);
        let since = Instant::now();
        let mut heard = since;
        let mut asked = false;
        // Sound that is read and has no room yet.
        let mut sound: Vec<i16> = Vec::new();
        loop {
            tokio::select! {
                message = self.socket.recv(), if sound.is_empty() => {
                    (heard, asked) = (Instant::now(), false);
                    match message.ok_or(Leave::Gone)?? {
                        Message::Text(said) => {
                            let said = Said::read(&said).map_err(Leave::Fault)?;
                            self.obey(said).await?;
                        }
                        Message::Binary(bytes) => {
                            sound = self.samples(&bytes)?;
                            let taken = self.write(&sound)?;
                            sound.drain(..taken);
                            if !sound.is_empty() {
                                self.tell_level(Level::Full, "full").await?;
                            }
                        }
                        Message::Close(_) => return Err(Leave::Gone),
                        // The library answers pings.
                        Message::Ping(_) | Message::Pong(_) => {}
                    }
                }
                taken = self.speech.write(&sound), if !sound.is_empty() => {
                    sound.drain(..taken?);
                    self.note_own();
                    // While nothing was read nobody was heard.
                    (heard, asked) = (Instant::now(), false);
                }
                event = self.events.next() => {
                    let (_, event) = event.ok_or(Leave::Ended)?;
                    self.tell_of(event).await?;
                }
                _ = glance.tick() => {
                    let buffered = self.speech.buffered();
                    if buffered >= LOW && self.told == Level::Empty {
                        self.told = Level::Some;
                    } else if buffered < LOW && self.told != Level::Empty {
                        self.tell_level(Level::Empty, "low").await?;
                    }
                    if !self.started && since.elapsed() > START {
                        return Err(Leave::Fault(Fault::out_of_turn(
                            r#"Nothing was started: say {"type":"start","sample_rate":16000} first."#,
                        )));
                    }
                    if sound.is_empty() && heard.elapsed() > GONE {
                        return Err(Leave::Gone);
                    }
                    if sound.is_empty() && heard.elapsed() > QUIET && !asked {
                        asked = true;
                        self.send(Message::Ping(Bytes::new())).await?;
                    }
                }
            }
        }
    }

    async fn obey(&mut self, said: Said) -> Result<(), Leave> {
        match said {
            Said::Ping => return self.tell(&Told::Pong).await,
            Said::Start(rate) => {
                self.speech.begin(rate)?;
                self.started = true;
                return Ok(());
            }
            _ if !self.started => return Err(Leave::Fault(early())),
            Said::End => self.speech.end(),
            Said::Clear => {
                let session = Arc::clone(&self.session);
                let asked = tokio::task::spawn_blocking(move || session.interrupt());
                let answer = asked.await.ok().flatten().ok_or(Leave::Ended)?;
                self.speech.end();
                // What became of each utterance is told first.
                while let Some((_, event)) = self.events.try_next() {
                    self.tell_of(event).await?;
                }
                self.tell(&Told::Cleared {
                    utterance: answer.utterance,
                    played_ms: answer.played_ms,
                })
                .await?;
            }
        }
        Ok(())
    }

    /// The samples of a binary message.
    fn samples(&self, bytes: &[u8]) -> Result<Vec<i16>, Leave> {
        if !self.started {
            return Err(Leave::Fault(early()));
        }
        let (samples, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Leave::Fault(Fault::unreadable(format!(
                "A message of {} bytes is no 16-bit samples: send an even number.",
                bytes.len()
            ))));
        }
        Ok(samples.iter().copied().map(i16::from_le_bytes).collect())
    }

    fn write(&mut self, sound: &[i16]) -> Result<usize, Leave> {
        let taken = self.speech.try_write(sound)?;
        self.note_own();
        Ok(taken)
    }

    fn note_own(&mut self) {
        let own = self.speech.utterance();
        self.own
            .extend(own.filter(|own| self.own.back() != Some(own)));
    }

    /// Tells what happened, if it happened to what this socket said.
    async fn tell_of(&mut self, event: Event) -> Result<(), Leave> {
        match event {
            Event::SpeechStarted { utterance } if self.own.contains(&utterance) => {
                self.tell(&Told::Started { utterance }).await
            }
            Event::SpeechFinished {
                utterance,
                played_ms,
                interrupted,
            } if self.own.contains(&utterance) => {
                // Those before it are over too, should that have been missed.
                self.own.retain(|own| *own > utterance);
                self.tell(&Told::Finished {
                    utterance,
                    played_ms,
                    interrupted,
                })
                .await
            }
            Event::SpeechDropped { first, last } => {
                let dropped = self.own.iter().copied();
                let dropped: Vec<u64> = dropped.filter(|n| (first..=last).contains(n)).collect();
                for utterance in dropped {
                    self.own.retain(|own| *own != utterance);
                    self.tell(&Told::Finished {
                        utterance,
                        played_ms: 0,
                        interrupted: true,
                    })
                    .await?;
                }
                Ok(())
            }
            Event::Ended => Err(Leave::Ended),
            _ => Ok(()),
        }
    }

    async fn tell_level(&mut self, level: Level, state: &'static str) -> Result<(), Leave> {
        if self.told == level {
            return Ok(());
        }
        self.told = level;
        let buffered_ms = self.speech.buffered().as_millis() as u64;
        self.tell(&Told::Level { state, buffered_ms }).await
    }

    async fn tell(&mut self, told: &Told) -> Result<(), Leave> {
        self.send(text(told)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Leave> {
        // One who doesn't read what he is told isn't listened to either.
        let sent = timeout(READING, self.socket.send(message)).await;
        sent.map_err(|_| Leave::Gone)??;
        Ok(())
    }
}

fn early() -> Fault {
    Fault::out_of_turn(
        r#"Nothing was started: say {"type":"start","sample_rate":16000} before anything else."#,
    )
}
