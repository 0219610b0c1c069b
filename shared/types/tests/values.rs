//! What the values promise, on generated input.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use regard_types::*;

fn key() -> IdKey {
    IdSecret([7; 32]).tenant(TenantId(Uuid::from_u128(1)))
}

#[test]
fn ids_are_stable_and_part_of_the_contract() {
    let secret = IdSecret([7; 32]);
    assert_eq!(
        secret.tenant_id("default").to_string(),
        secret.tenant_id("default").to_string()
    );
    assert_ne!(secret.tenant_id("default"), secret.tenant_id("other"));
    assert_ne!(
        secret.tenant_id("default"),
        IdSecret([8; 32]).tenant_id("default")
    );
    let a = key().id("customer", &SourceKey::new("ab", "c"));
    assert_ne!(a, key().id("customer", &SourceKey::new("a", "bc")));
    assert_ne!(a, key().id("order", &SourceKey::new("ab", "c")));
    assert_ne!(
        a,
        secret
            .tenant(TenantId(Uuid::from_u128(2)))
            .id("customer", &SourceKey::new("ab", "c"))
    );
    assert_ne!(key().digest("email", b"x"), key().digest("phone", b"x"));
    assert_eq!(
        format!("{secret:?} {:?}", key()),
        "IdSecret(***) IdKey(***)"
    );
    // Stored ids depend on these bytes: a change here orphans every record.
    assert_eq!(a.to_string(), "be16decf-5a94-83fd-aa86-807238bf5eb9");
}

#[test]
fn ids_come_fast() {
    let key = key();
    let began = std::time::Instant::now();
    let mut last = Uuid::nil();
    for i in 0..100_000u32 {
        last = key.id_parts("order", "shop", &i.to_string());
    }
    assert_ne!(last, Uuid::nil());
    // Far above the 0.1 s of an idle machine: catches an order of magnitude, not noise.
    assert!(began.elapsed().as_millis() < 2_000, "{:?}", began.elapsed());
}

#[test]
fn time_ids_follow_the_clock() {
    let clock = Clock::fixed(Micros(1_700_000_000_000_000));
    let a = new_record_id(&clock);
    clock.set(Micros(1_700_000_000_002_000));
    let b = new_record_id(&clock);
    assert!(a < b);
    assert_eq!(a.0.get_version_num(), 7);
    clock.set(Micros(-5));
    assert_eq!(new_record_id(&clock).0.get_version_num(), 7);
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "America/New_York",
    "Asia/Shanghai",
];

