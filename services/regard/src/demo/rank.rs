//! Small statistics over lists of customers.

/// Order of values, the smallest first.
fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    order
}

/// Calls `each` with the places of equal values and how many are smaller.
fn ties(values: &[f64], mut each: impl FnMut(&[usize], usize)) {
    let order = ascending(values);
    let mut from = 0;
    while from < order.len() {
        let value = values[order[from]];
        let same = order[from..]
            .iter()
            .take_while(|at| values[**at].total_cmp(&value).is_eq())
            .count();
        each(&order[from..from + same], from);
        from += same;
    }
}

/// Share of values that are smaller, equal ones by half.
pub fn midranks(values: &[f64]) -> Vec<f64> {
    let n = values.len().max(1) as f64;
    let mut ranks = vec![0.0; values.len()];
    ties(values, |places, smaller| {
        let rank = (smaller as f64 + places.len() as f64 / 2.0) / n;
        places.iter().for_each(|at| ranks[*at] = rank);
    });
    ranks
}

/// Area under the curve: the chance that a hit has a larger value than a miss; none unless there are both.
pub fn area(values: &[f64], hits: &[bool]) -> Option<f64> {
    let hit = hits.iter().filter(|hit| **hit).count() as f64;
    let miss = hits.len() as f64 - hit;
    if hit == 0.0 || miss == 0.0 {
        return None;
    }
    let mut sum = 0.0;
    ties(values, |places, smaller| {
        let rank = smaller as f64 + (places.len() as f64 + 1.0) / 2.0;
        sum += rank * places.iter().filter(|at| hits[**at]).count() as f64;
    });
    Some((sum - hit * (hit + 1.0) / 2.0) / (hit * miss))
}

/// Root mean squared difference.
pub fn root_mean_square(a: &[f64], b: &[f64]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (squares / a.len().max(1) as f64).sqrt()
}

/// Pearson correlation; 0 where one does not vary.
pub fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().max(1) as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
    let (ma, mb) = (mean(a), mean(b));
    let sum =
        |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    let spread = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
    if spread > 0.0 {
        sum(&|x, y| x * y) / spread
    } else {
        0.0
    }
}

/// Quartiles by type 7 (linear between order statistics).
pub fn quartiles(values: &[f64]) -> [f64; 3] {
    let order = ascending(values);
    let at = |share: f64| {
        let place = share * order.len().saturating_sub(1) as f64;
        // Within the list, and not negative.
        let low = place.floor() as usize;
        let value = |k: usize| order.get(k).map_or(0.0, |at| values[*at]);
        value(low)
            + (place - place.floor())
                * (value(low + 1) - value(low))
                * f64::from(u8::from(low + 1 < order.len()))
    };
    [at(0.25), at(0.5), at(0.75)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(midranks(&[1.0, 2.0, 2.0, 3.0]), [0.125, 0.5, 0.5, 0.875]);
        assert_eq!(
            area(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]),
            Some(0.75)
        );
        assert_eq!(area(&[0.5, 0.5], &[true, false]), Some(0.5));
        assert_eq!(area(&[0.5], &[true]), None);
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0]), [1.75, 2.5, 3.25]);
        assert_eq!(quartiles(&[]), [0.0; 3]);
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        assert!((root_mean_square(&[1.0, 2.0], &[1.0, 4.0]) - 2.0_f64.sqrt()).abs() < 1e-12);
    }
}
