//! A text to its answer, by whatever server with OpenAI's chat route is configured.
//!
//! The answer comes as it is written. It is a connection of its own, and dropping
//! an [`Answer`] closes it.

mod lines; // bytes -> events

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::bounds::{OutOfBounds, within};
use crate::remote::{self, Reply, Server, Service};
use lines::Lines;

/// The server that answers.
const SERVICE: Service = Service {
    name: "chat server",
    key: "chat.url",
    route: "/chat/completions",
};
/// Characters of one answer: what is longer ends there. Ten minutes of speech or so.
pub const MOST_ANSWER: usize = 10_000;
/// Exchanges that may be remembered: all of them are sent with each question.
const TURNS: std::ops::RangeInclusive<usize> = 0..=100;
/// Seconds that a server may keep us waiting: a large model is loaded first.
const PATIENCE_S: std::ops::RangeInclusive<u64> = 1..=600;
/// Characters of what a server says of its own trouble.
const COMPLAINT: usize = 500;

/// Section `[chat]`: answers to texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server has its routes. Empty: nobody answers.
    pub url: String,
    /// Its model.
    pub model: String,
    /// Its key. Empty: none is sent.
    pub key: String,
    /// Who the avatar is, and how it speaks. Empty: the server isn't told.
    pub system: String,
    /// Questions that a session remembers, with what was said to them.
    pub turns: usize,
    /// Seconds to wait for the next piece of an answer.
    pub patience_s: u64,
    /// More fields of its requests, as a JSON object.
    pub extra: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: "gpt-4o-mini".into(),
            key: String::new(),
            system: "You are a friendly host who speaks with a visitor face to face. Answer in a few \
                     short sentences, in the visitor's language, as one talks: no lists, no markup, no emoji."
                .into(),
            turns: 12,
            patience_s: 30,
            extra: String::new(),
        }
    }
}

impl Config {
    /// Refuses what can't work.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and what it should be.
    pub fn check(&self) -> Result<(), Error> {
        within("chat.turns", self.turns, TURNS)?;
        within("chat.patience_s", self.patience_s, PATIENCE_S)?;
        self.server()?;
        self.fields().map(drop)
    }

    fn server(&self) -> Result<Option<Server>, Error> {
        let on = !self.url.is_empty();
        Ok(on.then(|| Server::at(&self.url, SERVICE)).transpose()?)
    }

    fn fields(&self) -> Result<Map<String, Value>, Error> {
        match self.extra.as_str() {
            "" => Ok(Map::new()),
            extra => serde_json::from_str(extra).map_err(Error::Extra),
        }
    }
}

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is turned off.
    #[error(
        "Nobody answers here: no chat server is configured. Set chat.url and chat.model, or send the text without \"chat\" to have it said as it is."
    )]
    Off,
    /// A value is out of its bounds.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
    /// The extra fields are no object.
    #[error("chat.extra is no JSON object: {0}")]
    Extra(serde_json::Error),
    /// The server isn't there, says no, or breaks off.
    #[error(transparent)]
    Server(#[from] remote::Error),
    /// What came is no answer that is understood.
    #[error(
        "What the chat server sends {0}: server-sent events of OpenAI's chat route are understood."
    )]
    NoAnswer(String),
    /// The server has a problem, and says so in the answer.
    #[error("The chat server breaks its answer off: {0}")]
    Trouble(String),
    /// The answer has no end.
    #[error("The chat server's answer breaks off without its end.")]
    Cut,
    /// There is nothing to say.
    #[error("The chat server's answer has nothing that can be said.")]
    Empty,
    /// Nothing came.
    #[error("The chat server was silent for {} s (chat.patience_s).", .0.as_secs())]
    Slow(Duration),
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whoever asks.
    User,
    /// The avatar.
    Assistant,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// By whom.
    pub role: Role,
    /// What.
    pub content: String,
}

/// Asks for answers, as it is configured.
pub struct Chat {
    config: Config,
    server: Option<Server>,
    fields: Map<String, Value>,
}

