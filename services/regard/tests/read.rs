//! Whatever a file holds: an answer or an error that names the file, never a panic.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;
use regard::read::{DayOrder, DayReader, Needs, Statistics, decimal, money, plain};
use regard::score::{Orders, Rejects, Wanted};
use regard_types::{Day, Zone};

fn read_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.csv");
    std::fs::write(&path, bytes).unwrap();
    let named = |error: anyhow::Error| {
        prop_assert!(error.to_string().contains("file.csv"), "{}", error);
        Ok(())
    };
    for needs in [Needs::Purchases, Needs::Values] {
        match Statistics::read(&path, needs) {
            Ok(all) => prop_assert!(all.stats.iter().all(|s| s.validate().is_ok())),
            Err(error) => named(error)?,
        }
    }
    let days = DayReader::new(Zone::utc(), None);
    let mut rejects = Rejects::to(Path::new(&dir.path().join("rejected.csv")));
    if let Err(error) = Orders::read(&path, &Wanted::default(), &days, &mut rejects) {
        named(error)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes)?;
    }

    #[test]
    fn any_rows_below_a_header(
        header in prop::sample::select(vec!["id,x,t_x,T,m", "customer,date,value", "id;x;t_x;T", "x\tt_x\tT", " a b c"]),
        rows in prop::collection::vec("[0-9a-zA-Z,;.\"\r\n \t$€:+-]{0,40}", 0..8),
    ) {
        read_all(format!("{header}\n{}", rows.join("\n")).as_bytes())?;
    }

    #[test]
    fn any_text_as_a_field(text in "\\PC{0,30}") {
        let zone = Zone::utc();
        for order in [None, Some(DayOrder::Dmy), Some(DayOrder::Mdy)] {
            if let Ok(day) = DayReader::new(zone.clone(), order).day(&text) {
                prop_assert!((1899..=2100).contains(&day.date().0));
            }
        }
        if let Ok(value) = money(&text) {
            prop_assert_eq!(money(&decimal(i128::from(value))), Ok(value));
        }
        prop_assert!(plain(&text).is_none_or(f64::is_finite));
    }

    #[test]
    fn every_day_reads_back(day in -25_567_i32..=47_481, hour in 0..24, minute in 0..60) {
        let day = Day(day);
        let reader = DayReader::new(Zone::utc(), None);
        let (y, m, d) = day.date();
        for text in [day.to_string(), format!("{y}{m:02}{d:02}"), format!("{d}.{m}.{y}"), format!("{day}T{hour:02}:{minute:02}Z")] {
            prop_assert_eq!(reader.day(&text), Ok(day), "{}", text);
        }
    }
}
