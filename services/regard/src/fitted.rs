//! A fitted model as every command prints it.

use std::io::{self, Write};

use regard_models::{Fit, Parameters};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::show;

/// Estimates with what is needed to judge them.
#[derive(Debug, Clone, Serialize)]
pub struct Fitted {
    pub model: &'static str,
    /// Customers: the sum of weights.
    pub n: Value,
    pub params: Map<String, Value>,
    pub standard_errors: Map<String, Value>,
    pub log_likelihood: f64,
    pub grade: &'static str,
    pub reasons: Vec<String>,
}

impl Fitted {
    /// From a fit.
    #[must_use]
    pub fn new<P: Parameters>(model: &'static str, fit: &Fit<P>) -> Self {
        let named = |params: &P| {
            params
                .named()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .collect()
        };
        Self {
            model,
            n: count(fit.n),
            params: named(&fit.params),
            standard_errors: named(&fit.standard_errors),
            log_likelihood: fit.log_likelihood,
            grade: fit.grade.as_str(),
            reasons: fit.reasons.clone(),
        }
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// The output is closed.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "{} fitted to {} customers, log-likelihood {:.4}, grade {}",
            self.model, self.n, self.log_likelihood, self.grade
        )?;
        let mut table = show::table(&["  parameter", "estimate", "standard error"], &[1, 2]);
        for (name, value) in &self.params {
            let error = self.standard_errors.get(name).and_then(Value::as_f64);
            table.add_row([
                format!("  {name}"),
                show::maybe(value.as_f64(), 7),
                show::maybe(error, 3),
            ]);
        }
        show::print(out, &table)?;
        self.reasons
            .iter()
            .try_for_each(|reason| writeln!(out, "  {reason}"))
    }
}

/// A number of customers; whole unless weights are not.
fn count(n: f64) -> Value {
    if n.fract() == 0.0 && n < 9e15 {
        json!(n as u64)
    } else {
        json!(n)
    }
}
