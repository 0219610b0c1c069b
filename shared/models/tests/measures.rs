#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Quantiles, ranks, correlations, RFM and grades.

mod support;

use regard_models::holdout::grade;
use regard_models::rfm::{self, Buyer, Rfm};
use regard_models::{Grade, auc, midrank, pearson, quantile, rmse, spearman};
use support::close;

#[test]
fn quantiles_interpolate() {
    let values = [3.0, 1.0, 4.0, 1.0, 5.0];
    assert_eq!(quantile(&values, 0.5), Some(3.0));
    assert_eq!(quantile(&values, 0.9), Some(4.6));
    assert_eq!(quantile(&values, 0.0), Some(1.0));
    assert_eq!(quantile(&values, 1.0), Some(5.0));
    assert_eq!(quantile(&[], 0.5), None);
    assert_eq!(quantile(&values, 1.1), None);
    assert_eq!(quantile(&[f64::NAN], 0.5), None);
}

#[test]
fn ranks_and_correlations() {
    assert_eq!(
        midrank(&[10.0, 20.0, 20.0, 30.0]),
        vec![0.125, 0.5, 0.5, 0.875]
    );
    assert!(midrank(&[]).is_empty());
    assert_eq!(
        auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]),
        Some(0.75)
    );
    assert_eq!(auc(&[0.5, 0.5], &[false, true]), Some(0.5));
    assert_eq!(auc(&[0.5, 0.6], &[true, true]), None);
    close(
        pearson(&[1.0, 2.0, 3.0], &[1.0, 2.0, 4.0]).unwrap(),
        0.981_980_506_061_965_8,
        1e-12,
        "pearson",
    );
    assert_eq!(pearson(&[1.0, 1.0], &[1.0, 2.0]), None);
    close(
        spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 8.0, 27.0, 64.0]).unwrap(),
        1.0,
        1e-12,
        "spearman",
    );
    close(
        rmse(&[1.0, 2.0], &[0.0, 4.0]).unwrap(),
        2.5_f64.sqrt(),
        1e-15,
        "rmse",
    );
    assert_eq!(rmse(&[], &[]), None);
}

#[test]
fn rfm_bins_by_quintiles() {
    let buyers: Vec<Buyer> = (0..10)
        .map(|i| Buyer {
            days_since: f64::from(i),
            purchase_days: 1.0,
            net_total: f64::from(i * i),
        })
        .collect();
    let rfm = Rfm::new(&buyers).unwrap();
    assert_eq!((rfm.bins(&buyers[0]).r, rfm.bins(&buyers[9]).r), (5, 1));
    // Ties fall together, here into the first bin.
    assert!(buyers.iter().all(|b| rfm.bins(b).f == 1));
    assert_eq!(
        rfm.m,
        rfm::edges(&[0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0, 64.0, 81.0]).unwrap()
    );
    assert_eq!(
        (
            rfm::bin(rfm.m[1], &rfm.m),
            rfm::bin(rfm.m[1] + 1e-9, &rfm.m)
        ),
        (2, 3)
    );
    assert!(Rfm::new(&[]).is_none());
}

#[test]
fn grades_follow_the_error_of_the_total() {
    let of = |predicted| grade(predicted, 100.0).0;
    assert_eq!(
        [of(104.0), of(91.0), of(120.0), of(50.0)],
        [Grade::A, Grade::B, Grade::C, Grade::D]
    );
    assert_eq!(grade(3.0, 0.0).0, Grade::E);
    assert!(Grade::A < Grade::E);
}
