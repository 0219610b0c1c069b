use prost::Message as _;

use super::{broken, cases};
use crate::common::v1::SourceKey;
use crate::customer::v1::Order;
use crate::error::ErrorDetail as _;
use crate::rules::regard::testing::v1::{Blobs, EchoRequest, Lines, Lists, Texts, lines};
use crate::validate::Validate as _;

fn valid() -> Texts {
    Texts {
        least: "ab".into(),
        required: "x".into(),
        present: Some(String::new()),
        ..Texts::default()
    }
}

#[test]
fn lengths_count_characters() {
    cases(
        &valid(),
        &[
            (&|m| m.least = "a".into(), &["least: string.min_len"]),
            (&|m| m.least = "é".into(), &["least: string.min_len"]),
            (&|m| m.least = "éü".into(), &[]),
            (&|m| m.least = String::new(), &["least: string.min_len"]),
            (&|m| m.most = "abc".into(), &[]),
            (&|m| m.most = "😀😀😀".into(), &[]),
            (&|m| m.most = "abcd".into(), &["most: string.max_len"]),
            (&|m| m.most = "éüöä".into(), &["most: string.max_len"]),
            (&|m| m.exact = "a".into(), &["exact: string.len"]),
            (&|m| m.exact = "ab".into(), &[]),
            (&|m| m.exact = "abc".into(), &["exact: string.len"]),
            (&|m| m.sized = Some("é".into()), &[]),
            (
                &|m| m.sized = Some("a".into()),
                &["sized: string.min_bytes"],
            ),
            (
                &|m| m.sized = Some("éü".into()),
                &["sized: string.max_bytes"],
            ),
            (&|m| m.r#type = Some("é".into()), &[]),
            (
                &|m| m.r#type = Some("éé".into()),
                &["type: string.len_bytes"],
            ),
        ],
    );
}

#[test]
fn control_characters_are_never_taken() {
    cases(
        &valid(),
        &[
            (&|m| m.most = "a\0".into(), &["most: string.characters"]),
            (
                &|m| m.required = "\0".into(),
                &["required: string.characters"],
            ),
            (
                &|m| m.outside = "\u{1}".into(),
                &["outside: string.characters"],
            ),
            (
                &|m| m.present = Some("\0".into()),
                &["present: string.characters"],
            ),
            (
                &|m| m.wrapped = Some("a\0".into()),
                &["wrapped: string.characters"],
            ),
        ],
    );
    let lists = Lists {
        some: vec!["ok".into(), "a\0".into()],
        labels: [("a\0".into(), "b".into()), ("ok".into(), "\0".into())].into(),
        required: vec![1],
        ..Lists::default()
    };
    let mut found = broken(&lists);
    found.sort_unstable();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|one| one.ends_with(": string.characters")));
    assert_eq!(found[2], "some[1]: string.characters");
    let order = Order {
        key: Some(SourceKey {
            source: "shop".into(),
            external_id: "1\0".into(),
        }),
        ..Order::default()
    };
    let found = broken(&order);
    assert!(
        found.contains(&"key.external_id: string.characters".to_owned()),
        "{found:?}"
    );
}

#[test]
fn texts_of_one_line_and_of_several() {
    // Line breaks and tabs; other control characters; separators and directions; no characters.
    let broken_lines = ["a\nb", "a\tb", "a\r\nb"];
    let shapes = ["a\u{2028}b", "a\u{202e}b", "a\u{2066}b"];
    let never = [
        "a\u{7f}b",
        "a\u{85}b",
        "a\u{1b}b",
        "a\u{fdd0}b",
        "a\u{1fffe}b",
    ];
    let fine = ["naïve", "שלום", "日本", "a\u{200d}b", "🙂"];
    let case = |text: &str| Lines {
        one: text.into(),
        several: text.into(),
        ..Lines::default()
    };
    for text in fine {
        assert_eq!(broken(&case(text)), Vec::<String>::new(), "{text:?}");
    }
    for text in broken_lines.iter().chain(&shapes) {
        assert_eq!(broken(&case(text)), ["one: string.characters"], "{text:?}");
    }
    for text in never {
        assert_eq!(
            broken(&case(text)),
            ["one: string.characters", "several: string.characters"],
            "{text:?}"
        );
    }
}

