//! Batches of a block, made on threads that may wait for the store, while who asked goes on.
//!
//! Reading a block waits for the bucket between its steps. So each block of a query gets a task, which has one step
//! after the other made by a thread that may block, and is a batch ahead: the first answers of all blocks are on
//! their way at the same time. A thread is held for one step only, never while somebody reads slowly.

use crate::metrics::Metrics;
use crate::remote::Store;
use futures::{FutureExt, StreamExt, stream};
use nilometer_block::Block;
use nilometer_model::{Error, Result};
use nilometer_storage::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesBatch, SeriesStream};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// One block of a bucket.
#[derive(Clone)]
pub(crate) struct RemoteBlock {
    pub(crate) block: Block,
    pub(crate) store: Arc<Store>,
    /// Steps that are made at the same time, of all blocks and queries.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
}

impl RemoteBlock {
    /// What `step` gives, made by a thread that may wait.
    async fn blocking<T: Send + 'static>(&self, step: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| stopping())?;
        let done = self.store.runtime.spawn_blocking(move || {
            let _place = place;
            step()
        });
        done.await.map_err(|_| stopping())
    }

    /// A block that cannot be read costs a warning.
    fn warning(&self, e: &Error) -> String {
        self.metrics.unreadable.inc();
        self.store.pages.forget(self.block.meta().ulid);
        format!("block {} of the bucket is left out: {e}", self.block.meta().ulid)
    }

    async fn supply(self, select: Select, to: mpsc::Sender<SeriesBatch>) {
        let mut batches = self.block.select(select);
        loop {
            let step = self.blocking(move || {
                let batch = futures::executor::block_on(batches.next());
                (batch, batches)
            });
            let (batch, rest) = match step.await {
                Ok(done) => done,
                Err(e) => (Some(Err(e)), stream::empty().boxed()),
            };
            batches = rest;
            let batch = match batch {
                None => return,
                Some(Ok(batch)) => {
                    // What is damaged may be so here only, or be mended in the store by now.
                    if !batch.warnings.is_empty() {
                        self.store.pages.forget(self.block.meta().ulid);
                    }
                    batch
                }
                Some(Err(e)) => SeriesBatch { warnings: vec![self.warning(&e)], ..SeriesBatch::default() },
            };
            if to.send(batch).await.is_err() {
                return;
            }
        }
    }

    async fn names(
        self,
        ask: impl FnOnce(&Block) -> BoxFuture<Result<Names>> + Send + 'static,
    ) -> Result<Names> {
        let block = self.block.clone();
        let names = self.blocking(move || futures::executor::block_on(ask(&block))).await.flatten();
        Ok(names.unwrap_or_else(|e| Names { names: Vec::new(), warnings: vec![self.warning(&e)] }))
    }
}

impl Queryable for RemoteBlock {
    fn select(&self, select: Select) -> SeriesStream {
        let (to, from) = mpsc::channel(1);
        self.store.runtime.spawn(self.clone().supply(select, to));
        Box::pin(stream::unfold(from, |mut from| async move { Some((Ok(from.recv().await?), from)) }))
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        self.clone().names(move |block| block.label_names(query)).boxed()
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let name = name.to_owned();
        self.clone().names(move |block| block.label_values(&name, query)).boxed()
    }
}

fn stopping() -> Error {
    Error::unavailable("the process is stopping: ask again")
}
