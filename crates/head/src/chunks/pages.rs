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
    /// Behind what was read last, by file and offset: series have chunks of several times, so there are several places.
    places: VecDeque<(u32, u64)>,
    /// A frame that was kept.
    alone: Arc<[u8]>,
    /// A frame that no page has.
    alone_bytes: Vec<u8>,
}

struct Page {
    file: u32,
    start: u64,
    bytes: Vec<u8>,
}

impl Pages {
    pub(crate) fn new(hot: Arc<HotChunks>) -> Pages {
        let (pages, places) = (VecDeque::new(), VecDeque::new());
        Pages { hot, pages, places, alone: Arc::from([]), alone_bytes: Vec::new() }
    }

    /// The frame at a place; `None` where none is written there. A page is read where the one who asks was near
    /// before. Who takes every frame, one after the other, has no use for those that are kept.
    pub(super) fn frame(
        &mut self,
        number: u32,
        file: &WrittenFile,
        offset: u64,
    ) -> io::Result<Option<&[u8]>> {
        let skipped = self.skipped(number, offset);
        if skipped != Some(0)
            && let Some(frame) = self.hot.get(file.framing, offset)
        {
            self.places.push_front((number, offset + frame.len() as u64));
            self.alone = frame;
            return Ok(Some(&self.alone));
        }
        let mut place = self.find(number, offset);
        if place.is_none() && skipped.is_some() {
            self.read_page(number, file, offset)?;
            place = self.find(number, offset);
        }
        let frame = match place {
            Some((page, at)) => frame_at(&self.pages[page].bytes, at),
            None => read_alone(&mut self.alone_bytes, file, offset)?,
        };
        let Some(frame) = frame else { return Ok(None) };
        self.places.push_front((number, offset + frame.len() as u64));
        if skipped != Some(0) && file.framing.body_at(frame, offset).is_some() {
            self.hot.put(file.framing, offset, frame);
        }
        Ok(Some(frame))
    }

    fn read_page(&mut self, number: u32, file: &WrittenFile, offset: u64) -> io::Result<()> {
        self.pages.truncate(MAX_PAGES);
        let mut bytes = match self.pages.len() {
            MAX_PAGES => self.pages.pop_back().map(|page| page.bytes).unwrap_or_default(),
            _ => Vec::new(),
        };
        bytes.resize(file.len.saturating_sub(offset).min(PAGE_BYTES) as usize, 0);
        file.file.read_exact_at(&mut bytes, offset)?;
        self.pages.push_front(Page { file: number, start: offset, bytes });
        Ok(())
    }

    /// How many bytes were skipped since a frame just before it; `None` where nobody was near.
    fn skipped(&mut self, number: u32, offset: u64) -> Option<u64> {
        let skipped = |(file, end): &(u32, u64)| {
            offset.checked_sub(*end).filter(|bytes| *file == number && *bytes < NEAR_BYTES)
        };
        let found = self.places.iter().enumerate().find_map(|(at, place)| Some((at, skipped(place)?)));
        if let Some((at, _)) = found {
            self.places.remove(at);
        }
        self.places.truncate(MAX_PAGES - 1);
        found.map(|(_, bytes)| bytes)
    }

    /// The page that has the whole frame at a place, and where.
    fn find(&self, number: u32, offset: u64) -> Option<(usize, usize)> {
        self.pages.iter().enumerate().find_map(|(index, page)| {
            let at = usize::try_from(offset.checked_sub(page.start)?).ok()?;
            (page.file == number && frame_at(&page.bytes, at).is_some()).then_some((index, at))
        })
    }
}

fn read_alone<'b>(bytes: &'b mut Vec<u8>, file: &WrittenFile, offset: u64) -> io::Result<Option<&'b [u8]>> {
    let left = usize::try_from(file.len.saturating_sub(offset)).unwrap_or(usize::MAX);
    bytes.resize(ALONE_BYTES.min(left), 0);
    file.file.read_exact_at(bytes, offset)?;
    let Some(len) = bytes.first_chunk::<4>() else { return Ok(None) };
    let (have, whole) = (bytes.len(), FRAME_HEAD_BYTES + u32::from_le_bytes(*len) as usize);
    // A damaged length may say anything; the file ends it.
    if whole > have && whole <= left {
        bytes.resize(whole, 0);
        file.file.read_exact_at(&mut bytes[have..], offset + have as u64)?;
    }
    Ok(frame_at(bytes, 0))
}

fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let bytes = bytes.get(at..)?;
    let len = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    bytes.get(..FRAME_HEAD_BYTES.checked_add(len)?)
}
