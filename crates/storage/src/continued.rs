//! A holder of series that goes on in another where what it has ends.

use crate::Exemplars;
use crate::merge::Merged;
use crate::queryable::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesStream};
use nilometer_model::{Matcher, Result, TimeRange};
use std::sync::Arc;

/// A holder that knows what it has for which times.
pub trait Partial: Queryable {
    /// Whether a query of this range finds anything here.
    fn has(&self, range: TimeRange) -> bool;
}

/// What is near, and what is far for the times for which there is something. Both have the same external labels.
///
/// Near ones alone are asked as themselves, so that nothing is joined for queries of recent times.
pub struct Continued {
    near: Arc<dyn Queryable>,
    far: Arc<dyn Partial>,
}

impl Continued {
    pub fn new(near: Arc<dyn Queryable>, far: Arc<dyn Partial>) -> Self {
        Continued { near, far }
    }

    fn both(&self) -> Merged {
        Merged::new(vec![self.near.clone(), self.far.clone()])
    }
}

impl Queryable for Continued {
    fn select(&self, select: Select) -> SeriesStream {
        // The near one first: what leaves it while this runs was shown by the far one before.
        let near = self.near.select(select.clone());
        if self.far.has(select.range) { self.both().select(select) } else { near }
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let near = self.near.label_names(query.clone());
        if self.far.has(query.range) { self.both().label_names(query) } else { near }
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let near = self.near.label_values(name, query.clone());
        if self.far.has(query.range) { self.both().label_values(name, query) } else { near }
    }

    fn exemplars(&self, matchers: Vec<Vec<Matcher>>, range: TimeRange) -> BoxFuture<Result<Exemplars>> {
        // Exemplars are in no block.
        self.near.exemplars(matchers, range)
    }
}
