//! Places for queries, shared out fairly among those who ask.
//!
//! A place that becomes free goes to whoever waits and has the fewest, and among those to who was given one
//! longest ago: a tenant with a thousand queries delays its own. Since nothing takes a place away from a query that runs, no
//! tenant may have the last quarter of them.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Who asks: a tenant, or the name of an operator. Nobody in particular where nobody is told from others; that
/// one may have all places.
pub(crate) type Who = Option<Arc<str>>;

/// This part of the places no single tenant gets.
const KEPT_PART: usize = 4;

#[derive(Clone)]
pub(crate) struct Gate(Arc<Mutex<State>>);

struct State {
    places: usize,
    taken: usize,
    /// Of each that has some, or waits.
    askers: HashMap<Who, Asker>,
    /// How many were given so far.
    given: u64,
}

#[derive(Default)]
struct Asker {
    taken: usize,
    /// When it was given one last.
    given: u64,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

/// Given back when it is dropped.
pub(crate) struct Place {
    gate: Gate,
    who: Who,
}

impl Gate {
    pub(crate) fn new(places: usize) -> Self {
        let state = State { places: places.max(1), taken: 0, askers: HashMap::new(), given: 0 };
        Gate(Arc::new(Mutex::new(state)))
    }

    /// Waits for a place. Who stops waiting loses its turn.
    pub(crate) async fn enter(&self, who: Who) -> Place {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().askers.entry(who.clone()).or_default().waiting.push_back(sender);
        let leaves = Leaves(self, &who);
        self.give();
        let place = receiver.await;
        drop(leaves);
        place.expect("whoever waits and whose receiver is open stays on the list until it gets a place")
    }

    /// Gives out what is free.
    fn give(&self) {
        loop {
            let Some((sender, who)) = self.0.lock().next() else { return };
            // One that is not taken comes back by being dropped here, outside of the lock.
            let _ = sender.send(Place { gate: self.clone(), who });
        }
    }
}

/// Takes those off the list that wait no more.
struct Leaves<'a>(&'a Gate, &'a Who);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.0.lock().forget(self.1);
    }
}

impl State {
    /// Takes a place for whose turn it is.
    fn next(&mut self) -> Option<(oneshot::Sender<Place>, Who)> {
        if self.taken >= self.places {
            return None;
        }
        let most = self.places - self.places / KEPT_PART;
        let may = |(who, asker): &(&Who, &Asker)| {
            !asker.waiting.is_empty() && (who.is_none() || asker.taken < most)
        };
        let waiting = self.askers.iter().filter(may);
        let (who, _) = waiting.min_by_key(|(_, asker)| (asker.taken, asker.given))?;
        let who = who.clone();
        self.given += 1;
        self.taken += 1;
        let asker = self.askers.get_mut(&who)?;
        asker.taken += 1;
        asker.given = self.given;
        Some((asker.waiting.pop_front()?, who))
    }

    fn forget(&mut self, who: &Who) {
        let Some(asker) = self.askers.get_mut(who) else { return };
        asker.waiting.retain(|sender| !sender.is_closed());
        if asker.taken == 0 && asker.waiting.is_empty() {
            self.askers.remove(who);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut state = self.gate.0.lock();
            state.taken -= 1;
            if let Some(asker) = state.askers.get_mut(&self.who) {
                asker.taken -= 1;
            }
            state.forget(&self.who);
        }
        self.gate.give();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::pin::Pin;

    type Entering<'a> = Pin<Box<dyn Future<Output = Place> + 'a>>;

    fn who(name: &str) -> Who {
        Some(name.into())
    }

    /// Some that began to wait in this order; empty for nobody in particular.
    fn entering<'a>(gate: &'a Gate, names: &[&str]) -> Vec<Entering<'a>> {
        let one = |name: &&str| {
            let who = (!name.is_empty()).then(|| Arc::from(*name));
            let mut entering: Entering<'a> = Box::pin(gate.enter(who));
            assert!((&mut entering).now_or_never().is_none(), "{name} has to wait");
            entering
        };
        names.iter().map(one).collect()
    }

    fn enter(gate: &Gate, name: &str) -> Option<Place> {
        gate.enter(who(name)).now_or_never()
    }

    #[test]
    fn who_has_the_fewest_is_next() {
        let gate = Gate::new(2);
        let mut held = vec![enter(&gate, "a").unwrap(), enter(&gate, "b").unwrap()];
        let mut waiting = entering(&gate, &["a", "a", "b", "c"]);
        let mut order = Vec::new();
        for _ in 0..4 {
            // The place that was given out first comes back.
            drop(held.remove(0));
            let at = waiting.iter_mut().position(|w| {
                let place = w.now_or_never();
                let given = place.is_some();
                held.extend(place);
                given
            });
            drop(waiting.remove(at.expect("somebody gets it")));
            order.push(held[held.len() - 1].who.clone().unwrap());
        }
        // `c` had none yet; of the others `a` had its one before `b`.
        assert_eq!(order.iter().map(|w| &**w).collect::<Vec<_>>(), ["c", "a", "b", "a"]);
    }

    #[test]
    fn nobody_gets_all_places_from_the_others() {
        let gate = Gate::new(8);
        let held: Vec<_> = (0..6).map(|_| enter(&gate, "a").unwrap()).collect();
        let waiting = entering(&gate, &["a"]);
        assert!(enter(&gate, "b").is_some());
        drop(waiting);
        drop(held);
        let all: Vec<_> = (0..8).map(|_| gate.enter(None).now_or_never().unwrap()).collect();
        assert_eq!(all.len(), 8, "where nobody is told from others there are no others");
        assert!(Gate::new(1).enter(who("a")).now_or_never().is_some());
        assert_eq!(enter(&Gate::new(0), "a").map(|_| ()), Some(()));
    }

    #[test]
    fn who_stops_waiting_takes_no_place_and_leaves_nothing() {
        let gate = Gate::new(1);
        let held = enter(&gate, "a").unwrap();
        let mut waiting = entering(&gate, &["b", "c", ""]);
        drop(waiting.remove(0));
        assert_eq!(gate.0.lock().askers.len(), 3);
        drop(held);
        // It was given `c` its place, who leaves without having looked.
        drop(waiting.remove(0));
        assert!(waiting.remove(0).now_or_never().is_some());
        assert!(gate.0.lock().askers.is_empty());
        assert_eq!(gate.0.lock().taken, 0);
    }
}
