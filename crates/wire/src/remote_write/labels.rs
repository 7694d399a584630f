//! The labels of a series as bytes, and the one form of them that identifies it.
//!
//! ```text
//! ┌────┬──────────┬────┬───────────┬──────┬────┬────────────┬───────┐
//! │ 0a │ len (uv) │ 0a │ name (uv) │ name │ 12 │ value (uv) │ value │ … once per label
//! └────┴──────────┴────┴───────────┴──────┴────┴────────────┴───────┘
//! ```
//!
//! That is how protobuf writes the labels of a 1.0 series. Labels in this form are **canonical** when every
//! varint (uv) is minimal, the names ascend strictly, and no name or value is empty. Then the bytes follow
//! from the set of labels, and two series are the same exactly when their bytes are. Other labels are brought
//! into this form as they come, to be walked by [`LabelIter`].

use super::Defect;
use super::limits::{Limits, Stop};
use super::text::{Text, TextArena};
use crate::protobuf::{Reader, Result, Wire, tag, varint_len};

/// The field of labels in a 1.0 series and exemplar.
pub(super) const LABEL: u32 = tag(1, Wire::Bytes);
const NAME: u32 = tag(1, Wire::Bytes);
const VALUE: u32 = tag(2, Wire::Bytes);

/// Pairs of name and value, in the order they were sent. Not checked to be UTF-8.
#[derive(Clone)]
pub struct LabelIter<'a>(Reader<'a>);

impl<'a> LabelIter<'a> {
    /// `bytes` are in the module's form, made or checked by this module.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        LabelIter(Reader::new(bytes, 0, bytes.len()))
    }
}

impl<'a> Iterator for LabelIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_done() {
            return None;
        }
        let bytes = self.0.bytes();
        let label = self.0.tag().and_then(|_| parse_label(self.0.nested()?));
        let (name, value) = label.expect("labels were checked when the request was read");
        Some((name.of(bytes), value.of(bytes)))
    }
}

/// One label in whatever form protobuf allows: the last of a field counts, an absent one is empty.
fn parse_label(mut message: Reader<'_>) -> Result<(Text, Text)> {
    let (mut name, mut value) = (Text::default(), Text::default());
    while let Some(tag) = message.tag()? {
        match tag {
            NAME => name = Text::message(message.nested()?),
            VALUE => value = Text::message(message.nested()?),
            _ => message.unknown(tag, &[1, 2])?,
        }
    }
    Ok((name, value))
}

/// Finds out, while the labels of a 1.0 series go by, whether they stand there in canonical form.
pub(super) struct KeyScan {
    start: usize,
    end: usize,
    last_name: Text,
    canonical: bool,
    count: u32,
}

impl KeyScan {
    pub(super) fn new() -> Self {
        KeyScan { start: 0, end: 0, last_name: Text::default(), canonical: true, count: 0 }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Where the labels stand, if they are canonical and there are any.
    pub(super) fn key(&self) -> Option<Text> {
        (self.canonical && self.count > 0).then(|| Text::new(self.start, self.end))
    }

    /// Takes labels, at least one, from `series`, which has just read a tag at `tag_at`.
    #[inline]
    pub(super) fn take(&mut self, series: &mut Reader<'_>, tag_at: usize) -> Result<()> {
        if self.count == 0 {
            (self.start, self.end) = (tag_at, tag_at);
        }
        // Else other fields stand between the labels, or the tag is not minimal.
        self.canonical &= self.end == tag_at && series.at() == tag_at + 1;
        let bytes = series.bytes();
        let mut at = tag_at;
        while self.canonical && bytes.get(at) == Some(&(LABEL as u8)) {
            let Some((name, end)) = short_label(bytes, at).or_else(|| usual_label(bytes, at)) else { break };
            self.canonical = self.count == 0 || is_before(bytes, self.last_name, name);
            self.last_name = name;
            self.count += 1;
            at = end;
        }
        if at > tag_at {
            series.skip_to(at);
        } else {
            parse_label(series.nested()?)?;
            self.canonical = false;
            self.count += 1;
        }
        self.end = series.at();
        Ok(())
    }
}

/// The name of a label at `at` and where the label ends, if all its lengths take one byte and it is in the
/// module's form with a value.
#[inline]
fn short_label(bytes: &[u8], at: usize) -> Option<(Text, usize)> {
    let &[LABEL_BYTE, len, NAME_BYTE, name_len] = bytes.get(at..)?.first_chunk()? else { return None };
    let name_end = at + 4 + usize::from(name_len);
    let &[VALUE_BYTE, value_len] = bytes.get(name_end..)?.first_chunk()? else { return None };
    let end = name_end + 2 + usize::from(value_len);
    let fits = (len | name_len | value_len) < 0x80 && end == at + 2 + usize::from(len) && end <= bytes.len();
    (fits && name_len > 0 && value_len > 0).then(|| (Text::new(at + 4, name_end), end))
}

const LABEL_BYTE: u8 = LABEL as u8;
const NAME_BYTE: u8 = NAME as u8;
const VALUE_BYTE: u8 = VALUE as u8;

/// The same with lengths of any size.
#[cold]
fn usual_label(bytes: &[u8], at: usize) -> Option<(Text, usize)> {
    let mut outer = Reader::new(bytes, at + 1, bytes.len());
    let mut label = minimal_nested(&mut outer)?;
    let mut part = |tag: u8| {
        (label.bytes().get(label.at()) == Some(&tag)).then(|| label.skip_to(label.at() + 1))?;
        minimal_nested(&mut label).map(Text::message)
    };
    let (name, value) = (part(NAME_BYTE)?, part(VALUE_BYTE)?);
    (label.is_done() && name.len > 0 && value.len > 0).then(|| (name, outer.at()))
}

/// A length that takes no more bytes than it needs, and what it spans.
fn minimal_nested<'a>(reader: &mut Reader<'a>) -> Option<Reader<'a>> {
    let start = reader.at();
    let inner = reader.nested().ok()?;
    (inner.at() - start == varint_len(inner.end() - inner.at())).then_some(inner)
}

