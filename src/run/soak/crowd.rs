//! The viewers that are always there, and change.

use std::collections::VecDeque;
use std::sync::Arc;

use super::http::Http;
use super::viewer::{Error, Meter, Viewer};

/// The session that they watch.
const LIVE: &str = "live";

/// As many viewers as were asked for, the longest there first.
pub struct Crowd {
    http: Http,
    meter: Arc<Meter>,
    size: usize,
    viewers: VecDeque<Viewer>,
    /// Viewers who left; every other one does so without a word.
    left: usize,
}

impl Crowd {
    /// Nobody yet, and `size` once it is filled.
    pub fn new(http: Http, meter: Arc<Meter>, size: usize) -> Self {
        Self {
            http,
            meter,
            size,
            viewers: VecDeque::new(),
            left: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// Lets viewers in until all are there and see a picture.
    ///
    /// # Errors
    ///
    /// When one sees nothing; here and below.
    pub async fn fill(&mut self) -> Result<(), Error> {
        while self.viewers.len() < self.size {
            let viewer = Viewer::watching(self.http, LIVE, &self.meter).await?;
            self.viewers.push_back(viewer);
        }
        Ok(())
    }

    /// The longest there leaves, another comes.
    pub async fn turn(&mut self) -> Result<(), Error> {
        self.one_leaves().await?;
        self.fill().await
    }

    /// So many more come at once, see, and leave.
    pub async fn guests(&mut self, count: usize) -> Result<(), Error> {
        let coming = (0..count).map(|_| {
            let (http, meter) = (self.http, Arc::clone(&self.meter));
            tokio::spawn(async move { Viewer::watching(http, LIVE, &meter).await })
        });
        let mut came = Ok(());
        for guest in coming.collect::<Vec<_>>() {
            let guest = guest.await.expect("a viewer doesn't panic");
            came = match guest {
                Ok(guest) => came.and(self.goes(guest).await),
                Err(error) => came.and(Err(error)),
            };
        }
        came
    }

    /// All leave.
    pub async fn empty(&mut self) -> Result<(), Error> {
        while !self.viewers.is_empty() {
            self.one_leaves().await?;
        }
        Ok(())
    }

    async fn one_leaves(&mut self) -> Result<(), Error> {
        match self.viewers.pop_front() {
            Some(viewer) => self.goes(viewer).await,
            None => Ok(()),
        }
    }

    async fn goes(&mut self, viewer: Viewer) -> Result<(), Error> {
        self.left += 1;
        if self.left.is_multiple_of(2) {
            viewer.leave().await
        } else {
            viewer.vanish().await;
            Ok(())
        }
    }
}
