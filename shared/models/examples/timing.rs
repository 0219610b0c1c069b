//! Times of single calls and of a fit of a CSV file of id,x,t_x,T: `timing [FILE.csv]`.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use regard_models::predictive::{Purchases, Total};
use regard_models::purchase::{self, Params};
use regard_models::{Model, Spend, Stat, bgnbd, clv, gamma_gamma};

const PARAMS: Params = Params {
    r: 0.2426,
    alpha: 4.4135,
    a: 0.7929,
    b: 2.4258,
};
const VALUE: gamma_gamma::Params = gamma_gamma::Params {
    p: 6.25,
    q: 3.74,
    gamma: 15.44,
};

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(file) = std::env::args().nth(1) {
        fit(&file)?;
    }
    let customers = [
        Stat::new(0.0, 0.0, 38.86),
        Stat::new(2.0, 30.43, 38.86),
        Stat::new(29.0, 37.71, 38.0),
    ];
    for stat in customers {
        println!("x = {}", stat.x);
        time("expected purchases", || {
            bgnbd::expected_purchases(&PARAMS, &stat, 39.0)
        });
        time("no purchase", || bgnbd::no_purchase(&PARAMS, &stat, 13.0));
        let future = || Purchases::new(Model::BgNbd, &PARAMS, &stat, 39.0);
        time("interval of purchases", || future().interval(0.9).1 as f64);
        let spend = Spend::new(stat.x, if stat.x > 0.0 { 25.0 } else { 0.0 });
        time("residual value", || {
            clv::residual(&PARAMS, &VALUE, &stat, &spend, 0.1).map_or(0.0, |c| c.revenue)
        });
        time("interval of spend", || {
            Total::new(&future(), &VALUE, &spend).map_or(0.0, |t| t.interval(0.9).1)
        });
    }
    Ok(())
}

fn time(name: &str, work: impl Fn() -> f64) {
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed().as_millis() < 50 {
        for _ in 0..10 {
            black_box(work());
        }
        calls += 10;
    }
    println!(
        "  {name:<22} {:>9.3} µs",
        start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
    );
}

fn fit(file: &str) -> Result<(), Box<dyn Error>> {
    let mut stats = Vec::new();
    for line in std::fs::read_to_string(file)?.lines().skip(1) {
        let fields = line
            .split(',')
            .skip(1)
            .take(3)
            .map(str::parse)
            .collect::<Result<Vec<f64>, _>>()?;
        let [x, t_x, t] = fields[..] else {
            return Err("expected id,x,t_x,T".into());
        };
        stats.push(Stat::new(x, t_x, t));
    }
    for model in [Model::BgNbd, Model::MbgNbd] {
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            purchase::fit(model, black_box(&stats))?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!(
            "{} of {} customers: {:.3} ms",
            model.as_str(),
            stats.len(),
            best * 1e3
        );
    }
    Ok(())
}
