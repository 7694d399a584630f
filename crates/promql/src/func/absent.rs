//! `absent` and `absent_over_time`: a series where there is none.

use crate::exec::table::StepSeries;
use crate::plan::Kind;
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{Labels, LabelsBuilder, MatchKind, Matcher};
use std::collections::HashSet;

/// 1 at each step where no series has a value.
pub(crate) fn absent(input: &[StepSeries], labels: Labels, steps: usize) -> StepSeries {
    let mut out = StepSeries::new(labels, steps);
    for step in 0..steps {
        if !input.iter().any(|s| s.is_present(step)) {
            out.floats[step] = 1.0;
        }
    }
    out
}

/// The labels that a selector asks for by equality, so that an alert can say what is missing.
pub(crate) fn labels_of(arg: &Kind) -> Labels {
    match arg {
        Kind::Vector(s) => labels_of_matchers(&s.matchers),
        Kind::Matrix(m) => labels_of_matchers(&m.selector.matchers),
        _ => Labels::empty(),
    }
}

/// A label that is asked for twice is left out, whatever is asked.
fn labels_of_matchers(matchers: &[Matcher]) -> Labels {
    let (mut labels, mut seen) = (LabelsBuilder::default(), HashSet::new());
    for m in matchers.iter().filter(|m| &*m.name != METRIC_NAME) {
        if m.kind == MatchKind::Equal && seen.insert(&m.name) {
            labels.set(&m.name, &m.value);
        } else {
            labels.remove(&m.name);
        }
    }
    labels.build()
}
