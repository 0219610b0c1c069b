//! What happens in a shop: an order arrives late, one was wrong, two customers are one, and then are not. Each read after a
//! write carries the write's change token, so it is answered from data at least that new.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use regard_proto::common::v1::{RecordRef, record_ref};
use regard_proto::customer::v1::{
    CorrectOrderRequest, ListOrdersRequest, MergeCustomersRequest, Order, RecordOrderRequest,
    UnmergeCustomersRequest,
};
use regard_server::wire;
use regard_types::{Currency, Money, Zone};

use super::ask::{Scored, main_unit, scores_after};
use super::report::{Act, Moved};
use super::shop::{Shop, last_day, slipping_order};
use super::stage::CDNOW;
use crate::reach::{customer_key, given, key, refused};

/// What is shown of a customer.
const SHOWN: &[&str] = &[
    "no_purchase_13w",
    "p_alive",
    "expected_purchases",
    "residual_clv",
    "historic_value",
    "rfm",
];

/// The acts.
pub struct Acts {
    pub late_order: Act,
    pub correction: Act,
    pub merge: Act,
    pub unmerge: Act,
}

/// Lets all four happen, one after the other, on the tenant's day.
pub async fn all(shop: &Shop<'_>, scored: &[Scored]) -> anyhow::Result<Acts> {
    let lost = slipping_order(scored);
    let first = shop
        .names
        .get(*lost.first().context("nobody is slipping away")?)
        .context("a customer")?;
    let value = |at: usize| {
        scored[at]
            .value("residual_clv")
            .unwrap_or(f64::NEG_INFINITY)
    };
    let mut best: Vec<usize> = (0..scored.len()).collect();
    best.sort_by(|a, b| value(*b).total_cmp(&value(*a)));
    let best: Vec<&String> = best.iter().filter_map(|at| shop.names.get(*at)).collect();
    let (top, into) = (
        best.first().context("a customer")?,
        best.get(1).context("a customer")?,
    );
    // Two accounts of one person: a good customer, and one who seemed lost.
    let from = lost
        .get(1)
        .and_then(|at| shop.names.get(*at))
        .context("a customer")?;
    let late_order = late_order(shop, first).await?;
    let correction = correction(shop, top).await?;
    let (merge, unmerge) = merge(shop, into, from).await?;
    Ok(Acts {
        late_order,
        correction,
        merge,
        unmerge,
    })
}

async fn late_order(shop: &Shop<'_>, name: &str) -> anyhow::Result<Act> {
    let before = read(shop, name, "").await?;
    let day = last_day()?.plus(-10);
    let amount = dollars(3_997)?;
    let begun = Instant::now();
    let mut orders = shop.stage.cdnow.orders();
    let recorded = orders.record_order(RecordOrderRequest {
        order: Some(Order {
            key: Some(key(CDNOW, "late-1")),
            customer: Some(customer_key(CDNOW, name)),
            order_time: Some(wire::timestamp(day.start(&Zone::utc()))),
            gross: Some(wire::to_money(amount)),
            units: 2,
            ..Order::default()
        }),
        ..Default::default()
    });
    let token = recorded.await.map_err(refused)?.into_inner().change_token;
    let after = read(shop, name, &token).await?;
    let took = begun.elapsed();
    Ok(act(
        format!("An order of {day} over 39.97 arrives ten days late."),
        name,
        (&before, &after),
        took,
        "A customer who seemed lost is back: the fold takes the order at its own day, whenever it arrives.",
    ))
}

