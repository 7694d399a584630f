//! Selected series, evaluated on all cores.
//!
//! The stream of series is cut into portions, numbered in its order. Whoever is free takes the next one: the
//! query's own task, and helpers on other threads of the pool. Taking one is short, since chunks are read by who
//! evaluates them. The query's own task alone puts what is done into the sink, in the order of numbers, so a
//! result does not depend on how many threads there are, nor on which was faster.

use super::coarse::Coarse;
use super::grid::Grid;
use super::samples::Samples;
use super::sink::Sink;
use super::source::Read;
use super::stage::Stage;
use super::table::StepSeries;
use super::tally::Tally;
use super::{Context, Options};
use crate::annotations::Note;
use crate::ast::PosRange;
use crate::budget::Budget;
use futures::StreamExt;
use futures::lock::Mutex as AsyncMutex;
use futures::task::AtomicWaker;
use nilometer_env::CpuPool;
use nilometer_model::{Error, Result, TimeRange};
use nilometer_storage::{Queryable, ReadChunks, Select, Series, SeriesStream};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

/// Series of a portion, where their results are small.
const PORTION_SERIES: usize = 64;
/// Values of the results of a portion, where it has several series: so much is done in a fraction of a millisecond,
/// so that nobody waits long at the end.
const PORTION_VALUES: usize = 1 << 12;
/// The same of what they are made from: a series of a year lies in some dozens of blocks.
const PORTION_PARTS: usize = 1 << 8;
/// Nobody is further ahead of the sink.
const AHEAD: u64 = 32;

/// What is done with each series.
pub(crate) struct Work {
    pub(crate) read: Read,
    pub(crate) coarse: Coarse,
    pub(crate) stats_only: bool,
    pub(crate) stages: Vec<Stage>,
    pub(crate) grid: Grid,
}

/// Sends the series of `select` through `work` into `sink`.
pub(crate) async fn run(
    queryable: &dyn Queryable,
    select: Select,
    work: Work,
    sink: &mut dyn Sink,
    cx: &mut Context,
) -> Result<()> {
    let (range, pool) = (select.range, cx.pool.clone());
    let run = Arc::new(Run {
        feed: AsyncMutex::new(Feed { stream: queryable.select(select), rest: Vec::new().into_iter() }),
        portion: PORTION_SERIES.min(PORTION_VALUES / work.grid.len.max(1)).max(1),
        work,
        range,
        options: cx.options,
        budget: cx.budget.of_part(),
        tally: cx.tally.emptied(),
        results: Mutex::default(),
        progress: AtomicWaker::new(),
        ended: AtomicBool::new(false),
        helpers: AtomicUsize::new(0),
    });
    let _end = EndOnDrop(&run);
    let mut reader = Reader::default();
    loop {
        while let Some(done) = run.next_result() {
            let done = done?;
            cx.add_part(done.cx)?;
            for series in done.series {
                sink.push(series, cx)?;
            }
        }
        if let Some(pool) = &pool {
            run.call_helpers(&**pool);
        }
        if run.is_done() {
            return Ok(());
        }
        match run.take().await {
            Some(taken) => taken.finish(&mut reader),
            None => run.wait().await,
        }
    }
}

struct Run {
    feed: AsyncMutex<Feed>,
    /// Series of a portion.
    portion: usize,
    work: Work,
    range: TimeRange,
    options: Options,
    /// What each portion begins with.
    budget: Budget,
    tally: Tally,
    results: Mutex<Results>,
    /// Wakes the query's task when a result is there.
    progress: AtomicWaker,
    /// Nothing more is to be taken.
    ended: AtomicBool,
    helpers: AtomicUsize,
}

struct Feed {
    stream: SeriesStream,
    rest: std::vec::IntoIter<Series>,
}

#[derive(Default)]
struct Results {
    /// The next one for the sink.
    next: u64,
    /// How many portions were taken: the number of the next.
    taken: u64,
    waiting: BTreeMap<u64, Result<Done>>,
}

impl Results {
    fn take_number(&mut self) -> u64 {
        self.taken += 1;
        self.taken - 1
    }

    fn is_far_ahead(&self) -> bool {
        self.taken >= self.next + AHEAD
    }
}

/// The series of a portion, and what was noted and counted on the way.
struct Done {
    series: Vec<StepSeries>,
    cx: Context,
}

/// What a thread reads and decodes into, again and again.
#[derive(Default)]
struct Reader {
    chunks: ReadChunks,
    samples: Samples,
}

struct EndOnDrop<'a>(&'a Run);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Run {
    fn results(&self) -> std::sync::MutexGuard<'_, Results> {
        // Nothing panics under this lock.
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next result for the sink, where it is there.
    fn next_result(&self) -> Option<Result<Done>> {
        let mut results = self.results();
        let next = results.next;
        let result = results.waiting.remove(&next)?;
        results.next += 1;
        Some(result)
    }