#[test]
fn texts_are_normalised_wherever_they_stand() {
    let text = || " e\u{301} ".to_owned();
    let mut lines = Lines {
        one: text(),
        several: text(),
        exact: text(),
        maybe: Some(text()),
        many: vec![text()],
        named: [("k".to_owned(), text()), (text(), "v".to_owned())].into(),
        within: Some(Box::new(Lines {
            one: text(),
            ..Lines::default()
        })),
        choice: Some(lines::Choice::Chosen(text())),
    };
    lines.normalize();
    assert_eq!((lines.one.as_str(), lines.several.as_str()), ("é", "é"));
    assert_eq!(lines.exact, text(), "an exact text stays as it is");
    assert_eq!(
        (lines.maybe.as_deref(), lines.many[0].as_str()),
        (Some("é"), "é")
    );
    assert_eq!(lines.named["k"], "é");
    assert_eq!(lines.within.as_ref().unwrap().one, "é");
    assert_eq!(lines.choice, Some(lines::Choice::Chosen("é".to_owned())));
    // Keys of maps are checked, not altered.
    assert_eq!(broken(&lines), ["named[\" e\\u{301} \"]: string.normal"]);
    // Before the rules: what is empty once it is trimmed is empty.
    let blank = crate::codec::decode::<EchoRequest>(
        &EchoRequest {
            text: "  ".into(),
            ..EchoRequest::default()
        }
        .encode_to_vec()[..],
    );
    assert_eq!(blank.unwrap_err().bad_fields(), ["text"]);
    let padded = crate::codec::decode::<EchoRequest>(
        &EchoRequest {
            text: " a ".into(),
            ..EchoRequest::default()
        }
        .encode_to_vec()[..],
    );
    assert_eq!(padded.unwrap().text, "a");
}

#[test]
fn contents() {
    let id = "6f2d1c0a-1b2c-4d3e-8f90-a1b2c3d4e5f6";
    cases(
        &valid(),
        &[
            (&|m| m.pattern = "abc".into(), &[]),
            (&|m| m.pattern = "aBc".into(), &["pattern: string.pattern"]),
            (
                &|m| m.pattern = "abc\n".into(),
                &["pattern: string.characters", "pattern: string.pattern"],
            ),
            (&|m| m.uuid = Some(id.into()), &[]),
            (&|m| m.uuid = Some(id.to_uppercase()), &[]),
            (&|m| m.uuid = Some(String::new()), &["uuid: string.uuid"]),
            (
                &|m| m.uuid = Some(id.replace('-', "")),
                &["uuid: string.uuid"],
            ),
            (
                &|m| m.uuid = Some(id.replace('a', "g")),
                &["uuid: string.uuid"],
            ),
            (&|m| m.uuid = Some(format!("{id}0")), &["uuid: string.uuid"]),
            (
                &|m| m.uuid = Some(id.replacen('-', "é", 1)),
                &["uuid: string.uuid"],
            ),
            (&|m| m.among = Some("red".into()), &[]),
            (&|m| m.among = Some("blue".into()), &["among: string.in"]),
            (&|m| m.among = Some(String::new()), &["among: string.in"]),
            (&|m| m.not_among = "white".into(), &[]),
            (
                &|m| m.not_among = "black".into(),
                &["not_among: string.not_in"],
            ),
            (&|m| m.start = Some("abc".into()), &[]),
            (&|m| m.start = Some("bab".into()), &["start: string.prefix"]),
            (&|m| m.end = Some("xyz".into()), &[]),
            (&|m| m.end = Some("yzx".into()), &["end: string.suffix"]),
            (&|m| m.inside = Some("amidst".into()), &[]),
            (
                &|m| m.inside = Some("mi d".into()),
                &["inside: string.contains"],
            ),
            (
                &|m| m.outside = "a bad one".into(),
                &["outside: string.not_contains"],
            ),
            (&|m| m.constant = Some("only".into()), &[]),
            (
                &|m| m.constant = Some("other".into()),
                &["constant: string.const"],
            ),
            (&|m| m.email = Some("a.b+c@example.org".into()), &[]),
            (
                &|m| m.email = Some("a@b@c".into()),
                &["email: string.email"],
            ),
            (
                &|m| m.email = Some("a b@example.org".into()),
                &["email: string.email"],
            ),
            (
                &|m| m.email = Some("@example.org".into()),
                &["email: string.email"],
            ),
            (
                &|m| m.wrapped = Some("a".into()),
                &["wrapped: string.min_len"],
            ),
            (&|m| m.wrapped = Some("ab".into()), &[]),
        ],
    );
}

#[test]
fn presence() {
    cases(
        &valid(),
        &[
            (&|m| m.required = String::new(), &["required: required"]),
            // A field that tracks presence is there even when empty.
            (&|m| m.present = None, &["present: required"]),
            (&|m| m.never = "x".into(), &[]),
        ],
    );
}

#[test]
fn bytes() {
    let valid = Blobs {
        least: vec![0; 2].into(),
        required: vec![0].into(),
        ..Blobs::default()
    };
    cases(
        &valid,
        &[
            (&|m| m.least = vec![0].into(), &["least: bytes.min_len"]),
            (&|m| m.most = vec![0; 3].into(), &[]),
            (&|m| m.most = vec![0; 4].into(), &["most: bytes.max_len"]),
            (&|m| m.exact = Some(vec![0; 2].into()), &[]),
            (
                &|m| m.exact = Some(vec![0; 3].into()),
                &["exact: bytes.len"],
            ),
            (&|m| m.exact = Some(vec![].into()), &["exact: bytes.len"]),
            (&|m| m.required = vec![].into(), &["required: required"]),
        ],
    );
}

#[test]
fn every_bad_field_is_named_at_once() {
    let all = broken(&Texts {
        most: "abcd".into(),
        ..Texts::default()
    });
    assert_eq!(
        all,
        [
            "least: string.min_len",
            "most: string.max_len",
            "required: required",
            "present: required"
        ]
    );
}
