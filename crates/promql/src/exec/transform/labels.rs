//! `label_replace` and `label_join`.

use crate::exec::table::{StepSeries, join_same_labels};
use crate::exec::{Context, Operator, Output, SlotId, Slots};
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{Error, Labels, Result};
use regex_automata::meta::Regex;

pub(crate) struct Relabel {
    pub(crate) input: SlotId,
    pub(crate) target: String,
    pub(crate) how: How,
}

pub(crate) enum How {
    /// `$1` and the like in `replacement` stand for what the expression matched in label `source`.
    Replace {
        source: String,
        regex: Box<Regex>,
        replacement: String,
    },
    Join {
        separator: String,
        sources: Vec<String>,
    },
}

impl Relabel {
    pub(crate) fn replace(input: SlotId, [target, replacement, source, regex]: [&str; 4]) -> Result<Self> {
        let compiled = Regex::new(&format!("^(?s:{regex})$"))
            .map_err(|_| Error::invalid(format!("invalid regular expression in label_replace(): {regex}")))?;
        let (source, replacement) = (source.to_owned(), replacement.to_owned());
        let how = How::Replace { source, regex: Box::new(compiled), replacement };
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
            How::Replace { source, regex, replacement } => {
                let text = labels.get(source);
                let mut captures = regex.create_captures();
                regex.captures(text, &mut captures);
                captures.is_match().then(|| {
                    let mut out = String::new();
                    captures.interpolate_string_into(text, &go_template(replacement), &mut out);
                    out
                })
            }
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

/// The template with `$name` in braces as far as Go reads a name: letters, digits and `_`. A `$` that begins
/// no name is dropped there, but stays here unless doubled.
fn go_template(template: &str) -> String {
    let mut out = String::with_capacity(template.len() + 8);
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push_str("$$");
            rest = after;
            continue;
        }
        let braced = rest.starts_with('{');
        let body = if braced { &rest[1..] } else { rest };
        let len = body.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(body.len());
        let closed = !braced || body[len..].starts_with('}');
        if len == 0 || !closed {
            out.push_str("$$");
            continue;
        }
        out.push_str("${");
        out.push_str(&body[..len]);
        out.push('}');
        rest = &body[len + usize::from(braced)..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::go_template;

    #[test]
    fn names_as_go_reads_them() {
        assert_eq!(go_template("a-$1-b"), "a-${1}-b");
        assert_eq!(go_template("$1x ${1}x"), "${1x} ${1}x");
        assert_eq!(go_template("100$$ $ ${"), "100$$ $$ $${");
    }
}
