//! A request becomes samples in memory and bodies in the log.
//!
//! Under the tenant's lock, in one pass: find each series (a keyed hash of its label bytes, nothing more, when
//! it was seen before), store its samples, write down what was stored. The bodies are queued under the same
//! lock, so the log has them in the order in which memory took them.

mod admit;

pub use admit::{SeriesLimits, SeriesPolicy};

use crate::extras::{Kept, MAX_EXEMPLAR_LABEL_CHARS};
use crate::index::{Key, KeyHasher};
use crate::log::{Log, Lsn};
use crate::open::same_bits;
use crate::ranges::MAX_TIME_MS;
use crate::record::{self, Entries, Of};
use crate::refused::{Reason, Refused, describe};
use crate::state::{State, Stored};
use admit::Admission;
use nilometer_chunk::Stamp;
use nilometer_model::{Error, Exemplar, Kind, Labels, Metadata, Result, Tenant, Value};
use nilometer_wire::remote_write::{Identity, Series, WriteRequest};

/// Closed chunks that could not be written yet; beyond it writes are refused until the disk takes them.
const MAX_UNWRITTEN_CHUNK_BYTES: usize = 16 << 20;

/// Ranges of time of one tenant that no block has yet. Usually there are two or three.
const MAX_UNCUT_RANGES: usize = 256;

/// What became of a request, once everything up to `lsn` is durable.
#[derive(Debug, Default)]
pub struct Appended {
    pub(crate) lsn: Lsn,
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
    pub refused: Refused,
}

/// Which times are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimits {
    /// The newest time that is taken.
    pub(crate) max_ms: i64,
    /// The wall clock's time, for a tenant that has nothing.
    pub(crate) now_ms: i64,
    pub(crate) window_ms: i64,
    /// 0 keeps everything.
    pub(crate) retention_ms: i64,
}

/// What an append needs besides the request and the tenant's state.
pub(crate) struct Context<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) log: &'a Log,
    pub(crate) hasher: &'a KeyHasher,
    pub(crate) times: TimeLimits,
    pub(crate) policy: &'a dyn SeriesPolicy,
    /// What is stored at a time in local blocks: late samples must not contradict it.
    pub(crate) past: &'a dyn Fn(&Labels, i64) -> Result<Option<Value>>,
}

/// Buffers used again and again.
#[derive(Default)]
pub(crate) struct Scratch {
    keys: Vec<Option<Key>>,
    series: Entries,
    floats: Entries,
    samples: Entries,
    exemplars: Entries,
    metadata: Entries,
}

impl Scratch {
    /// Hashes the labels of a request: done before the lock is taken.
    pub(crate) fn hash(&mut self, request: &WriteRequest, hasher: &KeyHasher) {
        self.keys.clear();
        self.keys.extend(request.series().map(|series| match series.identity() {
            Identity::Key(bytes) => Some(hasher.key(bytes)),
            Identity::Loose(_) | Identity::Refused(_) => None,
        }));
        for entries in
            [&mut self.series, &mut self.floats, &mut self.samples, &mut self.exemplars, &mut self.metadata]
        {
            entries.clear();
        }
    }
}

/// Stores what can be stored. Fails, before anything is stored, only where the whole request must wait.
pub(crate) fn append(
    state: &mut State,
    context: &Context<'_>,
    request: &WriteRequest,
    scratch: &mut Scratch,
) -> Result<Appended> {
    if state.files.waiting_bytes() > MAX_UNWRITTEN_CHUNK_BYTES {
        state.files.write().map_err(|e| e.context("closed chunks wait to be written; retry"))?;
    }
    let mut run = Run { state, context, scratch, appended: Appended::default(), failed: None };
    for (n, series) in request.series().enumerate() {
        run.series(n, series);
        if run.failed.is_some() {
            break;
        }
    }
    for family in request.families() {
        let name = String::from_utf8_lossy(family.family).into_owned();
        run.metadata(&name, &family.to_model());
    }
    // A failure keeps the chunks in memory, to be written with the next request.
    if let Err(e) = run.state.files.write() {
        tracing::warn!(tenant = %context.tenant, error = %e, "closed chunks wait in memory");
    }
    let (mut appended, failed) = (run.appended, run.failed);
    // What memory took is logged whatever the answer is.
    appended.lsn = scratch.log(context);
    failed.map_or(Ok(appended), Err)
}

struct Run<'a, 'c> {
    state: &'a mut State,
    context: &'a Context<'c>,
    scratch: &'a mut Scratch,
    appended: Appended,
    /// Why the request has to be sent again: something that passes. Nothing more of it is stored.
    failed: Option<Error>,
}

