//! What is counted of a node, in Prometheus' text format. Each node counts for itself: nothing is global, so several in one process do not
//! add up to one.
//!
//! Names and labels are fixed here and in the code that counts; the one label that strangers could choose, a miner's address, is bounded by
//! whoever sets it.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

/// Media type of the format.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Seconds from a few milliseconds to the longest that a slice may take.
pub(crate) const SECONDS: &[f64] = &[0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];

/// A metric's name, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Family(pub(crate) &'static str, pub(crate) &'static str);

/// What one node has counted.
#[derive(Debug)]
pub(crate) struct Meter(PrometheusRecorder);

impl Meter {
    /// With the bounds of each histogram's buckets.
    pub(crate) fn new(buckets: &[(Family, &[f64])]) -> Self {
        let bounded = buckets.iter().try_fold(PrometheusBuilder::new(), |builder, (Family(name, _), bounds)| {
            builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
        });
        // Nothing but an empty list of bounds is refused.
        Self(bounded.unwrap_or_default().build_recorder())
    }

    pub(crate) fn counter(&self, family: Family, labels: &[(&'static str, &'static str)]) -> Counter {
        self.0.describe_counter(KeyName::from_const_str(family.0), None, SharedString::const_str(family.1));
        self.0.register_counter(&key(family, labels), &METADATA)
    }

    /// Counts on: the family has been described by [`Meter::counter`].
    pub(crate) fn add(&self, family: Family, labels: &[(&'static str, &'static str)], count: u64) {
        self.0.register_counter(&key(family, labels), &METADATA).increment(count);
    }

    pub(crate) fn gauge(&self, family: Family, labels: &[(&'static str, String)]) -> Gauge {
        self.0.describe_gauge(KeyName::from_const_str(family.0), None, SharedString::const_str(family.1));
        let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::new(*name, value.clone())).collect();
        self.0.register_gauge(&Key::from_parts(family.0, labels), &METADATA)
    }

    pub(crate) fn histogram(&self, family: Family) -> Histogram {
        self.0.describe_histogram(KeyName::from_const_str(family.0), None, SharedString::const_str(family.1));
        self.0.register_histogram(&key(family, &[]), &METADATA)
    }

    /// Everything, as text.
    pub(crate) fn text(&self) -> String {
        self.0.handle().render()
    }

    /// Puts times that were measured into their buckets; until then each takes some bytes, so this is done now and then, whether anybody
    /// reads metrics or not.
    pub(crate) fn sort(&self) {
        self.0.handle().run_upkeep();
    }
}

fn key(Family(name, _): Family, labels: &[(&'static str, &'static str)]) -> Key {
    Key::from_parts(name, labels.iter().map(|(name, value)| Label::from_static_parts(name, value)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_meter_counts_for_itself() {
        let (times, units) = (Family("times_seconds", "Times"), Family("units_total", "Units"));
        let [a, b] = [(); 2].map(|()| Meter::new(&[(times, &[1.0, 2.0])]));
        for meter in [&a, &b] {
            meter.histogram(times).record(1.5);
            meter.counter(units, &[("kind", "good")]).increment(2);
        }
        a.sort();
        a.histogram(times).record(0.5);
        for line in [
            "# HELP times_seconds Times",
            "# TYPE times_seconds histogram",
            "times_seconds_bucket{le=\"1\"} 1",
            "times_seconds_bucket{le=\"2\"} 2",
            "times_seconds_count 2",
            "# TYPE units_total counter",
            "units_total{kind=\"good\"} 2",
        ] {
            assert!(a.text().lines().any(|found| found == line), "{line}: {}", a.text());
        }
        assert!(b.text().contains("times_seconds_count 1"));
    }
}
