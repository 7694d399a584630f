//! Labels that stand outside of an index: a tenant's name, the `--label`s of a process.
//!
//! They are merged into each series on reading and win a clash, which can change the order of series and
//! make two of them one.

use crate::Exemplars;
use crate::merge::resorted;
use crate::queryable::{BoxFuture, Hints, LabelQuery, Names, Queryable, Select, SeriesStream};
use futures::{TryStreamExt, future, stream};
use nilometer_model::{Labels, Matcher, Result, TimeRange};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A holder of series whose final labels are its own with `external` laid on top.
pub struct WithExternalLabels {
    inner: Arc<dyn Queryable>,
    external: Labels,
}

impl WithExternalLabels {
    pub fn new(inner: Arc<dyn Queryable>, external: Labels) -> Self {
        WithExternalLabels { inner, external }
    }

    /// The matchers that are left for the inner holder, or nothing if an external label already refuses.
    fn push_down(&self, matchers: &[Matcher]) -> Option<Vec<Matcher>> {
        let (outer, inner): (Vec<_>, Vec<_>) =
            matchers.iter().cloned().partition(|m| self.external.has(&m.name));
        outer.iter().all(|m| m.matches_labels(&self.external)).then_some(inner)
    }

    fn push_down_sets(&self, sets: Vec<Vec<Matcher>>) -> Option<Vec<Vec<Matcher>>> {
        if sets.is_empty() {
            return Some(sets);
        }
        let left: Vec<_> = sets.iter().filter_map(|set| self.push_down(set)).collect();
        (!left.is_empty()).then_some(left)
    }
}

/// So many relabelled sets are kept for series with the same labels.
const KEPT: usize = 1024;

/// The series of a holder whose own labels do not clash with those laid on top.
fn unsorted(inner: &dyn Queryable, select: Select, external: &Labels) -> SeriesStream {
    let projection = select.hints.projection.clone();
    let external = match &projection {
        Some(projection) => external.filter(|name| projection.keeps(name)),
        None => external.clone(),
    };
    let batches = inner.select(select);
    if external.is_empty() {
        return batches;
    }
    // With few labels left, many series have the same.
    let mut known: HashMap<Labels, Labels> = HashMap::new();
    Box::pin(batches.map_ok(move |mut batch| {
        for series in &mut batch.series {
            if projection.is_none() {
                series.labels = series.labels.merged_with(&external);
                continue;
            }
            if known.len() >= KEPT {
                known.clear();
            }
            let merged = || series.labels.merged_with(&external);
            series.labels = known.entry(series.labels.clone()).or_insert_with(merged).clone();
        }
        batch
    }))
}

impl Queryable for WithExternalLabels {
    fn select(&self, mut select: Select) -> SeriesStream {
        let Some(matchers) = self.push_down(&select.matchers) else {
            return Box::pin(stream::empty());
        };
        select.matchers = matchers.into();
        let own_names = self.inner.label_names(LabelQuery::all(select.range));
        let (inner, external) = (self.inner.clone(), self.external.clone());
        let relabelled = async move {
            let may_clash = own_names.await?.names.iter().any(|name| external.has(name));
            if select.hints.unsorted && !may_clash {
                return Ok(unsorted(&*inner, select, &external));
            }
            // Joining two series into one needs order, whatever the caller needs.
            let Hints { unsorted, projection, limit, .. } = &mut select.hints;
            (*unsorted, *projection, *limit) = (false, None, 0);
            let relabelled = inner.select(select).map_ok(move |mut batch| {
                for series in &mut batch.series {
                    series.labels = series.labels.merged_with(&external);
                }
                batch
            });
            Ok(resorted(Box::pin(relabelled), may_clash))
        };
        Box::pin(stream::once(relabelled).try_flatten())
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let Some(matcher_sets) = self.push_down_sets(query.matcher_sets) else {
            return Box::pin(future::ready(Ok(Names::default())));
        };
        let (external, limit) = (self.external.clone(), query.limit);
        let inner = self.inner.label_names(LabelQuery { matcher_sets, ..query });
        Box::pin(async move {
            let mut names = inner.await?;
            if !names.names.is_empty() {
                let all: BTreeSet<String> =
                    names.names.drain(..).chain(external.iter().map(|(n, _)| n.to_owned())).collect();
                names.names = all.into_iter().take(if limit > 0 { limit } else { usize::MAX }).collect();
            }
            Ok(names)
        })
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let Some(matcher_sets) = self.push_down_sets(query.matcher_sets) else {
            return Box::pin(future::ready(Ok(Names::default())));
        };
        let query = LabelQuery { matcher_sets, ..query };
        if !self.external.has(name) {
            return self.inner.label_values(name, query);
        }
        // The label has this one value if there is any series at all.
        let value = self.external.get(name).to_owned();
        let any = self.inner.label_names(LabelQuery { limit: 1, ..query });
        Box::pin(async move {
            let any = any.await?;
            let names = if any.names.is_empty() { Vec::new() } else { vec![value] };
            Ok(Names { names, warnings: any.warnings })
        })
    }

    fn exemplars(&self, matchers: Vec<Vec<Matcher>>, range: TimeRange) -> BoxFuture<Result<Exemplars>> {
        let Some(matchers) = self.push_down_sets(matchers) else {
            return Box::pin(future::ready(Ok(Vec::new())));
        };
        let external = self.external.clone();
        let inner = self.inner.exemplars(matchers, range);
        Box::pin(async move {
            let mut all = inner.await?;
            for series in &mut all {
                series.labels = series.labels.merged_with(&external);
            }
            Ok(all)
        })
    }
}
