//! `regard serve` and the commands that call it, as processes.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Served, data, fails, json, ok, run};

/// 64 hexadecimal digits.
const SECRET: &str =
    "secrets.id_secret=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The key under which names and texts are sealed.
const MASTER: &str =
    "secrets.master_key=99112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// What scoring shows to read the feeds.
const KEY: &str = "the-key-of-the-scoring-service-0001";

#[test]
fn orders_in_scores_out() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data").display().to_string();
    let served = Served::start(&["--data", &folder]);
    let at = served.address.clone();
    let file = dir.path().join("orders.csv");
    let mut rows =
        b"Customer No;Order Date;Amount\n1;2024-01-02;10.00\n1;2024-01-02;10.00\n".to_vec();
    rows.extend(b"2;2024-01-03;x\n3;2024-02-30;5\n4;2024-01-05;-1\n;2024-01-05;1\n\xff\xfe;2024-01-05;1\n5;2024-01-05;1.005\n6;2024-03-01T10:00:00Z;7\n");
    std::fs::write(&file, rows).unwrap();
    let file = file.display().to_string();
    let args = [
        "import", "orders", &file, "--source", "crm", "--server", &at, "--json",
    ];
    let got = json(&args);
    assert_eq!(
        (&got["accepted"], &got["unchanged"], &got["rejected"]),
        (&3.into(), &0.into(), &6.into()),
        "{got}"
    );
    let rejected = std::fs::read(got["rejected_file"].as_str().unwrap()).unwrap();
    let rejected = String::from_utf8_lossy(&rejected);
    for part in [
        "4,Amount,x,", // a wrong number, on line 4
        "5,Order Date,2024-02-30,",
        "an amount of 0 or more",
        "7,Customer No,,",
        "UTF-8",
        "1.005",
    ] {
        assert!(rejected.contains(part), "{part} is not in {rejected}");
    }
    // Once more: nothing is doubled.
    let again = json(&args);
    assert_eq!(
        (&again["accepted"], &again["unchanged"]),
        (&0.into(), &3.into()),
        "{again}"
    );

    // A read without a token may come before scoring has heard of the orders.
    let (mut scores, mut value) = (serde_json::Value::Null, serde_json::Value::Null);
    for _ in 0..200 {
        scores = json(&["scores", "crm:1", "--server", &at, "--json"]);
        let mut all = scores[0]["scores"].as_array().unwrap().iter();
        value = all.find(|s| s["name"] == "historic_value").unwrap().clone();
        if !value["value"].is_null() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Two equal orders of a day are two orders.
    assert_eq!(value["value"], 2000.0, "{value}");
    let why = ok(&["explain", "crm:1", "historic_value", "--server", &at]);
    assert!(why.contains("20.00") && why.contains("2 orders"), "{why}");
    let (code, message) = fails(&["explain", "crm:1", "happiness", "--server", &at]);
    assert!(
        code == 1 && message.contains("DEFINITION_UNKNOWN"),
        "{message}"
    );
    let (_, message) = fails(&["scores", "--server", &at]);
    assert!(message.contains("--top"), "{message}");
    let (_, message) = fails(&["fit", "bgnbd", "--server", &at]);
    assert!(message.contains("bgnbd"), "{message}");

    let (_, message) = fails(&[
        "import",
        "orders",
        &file,
        "--columns",
        "colour=x",
        "--server",
        &at,
    ]);
    assert!(
        message.contains("colour") && message.contains("customer"),
        "{message}"
    );
    let (clean, took) = served.stop();
    assert!(clean && took < Duration::from_secs(10), "{took:?}");

    // The same folder, the same ids.
    let served = Served::start(&["--data", &folder]);
    let again = json(&["scores", "crm:1", "--server", &served.address, "--json"]);
    assert_eq!(again[0]["customer_id"], scores[0]["customer_id"]);
    served.stop();
}

#[test]
fn customers_and_answers_in() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&["--data", &dir.path().join("data").display().to_string()]);
    let at = served.address.clone();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let customers = write(
        "c.csv",
        "id,name,email,since,city\n1,Ann,ann@example.org,2023-05-01,Rome\n2,Bo,,yesterday,\n",
    );
    let got = json(&[
        "import",
        "customers",
        &customers,
        "--columns",
        "attribute.city=city",
        "--server",
        &at,
        "--json",
    ]);
    assert_eq!(
        (&got["accepted"], &got["rejected"]),
        (&1.into(), &1.into()),
        "{got}"
    );
    let questions = write(
        "q.toml",
        "name = 'After the visit'\n[[questions]]\ncode = 'nps'\ntext = 'Would you recommend us?'\nkind = 'nps'\ndimension = 'loyalty'\n\
         [[questions]]\ncode = 'service'\ntext = 'How was the service?'\nkind = 'csat'\ndimension = 'service_quality'\ncolumn = 'Service (1-5)'\n",
    );
    let today = "2024-05-01";
    let answers = write(
        "a.csv",
        "respondent,day,nps,Service (1-5),channel\n1,2024-04-30,10,5,email\n9,2024-04-30,6,,phone\n2,2024-04-30,11,3,\n3,2024-04-30,,,\n",
    );
    let args = [
        "import",
        "responses",
        &answers,
        "--survey",
        "visit",
        "--questions",
        &questions,
        "--server",
        &at,
        "--json",
    ];
    let got = json(&args);
    assert_eq!(
        (&got["accepted"], &got["rejected"]),
        (&2.into(), &2.into()),
        "{got}"
    );
    assert_eq!(json(&args)["unchanged"], 2);
    // Scoring hears of it in its own time.
    let metric = [
        "metrics", "nps", "--as-of", today, "--server", &at, "--json",
    ];
    let mut got = json(&metric);
    for _ in 0..100 {
        if got["values"][0]["n"] == 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        got = json(&metric);
    }
    assert_eq!(got["values"][0]["value"], 0.0, "{got}");
    let (_, message) = fails(&[
        "import",
        "responses",
        &answers,
        "--survey",
        "other",
        "--server",
        &at,
    ]);
    assert!(message.contains("--questions"), "{message}");
    served.stop();
}

