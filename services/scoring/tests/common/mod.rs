//! Events, models and stores for the tests.
#![allow(dead_code, clippy::unwrap_used)]

use regard_models::{Grade, gamma_gamma, purchase, rfm};
use regard_scoring::event::{Event, Kind};
use regard_scoring::score::domain::{Basis, Fitted, Serving};
use regard_types::{CustomerId, Day, Micros, RecordId, Uuid, Zone};

pub fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

/// Noon of a day in UTC.
pub fn noon(text: &str) -> Micros {
    Micros(day(text).start(&Zone::utc()).0 + 12 * 3600 * Micros::SECOND)
}

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub fn event(kind: Kind, customer: u128, record: u128, occurred: Micros) -> Event {
    Event {
        customer: CustomerId(id(customer)),
        kind,
        record: RecordId(id(record)),
        version: 1,
        part: 0,
        lane: 0,
        position: 1,
        occurred,
        recorded: occurred,
        live: true,
        anonymous: false,
        value: 0,
        aux: 0,
        link: None,
        metric: String::new(),
        dimension: String::new(),
        question: String::new(),
        channel: None,
    }
}

pub fn order(record: u128, on: &str, value: i64) -> Event {
    Event {
        value,
        aux: 1,
        ..event(Kind::Order, 1, record, noon(on))
    }
}

pub fn refund(record: u128, on: &str, value: i64, of: Option<u128>) -> Event {
    Event {
        value,
        link: of.map(id),
        ..event(Kind::Refund, 1, record, noon(on))
    }
}

/// The published parameters of CDNOW.
pub fn serving() -> Serving {
    let params = purchase::Params {
        r: 0.242_593,
        alpha: 4.413_532,
        a: 0.792_886,
        b: 2.425_753,
    };
    let fitted = |n| Fitted {
        id: id(n),
        params,
        grade: Grade::B,
    };
    let value = gamma_gamma::Params {
        p: 6.248_80,
        q: 3.744_59,
        gamma: 15.447_75,
    };
    let edges = rfm::Rfm {
        r: [-200.0, -150.0, -100.0, -50.0],
        f: [1.0, 2.0, 3.0, 5.0],
        m: [1000.0, 2000.0, 5000.0, 9000.0],
    };
    Serving {
        version: 1,
        bgnbd: Some(fitted(101)),
        mbgnbd: Some(fitted(102)),
        gamma_gamma: Some(Fitted {
            id: id(103),
            params: value,
            grade: Grade::C,
        }),
        rfm: Some(Fitted {
            id: id(104),
            params: edges,
            grade: Grade::A,
        }),
    }
}

pub fn basis(on: &str) -> Basis {
    Basis {
        day: day(on),
        history_start: None,
        minor_per_unit: 100.0,
    }
}
