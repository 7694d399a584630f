//! Every way in, and every way to be kept out.

use super::*;
use crate::testing::{FILE, World, answered, basic, bearer, ip};
use crate::{Access, HubLimits, Parts};
use expect_test::expect;
use nilometer_env::sim::{SimFs, SimRandom};
use nilometer_env::{Clock, Fs, RealFs, SystemClock, SystemRandom};
use nilometer_model::Tenant;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use proptest::prelude::*;
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const PEER: &str = "192.0.2.1";

fn tell(result: &Result<Arc<Identity>, Refusal>) -> String {
    match result {
        Ok(who) => {
            format!("{}: {} [{}]", who.name, who.tenant.as_ref().map_or("-", Tenant::as_str), who.scopes)
        }
        Err(refusal) => match refusal.retry_after_seconds() {
            Some(after) => format!("{} {}, after {after} s", refusal.status(), refusal.message),
            None => format!("{} {}", refusal.status(), refusal.message),
        },
    }
}

/// The bytes of a pending request, which nobody has hashed yet.
fn pending(world: &World, header: &str, peer: &str) -> Pending {
    match world.access.authenticate(Some(header.as_bytes()), ip(peer)) {
        Outcome::Pending(pending) => pending,
        Outcome::Known(who) => panic!("{who:?} is known already"),
        Outcome::Refused(refusal) => panic!("{refusal:?}"),
    }
}

fn is_known(world: &World, header: &str) -> bool {
    matches!(world.access.authenticate(Some(header.as_bytes()), ip(PEER)), Outcome::Known(_))
}

