//! Text, spoken while it is made: one sentence after the other into a stream of
//! the speech queue, which takes ten seconds ahead of the voice. So the next is
//! made while this one is spoken, and no more than that.
//!
//! A text has its place in the queue with its first sound. Until then whoever
//! sent it waits, and is told what went wrong. Silencing the session drops what
//! is being made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::run::chat::{Answering, Reply};
use crate::run::script::Interrupted;
use crate::run::session::Session;
use crate::run::speech::{PushError, Stream};
use crate::stage::chat;
use crate::stage::tts::{self, Manner, Saying, Text, Tts};
use crate::stats::Stats;

/// The rate of a stream until its first sound says the true one.
pub(super) const ANY_RATE: u32 = 24_000;

/// Why a text isn't said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue doesn't take it.
    #[error(transparent)]
    Push(#[from] PushError),
    /// No speech can be made of it.
    #[error(transparent)]
    Tts(#[from] tts::Error),
    /// There is no answer to it.
    #[error(transparent)]
    Chat(#[from] chat::Error),
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
    let sentences = Sentences::Text(text.sentences.into_iter());
    let mut words = Words::new(&session, tts, text.manner, sentences);
    let begin = async {
        // One that interrupts waits for nobody.
        let turn = match interrupt {
            true => None,
            false => Some(session.texts.lock().await),
        };
        let first = words.begin().await?;
        Ok((turn, first.ok_or(tts::Error::Empty)?))
    };
    let (_turn, first) = unless_silenced(stream.silenced(), begin).await?;
    let mut cut = None;
    if interrupt {
        // Its place is given back first: a new one isn't silenced by this.
        drop(stream);
        cut = Some(silence(&session).await?);
        stream = session.speech.open(ANY_RATE)?;
    }
    let said = start(&session, stream, words, first, None).await?;
    Ok(Said { cut, ..said })
}

/// Silences the session, and says what was cut.
pub(super) async fn silence(session: &Arc<Session>) -> Result<Interrupted, Error> {
    let session = Arc::clone(session);
    let cut = tokio::task::spawn_blocking(move || session.interrupt()).await;
    Ok(cut.ok().flatten().ok_or(PushError::Ended)?)
}

/// Does `work` unless the session is silenced.
pub(super) async fn unless_silenced<T>(
    silenced: impl Future<Output = ()>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        () = silenced => Err(Error::Silenced),
        done = work => done,
    }
}

/// Begins to say `words`, of which there is the `first` sentence. Returns once its
/// first sound is in the queue. `reply` is told how it goes.
pub(super) async fn start(
    session: &Session,
    stream: Stream,
    words: Words,
    mut first: Sentence,
    mut reply: Option<Reply>,
) -> Result<Said, Error> {
    let queued = session.speech.queued();
    let mut out = Out::new(stream);
    let silenced = out.stream.silenced();
    unless_silenced(silenced, out.begin(&mut first, reply.as_mut())).await?;
    let utterance = out.utterance.ok_or(Error::Silenced)?;
    tokio::spawn(rest(out, first, words, reply));
    Ok(Said {
        utterance,
        queued,
        cut: None,
    })
}

/// Says what is left, until it is said or silenced.
async fn rest(mut out: Out, sentence: Sentence, words: Words, mut reply: Option<Reply>) {
    let silenced = out.stream.silenced();
    let said = out.go_on(sentence, words, reply.as_mut());
    let said = unless_silenced(silenced, said).await;
    if let Err(error) = &said
        && !matches!(error, Error::Silenced)
    {
        let utterance = out.utterance;
        tracing::warn!(utterance, "a text ends early: {error}");
    }
    if let Some(reply) = reply {
        reply.over(out.utterance, said);
    }
}

/// What is to be said, sentence by sentence.
pub(super) struct Words {
    tts: Arc<Tts>,
    manner: Manner,
    sentences: Sentences,
    stats: Arc<Stats>,
}

/// Where sentences come from.
pub(super) enum Sentences {
    /// All of them are there.
    Text(std::vec::IntoIter<String>),
    /// They are being written.
    Answer(Answering),
}

/// A sentence whose sound is being made.
pub(super) struct Sentence {
    text: String,
    saying: Saying,
}

impl Words {
    pub fn new(session: &Session, tts: Arc<Tts>, manner: Manner, sentences: Sentences) -> Self {
        Self {
            tts,
            manner,
            sentences,
            stats: Arc::clone(&session.stats),
        }
    }

    /// Begins the next sentence that has a sound; `None` after the last.
    pub async fn begin(&mut self) -> Result<Option<Sentence>, Error> {
        loop {
            let next = match &mut self.sentences {
                Sentences::Text(sentences) => sentences.next(),
                Sentences::Answer(answering) => answering.next().await?,
            };
            let Some(text) = next else {
                return Ok(None);
            };
            let asked = Instant::now();
            if let Some(saying) = self.tts.begin(&self.manner, &text).await? {
                self.stats.tts_latency.add(asked.elapsed());
                return Ok(Some(Sentence { text, saying }));
            }
        }
    }
}

/// A stream, and how far into which utterance it has got.
struct Out {
    stream: Stream,
    rate: u32,
    utterance: Option<u64>,
    samples: u64,
}

impl Out {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            rate: ANY_RATE,
            utterance: None,
            samples: 0,
        }
    }

    /// Says `sentence`, of which the first sound is said already, and what follows.
    async fn go_on(
        &mut self,
        mut sentence: Sentence,
        mut words: Words,
        mut reply: Option<&mut Reply>,
    ) -> Result<(), Error> {
        loop {
            while let Some(samples) = sentence.saying.next().await? {
                self.write(&samples).await?;
            }
            if let Some((reply, utterance)) = reply.as_deref_mut().zip(self.utterance) {
                let end = self.samples as f64 / f64::from(self.rate);
                reply.said(sentence.text, utterance, Duration::from_secs_f64(end));
            }
            let Some(next) = words.begin().await? else {
                return Ok(());
            };
            sentence = next;
            self.begin(&mut sentence, reply.as_deref_mut()).await?;
        }
    }

    /// Says the first sound of `sentence`.
    async fn begin(
        &mut self,
        sentence: &mut Sentence,
        reply: Option<&mut Reply>,
    ) -> Result<(), Error> {
        let rate = sentence.saying.rate();
        if rate != self.rate {
            // Sound of another rate is another utterance.
            self.stream.begin(rate)?;
            self.rate = rate;
        }
        let first = sentence.saying.next().await?.ok_or(tts::Error::Empty)?;
        self.write(&first).await?;
        if let Some((reply, utterance)) = reply.zip(self.utterance) {
            reply.begins(&sentence.text, utterance);
        }
        Ok(())
    }

    async fn write(&mut self, mut samples: &[i16]) -> Result<(), PushError> {
        while !samples.is_empty() {
            let taken = self.stream.write(samples).await?;
            if self.stream.utterance() != self.utterance {
                // The first, or one after a pause in which the other was over.
                self.utterance = self.stream.utterance();
                self.samples = 0;
            }
            self.samples += taken as u64;
            samples = &samples[taken..];
        }
        Ok(())
    }
}
