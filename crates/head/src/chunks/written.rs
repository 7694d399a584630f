//! What of a tenant's closed chunks is in files, as of one moment: for who reads without the tenant's lock.

use super::{Body, ChunkFiles, ChunkPos, Pages, parse_body};
use crate::frame::Framing;
use nilometer_env::File;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct Written {
    /// `None` for what cannot be read from here: nothing is written yet, or it is damaged.
    files: BTreeMap<u32, Option<WrittenFile>>,
}

pub(super) struct WrittenFile {
    pub(super) file: Arc<dyn File>,
    pub(super) framing: Framing,
    pub(super) len: u64,
}

impl ChunkFiles {
    pub(crate) fn written(&self) -> Written {
        let written = |(number, f): (&u32, &super::file::ChunkFile)| {
            let len = f.len - f.waiting.len() as u64;
            (*number, f.file.clone().map(|file| WrittenFile { file, framing: f.framing, len }))
        };
        let damaged = self.damaged.keys().map(|number| (*number, None));
        Written { files: self.files.iter().map(written).chain(damaged).collect() }
    }
}

impl Written {
    /// Whether nothing stands at `pos` any more, nor before it: a cut took it.
    pub(crate) fn is_gone(&self, pos: ChunkPos) -> bool {
        pos.is_none() || !self.files.contains_key(&pos.file())
    }

    /// The chunk at `pos`; `None` where it is not written yet, or cannot be read.
    pub(crate) fn get<'p>(&self, pos: ChunkPos, pages: &'p mut Pages) -> Option<Body<'p>> {
        let file = self.files.get(&pos.file())?.as_ref()?;
        let frame = pages.frame(pos.file(), file, pos.offset()).ok()??;
        parse_body(file.framing.body_at(frame, pos.offset())?)
    }
}
