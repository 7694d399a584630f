//! Coarser schemas: neighbouring buckets fall together.

use super::{Count, Histogram, Span, bucket_indexes};
use crate::{Error, Result};

impl<C: Count> Histogram<C> {
    /// Merges buckets so that `schema` is the histogram's. Prometheus does so on reception and on reading,
    /// down to 8, for schemas that it knows of but does not store.
    ///
    /// Spans come out as short as can be. Fails for custom buckets, and where `schema` is finer.
    pub fn reduce_to(&mut self, schema: i32) -> Result<()> {
        if self.has_custom_buckets() || schema == super::CUSTOM_BUCKETS_SCHEMA {
            return Err(Error::invalid("the resolution of custom buckets cannot be reduced"));
        }
        let Some(shift) = self.schema.checked_sub(schema).filter(|&shift| (0..=61).contains(&shift)) else {
            return Err(Error::invalid(format!(
                "the resolution of a histogram cannot be reduced from schema {} to {schema}",
                self.schema
            )));
        };
        (self.positive_spans, self.positive) = merged(&self.positive_spans, &self.positive, shift)?;
        (self.negative_spans, self.negative) = merged(&self.negative_spans, &self.negative, shift)?;
        self.schema = schema;
        Ok(())
    }
}

fn merged<C: Count>(spans: &[Span], counts: &[C], shift: i32) -> Result<(Vec<Span>, Vec<C>)> {
    super::validate::check_spans(spans, counts.len()).map_err(Error::invalid)?;
    let (mut out_spans, mut out) = (Vec::<Span>::new(), Vec::<C>::new());
    let mut last = None;
    for (index, &count) in bucket_indexes(spans, counts.len()).zip(counts) {
        // Bucket i of a schema ends where bucket 2i of the next finer one does.
        let index = (((i64::from(index) - 1) >> shift) + 1) as i32;
        match (last, out.last_mut(), out_spans.last_mut()) {
            (Some(l), Some(sum), _) if l == index => *sum = sum.plus(count),
            (Some(l), _, Some(span)) if l + 1 == index => {
                span.length += 1;
                out.push(count);
            }
            _ => {
                out_spans.push(Span { offset: last.map_or(index, |l| index - l - 1), length: 1 });
                out.push(count);
            }
        }
        last = Some(index);
    }
    Ok((out_spans, out))
}
