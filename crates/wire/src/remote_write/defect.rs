//! What is wrong with one series or exemplar of a request that is otherwise good.

use nilometer_model::Error;
use std::fmt;

/// Why one series or exemplar has to be refused. Turns into an [`Error`] where it is reported, so that a
/// request full of them costs no more memory than one without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Names and values come in pairs.
    OddRefs { count: u32 },
    /// The reference `label_ref` is not below the number of symbols.
    NoSuchSymbol { label_ref: u32, symbols: u32 },
    /// More labels than `max_labels_per_series`.
    TooManyLabels { count: u32, max: u32 },
    /// The labels take more than `max_label_bytes_per_series`.
    LabelsTooLong { max: u32 },
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Defect::OddRefs { count } => {
                write!(f, "it has {count} references to symbols, but labels are pairs of a name and a value")
            }
            Defect::NoSuchSymbol { label_ref, symbols } => {
                write!(f, "it refers to symbol {label_ref}, but the request has only {symbols} symbols")
            }
            Defect::TooManyLabels { count, .. } => {
                write!(f, "it has {count} labels; drop some by relabelling")
            }
            Defect::LabelsTooLong { .. } => {
                f.write_str("its labels are too long; shorten them by relabelling")
            }
        }
    }
}

impl From<Defect> for Error {
    fn from(defect: Defect) -> Error {
        match defect {
            Defect::TooManyLabels { max, .. } => {
                Error::limit("max_labels_per_series", max.into(), defect.to_string())
            }
            Defect::LabelsTooLong { max } => {
                Error::limit("max_label_bytes_per_series", max.into(), defect.to_string())
            }
            Defect::OddRefs { .. } | Defect::NoSuchSymbol { .. } => Error::invalid(defect.to_string()),
        }
    }
}
