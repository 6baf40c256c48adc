//! The samples of one track that are not in the file yet.

use std::time::Duration;

/// What one packet became.
pub(super) struct Sample {
    /// When it is shown, in ticks of its track.
    pub(super) at: u64,
    /// Bytes of it.
    pub(super) length: usize,
    /// Whether a decoder can start here.
    pub(super) key: bool,
}

/// Samples of one track, one after the other.
pub(super) struct Track {
    /// The track's number in the file.
    pub(super) id: u32,
    /// Ticks a second.
    rate: u32,
    /// How long a sample lasts whose successor is not known.
    usual: Duration,
    /// Where the track goes on, in ticks: what is before is in the file.
    from: u64,
    samples: Vec<Sample>,
    data: Vec<u8>,
}

impl Track {
    pub(super) fn new(id: u32, rate: u32, usual: Duration) -> Self {
        Self {
            id,
            rate,
            usual,
            from: 0,
            samples: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Goes on at `from`, in ticks.
    pub(super) fn after(self, from: u64) -> Self {
        Self { from, ..self }
    }

    /// Adds a sample at `at` from the file's start; `append` writes its bytes.
    /// One from before the last is left out: time only goes forwards.
    pub(super) fn push(&mut self, at: Duration, key: bool, append: impl FnOnce(&mut Vec<u8>)) {
        let at = self.ticks(at);
        if at < self.from || self.samples.last().is_some_and(|last| at <= last.at) {
            return;
        }
        let before = self.data.len();
        append(&mut self.data);
        self.samples.push(Sample {
            at,
            length: self.data.len() - before,
            key,
        });
    }

    /// Samples whose length in time is known, because the next one is there.
    pub(super) fn complete(&self) -> usize {
        self.samples.len().saturating_sub(1)
    }

    /// All samples.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Bytes of memory that the samples' data has room for.
    pub(super) fn held_bytes(&self) -> usize {
        self.data.capacity()
    }

    /// Time that the complete samples last.
    pub(super) fn span(&self) -> Duration {
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => self.time(last.at - first.at),
            _ => Duration::ZERO,
        }
    }

    /// When the first sample is shown, in ticks.
    pub(super) fn begin(&self) -> u64 {
        self.samples.first().map_or(0, |sample| sample.at)
    }

    /// When the last sample ends, from the file's start.
    pub(super) fn end(&self) -> Duration {
        self.samples
            .last()
            .map_or(self.time(self.from), |last| self.time(last.at) + self.usual)
    }

    /// The first `count` samples, with how long each lasts in ticks.
    pub(super) fn samples(&self, count: usize) -> impl Iterator<Item = (&Sample, u32)> {
        let ends = self.samples.iter().skip(1).map(|next| next.at);
        let last = self.ticks(self.end());
        self.samples
            .iter()
            .zip(ends.chain([last]))
            .map(|(sample, end)| (sample, u32::try_from(end - sample.at).unwrap_or(u32::MAX)))
            .take(count)
    }

    /// The bytes of the first `count` samples.
    pub(super) fn bytes(&self, count: usize) -> &[u8] {
        let length = self.samples[..count]
            .iter()
            .map(|sample| sample.length)
            .sum();
        &self.data[..length]
    }

    /// Forgets the first `count` samples.
    pub(super) fn forget(&mut self, count: usize) {
        let length = self.bytes(count).len();
        self.data.drain(..length);
        self.samples.drain(..count);
    }

    fn ticks(&self, time: Duration) -> u64 {
        let ticks = (time.as_nanos() * u128::from(self.rate) + 500_000_000) / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    fn time(&self, ticks: u64) -> Duration {
        let whole = Duration::from_secs(ticks / u64::from(self.rate));
        let rest = ticks % u64::from(self.rate) * 1_000_000_000 / u64::from(self.rate);
        whole + Duration::from_nanos(rest)
    }
}
