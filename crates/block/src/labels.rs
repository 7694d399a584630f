//! Names and values of labels: from the table of the index alone, or of the series that match.

use crate::Block;
use crate::index::{Index, Name, Plan, SeriesEntry, SymbolCache, is_corrupt, plan, postings};
use crate::source::Window;
use nilometer_model::{Labels, Matcher, Result};
use nilometer_storage::{LabelQuery, Names};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

pub(crate) fn names(block: &Block, query: &LabelQuery) -> Result<Names> {
    let index = &block.0.index;
    let mut answer = Answer::new(query);
    if !block.meta().range().overlaps(&query.range) {
        return Ok(answer.into_names());
    }
    if let (true, Ok(offsets)) = (query.matcher_sets.is_empty(), &index.offsets) {
        for name in offsets.names() {
            answer.add(&name.name);
        }
        return Ok(answer.into_names());
    }
    for matchers in sets(query) {
        for_each_series(index, plan(index, matchers)?, &mut answer, |labels, answer| {
            for (name, _) in labels {
                answer.add(name);
            }
        })?;
    }
    Ok(answer.into_names())
}

pub(crate) fn values(block: &Block, name: &str, query: &LabelQuery) -> Result<Names> {
    let index = &block.0.index;
    let mut answer = Answer::new(query);
    if !block.meta().range().overlaps(&query.range) {
        return Ok(answer.into_names());
    }
    let Ok(offsets) = &index.offsets else {
        for matchers in sets(query) {
            values_by_series(index, name, plan(index, matchers)?, &mut answer)?;
        }
        return Ok(answer.into_names());
    };
    let Some(known) = offsets.name(name).filter(|n| !n.name.is_empty()) else {
        return Ok(answer.into_names());
    };
    if query.matcher_sets.is_empty() {
        let limit = query.limit;
        index.values(known, "", |value, _| {
            answer.add(value);
            // They come sorted, so the first ones are the answer.
            if limit > 0 && answer.found.len() >= limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
    }
    for matchers in &query.matcher_sets {
        values_of_matching(index, known, matchers, &mut answer)?;
    }
    Ok(answer.into_names())
}

/// The sets that are joined by "or": no set selects all series, as one empty set does.
fn sets(query: &LabelQuery) -> &[Vec<Matcher>] {
    const ALL: &[Vec<Matcher>] = &[Vec::new()];
    if query.matcher_sets.is_empty() { ALL } else { &query.matcher_sets }
}

fn values_of_matching(index: &Index, name: &Name, matchers: &[Matcher], answer: &mut Answer) -> Result<()> {
    let plan = plan(index, matchers)?;
    // Looking at each series, or at the postings of each value, whichever is less.
    if !plan.filter.is_empty() || plan.refs.len() <= 2 * name.values {
        return values_by_series(index, &name.name, plan, answer);
    }
    answer.warnings.extend(plan.warnings.iter().map(ToString::to_string));
    let (mut window, mut list, mut damage) = (Window::default(), Vec::new(), None);
    index.values(name, "", |value, at| {
        list.clear();
        match postings::read(&mut window, &index.source, at, &mut list) {
            Ok(()) if postings::meet(&list, &plan.refs) => answer.add(value),
            Ok(()) => {}
            Err(e) => damage = Some(e),
        }
        if damage.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    match damage {
        None => Ok(()),
        // The labels of the series say the same.
        Some(e) if is_corrupt(&e) => {
            answer.warnings.push(e.to_string());
            values_by_series(index, &name.name, plan, answer)
        }
        Some(e) => Err(e),
    }
}

fn values_by_series(index: &Index, name: &str, plan: Plan, answer: &mut Answer) -> Result<()> {
    for_each_series(index, plan, answer, |labels, answer| {
        let value = labels.get(name);
        if !value.is_empty() {
            answer.add(value);
        }
    })
}

fn for_each_series(
    index: &Index,
    plan: Plan,
    answer: &mut Answer,
    mut each: impl FnMut(&Labels, &mut Answer),
) -> Result<()> {
    let (mut window, mut cache, mut entry) =
        (Window::default(), SymbolCache::default(), SeriesEntry::default());
    answer.warnings.extend(plan.warnings.iter().map(ToString::to_string));
    for reference in plan.refs {
        let read = index.series.read(&mut window, &index.source, reference, &mut entry);
        match read.and_then(|()| index.labels(&entry, &mut cache)) {
            Ok(labels) if plan.filter.iter().all(|m| m.matches_labels(&labels)) => each(&labels, answer),
            Ok(_) => {}
            Err(e) if is_corrupt(&e) => answer.warnings.push(e.to_string()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// What was found so far.
struct Answer {
    found: BTreeSet<String>,
    warnings: Vec<String>,
    limit: usize,
}

impl Answer {
    const MAX_WARNINGS: usize = 16;

    fn new(query: &LabelQuery) -> Self {
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        Answer { found: BTreeSet::new(), warnings: Vec::new(), limit }
    }

    fn add(&mut self, text: &str) {
        if !self.found.contains(text) {
            self.found.insert(text.to_owned());
            // The smallest are kept.
            if self.found.len() > self.limit {
                self.found.pop_last();
            }
        }
    }

    fn into_names(mut self) -> Names {
        self.warnings.truncate(Self::MAX_WARNINGS);
        Names { names: self.found.into_iter().collect(), warnings: self.warnings }
    }
}
