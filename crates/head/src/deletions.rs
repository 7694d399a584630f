//! What deletes, has logged the deletion first: one line of JSON a block in `deletions.jsonl`.

use crate::head::Env;
use nilometer_model::{BlockMeta, Error, Result, Tenant};
use std::path::Path;

pub(crate) fn log(env: &Env, dir: &Path, tenant: &Tenant, block: &BlockMeta, why: &str) -> Result<()> {
    let path = dir.join("deletions.jsonl");
    let io = |e| Error::io(format!("logging a deletion in {}", path.display()), e);
    let is_new = !env.fs.exists(&path);
    let file = if is_new { env.fs.create(&path) } else { env.fs.open(&path) }.map_err(io)?;
    // All values are of our own making and need no escapes.
    let line = format!(
        "{{\"time_ms\":{},\"tenant\":\"{tenant}\",\"block\":\"{}\",\"min_time_ms\":{},\"max_time_ms\":{},\"why\":\"{why}\"}}\n",
        env.clock.wall_ms(),
        block.ulid,
        block.min_time_ms,
        block.max_time_ms,
    );
    file.append(line.as_bytes()).map_err(io)?;
    file.sync().map_err(io)?;
    if is_new {
        env.fs.sync_dir(dir).map_err(io)?;
    }
    Ok(())
}
