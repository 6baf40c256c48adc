//! The configuration: one TOML file, gathered from the stages' own sections.
//!
//! Keys that nobody knows are refused by name, with the nearest one that is
//! known, so that a slip of the pen is no silent default.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::run::{imports, recordings, sessions, speech};
use crate::stage::{audio, chat, encode, lipsync, send, tts, voice};
use crate::{control, memory, toml_text};

/// Everything that can be configured. `config/default.toml` explains each key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// What the show consists of.
    #[serde(flatten)]
    pub show: Show,
    /// `[http]`: the control API and the page.
    pub http: control::Config,
    /// `[media]`: viewers over WebRTC.
    pub media: send::Config,
    /// `[audio]`: where sound comes from.
    pub audio: audio::Config,
    /// `[speech]`: pushed speech.
    pub speech: speech::Config,
    /// `[tts]`: speech from text.
    pub tts: tts::Config,
    /// `[chat]`: answers to texts.
    pub chat: chat::Config,
    /// `[voice]`: when somebody speaks.
    pub voice: voice::Config,
    /// `[encode]`: how pictures and sound are coded.
    pub encode: encode::Config,
    /// `[models]`: how networks run.
    pub models: lipsync::Config,
    /// `[sessions]`: those that the API makes.
    pub sessions: sessions::Config,
    /// `[recordings]`: what is sent, into files.
    pub recordings: recordings::Config,
    /// `[imports]`: avatars and models that are uploaded.
    pub imports: imports::Config,
    /// `[memory]`: the budget.
    pub memory: memory::Config,
}

/// The keys outside of any section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Which avatar, by its folder's name under `assets/avatars`.
    pub avatar: String,
    /// Which model, by its folder's name under `assets/models`.
    pub model: String,
    /// The folder of avatars, models, page and speech. Empty: `assets` here or
    /// beside the program.
    pub assets: String,
}

impl Default for Show {
    fn default() -> Self {
        Self {
            avatar: "ava".into(),
            model: "mouthpiece-256".into(),
            assets: String::new(),
        }
    }
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{path} is not valid TOML: {problem}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        problem: String,
    },
    /// A key that nobody knows.
    #[error("{place}: there is no key `{key}`{hint}. config/default.toml explains every key")]
    Unknown {
        /// The file or the option.
        place: String,
        /// The key with its section.
        key: String,
        /// The nearest key there is.
        hint: String,
    },
    /// A value of the wrong type or out of bounds.
    #[error("{place}: {problem}")]
    Value {
        /// The file or the option.
        place: String,
        /// Which key, what was found and what was wanted.
        problem: String,
    },
    /// A `--set` without a value.
    #[error("--set {0}: write it as KEY=VALUE, for example --set http.listen=127.0.0.1:9000")]
    Set(String),
    /// There is no assets folder.
    #[error(
        "cannot find the assets folder (looked at {looked}): start in the project's folder, or set `assets`"
    )]
    Assets {
        /// The places.
        looked: String,
    },
}

