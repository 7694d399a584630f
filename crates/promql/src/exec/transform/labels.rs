//! `label_replace` and `label_join`.

use crate::exec::table::{StepSeries, join_same_labels};
use crate::exec::{Context, Operator, Output, SlotId, Slots};
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::regex::Captures;
use nilometer_model::{Error, Labels, Result};

pub(crate) struct Relabel {
    pub(crate) input: SlotId,
    pub(crate) target: String,
    pub(crate) how: How,
}

pub(crate) enum How {
    /// `$1` and the like in `replacement` stand for what the expression matched in label `source`.
    Replace {
        source: String,
        regex: Captures,
        replacement: String,
    },
    Join {
        separator: String,
        sources: Vec<String>,
    },
}

impl How {
    pub(crate) fn replace(source: &str, pattern: &str, replacement: &str) -> Result<Self> {
        let regex = Captures::new(pattern).map_err(|_| {
            Error::invalid(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
        Ok(How::Replace { source: source.to_owned(), regex, replacement: replacement.to_owned() })
    }

    /// The new value; `None` leaves the label.
    fn value(&self, labels: &Labels) -> Option<String> {
        match self {
            How::Join { separator, sources } => {
                let values: Vec<&str> = sources.iter().map(|name| labels.get(name)).collect();
                Some(values.join(separator))
            }
            How::Replace { source, regex, replacement } => regex.expand(labels.get(source), replacement),
        }
    }
}

impl Operator for Relabel {
    fn run(&self, slots: &mut Slots, _cx: &mut Context) -> Result<Output> {
        let mut series: Vec<StepSeries> = slots.take_vector(self.input)?;
        for one in &mut series {
            if let Some(value) = self.how.value(&one.labels) {
                let mut labels = one.labels.to_builder();
                labels.set(&self.target, &value);
                one.labels = labels.build();
                // A name that was just given stays.
                one.drop_name &= self.target != METRIC_NAME;
            }
        }
        Ok(Output::Vector(join_same_labels(series)?))
    }
}
