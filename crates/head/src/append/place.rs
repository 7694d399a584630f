//! Where a sample goes: behind its series' others, beside them, or nowhere.

use super::{Run, Whose};
use crate::open::is_same;
use crate::ranges::MAX_TIME_MS;
use crate::refused::Reason;
use nilometer_chunk::Stamp;
use nilometer_model::{Error, Result, Value};

/// Ranges of time of one tenant that no block has yet. Usually there are two or three.
const MAX_UNCUT_RANGES: usize = 256;

/// What is to become of a sample that can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    InOrder,
    /// Older than what its series has, and none is at its time.
    Late,
    /// It is stored already.
    Taken,
}

impl Run<'_, '_> {
    /// In order, late, there already, or not to be taken. Stores nothing.
    #[inline]
    pub(super) fn place(
        &mut self,
        whose: &Whose,
        at: Stamp,
        value: &Value,
    ) -> Result<Place, (Reason, String)> {
        let times = self.context.times;
        if at.t_ms > times.max_ms || at.t_ms < self.oldest_taken() {
            return Err(self.out_of_time(at));
        }
        let last = match whose {
            Whose::Known(slot) => self.state.series[*slot].open.last_ms(),
            Whose::New(_) => None,
        };
        if at.t_ms >= self.state.cut_through_ms && last.is_none_or(|last| last < at.t_ms) {
            self.check_ranges(at)?;
            return Ok(Place::InOrder);
        }
        self.place_late(whose, at, value)
    }

    fn oldest_taken(&self) -> i64 {
        let times = self.context.times;
        let newest = if self.state.newest_ms == i64::MIN { times.now_ms } else { self.state.newest_ms };
        if times.retention_ms == 0 { -MAX_TIME_MS } else { newest.saturating_sub(times.retention_ms) }
    }

    /// Each range that is not cut yet has a file of its own: a sender that runs through years waits for the cuts.
    #[inline]
    fn check_ranges(&mut self, at: Stamp) -> Result<(), (Reason, String)> {
        let uncut = &self.state.uncut;
        if uncut.len() < MAX_UNCUT_RANGES || uncut.contains(&self.state.ranges.start(at.t_ms)) {
            return Ok(());
        }
        let why = format!("{} ranges of time wait to be cut into blocks; retry later", uncut.len());
        self.failed = Some(Error::unavailable(format!("tenant {}: {why}", self.context.tenant)));
        Err((Reason::TooOld, why))
    }

    #[cold]
    fn out_of_time(&self, at: Stamp) -> (Reason, String) {
        let times = self.context.times;
        if at.t_ms > times.max_ms {
            let ahead = times.max_ms - times.now_ms;
            let why = format!("more than {ahead} ms ahead of this hub's clock; check the sender's clock");
            return (Reason::TooFarInFuture, why);
        }
        (Reason::TooOld, format!("older than the retention of {} ms", times.retention_ms))
    }

    #[cold]
    fn place_late(&mut self, whose: &Whose, at: Stamp, value: &Value) -> Result<Place, (Reason, String)> {
        let window_ms = self.context.times.window_ms;
        let window_start = self.state.newest_ms.saturating_sub(window_ms);
        let uncut = at.t_ms >= self.state.cut_through_ms;
        if at.t_ms < window_start && !uncut {
            let behind = self.state.newest_ms.saturating_sub(at.t_ms);
            let why = format!(
                "{behind} ms behind the tenant's newest sample, past its last cut and the window of {window_ms} ms"
            );
            return Err((Reason::TooOld, why));
        }
        let mut found = None;
        if !uncut {
            let past = (self.context.past)(&whose.labels(self.state), at.t_ms);
            found = self.readable(past);
        }
        if let (None, Whose::Known(slot)) = (&found, whose) {
            let here = self.state.find(*slot, at.t_ms);
            found = self.readable(here);
        }
        if let Some(e) = &self.failed {
            return Err((Reason::Conflict, e.to_string()));
        }
        match found {
            Some(there) if is_same(&there, value) => Ok(Place::Taken),
            Some(_) => Err((Reason::Conflict, "another value is stored at this time".to_owned())),
            None if at.t_ms >= window_start => {
                self.check_ranges(at)?;
                Ok(Place::Late)
            }
            None => {
                let why =
                    format!("older than the series' newest sample and outside the window of {window_ms} ms");
                Err((Reason::OutOfOrder, why))
            }
        }
    }

    /// What is damaged cannot be contradicted: a sample that comes for its time is kept, not refused.
    fn readable(&mut self, found: Result<Option<Value>>) -> Option<Value> {
        found.unwrap_or_else(|e| {
            if e.is_passing() {
                self.failed = Some(e);
                return None;
            }
            tracing::warn!(tenant = %self.context.tenant, error = %e, "a late sample could not be compared with what is stored");
            None
        })
    }
}
