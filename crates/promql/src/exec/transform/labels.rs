//! `label_replace` and `label_join`.

use crate::exec::table::{StepSeries, join_same_labels};
use crate::exec::{Context, Operator, Output, SlotId, Slots};
use crate::func::captures::Captures;
use nilometer_model::labels::METRIC_NAME;
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

impl Relabel {
    pub(crate) fn replace(input: SlotId, [target, replacement, source, regex]: [&str; 4]) -> Result<Self> {
        let compiled = Captures::new(regex)
            .map_err(|_| Error::invalid(format!("invalid regular expression in label_replace(): {regex}")))?;
        let (source, replacement) = (source.to_owned(), replacement.to_owned());
        let how = How::Replace { source, regex: compiled, replacement };
        Ok(Relabel { input, target: target.to_owned(), how })
    }

    pub(crate) fn join(input: SlotId, target: &str, separator: &str, sources: Vec<String>) -> Self {
        let how = How::Join { separator: separator.to_owned(), sources };
        Relabel { input, target: target.to_owned(), how }
    }

    /// The new value; `None` leaves the label.
    fn value(&self, labels: &Labels) -> Option<String> {
        match &self.how {
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
            if let Some(value) = self.value(&one.labels) {
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
