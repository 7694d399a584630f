//! Random bytes.

pub trait Random: Send + Sync + 'static {
    fn fill(&self, out: &mut [u8]);

    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
