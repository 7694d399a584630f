//! Files, clock, random source as small traits: the real ones, and the seeded simulator
