//! What is done in a run, in order. Each phase is one that broke another system.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::http::Http;
use super::viewer::Viewer;
use super::{GUESTS, Soak, Trouble, sound};

mod apart;

/// The least that the steady part lasts, however long the phases took: enough
/// for a line through its memory.
const LEAST_STEADY: Duration = Duration::from_secs(50);
/// Kinds of acts that follow one another in the steady part.
const ACTS: usize = 4;
/// Time that another model or avatar stays, before the first comes back.
const EXCURSION: Duration = Duration::from_secs(2);
/// A model that nobody wanted for so long may be unloaded, with a little more.
const IDLE: Duration = Duration::from_millis(1_500);
/// How often a condition is looked at, and for how long.
const LOOKS: (Duration, u32) = (Duration::from_millis(200), 75);
/// The session that is made and deleted.
const GUEST: &str = "soak";

type Done = Result<(), Trouble>;

/// How long it takes in the steady part of a run of `minutes` until everything was
/// done once.
pub(super) fn cycle(minutes: f64) -> Duration {
    Duration::from_secs_f64((minutes * 1.5).clamp(6.0, 20.0)) * ACTS as u32
}

impl Soak<'_> {
    /// Everything.
    pub(super) async fn all(&mut self) {
        let warm = self.seconds(60, 12);
        self.phase(
            "warm-up",
            format!("{} viewers", self.plan.viewers),
            async |soak| {
                soak.crowd.fill().await?;
                sleep(warm).await;
                Ok(())
            },
        )
        .await;
        for (phase, length) in [
            ("speech-short", self.seconds(20, 4)),
            ("speech-long", self.seconds(720, 16)),
        ] {
            let what = format!("one speech of {} s", length.as_secs());
            self.phase(phase, what, async |soak| soak.speech("live", length).await)
                .await;
        }
        let joins = self.plan.joins.unwrap_or_else(|| self.times(100, 10));
        let what = format!("{joins} viewers come, see and go, {GUESTS} at a time");
        self.phase("joins", what, async |soak| soak.joins(joins).await)
            .await;
        let sessions = self.times(2, 1);
        let what = format!("{sessions} × made, watched, spoken to, deleted");
        self.phase("session", what, async |soak| soak.sessions(sessions).await)
            .await;
        let swaps = self.times(10, 1);
        let what = format!("{swaps} × another and back");
        self.phase("avatars", what, async |soak| {
            soak.swaps("avatar", &soak.plan.avatars, swaps).await
        })
        .await;
        let swaps = self.times(20, 2);
        let what = format!("{swaps} × another and back, {swaps} × unloaded and loaded");
        self.phase("models", what, async |soak| soak.models(swaps).await)
            .await;
        for level in ["light", "hard"] {
            let times = self.times(5, 1);
            let what = format!("{times} × POST /v1/memory/reclaim");
            self.phase(&format!("reclaim-{level}"), what, async |soak| {
                soak.reclaims(level, times).await
            })
            .await;
        }
        let watched = self.seconds(60, 10);
        let what = "a server whose budget is what this one takes".into();
        self.phase("budget", what, async |soak| soak.budget(watched).await)
            .await;
        let times = self.times(3, 1);
        let what = format!("{times} × unplugged and back, in a server of its own");
        self.phase("microphone", what, async |soak| {
            soak.microphone(times).await
        })
        .await;
        let what = format!(
            "{} viewers, one leaves and one comes every {} s; speeches, interrupts, other models and avatars",
            self.plan.viewers,
            self.plan.churn.as_secs_f64()
        );
        self.phase("steady", what, async |soak| soak.steady().await)
            .await;
    }

    /// How often something is done: `full` times in an hour.
    fn times(&self, full: usize, least: usize) -> usize {
        let part = (self.plan.minutes / 60.0).min(1.0);
        ((full as f64 * part).round() as usize).max(least)
    }

    fn seconds(&self, full: usize, least: usize) -> Duration {
        Duration::from_secs(self.times(full, least) as u64)
    }

    /// Speaks for `length`, and waits until all is said.
    async fn speech(&mut self, session: &str, length: Duration) -> Done {
        let said = self.push(session, length).await?;
        sleep(said).await;
        let http = self.server.http;
        let queue = async || Ok(status(http, session).await?["queue_s"].as_f64() == Some(0.0));
        become_true("the speech is over", queue).await
    }

    /// Pushes speech and says how long it takes until all is said.
    async fn push(&self, session: &str, length: Duration) -> Result<Duration, Trouble> {
        let welcome = self.plan.welcome.clone();
        let made = tokio::task::spawn_blocking(move || sound::looped(&welcome, length)).await;
        let made = made.map_err(|e| Trouble::Failed(e.to_string()))?;
        let file = made.map_err(|e| Trouble::Failed(e.to_string()))?;
        let path = format!("/v1/sessions/{session}/speech");
        let reply = self
            .server
            .http
            .file(&path, "audio/wav", file.path())
            .await?
            .json();
        let seconds = |key: &str| reply[key].as_f64().unwrap_or(0.0);
        self.sampler
            .event(&format!("speech {} s", length.as_secs()));
        Ok(Duration::from_secs_f64(
            seconds("duration_s") + seconds("queued_s"),
        ))
    }

    async fn joins(&mut self, times: usize) -> Done {
        for first in (0..times).step_by(GUESTS) {
            self.crowd.guests(GUESTS.min(times - first)).await?;
        }
        self.only_the_crowd().await
    }

    /// Waits until the server has no other viewers than those of the crowd.
    async fn only_the_crowd(&self) -> Done {
        let (http, there) = (self.server.http, self.crowd.len() as u64);
        let left = async || Ok(status(http, "live").await?["viewers"].as_u64() == Some(there));
        become_true("the viewers have left", left).await
    }

    async fn sessions(&mut self, times: usize) -> Done {
        let http = self.server.http;
        let path = format!("/v1/sessions/{GUEST}");
        for _ in 0..times {
            http.json(Method::POST, "/v1/sessions", &json!({ "id": GUEST }))
                .await?;
            self.sampler.event("session made");
            // Not counted with those of `live`.
            let viewer = Viewer::watching(http, GUEST, &Arc::default()).await?;
            let spoken = self.speech(GUEST, Duration::from_secs(4)).await;
            viewer.leave().await?;
            http.delete(&path).await?;
            self.sampler.event("session deleted");
            spoken?;
            match http.get(&path).await {
                Err(error) if error.missing() => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    return Err(Trouble::Failed(
                        "the session is there after it was deleted".into(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Changes `key` of the session to another of `all`, and back.
    async fn swaps(&self, key: &str, all: &[String], times: usize) -> Done {
        let [own, others @ ..] = all else {
            return Err(Trouble::Skipped(format!("no {key} is installed")));
        };
        if others.is_empty() {
            return Err(Trouble::Skipped(format!("only one {key} is installed")));
        }
        for other in others.iter().cycle().take(times) {
            for id in [other, own] {
                let change = json!({ key: id });
                self.server
                    .http
                    .json(Method::PATCH, "/v1/sessions/live", &change)
                    .await?;
                self.sampler.event(&format!("{key} {id}"));
                sleep(EXCURSION).await;
            }
        }
        Ok(())
    }

    async fn models(&mut self, times: usize) -> Done {
        if self.plan.models.len() > 1 {
            self.swaps("model", &self.plan.models, times).await?;
        } else {
            self.note("only one model is installed: it was unloaded and loaded");
        }
        for _ in 0..times {
            // Nobody watches, nothing is drawn, so it is idle.
            self.crowd.empty().await?;
            self.only_the_crowd().await?;
            sleep(IDLE).await;
            self.reclaim("hard").await?;
            let unloaded = self.metric("mouthpiece_models_loaded").await? == Some(0.0);
            if !unloaded {
                return Err(Trouble::Failed(
                    "a model that nobody uses stays after a hard reclaim".into(),
                ));
            }
            self.sampler.event("model unloaded");
            self.crowd.fill().await?;
        }
        Ok(())
    }

    async fn reclaims(&mut self, level: &str, times: usize) -> Done {
        for _ in 0..times {
            self.reclaim(level).await?;
            sleep(EXCURSION).await;
        }
        Ok(())
    }

    async fn reclaim(&self, level: &str) -> Done {
        let body = json!({ "level": level });
        let reply = self
            .server
            .http
            .json(Method::POST, "/v1/memory/reclaim", &body)
            .await?;
        let freed = reply.json()["freed_bytes"].as_f64().unwrap_or(0.0) / f64::from(1 << 20);
        self.sampler
            .event(&format!("reclaim {level}: {freed:.1} MB"));
        Ok(())
    }

    /// A number of `/metrics`.
    async fn metric(&self, name: &str) -> Result<Option<f64>, Trouble> {
        let reply = self.server.http.get("/metrics").await?;
        let text = String::from_utf8_lossy(&reply.body);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.and_then(|value| value.trim().parse().ok()))
    }

    /// Viewers come and go, and everything is done now and then, to the end.
    async fn steady(&mut self) -> Done {
        let least = Duration::from_secs_f64(self.plan.minutes * 60.0);
        let left = least.saturating_sub(Duration::from_secs_f64(self.sampler.elapsed()));
        let end = Instant::now() + left.max(LEAST_STEADY);
        let act_every = cycle(self.plan.minutes) / ACTS as u32;
        let mut churn = Instant::now() + self.plan.churn;
        let mut act = Instant::now() + act_every;
        let (mut turn, mut trouble) = (0, Ok(()));
        while Instant::now() < end {
            let next = churn.min(act).min(end);
            sleep_until(next).await;
            let mut done = Ok(());
            if next == churn {
                churn += self.plan.churn;
                done = self.crowd.turn().await.map_err(Trouble::from);
            } else if next == act {
                act += act_every;
                done = self.act(turn).await;
                turn += 1;
            }
            // What isn't there was told by its own phase.
            if let Err(Trouble::Failed(why)) = done {
                self.sampler.event(&format!("failed: {why}"));
                trouble = trouble.and(Err(Trouble::Failed(why)));
                if self.server.ended() {
                    break;
                }
            }
        }
        trouble
    }

    async fn act(&mut self, turn: usize) -> Done {
        match turn % ACTS {
            0 => self.push("live", Duration::from_secs(10)).await.map(drop),
            1 => {
                let path = "/v1/sessions/live/interrupt";
                self.push("live", Duration::from_secs(10)).await?;
                sleep(EXCURSION).await;
                self.server
                    .http
                    .send(Method::POST, path, None, Body::empty())
                    .await?;
                self.sampler.event("interrupt");
                Ok(())
            }
            2 => self.swaps("model", &self.plan.models, 1).await,
            _ => self.swaps("avatar", &self.plan.avatars, 1).await,
        }
    }

    fn note(&mut self, text: &str) {
        if let Some(open) = &mut self.open {
            text.clone_into(&mut open.note);
        }
    }
}

/// A session as `/v1/status` has it.
async fn status(http: Http, session: &str) -> Result<Value, Trouble> {
    let mut status = http.get("/v1/status").await?.json();
    let sessions = status["sessions"].as_array_mut();
    let found = sessions.and_then(|all| all.iter_mut().find(|s| s["id"] == session));
    Ok(found.map(Value::take).unwrap_or_default())
}

/// Looks until `condition` holds; it is told as `what` if it never does.
async fn become_true(what: &str, condition: impl AsyncFn() -> Result<bool, Trouble>) -> Done {
    for _ in 0..LOOKS.1 {
        if condition().await? {
            return Ok(());
        }
        sleep(LOOKS.0).await;
    }
    Err(Trouble::Failed(format!("not within 15 s: {what}")))
}
