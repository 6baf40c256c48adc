//! The phases that have a server of their own, beside the one that goes on.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::super::microphone::Microphone;
use super::super::record::Level;
use super::super::server::Server;
use super::super::viewer::Viewer;
use super::super::{Soak, Trouble};
use super::{Done, EXCURSION, become_true, status};

impl Soak<'_> {
    /// A server that may take what this one takes when it is warm, and no more.
    pub(super) async fn budget(&mut self, watched: Duration) -> Done {
        let Some(level) = self.level else {
            return Err(Trouble::Failed("the server has ended".into()));
        };
        let budget = level.rss_mb.ceil();
        let sets = [format!("memory.budget_mb={budget}")];
        let server = Server::start(&self.plan.launch, &sets, &[]).await?;
        self.sampler.watch("mouthpiece serve (budget)", server.pid);
        let (result, reclaims) = self
            .within_budget(&server, watched)
            .await
            .map_or_else(|trouble| (Err(trouble), 0), |reclaims| (Ok(()), reclaims));
        // The budget is what it counts from; its descriptors and threads are its own.
        if let (Some(after), Some(open)) =
            (self.sampler.level(server.pid, None).await, &mut self.open)
        {
            let before = Level {
                rss_mb: budget,
                private_mb: budget,
                ..after
            };
            (open.before, open.after) = (Some(before), Some(after));
            open.note = format!("{budget} MB of budget, {reclaims} reclaims");
        }
        stopped(server).await?;
        result
    }

    /// Watches `server`, and says how often it gave memory back.
    async fn within_budget(&self, server: &Server, watched: Duration) -> Result<u64, Trouble> {
        let viewer = Viewer::watching(server.http, "live", &self.meter).await?;
        sleep(watched).await;
        viewer.leave().await?;
        let memory = server.http.get("/v1/memory").await?.json();
        let counts = memory["reclaims"].as_object().map(|counts| counts.values());
        Ok(counts.into_iter().flatten().filter_map(Value::as_u64).sum())
    }

    pub(super) async fn microphone(&mut self, times: usize) -> Done {
        if let Some(program) = Microphone::missing() {
            return Err(Trouble::Skipped(format!(
                "no PulseAudio: {program} isn't installed"
            )));
        }
        let broken = |error: std::io::Error| Trouble::Failed(error.to_string());
        let mut microphone = Microphone::new().map_err(broken)?;
        microphone.plug().await.map_err(Trouble::Failed)?;
        let sets = ["audio.source=microphone".to_owned()];
        let server = Server::start(&self.plan.launch, &sets, &microphone.env()).await?;
        self.sampler
            .watch("mouthpiece serve (microphone)", server.pid);
        let viewer = Viewer::watching(server.http, "live", &self.meter).await?;
        self.talks(&server, &microphone).await?;
        // Until its caches are full.
        sleep(self.seconds(60, 12)).await;
        let before = self.sampler.level(server.pid, None).await;
        for _ in 0..times {
            microphone.unplug().await;
            self.sampler.event("microphone unplugged");
            sleep(EXCURSION).await;
            microphone.plug().await.map_err(Trouble::Failed)?;
            self.sampler.event("microphone back");
            self.talks(&server, &microphone).await?;
        }
        let after = self.sampler.level(server.pid, before).await;
        if let Some(open) = &mut self.open {
            (open.before, open.after) = (before, after);
        }
        viewer.leave().await?;
        stopped(server).await
    }

    /// Speaks into the microphone until the avatar speaks it.
    async fn talks(&self, server: &Server, microphone: &Microphone) -> Done {
        let http = server.http;
        let mut said = microphone
            .say(&self.plan.welcome)
            .map_err(|e| Trouble::Failed(format!("paplay can't be started: {e}")))?;
        let talks = async || Ok(status(http, "live").await?["state"] == "talking");
        let talked = become_true("what is said into the microphone is spoken", talks).await;
        // It may have said all of it.
        let _over = said.kill().await;
        talked
    }
}

/// Ends a server that a phase had to itself.
async fn stopped(mut server: Server) -> Done {
    server.stop().await.map_err(Trouble::Failed)
}
