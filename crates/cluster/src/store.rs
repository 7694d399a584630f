//! One store: what it said of itself, and series from it.

use crate::channel::Channel;
use crate::series::{AGGREGATES, Collector};
use futures::{StreamExt, stream};
use nilometer_model::{Labels, Matcher, Result, TimeRange};
use nilometer_storage::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesBatch, SeriesStream};
use nilometer_wire::store_api::{
    Empty, InfoResponse, LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest,
    LabelValuesResponse, QueryHints, RangeHint, SeriesRequest,
};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Series in one message, as Thanos' queriers ask for them.
const MAX_BATCH: i64 = 64;

/// Thanos' stores put all chunks of a series into one message: of a long time fewer series, so that it has about 16 MiB
/// at two bytes a sample and four samples a minute.
fn batch(range: TimeRange) -> i64 {
    const MESSAGE_BYTES: i64 = 16 << 20;
    let bytes = range.max_ms.saturating_sub(range.min_ms) / 15_000 * 2;
    (MESSAGE_BYTES / bytes.max(1)).clamp(1, MAX_BATCH)
}

/// A process that answers over the StoreAPI.
#[derive(Clone)]
pub(crate) struct Store {
    channel: Arc<Channel>,
    state: Arc<RwLock<State>>,
}

#[derive(Default)]
struct State {
    /// As it said last.
    info: Option<Info>,
    /// Why it said nothing the last time that it was asked.
    trouble: Option<String>,
}

struct Info {
    /// External labels with times; without labels it may have anything.
    held: Vec<(Labels, TimeRange)>,
}

impl Info {
    fn of(answer: &InfoResponse) -> Info {
        let Some(store) = &answer.store else { return Info { held: Vec::new() } };
        let range = TimeRange::new(store.min_time_ms, store.max_time_ms);
        let of_tsdbs = store.tsdb_infos.iter().map(|tsdb| {
            let labels = tsdb.labels.as_ref().map_or_else(Labels::empty, Labels::from);
            (labels, TimeRange::new(tsdb.min_time_ms, tsdb.max_time_ms))
        });
        let mut held: Vec<_> = of_tsdbs.collect();
        if held.is_empty() {
            held = answer.label_sets.iter().map(|set| (Labels::from(set), range)).collect();
        }
        if held.is_empty() {
            held.push((Labels::empty(), range));
        }
        Info { held }
    }

    fn may_have(&self, sets: &[&[Matcher]], range: TimeRange) -> bool {
        let agrees = |labels: &Labels, set: &[Matcher]| {
            set.iter().all(|matcher| !labels.has(&matcher.name) || matcher.matches_labels(labels))
        };
        self.held.iter().any(|(labels, held)| {
            held.overlaps(&range) && (sets.is_empty() || sets.iter().any(|set| agrees(labels, set)))
        })
    }
}

impl Store {
    pub(crate) fn new(channel: Channel) -> Self {
        Store { channel: Arc::new(channel), state: Arc::default() }
    }

    pub(crate) fn address(&self) -> &str {
        self.channel.address()
    }

    /// Asks it what it has; whether it answered.
    pub(crate) async fn refresh(&self, patience: std::time::Duration) -> bool {
        let asked = self.channel.unary::<_, InfoResponse>("/thanos.info.Info/Info", Empty {});
        let answer = match tokio::time::timeout(patience, asked).await {
            Ok(answer) => answer.map_err(|e| e.to_string()),
            Err(_) => Err(format!("store {}: it does not say what it has", self.address())),
        };
        let mut state = self.state.write();
        let was_well = state.info.is_some() && state.trouble.is_none();
        match answer {
            Ok(answer) => {
                if !was_well {
                    tracing::info!(
                        endpoint = self.address(),
                        component = answer.component,
                        "a store answers"
                    );
                }
                *state = State { info: Some(Info::of(&answer)), trouble: None };
            }
            Err(why) => {
                if state.trouble.is_none() {
                    tracing::warn!(
                        endpoint = self.address(),
                        error = why,
                        "a store does not answer: what it has is missing in queries, with a warning"
                    );
                }
                state.trouble = Some(why);
            }
        }
        state.trouble.is_none()
    }

    /// Whether it has to be asked; if it cannot be, why.
    pub(crate) fn wanted(
        &self,
        sets: &[&[Matcher]],
        range: TimeRange,
    ) -> Option<std::result::Result<(), String>> {
        let state = self.state.read();
        let may_have = state.info.as_ref().is_none_or(|info| info.may_have(sets, range));
        may_have.then(|| match &state.trouble {
            None => Ok(()),
            Some(why) => Err(missing(why)),
        })
    }
}

fn missing(why: impl std::fmt::Display) -> String {
    format!("{why}: what is there is missing")
}

fn raw(matchers: &[Matcher]) -> Vec<LabelMatcher> {
    matchers.iter().map(LabelMatcher::from).collect()
}

/// A store answers for several sets of matchers one after the other.
fn sets(query: &LabelQuery) -> Vec<Vec<LabelMatcher>> {
    match query.matcher_sets.as_slice() {
        [] => vec![Vec::new()],
        sets => sets.iter().map(|set| raw(set)).collect(),
    }
}

