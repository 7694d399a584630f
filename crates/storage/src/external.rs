//! Labels that stand outside of an index: a tenant's name, the `--label`s of a process.
//!
//! They are merged into each series on reading and win a clash, which can change the order of series and
//! make two of them one.

use crate::Exemplars;
use crate::merge::resorted;
use crate::queryable::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesStream};
use futures::StreamExt;
use futures::future;
use nilometer_model::{Labels, Matcher, Result, TimeRange};
use std::collections::BTreeSet;
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

impl Queryable for WithExternalLabels {
    fn select(&self, mut select: Select) -> SeriesStream {
        let Some(matchers) = self.push_down(&select.matchers) else {
            return Box::pin(futures::stream::empty());
        };
        select.matchers = matchers.into();
        let external = self.external.clone();
        // Joining two series into one needs order, whatever the caller needs.
        select.hints.unsorted = false;
        select.hints.limit = 0;
        let own_names = self.inner.label_names(LabelQuery::all(select.range));
        let names = external.clone();
        let may_clash = Box::pin(async move { Ok(own_names.await?.names.iter().any(|n| names.has(n))) });
        let relabelled = self.inner.select(select).map(move |batch| {
            let mut batch = batch?;
            for series in &mut batch.series {
                series.labels = series.labels.merged_with(&external);
            }
            Ok(batch)
        });
        resorted(Box::pin(relabelled), may_clash)
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
