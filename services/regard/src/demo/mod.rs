//! The demo: real purchases and real answers into an embedded suite, by its public gRPC API alone, and what a manager
//! would want to see of them.

mod acts;
mod ask;
mod calls;
mod print;
mod purchases;
mod rank;
mod report;
mod shop;
mod stage;
mod survey;

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

pub use print::print;
pub use report::Report;

use crate::suite::Start;
use shop::{Shop, first_day, last_day};
use stage::{Stage, data_folder};

/// The paper of BG/NBD.
const BGNBD: (&str, &[(&str, f64)]) = (
    "Fader, Hardie, Lee 2005",
    &[("r", 0.243), ("alpha", 4.414), ("a", 0.793), ("b", 2.426)],
);
/// The paper of Gamma-Gamma.
const GAMMA_GAMMA: (&str, &[(&str, f64)]) = (
    "Fader, Hardie 2013",
    &[("p", 6.25), ("q", 3.74), ("gamma", 15.44)],
);

/// Runs the whole demo in a fresh suite that lives in `folder`, and ends it.
///
/// # Errors
/// The data files are not found, or the suite refuses what it should not.
pub async fn run(folder: &Path, data: Option<&Path>) -> anyhow::Result<Report> {
    let data = data_folder(data)?;
    say("starting three services on SQLite");
    let stage = Stage::open(stage::settings(folder)?, (false, false)).await?;
    let report = Box::pin(show(&stage, &data, folder)).await;
    stage.suite.stop().await;
    say("");
    report
}

async fn show(stage: &Stage, data: &Path, scratch: &Path) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let shop = Shop::open(stage, data)?;
    say("importing the purchases of a music shop");
    let purchases = shop.import(data, scratch).await?;
    say("fitting four models");
    let models = shop.fit().await?;
    let then = shop.scores().await?;
    let value_tiers = shop.tiers(&then)?;
    let top_customers = shop.top(&then).await?;
    let slipping_away = shop.slipping(&then).await?;

    say("nine months later: what happened");
    shop.pin(last_day()?).await?;
    let later = shop.fit().await?;
    let forecast = shop.forecast(&then, &later.bgnbd).await?;
    let behaviour = shop.behaviour().await?;

    say("importing a customer survey");
    let responses = survey::import(stage, data, scratch).await?;
    let metrics = survey::metrics(stage, data).await?;
    let satisfaction = survey::satisfaction(stage, responses.customers).await?;

    say("a late order, a correction, a merge and its end");
    let now = shop.scores().await?;
    let acts = acts::all(&shop, &now).await?;
    let mbgnbd = shop.referred("mbgnbd", &["r", "alpha", "a", "b"]);
    Ok(Report {
        purchases,
        as_of: first_day()?.to_string(),
        bgnbd: shop.beside(&models.bgnbd, BGNBD.0, BGNBD.1),
        mbgnbd: shop.beside(&models.mbgnbd, "the same file, fitted with scipy", &mbgnbd),
        gamma_gamma: shop.beside(&models.gamma_gamma, GAMMA_GAMMA.0, GAMMA_GAMMA.1),
        rfm: shop.beside(&models.rfm, "", &[]),
        value_tiers,
        top_customers,
        slipping_away,
        forecast,
        behaviour,
        responses,
        metrics,
        satisfaction,
        late_order: acts.late_order,
        correction: acts.correction,
        merge: acts.merge,
        unmerge: acts.unmerge,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Fills a suite with the demo's data, prints where it answers and calls to try, and serves until a signal.
///
/// # Errors
/// As [`run`]; the address cannot be taken, or is one that other machines reach.
pub async fn serve(start: Start<'_>, data: Option<&Path>) -> anyhow::Result<()> {
    let data = data_folder(data)?;
    let scratch = tempfile::tempdir().context("cannot make a folder for the demo")?;
    let mut settings = start.settings.clone();
    // The demo's data must not get among one's own: they get a folder of their own inside.
    settings.data.folder = if settings.data.folder == Path::new("regard-data") {
        scratch.path().join("data")
    } else {
        settings.data.folder
    };
    let insecure = (start.insecure_default, start.insecure_plaintext);
    let stage = Stage::open(settings, insecure).await?;
    let shop = Shop::open(&stage, &data)?;
    say("importing purchases");
    shop.import(&data, scratch.path()).await?;
    say("fitting models");
    shop.fit().await?;
    say("importing answers");
    survey::import(&stage, &data, scratch.path()).await?;
    say("");
    if let Some(address) = stage.suite.address() {
        let mut out = stdout().lock();
        calls::print(&mut out, &address.to_string(), &data)?;
        out.flush()?;
    }
    regard_server::stop_signal().await;
    stage.suite.stop().await;
    Ok(())
}

/// What is being done, for people who wait; an empty text wipes it.
fn say(what: &str) {
    let mut err = stderr();
    if err.is_terminal() {
        let dots = if what.is_empty() { "" } else { " …" };
        let _ = write!(err, "\r\x1b[2K{what}{dots}");
        let _ = err.flush();
    }
}
