//! What was read around a chunk, for who reads those of many series: chunks that were closed at one time lie side
//! by side, so one read brings hundreds.

use super::file::ChunkFile;
use crate::frame::FRAME_HEAD_BYTES;
use std::collections::VecDeque;

const PAGE_BYTES: u64 = 64 << 10;
/// Who reads every so many bytes needs a good part of a page.
const NEAR_BYTES: u64 = 2 << 10;
/// So much more is read, so that most frames that begin in a page also end in what is read of it.
const MORE_BYTES: u64 = 2 << 10;
const MAX_PAGES: usize = 8;

#[derive(Default)]
pub(crate) struct Pages {
    /// The newest in front.
    pages: VecDeque<Page>,
    /// Where was read last, by file and offset: series have chunks of several times, so there are several places.
    places: VecDeque<(u32, u64)>,
}

struct Page {
    file: u32,
    start: u64,
    bytes: Vec<u8>,
}

impl Pages {
    /// The frame at a place, where it is here as a whole. A page is read where the one who asks was near before.
    pub(super) fn frame(
        &mut self,
        number: u32,
        file: &ChunkFile,
        offset: u64,
    ) -> std::io::Result<Option<&[u8]>> {
        let is_near = self.visit(number, offset);
        if self.find(number, offset).is_none() && is_near {
            let start = offset / PAGE_BYTES * PAGE_BYTES;
            if let Some(bytes) = file.read_part(start, PAGE_BYTES + MORE_BYTES)? {
                self.pages.truncate(MAX_PAGES - 1);
                self.pages.push_front(Page { file: number, start, bytes });
            }
        }
        Ok(self.find(number, offset))
    }

    /// Whether somebody was just before it: then what stands behind is likely wanted too.
    fn visit(&mut self, number: u32, offset: u64) -> bool {
        let is_near = |place: &(u32, u64)| {
            place.0 == number && offset.checked_sub(place.1).is_some_and(|bytes| bytes < NEAR_BYTES)
        };
        let before = self.places.iter().position(is_near).and_then(|at| self.places.remove(at));
        self.places.truncate(MAX_PAGES - 1);
        self.places.push_front((number, offset));
        before.is_some()
    }

    fn find(&self, number: u32, offset: u64) -> Option<&[u8]> {
        self.pages.iter().filter(|page| page.file == number).find_map(|page| {
            let bytes = page.bytes.get(usize::try_from(offset.checked_sub(page.start)?).ok()?..)?;
            let len = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
            bytes.get(..FRAME_HEAD_BYTES.checked_add(len)?)
        })
    }
}
