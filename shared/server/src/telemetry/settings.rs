//! Settings of traces and figures that leave by OTLP.

use serde::{Deserialize, Serialize};

use crate::settings::SettingsError;

/// Where traces and figures go, and how many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySettings {
    /// Where a collector takes OTLP over gRPC, such as `http://collector:4317`; empty: nothing leaves, and nothing is paid.
    pub otlp_endpoint: String,
    /// File with the certificate authorities (PEM) that an `https` collector is believed by.
    pub otlp_ca_file: String,
    /// Share of the calls without a `traceparent` that are traced, 0 to 1. A call with one follows its flag.
    pub sample_ratio: f64,
    /// `service.name` of what leaves, 1 to 64 characters.
    pub service_name: String,
    /// `service.instance.id`; empty: one made at each start.
    pub instance: String,
    /// Pause between two exports, milliseconds: 100 to 3,600,000. Traces leave after at most a second of it.
    pub export_interval_ms: u64,
    /// Longest time of one export, and of the last one at the stop, milliseconds: 100 to 60,000.
    pub timeout_ms: u64,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            otlp_endpoint: String::new(),
            otlp_ca_file: String::new(),
            sample_ratio: 0.01,
            service_name: "regard".to_owned(),
            instance: String::new(),
            export_interval_ms: 10_000,
            timeout_ms: 3_000,
        }
    }
}

impl TelemetrySettings {
    /// Checks every bound; `at` is the section's name.
    ///
    /// # Errors
    /// Every value out of bounds, each with its key.
    pub fn check(&self, at: &str) -> Result<(), Vec<SettingsError>> {
        let mut bad = Vec::new();
        let mut expect = |fits: bool, name: &str, found: &dyn std::fmt::Display, expected: &str| {
            if !fits {
                bad.push(SettingsError::new(format!("{at}.{name}"), found, expected));
            }
        };
        let far = self.otlp_endpoint.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        });
        expect(
            self.otlp_endpoint.is_empty() || far,
            "otlp_endpoint",
            &self.otlp_endpoint,
            "empty, or an address such as http://collector:4317",
        );
        expect(
            !self.otlp_endpoint.starts_with("https:") || !self.otlp_ca_file.is_empty(),
            "otlp_ca_file",
            &"nothing",
            "the PEM file of the authorities that the https collector is believed by",
        );
        expect(
            (0.0..=1.0).contains(&self.sample_ratio),
            "sample_ratio",
            &self.sample_ratio,
            "a share, 0 to 1",
        );
        expect(
            (1..=64).contains(&self.service_name.chars().count()),
            "service_name",
            &self.service_name,
            "1 to 64 characters",
        );
        expect(
            (100..=3_600_000).contains(&self.export_interval_ms),
            "export_interval_ms",
            &self.export_interval_ms,
            "100 to 3600000",
        );
        expect(
            (100..=60_000).contains(&self.timeout_ms),
            "timeout_ms",
            &self.timeout_ms,
            "100 to 60000",
        );
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_value_out_of_bounds_is_named() {
        let settings = TelemetrySettings {
            otlp_endpoint: "https://collector:4317".to_owned(),
            sample_ratio: f64::NAN,
            service_name: String::new(),
            export_interval_ms: 1,
            timeout_ms: 0,
            ..TelemetrySettings::default()
        };
        let bad = settings.check("telemetry").unwrap_err();
        let keys: Vec<&str> = bad.iter().map(|bad| bad.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "telemetry.otlp_ca_file",
                "telemetry.sample_ratio",
                "telemetry.service_name",
                "telemetry.export_interval_ms",
                "telemetry.timeout_ms",
            ]
        );
        for endpoint in ["collector:4317", "ftp://collector", "http://"] {
            let settings = TelemetrySettings {
                otlp_endpoint: endpoint.to_owned(),
                ..TelemetrySettings::default()
            };
            assert!(settings.check("telemetry").is_err(), "{endpoint}");
        }
        assert!(TelemetrySettings::default().check("telemetry").is_ok());
    }
}
