//! Metrics, written one after the other.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::stats::{BUCKETS, Timing};

/// A histogram's buckets (each for itself), count and sum in seconds.
#[derive(Clone, Default)]
pub(super) struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    pub fn of(timing: &Timing) -> Self {
        let (cumulative, count, sum) = timing.histogram();
        let below = |n: usize| n.checked_sub(1).map_or(0, |n| cumulative[n]);
        Self {
            buckets: std::array::from_fn(|n| cumulative[n] - below(n)),
            count,
            sum,
        }
    }

    pub fn and(&self, other: &Self) -> Self {
        Self {
            buckets: std::array::from_fn(|n| self.buckets[n] + other.buckets[n]),
            count: self.count + other.count,
            sum: self.sum + other.sum,
        }
    }

    fn write(&self, mut metric: MetricEncoder<'_>) -> fmt::Result {
        let over = self.count.saturating_sub(self.buckets.iter().sum());
        let finite = BUCKETS.into_iter().zip(self.buckets);
        let buckets: Vec<_> = finite.chain([(f64::MAX, over)]).collect();
        metric.encode_histogram::<NoLabelSet>(self.sum, self.count, &buckets, None)
    }
}

/// Writes metrics one after the other. Values that come in families are given
/// with their labels.
pub(super) struct Out<'o, 'e>(pub &'o mut DescriptorEncoder<'e>);

impl Out<'_, '_> {
    fn describe<'a>(
        &'a mut self,
        name: &'a str,
        help: &'a str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.describe(name, help, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    pub fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut metric = self.describe(name, help, MetricType::Gauge)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.describe(name, help, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    pub fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.describe(name, help, MetricType::Counter)?;
        for (labels, value) in values {
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        histogram.write(self.describe(name, help, MetricType::Histogram)?)
    }

    pub fn histograms<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, Histogram)>,
    ) -> fmt::Result {
        let mut metric = self.describe(name, help, MetricType::Histogram)?;
        for (labels, histogram) in values {
            histogram.write(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
