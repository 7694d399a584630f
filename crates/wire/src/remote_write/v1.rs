//! Reads `prometheus.WriteRequest`, remote write 1.0.
//!
//! ```text
//! WriteRequest  1 series …    2 (reserved: a source, of Cortex)    3 metadata …
//! series        1 label …     2 sample …   3 exemplar …   4 histogram …
//! ```

use super::histogram;
use super::labels::{KeyScan, LABEL, bounded, rewrite};
use super::limits::{Limits, Stop, check};
use super::request::{Columns, ExemplarRow, Spelled};
use super::{Message, metadata, sample};
use crate::protobuf::{Reader, Wire, tag};

const SERIES: u32 = tag(1, Wire::Bytes);
const METADATA: u32 = tag(3, Wire::Bytes);

pub(super) fn read(body: &[u8], limits: &Limits, out: &mut Columns) -> Result<(), Stop> {
    let mut request = Reader::new(body, 0, body.len());
    let mut fields_of_v2 = false;
    while let Some(tag) = request.tag()? {
        match tag {
            SERIES => read_series(request.nested()?, limits, out)?,
            METADATA => {
                check("max_metadata", out.metadata.len(), limits.max_metadata)?;
                out.metadata.push(metadata::read_v1(request.nested()?)?);
            }
            _ => {
                fields_of_v2 |= matches!(tag >> 3, 4 | 5);
                request.unknown(tag, &[1, 3])?;
            }
        }
    }
    // Were it taken for an empty request, it would be acknowledged and lost.
    if fields_of_v2 && out.series.is_empty() && out.metadata.is_empty() {
        return Err(Stop::OtherMessage { looks_like: Message::V2 });
    }
    Ok(())
}

const SAMPLE: u32 = tag(2, Wire::Bytes);
const EXEMPLAR: u32 = tag(3, Wire::Bytes);
const HISTOGRAM: u32 = tag(4, Wire::Bytes);

#[inline]
fn read_series(mut series: Reader<'_>, limits: &Limits, out: &mut Columns) -> Result<(), Stop> {
    check("max_series", out.series.len(), limits.max_series)?;
    let (whole, mark) = (series, out.mark());
    let mut key = KeyScan::new();
    loop {
        let tag_at = series.at();
        let Some(tag) = series.tag()? else { break };
        match tag {
            LABEL => key.take(&mut series, tag_at)?,
            SAMPLE => {
                check("max_samples", out.samples.len(), limits.max_samples)?;
                out.samples.push(sample::read(&mut series)?);
            }
            HISTOGRAM => {
                check("max_histograms", out.histograms.len(), limits.max_histograms)?;
                out.histograms.push(histogram::scan(series.nested()?, limits)?);
            }
            EXEMPLAR => {
                check("max_exemplars", out.exemplars.len(), limits.max_exemplars)?;
                let exemplar = read_exemplar(series.nested()?, limits, out)?;
                out.exemplars.push(exemplar);
            }
            _ => series.unknown(tag, &[1, 2, 3, 4])?,
        }
    }
    let labels = match key.key() {
        Some(text) => bounded(text, key.count(), limits).map(Spelled::KeyInBody),
        None => rewrite(whole, limits, &mut out.text)?.map(Spelled::Loose),
    };
    let labels = labels.unwrap_or_else(|defect| out.refuse(defect));
    out.push_series(labels, mark);
    Ok(())
}

/// Labels, value, time.
fn read_exemplar(mut message: Reader<'_>, limits: &Limits, out: &mut Columns) -> Result<ExemplarRow, Stop> {
    const VALUE: u32 = tag(2, Wire::Fixed64);
    const TIME: u32 = tag(3, Wire::Varint);
    let whole = message;
    let (mut v, mut t_ms) = (0.0, 0);
    while let Some(tag) = message.tag()? {
        match tag {
            LABEL => drop(message.nested()?),
            VALUE => v = message.double()?,
            TIME => t_ms = message.int64()?,
            _ => message.unknown(tag, &[1, 2, 3])?,
        }
    }
    Ok(ExemplarRow { labels: rewrite(whole, limits, &mut out.text)?, t_ms, v })
}
