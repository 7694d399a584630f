//! A request becomes samples in memory and bodies in the log.
//!
//! Under the tenant's lock, in one pass: find each series (a keyed hash of its label bytes, nothing more, when
//! it was seen before), store its samples, write down what was stored. The bodies are queued under the same
//! lock, so the log has them in the order in which memory took them.

mod admit;
mod place;

pub use admit::{SeriesLimits, SeriesPolicy};

use crate::exemplars::{Kept, MAX_EXEMPLAR_LABEL_CHARS};
use crate::index::{Key, KeyHasher};
use crate::log::{Log, Lsn};
use crate::ranges::MAX_TIME_MS;
use crate::record::{self, Entries, Of};
use crate::refused::{Reason, Refused, describe};
use crate::state::State;
use admit::Admission;
use nilometer_chunk::Stamp;
use nilometer_model::{Error, Exemplar, Kind, Labels, Metadata, Result, Tenant, Value};
use nilometer_wire::remote_write::{ExemplarRef, Identity, Series, WriteRequest};
use place::Place;

/// Closed chunks that could not be written yet; beyond it writes are refused until the disk takes them.
const MAX_UNWRITTEN_CHUNK_BYTES: usize = 16 << 20;

/// Series that are looked up together.
const AHEAD: usize = 32;

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
    pub(crate) max_label_text_bytes: u64,
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

/// Stores what can be stored. Fails only where the whole request must be sent again; what was stored by then is
/// in the log too, and a success the next time.
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
    let mut found = [None; AHEAD];
    for (n, series) in request.series().enumerate() {
        if n % AHEAD == 0 {
            run.look_ahead(n, &mut found);
        }
        run.series(n, series, found[n % AHEAD]);
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
    /// Why the request has to be sent again: something that passes. Its further series are not looked at.
    failed: Option<Error>,
}

/// Whose samples are to be stored.
enum Whose {
    /// By slot.
    Known(usize),
    /// It is made when a first sample of it is stored: one of which nothing is would never leave.
    New(Box<Admitted>),
}

/// Labels that a series may be made of.
struct Admitted {
    labels: Labels,
    own_key: Key,
    /// Of the labels as they were sent, where they were sent in canonical form.
    sent_key: Option<Key>,
}

impl Whose {
    fn labels(&self, state: &State) -> Labels {
        match self {
            Whose::Known(slot) => state.index.labels(*slot as u32),
            Whose::New(admitted) => admitted.labels.clone(),
        }
    }
}

impl Run<'_, '_> {
    /// Finds the next series, and brings what an append touches into the cache: one by one each would wait for
    /// memory several times, while look-ups that do not depend on each other wait together.
    fn look_ahead(&self, from: usize, found: &mut [Option<u32>; AHEAD]) {
        let keys = &self.scratch.keys[from..];
        for (found, key) in found.iter_mut().zip(keys) {
            *found = key.and_then(|key| self.state.keys.judged(key));
        }
        for slot in found.iter().take(keys.len()).flatten() {
            std::hint::black_box(self.state.series[*slot as usize].open.touch());
        }
    }

