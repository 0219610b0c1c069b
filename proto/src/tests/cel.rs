//! Rules in CEL, as the build translates them.

use super::{broken, cases};
use crate::rules::regard::testing::v1::{Rules, Tree, tree};
use crate::validate::Validate as _;

fn valid() -> Rules {
    Rules {
        divided: 3,
        ..Rules::default()
    }
}

fn leaf(size: i32) -> Tree {
    Tree {
        leaf: Some(tree::Leaf { size }),
        ..Tree::default()
    }
}

#[test]
fn rules_in_cel_hold() {
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    cases(
        &valid(),
        &[
            (&|m| (m.low, m.high) = (Some(1), Some(1)), &[]),
            (
                &|m| (m.low, m.high) = (Some(2), Some(1)),
                &[": rules.order"],
            ),
            (&|m| m.low = Some(9), &[]),
            (&|m| m.share = 1.5, &[": rules.told"]),
            (&|m| m.share = -0.5, &[": rules.told"]),
            (&|m| m.divided = 5, &["divided: rules.divided"]),
            // What cannot be evaluated is broken.
            (&|m| m.divided = 0, &["divided: rules.divided"]),
            (&|m| m.names = vec!["ab".into(), "a".into()], &[]),
            (
                &|m| m.names = vec!["ab".into(), "b".into()],
                &["names: this.all(n, n.startsWith('a') && size(n) < 4)"],
            ),
            (&|m| m.counts = [("b".into(), 1)].into(), &[]),
            (
                &|m| m.counts = [("a".into(), 1), ("b".into(), 2)].into(),
                &[],
            ),
            (
                &|m| m.counts = [("a".into(), 2), ("b".into(), 2)].into(),
                &["counts: rules.counts"],
            ),
            (&|m| m.length = span(86_400), &[]),
            (&|m| m.length = span(86_401), &["length: rules.length"]),
            (&|m| m.tree = Some(Tree::default()), &[]),
            (&|m| m.tree = Some(leaf(2)), &[]),
            (&|m| m.tree = Some(leaf(3)), &["tree: rules.tree"]),
            (
                &|m| {
                    let mut tree = leaf(3);
                    tree.child = Some(Box::new(leaf(2)));
                    m.tree = Some(tree);
                },
                &[],
            ),
            (&|m| m.list = vec![1, 5], &[]),
            (&|m| m.list = vec![1], &["list: rules.list"]),
            // An overflow is no number.
            (&|m| m.list = vec![i32::MAX], &["list: rules.list"]),
        ],
    );
}

#[test]
fn what_is_told_is_known_at_build_time() {
    let found = Rules {
        share: 1.5,
        ..valid()
    };
    let told = found.validate().unwrap_err();
    assert_eq!(told.listed()[0].description, "share must be at most 1");
    assert_eq!(broken(&valid()), Vec::<String>::new());
}
