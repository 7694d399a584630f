//! A request as its readers see it.

use super::histogram::HistogramRef;
use super::labels::LabelIter;
use super::metadata::MetadataRow;
use super::request::{ExemplarRow, HistogramRow, SeriesRow, Spelled};
use super::{Defect, FloatSample, Message, WriteRequest};
use nilometer_model::{Metadata, MetricType, Result};

/// What a series is known by.
#[derive(Clone)]
pub enum Identity<'a> {
    /// Its labels are canonical: these bytes are equal for equal labels and in both versions, and different
    /// for different ones. Whether names and values are valid is for the first meeting to find out.
    Key(&'a [u8]),
    /// Its labels are unsorted, repeated, empty or absent: to be put in order and checked each time, and not
    /// to be entered in a table of keys.
    Loose(LabelIter<'a>),
    /// There is no saying what its labels are.
    Refused(Defect),
}

/// One series of a request.
#[derive(Clone, Copy)]
pub struct Series<'a> {
    request: &'a WriteRequest,
    row: &'a SeriesRow,
}

impl WriteRequest {
    /// In the order they were sent. One set of labels can come several times.
    pub fn series(&self) -> impl ExactSizeIterator<Item = Series<'_>> + Clone {
        self.columns().series.iter().map(|row| Series { request: self, row })
    }

    /// What a 1.0 request says of metric families; in 2.0 each series has its own.
    pub fn families(&self) -> impl Iterator<Item = MetadataRef<'_>> {
        let rows: &[MetadataRow] =
            if self.message() == Some(Message::V1) { &self.columns().metadata } else { &[] };
        rows.iter().map(|row| MetadataRef::new(row, self.body()))
    }
}

impl<'a> Series<'a> {
    #[inline]
    pub fn identity(&self) -> Identity<'a> {
        let columns = self.request.columns();
        match self.row.labels {
            Spelled::KeyInBody(text) => Identity::Key(text.of(self.request.body())),
            Spelled::Key(text) => Identity::Key(text.of(columns.text.as_slice())),
            Spelled::Loose(text) => Identity::Loose(LabelIter::new(text.of(columns.text.as_slice()))),
            Spelled::Refused(row) => Identity::Refused(columns.defects[row as usize]),
        }
    }

    /// The labels, whether they are canonical or not; none of a refused series.
    pub fn labels(&self) -> LabelIter<'a> {
        match self.identity() {
            Identity::Key(key) => LabelIter::new(key),
            Identity::Loose(labels) => labels,
            Identity::Refused(_) => LabelIter::new(&[]),
        }
    }

    /// In the order they were sent.
    #[inline]
    pub fn samples(&self) -> &'a [FloatSample] {
        self.row.samples.of(&self.request.columns().samples)
    }

    #[inline]
    pub fn histograms(&self) -> impl ExactSizeIterator<Item = HistogramRef<'a>> + use<'a> {
        let body = self.request.body();
        let rows: &'a [HistogramRow] = self.row.histograms.of(&self.request.columns().histograms);
        rows.iter().map(move |row| HistogramRef::new(row, body))
    }

    #[inline]
    pub fn exemplars(&self) -> impl ExactSizeIterator<Item = ExemplarRef<'a>> + use<'a> {
        let text = self.request.columns().text.as_slice();
        let rows: &'a [ExemplarRow] = self.row.exemplars.of(&self.request.columns().exemplars);
        rows.iter().map(move |row| ExemplarRef {
            labels: row.labels.map(|labels| LabelIter::new(labels.of(text))),
            t_ms: row.t_ms,
            v: row.v,
        })
    }

    /// What a 2.0 series says of its family; in 1.0 see [`WriteRequest::families`].
    pub fn metadata(&self) -> Option<MetadataRef<'a>> {
        let row = self.row.metadata.of(&self.request.columns().metadata).last()?;
        Some(MetadataRef::new(row, self.request.body()))
    }
}

/// An exemplar of a series.
#[derive(Clone)]
pub struct ExemplarRef<'a> {
    /// In the order they were sent, or why this exemplar has to be refused.
    pub labels: Result<LabelIter<'a>, Defect>,
    pub t_ms: i64,
    pub v: f64,
}

/// What a metric family says of itself. Not checked to be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataRef<'a> {
    /// The family's name; empty in 2.0, where the series has it.
    pub family: &'a [u8],
    pub kind: MetricType,
    pub help: &'a [u8],
    pub unit: &'a [u8],
}

impl<'a> MetadataRef<'a> {
    fn new(row: &MetadataRow, body: &'a [u8]) -> Self {
        MetadataRef {
            family: row.family.of(body),
            kind: row.kind,
            help: row.help.of(body),
            unit: row.unit.of(body),
        }
    }

    /// An owned copy; what is not UTF-8 in these texts for people is replaced.
    pub fn to_model(&self) -> Metadata {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Metadata { kind: self.kind, help: text(self.help), unit: text(self.unit) }
    }
}