impl Chat {
    /// Nothing is asked before there is a question.
    ///
    /// # Errors
    ///
    /// As [`Config::check`].
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            server: config.server()?,
            fields: config.fields()?,
            config: config.clone(),
        })
    }

    /// Whether there is somebody who would answer.
    pub fn on(&self) -> bool {
        self.server.is_some()
    }

    /// Questions that a session remembers.
    pub fn turns(&self) -> usize {
        self.config.turns
    }

    /// Asks for what is said next, after `messages`. Returns when the answer begins.
    ///
    /// # Errors
    ///
    /// When nobody is configured, nobody is there, or what comes is no answer.
    pub async fn ask(&self, messages: &[Message]) -> Result<Answer, Error> {
        let config = &self.config;
        let patience = Duration::from_secs(config.patience_s);
        let server = self.server.as_ref().ok_or(Error::Off)?;
        let mut all = Vec::with_capacity(1 + messages.len());
        if !config.system.is_empty() {
            all.push(json!({"role": "system", "content": config.system}));
        }
        all.extend(messages.iter().map(|message| json!(message)));
        let mut fields = self.fields.clone();
        fields.insert("model".into(), config.model.as_str().into());
        fields.insert("messages".into(), all.into());
        fields.insert("stream".into(), true.into());
        let body = Value::Object(fields).to_string();
        let reply = timeout(patience, server.post(body, &config.key)).await;
        let reply = reply.map_err(|_| Error::Slow(patience))??;
        if !reply.kind.starts_with("text/event-stream") {
            let kind = if reply.kind.is_empty() {
                "has no type"
            } else {
                &reply.kind
            };
            return Err(Error::NoAnswer(format!("is no stream ({kind})")));
        }
        Ok(Answer {
            reply,
            lines: Lines::default(),
            patience,
            left: MOST_ANSWER,
            ended: false,
        })
    }
}

/// An answer as it comes. Dropping it ends it.
pub struct Answer {
    reply: Reply,
    lines: Lines,
    patience: Duration,
    /// Characters that it may still have.
    left: usize,
    /// Whether it was said that there is no more.
    ended: bool,
}

impl Answer {
    /// The next piece, as soon as there is one; `None` after the last.
    ///
    /// # Errors
    ///
    /// When it breaks off.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            while let Some(data) = self.lines.next() {
                match read(data)? {
                    Piece::Text(text) => return Ok(self.bounded(text)),
                    Piece::Last(text) => {
                        self.ended = true;
                        if !text.is_empty() {
                            return Ok(self.bounded(text));
                        }
                    }
                    Piece::Done => return Ok(None),
                    Piece::Nothing => {}
                }
            }
            let read = timeout(self.patience, self.reply.read()).await;
            match read.map_err(|_| Error::Slow(self.patience))? {
                Ok(Some(bytes)) => self.lines.push(&bytes)?,
                // How the connection ends is of no interest any more.
                Ok(None) | Err(_) if self.ended => return Ok(None),
                Ok(None) => return Err(Error::Cut),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// As much of `text` as there is room for: with none left the answer is over.
    fn bounded(&mut self, text: String) -> Option<String> {
        let text = match text.char_indices().nth(self.left) {
            Some((most, _)) => text[..most].to_owned(),
            None => text,
        };
        self.left -= text.chars().count();
        (!text.is_empty()).then_some(text)
    }
}

/// What one event tells.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    /// The last text, which may be none.
    Last(String),
    /// That there is no more.
    Done,
    /// Something that isn't said.
    Nothing,
}

fn read(data: &[u8]) -> Result<Piece, Error> {
    /// A piece of an answer, as far as it matters here.
    #[derive(Deserialize)]
    struct Chunk {
        #[serde(default)]
        choices: Vec<Choice>,
        error: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Choice {
        #[serde(default)]
        delta: Delta,
        finish_reason: Option<String>,
    }
    #[derive(Deserialize, Default)]
    struct Delta {
        content: Option<String>,
    }
    match data {
        b"" => return Ok(Piece::Nothing),
        b"[DONE]" => return Ok(Piece::Done),
        _ => {}
    }
    let chunk: Chunk = serde_json::from_slice(data)
        .map_err(|error| Error::NoAnswer(format!("is no piece of an answer ({error})")))?;
    if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
        let said = error.get("message").and_then(Value::as_str);
        let said = said.map_or_else(|| error.to_string(), str::to_owned);
        return Err(Error::Trouble(said.chars().take(COMPLAINT).collect()));
    }
    // One answer was asked for; the last piece of all has none.
    let Some(choice) = chunk.choices.into_iter().next() else {
        return Ok(Piece::Nothing);
    };
    let text = choice.delta.content.unwrap_or_default();
    Ok(match choice.finish_reason {
        Some(_) => Piece::Last(text),
        None if text.is_empty() => Piece::Nothing,
        None => Piece::Text(text),
    })
}

#[cfg(test)]
mod tests;