#[test]
fn services_run_apart() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data").display().to_string();
    let config = dir.path().join("regard.toml");
    std::fs::write(
        &config,
        format!(
            "[[identity.keys]]\nkey = '{KEY}'\ntenant = 'default'\nname = 'scoring'\nroles = ['service']\n"
        ),
    )
    .unwrap();
    let config = config.display().to_string();
    let facts = Served::start(&[
        "customer", "feedback", "--data", &folder, "--set", SECRET, "--set", MASTER, "--config",
        &config,
    ]);
    let set = |key: &str| format!("peer.{key}_address={}", facts.address);
    let meaning = Served::start(&[
        "scoring",
        "--data",
        &folder,
        "--set",
        SECRET,
        "--set",
        &set("customer"),
        "--set",
        &set("feedback"),
        "--set",
        &format!("peer.api_key={KEY}"),
    ]);
    let file = dir.path().join("o.csv");
    std::fs::write(&file, "customer,date,value\n1,2024-01-02,10\n").unwrap();
    json(&[
        "import",
        "orders",
        &file.display().to_string(),
        "--server",
        &facts.address,
        "--json",
    ]);
    let mut value = serde_json::Value::Null;
    for _ in 0..100 {
        let scores = json(&[
            "scores",
            "1",
            "--scores",
            "historic_value",
            "--server",
            &meaning.address,
            "--json",
        ]);
        value = scores[0]["scores"][0]["value"].clone();
        if !value.is_null() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(value, 1000.0);
    // A key that one process makes opens the other, and is shut there within seconds of its end.
    let key = json(&[
        "admin",
        "key",
        "create",
        "eyes",
        "--role",
        "reader",
        "--server",
        &facts.address,
        "--json",
    ]);
    let secret = key["secret"].as_str().unwrap();
    let ask = ["scores", "1", "--server", &meaning.address, "--key", secret];
    ok(&ask);
    let (_, message) = fails(&["fit", "rfm", "--server", &meaning.address, "--key", secret]);
    assert!(message.contains("model.fit"), "{message}");
    ok(&[
        "admin",
        "key",
        "revoke",
        key["id"].as_str().unwrap(),
        "--server",
        &facts.address,
    ]);
    let ended = std::time::Instant::now();
    while run(&ask).status.success() {
        assert!(
            ended.elapsed() < Duration::from_secs(10),
            "the key works still"
        );
    }
    let (_, message) = fails(&ask);
    assert!(message.contains("UNAUTHENTICATED"), "{message}");
    let (_, message) = fails(&["scores", "1", "--server", &facts.address]);
    assert!(
        message.contains("NOT_SERVED") || message.contains("UNIMPLEMENTED"),
        "{message}"
    );
    meaning.stop();
    facts.stop();
}

#[test]
fn health_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&["--data", &dir.path().join("data").display().to_string()]);
    let at = served.address.clone();
    assert_eq!(ok(&["health", "--server", &at]).trim(), "SERVING");
    let scoring = ["health", "--service", "scoring", "--server", &at];
    for _ in 0..200 {
        if common::run(&scoring).status.success() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(ok(&scoring).trim(), "SERVING");
    // What it keeps is its owner's alone: the folder, the secrets, the stores and their logs.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let data = dir.path().join("data");
        let mut kept: Vec<_> = std::fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(kept.iter().any(|path| path.ends_with("customer.db-wal")));
        kept.push(data);
        for path in kept {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} {mode:o}", path.display());
        }
    }
    let (code, message) = fails(&["health", "--service", "nobody", "--server", &at]);
    assert!(code == 1 && message.contains("nobody"), "{message}");
    served.stop();
    let (code, message) = fails(&["health", "--server", &at]);
    assert!(
        code == 1 && message.contains("no server answers"),
        "{message}"
    );
}

