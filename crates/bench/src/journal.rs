//! What a load sends and what of it was acknowledged, in a file, so that both outlive the server and the load.
//!
//! ```text
//! {"version":1,"seed":1,"series":100000,…}        the plan
//! 0 1                                             connection 0: its first request is acknowledged
//! 3 1
//! 0 2                                             the last line of a connection counts
//! ```
//!
//! A connection sends in order and one request at a time. So everything up to its count is acknowledged, the one
//! request behind it may be stored or not, and nothing else of it was ever sent.

use crate::plan::Plan;
use nilometer_env::{File, Fs};
use nilometer_model::{Error, Result};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub struct Journal {
    file: Mutex<Arc<dyn File>>,
    plan: Plan,
    acknowledged: Vec<u64>,
}

impl Journal {
    /// # Errors
    /// `Conflict` if the file is there: it may be the only proof of another load.
    pub fn create(fs: &dyn Fs, path: &Path, plan: &Plan) -> Result<Journal> {
        plan.check()?;
        if fs.exists(path) {
            return Err(Error::conflict(format!(
                "{} is there already: go on with that load (--resume), or name another journal",
                path.display()
            )));
        }
        let wrong = |e| Error::io(path.display(), e);
        let file = fs.create(path).map_err(wrong)?;
        let head = serde_json::to_string(plan).map_err(|e| Error::invalid(e.to_string()))?;
        file.append(format!("{head}\n").as_bytes()).map_err(wrong)?;
        Ok(Journal {
            file: Mutex::new(file),
            plan: plan.clone(),
            acknowledged: vec![0; plan.connections as usize],
        })
    }

    /// # Errors
    /// `Corrupt` if it is not a journal.
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<Journal> {
        let wrong = |e| Error::io(path.display(), e);
        let text = fs.read(path).map_err(wrong)?;
        let (plan, acknowledged) = parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| Error::corrupt(path.display().to_string(), 0, "this is no journal of a load"))?;
        plan.check()?;
        let file = fs.open(path).map_err(wrong)?;
        // A line that a crash cut off must not become part of the next one.
        let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.truncate(whole as u64).map_err(wrong)?;
        }
        Ok(Journal { file: Mutex::new(file), plan, acknowledged })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Requests of each connection, as they were when the journal was opened.
    pub fn acknowledged(&self) -> &[u64] {
        &self.acknowledged
    }

    pub(crate) fn record(&self, connection: u32, requests: u64) -> Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.append(format!("{connection} {requests}\n").as_bytes())
            .map_err(|e| Error::io("writing the journal", e))
    }
}

fn parse(text: &str) -> Option<(Plan, Vec<u64>)> {
    let (head, rest) = text.split_once('\n')?;
    let plan: Plan = serde_json::from_str(head).ok()?;
    let mut acknowledged = vec![0; plan.connections as usize];
    for line in rest.split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else { break };
        let (connection, requests) = line.split_once(' ')?;
        *acknowledged.get_mut(connection.parse::<usize>().ok()?)? = requests.parse().ok()?;
    }
    Some((plan, acknowledged))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan;
    use nilometer_env::sim::SimFs;

    #[test]
    fn the_last_line_of_a_connection_counts() {
        let fs = SimFs::new(1);
        let path = Path::new("j");
        let journal = Journal::create(&fs, path, &Plan { connections: 3, ..plan(1_000, 4) }).unwrap();
        for (connection, requests) in [(0, 1), (2, 1), (0, 2)] {
            journal.record(connection, requests).unwrap();
        }
        fs.open(path).unwrap().append(b"2 1").unwrap();
        let again = Journal::open(&fs, path).unwrap();
        assert_eq!((again.acknowledged(), again.plan()), (&[2, 0, 1][..], journal.plan()));
        again.record(2, 7).unwrap();
        assert_eq!(Journal::open(&fs, path).unwrap().acknowledged(), [2, 0, 7]);
        assert!(Journal::create(&fs, path, journal.plan()).is_err(), "it is never overwritten");
    }

    #[test]
    fn other_files_are_refused() {
        let fs = SimFs::new(1);
        let head = serde_json::to_string(&plan(1_000, 4)).unwrap();
        for text in ["", "{}\n", "x", &head, &format!("{head}\n5 5\n"), &format!("{head}\n0\n")] {
            let path = Path::new("j");
            let _ = fs.remove_file(path);
            fs.create(path).unwrap().append(text.as_bytes()).unwrap();
            assert!(Journal::open(&fs, path).is_err(), "{text:?}");
        }
    }
}
