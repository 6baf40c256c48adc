//! A text, answered by a chat server, and the answer spoken while it is written.
//!
//! The answer is read on a task of its own, which waits for nothing but room for
//! [`SENTENCES`], so that the server is done with it long before it is said. Silencing the
//! session ends that task, and so the connection, with the speech that is made and
//! the speech that waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::events::Event;
use crate::run::say::{ANY_RATE, Error, Said, Sentences, Words, silence, start, unless_silenced};
use crate::run::session::Session;
use crate::stage::chat::{self, Answer, Chat};
use crate::stage::tts::{self, Manner, Tts};
use crate::stats::Stats;

/// Sentences that are read before they are wanted: minutes of speech, so that few
/// answers keep a server waiting.
const SENTENCES: usize = 64;

/// Asks `question` after all that was said in this session, and says the answer. With
/// `interrupt`, what is said and waits is cut off at once: whoever asks has heard
/// enough of it, and it isn't part of the conversation. Returns with the answer's
/// first sound; the rest follows by itself.
///
/// # Errors
///
/// When there is no room, no answer, no sound, or somebody interrupts.
pub async fn chat(
    session: Arc<Session>,
    chat: Arc<Chat>,
    tts: Arc<Tts>,
    question: (String, Manner),
    interrupt: bool,
) -> Result<Said, Error> {
    let (question, manner) = question;
    let mut cut = None;
    if interrupt {
        cut = Some(silence(&session).await?);
    } else {
        session.speech.room()?;
    }
    let stream = session.speech.open(ANY_RATE)?;
    let begin = async {
        // Questions are asked one after the other: each knows the answers before.
        let turn = session.texts.lock().await;
        let messages = session.history().asking(&question);
        let answering = Answering::begin(&chat, &messages, &session.stats).await?;
        let sentences = Sentences::Answer(answering);
        let mut words = Words::new(&session, tts, manner, sentences);
        let first = words.begin().await?.ok_or(chat::Error::Empty)?;
        Ok((turn, words, first))
    };
    let (_turn, words, first) = unless_silenced(stream.silenced(), begin).await?;
    let reply = Reply {
        session: Arc::clone(&session),
        question,
        most: chat.turns(),
        turn: None,
    };
    let said = start(&session, stream, words, first, Some(reply)).await?;
    Ok(Said { cut, ..said })
}

/// An answer that is being read. Dropping it ends that.
pub(super) struct Answering {
    sentences: mpsc::Receiver<Result<String, chat::Error>>,
    _reading: JoinSet<()>,
}

impl Answering {
    async fn begin(
        chat: &Chat,
        messages: &[chat::Message],
        stats: &Arc<Stats>,
    ) -> Result<Self, Error> {
        let asked = Instant::now();
        let answer = chat.ask(messages).await?;
        let (give, sentences) = mpsc::channel(SENTENCES);
        let mut reading = JoinSet::new();
        reading.spawn(read(answer, give, asked, Arc::clone(stats)));
        Ok(Self {
            sentences,
            _reading: reading,
        })
    }

    /// The next sentence; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<String>, chat::Error> {
        self.sentences.recv().await.transpose()
    }
}

/// Gives out the sentences of `answer`. One that breaks off isn't given out.
async fn read(
    mut answer: Answer,
    give: mpsc::Sender<Result<String, chat::Error>>,
    asked: Instant,
    stats: Arc<Stats>,
) {
    let mut text = tts::Sentences::default();
    let mut first = Some(asked);
    let last = loop {
        let piece = match answer.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break text.last().map(|last| Ok(plain(&last))),
            Err(error) => break Some(Err(error)),
        };
        if let Some(asked) = first.take() {
            stats.chat_latency.add(asked.elapsed());
        }
        text.push(&piece);
        while let Some(sentence) = text.next() {
            if give.send(Ok(plain(&sentence))).await.is_err() {
                return;
            }
        }
    };
    if let Some(last) = last {
        // Nobody may want it any more.
        let _silenced = give.send(last).await;
    }
}

/// A sentence without the markup that models write whatever they are told, and voices
/// read out.
fn plain(sentence: &str) -> String {
    let bare = sentence.replace(['*', '`'], "");
    let marks = |c: char| c == '#' || c == '>' || c == '-' || c == ' ';
    bare.trim_start_matches(marks).trim_end().to_owned()
}

/// Tells how an answer is said.
pub(super) struct Reply {
    session: Arc<Session>,
    question: String,
    /// Questions that are remembered.
    most: usize,
    /// Its number in the history, once something of it is said.
    turn: Option<u64>,
}

impl Reply {
    /// A sentence has its first sound in the queue.
    pub fn begins(&mut self, text: &str, utterance: u64) {
        if self.turn.is_none() {
            let question = std::mem::take(&mut self.question);
            self.turn = Some(self.session.history().begin(question, self.most));
        }
        let text = text.into();
        self.session
            .stats
            .events
            .post(Event::Reply { utterance, text });
    }

    /// A sentence is in the queue, up to `end` of `utterance`.
    pub fn said(&mut self, text: String, utterance: u64, end: Duration) {
        if let Some(turn) = self.turn {
            self.session.history().say(turn, text, utterance, end);
        }
    }

    /// There is no more.
    pub fn over(self, utterance: Option<u64>, said: Result<(), Error>) {
        if let (Some(turn), Ok(())) = (self.turn, &said) {
            self.session.history().end(turn);
        }
        let Some(utterance) = utterance else {
            return;
        };
        let error = match &said {
            Ok(()) | Err(Error::Silenced) => None,
            Err(error) => Some(error.to_string().into()),
        };
        self.session.stats.events.post(Event::ReplyEnded {
            utterance,
            whole: said.is_ok(),
            error,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_not_read_out() {
        for (written, said) in [
            ("## The **best** one:", "The best one:"),
            ("- `make run` *now*.", "make run now."),
            ("> C# costs 3-4 €.", "C# costs 3-4 €."),
        ] {
            assert_eq!(plain(written), said);
        }
    }
}