impl Config {
    /// Reads `file`, if there is one, and puts each `KEY=VALUE` of `sets` over it.
    ///
    /// # Errors
    ///
    /// One sentence that names the file or the option, the key, and the mend.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Self, Error> {
        let known = Table::try_from(Self::default()).expect("the defaults are TOML");
        let mut table = Table::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
                path: path.to_owned(),
                source,
            })?;
            table = text.parse().map_err(|e: toml::de::Error| Error::Syntax {
                path: path.to_owned(),
                problem: toml_text::one_line(&text, &e),
            })?;
            check(&table, &known, &path.display().to_string())?;
        }
        for set in sets {
            let (key, value) = set.split_once('=').ok_or_else(|| Error::Set(set.clone()))?;
            let (key, value) = (key.trim(), value.trim());
            let change = nested(key, parse(value, find(&known, key)));
            let place = named(set);
            check(&change, &known, &place)?;
            toml_text::merge(&mut table, change);
        }
        let place = || match (file, sets) {
            (_, [only]) => named(only),
            (Some(path), []) => path.display().to_string(),
            _ => "the configuration".into(),
        };
        let config: Self = table
            .try_into()
            .map_err(|e: toml::de::Error| Error::Value {
                place: place(),
                problem: e.to_string().trim().replace('\n', " "),
            })?;
        config.check().map_err(|problem| Error::Value {
            place: place(),
            problem,
        })?;
        Ok(config)
    }

    /// Refuses values that can't work, so that they are named at the start and
    /// not found out by what doesn't happen.
    fn check(&self) -> Result<(), String> {
        let encode = self.encode.check().map_err(|e| e.to_string());
        let others = [
            self.media.check(),
            self.speech.check(),
            self.voice.check(),
            self.models.check(),
            self.sessions.check(),
            self.recordings.check(),
            self.imports.check(),
            self.memory.check(),
        ];
        let others = others.into_iter().collect::<Result<(), _>>();
        let tts = self.tts.check().map_err(|e| e.to_string());
        let http = self.http.check().map_err(|e| e.to_string());
        let chat = self.chat.check().map_err(|e| e.to_string());
        encode
            .and(tts)
            .and(chat)
            .and(http)
            .and(others.map_err(|e| e.to_string()))
    }

    /// The folder of avatars, models, page and speech.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn assets(&self) -> Result<PathBuf, Error> {
        let mut looked = Vec::new();
        if self.show.assets.is_empty() {
            looked.push(PathBuf::from("assets"));
            if let Ok(program) = std::env::current_exe() {
                let folders = program.ancestors().skip(1).take(4);
                looked.extend(folders.map(|folder| folder.join("assets")));
            }
        } else {
            looked.push(PathBuf::from(&self.show.assets));
        }
        if let Some(found) = looked.iter().find(|path| path.join("avatars").is_dir()) {
            return Ok(found.clone());
        }
        let looked: Vec<_> = looked.iter().map(|p| p.display().to_string()).collect();
        Err(Error::Assets {
            looked: looked.join(", "),
        })
    }
}

/// A value from the command line: TOML if it is some, else a string. Where a
/// string is `known`, everything is one: a token may have digits only.
fn parse(text: &str, known: Option<&Value>) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .filter(|value| value.is_str() || !known.is_some_and(Value::is_str))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// A `--set` as errors name it, which end up in logs: without its value where that
/// is a secret.
fn named(set: &str) -> String {
    let key = set.split('=').next().unwrap_or_default().trim();
    let secret = ["token", "key", "turn"]
        .iter()
        .any(|end| key.ends_with(end));
    let shown = if secret { key } else { set };
    format!("--set {shown}")
}

