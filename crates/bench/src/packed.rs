//! A message that is compressed once and filled in many times.
//!
//! From scrape to scrape a request differs in values and times alone. They are left out of snappy's search for
//! repetitions: values always stand in literals, and a time is either literal or a copy of the same target's time
//! further up. So the compressed bytes can be kept, and filling in 8 bytes a value costs a thousandth of what
//! compressing again would. Real senders' bytes, as far as a receiver can tell: the same elements, found by the same
//! greedy search in fragments of 64 KiB.

/// What a byte of the message is.
const FIXED: u16 = 0;
const VALUE: u16 = u16::MAX;

/// Stands for a time until it is filled in: bytes that no UTF-8 text has, all different, so that a copy that has one
/// of them has it from the same place of another time.
const TIME: [u8; 6] = [0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd];

/// Bytes of a request, with places for values and times.
#[derive(Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    /// For each byte `FIXED`, `VALUE`, or the number of the target whose time it is, from 1.
    kinds: Vec<u16>,
}

impl Message {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.kinds.resize(self.bytes.len(), FIXED);
    }

    pub(crate) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(&[value as u8 | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    /// Eight bytes; the next value that is filled in.
    pub(crate) fn put_value(&mut self) {
        self.bytes.extend_from_slice(&[0; 8]);
        self.kinds.resize(self.bytes.len(), VALUE);
    }

    /// Six bytes: the time of the request's target of that number.
    pub(crate) fn put_time(&mut self, target: usize) {
        self.bytes.extend_from_slice(&TIME);
        self.kinds.resize(self.bytes.len(), target as u16 + 1);
    }
}

/// A byte of a time in a literal.
struct TimeByte {
    at: u32,
    target: u16,
    nth: u8,
}

pub(crate) struct Packed {
    bytes: Vec<u8>,
    /// Length of the message.
    plain_len: usize,
    /// Where each value begins.
    values: Vec<u32>,
    times: Vec<TimeByte>,
}

impl Packed {
    pub(crate) fn new(message: &Message) -> Packed {
        let mut packer = Packer {
            message,
            out: Packed {
                bytes: Vec::new(),
                plain_len: message.len(),
                values: Vec::new(),
                times: Vec::new(),
            },
        };
        packer.pack();
        packer.out.bytes.shrink_to_fit();
        packer.out
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn plain_len(&self) -> usize {
        self.plain_len
    }

    pub(crate) fn set_value(&mut self, nth: usize, value: f64) {
        let at = self.values[nth] as usize;
        self.bytes[at..at + 8].copy_from_slice(&value.to_bits().to_le_bytes());
    }

    /// `times_ms`: of each target.
    pub(crate) fn set_times(&mut self, times_ms: &[i64]) {
        for time in &self.times {
            let varint = times_ms[time.target as usize] >> (7 * time.nth) & 0x7f;
            self.bytes[time.at as usize] = varint as u8 | if time.nth < 5 { 0x80 } else { 0 };
        }
    }
}

const FRAGMENT: usize = 1 << 16;
const TABLE_BITS: u32 = 14;
/// Shorter repetitions are not worth an element.
const MIN_COPY: usize = 4;

struct Packer<'a> {
    message: &'a Message,
    out: Packed,
}

impl Packer<'_> {
    fn pack(&mut self) {
        let mut len = self.message.len();
        while len >= 0x80 {
            self.out.bytes.push(len as u8 | 0x80);
            len >>= 7;
        }
        self.out.bytes.push(len as u8);
        let mut start = 0;
        while start < self.message.len() {
            let end = self.fragment_end(start);
            self.fragment(start, end);
            start = end;
        }
    }

    /// Not within a value, whose bytes must stay together.
    fn fragment_end(&self, start: usize) -> usize {
        let kinds = &self.message.kinds;
        let end = start + FRAGMENT;
        if end >= kinds.len() {
            return kinds.len();
        }
        let is_between = |end: &usize| kinds[*end] != VALUE || kinds[*end - 1] != VALUE;
        (start + 1..=end).rev().find(is_between).unwrap_or(end)
    }

    fn fragment(&mut self, start: usize, end: usize) {
        // Places of four bytes that were seen, as distance from the fragment's start.
        let mut table = vec![0u16; 1 << TABLE_BITS];
        let (mut at, mut literal) = (start, start);
        while at + MIN_COPY <= end {
            let entry = &mut table[self.hash(at)];
            let before = start + usize::from(*entry);
            *entry = (at - start) as u16;
            let len = if before < at { self.common(before, at, end) } else { 0 };
            if len < MIN_COPY {
                at += 1;
                continue;
            }
            self.literal(literal, at);
            self.copy(at - before, len);
            at += len;
            literal = at;
            if at + MIN_COPY <= end {
                let entry = self.hash(at - 1);
                table[entry] = (at - 1 - start) as u16;
            }
        }
        self.literal(literal, end);
    }

    fn hash(&self, at: usize) -> usize {
        let bytes = &self.message.bytes[at..at + 4];
        let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        (word.wrapping_mul(0x1e35_a7bd) >> (32 - TABLE_BITS)) as usize
    }

    /// How many bytes from `a` and `b` will be the same whatever is filled in.
    fn common(&self, a: usize, b: usize, end: usize) -> usize {
        let Message { bytes, kinds } = self.message;
        let same = |n: &usize| {
            let (a, b) = (a + n, b + n);
            bytes[a] == bytes[b] && kinds[a] == kinds[b] && kinds[b] != VALUE
        };
        (0..end - b).take_while(same).count()
    }

    fn literal(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let out = &mut self.out;
        let len = to - from - 1;
        match len {
            0..60 => out.bytes.push((len as u8) << 2),
            60..256 => out.bytes.extend([60 << 2, len as u8]),
            _ => out.bytes.extend([61 << 2, len as u8, (len >> 8) as u8]),
        }
        for place in from..to {
            let at = out.bytes.len() as u32;
            match self.message.kinds[place] {
                FIXED => {}
                // Its first byte: what stands before a value is never a value.
                VALUE => {
                    if self.message.kinds[place - 1] != VALUE {
                        out.values.push(at);
                    }
                }
                target => {
                    let nth = self.message.bytes[place] - TIME[0];
                    out.times.push(TimeByte { at, target: target - 1, nth });
                }
            }
            out.bytes.push(self.message.bytes[place]);
        }
    }

    fn copy(&mut self, offset: usize, mut len: usize) {
        let mut short_of_64 = |len: usize| {
            self.out.bytes.extend([((len - 1) as u8) << 2 | 2, offset as u8, (offset >> 8) as u8]);
        };
        // What is left after the last full one must be long enough for an element.
        while len >= 68 {
            short_of_64(64);
            len -= 64;
        }
        if len > 64 {
            short_of_64(60);
            len -= 60;
        }
        if len >= 12 || offset >= 2_048 {
            short_of_64(len);
        } else {
            let tag = (offset >> 8 << 5) as u8 | ((len - 4) as u8) << 2 | 1;
            self.out.bytes.extend([tag, offset as u8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_wire::snappy::{Buffer, decompress};
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Part {
        Text(Vec<u8>),
        Value(f64),
        Time(usize),
    }

    fn parts() -> impl Strategy<Value = Vec<Part>> {
        let text = prop::sample::select(vec!["namespace", "pod", "\u{0}\u{0}\u{0}\u{0}", "pod-1", "p"]);
        let part = prop_oneof![
            4 => text.prop_map(|t| Part::Text(t.as_bytes().to_vec())),
            1 => prop::collection::vec(0..0x80u8, 0..300).prop_map(Part::Text),
            2 => prop::sample::select(vec![0.0, 1.5, 1e300, -0.1]).prop_map(Part::Value),
            2 => (0..3usize).prop_map(Part::Time),
        ];
        prop::collection::vec(part, 0..3_000)
    }

    #[test]
    fn values_are_not_torn_between_fragments() {
        for shift in 0..9 {
            let text = Part::Text(vec![b'x'; shift]);
            let values = (0..20_000).map(|n| Part::Value(f64::from(n) + 0.1));
            check(&std::iter::once(text).chain(values).collect::<Vec<_>>(), [1 << 40; 3]);
        }
    }

    fn plain(parts: &[Part], times_ms: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Value(v) => out.extend_from_slice(&[&[9][..], &v.to_le_bytes()].concat()),
                Part::Time(target) => {
                    let mut ms = times_ms[*target];
                    for _ in 0..5 {
                        out.push(ms as u8 | 0x80);
                        ms >>= 7;
                    }
                    out.push(ms as u8);
                }
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn what_is_filled_in_comes_out(parts in parts(), times_ms in prop::array::uniform3(1i64 << 35..1 << 42)) {
            check(&parts, times_ms);
        }
    }

    fn check(parts: &[Part], times_ms: [i64; 3]) {
        let mut message = Message::default();
        for part in parts {
            match part {
                Part::Text(text) => message.put(text),
                Part::Value(_) => {
                    message.put(&[9]);
                    message.put_value();
                }
                Part::Time(target) => message.put_time(*target),
            }
        }
        let mut packed = Packed::new(&message);
        for round in 0..2 {
            let times_ms = times_ms.map(|t| t - round);
            let values = parts.iter().filter_map(|p| if let Part::Value(v) = p { Some(*v) } else { None });
            values.enumerate().for_each(|(nth, v)| packed.set_value(nth, v));
            packed.set_times(&times_ms);
            let mut out = Buffer::default();
            decompress(packed.bytes(), 1 << 24, &mut out).unwrap();
            assert!(out.as_slice() == plain(parts, &times_ms));
        }
    }
}
