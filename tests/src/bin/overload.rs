//! The two sides of the overload test, each a process of its own.
//!
//! `overload serve PERMITS`: a server of the suite's platform whose one RPC takes 10 ms of a store with so many permits;
//! prints `ready ADDRESS`.
//! `overload drive ADDRESS PERMITS CALM BUSY`: calls it at half of what it sustains for CALM milliseconds, at ten times that
//! for BUSY, and at half again; prints what it saw as JSON (see `regard_tests::overload::Seen`).
#![allow(clippy::unwrap_used, clippy::panic)]

use regard_tests::overload::{drive, serve};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match arguments[..] {
        ["serve", permits] => runtime.block_on(async {
            let running = serve(permits.parse().unwrap()).await;
            println!("ready {}", running.address().unwrap());
            regard_server::stop_signal().await;
            running.stop().await;
        }),
        ["drive", address, permits, calm, busy] => {
            let number = |text: &str| text.parse::<u64>().unwrap();
            let seen =
                runtime.block_on(drive(address, number(permits), number(calm), number(busy)));
            println!("{}", serde_json::to_string(&seen).unwrap());
        }
        _ => panic!("unknown arguments {arguments:?}; see the source"),
    }
}