/// The value of `key`, which has its section before it.
fn find<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    match key.split_once('.') {
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

fn nested(key: &str, value: Value) -> Table {
    let (first, value) = match key.split_once('.') {
        Some((section, rest)) => (section, Value::Table(nested(rest, value))),
        None => (key, value),
    };
    Table::from_iter([(first.to_owned(), value)])
}

/// Refuses a key that the defaults don't have.
fn check(table: &Table, known: &Table, place: &str) -> Result<(), Error> {
    let mut all = Vec::new();
    keys(known, "", &mut all);
    let mut given = Vec::new();
    keys(table, "", &mut given);
    for key in given {
        let is_section = all.iter().any(|k| k.starts_with(&format!("{key}.")));
        if all.contains(&key) || is_section {
            continue;
        }
        let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let nearest = all.iter().max_by(|a, b| {
            let near = |k: &str| {
                strsim::jaro_winkler(&key, k).max(strsim::jaro_winkler(&name(&key), &name(k)))
            };
            near(a).total_cmp(&near(b))
        });
        let hint = nearest.map_or(String::new(), |k| format!(", the nearest is `{k}`"));
        return Err(Error::Unknown {
            place: place.to_owned(),
            key,
            hint,
        });
    }
    Ok(())
}

/// The keys of `table` with their sections. Lists of tables are values here:
/// their own keys are checked as they are read.
fn keys(table: &Table, section: &str, found: &mut Vec<String>) {
    for (key, value) in table {
        match value {
            Value::Table(table) => keys(table, &format!("{section}{key}."), found),
            _ => found.push(format!("{section}{key}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(sets: &[&str]) -> Result<Config, String> {
        let sets: Vec<_> = sets.iter().map(|s| (*s).to_owned()).collect();
        Config::load(None, &sets).map_err(|e| e.to_string())
    }

    #[test]
    fn the_default_file_says_what_the_program_does_without_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.toml");
        let config = Config::load(Some(&path), &[]).expect("the default file is valid");
        assert_eq!(config, Config::default());
        let text = std::fs::read_to_string(path).expect("just read");
        let mut all = Vec::new();
        keys(
            &Table::try_from(Config::default()).expect("TOML"),
            "",
            &mut all,
        );
        for key in all {
            let name = key.rsplit('.').next().expect("has a name");
            assert!(
                text.contains(&format!("{name} =")),
                "{key} is not explained"
            );
        }
    }

    #[test]
    fn the_other_files_are_valid() {
        for file in ["config/low-memory.toml", "config/high-end.toml"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            Config::load(Some(&path), &[]).expect(file);
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_answered_with_the_right_key() {
        let error = set(&["http.lisen=127.0.0.1:1"]).expect_err("no such key");
        assert!(
            error.contains("`http.lisen`") && error.contains("`http.listen`"),
            "{error}"
        );
        let error = set(&["budget_mb=100"]).expect_err("no such key");
        assert!(error.contains("`memory.budget_mb`"), "{error}");
    }

    #[test]
    fn a_wrong_type_names_the_key_and_what_was_wanted() {
        let error = set(&["media.udp_port=many"]).expect_err("no number");
        assert!(
            error.contains("udp_port") && error.contains("u16"),
            "{error}"
        );
        assert!(set(&["memory.budget_mb=-3"]).is_err());
        assert!(
            set(&["http.listen"])
                .expect_err("no value")
                .contains("KEY=VALUE")
        );
    }

    #[test]
    fn a_string_from_the_command_line_may_look_like_anything() {
        for token in ["123456", "true", "1.5", "a b", "[1]", "2024-01-01"] {
            let config = set(&[&format!("http.token={token}")]).expect("a string");
            assert_eq!(config.http.token, token);
        }
        let config = set(&["http.token=\"123\"", "audio.file='a b'"]).expect("strings");
        assert_eq!(
            (config.http.token, config.audio.file),
            ("123".into(), "a b".into())
        );
    }

    #[test]
    fn values_that_cannot_work_are_refused_by_key_and_bounds() {
        for (wrong, key) in [
            ("voice.open=5", "voice.open is 5;"),
            ("voice.open=nan", "voice.open is NaN;"),
            ("models.threads=0", "models.threads is 0;"),
            (
                "models.idle_unload_s=99999999999",
                "models.idle_unload_s is",
            ),
            ("memory.budget_mb=1", "memory.budget_mb is 1;"),
            ("media.max_viewers=0", "media.max_viewers is 0;"),
            ("speech.max_upload_mb=0", "speech.max_upload_mb is 0;"),
            ("encode.video_kbps=1", "encode.video_kbps is 1;"),
            ("recordings.max_mb=0", "recordings.max_mb is 0;"),
            ("imports.max_upload_mb=0", "imports.max_upload_mb is 0;"),
        ] {
            let error = set(&[wrong]).expect_err("it can't work");
            assert!(error.contains(wrong) && error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_secret_is_in_no_error() {
        for sets in [
            &["http.viewer_token=hush"][..],
            &["http.token=hush", "http.viewer_token=hush"],
            &["tts.keys=hush", "tts.key=hush"],
            &["media.turn=[{credential=\"hush\"}]"],
        ] {
            let error = set(sets).expect_err("it can't work");
            let shown = error.replace("tts.keys=hush", "");
            assert!(!shown.contains("hush"), "{error}");
        }
    }

    #[test]
    fn values_from_the_command_line_win() {
        let config = set(&[
            "media.udp_port=1234",
            "avatar=bob",
            "media.announce=[\"192.0.2.1\"]",
        ])
        .expect("valid");
        assert_eq!(config.media.udp_port, 1234);
        assert_eq!(config.show.avatar, "bob");
        assert_eq!(config.media.announce, ["192.0.2.1"]);
    }
}
