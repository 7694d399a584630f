//! The value part of a float: its XOR with the value before, of which only a window is stored.
//!
//! ```text
//! ┌───┐            unchanged
//! │ 0 │
//! ├───┼───┬──────────────────────┐   the window of before still covers all bits that changed
//! │ 1 │ 0 │ window of the XOR    │
//! ├───┼───┼─────────────┬────────┴─────────┬────────────────────┐
//! │ 1 │ 1 │ leading <5> │ significant <6>  │ window of the XOR  │   64 significant bits are written as 0
//! └───┴───┴─────────────┴──────────────────┴────────────────────┘
//! ```
//!
//! Shared by XOR chunks and by the sum of histograms; XOR2 has other control bits around the same window.

use crate::bits::{BitReader, Bits};

/// Which bits of the XOR are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) leading: u8,
    pub(crate) trailing: u8,
}

impl Window {
    /// Before the first changed value. `leading` is out of what can be written, so nothing fits in it.
    pub(crate) const NONE: Window = Window { leading: 0xff, trailing: 0 };

    /// The narrowest window over `xor`, as far as five bits can tell its leading zeros.
    #[inline]
    pub(crate) fn around(xor: u64) -> Window {
        Window { leading: xor.leading_zeros().min(31) as u8, trailing: xor.trailing_zeros() as u8 }
    }

    #[inline]
    pub(crate) fn covers(self, other: Window) -> bool {
        self.leading <= other.leading && self.trailing <= other.trailing
    }

    /// 1 to 64.
    #[inline(always)]
    pub(crate) fn bits(self) -> u32 {
        64 - u32::from(self.leading) - u32::from(self.trailing)
    }

    /// How the XOR of the next value is written, at most 77 bits.
    #[inline]
    pub(crate) fn encode(&mut self, xor: u64) -> Bits {
        if xor == 0 {
            Bits::new(0, 1)
        } else {
            self.encode_changed(xor, Bits::new(0b10, 2), Bits::new(0b11, 2))
        }
    }

    /// The same for an XOR that is not 0, with the control bits for a window that is reused or is new.
    #[inline]
    pub(crate) fn encode_changed(&mut self, xor: u64, reuse: Bits, renew: Bits) -> Bits {
        let narrowest = Window::around(xor);
        if self.covers(narrowest) {
            return reuse.then(xor >> self.trailing, self.bits());
        }
        *self = narrowest;
        let n = self.bits();
        renew.then(u64::from(self.leading) << 6 | u64::from(n) & 0x3f, 11).then(xor >> self.trailing, n)
    }

    /// The XOR of the next value. `None`: the window reaches beyond 64 bits, which nobody writes.
    ///
    /// The register has to hold 13 bits: the control bits and a window's measures.
    #[inline(always)]
    pub(crate) fn read(&mut self, from: &mut BitReader<'_>) -> Option<u64> {
        let head = from.peek() >> 62;
        if head < 0b10 {
            from.skip(1);
            return Some(0);
        }
        from.skip(2);
        if head == 0b10 { Some(self.read_reused(from)) } else { self.read_renewed(from) }
    }

    #[inline(always)]
    pub(crate) fn read_reused(self, from: &mut BitReader<'_>) -> u64 {
        // No writer reuses a window before it wrote one; Prometheus reads 64 bits there.
        let window = if self == Window::NONE { Window { leading: 0, trailing: 0 } } else { self };
        from.take(window.bits()) << window.trailing
    }

    #[inline(always)]
    pub(crate) fn read_renewed(&mut self, from: &mut BitReader<'_>) -> Option<u64> {
        let head = from.take_held(11) as u32;
        let leading = head >> 6;
        let significant = if head & 0x3f == 0 { 64 } else { head & 0x3f };
        let trailing = 64u32.checked_sub(leading + significant)?;
        *self = Window { leading: leading as u8, trailing: trailing as u8 };
        Some(from.take(significant) << trailing)
    }
}
