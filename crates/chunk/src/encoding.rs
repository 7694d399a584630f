//! The formats of chunks and their names on disk.

use nilometer_model::{Error, Result};
use std::fmt;

/// How a chunk's data is packed; the number is the byte in front of it in a chunk file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
    /// Floats with optional start timestamps; Prometheus before 3.11 cannot read it.
    Xor2 = 4,
    /// Histograms with optional start timestamps; Prometheus before 3.14 cannot read them.
    HistogramSt = 5,
    FloatHistogramSt = 6,
    /// Chunks of aggregates, each with an encoding of its own: Thanos', and never in a block of raw samples.
    Aggr = 0xff,
}

impl Encoding {
    pub fn from_byte(byte: u8) -> Result<Self> {
        Ok(match byte {
            1 => Encoding::Xor,
            2 => Encoding::Histogram,
            3 => Encoding::FloatHistogram,
            4 => Encoding::Xor2,
            5 => Encoding::HistogramSt,
            6 => Encoding::FloatHistogramSt,
            0xff => Encoding::Aggr,
            _ => {
                return Err(Error::invalid(format!(
                    "chunk encoding {byte} is not known: it is damaged, or was written by a newer Prometheus"
                )));
            }
        })
    }

    pub fn byte(self) -> u8 {
        self as u8
    }

    /// Whether the samples are floats, so that [`crate::decode_floats`] takes the chunk.
    pub fn is_float(self) -> bool {
        matches!(self, Encoding::Xor | Encoding::Xor2)
    }

    /// Prometheus' name, as its tools print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Xor => "XOR",
            Encoding::Histogram => "histogram",
            Encoding::FloatHistogram => "floathistogram",
            Encoding::Xor2 => "XOR2",
            Encoding::HistogramSt => "histogramST",
            Encoding::FloatHistogramSt => "floathistogramST",
            Encoding::Aggr => "AGGR",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip() {
        for byte in (1..=6).chain([255]) {
            assert_eq!(Encoding::from_byte(byte).map(Encoding::byte).ok(), Some(byte));
        }
        for byte in [0, 7, 254] {
            assert!(Encoding::from_byte(byte).is_err());
        }
    }
}
