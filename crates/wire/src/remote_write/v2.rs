//! Reads `io.prometheus.write.v2.Request`, remote write 2.0.
//!
//! ```text
//! Request   4 symbol …       5 series …         (1 to 3 are reserved: fields of 1.0)
//! series    1 label ref …    2 sample …    3 histogram …    4 exemplar …    5 metadata    6 created (drafts)
//! ```
//!
//! Names and values are references to symbols. They are written out as a 1.0 sender would have sent them, so
//! that a series has one key in both versions.

use super::labels::{Spelling, is_before};
use super::limits::{Limits, Stop, check};
use super::metadata::MetadataRefs;
use super::request::{Columns, ExemplarRow, Spelled};
use super::text::Text;
use super::{Defect, Message, histogram, sample};
use crate::protobuf::{self, Reader, Wire, tag};

const SYMBOL: u32 = tag(4, Wire::Bytes);
const SERIES: u32 = tag(5, Wire::Bytes);

/// In two passes, since protobuf lets symbols stand behind the series that use them.
pub(super) fn read(body: &[u8], limits: &Limits, out: &mut Columns) -> Result<(), Stop> {
    let has_series = read_symbols(body, limits, out)?;
    if has_series && out.symbols.first().is_none_or(|first| first.len != 0) {
        return Err(Stop::FirstSymbol);
    }
    let mut request = Reader::new(body, 0, body.len());
    while let Some(tag) = request.tag()? {
        match tag {
            SERIES => read_series(body, request.nested()?, limits, out)?,
            _ => request.skip(tag)?,
        }
    }
    Ok(())
}

fn read_symbols(body: &[u8], limits: &Limits, out: &mut Columns) -> Result<bool, Stop> {
    let (mut has_series, mut fields_of_v1) = (false, false);
    let mut request = Reader::new(body, 0, body.len());
    while let Some(tag) = request.tag()? {
        match tag {
            SYMBOL => {
                check("max_symbols", out.symbols.len(), limits.max_symbols)?;
                out.symbols.push(Text::message(request.nested()?));
            }
            SERIES => {
                request.nested()?;
                has_series = true;
            }
            _ => {
                fields_of_v1 |= matches!(tag >> 3, 1..=3);
                request.unknown(tag, &[4, 5])?;
            }
        }
    }
    // Were it taken for an empty request, it would be acknowledged and lost.
    if fields_of_v1 && !has_series {
        return Err(Stop::OtherMessage { looks_like: Message::V1 });
    }
    Ok(has_series)
}

const REFS: u32 = tag(1, Wire::Bytes);
const REF: u32 = tag(1, Wire::Varint);
const SAMPLE: u32 = tag(2, Wire::Bytes);
const HISTOGRAM: u32 = tag(3, Wire::Bytes);
const EXEMPLAR: u32 = tag(4, Wire::Bytes);
const METADATA: u32 = tag(5, Wire::Bytes);
const CREATED: u32 = tag(6, Wire::Varint);

#[inline]
fn read_series(body: &[u8], mut series: Reader<'_>, limits: &Limits, out: &mut Columns) -> Result<(), Stop> {
    check("max_series", out.series.len(), limits.max_series)?;
    let mark = out.mark();
    let mut refs = Refs::default();
    let (mut metadata, mut created_ms) = (MetadataRefs::default(), 0);
    while let Some(tag) = series.tag()? {
        match tag {
            REFS => refs.packed(series.nested()?, &mut out.refs)?,
            REF => refs.one(series.varint32()?, &mut out.refs)?,
            SAMPLE => {
                check("max_samples", out.samples.len(), limits.max_samples)?;
                out.samples.push(sample::read(&mut series)?);
            }
            METADATA => metadata.merge(series.nested()?)?,
            HISTOGRAM => {
                check("max_histograms", out.histograms.len(), limits.max_histograms)?;
                out.histograms.push(histogram::scan(series.nested()?, limits)?);
            }
            EXEMPLAR => {
                check("max_exemplars", out.exemplars.len(), limits.max_exemplars)?;
                let exemplar = read_exemplar(body, series.nested()?, limits, out)?;
                out.exemplars.push(exemplar);
            }
            CREATED => created_ms = series.int64()?,
            _ => series.unknown(tag, &[1, 2, 3, 4, 5, 6])?,
        }
    }
    if created_ms != 0 {
        apply_created(created_ms, mark, out);
    }
    let labels = refs.spell(body, limits, out)?.and_then(|(text, canonical)| {
        if let Some(row) = metadata.resolve(&out.symbols)? {
            out.metadata.push(row);
        }
        Ok(if canonical { Spelled::Key(text) } else { Spelled::Loose(text) })
    });
    let labels = labels.unwrap_or_else(|defect| out.refuse(defect));
    if out.metadata.len() > limits.max_metadata as usize {
        return Err(Stop::Limit { name: "max_metadata", max: limits.max_metadata });
    }
    out.push_series(labels, mark);
    Ok(())
}

/// Drafts before 2.0-rc.4 had one start for all samples of a series; a sample's own goes before.
#[cold]
fn apply_created(created_ms: i64, [samples, histograms, ..]: [usize; 4], out: &mut Columns) {
    let samples = out.samples[samples..].iter_mut().map(|s| &mut s.start_ms);
    let histograms = out.histograms[histograms..].iter_mut().map(|h| &mut h.start_ms);
    for start_ms in samples.chain(histograms).filter(|start_ms| **start_ms == 0) {
        *start_ms = created_ms;
    }
}

