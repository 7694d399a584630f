//! What was read around a chunk, for who reads those of many series: chunks that were closed at one time lie side
//! by side, so one read brings many.

use super::hot::HotChunks;
use super::written::WrittenFile;
use crate::frame::FRAME_HEAD_BYTES;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Some dozens of chunks: what a read costs beside the copying is then little for each.
const PAGE_BYTES: u64 = 8 << 10;
/// Who reads every so many bytes needs a good part of a page.
const NEAR_BYTES: u64 = 2 << 10;
const MAX_PAGES: usize = 8;
/// What is read of a place that nobody was near: a whole chunk, mostly.
const ALONE_BYTES: usize = 512;

pub(crate) struct Pages {
    hot: Arc<HotChunks>,
    /// The newest in front.
    pages: VecDeque<Page>,
    /// Where was read last, by file and offset: series have chunks of several times, so there are several places.
    places: VecDeque<(u32, u64)>,
    /// A frame that no page has.
    alone: Arc<[u8]>,
    read: Vec<u8>,
}

struct Page {
    file: u32,
    start: u64,
    bytes: Vec<u8>,
}

impl Pages {
    pub(crate) fn new(hot: Arc<HotChunks>) -> Pages {
        let (pages, places) = (VecDeque::new(), VecDeque::new());
        Pages { hot, pages, places, alone: Arc::from([]), read: Vec::new() }
    }

    /// The frame at a place; `None` where none is written there. A page is read where the one who asks was near
    /// before.
    pub(super) fn frame(
        &mut self,
        number: u32,
        file: &WrittenFile,
        offset: u64,
    ) -> io::Result<Option<&[u8]>> {
        let is_near = self.visit(number, offset);
        let mut place = self.find(number, offset);
        if place.is_none() && is_near {
            self.pages.truncate(MAX_PAGES);
            let mut bytes = match self.pages.len() {
                MAX_PAGES => self.pages.pop_back().map(|page| page.bytes).unwrap_or_default(),
                _ => Vec::new(),
            };
            bytes.resize(file.len.saturating_sub(offset).min(PAGE_BYTES) as usize, 0);
            file.file.read_exact_at(&mut bytes, offset)?;
            self.pages.push_front(Page { file: number, start: offset, bytes });
            place = self.find(number, offset);
        }
        match place {
            Some((page, at)) => Ok(frame_at(&self.pages[page].bytes, at)),
            None => self.read_alone(file, offset),
        }
    }

    fn read_alone(&mut self, file: &WrittenFile, offset: u64) -> io::Result<Option<&[u8]>> {
        if let Some(frame) = self.hot.get(file.framing, offset) {
            self.alone = frame;
            return Ok(Some(&self.alone));
        }
        let left = usize::try_from(file.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.read.resize(ALONE_BYTES.min(left), 0);
        file.file.read_exact_at(&mut self.read, offset)?;
        let Some(len) = self.read.first_chunk::<4>() else { return Ok(None) };
        let (have, whole) = (self.read.len(), FRAME_HEAD_BYTES + u32::from_le_bytes(*len) as usize);
        // A damaged length may say anything; the file ends it.
        if whole > have && whole <= left {
            self.read.resize(whole, 0);
            file.file.read_exact_at(&mut self.read[have..], offset + have as u64)?;
        }
        let Some(frame) = frame_at(&self.read, 0) else { return Ok(None) };
        self.alone = frame.into();
        if file.framing.body_at(&self.alone, offset).is_some() {
            self.hot.put(file.framing, offset, &self.alone);
        }
        Ok(Some(&self.alone))
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

    /// The page that has the whole frame at a place, and where.
    fn find(&self, number: u32, offset: u64) -> Option<(usize, usize)> {
        self.pages.iter().enumerate().find_map(|(index, page)| {
            let at = usize::try_from(offset.checked_sub(page.start)?).ok()?;
            (page.file == number && frame_at(&page.bytes, at).is_some()).then_some((index, at))
        })
    }
}

fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let bytes = bytes.get(at..)?;
    let len = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    bytes.get(..FRAME_HEAD_BYTES.checked_add(len)?)
}
