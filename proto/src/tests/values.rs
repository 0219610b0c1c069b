use prost_types::{Duration, FieldMask, Timestamp};

use super::cases;
use crate::google::r#type::{Date, Money};
use crate::rules::regard::testing::v1::{Numbers, Shades, Times, shades};

#[test]
fn numbers() {
    let valid = Numbers {
        required: 1,
        ..Numbers::default()
    };
    cases(
        &valid,
        &[
            (&|m| m.above = -5, &["above: int32.gt"]),
            (&|m| m.above = -4, &[]),
            (&|m| m.least = -5, &[]),
            (&|m| m.least = -6, &["least: int64.gte"]),
            (&|m| m.below = 5, &["below: uint32.lt"]),
            (&|m| m.below = 4, &[]),
            (&|m| m.most = u64::MAX - 1, &[]),
            (&|m| m.most = u64::MAX, &["most: uint64.lte"]),
            (&|m| m.between = -1, &[]),
            (&|m| m.between = -2, &["between: sint32.gte_lt"]),
            (&|m| m.between = 1, &["between: sint32.gte_lt"]),
            (&|m| m.outside = 10, &["outside: sfixed64.gt_lt_exclusive"]),
            (&|m| m.outside = 11, &[]),
            (&|m| m.outside = -10, &["outside: sfixed64.gt_lt_exclusive"]),
            (&|m| m.outside = -11, &[]),
            (&|m| m.among = 7, &[]),
            (&|m| m.among = 8, &["among: fixed32.in"]),
            (&|m| m.not_among = 3, &["not_among: int32.not_in"]),
            (&|m| m.constant = Some(-7), &[]),
            (&|m| m.constant = Some(0), &["constant: int32.const"]),
            (&|m| m.required = 0, &["required: required"]),
            (&|m| m.agreed = Some(true), &[]),
            (&|m| m.agreed = Some(false), &["agreed: bool.const"]),
            (&|m| m.wrapped = Some(0), &["wrapped: int64.gte"]),
            (&|m| m.wrapped = Some(1), &[]),
        ],
    );
}

#[test]
fn floats_are_finite_whatever_the_rules_say() {
    let valid = Numbers {
        required: 1,
        ..Numbers::default()
    };
    cases(
        &valid,
        &[
            (&|m| m.share = 1.0, &[]),
            (&|m| m.share = 1.000_000_1, &["share: double.gte_lte"]),
            (
                &|m| m.share = -f64::MIN_POSITIVE,
                &["share: double.gte_lte"],
            ),
            (&|m| m.share = -0.0, &[]),
            (
                &|m| m.share = f64::NAN,
                &["share: double.finite", "share: double.gte_lte"],
            ),
            (&|m| m.free = f32::INFINITY, &["free: float.finite"]),
            (&|m| m.free = f32::NAN, &["free: float.finite"]),
            (&|m| m.free = f32::MAX, &[]),
            (&|m| m.open = -1.5, &["open: double.gt"]),
            (&|m| m.open = -1.4, &[]),
            (&|m| m.open = f64::INFINITY, &["open: double.finite"]),
        ],
    );
}

#[test]
fn unknown_enum_numbers_are_never_taken() {
    let valid = Shades {
        set: 1,
        required: 4,
        ..Shades::default()
    };
    cases(
        &valid,
        &[
            (&|m| m.any = 2, &["any: enum.defined_only"]),
            (&|m| m.any = -1, &["any: enum.defined_only"]),
            (&|m| m.any = 4, &[]),
            (&|m| m.set = 0, &["set: enum.not_in"]),
            (&|m| m.required = 0, &["required: required"]),
            (&|m| m.required = 3, &["required: enum.defined_only"]),
            (&|m| m.maybe = Some(0), &[]),
            (&|m| m.maybe = Some(9), &["maybe: enum.defined_only"]),
            (&|m| m.dark = Some(1), &["dark: enum.const"]),
            (&|m| m.among = Some(0), &["among: enum.in"]),
            (&|m| m.among = Some(1), &[]),
            (&|m| m.many = vec![0, 1, 2], &["many[2]: enum.defined_only"]),
            (
                &|m| m.named = [("x".into(), 7)].into(),
                &["named[\"x\"]: enum.defined_only"],
            ),
            (
                &|m| m.choice = Some(shades::Choice::Chosen(7)),
                &["chosen: enum.defined_only"],
            ),
        ],
    );
}

fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

fn span(seconds: i64, nanos: i32) -> Option<Duration> {
    Some(Duration { seconds, nanos })
}

#[test]
fn timestamps() {
    let valid = Times {
        at: at(0, 0),
        ..Times::default()
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .cast_signed();
    cases(
        &valid,
        &[
            (&|m| m.at = None, &["at: required"]),
            (&|m| m.at = at(0, -1), &["at.nanos: timestamp.nanos"]),
            (
                &|m| m.at = at(0, 1_000_000_000),
                &["at.nanos: timestamp.nanos"],
            ),
            (&|m| m.at = at(-62_135_596_800, 0), &[]),
            (
                &|m| m.at = at(-62_135_596_801, 0),
                &["at.seconds: timestamp.range"],
            ),
            (&|m| m.at = at(253_402_300_799, 999_999_999), &[]),
            (
                &|m| m.at = at(253_402_300_800, 0),
                &["at.seconds: timestamp.range"],
            ),
            (
                &|m| m.at = at(i64::MIN, i32::MIN),
                &["at.seconds: timestamp.range", "at.nanos: timestamp.nanos"],
            ),
            (&|m| m.between = at(-2_208_988_800, 0), &[]),
            (
                &|m| m.between = at(-2_208_988_801, 999_999_999),
                &["between: timestamp.gte_lt"],
            ),
            (&|m| m.between = at(4_102_444_799, 999_999_999), &[]),
            (
                &|m| m.between = at(4_102_444_800, 0),
                &["between: timestamp.gte_lt"],
            ),
            (&|m| m.after = at(10, 5_000), &["after: timestamp.gt"]),
            (&|m| m.after = at(10, 5_001), &[]),
            (&|m| m.past = at(now - 5, 0), &[]),
            (&|m| m.past = at(now + 60, 0), &["past: timestamp.lt_now"]),
            (&|m| m.future = at(now + 60, 0), &[]),
            (
                &|m| m.future = at(now - 5, 0),
                &["future: timestamp.gt_now"],
            ),
            (&|m| m.near = at(now - 3000, 0), &[]),
            (&|m| m.near = at(now + 3000, 0), &[]),
            (&|m| m.near = at(now + 4000, 0), &["near: timestamp.within"]),
            (
                &|m| m.near = at(i64::MAX, 0),
                &["near.seconds: timestamp.range", "near: timestamp.within"],
            ),
        ],
    );
}

#[test]
fn durations() {
    let valid = Times {
        at: at(0, 0),
        ..Times::default()
    };
    cases(
        &valid,
        &[
            (&|m| m.wait = span(0, 1_000), &[]),
            (&|m| m.wait = span(0, 999), &["wait: duration.gte_lte"]),
            (&|m| m.wait = span(60, 0), &[]),
            (&|m| m.wait = span(60, 1), &["wait: duration.gte_lte"]),
            (&|m| m.any = span(-1, -5), &[]),
            (&|m| m.any = span(-1, 5), &["any.nanos: duration.nanos"]),
            (&|m| m.any = span(1, -5), &["any.nanos: duration.nanos"]),
            (
                &|m| m.any = span(0, 1_000_000_000),
                &["any.nanos: duration.nanos"],
            ),
            (&|m| m.any = span(315_576_000_000, 0), &[]),
            (
                &|m| m.any = span(315_576_000_001, 0),
                &["any.seconds: duration.range"],
            ),
            (&|m| m.step = span(60, 0), &[]),
            (&|m| m.step = span(2, 0), &["step: duration.in"]),
        ],
    );
}

fn day(year: i32, month: i32, day: i32) -> Option<Date> {
    Some(Date { year, month, day })
}

#[test]
fn days_are_real() {
    let valid = Times {
        at: at(0, 0),
        ..Times::default()
    };
    for real in [
        (1, 1, 1),
        (9999, 12, 31),
        (2024, 2, 29),
        (2000, 2, 29),
        (2023, 4, 30),
    ] {
        cases(
            &valid,
            &[(&|m| m.any_day = day(real.0, real.1, real.2), &[])],
        );
    }
    for not in [
        (0, 1, 1),
        (10_000, 1, 1),
        (2023, 2, 29),
        (1900, 2, 29),
        (2023, 4, 31),
        (2023, 0, 1),
        (2023, 13, 1),
        (2023, 1, 0),
        (2023, 1, 32),
        (-1, -1, -1),
        (i32::MIN, i32::MAX, i32::MIN),
    ] {
        cases(
            &valid,
            &[(
                &|m| m.any_day = day(not.0, not.1, not.2),
                &["any_day: date.day"],
            )],
        );
    }
    cases(
        &valid,
        &[
            (&|m| m.day = day(1900, 1, 1), &[]),
            (&|m| m.day = day(2099, 12, 31), &[]),
            (&|m| m.day = day(1899, 12, 31), &["day: date.range"]),
            (&|m| m.day = day(2100, 1, 1), &["day: date.range"]),
        ],
    );
}

fn money(code: &str, units: i64, nanos: i32) -> Option<Money> {
    Some(Money {
        currency_code: code.into(),
        units,
        nanos,
    })
}

#[test]
fn amounts() {
    let valid = Times {
        at: at(0, 0),
        ..Times::default()
    };
    cases(
        &valid,
        &[
            (&|m| m.amount = money("EUR", 0, 0), &[]),
            (&|m| m.amount = money("EUR", 1, 999_999_999), &[]),
            (
                &|m| m.amount = money("eur", 1, 0),
                &["amount.currency_code: money.currency"],
            ),
            (
                &|m| m.amount = money("", 1, 0),
                &["amount.currency_code: money.currency"],
            ),
            (
                &|m| m.amount = money("EURO", 1, 0),
                &["amount.currency_code: money.currency"],
            ),
            (
                &|m| m.amount = money("ÉU", 1, 0),
                &["amount.currency_code: money.currency"],
            ),
            (
                &|m| m.amount = money("EUR", 1, 1_000_000_000),
                &["amount.nanos: money.nanos"],
            ),
            (
                &|m| m.amount = money("EUR", -1, 0),
                &["amount: money.non_negative"],
            ),
            (
                &|m| m.amount = money("EUR", 0, -1),
                &["amount: money.non_negative"],
            ),
            (
                &|m| m.amount = money("EUR", 1, -1),
                &["amount.nanos: money.nanos", "amount: money.non_negative"],
            ),
            (&|m| m.price = money("EUR", 0, 1), &[]),
            (
                &|m| m.price = money("EUR", 0, 0),
                &["price: money.positive"],
            ),
        ],
    );
}

#[test]
fn masks() {
    let valid = Times {
        at: at(0, 0),
        ..Times::default()
    };
    let mask = |path: &str| {
        Some(FieldMask {
            paths: vec!["name".into(), path.into()],
        })
    };
    cases(
        &valid,
        &[
            (&|m| m.mask = mask("address"), &[]),
            (&|m| m.mask = mask("address.city"), &[]),
            (&|m| m.mask = mask("addresses"), &["mask: field_mask.in"]),
            (&|m| m.mask = mask(""), &["mask: field_mask.in"]),
        ],
    );
}
