//! Ten times what a server can do: it does what it can in good time, refuses the rest at once, and is well again soon.
//!
//! The server and its caller are processes on different cores. Long form (60 s, with the times asserted): `REGARD_LONG=1`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use regard_tests::overload::Seen;
use regard_tests::{long, sized};

const PROGRAM: &str = env!("CARGO_BIN_EXE_overload");

/// What this process may run on.
fn cores() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap_or("0");
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<usize>().unwrap_or(0)..=last.parse().unwrap_or(0)
    };
    list.trim().split(',').flat_map(range).collect()
}

/// The program on one core; on a machine of one core it says that it shares it.
fn on(core: usize, arguments: &[&str]) -> Command {
    let cores = cores();
    let mut command = match cores.get(core) {
        Some(core) if cores.len() > 1 => {
            assert!(
                Command::new("taskset").arg("-V").output().is_ok(),
                "taskset is missing, which keeps the server and its caller on different cores: install util-linux"
            );
            let mut command = Command::new("taskset");
            command.args(["-c", &core.to_string(), PROGRAM]);
            command
        }
        _ => {
            println!("overload: one core only, so the server and its caller share it");
            Command::new(PROGRAM)
        }
    };
    command.args(arguments);
    command
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A figure of a process in MiB, such as its resident memory.
fn mib(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?.strip_prefix(':')?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    status.lines().find_map(of).unwrap_or(0) / 1024
}

#[test]
fn ten_times_the_sustainable_load() {
    // As much as a build without optimisation can carry: the store shall be the bound, not the processor.
    let permits = if cfg!(debug_assertions) { "2" } else { "8" };
    let mut child = on(0, &["serve", permits])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let server = Server(child);
    let process = server.0.id();
    let address = format!("http://{}", line.strip_prefix("ready ").unwrap().trim());
    let before = mib(process, "VmRSS");
    let calm = sized(1_500, 10_000).to_string();
    let busy = sized(3_000, 60_000).to_string();
    let output = on(1, &["drive", &address, permits, &calm, &busy])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let seen: Seen = serde_json::from_slice(&output.stdout).unwrap();
    let most = mib(process, "VmHWM");
    let (calm, busy) = (&seen.calm, &seen.busy);
    let sustained = 100.0 * permits.parse::<f64>().unwrap();
    let per_second = |calls: usize| calls as f64 / busy.seconds;
    println!(
        "overload: {permits} permits of 10 ms sustain {sustained}/s; offered {:.0}/s, done {:.0}/s, refused {:.0}/s; p99 {:.1} ms \
         against {:.1} ms unloaded ({:.2} times); memory {before} to {most} MiB; well again after {:?} s",
        per_second(busy.offered),
        per_second(busy.accepted),
        per_second(busy.refused),
        busy.p99_ms,
        calm.p99_ms,
        busy.p99_ms / calm.p99_ms,
        seen.recovered_s,
    );
    assert_eq!(calm.wrong, Vec::<String>::new());
    assert_eq!(
        busy.wrong,
        Vec::<String>::new(),
        "neither served nor refused"
    );
    assert_eq!(busy.accepted + busy.refused, busy.offered);
    assert!(
        busy.refused > busy.accepted,
        "the rest is refused, not queued: {busy:?}"
    );
    // Where others use the processors, half of what the store sustains takes many times its 10 ms: then how much was done
    // and how soon it was well again tell of the machine.
    let free = long() || calm.p50_ms < 30.0;
    if free {
        assert!(
            per_second(busy.accepted) > sustained / 4.0,
            "what can be done is done: {busy:?}"
        );
        assert!(seen.recovered_s.is_some(), "not well again: {seen:?}");
    } else {
        println!("overload: the machine is busy; throughput and recovery are not asserted");
        assert!(busy.accepted > 0, "{busy:?}");
    }
    assert!(
        per_second(busy.offered) > 8.0 * sustained,
        "ten times the load was not offered: {busy:?}"
    );
    assert!(most < 256 && most - before < 96, "{before} to {most} MiB");
    if long() {
        assert!(
            calm.refused == 0,
            "nothing is refused without need: {calm:?}"
        );
        assert!(busy.p99_ms <= 3.0 * calm.p99_ms, "{seen:?}");
    }
}
