//! Finds selectors of which only sums and counts of native histograms are looked at
//! (`histogram_count(rate(foo[5m]))`). Their buckets are left out as soon as they have told whether the
//! counter was reset.
//!
//! That shows: what is left says of each sample whether it follows a reset. Prometheus does the same.

use super::{Kind, Node};
use crate::ast::BinaryOp;

pub(crate) fn mark(node: &mut Node) {
    visit(node, false);
}

/// `only`: a function above wants no more. Whatever may need buckets ends it for all below.
fn visit(node: &mut Node, only: bool) {
    match &mut node.kind {
        Kind::Vector(s) => s.stats_only = only,
        Kind::Matrix(m) => m.selector.stats_only = only,
        // Between the steps of a subquery resets would be missed.
        Kind::Subquery(s) => needed(&mut s.expr),
        Kind::Binary(b) if matches!(b.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) => {
            needed(&mut b.lhs);
            needed(&mut b.rhs);
        }
        Kind::Call(c) => {
            let only = match c.func.name {
                "histogram_count" | "histogram_sum" | "histogram_avg" => true,
                "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                    c.args.iter_mut().for_each(needed);
                    return;
                }
                _ => only,
            };
            c.args.iter_mut().for_each(|arg| visit(arg, only));
        }
        _ => node.children_mut().into_iter().for_each(|child| visit(child, only)),
    }
}

/// Everything below is looked at as it is.
fn needed(node: &mut Node) {
    match &mut node.kind {
        Kind::Vector(s) => s.stats_only = false,
        Kind::Matrix(m) => m.selector.stats_only = false,
        _ => node.children_mut().into_iter().for_each(needed),
    }
}
