//! Text to samples, a sentence at a time, by whatever makes speech of it: a
//! program on this machine or a server with OpenAI's speech route.
//!
//! Sound is handed on as it comes, so that talk begins before a sentence is
//! made. Who makes it is a child process or a connection of its own, and dropping
//! a [`Saying`] ends it.

mod error; // why text is not spoken
mod program; // a child: text in, sound out
mod sentences; // text -> sentences
mod sound; // bytes -> samples

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::bounds::within;
use crate::remote::{Reply, Server, Service};
pub use error::Error;
use program::Program;
pub use sentences::Sentences;
use sound::Samples;

/// The server of the provider `openai`.
const SERVICE: Service = Service {
    name: "speech server",
    key: "tts.url",
    route: "/audio/speech",
};

/// Characters of one text: ten minutes of speech or so.
pub const MOST_TEXT: usize = 10_000;
/// Speeds that stay speech with every voice, as a factor.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.5..=2.0;
/// Rates of raw samples that are speech, in Hz.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;
/// Words a minute of espeak at its own speed.
const ESPEAK_WORDS: f64 = 175.0;
/// How long whoever makes speech may keep us waiting, for the first sound of a
/// sentence and in it: a network on a busy machine may be loaded first.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest name of a voice.
const VOICE_NAME: usize = 64;

/// Who makes speech of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// espeak-ng, a program that distributions have.
    Espeak,
    /// A server with OpenAI's speech route.
    Openai,
    /// A program of the user's.
    Command,
    /// Nobody.
    None,
}

/// How a server is asked to code its sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 16-bit little-endian mono at `raw_hz`.
    Pcm,
    /// With a header that says its rate.
    Wav,
}

/// Section `[tts]`: speech from text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who makes it.
    pub provider: Provider,
    /// Whose voice, where a request names none. Empty: the provider's own.
    pub voice: String,
    /// How fast, where a request doesn't say: a factor.
    pub speed: f64,
    /// The program of the provider `command` and its arguments, in which
    /// `{voice}` and `{speed}` are filled in.
    pub command: Vec<String>,
    /// Where the server of `openai` has its routes.
    pub url: String,
    /// Its model.
    pub model: String,
    /// Its key. Empty: none is sent.
    pub key: String,
    /// How its sound is coded.
    pub format: Format,
    /// Rate of sound that has no header, in Hz.
    pub raw_hz: u32,
    /// More fields of its requests, as a JSON object.
    pub extra: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            provider: Provider::Espeak,
            voice: String::new(),
            speed: 1.0,
            command: Vec::new(),
            url: "https://api.openai.com/v1".into(),
            model: "gpt-4o-mini-tts".into(),
            key: String::new(),
            format: Format::Pcm,
            raw_hz: 24_000,
            extra: String::new(),
        }
    }
}

impl Config {
    /// Refuses what can't work, whichever provider is chosen.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and what it should be.
    pub fn check(&self) -> Result<(), Error> {
        within("tts.speed", self.speed, SPEEDS)?;
        within("tts.raw_hz", self.raw_hz, RATES)?;
        if !self.voice.is_empty() && !is_voice(&self.voice) {
            return Err(Error::Voice(self.voice.clone()));
        }
        if self.provider == Provider::Command && self.command.is_empty() {
            return Err(Error::Command);
        }
        Server::at(&self.url, SERVICE)?;
        self.fields().map(drop)
    }

    fn fields(&self) -> Result<Map<String, Value>, Error> {
        match self.extra.as_str() {
            "" => Ok(Map::new()),
            extra => serde_json::from_str(extra).map_err(Error::Extra),
        }
    }
}

/// A text that can be said.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// Its sentences, in order: at least one.
    pub sentences: Vec<String>,
    /// How they are said.
    pub manner: Manner,
}

/// By which voice and how fast, where those aren't to be as configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manner {
    voice: Option<String>,
    speed: Option<f64>,
}

impl Text {
    /// `text` in sentences, by `voice` and at `speed` where those aren't to be as
    /// configured.
    ///
    /// # Errors
    ///
    /// When there is nothing to say or too much, or no voice or speed is such.
    pub fn new(text: &str, voice: Option<String>, speed: Option<f64>) -> Result<Self, Error> {
        let length = text.chars().count();
        if length > MOST_TEXT {
            return Err(Error::Long(length));
        }
        if let Some(voice) = voice.as_ref().filter(|voice| !is_voice(voice)) {
            return Err(Error::Voice(voice.clone()));
        }
        if let Some(speed) = speed {
            within("speed", speed, SPEEDS)?;
        }
        let sentences = sentences::split(text);
        if sentences.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self {
            sentences,
            manner: Manner { voice, speed },
        })
    }
}

