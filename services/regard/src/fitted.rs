//! A fitted model as every command prints it.

use std::io::{self, Write};

use regard_models::{Fit, Parameters};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::show;

/// Values in the order of the model's parameters; an object in JSON.
#[derive(Debug, Clone)]
pub struct Named(pub Vec<(&'static str, f64)>);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Estimates with what is needed to judge them.
#[derive(Debug, Clone, Serialize)]
pub struct Fitted {
    pub model: &'static str,
    /// Customers: the sum of weights.
    pub n: Value,
    pub params: Named,
    pub standard_errors: Named,
    pub log_likelihood: f64,
    pub grade: &'static str,
    pub reasons: Vec<String>,
}

impl Fitted {
    /// From a fit.
    #[must_use]
    pub fn new<P: Parameters>(model: &'static str, fit: &Fit<P>) -> Self {
        let named = |params: &P| Named(params.named());
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
        for ((name, value), (_, error)) in self.params.0.iter().zip(&self.standard_errors.0) {
            table.add_row([
                format!("  {name}"),
                show::number(*value, 7),
                show::number(*error, 3),
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
