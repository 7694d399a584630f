//! What one query may take: samples and bytes in memory, and time.

use nilometer_model::{Error, Result};
use std::sync::Arc;

/// Limits of one query; 0 is none.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Samples in memory at once, counted as Prometheus does.
    pub max_samples: usize,
    /// Bytes of intermediate results at once.
    pub max_memory_bytes: usize,
    /// Evaluation steps of a range query, and of each subquery.
    pub max_steps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_samples: 50_000_000, max_memory_bytes: 2 << 30, max_steps: 11_000 }
    }
}

/// Says when a query has to stop. Asked between batches and operators; clocks are the caller's.
pub trait Interrupt: Send + Sync {
    /// `Some` once the query shall end, with why.
    fn interrupted(&self) -> Option<Stop>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Canceled,
    TimedOut,
}

impl<F: Fn() -> Option<Stop> + Send + Sync> Interrupt for F {
    fn interrupted(&self) -> Option<Stop> {
        self()
    }
}

/// What a query holds now and held at most.
#[derive(Clone)]
pub(crate) struct Budget {
    limits: Limits,
    interrupt: Option<Arc<dyn Interrupt>>,
    samples: usize,
    bytes: usize,
    pub(crate) peak_samples: usize,
    pub(crate) peak_bytes: usize,
}

impl Budget {
    pub(crate) fn new(limits: Limits, interrupt: Option<Arc<dyn Interrupt>>) -> Self {
        Budget { limits, interrupt, samples: 0, bytes: 0, peak_samples: 0, peak_bytes: 0 }
    }

    /// That of a part, which holds nothing yet: what it takes at most is checked again when it is added.
    pub(crate) fn of_part(&self) -> Self {
        Budget::new(self.limits, self.interrupt.clone())
    }

    /// Counts what is now held. To be given back with [`release`](Budget::release).
    pub(crate) fn take(&mut self, samples: usize, bytes: usize) -> Result<()> {
        self.samples = self.samples.saturating_add(samples);
        self.bytes = self.bytes.saturating_add(bytes);
        self.check(0, 0)
    }

    pub(crate) fn release(&mut self, samples: usize, bytes: usize) {
        self.samples = self.samples.saturating_sub(samples);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Samples and bytes that are held now.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.samples, self.bytes)
    }

    /// Whether so much more fits for a moment.
    pub(crate) fn check(&mut self, samples: usize, bytes: usize) -> Result<()> {
        let (samples, bytes) = (self.samples.saturating_add(samples), self.bytes.saturating_add(bytes));
        self.peak_samples = self.peak_samples.max(samples);
        self.peak_bytes = self.peak_bytes.max(bytes);
        if self.limits.max_samples > 0 && samples > self.limits.max_samples {
            return Err(Error::limit(
                "query.max-samples",
                self.limits.max_samples as u64,
                "query processing would load too many samples into memory in query execution",
            ));
        }
        if self.limits.max_memory_bytes > 0 && bytes > self.limits.max_memory_bytes {
            return Err(Error::limit(
                "query.max-memory",
                self.limits.max_memory_bytes as u64,
                "the query needs more memory than is allowed: ask for fewer series or a shorter time, or raise the limit",
            ));
        }
        Ok(())
    }

    pub(crate) fn check_steps(&self, steps: usize) -> Result<()> {
        if self.limits.max_steps > 0 && steps > self.limits.max_steps {
            return Err(Error::limit(
                "query.max-steps",
                self.limits.max_steps as u64,
                "exceeded maximum resolution of points per timeseries: ask for a larger step or a shorter time",
            ));
        }
        Ok(())
    }

    pub(crate) fn check_interrupt(&self) -> Result<()> {
        match self.interrupt.as_ref().and_then(|i| i.interrupted()) {
            None => Ok(()),
            Some(Stop::Canceled) => Err(Error::canceled("query was canceled in expression evaluation")),
            Some(Stop::TimedOut) => Err(Error::canceled("query timed out in expression evaluation")),
        }
    }
}
