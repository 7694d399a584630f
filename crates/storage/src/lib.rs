//! The seam: what holds data answers as a [`Queryable`], what computes reads only that.
//!
//! Samples travel **encoded** (chunks as they are stored), so that who only passes them on never decodes.

mod batch;
mod chunks;
mod continued;
mod external;
mod memory;
mod merge;
mod plain;
mod queryable;

pub use batch::{Series, SeriesBatch};
pub use chunks::{Chunk, ChunkHolder, ChunkRef, Chunks, ReadChunks};
pub use continued::{Continued, Partial};
pub use external::WithExternalLabels;
pub use memory::MemoryQueryable;
pub use merge::Merged;
pub use queryable::{
    BoxFuture, ExemplarSeries, Exemplars, Func, Grouping, Hints, LabelQuery, Names, Projection, Queryable,
    Select, SeriesStream,
};

#[cfg(test)]
mod tests;
