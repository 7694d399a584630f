//! All stores together: which are asked, and which are missing.

use crate::channel::{Channel, Means};
use crate::store::Store;
use crate::tls::ClientTls;
use futures::future::{self, join_all};
use futures::stream;
use nilometer_env::Fs;
use nilometer_model::{Matcher, Result, TimeRange};
use nilometer_storage::{BoxFuture, LabelQuery, Merged, Names, Queryable, Select, SeriesBatch, SeriesStream};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Stores are asked what they have this often, and have so long to say it.
const REFRESH: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    endpoint: String,
}

/// What a start decides about other stores.
#[derive(Clone, Debug, Default)]
pub struct StoresOptions {
    /// Like `host:port`.
    pub addresses: Vec<String>,
    /// A store that sends nothing for so long has failed; `None` waits as long as the query may take.
    pub response_timeout: Option<Duration>,
    /// Without it nothing is encrypted.
    pub tls: Option<ClientTls>,
    /// A bearer token, in a file that is read for each call.
    pub token_file: Option<PathBuf>,
}

/// The stores that a process was told of.
pub struct Stores {
    all: Vec<Store>,
    up: Family<Endpoint, Gauge>,
}

impl Stores {
    /// Nobody is asked yet: [`run`](Self::run) does that. Connections are `runtime`'s.
    ///
    /// # Errors
    /// `Invalid` where an address is not like `host:port`, or a file of TLS not what it should be.
    pub fn new(
        options: &StoresOptions,
        (runtime, fs): (&Handle, Arc<dyn Fs>),
        registry: &mut Registry,
    ) -> Result<Arc<Self>> {
        if let Some(tls) = &options.tls {
            tls.connector("store", &*fs)?;
        }
        let means = Arc::new(Means {
            runtime: runtime.clone(),
            fs,
            tls: options.tls.clone(),
            token_file: options.token_file.clone(),
            response_timeout: options.response_timeout,
        });
        let store = |address: &String| Channel::new(address, means.clone()).map(Store::new);
        let all = options.addresses.iter().map(store).collect::<Result<_>>()?;
        let up = Family::default();
        registry.register(
            "nilometer_endpoint_up",
            "1 while a store says what it has (--endpoint)",
            up.clone(),
        );
        Ok(Arc::new(Stores { all, up }))
    }

    /// Asks all what they have, again and again. Returns never.
    pub async fn run(&self) {
        loop {
            self.refresh().await;
            tokio::time::sleep(REFRESH).await;
        }
    }

    /// Asks all what they have.
    pub async fn refresh(&self) {
        let asked = self.all.iter().map(|store| async move {
            let answered = store.refresh(REFRESH).await;
            let endpoint = Endpoint { endpoint: store.address().to_owned() };
            self.up.get_or_create(&endpoint).set(i64::from(answered));
        });
        join_all(asked).await;
    }

    /// All series that match `also`, beside what is asked for.
    pub fn view(self: &Arc<Self>, also: Vec<Matcher>) -> StoresView {
        StoresView { stores: self.clone(), also }
    }
}

/// Stores as one holder of series.
pub struct StoresView {
    stores: Arc<Stores>,
    also: Vec<Matcher>,
}

impl StoresView {
    /// Those that may have something, and what is missing.
    fn sources(&self, sets: &[&[Matcher]], range: TimeRange) -> Merged {
        let (mut sources, mut missing): (Vec<Arc<dyn Queryable>>, _) = (Vec::new(), Vec::new());
        for store in &self.stores.all {
            match store.wanted(sets, range) {
                None => {}
                Some(Ok(())) => sources.push(Arc::new(store.clone())),
                Some(Err(why)) => missing.push(why),
            }
        }
        if !missing.is_empty() {
            sources.push(Arc::new(Missing(missing)));
        }
        Merged::new(sources)
    }

    /// Where names are asked for.
    fn named(&self, mut query: LabelQuery) -> (Merged, LabelQuery) {
        if !self.also.is_empty() && query.matcher_sets.is_empty() {
            query.matcher_sets.push(Vec::new());
        }
        query.matcher_sets.iter_mut().for_each(|set| set.extend(self.also.iter().cloned()));
        let sets: Vec<&[Matcher]> = query.matcher_sets.iter().map(Vec::as_slice).collect();
        (self.sources(&sets, query.range), query)
    }
}

impl Queryable for StoresView {
    fn select(&self, mut select: Select) -> SeriesStream {
        if !self.also.is_empty() {
            select.matchers = select.matchers.iter().chain(&self.also).cloned().collect();
        }
        self.sources(&[&select.matchers], select.range).select(select)
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let (sources, query) = self.named(query);
        sources.label_names(query)
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let (sources, query) = self.named(query);
        sources.label_values(name, query)
    }
}

/// Stands for what cannot be asked.
struct Missing(Vec<String>);

impl Queryable for Missing {
    fn select(&self, _: Select) -> SeriesStream {
        let warnings = self.0.clone();
        Box::pin(stream::iter([Ok(SeriesBatch { series: Vec::new(), warnings })]))
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<Result<Names>> {
        let warnings = self.0.clone();
        Box::pin(future::ready(Ok(Names { names: Vec::new(), warnings })))
    }

    fn label_values(&self, _: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        self.label_names(query)
    }
}
