//! What is said on a speech socket, what is told, and what is wrong.

use axum::extract::ws::{CloseFrame, Utf8Bytes, close_code};
use serde::{Deserialize, Serialize};

/// Sample rates of streamed speech, in Hz.
pub(super) const RATES: [u32; 3] = [16_000, 24_000, 48_000];
/// Longest sentence in a close frame, in bytes (RFC 6455, 5.5).
const MOST_REASON: usize = 123;

/// What the client says as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Sound of so many samples a second comes.
    Start(u32),
    /// The utterance is over.
    End,
    /// Silence.
    Clear,
    /// Is anybody there?
    Ping,
}

/// Its form. The opening may leave its type out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(rename = "type")]
    kind: Option<String>,
    sample_rate: Option<u32>,
}

impl Said {
    /// Reads a text message.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let form: Form = serde_json::from_str(text)
            .map_err(|e| Fault::unreadable(format!("This is not a message: {e}.")))?;
        match (form.kind.as_deref(), form.sample_rate) {
            (Some("start") | None, Some(rate)) if RATES.contains(&rate) => Ok(Self::Start(rate)),
            (Some("start") | None, Some(rate)) => Err(Fault::unreadable(format!(
                "A sample_rate of {rate} is not taken here: it may be 16000, 24000 or 48000."
            ))),
            (Some("start") | None, None) => Err(Fault::unreadable(
                "The start says no sample_rate: it may be 16000, 24000 or 48000.".into(),
            )),
            (Some("end"), None) => Ok(Self::End),
            (Some("clear"), None) => Ok(Self::Clear),
            (Some("ping"), None) => Ok(Self::Ping),
            (Some(known @ ("end" | "clear" | "ping")), Some(_)) => Err(Fault::unreadable(format!(
                "A message of the type {known:?} has no sample_rate."
            ))),
            (Some(other), _) => Err(Fault {
                code: close_code::UNSUPPORTED,
                sentence: format!(
                    "There is no message of the type {other:?}: there are start, end, clear and ping."
                ),
            }),
        }
    }
}

/// What the client is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Told {
    /// The first sound of an utterance of this socket left.
    Started { utterance: u64 },
    /// It is over. What never started was not played at all.
    Finished {
        utterance: u64,
        played_ms: u64,
        interrupted: bool,
    },
    /// The session is silent. What was cut, whoever said it, and how much of it
    /// was played.
    Cleared {
        utterance: Option<u64>,
        played_ms: u64,
    },
    /// How much of what this socket sent waits.
    Level {
        state: &'static str,
        buffered_ms: u64,
    },
    /// Somebody is there.
    Pong,
    /// What was wrong. The socket closes.
    Error { code: u16, detail: String },
}

/// Why a socket is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// By RFC 6455, 7.4.
    pub code: u16,
    pub sentence: String,
}

impl Fault {
    /// 1007: it can't be read as what it should be.
    pub fn unreadable(sentence: String) -> Self {
        Self {
            code: close_code::INVALID,
            sentence,
        }
    }

    /// 1008: it comes at the wrong time.
    pub fn out_of_turn(sentence: &str) -> Self {
        Self {
            code: close_code::POLICY,
            sentence: sentence.into(),
        }
    }

    pub fn frame(&self) -> CloseFrame {
        let mut end = self.sentence.len().min(MOST_REASON);
        while !self.sentence.is_char_boundary(end) {
            end -= 1;
        }
        CloseFrame {
            code: self.code,
            reason: Utf8Bytes::from(&self.sentence[..end]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read() {
        for (text, said) in [
            (
                r#"{"type":"start","sample_rate":24000}"#,
                Said::Start(24_000),
            ),
            (r#"{"sample_rate":16000}"#, Said::Start(16_000)),
            (r#"{"type":"end"}"#, Said::End),
            (r#" {"type": "clear"} "#, Said::Clear),
            (r#"{"type":"ping"}"#, Said::Ping),
        ] {
            assert_eq!(Said::read(text), Ok(said), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_told_why() {
        for (text, code, word) in [
            ("", 1007, "not a message"),
            ("hello", 1007, "not a message"),
            ("[]", 1007, "not a message"),
            ("{}", 1007, "sample_rate"),
            (r#"{"type":"start"}"#, 1007, "sample_rate"),
            (r#"{"type":"start","sample_rate":"16000"}"#, 1007, "string"),
            (r#"{"type":"start","sample_rate":-1}"#, 1007, "-1"),
            (r#"{"type":"start","sample_rate":11025}"#, 1007, "11025"),
            (
                r#"{"type":"start","sample_rate":16000,"rate":1}"#,
                1007,
                "rate",
            ),
            (r#"{"type":"end","sample_rate":16000}"#, 1007, "end"),
            (r#"{"type":7}"#, 1007, "string"),
            (r#"{"type":"speak"}"#, 1003, "speak"),
        ] {
            let fault = Said::read(text).expect_err(text);
            assert_eq!(fault.code, code, "{text}: {fault:?}");
            assert!(fault.sentence.contains(word), "{text}: {fault:?}");
        }
    }

    #[test]
    fn a_close_frame_holds_what_fits() {
        let fault = Fault::unreadable("é".repeat(100));
        assert_eq!(fault.frame().reason.as_str(), "é".repeat(61));
    }
}
