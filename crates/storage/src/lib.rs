//! The seam between what holds data and what computes: Queryable, batches, merge
