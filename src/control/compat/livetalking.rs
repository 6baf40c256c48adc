//! LiveTalking's routes, for its pages and apps.
//!
//! There an offer makes a session, which is named by a number and ends with its
//! viewer; so it is here. The number 0, and none, is the session that the
//! configuration makes, with them as with us. Clients send more than is read:
//! voices to be cloned, files on the server. That is left aside.

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::response::sse::Event;
use axum::response::{Response, Sse};
use axum::routing::{get, post};
use axum::{Extension, Json};
use futures_util::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Kinds;
use crate::avatar::IDLE;
use crate::control::events::{Told, tell};
use crate::control::problem::Problem;
use crate::control::server::AtWork;
use crate::control::session::{aside, find, make};
use crate::control::speech::{self, decoding};
use crate::control::text::{Words, body, speak};
use crate::control::{App, recordings};
use crate::events::Event as Happened;
use crate::run::recordings::Error;
use crate::run::renderer::When;
use crate::run::sessions::{LIVE, Wanted};

/// Seconds for which a session outlives its viewer: a connection by way of a
/// relay takes half of it to come about.
const LEFT_S: u64 = 15;
/// The numbers of sessions: nine digits, which are an `int` in every language.
const NUMBERS: std::ops::Range<u32> = 100_000_000..1_000_000_000;

pub(super) fn routes() -> Kinds {
    Kinds {
        brief: vec![
            ("/offer", post(offer)),
            ("/interrupt_talk", post(interrupt)),
            ("/is_speaking", post(is_speaking)),
            ("/set_audiotype", post(set_audiotype)),
            ("/record", post(record)),
            ("/record/{sessionid}", get(recorded)),
        ],
        uploads: vec![("/human", post(human)), ("/humanaudio", post(human_audio))],
        endless: vec![("/sse", get(sse))],
    }
}

/// A session as clients name it: older ones by a number, newer ones by text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Number(u64),
    Text(String),
}

/// The session's id here.
fn id(name: Option<Name>) -> String {
    match name {
        None | Some(Name::Number(0)) => LIVE.into(),
        Some(Name::Number(number)) => number.to_string(),
        Some(Name::Text(text)) if text.is_empty() || text == "0" => LIVE.into(),
        Some(Name::Text(text)) => text,
    }
}

/// A request about a session.
#[derive(Deserialize)]
struct Asked {
    sessionid: Option<Name>,
}

/// Their clients don't all say that what they send is JSON.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|e| Problem::unprocessable(format!("The body isn't what is sent here: {e}.")))
}

fn ok() -> Json<Value> {
    Json(json!({"code": 0, "msg": "ok"}))
}

#[derive(Deserialize)]
struct Offer {
    sdp: String,
    #[serde(rename = "type")]
    _kind: OfferKind,
    avatar: Option<String>,
}

#[derive(Deserialize)]
enum OfferKind {
    #[serde(rename = "offer")]
    Offer,
}

#[derive(Serialize)]
struct Answer {
    sdp: String,
    #[serde(rename = "type")]
    kind: &'static str,
    sessionid: u32,
}

async fn offer(State(app): State<App>, body: Bytes) -> Result<Json<Answer>, Problem> {
    let Offer { sdp, avatar, .. } = read(&body)?;
    let number = rand::random_range(NUMBERS);
    let wanted = Wanted {
        id: Some(number.to_string()),
        avatar: avatar.filter(|avatar| !avatar.is_empty()),
        idle_timeout_s: Some(LEFT_S),
        ..Wanted::default()
    };
    let session = make(&app, wanted).await?;
    let offered = app
        .viewers
        .offer(&session.id, &session.hub, &session.stats, &sdp);
    match offered.await {
        Ok(answer) => Ok(Json(Answer {
            sdp: answer.sdp,
            kind: "answer",
            sessionid: number,
        })),
        Err(refused) => {
            let sessions = app.sessions.clone();
            aside(move || sessions.close(&session.id)).await?;
            Err(refused.into())
        }
    }
}

