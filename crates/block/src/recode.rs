//! Chunks without the samples that were deleted from them.

use crate::tombstones::Deleted;
use nilometer_chunk::{
    Appended, ChunkCount, Encoding, HistogramAppender, Samples, Stamp, Xor2State, XorState,
};
use nilometer_model::{Histogram, Result, TimeRange, Value};

/// A chunk that was written anew.
pub(crate) type Recoded = (TimeRange, Encoding, Vec<u8>);

/// What is left of a chunk: mostly one chunk, none if nothing is, more where histograms cannot follow each
/// other in one.
pub(crate) fn without(deleted: Deleted<'_>, encoding: Encoding, chunk: &[u8]) -> Result<Vec<Recoded>> {
    let mut out = Out { encoding, done: Vec::new(), open: Vec::new(), range: None };
    let mut samples = Samples::new(chunk, encoding)?;
    let mut to = Target::new(encoding);
    while let Some(sample) = samples.next() {
        let (t_ms, value) = sample?;
        let at = Stamp { t_ms, start_ms: samples.start_ms() };
        if deleted.has(t_ms) {
            continue;
        }
        match (&mut to, value) {
            (Target::Xor(state), Value::Float(v)) => state.append(&mut out.open, t_ms, v),
            (Target::Xor2(state), Value::Float(v)) => state.append(&mut out.open, at, v),
            (Target::Int(appender), Value::Int(h)) => out.append(appender, at, &h)?,
            (Target::Float(appender), Value::FloatHistogram(h)) => out.append(appender, at, &h)?,
            _ => unreachable!("a chunk's encoding says the type of its samples"),
        }
        out.widen(t_ms);
    }
    out.close();
    Ok(out.done)
}

enum Target {
    Xor(XorState),
    Xor2(Xor2State),
    Int(Box<HistogramAppender<u64>>),
    Float(Box<HistogramAppender<f64>>),
}

impl Target {
    fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Xor => Target::Xor(XorState::new()),
            Encoding::Xor2 => Target::Xor2(Xor2State::new()),
            Encoding::Histogram | Encoding::HistogramSt => {
                Target::Int(Box::new(HistogramAppender::new(encoding == Encoding::HistogramSt)))
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                Target::Float(Box::new(HistogramAppender::new(encoding == Encoding::FloatHistogramSt)))
            }
            Encoding::Aggr => unreachable!("it has no samples of its own"),
        }
    }
}

struct Out {
    encoding: Encoding,
    done: Vec<Recoded>,
    open: Vec<u8>,
    /// Of the open chunk.
    range: Option<TimeRange>,
}

impl Out {
    fn append<C: ChunkCount>(
        &mut self,
        appender: &mut HistogramAppender<C>,
        at: Stamp,
        histogram: &Histogram<C>,
    ) -> Result<()> {
        histogram.validate()?;
        if let Appended::NewChunk(reset) = appender.append(&mut self.open, at, histogram) {
            self.close();
            appender.start(&mut self.open, reset, at, histogram);
        }
        Ok(())
    }

    fn widen(&mut self, t_ms: i64) {
        let range = self.range.get_or_insert(TimeRange::new(t_ms, t_ms));
        range.min_ms = range.min_ms.min(t_ms);
        range.max_ms = range.max_ms.max(t_ms);
    }

    fn close(&mut self) {
        if let Some(range) = self.range.take() {
            self.done.push((range, self.encoding, std::mem::take(&mut self.open)));
        }
    }
}
