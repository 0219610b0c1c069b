//! Simulates a market of known truth, fits it, and checks that the truth is recovered within 3 standard errors.
//!
//! `million [--customers N] [--model bgnbd|mbgnbd] [--seed N] [--days] [--csv FILE]`
//!
//! Prints wall times and peak memory. `--csv` writes id,x,t_x,T, so that another program can fit the same data;
//! `--days` rounds times to whole days, as real purchase days are.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use regard_models::purchase::{self, Params};
use regard_models::simulate::{self, Market};
use regard_models::{Model, Parameters, Stat};

const TRUTH: Params = Params {
    r: 0.25,
    alpha: 4.5,
    a: 0.8,
    b: 2.5,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut market = Market {
        customers: 1_000_000,
        weeks: 13.0..=78.0,
        future_weeks: 0.0,
        seed: 1,
    };
    let mut model = Model::BgNbd;
    let mut file = None;
    let mut days = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--customers" => market.customers = value()?.parse()?,
            "--seed" => market.seed = value()?.parse()?,
            "--csv" => file = Some(value()?),
            "--days" => days = true,
            "--model" => {
                model = match value()?.as_str() {
                    "bgnbd" => Model::BgNbd,
                    "mbgnbd" => Model::MbgNbd,
                    other => {
                        return Err(format!("--model {other}: expected bgnbd or mbgnbd").into());
                    }
                };
            }
            _ => {
                return Err(format!(
                    "{argument}: expected --customers, --model, --seed, --days or --csv"
                )
                .into());
            }
        }
    }

    let start = Instant::now();
    let mut stats: Vec<Stat> = simulate::market(model, &TRUTH, &market)
        .iter()
        .map(|c| c.stat)
        .collect();
    if days {
        stats.iter_mut().for_each(to_days);
    }
    println!(
        "simulated {} {} customers in {:.3} s",
        stats.len(),
        model.as_str(),
        start.elapsed().as_secs_f64()
    );
    if let Some(file) = file {
        let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
        writeln!(out, "id,x,t_x,T")?;
        for (id, s) in stats.iter().enumerate() {
            writeln!(out, "{},{},{},{}", id + 1, s.x, s.t_x, s.t)?;
        }
        out.flush()?;
    }

    let start = Instant::now();
    let fit = purchase::fit(model, &stats)?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "fitted in {seconds:.3} s on {} threads",
        rayon::current_num_threads()
    );
    println!(
        "{} distinct rows, {} full steps, log-likelihood {:.4}",
        fit.rows, fit.iterations, fit.log_likelihood
    );
    let mut recovered = true;
    for (((name, found), error), truth) in fit
        .params
        .named()
        .into_iter()
        .zip(fit.standard_errors.values())
        .zip(TRUTH.values())
    {
        let z = (found - truth) / error;
        recovered &= z.abs() <= 3.0;
        println!("{name:>5} {found:.6} ± {error:.6}  truth {truth}  z {z:+.2}");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .map_or("unknown", str::trim);
    println!("peak memory {peak}");
    if days {
        println!("times were rounded to days: the truth is not expected back exactly");
    } else if !recovered {
        return Err("the truth was not recovered within 3 standard errors".into());
    }
    Ok(())
}

/// Whole days, at least one between two purchase days.
fn to_days(s: &mut Stat) {
    let whole = |weeks: f64| (weeks * 7.0).round() / 7.0;
    s.t = whole(s.t);
    if s.x > 0.0 {
        s.t_x = whole(s.t_x).clamp(1.0 / 7.0, s.t);
    }
}