    fn put(&self, number: u64, result: Result<Done>) {
        if result.is_err() {
            self.ended.store(true, Ordering::Relaxed);
        }
        self.results().waiting.insert(number, result);
        self.progress.wake();
    }

    fn is_done(&self) -> bool {
        let results = self.results();
        self.ended.load(Ordering::Relaxed) && results.next == results.taken
    }

    /// Waits until there is something for the sink, or nothing more to wait for.
    async fn wait(&self) {
        poll_fn(|task| {
            self.progress.register(task.waker());
            let results = self.results();
            let is_there = results.waiting.contains_key(&results.next) || results.next == results.taken;
            if is_there { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// The next portion; `None` where there is none, or the sink is too far behind.
    async fn take(self: &Arc<Self>) -> Option<Taken> {
        let mut feed = self.feed.lock().await;
        let ended = || self.ended.load(Ordering::Relaxed);
        if ended() || self.results().is_far_ahead() {
            return None;
        }
        let mut warnings = Vec::new();
        if feed.rest.as_slice().is_empty() {
            match feed.stream.next().await {
                Some(Ok(batch)) if !ended() => {
                    (feed.rest, warnings) = (batch.series.into_iter(), batch.warnings)
                }
                Some(Err(e)) => {
                    let number = self.results().take_number();
                    self.put(number, Err(e));
                    return None;
                }
                _ => {
                    self.ended.store(true, Ordering::Relaxed);
                    return None;
                }
            }
        }
        let (mut series, mut parts) = (Vec::new(), 0);
        while series.len() < self.portion && parts < PORTION_PARTS {
            let Some(next) = feed.rest.next() else { break };
            parts += next.chunks.parts();
            series.push(next);
        }
        let number = self.results().take_number();
        Some(Taken { run: self.clone(), number, series, warnings, is_done: false })
    }

    /// Has other threads join in, where that is worth it.
    fn call_helpers(self: &Arc<Self>, pool: &dyn CpuPool) {
        if self.ended.load(Ordering::Relaxed) || self.results().taken == 0 {
            return;
        }
        for _ in self.helpers.load(Ordering::Relaxed) + 1..pool.threads() {
            self.helpers.fetch_add(1, Ordering::Relaxed);
            let run = Helper(self.clone());
            pool.spawn(Box::pin(async move {
                let mut reader = Reader::default();
                while let Some(taken) = run.0.take().await {
                    taken.finish(&mut reader);
                }
            }));
        }
    }

    fn evaluate(&self, series: &[Series], warnings: &[String], reader: &mut Reader) -> Result<Done> {
        let mut cx = Context::of_part(self.options, self.budget.clone(), self.tally.clone());
        cx.budget.take(0, cx.tally.bytes())?;
        cx.budget.check_interrupt()?;
        for warning in warnings {
            cx.notes.add(&Note::Storage(warning), PosRange::default());
        }
        let mut out = Vec::with_capacity(series.len());
        for one in series {
            let mut result = self.work.evaluate(one, self.range, reader, &mut cx)?;
            for stage in &self.work.stages {
                stage.apply(&mut result, self.work.grid, &mut cx);
            }
            if result.has_any() {
                cx.budget.check(0, result.bytes())?;
                out.push(result);
            }
        }
        Ok(Done { series: out, cx })
    }
}

impl Work {
    fn evaluate(
        &self,
        series: &Series,
        range: TimeRange,
        reader: &mut Reader,
        cx: &mut Context,
    ) -> Result<StepSeries> {
        let Reader { chunks, samples } = reader;
        chunks.load(&series.chunks);
        for warning in chunks.warnings.drain(..) {
            cx.notes.add(&Note::Storage(&warning), PosRange::default());
        }
        let starts = cx.options.start_timestamps && self.read.needs_starts();
        samples.load(chunks, range, (starts, self.coarse))?;
        if self.stats_only {
            samples.keep_stats(range);
        }
        cx.series += 1;
        cx.budget.check(0, samples.bytes())?;
        self.read.evaluate(samples, &series.labels, self.grid, cx)
    }
}

struct Helper(Arc<Run>);

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.helpers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A portion that somebody has taken, and whose result the sink will wait for.
struct Taken {
    run: Arc<Run>,
    number: u64,
    series: Vec<Series>,
    warnings: Vec<String>,
    is_done: bool,
}

impl Taken {
    fn finish(mut self, reader: &mut Reader) {
        let result = self.run.evaluate(&self.series, &self.warnings, reader);
        self.is_done = true;
        self.run.put(self.number, result);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.is_done {
            let bug =
                "a part of the query broke off, which is a bug: see the log, and please report this query";
            self.run.put(self.number, Err(Error::unavailable(bug)));
        }
    }
}

#[cfg(test)]
mod tests;
