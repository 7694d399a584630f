//! Who sends this request?

use crate::access::{Access, Inner};
use crate::cache::digest;
use crate::config::Credentials;
use crate::header::{Credential, Malformed, decode_basic, parse_authorization};
use crate::identity::Identity;
use crate::queue::{Answer, Job, Pending, Worker};
use crate::refusal::{Reason, Refusal};
use crate::secret::{MIN_TOKEN_BYTES, token_digest};
use crate::snapshot::Snapshot;
use siphasher::sip::SipHasher13;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What [`Access::authenticate`] found.
pub enum Outcome {
    Known(Arc<Identity>),
    /// A password hash has to be computed first: await it.
    Pending(Pending),
    Refused(Refusal),
}

/// Reloads that may interrupt one check of a password.
const MAX_RELOADS: usize = 3;

impl Access {
    /// Judges the value of an `Authorization` header, whatever bytes it has. Takes under a microsecond for a
    /// token and for a password that was verified since the last reload; never blocks.
    ///
    /// `peer` is the address whose wrong passwords are counted: behind a proxy, that which the proxy names.
    pub fn authenticate(&self, authorization: Option<&[u8]>, peer: IpAddr) -> Outcome {
        let snapshot = self.inner.current.load();
        let Some(credentials) = &snapshot.credentials else {
            return Outcome::Known(self.inner.anyone.clone());
        };
        match self.inner.judge_header(&snapshot, credentials, authorization, peer) {
            Ok(outcome) => outcome,
            Err(refusal) => {
                self.inner.metrics.refused(refusal.reason);
                Outcome::Refused(refusal)
            }
        }
    }
}

impl Inner {
    fn judge_header(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        credentials: &Credentials,
        authorization: Option<&[u8]>,
        peer: IpAddr,
    ) -> Result<Outcome, Refusal> {
        let header = authorization.ok_or_else(|| {
            let message = "this needs a credential: send it as Basic or Bearer in the Authorization header";
            Refusal::new(Reason::MissingCredential, message)
        })?;
        match parse_authorization(header).map_err(malformed)? {
            Credential::Bearer(token) => {
                let known = if token.len() < MIN_TOKEN_BYTES {
                    None
                } else {
                    credentials.bearer.get(&token_digest(token))
                };
                let unknown = || Refusal::new(Reason::WrongCredential, "unknown bearer token");
                known.cloned().map(Outcome::Known).ok_or_else(unknown)
            }
            Credential::Basic(base64) => {
                let digest = digest(&self.cache_key, base64);
                if let Some(identity) = snapshot.cache.verified(digest) {
                    self.metrics.cache_hits.inc();
                    return Ok(Outcome::Known(identity));
                }
                if credentials.basic.is_empty() || snapshot.cache.is_wrong(digest) {
                    return Err(wrong_password());
                }
                let (user, password) = decode_basic(base64).map_err(malformed)?;
                let trusted = snapshot.cache.was_verified(digest);
                self.enqueue(Job { digest, user, password, peer, trusted }).map(Outcome::Pending)
            }
        }
    }

    fn enqueue(self: &Arc<Self>, job: Job) -> Result<Pending, Refusal> {
        let queued = self.queue.push(job, |job| {
            self.throttle.take(job.peer, &job.user, self.clock.monotonic()).map_err(too_many)
        })?;
        self.metrics.hash_queue.set(self.queue.len() as i64);
        if queued.start_worker {
            (self.spawn)(Worker::new(self.clone()));
        }
        Ok(queued.pending)
    }

    /// Checks a password, slowly. What was decided under a tenants file that has been replaced meanwhile is
    /// decided again, so that a credential that a reload removed is not accepted after it.
    pub(crate) fn judge(&self, job: &Job) -> Answer {
        for _ in 0..MAX_RELOADS {
            let snapshot = self.current.load_full();
            let answer = self.judge_under(&snapshot, job);
            if Arc::ptr_eq(&snapshot, &self.current.load()) {
                self.metrics.hash_queue.set(self.queue.len() as i64);
                if let Err(refusal) = &answer {
                    self.metrics.refused(refusal.reason);
                }
                return answer;
            }
        }
        let message = "the tenants file was reloaded again and again: retry";
        Err(Refusal::retry(Reason::HashQueueFull, Duration::from_secs(1), message))
    }

    fn judge_under(&self, snapshot: &Snapshot, job: &Job) -> Answer {
        let Some(credentials) = &snapshot.credentials else { return Ok(self.anyone.clone()) };
        let known = credentials.by_user.get(&job.user).and_then(|&i| credentials.basic.get(i));
        // For an unknown user some known user's hash is computed, always the same one for a name, so that the
        // time taken does not tell which users there are. Its result counts for nothing.
        let Some(checked) = known.or_else(|| self.decoy(credentials, &job.user)) else {
            return Err(wrong_password());
        };
        let started = self.clock.monotonic();
        let right = checked.hash.verify(&job.password) && known.is_some();
        self.metrics.hashed(right, self.clock.monotonic().saturating_sub(started).as_secs_f64());
        if !right {
            snapshot.cache.set_wrong(job.digest);
            return Err(wrong_password());
        }
        snapshot.cache.set_verified(job.digest, checked.identity.clone());
        self.give_back(job);
        Ok(checked.identity.clone())
    }

    fn decoy<'a>(
        &self,
        credentials: &'a Credentials,
        user: &str,
    ) -> Option<&'a crate::config::BasicCredential> {
        let hash = SipHasher13::new_with_key(&self.cache_key).hash(user.as_bytes());
        let i = (hash as usize).checked_rem(credentials.basic.len())?;
        credentials.basic.get(i)
    }

    /// Returns the try that a job was charged, which turned out not to be a wrong password.
    pub(crate) fn give_back(&self, job: &Job) {
        if !job.trusted {
            self.throttle.give_back(job.peer, &job.user);
        }
    }
}

fn malformed(why: Malformed) -> Refusal {
    Refusal::new(Reason::MalformedCredential, why)
}

fn wrong_password() -> Refusal {
    Refusal::new(Reason::WrongCredential, "wrong user name or password")
}

fn too_many(wait: Duration) -> Refusal {
    let message =
        "too many wrong passwords from this address or for this user: wait, and correct the password";
    Refusal::retry(Reason::TooManyFailures, wait, message)
}

#[cfg(test)]
mod tests;