/// Trouble with it is a warning: others go on.
impl Queryable for Store {
    /// It is asked at once, and read a batch ahead.
    fn select(&self, select: Select) -> SeriesStream {
        let (sender, receiver) = mpsc::channel(1);
        let answer = Answer { channel: self.channel.clone(), sender };
        self.channel.runtime().spawn(answer.give(request(&select)));
        let batches = stream::unfold(Some(receiver), |receiver| async {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Some(Piece::Batch(batch)) => Some((batch, Some(receiver))),
                Some(Piece::End) => None,
                // What else ends it is our own fault.
                None => Some((warning(missing("the answer of a store was broken off")), None)),
            }
        });
        batches.map(Ok).boxed()
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let channel = self.channel.clone();
        Box::pin(async move {
            let mut found = Names::default();
            for matchers in sets(&query) {
                let asked = LabelNamesRequest {
                    start_ms: query.range.min_ms,
                    end_ms: query.range.max_ms,
                    limit: query.limit as i64,
                    matchers,
                    ..LabelNamesRequest::default()
                };
                match channel.in_time(channel.unary("/thanos.Store/LabelNames", asked)).await {
                    Ok(LabelNamesResponse { names, warnings }) => add(&mut found, names, warnings),
                    Err(e) => found.warnings.push(missing(e)),
                }
            }
            Ok(sorted(found))
        })
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let (channel, name) = (self.channel.clone(), name.to_owned());
        Box::pin(async move {
            let mut found = Names::default();
            for matchers in sets(&query) {
                let asked = LabelValuesRequest {
                    label: name.clone(),
                    start_ms: query.range.min_ms,
                    end_ms: query.range.max_ms,
                    limit: query.limit as i64,
                    matchers,
                    ..LabelValuesRequest::default()
                };
                match channel.in_time(channel.unary("/thanos.Store/LabelValues", asked)).await {
                    Ok(LabelValuesResponse { values, warnings }) => add(&mut found, values, warnings),
                    Err(e) => found.warnings.push(missing(e)),
                }
            }
            Ok(sorted(found))
        })
    }
}

/// The answer to one call, on its way.
struct Answer {
    channel: Arc<Channel>,
    sender: mpsc::Sender<Piece>,
}

enum Piece {
    Batch(SeriesBatch),
    /// An answer without it is not whole.
    End,
}

impl Answer {
    async fn give(self, asked: SeriesRequest) {
        let all = async {
            let mut collector = Collector::default();
            let read = self.read(asked, &mut collector).await;
            let mut rest = collector.rest().unwrap_or_default();
            rest.warnings.extend(read.err().map(missing));
            if !rest.series.is_empty() || !rest.warnings.is_empty() {
                let _ = self.sender.send(Piece::Batch(rest)).await;
            }
            let _ = self.sender.send(Piece::End).await;
        };
        tokio::select! {
            // Nobody wants it any more.
            () = self.sender.closed() => {}
            () = all => {}
        }
    }

    async fn read(&self, asked: SeriesRequest, collector: &mut Collector) -> Result<()> {
        let channel = &self.channel;
        let mut messages = channel.in_time(channel.streaming("/thanos.Store/Series", asked)).await?;
        loop {
            let next = async { messages.message().await.map_err(|status| channel.failed(&status)) };
            let Some(message) = channel.in_time(next).await? else { return Ok(()) };
            collector.add(&message).map_err(|e| e.context(format!("store {}", channel.address())))?;
            if let Some(batch) = collector.full() {
                let _ = self.sender.send(Piece::Batch(batch)).await;
            }
        }
    }
}

fn request(select: &Select) -> SeriesRequest {
    let Select { matchers, range, hints } = select;
    let is_wanted = |aggregate| hints.aggregates.is_none_or(|wanted| wanted.contains(aggregate));
    let aggregates = AGGREGATES.iter().filter(|(_, aggregate)| is_wanted(aggregate));
    SeriesRequest {
        min_time_ms: range.min_ms,
        max_time_ms: range.max_ms,
        matchers: raw(matchers),
        max_resolution_ms: hints.max_resolution_ms,
        aggregates: aggregates.map(|(aggr, _)| *aggr as i32).collect(),
        skip_chunks: hints.labels_only,
        query_hints: Some(QueryHints {
            step_ms: hints.step_ms,
            range: (hints.range_ms > 0).then_some(RangeHint { range_ms: hints.range_ms }),
            ..QueryHints::default()
        }),
        limit: i64::try_from(hints.limit).unwrap_or(0),
        response_batch_size: if hints.labels_only { MAX_BATCH } else { batch(*range) },
        ..SeriesRequest::default()
    }
}

fn warning(text: String) -> SeriesBatch {
    SeriesBatch { series: Vec::new(), warnings: vec![text] }
}

fn add(found: &mut Names, names: Vec<String>, warnings: Vec<String>) {
    found.names.extend(names);
    found.warnings.extend(warnings);
}

fn sorted(mut found: Names) -> Names {
    found.names.sort_unstable();
    found.names.dedup();
    found
}
