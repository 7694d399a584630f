//! A hub's access with a simulated disk and clock, and hash workers that run when a test says so.

use crate::{Access, HubLimits, Identity, Outcome, Parts, Pending, Refusal, TenantLimits, Worker};
use futures::FutureExt;
use nilometer_env::sim::{SimClock, SimFs, SimRandom};
use nilometer_env::{Clock, Fs};
use nilometer_model::Tenant;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

pub(crate) const PATH: &str = "tenants.yaml";

/// Passwords: `correct horse`, `secret`. Tokens: 64 times `a`, 64 times `b`, and `short`.
pub(crate) const FILE: &str = "\
tenants:
  - name: wc-1
    labels: {cluster: {mode: stamp}}
    limits: {samples_per_second: 100, burst_seconds: 2, concurrent_requests: 2}
    credentials:
      - basic:
          username: alice
          password_hash: $2y$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu
        scopes: [write]
      - bearer: {sha256: ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb}
        scopes: [write, read]
      - bearer: {sha256: f9b0078b5df596d2ea19010c001bbd009e651de2c57e8fb7e355f31eb9d3f739}
        scopes: [read]
  - name: wc-2
    limits: {over_rate_status: 503}
    credentials:
      - basic:
          username: bob
          password_hash: $2b$10$ZZcdefghijklmnopqrstuuaP.HG3T.l5gXlguEXk20cy3TD4pEb2e
        scopes: [write, read]
operators:
  - name: platform
    credentials:
      - bearer: {sha256: a0fab1377f49a759b57f63318262ebe89fabfc990e8e93ceac2984561482b9d4}
        scopes: [read-all, admin]
";

pub(crate) struct World {
    pub(crate) access: Access,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) registry: Registry,
    fs: Arc<SimFs>,
    workers: Arc<Mutex<Vec<Worker>>>,
}

impl World {
    pub(crate) fn with_file(text: &str) -> World {
        Self::try_with_file(text).unwrap()
    }

    pub(crate) fn try_with_file(text: &str) -> nilometer_model::Result<World> {
        Self::try_with_file_and(text, HubLimits::default())
    }

    pub(crate) fn try_with_file_and(text: &str, hub: HubLimits) -> nilometer_model::Result<World> {
        Self::build(|parts, fs, registry| {
            write(fs, text);
            Access::from_file(parts, Path::new(PATH), hub, registry)
        })
    }

    pub(crate) fn open(hub: HubLimits, limits: TenantLimits) -> World {
        let tenant = Tenant::new("default-tenant").unwrap();
        Self::build(|parts, _, registry| Ok(Access::open(parts, tenant, hub, limits, registry))).unwrap()
    }

    fn build(
        make: impl FnOnce(Parts, &SimFs, &mut Registry) -> nilometer_model::Result<Access>,
    ) -> nilometer_model::Result<World> {
        let (clock, fs) = (Arc::new(SimClock::new(1_700_000_000_000)), Arc::new(SimFs::new(1)));
        let workers: Arc<Mutex<Vec<Worker>>> = Arc::default();
        let (spawned, mut registry) = (workers.clone(), Registry::default());
        let parts = Parts {
            clock: clock.clone(),
            fs: fs.clone(),
            random: Arc::new(SimRandom::new(1)),
            spawn: Arc::new(move |worker| spawned.lock().push(worker)),
        };
        let access = make(parts, &fs, &mut registry)?;
        Ok(World { access, clock, registry, fs, workers })
    }

    pub(crate) fn rewrite(&self, text: &str) {
        write(&self.fs, text);
    }

    /// The workers that were started and have not run. More than one at a time is a failure.
    pub(crate) fn take_worker(&self) -> Option<Worker> {
        let mut workers = self.workers.lock();
        assert!(workers.len() <= 1, "{} password hashes at a time", workers.len());
        workers.pop()
    }

    pub(crate) fn run_worker(&self) {
        if let Some(worker) = self.take_worker() {
            worker.run();
        }
    }

    /// Authenticates, with whatever hashing that needs.
    pub(crate) fn login(&self, header: &str, peer: &str) -> Result<Arc<Identity>, Refusal> {
        match self.access.authenticate(Some(header.as_bytes()), ip(peer)) {
            Outcome::Known(identity) => Ok(identity),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Pending(pending) => {
                self.run_worker();
                answered(pending).expect("the worker has answered")
            }
        }
    }

    /// The value of a metric, as `/metrics` shows it.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    pub(crate) fn hashes(&self) -> f64 {
        ["right", "wrong"]
            .map(|result| {
                self.metric(&format!("nilometer_access_password_hashes_total{{result=\"{result}\"}}"))
            })
            .iter()
            .sum()
    }

    pub(crate) fn seconds(&self, seconds: i64) {
        let before = self.clock.monotonic();
        self.clock.advance_ms(seconds * 1_000);
        assert!(self.clock.monotonic() >= before);
    }
}

fn write(fs: &SimFs, text: &str) {
    let path = Path::new(PATH);
    if fs.exists(path) {
        fs.remove_file(path).unwrap();
    }
    fs.create(path).unwrap().append(text.as_bytes()).unwrap();
}

/// What a pending answer is by now.
pub(crate) fn answered(pending: Pending) -> Option<Result<Arc<Identity>, Refusal>> {
    pending.now_or_never()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", crate::header::encode_base64(format!("{user}:{password}").as_bytes()))
}

pub(crate) fn bearer(letter: &str) -> String {
    format!("Bearer {}", letter.repeat(64))
}