#[derive(Deserialize)]
struct Human {
    sessionid: Option<Name>,
    text: String,
    #[serde(rename = "type")]
    kind: HumanKind,
    #[serde(default)]
    interrupt: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum HumanKind {
    /// The text is said.
    Echo,
    /// The text is answered.
    Chat,
}

async fn human(State(app): State<App>, request: Request) -> Result<Json<Value>, Problem> {
    let human: Human = read(&body(request).await?)?;
    let session = find(&app, &id(human.sessionid))?;
    let words = Words {
        text: human.text,
        chat: matches!(human.kind, HumanKind::Chat),
        ..Words::default()
    };
    speak(&app, session, human.interrupt, words).await?;
    Ok(ok())
}

async fn human_audio(State(app): State<App>, request: Request) -> Result<Json<Value>, Problem> {
    let mut upload = app.uploads.receive(request).await?;
    let name = upload.fields.remove("sessionid").map(Name::Text);
    let session = find(&app, &id(name))?;
    decoding(move || session.speech.push(upload.file, Some(&upload.hint))).await?;
    Ok(ok())
}

async fn interrupt(State(app): State<App>, body: Bytes) -> Result<Json<Value>, Problem> {
    let Asked { sessionid } = read(&body)?;
    let session = Path(id(sessionid));
    let Json(_cut) = speech::interrupt(State(app), session).await?;
    Ok(ok())
}

/// Whether it talks, or is about to.
async fn is_speaking(State(app): State<App>, body: Bytes) -> Result<Json<Value>, Problem> {
    let Asked { sessionid } = read(&body)?;
    let session = find(&app, &id(sessionid))?;
    let speaking = session.stats.talking.get() > 0.0 || session.speech.utterances() > 0;
    Ok(Json(json!({"code": 0, "msg": "ok", "data": speaking})))
}

#[derive(Deserialize)]
struct AudioType {
    sessionid: Option<Name>,
    audiotype: usize,
}

/// Plays a named clip of the avatar, once.
async fn set_audiotype(State(app): State<App>, body: Bytes) -> Result<Json<Value>, Problem> {
    let AudioType {
        sessionid,
        audiotype,
    } = read(&body)?;
    let session = find(&app, &id(sessionid))?;
    let avatar = session.cast().avatar;
    let clip = clip(avatar.clips().map(|(name, _)| name), audiotype).ok_or_else(|| {
        let detail = format!("{} has no clip for audiotype {audiotype}.", avatar.id);
        Problem::not_found(detail)
    })?;
    aside(move || app.sessions.act(&session, &clip, When::Now, 1)).await?;
    Ok(ok())
}

/// The clip that they mean. Their own videos begin at 2; before are talk and
/// silence, which here have one timeline.
fn clip<'n>(names: impl Iterator<Item = &'n str>, audiotype: usize) -> Option<String> {
    let clip = match audiotype.checked_sub(2) {
        None => Some(IDLE),
        Some(n) => names.filter(|name| *name != IDLE).nth(n),
    };
    clip.map(str::to_owned)
}

