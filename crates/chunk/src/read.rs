//! Reading chunks of any encoding.

use crate::Encoding;
use crate::bits::BitReader;
use crate::xor::{XorDecoder, XorState};
use crate::xor2::Xor2Decoder;
use nilometer_model::{Error, Result};

/// Appends the samples of a float chunk to a column of times and one of values, in the chunk's order.
///
/// On an error both columns are as they were.
pub fn decode_floats(chunk: &[u8], encoding: Encoding, t_ms: &mut Vec<i64>, v: &mut Vec<f64>) -> Result<()> {
    let (t_start, v_start) = (t_ms.len(), v.len());
    let filled = match encoding {
        Encoding::Xor => XorDecoder::new(chunk).and_then(|mut decoder| {
            let (t_ms, v) = grown(t_ms, v, decoder.count());
            decoder.fill(t_ms, v)
        }),
        Encoding::Xor2 => Xor2Decoder::new(chunk).and_then(|mut decoder| {
            let (t_ms, v) = grown(t_ms, v, decoder.count());
            decoder.fill(t_ms, v)
        }),
        _ => Err(Error::invalid(format!("a chunk of encoding {encoding} holds no floats"))),
    };
    filled.inspect_err(|_| {
        t_ms.truncate(t_start);
        v.truncate(v_start);
    })
}

/// The columns longer by `more` rows, and those.
fn grown<'a>(t_ms: &'a mut Vec<i64>, v: &'a mut Vec<f64>, more: u16) -> (&'a mut [i64], &'a mut [f64]) {
    let (t_start, v_start) = (t_ms.len(), v.len());
    t_ms.resize(t_start + usize::from(more), 0);
    v.resize(v_start + usize::from(more), 0.0);
    (&mut t_ms[t_start..], &mut v[v_start..])
}

/// One XOR chunk with all of `samples`.
///
/// # Panics
/// Beyond 65,535 samples.
pub fn encode_floats(samples: impl IntoIterator<Item = (i64, f64)>) -> Vec<u8> {
    let mut bytes = vec![0; crate::xor::COUNT_BYTES];
    let mut state = XorState::new();
    for (t_ms, v) in samples {
        state.append(&mut bytes, t_ms, v);
    }
    bytes
}

/// How many bits of the last byte are in use by the samples that `from` has read, 0 for all; fails where
/// something stands behind them that writing on would mix with.
pub(crate) fn end_to_write_on(bytes: &[u8], from: &BitReader<'_>) -> Result<u8> {
    let end = from.position();
    let used = (end % 8) as u8;
    let padding = bytes.last().map_or(0, |last| if used == 0 { 0 } else { last << used });
    if end.div_ceil(8) != bytes.len() || padding != 0 {
        return Err(corrupt(end / 8, "a chunk has data behind its last sample, and so cannot be continued"));
    }
    Ok(used)
}

/// Who reads the file that the chunk is from knows its path, and adds it.
#[cold]
pub(crate) fn corrupt(byte: usize, message: impl Into<String>) -> Error {
    Error::corrupt("chunk", byte as u64, message)
}
