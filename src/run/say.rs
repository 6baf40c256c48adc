//! Text, spoken while it is made: one sentence after the other into a stream of
//! the speech queue, which takes ten seconds ahead of the voice. So the next is
//! made while this one is spoken, and no more than that.
//!
//! A text has its place in the queue with its first sound. Until then whoever
//! sent it waits, and is told what went wrong. Silencing the session drops what
//! is being made.

use std::sync::Arc;
use std::time::Duration;

use crate::run::script::Interrupted;
use crate::run::session::Session;
use crate::run::speech::{PushError, Stream};
use crate::stage::tts::{self, Saying, Text, Tts};

/// The rate of a stream until its first sound says the true one.
const ANY_RATE: u32 = 24_000;

/// Why a text isn't said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue doesn't take it.
    #[error(transparent)]
    Push(#[from] PushError),
    /// No speech can be made of it.
    #[error(transparent)]
    Tts(#[from] tts::Error),
    /// Somebody interrupted first.
    #[error("The session was silenced before the text had a sound, so it isn't said.")]
    Silenced,
}

/// A text that is being said.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Its number among the utterances.
    pub utterance: u64,
    /// What is played before it.
    pub queued: Duration,
    /// What was cut off for it.
    pub cut: Option<Interrupted>,
}

/// Says `text`. With `interrupt`, what is said and waits is cut off as soon as the
/// text has a sound. Returns with the first sound; the rest follows by itself.
///
/// # Errors
///
/// When there is no room, no sound, or somebody interrupts.
pub async fn say(
    session: Arc<Session>,
    tts: Arc<Tts>,
    text: Text,
    interrupt: bool,
) -> Result<Said, Error> {
    if !interrupt {
        session.speech.room()?;
    }
    let mut stream = session.speech.open(ANY_RATE)?;
    let mut sentences = Sentences { tts, text, next: 0 };
    let begin = async {
        // One that interrupts waits for nobody.
        let turn = match interrupt {
            true => None,
            false => Some(session.texts.lock().await),
        };
        let first = sentences.begin().await?;
        Ok::<_, Error>((turn, first.ok_or(tts::Error::Empty)?))
    };
    let (_turn, mut saying) = tokio::select! {
        biased;
        () = stream.silenced() => return Err(Error::Silenced),
        begun = begin => begun?,
    };
    let cut = match interrupt {
        true => {
            // Its place is given back first: a new one isn't silenced by this.
            drop(stream);
            let silencing = Arc::clone(&session);
            let cut = tokio::task::spawn_blocking(move || silencing.interrupt()).await;
            stream = session.speech.open(saying.rate())?;
            Some(cut.ok().flatten().ok_or(PushError::Ended)?)
        }
        false => {
            stream.begin(saying.rate())?;
            None
        }
    };
    let queued = session.speech.queued();
    let first = saying.next().await?.ok_or(tts::Error::Empty)?;
    tokio::select! {
        biased;
        () = stream.silenced() => return Err(Error::Silenced),
        written = write(&mut stream, &first) => written?,
    }
    let utterance = stream.utterance().ok_or(Error::Silenced)?;
    tokio::spawn(rest(stream, saying, sentences, utterance));
    Ok(Said {
        utterance,
        queued,
        cut,
    })
}

/// Says what is left, until it is said or silenced.
async fn rest(mut stream: Stream, saying: Saying, sentences: Sentences, utterance: u64) {
    let silenced = stream.silenced();
    tokio::select! {
        biased;
        () = silenced => {}
        said = go_on(&mut stream, saying, sentences) => {
            if let Err(error) = said {
                tracing::warn!(utterance, "a text ends early: {error}");
            }
        }
    }
}

async fn go_on(
    stream: &mut Stream,
    mut saying: Saying,
    mut sentences: Sentences,
) -> Result<(), Error> {
    let rate = saying.rate();
    loop {
        while let Some(samples) = saying.next().await? {
            write(stream, &samples).await?;
        }
        let Some(next) = sentences.begin().await? else {
            return Ok(());
        };
        saying = next;
        if saying.rate() != rate {
            // Sound of another rate is another utterance.
            stream.begin(saying.rate())?;
        }
    }
}

async fn write(stream: &mut Stream, mut samples: &[i16]) -> Result<(), PushError> {
    while !samples.is_empty() {
        let taken = stream.write(samples).await?;
        samples = &samples[taken..];
    }
    Ok(())
}

/// The sentences of a text, one by one.
struct Sentences {
    tts: Arc<Tts>,
    text: Text,
    next: usize,
}

impl Sentences {
    /// Begins the next one that has a sound; `None` after the last.
    async fn begin(&mut self) -> Result<Option<Saying>, tts::Error> {
        while let Some(sentence) = self.text.sentences.get(self.next) {
            self.next += 1;
            if let Some(saying) = self.tts.begin(&self.text, sentence).await? {
                return Ok(Some(saying));
            }
        }
        Ok(None)
    }
}