/// Whether `name` may name a voice: what no shell, path or option is made of.
fn is_voice(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-+.:".contains(&b);
    name.len() <= VOICE_NAME
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(plain)
}

/// Makes speech of text, as it is configured.
pub struct Tts {
    config: Config,
    server: Server,
    fields: Map<String, Value>,
}

impl Tts {
    /// Nothing is started or asked before there is text.
    ///
    /// # Errors
    ///
    /// As [`Config::check`].
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            server: Server::at(&config.url, SERVICE)?,
            fields: config.fields()?,
            config: config.clone(),
        })
    }

    /// Whether there is somebody who would speak.
    pub fn on(&self) -> bool {
        self.config.provider != Provider::None
    }

    /// Begins to say `sentence` in this manner. Returns with its first
    /// samples; `None`: it has no sound.
    ///
    /// # Errors
    ///
    /// When whoever makes speech isn't there, fails, sends something else, or
    /// keeps us waiting.
    pub async fn begin(&self, manner: &Manner, sentence: &str) -> Result<Option<Saying>, Error> {
        let begun = timeout(PATIENCE, self.start(manner, sentence));
        let mut saying = begun.await.map_err(|_| Error::Slow)??;
        let first = saying.next().await?;
        saying.first = first;
        Ok(saying.first.is_some().then_some(saying))
    }

    async fn start(&self, manner: &Manner, sentence: &str) -> Result<Saying, Error> {
        let config = &self.config;
        let voice = manner.voice.as_deref().unwrap_or(&config.voice);
        let speed = manner.speed.unwrap_or(config.speed);
        let raw = Some(config.raw_hz);
        let (source, raw) = match config.provider {
            Provider::None => return Err(Error::Off),
            Provider::Espeak => {
                let words = (ESPEAK_WORDS * speed).round().to_string();
                let voice = if voice.is_empty() { "en" } else { voice };
                // -b 1: UTF-8, whatever the locale is.
                let arguments = ["-b", "1", "--stdin", "--stdout", "-s", &words, "-v", voice];
                let program = Program::start("espeak-ng", &arguments, sentence).await?;
                (Source::Program(program), None)
            }
            Provider::Command => {
                let (program, arguments) = config.command.split_first().ok_or(Error::Command)?;
                let speed = speed.to_string();
                let fill = |s: &String| s.replace("{voice}", voice).replace("{speed}", &speed);
                let arguments: Vec<_> = arguments.iter().map(fill).collect();
                let program = Program::start(program, &arguments, sentence).await?;
                (Source::Program(program), raw)
            }
            Provider::Openai => {
                let mut fields = self.fields.clone();
                let mut field = |name: &str, value: Value| fields.insert(name.to_owned(), value);
                field("model", config.model.as_str().into());
                field("input", sentence.into());
                field(
                    "response_format",
                    serde_json::to_value(config.format).expect("a word"),
                );
                if !voice.is_empty() {
                    field("voice", voice.into());
                }
                if speed != 1.0 {
                    field("speed", speed.into());
                }
                let body = Value::Object(fields).to_string();
                let reply = self.server.post(body, &config.key).await?;
                if ["text/", "application/json"]
                    .iter()
                    .any(|no| reply.kind.starts_with(no))
                {
                    return Err(Error::NotSound(format!("is {}", reply.kind)));
                }
                (Source::Server(reply), raw)
            }
        };
        Ok(Saying {
            source,
            samples: Samples::new(raw),
            first: None,
        })
    }
}

/// A sentence that is being made. Dropping it ends that.
pub struct Saying {
    source: Source,
    samples: Samples,
    /// What came first and was not handed on.
    first: Option<Vec<i16>>,
}

enum Source {
    Program(Program),
    Server(Reply),
}

impl Saying {
    /// Samples a second, one channel.
    pub fn rate(&self) -> u32 {
        self.samples.rate().expect("it began with samples")
    }

    /// The next samples, as soon as there are any; `None` after the last.
    ///
    /// # Errors
    ///
    /// When it breaks off.
    pub async fn next(&mut self) -> Result<Option<Vec<i16>>, Error> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            let read = async {
                match &mut self.source {
                    Source::Program(program) => program.read().await,
                    Source::Server(reply) => Ok(reply.read().await?),
                }
            };
            let bytes = timeout(PATIENCE, read).await.map_err(|_| Error::Slow)??;
            let Some(bytes) = bytes else {
                self.samples.end()?;
                return Ok(None);
            };
            let samples = self.samples.push(&bytes)?;
            if !samples.is_empty() {
                return Ok(Some(samples));
            }
        }
    }
}

#[cfg(test)]
mod tests;
