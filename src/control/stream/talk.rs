//! One speech socket, from its start to its close.
//!
//! A socket is read only while what it says has somewhere to go: that is what
//! pushes back, and what keeps one socket within its bounds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Error;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use tokio::time::{interval, timeout};

use super::MOST_BYTES;
use super::backlog::Backlog;
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
    /// The other side closed it.
    Closed,
    /// The other side is gone.
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
        let (code, sentence) = if text.contains("Space limit") {
            let sentence = format!("A message has {MOST_BYTES} bytes at most: send smaller ones.");
            (close_code::SIZE, sentence)
        } else if text.contains("UTF-8") {
            let sentence = "A text message is not UTF-8: samples go into binary ones.";
            (close_code::INVALID, sentence.into())
        } else if text.contains("protocol error") && !text.contains("clos") {
            let sentence = format!("This is not a WebSocket's (RFC 6455): {text}.");
            (close_code::PROTOCOL, sentence)
        } else {
            return Self::Gone;
        };
        Self::Fault(Fault { code, sentence })
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
        backlog: Backlog::default(),
        own: VecDeque::new(),
        told: Level::Empty,
    };
    let leave = match talk.run().await {
        Ok(never) => match never {},
        Err(leave) => leave,
    };
    let Talk {
        socket,
        speech,
        backlog,
        events,
        ..
    } = talk;
    tokio::join!(part(socket, leave), finish(speech, backlog, events));
}

/// Says why, and goodbye.
async fn part(mut socket: WebSocket, leave: Leave) {
    let close = match leave {
        Leave::Gone => return,
        Leave::Closed => {
            // The library answers a close as it is asked for more.
            let _gone = timeout(LINGER, socket.recv()).await;
            return;
        }
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

/// Has spoken what was read before the socket was left, unless somebody interrupts:
/// then all of it is cut.
async fn finish(mut speech: Stream, mut backlog: Backlog, mut events: Listener) {
    while !backlog.is_empty() {
        tokio::select! {
            passed = backlog.pass_on(&mut speech) => if passed.is_err() {
                return;
            },
            event = events.next() => match event {
                None
                | Some((_, Event::SpeechDropped { .. }))
                | Some((_, Event::SpeechFinished { interrupted: true, .. })) => return,
                Some(_) => {}
            }
        }
    }
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
    /// That there is no room for more.
    Full,
}

struct Talk {
    socket: WebSocket,
    session: Arc<Session>,
    events: Listener,
    speech: Stream,
    started: bool,
    /// What was read and the stream has no room for yet.
    backlog: Backlog,
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
        loop {
            tokio::select! {
                message = self.socket.recv(), if self.backlog.has_room() => {
                    (heard, asked) = (Instant::now(), false);
                    match message.ok_or(Leave::Gone)?? {
                        Message::Text(said) => {
                            let said = Said::read(&said).map_err(Leave::Fault)?;
                            self.obey(said).await?;
                        }
                        Message::Binary(bytes) => self.hear(&bytes).await?,
                        Message::Close(_) => return Err(Leave::Closed),
                        // The library answers pings.
                        Message::Ping(_) | Message::Pong(_) => {}
                    }
                }
                passed = self.backlog.pass_on(&mut self.speech), if !self.backlog.is_empty() => {
                    passed?;
                    self.note_own();
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
                    if !self.backlog.has_room() {
                        // While nothing is read nobody is heard.
                        (heard, asked) = (Instant::now(), false);
                    }
                    if heard.elapsed() > GONE {
                        return Err(Leave::Gone);
                    }
                    if heard.elapsed() > QUIET && !asked {
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
                self.started = true;
                self.backlog.end(Some(rate));
                self.pass_on()?;
            }
            _ if !self.started => return Err(Leave::Fault(early())),
            Said::End => {
                self.backlog.end(None);
                self.pass_on()?;
            }
            Said::Clear => {
                let session = Arc::clone(&self.session);
                let asked = tokio::task::spawn_blocking(move || session.interrupt());
                let answer = asked.await.ok().flatten().ok_or(Leave::Ended)?;
                // What waited here was said before the clear.
                let rate = self.backlog.clear();
                self.backlog.end(rate);
                self.pass_on()?;
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

    /// Takes the samples of a binary message.
    async fn hear(&mut self, bytes: &[u8]) -> Result<(), Leave> {
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
        let samples = samples.iter().copied().map(i16::from_le_bytes);
        self.backlog.push(samples);
        self.pass_on()?;
        if !self.backlog.is_empty() {
            self.tell_level(Level::Full, "full").await?;
        }
        Ok(())
    }

    /// Gives the stream what it has room for now.
    fn pass_on(&mut self) -> Result<(), Leave> {
        while self.backlog.try_pass_on(&mut self.speech)? {
            self.note_own();
        }
        Ok(())
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
