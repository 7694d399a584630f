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
    out.series_refs.clear();
    let (mut metadata, mut created_ms) = (MetadataRefs::default(), 0);
    while let Some(tag) = series.tag()? {
        match tag {
            REFS => collect_refs(series.nested()?, &mut out.series_refs)?,
            REF => out.series_refs.push(series.varint32()?),
            SAMPLE => {
                check("max_samples", out.samples.len(), limits.max_samples)?;
                out.samples.push(sample::read(&mut series)?);
            }
            METADATA => metadata.merge(series.nested()?)?,
            HISTOGRAM => {
                check("max_histograms", out.histograms.len(), limits.max_histograms)?;
                out.histograms.push(histogram::scan(series.nested()?)?);
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
    let labels = spell_key(body, limits, out)?.and_then(|labels| {
        if let Some(row) = metadata.resolve(&out.symbols)? {
            out.metadata.push(row);
        }
        Ok(labels)
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

/// Takes packed references.
#[inline]
fn collect_refs(mut packed: Reader<'_>, refs: &mut Vec<u32>) -> protobuf::Result<()> {
    while !packed.is_done() {
        refs.push(packed.varint32()?);
    }
    Ok(())
}

/// Writes out the labels of a series and finds out whether they are canonical.
#[inline]
fn spell_key(body: &[u8], limits: &Limits, out: &mut Columns) -> Result<Result<Spelled, Defect>, Stop> {
    let Columns { symbols, series_refs, text, .. } = out;
    let mut canonical = !series_refs.is_empty();
    let mut last = None;
    let spelled = spell(series_refs, symbols, Spelling::new(text, body, limits), |name, value| {
        canonical &= name.len > 0 && value.len > 0 && last.is_none_or(|last| is_before(body, last, name));
        last = Some(name);
    })?;
    Ok(spelled.map(|text| if canonical { Spelled::Key(text) } else { Spelled::Loose(text) }))
}

/// Writes out the labels that `refs` stand for, showing each to `see`.
#[inline]
fn spell(
    refs: &[u32],
    symbols: &[Text],
    mut spelling: Spelling<'_>,
    mut see: impl FnMut(Text, Text),
) -> Result<Result<Text, Defect>, Stop> {
    if !refs.len().is_multiple_of(2) {
        return Ok(Err(Defect::OddRefs { count: refs.len() as u32 }));
    }
    for pair in refs.chunks_exact(2) {
        let (Some(&name), Some(&value)) = (symbols.get(pair[0] as usize), symbols.get(pair[1] as usize))
        else {
            let label_ref = if pair[0] as usize >= symbols.len() { pair[0] } else { pair[1] };
            spelling.abandon();
            return Ok(Err(Defect::NoSuchSymbol { label_ref, symbols: symbols.len() as u32 }));
        };
        see(name, value);
        spelling.label(name, value);
    }
    spelling.finish()
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
    let Columns { symbols, exemplar_refs: refs, text, .. } = out;
    refs.clear();
    let (mut v, mut t_ms) = (0.0, 0);
    while let Some(tag) = message.tag()? {
        match tag {
            REFS => collect_refs(message.nested()?, refs)?,
            REF => refs.push(message.varint32()?),
            VALUE => v = message.double()?,
            TIME => t_ms = message.int64()?,
            _ => message.unknown(tag, &[1, 2, 3])?,
        }
    }
    let labels = spell(refs, symbols, Spelling::new(text, body, limits), |_, _| {})?;
    Ok(ExemplarRow { labels, t_ms, v })
}