impl Run<'_, '_> {
    fn series(&mut self, n: usize, series: Series<'_>) {
        let before = self.appended.refused.total();
        let known = self.scratch.keys[n].and_then(|key| self.state.keys.get(key));
        let slot = match known {
            Some(slot) => slot as usize,
            None => match self.first_seen(n, &series) {
                Ok(slot) => slot,
                Err((reason, why)) => {
                    let samples = (series.samples().len() + series.histograms().len()) as u64;
                    self.appended.refused.add(reason, samples, || why);
                    self.appended.refused.count_series();
                    return;
                }
            },
        };
        for sample in series.samples() {
            let at = Stamp { t_ms: sample.t_ms, start_ms: sample.start_ms };
            if self.store(slot, at, &Value::Float(sample.v)) {
                self.appended.samples += 1;
            }
        }
        if series.histograms().len() > 0 {
            self.histograms(slot, &series);
        }
        if series.exemplars().len() > 0 {
            self.exemplars(slot, &series);
        }
        if let Some(metadata) = series.metadata() {
            let family = self.state.index.labels(slot as u32).metric_name().to_owned();
            self.metadata(&family, &metadata.to_model());
        }
        if self.appended.refused.total() != before {
            self.appended.refused.count_series();
        }
    }

    /// Checks labels that no table knows, and finds or makes their series.
    #[cold]
    fn first_seen(&mut self, n: usize, series: &Series<'_>) -> Result<usize, (Reason, String)> {
        let sent = match series.identity() {
            Identity::Refused(defect) => {
                let error = Error::from(defect);
                let is_limit = matches!(error.kind(), Kind::Limit { .. });
                let reason = if is_limit { Reason::LabelLimit } else { Reason::InvalidLabels };
                return Err((reason, format!("series {n}: {error}")));
            }
            Identity::Key(_) | Identity::Loose(_) => series.labels(),
        };
        let admission = Admission { policy: self.context.policy };
        let labels = admission.check(sent)?;
        let own_key = self.context.hasher.key_of(&labels);
        let sent_key = self.scratch.keys[n];
        let slot = match self.state.keys.get(own_key) {
            Some(slot) => slot,
            None => {
                let series = self.state.series.len() as u64;
                if let Some((reason, why)) = self.context.policy.limits().no_room_after(series) {
                    return Err((reason, describe(&labels, None, &why)));
                }
                let id = self.state.next_id;
                self.scratch.series.series(id, &labels);
                self.state.add_series(own_key, &labels, id)
            }
        };
        // Sent in canonical form, but changed by the policy: next time found at once all the same.
        if let Some(sent_key) = sent_key
            && sent_key != own_key
        {
            self.state.keys.insert(sent_key, slot);
        }
        Ok(slot as usize)
    }

    /// Stores one sample and writes it down. Says whether it is stored now, by this request or before.
    #[inline]
    fn store(&mut self, slot: usize, at: Stamp, value: &Value) -> bool {
        match self.place(slot, at, value) {
            Ok(Stored::New) => {
                let id = self.state.series[slot].id;
                match value {
                    Value::Float(v) if at.start_ms == 0 => self.scratch.floats.float(id, at.t_ms, *v),
                    _ => self.scratch.samples.sample(id, at, value),
                }
                true
            }
            Ok(Stored::Same) => true,
            Ok(Stored::Conflict) => {
                self.refuse(slot, at, Reason::Conflict, "another value is stored at this time")
            }
            Err((reason, why)) => self.refuse(slot, at, reason, &why),
        }
    }

    #[cold]
    fn refuse(&mut self, slot: usize, at: Stamp, reason: Reason, why: &str) -> bool {
        let labels = || self.state.index.labels(slot as u32);
        self.appended.refused.add(reason, 1, || describe(&labels(), Some(at.t_ms), why));
        false
    }