/// Where labels were written out, and whether they are canonical.
type Spell = Result<Result<(Text, bool), Defect>, Stop>;

/// The references of a series or exemplar. They nearly always come packed in one field, and are read from
/// there when they are spelled. If they do not, they are collected on top of a stack, since an exemplar may
/// come while those of its series are being collected.
#[derive(Default)]
struct Refs<'a> {
    field: Option<Reader<'a>>,
    collected_from: Option<usize>,
}

impl<'a> Refs<'a> {
    #[inline]
    fn packed(&mut self, field: Reader<'a>, stack: &mut Vec<u32>) -> protobuf::Result<()> {
        if self.field.is_none() && self.collected_from.is_none() {
            self.field = Some(field);
            return Ok(());
        }
        self.collect(stack)?;
        push_all(field, stack)
    }

    #[cold]
    fn one(&mut self, label_ref: u32, stack: &mut Vec<u32>) -> protobuf::Result<()> {
        self.collect(stack)?;
        stack.push(label_ref);
        Ok(())
    }

    #[cold]
    fn collect(&mut self, stack: &mut Vec<u32>) -> protobuf::Result<()> {
        self.collected_from.get_or_insert(stack.len());
        self.field.take().map_or(Ok(()), |field| push_all(field, stack))
    }

    /// Writes out the labels that they stand for and finds out whether those are canonical.
    #[inline]
    fn spell(self, body: &[u8], limits: &Limits, out: &mut Columns) -> Spell {
        let Columns { symbols, refs: stack, text, ascending, .. } = out;
        let speller = Speller { body, symbols, ascending, spelling: Spelling::new(text, body, limits) };
        if let Some(mut field) = self.field {
            return speller.spell(|| if field.is_done() { Ok(None) } else { field.varint32().map(Some) });
        }
        let from = self.collected_from.unwrap_or(stack.len());
        let mut collected = stack.drain(from..);
        speller.spell(|| Ok(collected.next()))
    }
}

fn push_all(mut field: Reader<'_>, stack: &mut Vec<u32>) -> protobuf::Result<()> {
    while !field.is_done() {
        stack.push(field.varint32()?);
    }
    Ok(())
}

fn refuse(spelling: Spelling<'_>, defect: Defect) -> Spell {
    Ok(spelling.refuse(defect)?.map(|text| (text, false)))
}

struct Speller<'t> {
    body: &'t [u8],
    symbols: &'t [Text],
    /// References of names that are not empty and ascend, as a series before had them: series of a kind have
    /// the same names, which then need no comparing.
    ascending: &'t mut Vec<u32>,
    spelling: Spelling<'t>,
}

impl Speller<'_> {
    #[inline]
    fn spell(mut self, mut next: impl FnMut() -> protobuf::Result<Option<u32>>) -> Spell {
        let (mut count, mut as_before, mut ascend, mut filled) = (0, true, true, true);
        let mut last = Text::default();
        while let Some(name_ref) = next()? {
            let Some(value_ref) = next()? else {
                return refuse(self.spelling, Defect::OddRefs { count: 2 * count as u32 + 1 });
            };
            let texts = (self.symbols.get(name_ref as usize), self.symbols.get(value_ref as usize));
            let (Some(&name), Some(&value)) = texts else {
                // The rest has to be well-formed all the same.
                while next()?.is_some() {}
                let label_ref = if texts.0.is_none() { name_ref } else { value_ref };
                let symbols = self.symbols.len() as u32;
                return refuse(self.spelling, Defect::NoSuchSymbol { label_ref, symbols });
            };
            as_before &= self.ascending.get(count) == Some(&name_ref);
            if !as_before {
                ascend &= name.len > 0 && (count == 0 || is_before(self.body, last, name));
                if ascend {
                    self.ascending.truncate(count);
                    self.ascending.push(name_ref);
                }
            }
            filled &= value.len > 0;
            self.spelling.label(name, value);
            last = name;
            count += 1;
        }
        Ok(self.spelling.finish()?.map(|text| (text, ascend && filled && count > 0)))
    }
}

/// References to labels, value, time.
fn read_exemplar(
    body: &[u8],
    mut message: Reader<'_>,
    limits: &Limits,
    out: &mut Columns,
) -> Result<ExemplarRow, Stop> {
    const VALUE: u32 = tag(2, Wire::Fixed64);
    const TIME: u32 = tag(3, Wire::Varint);
    let mut refs = Refs::default();
    let (mut v, mut t_ms) = (0.0, 0);
    while let Some(tag) = message.tag()? {
        match tag {
            REFS => refs.packed(message.nested()?, &mut out.refs)?,
            REF => refs.one(message.varint32()?, &mut out.refs)?,
            VALUE => v = message.double()?,
            TIME => t_ms = message.int64()?,
            _ => message.unknown(tag, &[1, 2, 3])?,
        }
    }
    let labels = refs.spell(body, limits, out)?;
    Ok(ExemplarRow { labels: labels.map(|(text, _)| text), t_ms, v })
}
