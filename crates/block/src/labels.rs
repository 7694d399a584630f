//! Names and values of labels: from the table of the index alone, or of the series that match.

use crate::Block;
use crate::block::is_damage;
use crate::index::{Index, Name, Plan, SeriesEntry, SymbolCache, is_corrupt, plan, postings};
use crate::source::Window;
use nilometer_model::{Labels, Matcher, Result};
use nilometer_storage::{LabelQuery, Names};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

pub(crate) fn names(block: &Block, query: &LabelQuery) -> Result<Names> {
    answer(block, query, |index, answer| match (&index.offsets, query.matcher_sets.is_empty()) {
        (Ok(offsets), true) => {
            offsets.names().iter().for_each(|name| answer.add(&name.name));
            Ok(())
        }
        _ => sets(query).iter().try_for_each(|matchers| {
            for_each_series(index, plan(index, matchers)?, answer, |labels, answer| {
                labels.iter().for_each(|(name, _)| answer.add(name));
            })
        }),
    })
}

pub(crate) fn values(block: &Block, name: &str, query: &LabelQuery) -> Result<Names> {
    answer(block, query, |index, answer| {
        let Ok(offsets) = &index.offsets else {
            return sets(query)
                .iter()
                .try_for_each(|set| values_by_series(index, name, plan(index, set)?, answer));
        };
        let Some(known) = offsets.name(name).filter(|n| !n.name.is_empty()) else { return Ok(()) };
        if query.matcher_sets.is_empty() {
            return all_values(index, known, answer);
        }
        query.matcher_sets.iter().try_for_each(|set| values_of_matching(index, known, set, answer))
    })
}

/// What `fill` finds in a block. A block that cannot be read has only a warning to say.
fn answer(
    block: &Block,
    query: &LabelQuery,
    fill: impl FnOnce(&Index, &mut Answer) -> Result<()>,
) -> Result<Names> {
    let limit = if query.limit == 0 { usize::MAX } else { query.limit };
    let mut answer = Answer { found: BTreeSet::new(), warnings: Vec::new(), limit };
    if block.meta().range().overlaps(&query.range) {
        match block.open() {
            Ok(open) => fill(&open.index, &mut answer)?,
            Err(e) if is_damage(&e) => answer.warnings.push(e.to_string()),
            Err(e) => return Err(e),
        }
    }
    if !answer.warnings.is_empty() {
        block.count_damage();
        answer.warnings.truncate(Answer::MAX_WARNINGS);
    }
    Ok(Names { names: answer.found.into_iter().collect(), warnings: answer.warnings })
}

fn all_values(index: &Index, name: &Name, answer: &mut Answer) -> Result<()> {
    let scanned = index.values(name, "", |value, _| {
        answer.add(value);
        // They come sorted, so the first ones are the answer.
        if answer.found.len() < answer.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    match scanned {
        Err(e) if is_corrupt(&e) => {
            answer.warnings.push(e.to_string());
            values_by_series(index, &name.name, plan(index, &[])?, answer)
        }
        scanned => scanned,
    }
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
    match values_by_postings(index, name, &plan.refs, answer) {
        // The labels of the series say the same.
        Err(e) if is_corrupt(&e) => {
            answer.warnings.push(e.to_string());
            values_by_series(index, &name.name, plan, answer)
        }
        done => done,
    }
}

fn values_by_postings(index: &Index, name: &Name, refs: &[u32], answer: &mut Answer) -> Result<()> {
    let (mut window, mut list, mut done) = (Window::default(), Vec::new(), Ok(()));
    index.values(name, "", |value, at| {
        list.clear();
        done = postings::read(&mut window, &index.source, at, &mut list);
        if postings::meet(&list, refs) {
            answer.add(value);
        }
        if done.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    done
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

    fn add(&mut self, text: &str) {
        if !self.found.contains(text) {
            self.found.insert(text.to_owned());
            // The smallest are kept.
            if self.found.len() > self.limit {
                self.found.pop_last();
            }
        }
    }
}
