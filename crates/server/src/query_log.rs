//! The query log: a line of JSON for each query, in the form of Prometheus' `query_log_file`, with who asked.

use jiff::Timestamp;
use nilometer_model::{Error, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// So much of a query is written.
const MAX_QUERY_BYTES: usize = 64 << 10;

/// A file that lines are appended to. Whoever moves it away has it opened again by a reload.
pub struct QueryLog {
    path: PathBuf,
    file: Mutex<File>,
}

/// What there is to say of one query.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// When it ended.
    pub(crate) t_ms: i64,
    pub(crate) query: String,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 of an instant query.
    pub(crate) step_ms: i64,
    pub(crate) error: Option<String>,
    /// As the answer has it: see `stats` there.
    pub(crate) stats: Option<Value>,
    pub(crate) identity: String,
    /// `None`: all.
    pub(crate) tenant: Option<String>,
    pub(crate) client: String,
    pub(crate) method: String,
    pub(crate) path: String,
}

impl QueryLog {
    /// # Errors
    /// Where the file cannot be opened for appending.
    pub fn open(path: impl Into<PathBuf>) -> Result<QueryLog> {
        let path = path.into();
        let file = Mutex::new(open(&path)?);
        Ok(QueryLog { path, file })
    }

    /// Goes on in the file of this name, which may be another one by now.
    pub(crate) fn reopen(&self) -> Result<()> {
        *self.file.lock() = open(&self.path)?;
        Ok(())
    }

    pub(crate) fn write(&self, entry: &Entry) {
        let line = format!("{}\n", entry.json());
        if let Err(e) = self.file.lock().write_all(line.as_bytes()) {
            tracing::warn!(error = %e, path = %self.path.display(), "a query could not be logged");
        }
    }
}

fn open(path: &PathBuf) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|e| Error::io(format!("opening the query log {} (--query.log-file)", path.display()), e))
}

impl Entry {
    fn json(&self) -> Value {
        let mut end = self.query.len().min(MAX_QUERY_BYTES);
        while !self.query.is_char_boundary(end) {
            end -= 1;
        }
        let mut line = json!({
            "time": rfc3339(self.t_ms),
            "level": "INFO",
            "msg": "promql query logged",
            "params": {
                "query": &self.query[..end],
                "start": rfc3339(self.start_ms),
                "end": rfc3339(self.end_ms),
                "step": self.step_ms / 1000,
            },
            "identity": self.identity,
            "tenant": self.tenant,
            "httpRequest": { "clientIP": self.client, "method": self.method, "path": self.path },
        });
        if let Some(error) = &self.error {
            line["error"] = json!(error);
        }
        if let Some(stats) = &self.stats {
            line["stats"] = stats.clone();
        }
        line
    }
}

/// With three decimals, as Prometheus writes it; times beyond the calendar as the nearest within.
fn rfc3339(t_ms: i64) -> String {
    let beyond = if t_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let time = Timestamp::from_millisecond(t_ms).unwrap_or(beyond);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn lines() {
        let entry = Entry {
            t_ms: 1_700_000_000_120,
            query: "up\n".to_owned() + &"é".repeat(MAX_QUERY_BYTES),
            start_ms: 1_700_000_000_000,
            end_ms: i64::MAX,
            step_ms: 15_000,
            error: None,
            stats: None,
            identity: "anyone".to_owned(),
            tenant: None,
            client: "127.0.0.1".to_owned(),
            method: "GET".to_owned(),
            path: "/api/v1/query".to_owned(),
        };
        assert!(entry.json().to_string().len() < MAX_QUERY_BYTES + 1000);
        let failed = Entry {
            query: "up\n".to_owned(),
            error: Some("bad \"x\"".to_owned()),
            stats: Some(json!({"a": 1})),
            tenant: Some("a".to_owned()),
            ..entry
        };
        expect![[r#"{"error":"bad \"x\"","httpRequest":{"clientIP":"127.0.0.1","method":"GET","path":"/api/v1/query"},"identity":"anyone","level":"INFO","msg":"promql query logged","params":{"end":"9999-12-30T22:00:00.999Z","query":"up\n","start":"2023-11-14T22:13:20.000Z","step":15},"stats":{"a":1},"tenant":"a","time":"2023-11-14T22:13:20.120Z"}"#]].assert_eq(&failed.json().to_string());
    }

    #[test]
    fn it_goes_on_in_a_new_file() {
        let dir = std::env::temp_dir().join(format!("nilometer-query-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("log");
        let _ = std::fs::remove_file(&path);
        let log = QueryLog::open(&path).unwrap();
        std::fs::rename(&path, dir.join("old")).unwrap();
        log.reopen().unwrap();
        log.file.lock().write_all(b"x").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(log.reopen().unwrap_err().message().contains("--query.log-file"));
    }
}
