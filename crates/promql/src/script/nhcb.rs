//! Classic histograms as native ones with custom buckets, for `load_with_nhcb`.

use super::parse::Load;
use super::series::Point;
use nilometer_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{Error, FloatHistogram, Labels, Result, Span};
use std::collections::BTreeMap;

/// What the series of a classic histogram say at one time.
#[derive(Default)]
struct Classic {
    /// Upper bound, by its order, and count of all that is not above it.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms of a load, by labels and by the number of the step.
pub(super) fn convert(load: &Load) -> Result<BTreeMap<Labels, Vec<(usize, FloatHistogram)>>> {
    let mut all: BTreeMap<Labels, BTreeMap<usize, Classic>> = BTreeMap::new();
    for series in &load.series {
        let name = series.labels.metric_name();
        let suffixes = ["_bucket", "_count", "_sum"];
        let Some((base, suffix)) = suffixes.iter().find_map(|s| Some((name.strip_suffix(s)?, *s))) else {
            continue;
        };
        let bound: Option<f64> = series.labels.get("le").parse().ok();
        if suffix == "_bucket" && bound.is_none_or(f64::is_nan) {
            continue;
        }
        let mut labels = series.labels.to_builder();
        labels.set(METRIC_NAME, base).remove("le");
        let steps = all.entry(labels.build()).or_default();
        for (step, point) in series.points.iter().enumerate() {
            let Point::Float(v) = point else { continue };
            let classic = steps.entry(step).or_default();
            match suffix {
                "_bucket" => classic.buckets.push((bound.unwrap_or(f64::INFINITY), *v)),
                "_count" => classic.count = Some(*v),
                _ => classic.sum = *v,
            }
        }
    }
    let native = |steps: BTreeMap<usize, Classic>| {
        steps
            .into_iter()
            .map(|(step, classic)| Ok((step, classic.into_native()?)))
            .collect::<Result<Vec<_>>>()
    };
    all.into_iter().map(|(labels, steps)| Ok((labels, native(steps)?))).collect()
}

impl Classic {
    fn into_native(mut self) -> Result<FloatHistogram> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by(|b, a| a.0 == b.0);
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|b| b.1)).unwrap_or(0.0);
        if highest.is_none_or(|b| b.0 != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut before = 0.0;
        let mut positive = Vec::new();
        for (_, total) in &self.buckets {
            if *total < before {
                return Err(Error::invalid(format!("count is not cumulative: {total} < {before}")));
            }
            positive.push(total - before);
            before = *total;
        }
        if count != before {
            return Err(Error::invalid(format!("count mismatch: count={count} != le=+Inf count={before}")));
        }
        let mut h = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length: positive.len() as u32 }],
            positive,
            custom_values: self.buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).collect(),
            ..FloatHistogram::default()
        };
        crate::histogram::compact(&mut h);
        Ok(h)
    }
}