async fn correction(shop: &Shop<'_>, name: &str) -> anyhow::Result<Act> {
    let before = read(shop, name, "").await?;
    let mut client = shop.stage.cdnow.orders();
    let listed = client.list_orders(ListOrdersRequest {
        customer: Some(customer_key(CDNOW, name)),
        page_size: 1,
        ..Default::default()
    });
    let orders = listed.await.map_err(refused)?.into_inner().orders;
    let order = given(orders.into_iter().next(), "orders")?;
    let gross = given(order.gross.as_ref(), "gross")?;
    let was = Money::from_units(gross.units, gross.nanos, Currency::parse("USD")?)?;
    let now = dollars(was.minor.saturating_mul(10))?;
    let begun = Instant::now();
    let corrected = client.correct_order(CorrectOrderRequest {
        target: Some(RecordRef {
            record: Some(record_ref::Record::Id(order.id)),
        }),
        gross: Some(wire::to_money(now)),
        etag: order.etag,
        ..Default::default()
    });
    let token = corrected.await.map_err(refused)?.into_inner().change_token;
    let after = read(shop, name, &token).await?;
    let took = begun.elapsed();
    Ok(act(
        format!(
            "The last order was typed with the point one place too far left: {:.2} is corrected to {:.2}.",
            was.as_f64(),
            now.as_f64()
        ),
        name,
        (&before, &after),
        took,
        "The version before stays in the history; when and how often the customer buys has not changed, so only values move.",
    ))
}

async fn merge(shop: &Shop<'_>, into: &str, from: &str) -> anyhow::Result<(Act, Act)> {
    let customers = || shop.stage.cdnow.customers();
    let before = read(shop, into, "").await?;
    let other = read(shop, from, "").await?;
    let begun = Instant::now();
    let mut client = customers();
    let merged = client.merge_customers(MergeCustomersRequest {
        into: Some(customer_key(CDNOW, into)),
        from: Some(customer_key(CDNOW, from)),
        evidence: "said_by_call_centre".to_owned(),
        ..Default::default()
    });
    let token = merged.await.map_err(refused)?.into_inner().change_token;
    let together = read(shop, into, &token).await?;
    let took = begun.elapsed();
    let same = read(shop, from, &token).await?;
    let note = if same.id == together.id {
        format!(
            "Asked for {CDNOW}:{from}, the suite now answers with the same customer: one history, one set of scores."
        )
    } else {
        format!("{CDNOW}:{from} still answers for itself.")
    };
    let merge = act(
        format!("{CDNOW}:{from} turns out to be the same person: the two are merged."),
        into,
        (&before, &together),
        took,
        &note,
    );
    let begun = Instant::now();
    let mut client = customers();
    let parted = client.unmerge_customers(UnmergeCustomersRequest {
        customer: Some(customer_key(CDNOW, from)),
        ..Default::default()
    });
    let token = parted.await.map_err(refused)?.into_inner().change_token;
    let apart = read(shop, into, &token).await?;
    let took = begun.elapsed();
    let other_again = read(shop, from, &token).await?;
    let whole = values(&apart) == values(&before) && values(&other_again) == values(&other);
    let unmerge = act(
        "It was a mistake: the merge is undone.".to_owned(),
        into,
        (&together, &apart),
        took,
        if whole {
            "Both customers stand exactly where they stood before the merge, to the last bit."
        } else {
            "The customers do not stand where they stood before the merge."
        },
    );
    Ok((merge, unmerge))
}

async fn read(shop: &Shop<'_>, name: &str, token: &str) -> anyhow::Result<Scored> {
    scores_after(&shop.stage.cdnow, CDNOW, name, token).await
}

fn values(scored: &Scored) -> Vec<Option<f64>> {
    SHOWN.iter().map(|name| scored.value(name)).collect()
}

fn dollars(minor: i64) -> anyhow::Result<Money> {
    Ok(Money::new(minor, Currency::parse("USD")?))
}

fn act(
    what: String,
    name: &str,
    (before, after): (&Scored, &Scored),
    took: Duration,
    note: &str,
) -> Act {
    let unit = |name: &str| {
        let unit = after.score(name).map_or("", |s| s.unit.as_str());
        if main_unit(100.0, unit) < 100.0 {
            "USD"
        } else {
            unit
        }
        .to_owned()
    };
    Act {
        what,
        customer: format!("{CDNOW}:{name}"),
        scores: SHOWN
            .iter()
            .map(|name| Moved {
                name: (*name).to_owned(),
                unit: unit(name),
                before: before.value(name),
                after: after.value(name),
            })
            .collect(),
        milliseconds: took.as_secs_f64() * 1e3,
        note: note.to_owned(),
    }
}