#[test]
fn every_outcome() {
    let world = World::with_file(FILE);
    let cases: Vec<(&str, String)> = vec![
        ("right", basic("alice", "correct horse")),
        ("right, again", basic("alice", "correct horse")),
        ("other user", basic("bob", "secret")),
        ("his password", basic("bob", "correct horse")),
        ("wrong", basic("alice", "correct")),
        ("unknown user", basic("carol", "secret")),
        ("no password", basic("alice", "")),
        ("nothing", basic("", "")),
        ("control", basic("alice", "correct horse\0")),
        ("huge password", basic("alice", &"x".repeat(2_000))),
        ("beyond", basic("alice", &"x".repeat(1 << 20))),
        ("no colon", "Basic YWxpY2U=".into()),
        ("not base64", "Basic ????".into()),
        ("empty", String::new()),
        ("scheme", "Digest username=alice".into()),
        ("token", bearer("a")),
        ("operator", bearer("b")),
        ("unknown", bearer("c")),
        ("too short", "Bearer short".into()),
        ("no token", "Bearer ".into()),
        ("two tokens", "Bearer a b".into()),
    ];
    let mut table = String::new();
    for (case, header) in cases {
        writeln!(table, "{case:14}{}", tell(&world.login(&header, PEER))).unwrap();
    }
    let none = match world.access.authenticate(None, ip(PEER)) {
        Outcome::Refused(refusal) => tell(&Err(refusal)),
        _ => panic!("nobody is let in without a credential"),
    };
    writeln!(table, "{:14}{none}", "none").unwrap();
    writeln!(
        table,
        "{} hashes, {} from cache",
        world.hashes(),
        world.metric("nilometer_access_credential_cache_hits_total")
    )
    .unwrap();
    expect![[r#"
        right         wc-1 (user alice): wc-1 [write]
        right, again  wc-1 (user alice): wc-1 [write]
        other user    wc-2 (user bob): wc-2 [write, read]
        his password  401 wrong user name or password
        wrong         401 wrong user name or password
        unknown user  401 wrong user name or password
        no password   401 wrong user name or password
        nothing       401 wrong user name or password
        control       401 user name and password have control characters
        huge password 401 wrong user name or password
        beyond        401 the Authorization header is longer than 4096 bytes
        no colon      401 there is no colon between user name and password
        not base64    401 the Basic credential is not canonical base64
        empty         401 the Authorization header must be of scheme Basic or Bearer
        scheme        401 the Authorization header must be of scheme Basic or Bearer
        token         wc-1 (token ffe054fe…): wc-1 [write, read]
        operator      platform (token a0fab137…): - [read-all, admin]
        unknown       401 unknown bearer token
        too short     401 unknown bearer token
        no token      401 a bearer token consists of A-Z a-z 0-9 - . _ ~ + / =
        two tokens    401 a bearer token consists of A-Z a-z 0-9 - . _ ~ + / =
        none          401 this needs a credential: send it as Basic or Bearer in the Authorization header
        8 hashes, 1 from cache
    "#]]
    .assert_eq(&table);
}

#[test]
fn without_a_file_nobody_is_asked() {
    let world = World::open(Default::default(), Default::default());
    for header in [None, Some(&b"Basic junk"[..]), Some(b"\xff")] {
        match world.access.authenticate(header, ip(PEER)) {
            Outcome::Known(who) => assert_eq!((who.name.as_str(), &who.tenant), ("anyone", &None)),
            _ => panic!("{header:?} was asked"),
        }
    }
    assert!(!world.access.has_tenants_file());
    assert!(!world.access.reload().unwrap());
}

#[test]
fn many_requests_with_one_credential_cost_one_hash() {
    let world = World::with_file(FILE);
    let right = basic("alice", "correct horse");
    let waiting: Vec<_> = (0..200).map(|_| pending(&world, &right, PEER)).collect();
    assert_eq!(world.metric("nilometer_access_password_hash_queue_length"), 1.0);
    world.run_worker();
    for pending in waiting {
        assert_eq!(tell(&answered(pending).unwrap()), "wc-1 (user alice): wc-1 [write]");
    }
    assert_eq!(world.hashes(), 1.0);
    assert_eq!(world.metric("nilometer_access_password_hash_queue_length"), 0.0);
    for _ in 0..1_000 {
        assert!(is_known(&world, &right));
    }
    assert_eq!(world.hashes(), 1.0);
}

#[test]
fn a_repeated_wrong_password_costs_one_hash_and_one_try() {
    let world = World::with_file(FILE);
    for _ in 0..1_000 {
        assert_eq!(tell(&world.login(&basic("alice", "old"), PEER)), "401 wrong user name or password");
    }
    assert_eq!(world.hashes(), 1.0);
    assert!(world.login(&basic("bob", "secret"), PEER).is_ok(), "his neighbour behind the same address");
    assert_eq!(world.metric("nilometer_access_refused_total{reason=\"wrong_credential\"}"), 1_000.0);
}

#[test]
fn guesses_are_limited_before_they_are_hashed() {
    let world = World::with_file(FILE);
    assert!(world.login(&basic("alice", "correct horse"), PEER).is_ok());
    let mut answers = std::collections::BTreeMap::new();
    for i in 0..500 {
        // Users that do not exist, too: to try names is to guess.
        let user = ["alice", "carol"][i % 2];
        *answers.entry(tell(&world.login(&basic(user, &format!("guess {i}")), PEER))).or_insert(0) += 1;
    }
    expect![[r#"
        {
            "401 wrong user name or password": 20,
            "429 too many wrong passwords from this address or for this user: wait, and correct the password, after 5 s": 480,
        }
    "#]].assert_debug_eq(&answers);
    assert_eq!(world.hashes(), 21.0, "one of them was right");
    assert!(is_known(&world, &basic("alice", "correct horse")), "who is in stays in");
    assert!(world.login(&basic("bob", "secret"), "192.0.2.2").is_ok(), "others come in from elsewhere");
    world.seconds(5);
    assert_eq!(tell(&world.login(&basic("alice", "guess"), PEER)), "401 wrong user name or password");
    assert!(world.login(&basic("alice", "another guess"), PEER).unwrap_err().status() == 429);
}

#[test]
fn the_queue_is_bounded() {
    let world = World::with_file(FILE);
    let mut waiting = Vec::new();
    let refusal = loop {
        let i = waiting.len();
        assert!(i < 10_000, "there is no end");
        let (user, peer) = (format!("user{i}"), format!("10.0.{}.{}", i / 256, i % 256));
        match world.access.authenticate(Some(basic(&user, "x").as_bytes()), ip(&peer)) {
            Outcome::Pending(pending) => waiting.push(pending),
            Outcome::Refused(refusal) => break refusal,
            Outcome::Known(who) => panic!("{who:?}"),
        }
    };
    assert_eq!(waiting.len(), 256);
    assert_eq!(tell(&Err(refusal)), "503 too many credentials wait to be checked: retry, after 5 s");
    drop(waiting);
    world.run_worker();
    assert_eq!(world.hashes(), 0.0, "nobody waited any more");
    assert!(world.login(&basic("bob", "secret"), PEER).is_ok());
}

#[test]
fn who_was_in_before_a_reload_finds_room() {
    let world = World::with_file(FILE);
    let right = basic("alice", "correct horse");
    assert!(world.login(&right, PEER).is_ok());
    world.rewrite(&format!("# changed\n{FILE}"));
    assert!(world.access.reload().unwrap());
    let guess = |i: usize| pending(&world, &basic(&format!("user{i}"), "x"), &format!("10.0.{}.1", i));
    let guesses: Vec<_> = (0..256).map(guess).collect();
    let waiting = pending(&world, &right, PEER);
    let Outcome::Refused(refusal) =
        world.access.authenticate(Some(basic("bob", "secret").as_bytes()), ip(PEER))
    else {
        panic!("the queue is full")
    };
    assert_eq!(refusal.reason, Reason::HashQueueFull);
    drop(guesses);
    world.run_worker();
    assert!(answered(waiting).unwrap().is_ok());
}

#[test]
fn waiters_for_one_credential_are_bounded() {
    let world = World::with_file(FILE);
    let right = basic("alice", "correct horse");
    let mut waiting: Vec<_> = (0..1_000).map(|_| pending(&world, &right, PEER)).collect();
    let Outcome::Refused(refusal) = world.access.authenticate(Some(right.as_bytes()), ip(PEER)) else {
        panic!("there is no end")
    };
    assert_eq!(refusal.reason, Reason::HashQueueFull);
    waiting.truncate(10);
    waiting.push(pending(&world, &right, PEER));
    world.run_worker();
    assert!(waiting.into_iter().all(|p| answered(p).unwrap().is_ok()));
}

#[test]
fn tries_of_requests_that_went_away_are_given_back() {
    let world = World::with_file(FILE);
    for i in 0..500 {
        drop(pending(&world, &basic("alice", &i.to_string()), PEER));
        world.run_worker();
    }
    assert_eq!(world.hashes(), 0.0);
}

#[test]
fn a_worker_that_never_runs_leaves_nobody_waiting() {
    let world = World::with_file(FILE);
    let right = basic("alice", "correct horse");
    let waiting = [pending(&world, &right, PEER), pending(&world, &basic("bob", "secret"), PEER)];
    drop(world.take_worker());
    for pending in waiting {
        assert_eq!(answered(pending).unwrap().unwrap_err().status(), 503);
    }
    assert!(world.login(&right, PEER).is_ok(), "the next request starts another worker");
}

#[test]
fn a_reload_drops_the_cache() {
    let world = World::with_file(FILE);
    let (alice, bob) = (basic("alice", "correct horse"), basic("bob", "secret"));
    assert!(world.login(&alice, PEER).is_ok() && world.login(&bob, PEER).is_ok());
    assert!(!world.access.reload().unwrap(), "the same bytes are no reload");
    assert!(is_known(&world, &alice));

    let without_bob: String = FILE.replace("username: bob", "username: robert");
    world.rewrite(&without_bob);
    assert!(is_known(&world, &bob), "not before the reload");
    assert!(world.access.reload().unwrap());
    assert!(!is_known(&world, &alice) && !is_known(&world, &bob));
    assert!(world.login(&alice, PEER).is_ok());
    assert_eq!(tell(&world.login(&bob, PEER)), "401 wrong user name or password");
    assert_eq!(world.hashes(), 4.0);

    world.rewrite(FILE);
    assert!(world.access.reload().unwrap());
    assert!(world.login(&bob, PEER).is_ok(), "what was wrong may be right now");
}

#[test]
fn after_a_reload_nobody_is_locked_out_by_an_attacker() {
    let world = World::with_file(FILE);
    let right = basic("alice", "correct horse");
    assert!(world.login(&right, PEER).is_ok());
    let attack = |world: &World| {
        let guesses = (0..100).filter(|i| {
            let header = basic("alice", &format!("guess {i}"));
            let outcome = world.access.authenticate(Some(header.as_bytes()), ip(&format!("10.0.0.{i}")));
            matches!(outcome, Outcome::Pending(_))
        });
        guesses.count()
    };
    let dropped = attack(&world);
    assert_eq!(dropped, 40, "the tries for this user are used up");
    for comment in ["# 1\n", "# 2\n"] {
        world.rewrite(&format!("{comment}{FILE}"));
        assert!(world.access.reload().unwrap());
    }
    let waiting = pending(&world, &right, PEER);
    world.run_worker();
    assert!(answered(waiting).unwrap().is_ok());
}

#[test]
fn a_credential_that_a_reload_removed_is_not_accepted_from_the_queue() {
    let world = World::with_file(FILE);
    let waiting = pending(&world, &basic("bob", "secret"), PEER);
    world.rewrite(&FILE.replace("username: bob", "username: robert"));
    assert!(world.access.reload().unwrap());
    world.run_worker();
    assert_eq!(tell(&answered(waiting).unwrap()), "401 wrong user name or password");
}

/// A clock that does something when it is read: the moment before a hash is computed.
struct TrapClock {
    trap: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Clock for TrapClock {
    fn wall_ms(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        let trap = self.trap.lock().take();
        if let Some(trap) = trap {
            trap();
        }
        Duration::ZERO
    }
}

#[test]
fn a_reload_during_the_hash_counts() {
    let clock = Arc::new(TrapClock { trap: Mutex::default() });
    let (fs, path) = (Arc::new(SimFs::new(1)), Path::new("t"));
    fs.create(path).unwrap().append(FILE.as_bytes()).unwrap();
    let workers: Arc<Mutex<Vec<Worker>>> = Arc::default();
    let spawned = workers.clone();
    let parts = Parts {
        clock: clock.clone(),
        fs: fs.clone(),
        random: Arc::new(SimRandom::new(1)),
        spawn: Arc::new(move |worker| spawned.lock().push(worker)),
    };
    let access = Access::from_file(parts, path, HubLimits::default(), &mut Registry::default()).unwrap();
    let Outcome::Pending(waiting) = access.authenticate(Some(basic("bob", "secret").as_bytes()), ip(PEER))
    else {
        panic!("not cached yet")
    };
    let reloading = access.clone();
    *clock.trap.lock() = Some(Box::new(move || {
        fs.remove_file(path).unwrap();
        fs.create(path)
            .unwrap()
            .append(FILE.replace("username: bob", "username: robert").as_bytes())
            .unwrap();
        assert!(reloading.reload().unwrap());
    }));
    workers.lock().pop().unwrap().run();
    assert_eq!(tell(&answered(waiting).unwrap()), "401 wrong user name or password");
}

#[test]
fn unknown_users_cost_a_hash_too() {
    let world = World::with_file(FILE);
    for i in 0..3 {
        assert!(world.login(&basic(&format!("nobody{i}"), "correct horse"), PEER).is_err());
        assert!(world.login(&basic(&format!("nobody{i}"), "secret"), PEER).is_err());
    }
    assert_eq!(world.hashes(), 6.0);
}

#[test]
fn a_file_without_passwords_computes_none() {
    let world = World::with_file(
        "operators: [{name: o, credentials: [{scopes: [admin], bearer: \
         {sha256: ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb}}]}]",
    );
    assert_eq!(tell(&world.login(&basic("a", "b"), PEER)), "401 wrong user name or password");
    assert_eq!(tell(&world.login(&bearer("a"), PEER)), "o (token ffe054fe…): - [admin]");
}

#[test]
fn real_threads() {
    let dir = std::env::temp_dir().join(format!("nilometer-access-{}", SystemRandomSuffix::next()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("tenants.yaml");
    std::fs::write(&path, FILE).unwrap();
    let (running, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let seen = most.clone();
    let parts = Parts {
        clock: Arc::new(SystemClock::default()),
        fs: Arc::new(RealFs),
        random: Arc::new(SystemRandom),
        spawn: Arc::new(move |worker: Worker| {
            let (running, most) = (running.clone(), seen.clone());
            std::thread::spawn(move || {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                worker.run();
                running.fetch_sub(1, SeqCst);
            });
        }),
    };
    let mut registry = Registry::default();
    let access = Access::from_file(parts, &path, HubLimits::default(), &mut registry).unwrap();
    std::thread::scope(|scope| {
        for i in 0..16 {
            let access = &access;
            scope.spawn(move || {
                let (user, password) = [("alice", "correct horse"), ("bob", "secret")][i % 2];
                for _ in 0..100 {
                    access.authenticate_blocking(Some(basic(user, password).as_bytes()), ip(PEER)).unwrap();
                }
            });
        }
    });
    std::fs::remove_dir_all(&dir).unwrap();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("nilometer_access_password_hashes_total{result=\"right\"} 2\n"), "{text}");
    // A worker that is just ending may overlap the next one's start, not its work.
    assert!(most.load(SeqCst) <= 2);
}

struct SystemRandomSuffix;

impl SystemRandomSuffix {
    fn next() -> u64 {
        use nilometer_env::Random;
        SystemRandom.u64()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever a header holds: no panic, nobody gets in, and none of it is hashed but what decodes.
    #[test]
    fn garbage_is_refused(header in prop::collection::vec(any::<u8>(), 0..64), basic: bool) {
        thread_local!(static WORLD: World = World::with_file(FILE));
        let header = if basic { [b"Basic ".as_slice(), &header].concat() } else { header };
        WORLD.with(|world| {
            if let Outcome::Known(who) = world.access.authenticate(Some(&header), ip(PEER)) {
                panic!("{who:?}");
            }
        });
    }
}
