//! Tells every selector which function or aggregation is around it, so that storage can do less.

use super::{Kind, Node, Selector};
use nilometer_storage::{Func, Grouping};

pub(crate) fn propagate(node: &mut Node) {
    visit(node, None, None);
}

/// `func` is the nearest function or aggregation above, up to a binary operator; `grouping` is that of an
/// aggregation right above.
fn visit(node: &mut Node, func: Option<Func>, grouping: Option<&Grouping>) {
    let set = |selector: &mut Selector| {
        selector.func = func;
        selector.grouping = grouping.cloned();
    };
    match &mut node.kind {
        Kind::Number(_) | Kind::String(_) => {}
        Kind::Vector(s) => set(s),
        Kind::Matrix(m) => set(&mut m.selector),
        Kind::Subquery(s) => visit(&mut s.expr, func, None),
        Kind::Negate(e) => visit(e, func, None),
        Kind::Invariant(e) => visit(e, func, grouping),
        Kind::Binary(b) => {
            visit(&mut b.lhs, None, None);
            visit(&mut b.rhs, None, None);
        }
        Kind::Aggregate(a) => {
            let grouping = Grouping { by: !a.without, labels: a.grouping.clone() };
            let func = Some(a.op.as_str());
            visit(&mut a.expr, func, Some(&grouping));
            if let Some(param) = &mut a.param {
                visit(param, func, None);
            }
        }
        Kind::Call(c) => {
            for arg in &mut c.args {
                visit(arg, Some(c.func.name), None);
            }
        }
    }
}
