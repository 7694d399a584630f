//! Many who ask at a time: who gets a place, and what becomes of it. Storage answers when it is told to.

use super::world::{Served, patient, request, serve};
use crate::QueryOptions;
use crate::api::data::{Data, HeadStats};
use axum::body::Body;
use axum::http::Response;
use futures::stream::{self, FuturesUnordered};
use futures::{StreamExt, future::BoxFuture as Asking};
use nilometer_access::ReadScope;
use nilometer_env::sim::SimClock;
use nilometer_model::{BlockMeta, Metadata, Result, Tenant};
use nilometer_storage::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesStream};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

#[derive(Clone)]
struct Told {
    /// The tenants whose queries began, in order.
    begun: Arc<Mutex<Vec<String>>>,
    go: Arc<Semaphore>,
}

struct OfTenant(Told, String);

impl Queryable for OfTenant {
    fn select(&self, _: Select) -> SeriesStream {
        Box::pin(stream::empty())
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<Result<Names>> {
        let (Told { begun, go }, tenant) = (self.0.clone(), self.1.clone());
        Box::pin(async move {
            begun.lock().push(tenant);
            go.acquire().await.unwrap().forget();
            Ok(Names::default())
        })
    }

    fn label_values(&self, _: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        self.label_names(query)
    }
}

impl Data for Told {
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        let ReadScope::Only(tenant) = scope else { panic!("everybody here is a tenant") };
        Arc::new(OfTenant(self.clone(), tenant.to_string()))
    }

    fn metadata(&self, _: &ReadScope, _: Option<&str>) -> Result<BTreeMap<String, Vec<Metadata>>> {
        Ok(BTreeMap::new())
    }

    fn blocks(&self, _: &ReadScope) -> Vec<BlockMeta> {
        Vec::new()
    }

    fn stats(&self, _: &ReadScope, _: usize) -> Result<HeadStats> {
        Ok(HeadStats::default())
    }
}

/// Looks, of a millisecond each or less.
const PATIENCE: usize = 60_000;

type Asked<'a> = FuturesUnordered<Asking<'a, Response<Body>>>;

/// Lets those who asked go on until it is so.
async fn until(asked: &mut Asked<'_>, mut is_so: impl FnMut() -> bool) {
    for _ in 0..PATIENCE {
        if is_so() {
            return;
        }
        let _ = tokio::time::timeout(Duration::from_millis(1), asked.next()).await;
    }
    panic!("it never came about");
}

fn crowd(places: usize) -> (Told, Served) {
    let told = Told { begun: Arc::default(), go: Arc::new(Semaphore::new(0)) };
    let options = QueryOptions { max_concurrent: places, ..patient() };
    let served = serve(Arc::new(told.clone()), &options, Arc::new(SimClock::new(1_700_000_000_000)));
    (told, served)
}

fn asks<'a>(served: &'a Served, tenant: &str) -> Asking<'a, Response<Body>> {
    let mut labels = request("GET", "/labels", None);
    labels.extensions_mut().insert(ReadScope::Only(Tenant::new(tenant).unwrap()));
    Box::pin(served.respond(labels))
}

#[test]
fn who_floods_delays_only_itself() {
    let (told, served) = crowd(4);
    let begun = || told.begun.lock().concat();
    served.runtime().block_on(async {
        let mut asked: Asked<'_> = (0..40).map(|_| asks(&served, "a")).collect();
        // One place is kept from it.
        until(&mut asked, || begun() == "aaa").await;
        for _ in 0..4 {
            asked.push(asks(&served, "b"));
        }
        until(&mut asked, || begun() == "aaab").await;
        for answered in 1..=5 {
            told.go.add_permits(1);
            until(&mut asked, || begun().len() == 4 + answered).await;
        }
        // Storage answers who began first; a free place is for who has fewer, or had none for longer.
        assert_eq!(begun(), "aaabbaabb", "all four of b while a has more than thirty to go");
        told.go.add_permits(100);
        until(&mut asked, || begun().len() == 44).await;
    });
}

#[test]
fn who_leaves_while_waiting_leaves_its_place() {
    let (told, served) = crowd(1);
    let begun = || told.begun.lock().concat();
    served.runtime().block_on(async {
        let mut asked: Asked<'_> = [asks(&served, "a")].into_iter().collect();
        until(&mut asked, || begun() == "a").await;
        let mut leaves = asks(&served, "b");
        let waits = tokio::time::timeout(Duration::from_millis(20), &mut leaves).await;
        assert!(waits.is_err());
        asked.push(asks(&served, "c"));
        drop(leaves);
        told.go.add_permits(2);
        until(&mut asked, || begun() == "ac").await;
        // Whoever leaves while it is answered frees its place, too.
        let mut leaves = asks(&served, "d");
        while begun() != "acd" {
            let _ = tokio::time::timeout(Duration::from_millis(1), &mut leaves).await;
        }
        drop(leaves);
        asked.push(asks(&served, "e"));
        until(&mut asked, || begun() == "acde").await;
    });
}
