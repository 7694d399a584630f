//! How long a warm check takes. `cargo run --release -p nilometer-access --example auth_speed`

use nilometer_access::{Access, HubLimits, Outcome, Parts, Worker, new_token};
use nilometer_env::{Clock, Fs, Random, SystemClock, SystemRandom, sim::SimFs};
use prometheus_client::registry::Registry;
use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

const ROUNDS: u32 = 1_000_000;
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// `wc-1:correct horse`
const BASIC: &str = "Basic d2MtMTpjb3JyZWN0IGhvcnNl";

fn main() {
    let (clock, random): (_, Arc<dyn Random>) = (Arc::new(SystemClock::default()), Arc::new(SystemRandom));
    let token = new_token(&*random);
    let mut file = format!(
        "tenants:\n  - name: wc-1\n    credentials:\n      - basic:\n          username: wc-1\n          \
         password_hash: $2y$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu\n        scopes: [write]\n      \
         - bearer: {{sha256: {}}}\n        scopes: [write]\n",
        token.sha256
    );
    // The lookups should not be those of an empty house.
    for i in 2..1_000 {
        let sha256 = new_token(&*random).sha256;
        write!(
            file,
            "  - name: wc-{i}\n    credentials: [{{bearer: {{sha256: {sha256}}}, scopes: [write]}}]\n"
        )
        .expect("a string takes all");
    }
    let fs = Arc::new(SimFs::new(1));
    let path = Path::new("tenants.yaml");
    fs.create(path).and_then(|f| f.append(file.as_bytes())).expect("the simulated disk has room");

    let spawn = Arc::new(|worker: Worker| drop(std::thread::spawn(move || worker.run())));
    let parts = Parts { clock: clock.clone(), fs, random, spawn };
    let start = clock.monotonic();
    let access = Access::from_file(parts, path, HubLimits::default(), &mut Registry::default())
        .expect("the file is in order");
    println!("{:>10.1} ms  load a file of 999 tenants", (clock.monotonic() - start).as_secs_f64() * 1e3);

    let start = clock.monotonic();
    access.authenticate_blocking(Some(BASIC.as_bytes()), PEER).expect("the password is right");
    println!(
        "{:>10.1} ms  first check of a password, bcrypt cost 10",
        (clock.monotonic() - start).as_secs_f64() * 1e3
    );

    let bearer = format!("Bearer {}", token.token);
    for (what, header) in [("password", BASIC), ("token", &bearer)] {
        let start = clock.monotonic();
        for _ in 0..ROUNDS {
            let outcome = access.authenticate(black_box(Some(header.as_bytes())), PEER);
            assert!(matches!(outcome, Outcome::Known(_)), "it is known by now");
        }
        let each = (clock.monotonic() - start).as_secs_f64() * 1e9 / f64::from(ROUNDS);
        println!("{each:>10.0} ns  warm check of a {what}");
    }

    let Outcome::Known(identity) = access.authenticate(Some(bearer.as_bytes()), PEER) else { return };
    let start = clock.monotonic();
    for _ in 0..ROUNDS {
        let state = access.resolve_write(black_box(&identity), Some("wc-1")).expect("the same tenant");
        let _in_flight = access.enter(Some(&state)).expect("one request at a time");
        black_box(access.admit_samples(&state, 0).is_ok());
    }
    let each = (clock.monotonic() - start).as_secs_f64() * 1e9 / f64::from(ROUNDS);
    println!("{each:>10.0} ns  tenant, request count and samples of a write");
}
