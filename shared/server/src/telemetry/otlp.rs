//! Figures for OTLP, read from the page that Prometheus gets: so both tell the same, and no call pays twice.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;

type Labels = Vec<(String, String)>;

/// One line of the page.
struct Sample<'a> {
    name: &'a str,
    labels: Labels,
    value: f64,
}

/// A metric of a page, under way.
#[derive(Default)]
struct Family {
    help: String,
    kind: String,
    points: BTreeMap<Labels, f64>,
    histograms: BTreeMap<Labels, Counted>,
}

#[derive(Default)]
struct Counted {
    /// Upper end and how many at or below, as they stand on the page.
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: f64,
}

/// The metrics of a page; times in nanoseconds since 1970: since when counters count, and when the page was made.
pub(super) fn metrics(page: &str, since: u64, now: u64) -> Vec<Metric> {
    let mut families: BTreeMap<&str, Family> = BTreeMap::new();
    let mut current = "";
    for line in page.lines() {
        if let Some((name, help)) = comment(line, "# HELP ") {
            families.entry(name).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = comment(line, "# TYPE ") {
            families.entry(name).or_default().kind = kind.to_owned();
            current = name;
        } else if let Some(sample) = sample(line)
            && let Some(family) = families.get_mut(current)
        {
            family.take(current, sample);
        }
    }
    families
        .into_iter()
        .filter_map(|(name, family)| family.metric(name, since, now))
        .collect()
}

/// The metrics as one process tells them.
pub(super) fn of_resource(
    metrics: Vec<Metric>,
    resource: &ResourceAttributesWithSchema,
) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(Resource {
            attributes: resource.attributes.0.clone(),
            ..Resource::default()
        }),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(InstrumentationScope {
                name: "regard".to_owned(),
                ..InstrumentationScope::default()
            }),
            metrics,
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    }
}

fn comment<'a>(line: &'a str, start: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(start)?.split_once(' ')
}

/// `name{label="value",…} 1.5`; none for anything else.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let value = rest.trim().parse().ok()?; // "+Inf" and "NaN", too
    Some(Sample {
        name,
        labels,
        value,
    })
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            labels.sort();
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = after.char_indices();
        loop {
            match letters.next()? {
                (at, '"') => {
                    rest = after.get(at + 1..)?;
                    break;
                }
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, letter) => value.push(letter),
            }
        }
        labels.push((name.to_owned(), value));
    }
}

impl Family {
    fn take(&mut self, name: &str, mut sample: Sample<'_>) {
        if self.kind != "histogram" {
            self.points.insert(sample.labels, sample.value);
            return;
        }
        let end = sample
            .labels
            .iter()
            .position(|(label, _)| label == "le")
            .map(|at| sample.labels.remove(at).1);
        let counted = self.histograms.entry(sample.labels).or_default();
        match (sample.name.strip_prefix(name), end) {
            (Some("_bucket"), Some(end)) => {
                if let Ok(end) = end.parse() {
                    counted.buckets.push((end, sample.value));
                }
            }
            (Some("_sum"), _) => counted.sum = sample.value,
            (Some("_count"), _) => counted.count = sample.value,
            _ => {}
        }
    }

    fn metric(self, name: &str, since: u64, now: u64) -> Option<Metric> {
        let point = |(labels, value): (Labels, f64)| NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: since,
            time_unix_nano: now,
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let cumulative = AggregationTemporality::Cumulative.into();
        let data = match self.kind.as_str() {
            "counter" => Data::Sum(Sum {
                data_points: self.points.into_iter().map(point).collect(),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            "gauge" => Data::Gauge(Gauge {
                data_points: self.points.into_iter().map(point).collect(),
            }),
            "histogram" => Data::Histogram(Histogram {
                data_points: self
                    .histograms
                    .into_iter()
                    .map(|(labels, counted)| counted.point(labels, since, now))
                    .collect(),
                aggregation_temporality: cumulative,
            }),
            _ => return None,
        };
        let unit = match name.trim_end_matches("_total") {
            name if name.ends_with("_seconds") => "s",
            name if name.ends_with("_bytes") => "By",
            _ => "1",
        };
        Some(Metric {
            name: name.to_owned(),
            description: self.help,
            unit: unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    }
}

impl Counted {
    fn point(mut self, labels: Labels, since: u64, now: u64) -> HistogramDataPoint {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut below = 0.0;
        let mut bounds = Vec::new();
        let mut counts = Vec::new();
        for (end, at_or_below) in self.buckets {
            counts.push(whole(at_or_below - below));
            below = at_or_below;
            if end.is_finite() {
                bounds.push(end);
            }
        }
        HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: since,
            time_unix_nano: now,
            count: whole(self.count),
            sum: Some(self.sum),
            bucket_counts: counts,
            explicit_bounds: bounds,
            ..HistogramDataPoint::default()
        }
    }
}

/// A count, which the page writes as any number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(count: f64) -> u64 {
    count.max(0.0) as u64
}

fn attributes(labels: Labels) -> Vec<KeyValue> {
    let attribute = |(key, value)| KeyValue {
        key,
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    };
    labels.into_iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::float_cmp)]

    use super::*;

    const PAGE: &str = r#"# HELP regard_requests_total Calls by their end.
# TYPE regard_requests_total counter
regard_requests_total{service="s",method="a\"b\\c",code="OK"} 3

# TYPE regard_in_flight gauge
regard_in_flight 2.5

# TYPE regard_request_seconds histogram
regard_request_seconds_bucket{service="s",le="0.1"} 4
regard_request_seconds_bucket{service="s",le="0.5"} 9
regard_request_seconds_bucket{service="s",le="+Inf"} 10
regard_request_seconds_sum{service="s"} 2.25
regard_request_seconds_count{service="s"} 10
"#;

    #[test]
    fn a_page_is_told_whole() {
        let all = metrics(PAGE, 1, 2);
        let names: Vec<&str> = all.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "regard_in_flight",
                "regard_request_seconds",
                "regard_requests_total"
            ]
        );
        let Some(Data::Gauge(gauge)) = &all[0].data else {
            panic!("{:?}", all[0]);
        };
        let value = gauge.data_points[0].value.unwrap();
        assert_eq!(value, number_data_point::Value::AsDouble(2.5));
        let Some(Data::Histogram(histogram)) = &all[1].data else {
            panic!("{:?}", all[1]);
        };
        let point = &histogram.data_points[0];
        assert_eq!(point.bucket_counts, [4, 5, 1]);
        assert_eq!(point.explicit_bounds, [0.1, 0.5]);
        assert_eq!((point.count, point.sum), (10, Some(2.25)));
        assert_eq!(all[1].unit, "s");
        let Some(Data::Sum(sum)) = &all[2].data else {
            panic!("{:?}", all[2]);
        };
        assert!(sum.is_monotonic);
        assert_eq!(all[2].description, "Calls by their end.");
        let method = &sum.data_points[0].attributes[1];
        assert_eq!(method.key, "method");
        let value = method.value.clone().unwrap().value.unwrap();
        assert_eq!(value, Value::StringValue("a\"b\\c".to_owned()));
    }

    #[test]
    fn what_is_no_page_gives_nothing() {
        for text in [
            "",
            "{",
            "a{b=\"",
            "# TYPE x\nx 1",
            "a{b=\"c\"",
            "x one",
            "{} 1",
        ] {
            assert!(metrics(text, 0, 0).is_empty(), "{text}");
        }
    }
}
