//! Float samples.

use crate::protobuf::{Reader, Result, Wire, tag};

/// A float sample as it was sent; NaNs have their bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct FloatSample {
    pub t_ms: i64,
    pub v: f64,
    /// Since when a counter counts; 0 where the sender does not say.
    pub start_ms: i64,
}

const VALUE: u32 = tag(1, Wire::Fixed64);
const TIME: u32 = tag(2, Wire::Varint);
const START: u32 = tag(3, Wire::Varint);

/// Reads the sample whose length `series` stands before. `START` is unknown to 1.0, where nobody sends it.
#[inline]
pub(super) fn read(series: &mut Reader<'_>) -> Result<FloatSample> {
    if let Some(sample) = usual(series.bytes(), series.at()) {
        series.skip_to(series.at() + 17);
        return Ok(sample);
    }
    any(series.nested()?)
}

/// A value and a time between 1971 and 2109, which takes six bytes: 10 09 <8 bytes> 10 <6 bytes>.
#[inline]
fn usual(bytes: &[u8], at: usize) -> Option<FloatSample> {
    let raw: &[u8; 17] = bytes.get(at..)?.first_chunk()?;
    let [0x10, 0x09, value @ .., 0x10, _, _, _, _, _, _] = raw else { return None };
    let time = u64::from_le_bytes(*raw.last_chunk()?) >> 16;
    if time & 0x8080_8080_8080 != 0x0080_8080_8080 {
        return None;
    }
    let t_ms = (0..6).fold(0, |t, i| t | (time >> (8 * i) & 0x7f) << (7 * i)) as i64;
    Some(FloatSample { t_ms, v: f64::from_bits(u64::from_le_bytes(*value)), start_ms: 0 })
}

fn any(mut message: Reader<'_>) -> Result<FloatSample> {
    let mut sample = FloatSample::default();
    while let Some(tag) = message.tag()? {
        match tag {
            VALUE => sample.v = message.double()?,
            TIME => sample.t_ms = message.int64()?,
            START => sample.start_ms = message.int64()?,
            _ => message.unknown(tag, &[1, 2, 3])?,
        }
    }
    Ok(sample)
}