#[test]
fn what_must_not_be_served_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    let (_, message) = fails(&["serve", "--data", &folder, "--listen", "0.0.0.0:0"]);
    assert!(
        message.contains("server.tls.cert_file") && message.contains("--insecure-plaintext"),
        "{message}"
    );
    let open = [
        "--set",
        "identity.allow_default=true",
        "--insecure-plaintext",
    ];
    let serve = ["serve", "--data", &folder, "--listen", "0.0.0.0:0"];
    let (_, message) = fails(&[&serve[..], &open[..]].concat());
    assert!(
        message.contains("allow_default") && message.contains("--insecure-allow-default"),
        "{message}"
    );
    let (_, message) = fails(&[
        "serve",
        "--demo",
        "--data",
        &folder,
        "--listen",
        "0.0.0.0:0",
    ]);
    assert!(message.contains("--insecure-allow-default"), "{message}");
    let (_, message) = fails(&[
        "serve",
        "--demo",
        "--data",
        &folder,
        "--set",
        "identity.allow_default=false",
        "--listen",
        "0.0.0.0:0",
    ]);
    assert!(message.contains("the demo's keys"), "{message}");
    // One flag names one risk, with --demo too.
    let demo = ["--demo", "--insecure-allow-default"];
    let (_, message) = fails(&[&serve[..], &demo[..]].concat());
    assert!(message.contains("--insecure-plaintext"), "{message}");
    let (_, message) = fails(&["serve", "scoring", "--data", &folder]);
    assert!(message.contains("secrets.id_secret"), "{message}");
    let (_, message) = fails(&["serve", "scoring", "--data", &folder, "--set", SECRET]);
    assert!(message.contains("peer.customer_address"), "{message}");
    let (_, message) = fails(&["serve", "feedback", "--data", &folder, "--set", SECRET]);
    assert!(message.contains("secrets.master_key_file"), "{message}");
    let (_, message) = fails(&["serve", "--data", &folder, "--set", "log.level=loud=very"]);
    assert!(message.contains("log.level"), "{message}");
}

#[test]
fn the_example_configuration_is_sound() {
    let file = data("../../deploy/regard.toml").display().to_string();
    let got = json(&["config", "--config", &file, "--json"]);
    assert_eq!(got["settings"]["identity"]["allow_default"], false);
    assert!(
        got["settings"]["customer"]["database"]["url"]
            .as_str()
            .unwrap()
            .starts_with("postgres://")
    );
}

#[test]
fn the_demo_stays_up() {
    let served = Served::start(&["--demo"]);
    let why = json(&[
        "explain",
        "cdnow:1516",
        "residual_clv",
        "--server",
        &served.address,
        "--key",
        "regard-demo-cdnow-back-end-not-secret",
        "--json",
    ]);
    assert!(
        (why["score"]["value"].as_f64().unwrap() - 98381.0).abs() < 200.0,
        "{why}"
    );
    let (_, message) = fails(&[
        "explain",
        "cdnow:1516",
        "residual_clv",
        "--server",
        &served.address,
        "--key",
        "of-somebody-else",
    ]);
    assert!(message.contains("UNAUTHENTICATED"), "{message}");
    served.stop();
}

#[test]
fn postgresql_and_redis_by_settings() {
    use regard_testkit::{CacheKind, Engine, TestCache, TestStore, run};

    let (stores, cache) = run(async {
        let stores = [
            TestStore::new(Engine::Postgres).await,
            TestStore::new(Engine::Postgres).await,
            TestStore::new(Engine::Postgres).await,
        ];
        (stores, TestCache::new(CacheKind::Redis).await)
    });
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data").display().to_string();
    let url = |at: usize, name: &str| format!("{name}.database.url={}", stores[at].url);
    let redis = format!("cache.redis_url={}", cache.redis_url.as_deref().unwrap());
    let owner =
        |at: usize, name: &str| format!("{name}.database.migrate_url={}", stores[at].migrate_url);
    let urls = [
        url(0, "customer"),
        url(1, "feedback"),
        url(2, "scoring"),
        owner(0, "customer"),
        owner(1, "feedback"),
        owner(2, "scoring"),
    ];
    let mut args = vec![
        "--data", &folder, "--set", SECRET, "--set", MASTER, "--set", &redis,
    ];
    for url in &urls {
        args.extend(["--set", url.as_str()]);
    }
    let served = Served::start(&args);
    let file = dir.path().join("o.csv");
    std::fs::write(
        &file,
        "customer,date,value\n1,2024-01-02,10\n1,2024-02-02,5\n",
    )
    .unwrap();
    let file = file.display().to_string();
    let got = json(&[
        "import",
        "orders",
        &file,
        "--server",
        &served.address,
        "--json",
    ]);
    assert_eq!(got["accepted"], 2);
    let value = || {
        let scores = json(&[
            "scores",
            "1",
            "--scores",
            "historic_value",
            "--server",
            &served.address,
            "--json",
        ]);
        scores[0]["scores"][0]["value"].clone()
    };
    for _ in 0..100 {
        if value() == 1500.0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(value(), 1500.0);
    assert!(
        !std::path::Path::new(&folder).join("customer.db").exists(),
        "the stores are elsewhere"
    );
    assert!(served.stop().0);
}