    /// In order, late, there already, or not to be taken.
    #[inline]
    fn place(&mut self, slot: usize, at: Stamp, value: &Value) -> Result<Stored, (Reason, String)> {
        let times = self.context.times;
        if at.t_ms > times.max_ms || at.t_ms < self.oldest_taken() {
            return Err(self.out_of_time(at));
        }
        let last = self.state.series[slot].open.last_ms();
        if at.t_ms >= self.state.cut_through_ms && last.is_none_or(|last| last < at.t_ms) {
            self.check_ranges(at)?;
            self.state.append(slot, at, value);
            return Ok(Stored::New);
        }
        self.place_late(slot, at, value)
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
    fn place_late(&mut self, slot: usize, at: Stamp, value: &Value) -> Result<Stored, (Reason, String)> {
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
        let judged = |there: Value| if same_bits(&there, value) { Stored::Same } else { Stored::Conflict };
        if !uncut {
            let labels = self.state.index.labels(slot as u32);
            if let Some(there) = self.readable((self.context.past)(&labels, at.t_ms)) {
                return Ok(judged(there));
            }
        }
        let found = self.state.find(slot, at.t_ms);
        let there = self.readable(found);
        if let Some(e) = &self.failed {
            return Err((Reason::Conflict, e.to_string()));
        }
        match there {
            Some(there) => Ok(judged(there)),
            None if at.t_ms >= window_start => {
                self.check_ranges(at)?;
                self.state.put_late(slot, at, value.clone());
                Ok(Stored::New)
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

    fn histograms(&mut self, slot: usize, series: &Series<'_>) {
        for histogram in series.histograms() {
            let at = Stamp { t_ms: histogram.t_ms, start_ms: histogram.start_ms };
            let valid = histogram.decode().and_then(admit::histogram);
            match valid {
                Ok(value) if self.store(slot, at, &value) => self.appended.histograms += 1,
                Ok(_) => {}
                Err(e) => {
                    self.refuse(slot, at, Reason::InvalidHistogram, &e.to_string());
                }
            }
        }
    }

    fn exemplars(&mut self, slot: usize, series: &Series<'_>) {
        let series_labels = self.state.index.labels(slot as u32);
        for exemplar in series.exemplars() {
            let at = Stamp::at(exemplar.t_ms);
            let labels = match exemplar.labels {
                Ok(labels) => admit::exemplar_labels(labels, MAX_EXEMPLAR_LABEL_CHARS),
                Err(defect) => Err(defect.to_string()),
            };
            let kept = labels.and_then(|labels| {
                if !(-MAX_TIME_MS..=self.context.times.max_ms).contains(&exemplar.t_ms) {
                    return Err("its time is too far away".to_owned());
                }
                let exemplar = Exemplar { labels, t_ms: exemplar.t_ms, v: exemplar.v };
                match self.state.extras.add_exemplar(&series_labels, exemplar.clone()) {
                    Kept::New => {
                        self.scratch.exemplars.exemplar(self.state.series[slot].id, &exemplar);
                        Ok(())
                    }
                    Kept::Same => Ok(()),
                    Kept::OutOfOrder => Err("older than the series' newest exemplar".to_owned()),
                }
            });
            match kept {
                Ok(()) => self.appended.exemplars += 1,
                Err(why) => {
                    self.refuse(slot, at, Reason::Exemplar, &why);
                }
            }
        }
    }

    fn metadata(&mut self, family: &str, metadata: &Metadata) {
        let limits = self.context.policy.limits();
        let too_long = family.len() > limits.max_label_value_bytes
            || metadata.help.len() > 4 * limits.max_label_value_bytes;
        if !too_long && self.state.extras.set_metadata(family, metadata.clone()) {
            self.scratch.metadata.metadata(family, metadata);
        }
    }
}

impl Scratch {
    /// Bytes that the last request put into the log, about.
    pub(crate) fn logged_bytes(&self) -> usize {
        let Scratch { series, floats, samples, exemplars, metadata, .. } = self;
        [series, series, floats, samples, exemplars, metadata].iter().map(|e| e.bytes.len()).sum()
    }

    /// One huge request must not hold its memory for ever.
    pub(crate) fn shrink(&mut self) {
        const KEPT_BYTES: usize = 1 << 20;
        let Scratch { keys, series, floats, samples, exemplars, metadata } = self;
        for entries in [series, floats, samples, exemplars, metadata] {
            entries.clear();
            entries.bytes.shrink_to(KEPT_BYTES);
        }
        keys.clear();
        keys.shrink_to(KEPT_BYTES / size_of::<Option<Key>>());
    }

    /// Queues the bodies. New series stand in the log twice: one damaged body must not take with it what all
    /// later ones say of them.
    fn log(&self, context: &Context<'_>) -> Lsn {
        let bodies = [
            (Of::Series, &self.series),
            (Of::Series, &self.series),
            (Of::Floats, &self.floats),
            (Of::Samples, &self.samples),
            (Of::Exemplars, &self.exemplars),
            (Of::Metadata, &self.metadata),
        ];
        for (of, entries) in bodies.into_iter().filter(|(_, entries)| !entries.is_empty()) {
            context.log.push(|out| record::put_entries(out, context.tenant, of, entries));
        }
        // Also what was only found stored may not be durable yet: wait for all that is in front.
        context.log.last()
    }
}
