//! What of a request was not stored, and why: enough for an answer that a sender's operator can act on.

use nilometer_model::Labels;
use std::fmt::Write;

/// Why a sample, or a whole series of a request, was refused. None of them can be mended by sending again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The labels are none that a series can have.
    InvalidLabels,
    /// Too many labels, or too long ones.
    LabelLimit,
    /// The tenant's policy does not allow these labels.
    LabelPolicy,
    /// A new series, and the tenant has as many as it may.
    SeriesLimit,
    /// A new series, and all tenants together have as many as they may.
    HubSeriesLimit,
    /// A new series, and the labels of those that are there take as many bytes as they may.
    LabelTextLimit,
    InvalidHistogram,
    /// Before what would still be accepted.
    TooOld,
    TooFarInFuture,
    /// Older than the series' newest sample, and outside the window.
    OutOfOrder,
    /// Another value is stored at the same time.
    Conflict,
    /// An exemplar, which alone makes no error of the answer.
    Exemplar,
}

impl Reason {
    pub const ALL: [Reason; 12] = [
        Reason::InvalidLabels,
        Reason::LabelLimit,
        Reason::LabelPolicy,
        Reason::SeriesLimit,
        Reason::HubSeriesLimit,
        Reason::LabelTextLimit,
        Reason::InvalidHistogram,
        Reason::TooOld,
        Reason::TooFarInFuture,
        Reason::OutOfOrder,
        Reason::Conflict,
        Reason::Exemplar,
    ];

    /// As metrics label it.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::InvalidLabels => "invalid_labels",
            Reason::LabelLimit => "label_limit",
            Reason::LabelPolicy => "label_policy",
            Reason::SeriesLimit => "series_limit",
            Reason::HubSeriesLimit => "hub_series_limit",
            Reason::LabelTextLimit => "label_text_limit",
            Reason::InvalidHistogram => "invalid_histogram",
            Reason::TooOld => "too_old",
            Reason::TooFarInFuture => "too_far_in_future",
            Reason::OutOfOrder => "out_of_order",
            Reason::Conflict => "conflict",
            Reason::Exemplar => "exemplar",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Reason::InvalidLabels => "with invalid labels",
            Reason::LabelLimit => "over a label limit",
            Reason::LabelPolicy => "against the tenant's label policy",
            Reason::SeriesLimit => "over the tenant's limit of active series",
            Reason::HubSeriesLimit => "over the hub's limit of active series, all tenants together",
            Reason::LabelTextLimit => "over the tenant's limit of label text in memory",
            Reason::InvalidHistogram => "with an invalid histogram",
            Reason::TooOld => "too old",
            Reason::TooFarInFuture => "too far in the future",
            Reason::OutOfOrder => "out of order",
            Reason::Conflict => "with another value than stored at the same time",
            Reason::Exemplar => "exemplars that cannot be kept",
        }
    }

    /// Whether it is a clash with what is stored, which answers 409 where nothing else is wrong.
    pub fn is_conflict(self) -> bool {
        matches!(self, Reason::OutOfOrder | Reason::Conflict)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    counts: [u64; Reason::ALL.len()],
    series: u64,
    first: Vec<String>,
}

/// So many are named.
const NAMED: usize = 5;
/// A name is shown so far, in bytes.
const NAME_BYTES: usize = 300;

impl Refused {
    pub(crate) fn add(&mut self, reason: Reason, samples: u64, named: impl FnOnce() -> String) {
        self.counts[reason as usize] += samples.max(1);
        if self.first.len() < NAMED {
            self.first.push(shortened(named()));
        }
    }

    /// One exemplar more that is not kept. Which one, an answer does not say: samples come first there.
    pub(crate) fn add_exemplar(&mut self) {
        self.counts[Reason::Exemplar as usize] += 1;
    }

    /// How many samples were refused so far.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// One more series of which something was refused.
    pub(crate) fn count_series(&mut self) {
        self.series += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// Whether the answer is an error: exemplars alone never make one, as in Prometheus. They are copies of
    /// what a trace has, and a sender could do nothing about it.
    pub fn fails_request(&self) -> bool {
        self.reasons().next().is_some()
    }

    /// The samples that are refused are refused only for clashing with what is stored.
    pub fn only_conflicts(&self) -> bool {
        self.reasons().all(Reason::is_conflict)
    }

    /// Why samples are refused, each reason once.
    fn reasons(&self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(|r| self.count(*r) > 0 && *r != Reason::Exemplar)
    }

    pub fn count(&self, reason: Reason) -> u64 {
        self.counts[reason as usize]
    }
}

impl std::fmt::Display for Refused {
    /// One paragraph: how much, why, and the first few by name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} series refused in part or whole; samples", self.series)?;
        let mut separator = ": ";
        for reason in Reason::ALL.into_iter().filter(|r| self.count(*r) > 0) {
            write!(f, "{separator}{} {}", self.count(reason), reason.says())?;
            separator = ", ";
        }
        f.write_str(". All others are stored.")?;
        for name in &self.first {
            write!(f, "\n{name}")?;
        }
        Ok(())
    }
}

fn shortened(mut name: String) -> String {
    if name.len() > NAME_BYTES {
        let mut end = NAME_BYTES;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        name.push('…');
    }
    name
}

/// `out of order …: {__name__="up", job="a"} at 1700000000000 ms`: the reason first, labels may be long.
pub(crate) fn describe(labels: &Labels, t_ms: Option<i64>, why: &str) -> String {
    let mut text = format!("{why}: {labels}");
    if let Some(t_ms) = t_ms {
        let _ = write!(text, " at {t_ms} ms");
    }
    text
}