#[test]
fn known_days() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let noon = |text: &str| Day::parse(text).unwrap();
    assert_eq!(Day::of(Micros(0), &berlin).to_string(), "1970-01-01");
    assert_eq!(Day::of(Micros(-1), &Zone::utc()).to_string(), "1969-12-31");
    assert_eq!(Day::of(Micros(-1), &berlin).to_string(), "1970-01-01");
    assert_eq!(noon("1997-09-30").0, 10_134);
    // Summer time begins at 2026-03-29 02:00: the day has 23 hours.
    assert_eq!(
        noon("2026-03-30").start(&berlin).0 - noon("2026-03-29").start(&berlin).0,
        23 * 3_600_000_000
    );
    // Brazil skipped midnight of 2018-11-04.
    let brazil = Zone::parse("America/Sao_Paulo").unwrap();
    let start = noon("2018-11-04").start(&brazil);
    assert_eq!(Day::of(start, &brazil).to_string(), "2018-11-04");
    assert_eq!(
        Day::of(Micros(start.0 - 1), &brazil).to_string(),
        "2018-11-03"
    );
    // Samoa had no 2011-12-30.
    let samoa = Zone::parse("Pacific/Apia").unwrap();
    assert_eq!(
        noon("2011-12-30").start(&samoa),
        noon("2011-12-31").start(&samoa)
    );
    assert!(Zone::parse("Mars/Olympus").is_err());
    for bad in [
        "",
        "2026-02-29",
        "2026-13-01",
        "0000-01-01",
        "2026-1-01",
        "2026-01-01-01",
        "+026-01-01",
        "٢٠٢٦-01-01",
    ] {
        assert!(Day::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_million_conversions_are_cheap() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let began = std::time::Instant::now();
    let sum: i64 = (0..1_000_000i64)
        .map(|i| i64::from(Day::of(Micros(i * 1_700_000_000), &berlin).0))
        .sum();
    assert!(sum > 0);
    assert!(began.elapsed().as_millis() < 3_000, "{:?}", began.elapsed());
}

#[test]
fn channels_and_services_round_trip() {
    for channel in Channel::ALL {
        assert_eq!(Channel::parse(channel.as_str()).unwrap(), *channel);
    }
    assert!(Channel::parse("fax").is_err());
    for service in Service::ALL {
        assert_eq!(Service::parse(service.as_str()), Some(*service));
    }
}

#[test]
fn money_by_currency() {
    let c = |code| Currency::parse(code).unwrap();
    assert_eq!(
        Money::from_units(12, 340_000_000, c("EUR")).unwrap().minor,
        1_234
    );
    assert_eq!(Money::from_units(12, 0, c("JPY")).unwrap().minor, 12);
    assert_eq!(
        Money::from_units(0, -1_000_000, c("KWD")).unwrap().minor,
        -1
    );
    assert_eq!(
        Money::from_units(1, 100_000, c("CLF")).unwrap().minor,
        10_001
    );
    assert_eq!(
        Money::from_units(1, 1, c("EUR")),
        Err(MoneyError::Decimals {
            currency: c("EUR"),
            digits: 2
        })
    );
    assert_eq!(
        Money::from_units(1, -10_000_000, c("EUR")),
        Err(MoneyError::Nanos)
    );
    assert_eq!(
        Money::from_units(i64::MAX, 0, c("EUR")),
        Err(MoneyError::Overflow)
    );
    assert_eq!(
        Money::parse("-0.50", c("EUR")).unwrap().to_string(),
        "-0.50 EUR"
    );
    assert_eq!(Money::parse("1.230", c("EUR")).unwrap().minor, 123);
    for bad in ["", ".", "-", "1e3", "1,5", "NaN", "--1", "1.2.3"] {
        assert!(Money::parse(bad, c("EUR")).is_err(), "{bad}");
    }
    for bad in ["", "eur", "EURO", "XXX", "ZZZ", "É"] {
        assert!(Currency::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn tokens_merge_and_refuse_rubbish() {
    let part = |lane, position| TokenPart {
        service: Service::Customer,
        epoch: Uuid::from_u128(9),
        lane,
        position,
        nonce: position * 7,
    };
    let mut token = ChangeToken(vec![part(1, 5), part(2, 9)]);
    token.merge(&ChangeToken(vec![part(1, 7), part(2, 3), part(3, 1)]));
    assert_eq!(token, ChangeToken(vec![part(1, 7), part(2, 9), part(3, 1)]));
    token.merge(&ChangeToken::one(TokenPart {
        epoch: Uuid::from_u128(10),
        ..part(1, 1)
    }));
    assert_eq!(token.0.len(), 4);
    assert_eq!(ChangeToken::decode("").unwrap(), ChangeToken::default());
    let long = "A".repeat(100_000);
    for bad in ["x", "AAAA", "!!", "CAE", long.as_str()] {
        assert!(ChangeToken::decode(bad).is_err());
    }
}

#[test]
fn faults_name_the_field() {
    let fault = Fault::invalid("a", "too long").and_invalid("b", "missing");
    assert_eq!(
        fault.to_string(),
        "FIELD_INVALID: the request has invalid fields; a: too long; b: missing"
    );
    let bug = Fault::bug(std::io::Error::other("disk"));
    assert_eq!(std::error::Error::source(&bug).unwrap().to_string(), "disk");
}

proptest! {
    #[test]
    fn derived_ids_are_well_formed_and_apart(a in ".{0,40}", b in ".{0,40}", c in ".{0,40}", d in ".{0,40}") {
        let (x, y) = (key().id("k", &SourceKey::new(a.clone(), b.clone())), key().id("k", &SourceKey::new(c.clone(), d.clone())));
        prop_assert_eq!(x.get_version_num(), 8);
        prop_assert_eq!(x.get_variant(), uuid::Variant::RFC4122);
        prop_assert_eq!(x == y, a == c && b == d);
    }

    #[test]
    fn moving_a_border_between_parts_gives_another_id(text in "[a-c]{2,8}", cut in 1usize..8) {
        let cut = cut.min(text.len() - 1);
        let (a, b) = text.split_at(cut);
        let whole = key().id("k", &SourceKey::new(text.as_str(), ""));
        prop_assert_ne!(whole, key().id("k", &SourceKey::new(a, b)));
    }

    #[test]
    fn days_round_trip(day in -719_162i32..2_932_896) {
        let (y, m, d) = Day(day).date();
        prop_assert_eq!(Day::from_ymd(y, m, d), Some(Day(day)));
        prop_assert_eq!(Day::parse(&Day(day).to_string()), Ok(Day(day)));
    }

    #[test]
    fn any_day_has_a_date(day in any::<i32>()) {
        let (_, m, d) = Day(day).date();
        prop_assert!((1..=12).contains(&m) && (1..=31).contains(&d));
    }

    #[test]
    fn a_day_starts_at_its_first_instant(day in -40_000i32..80_000, zone in 0usize..8) {
        let zone = Zone::parse(ZONES[zone]).unwrap();
        let start = Day(day).start(&zone);
        // A skipped day starts where the next does.
        let landed = Day::of(start, &zone);
        prop_assert!(landed == Day(day) || Day(day + 1).start(&zone) == start, "{} {} {:?}", Day(day), zone, start);
        prop_assert!(Day::of(Micros(start.0 - 1), &zone) < Day(day));
    }

    #[test]
    fn zones_agree_with_jiff(at in -3_000_000_000i64..7_000_000_000, zone in 0usize..8) {
        let ours = Zone::parse(ZONES[zone]).unwrap().offset(Micros(at * 1_000_000));
        let theirs = jiff::tz::TimeZone::get(ZONES[zone]).unwrap().to_offset(jiff::Timestamp::from_second(at).unwrap());
        prop_assert_eq!(ours, i64::from(theirs.seconds()) * 1_000_000);
    }

    #[test]
    fn any_instant_has_a_day(at in any::<i64>(), zone in 0usize..8) {
        let zone = Zone::parse(ZONES[zone]).unwrap();
        let _ = Day::of(Micros(at), &zone);
        let _ = Day(i32::try_from(at >> 32).unwrap()).start(&zone);
    }

    #[test]
    fn money_round_trips(minor in any::<i64>(), code in 0usize..4) {
        let currency = Currency::parse(["JPY", "EUR", "KWD", "CLF"][code]).unwrap();
        let money = Money::new(minor, currency);
        let (units, nanos) = money.units();
        prop_assert_eq!(Money::from_units(units, nanos, currency), Ok(money));
        let text = money.to_string();
        prop_assert_eq!(Money::parse(text.split(' ').next().unwrap(), currency), Ok(money));
    }

    #[test]
    fn any_money_is_taken_or_refused(units in any::<i64>(), nanos in any::<i32>(), text in ".{0,24}") {
        let currency = Currency::parse("EUR").unwrap();
        if let Ok(money) = Money::from_units(units, nanos, currency) {
            prop_assert_eq!(money.units(), (units, nanos));
        }
        let _ = Money::parse(&text, currency);
    }

    #[test]
    fn tokens_round_trip(parts in proptest::collection::btree_map((0usize..3, any::<u128>(), any::<u16>()), (0u64..=i64::MAX as u64, any::<u64>()), 0..20)) {
        let token = ChangeToken(parts.into_iter().map(|((service, epoch, lane), (position, nonce))| TokenPart {
            service: Service::ALL[service], epoch: Uuid::from_u128(epoch), lane, position, nonce,
        }).collect());
        prop_assert_eq!(ChangeToken::decode(&token.encode()).unwrap(), token);
    }

    #[test]
    fn any_text_is_a_token_or_an_error(text in "[A-Za-z0-9_-]{0,60}") {
        let _ = ChangeToken::decode(&text);
    }
}
