//! Where pieces of text lie, and the text that a request did not bring in the form that is needed.

use crate::protobuf::{Reader, varint_len};

/// A piece of the body or of the [`TextArena`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) at: u32,
    pub(super) len: u32,
}

impl Text {
    /// Positions fit: bodies and arenas are held below 4 GiB by `WriteRequest::read`.
    #[inline]
    pub(super) fn new(at: usize, end: usize) -> Self {
        Text { at: at as u32, len: (end - at) as u32 }
    }

    /// All of a nested message.
    #[inline]
    pub(super) fn message(message: Reader<'_>) -> Self {
        Text::new(message.at(), message.end())
    }

    #[inline]
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.at as usize..][..self.len as usize]
    }
}

/// No short label with its framing, and with what is copied too much behind it, is longer.
const WINDOW: usize = 192;

/// Labels written out one after the other.
#[derive(Debug, Default)]
pub(super) struct TextArena {
    /// Longer than `len`: room to copy too much.
    bytes: Vec<u8>,
    len: usize,
    /// Bytes that were written and taken back.
    taken_back: usize,
}

impl TextArena {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Bytes that were written since the arena was cleared.
    #[inline]
    pub(super) fn written(&self) -> usize {
        self.len + self.taken_back
    }

    /// Takes back what was written behind `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.taken_back += self.len.saturating_sub(len);
        self.len = self.len.min(len);
    }

    pub(super) fn clear(&mut self, keep_bytes: usize) {
        self.len = 0;
        self.taken_back = 0;
        if self.bytes.capacity() > keep_bytes {
            self.bytes = Vec::new();
        }
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends one label in the form of [`super::labels`]; `name` and `value` are pieces of `body`.
    #[inline(always)]
    pub(super) fn push_label(&mut self, body: &[u8], name: Text, value: Text) {
        let (name_len, value_len) = (name.len as usize, value.len as usize);
        let inner = 4 + name_len + value_len;
        if self.bytes.len() < self.len + WINDOW {
            self.grow(WINDOW);
        }
        if inner >= 0x80 {
            return self.push_long_label(name.of(body), value.of(body));
        }
        let out = self.bytes[self.len..].first_chunk_mut::<WINDOW>().expect("grown above");
        out[..4].copy_from_slice(&[0x0a, inner as u8, 0x0a, name_len as u8]);
        copy::<16>(body, name, &mut out[4..]);
        out[4 + name_len..6 + name_len].copy_from_slice(&[0x12, value_len as u8]);
        copy::<32>(body, value, &mut out[6 + name_len..]);
        self.len += 2 + inner;
    }

    #[cold]
    fn push_long_label(&mut self, name: &[u8], value: &[u8]) {
        let inner = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
        self.grow(1 + varint_len(inner) + inner + WINDOW);
        self.push_text(0x0a, inner, &[]);
        self.push_text(0x0a, name.len(), name);
        self.push_text(0x12, value.len(), value);
    }

    fn push_text(&mut self, tag: u8, mut len: usize, text: &[u8]) {
        let mut put = |byte: u8| {
            self.bytes[self.len] = byte;
            self.len += 1;
        };
        put(tag);
        while len >= 0x80 {
            put(len as u8 | 0x80);
            len >>= 7;
        }
        put(len as u8);
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    /// Makes room for `more` bytes.
    #[cold]
    fn grow(&mut self, more: usize) {
        let wanted = self.len + more;
        if self.bytes.len() < wanted {
            self.bytes.resize((wanted + wanted / 2).max(64 << 10), 0);
        }
    }
}

/// Copies `text` to the front of `out`, usually as `USUAL` bytes, of which those behind the text mean nothing
/// and are overwritten by what follows: a copy of known length is a move or two, others are a call.
#[inline(always)]
fn copy<const USUAL: usize>(body: &[u8], text: Text, out: &mut [u8]) {
    let (from, to) = (body[text.at as usize..].first_chunk::<USUAL>(), out.first_chunk_mut::<USUAL>());
    match (from, to) {
        (Some(from), Some(to)) if text.len as usize <= USUAL => *to = *from,
        _ => copy_exactly(text.of(body), out),
    }
}

/// Out of line, or the optimiser joins both copies into one of unknown length.
#[inline(never)]
fn copy_exactly(text: &[u8], out: &mut [u8]) {
    out[..text.len()].copy_from_slice(text);
}
