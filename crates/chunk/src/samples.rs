//! Walking the samples of any chunk.

use crate::histogram::{ChunkCount, HistogramDecoder};
use crate::xor::XorDecoder;
use crate::xor2::Xor2Decoder;
use crate::{Encoding, Stamp};
use nilometer_model::{Error, Result, Value};

/// The samples of a chunk, in its order. After an error there are no more.
///
/// Whole float chunks are read several times faster by [`crate::decode_floats`].
#[derive(Clone)]
pub struct Samples<'a> {
    decoder: Decoder<'a>,
    start_ms: i64,
    failed: bool,
}

#[derive(Clone)]
enum Decoder<'a> {
    Xor(XorDecoder<'a>),
    Xor2(Xor2Decoder<'a>),
    Int(Box<HistogramDecoder<'a, u64>>),
    Float(Box<HistogramDecoder<'a, f64>>),
}

impl<'a> Samples<'a> {
    /// Fails where not even the header can be read.
    pub fn new(chunk: &'a [u8], encoding: Encoding) -> Result<Self> {
        let decoder = match encoding {
            Encoding::Xor => Decoder::Xor(XorDecoder::new(chunk)?),
            Encoding::Xor2 => Decoder::Xor2(Xor2Decoder::new(chunk)?),
            Encoding::Histogram | Encoding::HistogramSt => {
                Decoder::Int(Box::new(HistogramDecoder::new(chunk, encoding)?))
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                Decoder::Float(Box::new(HistogramDecoder::new(chunk, encoding)?))
            }
            Encoding::Aggr => {
                return Err(Error::invalid(
                    "a downsampled chunk has no samples of its own: read one of its aggregates",
                ));
            }
        };
        Ok(Samples { decoder, start_ms: 0, failed: false })
    }

    /// The start timestamp of the sample that was yielded last, 0 where it is not known.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    fn step(&mut self) -> Result<Option<(i64, Value)>> {
        fn take<C: ChunkCount>(decoder: &mut HistogramDecoder<'_, C>) -> Result<Option<(Stamp, Value)>> {
            Ok(decoder.next()?.map(|(at, histogram)| (at, C::into_value(histogram))))
        }
        let sample = match &mut self.decoder {
            Decoder::Xor(decoder) => decoder.next()?.map(|(t_ms, v)| (Stamp::at(t_ms), Value::Float(v))),
            Decoder::Xor2(decoder) => decoder
                .next()?
                .map(|(t_ms, v)| (Stamp { t_ms, start_ms: decoder.start_ms() }, Value::Float(v))),
            Decoder::Int(decoder) => take(decoder)?,
            Decoder::Float(decoder) => take(decoder)?,
        };
        Ok(sample.map(|(at, value)| {
            self.start_ms = at.start_ms;
            (at.t_ms, value)
        }))
    }
}

impl Iterator for Samples<'_> {
    type Item = Result<(i64, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
