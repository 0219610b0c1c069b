use prost_types::Timestamp;

use super::{broken, cases};
use crate::rules::regard::testing::v1::{
    Blobs, Choices, EchoRequest, EchoResponse, Lists, Numbers, Pick, Tree,
};
use crate::rules::regard::testing::v1::{choices, tree};
use crate::validate::{MAX_VIOLATIONS, Validate};

fn blobs() -> Blobs {
    Blobs {
        least: vec![0; 2].into(),
        required: vec![0].into(),
        ..Blobs::default()
    }
}

fn valid() -> Lists {
    Lists {
        some: vec!["ab".into()],
        required: vec![0],
        labels: [("key".to_owned(), "abc".to_owned())].into(),
        ..Lists::default()
    }
}

#[test]
fn lists() {
    let empty = Blobs::default();
    cases(
        &valid(),
        &[
            (&|m| m.some.clear(), &["some: repeated.min_items"]),
            (&|m| m.some.push("cd".into()), &[]),
            (
                &|m| m.some = vec!["ab".into(); 3],
                &["some: repeated.max_items"],
            ),
            (&|m| m.some.push("c".into()), &["some[1]: string.min_len"]),
            (&|m| m.different = vec![1, 2, 3], &[]),
            (
                &|m| m.different = vec![1, 2, 1],
                &["different: repeated.unique"],
            ),
            (&|m| m.apart = vec![0.5, 0.25], &[]),
            (&|m| m.apart = vec![0.0, -0.0], &["apart: repeated.unique"]),
            (
                &|m| m.children = vec![blobs(), empty.clone()],
                &[
                    "children[1].least: bytes.min_len",
                    "children[1].required: required",
                ],
            ),
            (
                &|m| m.children = vec![blobs(); 3],
                &["children: repeated.max_items"],
            ),
            (&|m| m.unseen = vec![empty.clone(); 9], &[]),
            (&|m| m.counted = vec![empty.clone()], &[]),
            (
                &|m| m.counted = vec![empty.clone(); 2],
                &["counted: repeated.max_items"],
            ),
            (&|m| m.required.clear(), &["required: required"]),
            (
                &|m| m.spaced = vec!["ab".into()],
                &["spaced: repeated.min_items"],
            ),
            (
                &|m| m.spaced = vec![String::new(), "a".into()],
                &["spaced[1]: string.min_len"],
            ),
            (
                &|m| {
                    m.times = vec![
                        Timestamp {
                            seconds: 0,
                            nanos: 0,
                        },
                        Timestamp {
                            seconds: -1,
                            nanos: 0,
                        },
                    ]
                },
                &["times[1]: timestamp.gte"],
            ),
        ],
    );
}

#[test]
fn maps() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    cases(
        &valid(),
        &[
            (&|m| m.labels.clear(), &["labels: map.min_pairs"]),
            (&|m| m.labels.extend([pair("k2", "")]), &[]),
            (
                &|m| m.labels.extend([pair("k2", ""), pair("k3", "")]),
                &["labels: map.max_pairs"],
            ),
            (
                &|m| m.labels.extend([pair("k", "v")]),
                &["labels[\"k\"]: string.min_len"],
            ),
            (
                &|m| m.labels.extend([pair("k2", "long")]),
                &["labels[\"k2\"]: string.max_len"],
            ),
            (
                &|m| {
                    m.parts.extend([(
                        -3,
                        Blobs {
                            required: vec![].into(),
                            ..blobs()
                        },
                    )])
                },
                &["parts[-3].required: required"],
            ),
        ],
    );
}

#[test]
fn long_keys_are_shortened() {
    let mut message = valid();
    message.labels = [("é\"".repeat(5_000), "long".to_owned())].into();
    let all = broken(&message);
    assert_eq!(all.len(), 1);
    assert!(all[0].len() < 120, "{}", all[0]);
}

#[test]
fn oneofs() {
    use choices::{Free, Needed};
    let valid = Choices {
        needed: Some(Needed::Text("ab".into())),
        free: None,
    };
    cases(
        &valid,
        &[
            (&|m| m.needed = None, &["needed: required"]),
            (
                &|m| m.needed = Some(Needed::Text("a".into())),
                &["text: string.min_len"],
            ),
            (&|m| m.needed = Some(Needed::Number(0)), &[]),
            (
                &|m| m.needed = Some(Needed::Number(5)),
                &["number: int32.lt"],
            ),
            (&|m| m.needed = Some(Needed::Blobs(blobs())), &[]),
            (
                &|m| {
                    m.needed = Some(Needed::Blobs(Blobs {
                        least: vec![].into(),
                        ..blobs()
                    }))
                },
                &["blobs.least: bytes.min_len"],
            ),
            (&|m| m.needed = Some(Needed::Unseen(Blobs::default())), &[]),
            (
                &|m| {
                    m.needed = Some(Needed::Time(Timestamp {
                        seconds: 0,
                        nanos: -1,
                    }))
                },
                &["time.nanos: timestamp.nanos"],
            ),
            (
                &|m| {
                    m.free = Some(Free::Tree(Tree {
                        leaf: Some(tree::Leaf { size: 0 }),
                        ..Tree::default()
                    }))
                },
                &["tree.leaf.size: int32.gte"],
            ),
        ],
    );
}

#[test]
fn one_of_plain_fields() {
    let valid = Pick {
        left: "x".into(),
        ..Pick::default()
    };
    cases(
        &valid,
        &[
            (&|m| m.left.clear(), &[": message.oneof"]),
            (&|m| m.middle = Some(0), &[": message.oneof"]),
            (&|m| m.right = Some(blobs()), &[": message.oneof"]),
            (&|m| m.list = vec![1], &[]),
            (&|m| m.switch = true, &[]),
            (
                &|m| (m.list, m.switch) = (vec![1], true),
                &[": message.oneof"],
            ),
        ],
    );
}

#[test]
fn paths_follow_the_nesting() {
    let bad = Tree {
        leaf: Some(tree::Leaf { size: 0 }),
        ..Tree::default()
    };
    let tree = Tree {
        child: Some(Box::new(Tree {
            children: vec![Tree::default(), bad.clone()],
            ..Tree::default()
        })),
        children: vec![bad],
        leaf: None,
    };
    assert_eq!(
        broken(&tree),
        [
            "child.children[1].leaf.size: int32.gte",
            "children[0].leaf.size: int32.gte",
        ]
    );
}

#[test]
fn the_list_of_violations_ends() {
    let message = EchoRequest {
        text: String::new(),
        numbers: vec![Numbers::default(); 100],
    };
    let violations = message.validate().unwrap_err();
    assert_eq!(violations.listed().len(), MAX_VIOLATIONS);
    assert_eq!(violations.count(), 101);
    assert_eq!(violations.more(), 81);
    assert!(
        violations.to_string().ends_with("; and 81 more"),
        "{violations}"
    );
}

#[test]
fn answers_are_not_checked() {
    const { assert!(EchoResponse::RESPONSE && !EchoRequest::RESPONSE) };
    assert_eq!(
        EchoResponse {
            text: "short".into()
        }
        .validate(),
        Ok(())
    );
}