/// Whether `a` stands before `b` in byte order. The first eight bytes usually tell.
#[inline]
pub(super) fn is_before(bytes: &[u8], a: Text, b: Text) -> bool {
    match (prefix(bytes, a), prefix(bytes, b)) {
        (Some(x), Some(y)) if x != y => x < y,
        _ => a.of(bytes) < b.of(bytes),
    }
}

/// The first eight bytes as a number, filled up with zeroes: where those of two texts differ, they order
/// them. `None` too near to the end of the body.
#[inline]
fn prefix(bytes: &[u8], text: Text) -> Option<u64> {
    let word = u64::from_be_bytes(*bytes.get(text.at as usize..)?.first_chunk()?);
    let unused_bits = 64 - 8 * text.len.min(8);
    Some(if unused_bits == 64 { 0 } else { word >> unused_bits << unused_bits })
}

/// Brings the labels of a 1.0 series or exemplar into the module's form, whatever order they are in.
#[cold]
pub(super) fn rewrite(
    mut message: Reader<'_>,
    limits: &Limits,
    text: &mut TextArena,
) -> Result<Result<Text, Defect>, Stop> {
    let mut spelling = Spelling::new(text, message.bytes(), limits);
    while let Some(tag) = message.tag()? {
        if tag == LABEL {
            let (name, value) = parse_label(message.nested()?)?;
            spelling.label(name, value);
        } else {
            message.skip(tag)?;
        }
    }
    spelling.finish()
}

/// Labels being written out into the request's own text, within the limits.
pub(super) struct Spelling<'t> {
    text: &'t mut TextArena,
    body: &'t [u8],
    limits: &'t Limits,
    start: usize,
    count: u32,
    too_long: bool,
}

impl<'t> Spelling<'t> {
    /// Of names and values that are pieces of `body`.
    pub(super) fn new(text: &'t mut TextArena, body: &'t [u8], limits: &'t Limits) -> Self {
        Spelling { start: text.len(), text, body, limits, count: 0, too_long: false }
    }

    #[inline(always)]
    pub(super) fn label(&mut self, name: Text, value: Text) {
        self.count += 1;
        let len = (self.text.len() - self.start) as u64 + u64::from(name.len) + u64::from(value.len);
        let fits = len <= u64::from(self.limits.max_label_bytes_per_series);
        if fits && self.count <= self.limits.max_labels_per_series {
            self.text.push_label(self.body, name, value);
        } else {
            self.too_long = true;
        }
    }

    /// Takes back what was written, for `defect`.
    #[cold]
    pub(super) fn refuse(self, defect: Defect) -> Result<Result<Text, Defect>, Stop> {
        self.text.truncate(self.start);
        self.within_limit().map(|()| Err(defect))
    }

    /// What was written, or what is wrong with it.
    pub(super) fn finish(self) -> Result<Result<Text, Defect>, Stop> {
        let spelled = Text::new(self.start, self.text.len());
        match bounded(spelled, self.count, self.limits) {
            Err(defect) => self.refuse(defect),
            Ok(_) if self.too_long => {
                let max = self.limits.max_label_bytes_per_series;
                self.refuse(Defect::LabelsTooLong { max })
            }
            Ok(spelled) => self.within_limit().map(|()| Ok(spelled)),
        }
    }

    fn within_limit(&self) -> Result<(), Stop> {
        let max = self.limits.max_label_bytes;
        if self.text.written() > max as usize {
            Err(Stop::Limit { name: "max_label_bytes", max })
        } else {
            Ok(())
        }
    }
}

/// Holds the labels of one series against the limits.
#[inline]
pub(super) fn bounded(labels: Text, count: u32, limits: &Limits) -> Result<Text, Defect> {
    if count > limits.max_labels_per_series {
        return Err(Defect::TooManyLabels { count, max: limits.max_labels_per_series });
    }
    if labels.len > limits.max_label_bytes_per_series {
        return Err(Defect::LabelsTooLong { max: limits.max_label_bytes_per_series });
    }
    Ok(labels)
}