#[derive(Deserialize)]
struct Record {
    sessionid: Option<Name>,
    #[serde(rename = "type")]
    kind: RecordKind,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordKind {
    StartRecord,
    EndRecord,
}

async fn record(State(app): State<App>, body: Bytes) -> Result<Json<Value>, Problem> {
    let Record { sessionid, kind } = read(&body)?;
    let session = find(&app, &id(sessionid))?;
    aside(move || match kind {
        RecordKind::StartRecord => app.recordings.start(&session),
        RecordKind::EndRecord => app.recordings.stop(&session.id),
    })
    .await?;
    Ok(ok())
}

/// The session's last recording, also after the session.
async fn recorded(
    State(app): State<App>,
    Path(name): Path<String>,
    at_work: Option<Extension<AtWork>>,
    request: Request,
) -> Result<Response, Problem> {
    let session = id(Some(Name::Text(name)));
    let all = app.recordings.clone();
    let last = aside(move || {
        let mut all = all.list()?.into_iter().rev();
        let last = all.find(|recording| recording.session == session);
        last.ok_or(Error::Unknown(session))
    });
    let last = Path(last.await?.id);
    recordings::download(State(app), last, at_work, request).await
}

/// What is told of utterances: `{"status":"start"}`, `{"status":"end"}`.
async fn sse(
    State(app): State<App>,
    Query(Asked { sessionid }): Query<Asked>,
    at_work: Option<Extension<AtWork>>,
) -> Result<Sse<impl Stream<Item = Told>>, Problem> {
    let session = find(&app, &id(sessionid))?;
    tell(&session, None, at_work, |_, event| {
        Some(Event::default().data(status(&event)?.to_string()))
    })
}

fn status(event: &Happened) -> Option<Value> {
    match event {
        Happened::SpeechStarted { utterance } => {
            Some(json!({"status": "start", "utterance": utterance}))
        }
        Happened::SpeechFinished {
            utterance,
            interrupted,
            ..
        } => Some(json!({"status": "end", "utterance": utterance, "interrupted": interrupted})),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The session that a body is about.
    fn about(body: &'static str) -> String {
        let asked: Asked = read(&Bytes::from_static(body.as_bytes())).expect("a request");
        id(asked.sessionid)
    }

    #[test]
    fn a_session_is_named_by_a_number_or_by_text() {
        for (body, session) in [
            (r#"{"sessionid": 482913001}"#, "482913001"),
            (r#"{"sessionid": "482913001"}"#, "482913001"),
            (r#"{"sessionid": "desk"}"#, "desk"),
            (r#"{"sessionid": 0}"#, LIVE),
            (r#"{"sessionid": "0"}"#, LIVE),
            (r#"{"sessionid": ""}"#, LIVE),
            // What a page's parseInt makes of an empty field, NaN, is sent as null.
            (r#"{"sessionid": null}"#, LIVE),
            ("{}", LIVE),
        ] {
            assert_eq!(about(body), session, "{body}");
        }
    }

    #[test]
    fn bodies_are_read_as_their_pages_send_them() {
        let human = r#"{"text":"hi","type":"echo","interrupt":true,"sessionid":"1"}"#;
        let human: Human = read(&Bytes::from_static(human.as_bytes())).expect("a text");
        assert!(human.interrupt && matches!(human.kind, HumanKind::Echo));
        let chat = r#"{"text":"hi","type":"chat","sessionid":1,"tts":{"voice":"x"}}"#;
        let chat: Human = read(&Bytes::from_static(chat.as_bytes())).expect("a text");
        assert!(!chat.interrupt && matches!(chat.kind, HumanKind::Chat));
        let offer = r#"{"sdp":"v=0","type":"offer","avatar":"leo","refaudio":"x"}"#;
        let offer: Offer = read(&Bytes::from_static(offer.as_bytes())).expect("an offer");
        assert_eq!(offer.avatar.as_deref(), Some("leo"));
        for wrong in [
            r#"{"text":"hi","sessionid":1}"#,
            r#"{"text":"hi","type":"sing"}"#,
            r#"{"text":1,"type":"echo"}"#,
            "text",
            "",
        ] {
            let read = read::<Human>(&Bytes::from_static(wrong.as_bytes()));
            assert_eq!(
                read.err().map(|no| no.status.as_u16()),
                Some(422),
                "{wrong}"
            );
        }
        let answer = r#"{"sdp":"v=0","type":"answer"}"#;
        assert!(read::<Offer>(&Bytes::from_static(answer.as_bytes())).is_err());
    }

    #[test]
    fn their_first_own_video_is_the_first_named_clip() {
        let names = ["beckon", "idle", "nod"];
        let clip = |audiotype| clip(names.into_iter(), audiotype);
        for (audiotype, name) in [(0, "idle"), (1, "idle"), (2, "beckon"), (3, "nod")] {
            assert_eq!(clip(audiotype).as_deref(), Some(name), "{audiotype}");
        }
        assert_eq!(clip(4), None);
        assert_eq!(clip(usize::MAX), None);
    }

    #[test]
    fn only_utterances_are_told() {
        let started = status(&Happened::SpeechStarted { utterance: 3 });
        assert_eq!(started, Some(json!({"status": "start", "utterance": 3})));
        let finished = Happened::SpeechFinished {
            utterance: 3,
            played_ms: 40,
            interrupted: true,
        };
        let ended = json!({"status": "end", "utterance": 3, "interrupted": true});
        assert_eq!(status(&finished), Some(ended));
        assert_eq!(status(&Happened::Viewers { viewers: 1 }), None);
    }
}