    fn series(&mut self, n: usize, series: Series<'_>, found: Option<u32>) {
        let before = self.appended.refused.total();
        // A series that was new a moment ago is found only now.
        let known = found.or_else(|| self.scratch.keys[n].and_then(|key| self.state.keys.judged(key)));
        let mut whose = match known {
            Some(slot) => Whose::Known(slot as usize),
            None => match self.first_seen(n, &series) {
                Ok(whose) => whose,
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
            if self.store(&mut whose, at, &Value::Float(sample.v)) {
                self.appended.samples += 1;
            }
        }
        if series.histograms().len() > 0 {
            self.histograms(&mut whose, &series);
        }
        if series.exemplars().len() > 0 {
            self.exemplars(&whose, &series);
        }
        if let (Some(metadata), Whose::Known(slot)) = (series.metadata(), &whose) {
            let family = self.state.index.labels(*slot as u32).metric_name().to_owned();
            self.metadata(&family, &metadata.to_model());
        }
        if self.appended.refused.total() != before {
            self.appended.refused.count_series();
        }
    }

    /// Judges labels that were not judged yet, or under another policy, and finds their series.
    #[cold]
    fn first_seen(&mut self, n: usize, series: &Series<'_>) -> Result<Whose, (Reason, String)> {
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
        if let Some(slot) = self.state.keys.own(own_key) {
            if let Some(sent_key) = sent_key {
                self.state.keys.judge(sent_key, own_key, slot);
            }
            return Ok(Whose::Known(slot as usize));
        }
        let there = self.state.series.len() as u64;
        if let Some((reason, why)) = self.context.policy.limits().no_room_after(there) {
            return Err((reason, describe(&labels, None, &why)));
        }
        let max = self.context.max_label_text_bytes;
        if !self.state.index.has_room(&labels, max) {
            let why = format!(
                "the labels of the tenant's series have the {max} bytes of text that they may take \
                 (max_label_text_bytes); values that are always new, such as ids, do not belong into labels"
            );
            return Err((Reason::LabelTextLimit, describe(&labels, None, &why)));
        }
        Ok(Whose::New(Box::new(Admitted { labels, own_key, sent_key })))
    }

    /// The slot to store at.
    #[inline]
    fn enter(&mut self, whose: &mut Whose) -> usize {
        let slot = match whose {
            Whose::Known(slot) => return *slot,
            Whose::New(admitted) => self.make(admitted),
        };
        *whose = Whose::Known(slot);
        slot
    }

    #[cold]
    fn make(&mut self, Admitted { labels, own_key, sent_key }: &Admitted) -> usize {
        let id = self.state.next_id;
        self.scratch.series.series(id, labels);
        let slot = self.state.add_series(*own_key, labels, id);
        if let Some(sent_key) = sent_key {
            self.state.keys.judge(*sent_key, *own_key, slot);
        }
        slot as usize
    }

    /// Stores one sample and writes it down. Says whether it is stored now, by this request or before.
    #[inline]
    fn store(&mut self, whose: &mut Whose, at: Stamp, value: &Value) -> bool {
        let slot = match self.place(whose, at, value) {
            Ok(Place::InOrder) => {
                let slot = self.enter(whose);
                self.state.append(slot, at, value);
                slot
            }
            Ok(Place::Late) => {
                let slot = self.enter(whose);
                self.state.put_late(slot, at, value.clone());
                slot
            }
            Ok(Place::Taken) => return true,
            Err((reason, why)) => return self.refuse(whose, at, reason, &why),
        };
        let id = self.state.series[slot].id;
        match value {
            Value::Float(v) if at.start_ms == 0 => self.scratch.floats.float(id, at.t_ms, *v),
            _ => self.scratch.samples.sample(id, at, value),
        }
        true
    }

    #[cold]
    fn refuse(&mut self, whose: &Whose, at: Stamp, reason: Reason, why: &str) -> bool {
        let state = &*self.state;
        self.appended.refused.add(reason, 1, || describe(&whose.labels(state), Some(at.t_ms), why));
        false
    }

    fn histograms(&mut self, whose: &mut Whose, series: &Series<'_>) {
        for histogram in series.histograms() {
            let at = Stamp { t_ms: histogram.t_ms, start_ms: histogram.start_ms };
            let valid = histogram.decode().and_then(admit::histogram);
            match valid {
                Ok(value) if self.store(whose, at, &value) => self.appended.histograms += 1,
                Ok(_) => {}
                Err(e) => {
                    self.refuse(whose, at, Reason::InvalidHistogram, &e.to_string());
                }
            }
        }
    }

    fn exemplars(&mut self, whose: &Whose, series: &Series<'_>) {
        let series_labels = whose.labels(self.state);
        for exemplar in series.exemplars() {
            match self.exemplar(whose, &series_labels, exemplar) {
                Ok(()) => self.appended.exemplars += 1,
                Err(why) => {
                    tracing::debug!(tenant = %self.context.tenant, series = %series_labels, why, "an exemplar is not kept");
                    self.appended.refused.add_exemplar();
                }
            }
        }
    }

    fn exemplar(&mut self, whose: &Whose, series: &Labels, sent: ExemplarRef<'_>) -> Result<(), String> {
        let Whose::Known(slot) = whose else { return Err("its series has no samples".to_owned()) };
        let labels = match sent.labels {
            Ok(labels) => admit::exemplar_labels(labels, MAX_EXEMPLAR_LABEL_CHARS)?,
            Err(defect) => return Err(defect.to_string()),
        };
        if !(-MAX_TIME_MS..=self.context.times.max_ms).contains(&sent.t_ms) {
            return Err("its time is too far away".to_owned());
        }
        let exemplar = Exemplar { labels, t_ms: sent.t_ms, v: sent.v };
        match self.state.extras.exemplars.add(series, exemplar.clone()) {
            Kept::New => self.scratch.exemplars.exemplar(self.state.series[*slot].id, &exemplar),
            Kept::Same => {}
            Kept::OutOfOrder => return Err("older than the series' newest exemplar".to_owned()),
        }
        Ok(())
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

    pub(crate) fn heap_bytes(&self) -> usize {
        let Scratch { keys, series, floats, samples, exemplars, metadata } = self;
        let entries = [series, floats, samples, exemplars, metadata];
        keys.capacity() * size_of::<Option<Key>>() + entries.iter().map(|e| e.bytes.capacity()).sum::<usize>()
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
