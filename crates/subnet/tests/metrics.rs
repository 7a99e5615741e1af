//! What is counted and what is logged: all of it, under few names, and nothing that is a caller's.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use zkslice_prover::BundleSource;
use zkslice_subnet::Network;
use zkslice_subnet::daemon::show_metrics;
use zkslice_subnet::messages::Role;
use zkslice_subnet::score::Parameters;
use zkslice_subnet::transport::{Identity, Link, memory, websocket};
use zkslice_subnet::validator::{Options, Validator};
use zkslice_subnet::wire::{Kind, frame};

use crate::gateway::{Api, KEY, api, body, words};
use crate::network::{account, connected, until};
use crate::support::*;

async fn metrics(api: &Api) -> String {
    let answer = api.client.get(format!("{}/metrics", api.url)).send().await.unwrap();
    assert!(answer.status().is_success());
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

/// Of a sample with its labels; it has to be there.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

fn identity(number: u8, network: Network) -> Identity {
    Identity { node: node(number), role: Role::Miner, network, parameters: Parameters::default().hash() }
}

/// A miner's end of a connection, behind which there is nobody.
async fn nobody(validator: &Arc<Validator>, number: u8) -> Link {
    let (of_miner, of_validator) = memory::connect(&identity(number, NETWORK), &validator.identity(), 1 << 20).await.unwrap();
    validator.connect(of_validator);
    of_miner
}

/// Metrics, once they show something.
pub(crate) async fn shows(validator: &Validator, what: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for _ in 0..500 {
        text = validator.metrics().await;
        if what(&text) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never shown:\n{text}");
}

async fn shows_miners(validator: &Validator, count: f64) -> String {
    shows(validator, |text| value(text, "zkslice_validator_miners_connected") == count).await
}

/// A job with a liar and an honest miner: every part of it is counted, in the form that Prometheus reads, and nothing of its caller shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let api = api(options(folder.path()), 2, |_| ()).await;
    let validator = Arc::clone(&api.validator);
    let package = package(2);
    let before = metrics(&api).await;
    for sample in [
        "jobs_total{state=\"failed\"}",
        "assignments_total{state=\"invalid\"}",
        "queue_age_seconds",
        "store_errors_total",
        "miners_connected",
        "epoch_lag",
    ] {
        assert_eq!(value(&before, &format!("zkslice_validator_{sample}")), 0.0, "known before it happens: {sample}");
    }

    let submitted = job(&package, 1);
    let (_, accepted) = api.post(&body(&submitted), KEY, None).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let waiting = metrics(&api).await;
    assert_eq!(value(&waiting, "zkslice_validator_queue_slices"), 2.0);
    assert!(value(&waiting, "zkslice_validator_queue_age_seconds") >= 0.02);
    assert_eq!(value(&waiting, "zkslice_validator_slices_open{kind=\"request\",state=\"pending\"}"), 2.0);
    assert_eq!(value(&waiting, "zkslice_validator_jobs_open{kind=\"request\",state=\"executed\"}"), 1.0);

    let liar = miner_with(9, folder.path(), 2, Liar(honest()));
    connected(&validator, &[Arc::clone(&liar)]).await;
    until("the liar is found out", || account(&liar).invalid > 0).await;
    let honest_one = miner_with(1, folder.path(), 2, honest());
    connected(&validator, &[Arc::clone(&honest_one)]).await;
    let id = accepted["id"].as_str().unwrap().parse().unwrap();
    validator.bundle_of(id).await.unwrap();
    until("all receipts are here", || account(&honest_one).valid == 2).await;

    // What does not belong to anybody: in a message, and before there is one.
    let stranger = nobody(&validator, 3).await;
    stranger.outbox.send(frame(Kind::Accept, &[1; 200]).unwrap());
    let other = nobody(&validator, 4).await;
    other.outbox.send(frame(Kind::Work, &[1; 200]).unwrap());
    let url = format!("{}/v1/network", api.url.replacen("http", "ws", 1));
    let elsewhere = Network { chain_id: 1, ..NETWORK };
    websocket::dial(&url, &identity(5, elsewhere), None, Arc::new(Semaphore::new(1 << 16))).await.unwrap_err();
    until("both have been let go", || stranger.outbox.is_closed() && other.outbox.is_closed()).await;
    // The validator's end of each may take a moment longer.
    let text = shows(&validator, |text| {
        let value = |sample: &str| value(text, &format!("zkslice_validator_{sample}"));
        let is_refused = value("handshakes_refused_total{reason=\"differs\"}") == 1.0;
        is_refused && text.contains("reason=\"not due\"") && value("miners_connected") == 2.0 && value("assignments_open") == 0.0
    })
    .await;
    assert_eq!(metrics(&api).await.lines().count(), text.lines().count());
    let of = |sample: &str| value(&text, &format!("zkslice_validator_{sample}"));
    until("the liar has its receipts", || account(&liar).debit as f64 == of("debit_total")).await;
    let [accepted_ones, handed_in, proofs] =
        [of("assignments_total{state=\"accepted\"}"), of("assignments_total{state=\"handed in\"}"), validator.verified().proofs as f64];
    let invalid = account(&liar).invalid as f64;
    assert!(invalid >= 1.0 && accepted_ones >= handed_in && handed_in == 2.0 + invalid);
    // The bundle's are verified once more.
    assert_eq!(proofs, handed_in + 2.0);
    for (sample, expected) in [
        ("jobs_total{state=\"received\"}", 1.0),
        ("jobs_total{state=\"executed\"}", 1.0),
        ("jobs_total{state=\"complete\"}", 1.0),
        ("jobs_total{state=\"failed\"}", 0.0),
        ("benchmarks_total", 0.0),
        ("slices_total{state=\"proven\"}", 2.0),
        ("own_proofs_total", 0.0),
        ("assignments_total{state=\"valid\"}", 2.0),
        ("assignments_total{state=\"invalid\"}", invalid),
        ("accept_seconds_count", accepted_ones),
        ("hand_in_seconds_count", handed_in),
        ("receipt_seconds_count", handed_in),
        ("batch_proofs_sum", proofs),
        ("credit_total", account(&honest_one).credit as f64),
        ("frames_refused_total{reason=\"malformed\"}", 0.0),
        ("frames_refused_total{reason=\"signature\"}", 1.0),
        ("frames_refused_total{reason=\"not due\"}", 1.0),
        ("handshakes_refused_total{reason=\"differs\"}", 1.0),
        ("miners_connected", 2.0),
        ("assignments_open", 0.0),
        ("queue_slices", 0.0),
        ("slices_open{kind=\"request\",state=\"pending\"}", 0.0),
        ("work_in_flight_bytes", 0.0),
        ("ready", 1.0),
        ("epoch", 7.0),
    ] {
        assert_eq!(of(sample), expected, "{sample} in\n{text}");
    }
    assert!(of("verify_seconds_sum") > 0.0);
    let window = format!("zkslice_validator_miner_window{{miner=\"{}\"}}", honest_one.address());
    assert!(value(&text, &window) >= 1.0);

    // Each family is described once; each sample has a name of this program's and a number.
    let mut families = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["#", "TYPE", family, kind] => {
                assert!(families.insert(family.to_owned()), "{family} comes twice");
                assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
            }
            ["#", "HELP", ..] => {}
            _ => {
                assert!(line.starts_with("zkslice_validator_"), "{line}");
                line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
            }
        }
    }
    // Nothing of a caller's: neither key nor name, neither the job nor its input.
    for hidden in [KEY, "\"first\"", accepted["id"].as_str().unwrap()] {
        assert!(!text.contains(hidden), "{hidden}");
    }
    for word in submitted.inputs.iter().flat_map(words) {
        assert!(!text.contains(&format!("{word:x}")));
    }

    // The miner's own.
    let stop = CancellationToken::new();
    let at = show_metrics(Arc::clone(&honest_one), "127.0.0.1:0".parse().unwrap(), stop.clone()).await.unwrap();
    let text = api.client.get(format!("http://{at}/metrics")).send().await.unwrap().text().await.unwrap();
    for (sample, expected) in [
        ("proof_seconds_count", 2.0),
        ("proofs_failed_total", 0.0),
        ("queue_slices", 0.0),
        ("unanswered_hand_ins", 0.0),
        ("validators_connected", 1.0),
        ("receipts_total{verdict=\"valid\"}", 2.0),
        ("receipts_total{verdict=\"invalid\"}", 0.0),
        ("credit_total", account(&honest_one).credit as f64),
    ] {
        assert_eq!(value(&text, &format!("zkslice_miner_{sample}")), expected, "{sample} in\n{text}");
    }
    stop.cancel();
    api.stop().await;
}

/// Identities cost nothing: however many come, few are named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_miners_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = options(folder.path());
    let strangers = |text: &str| text.lines().filter(|line| line.starts_with("zkslice_validator_miner_window{")).count();
    let validator = self::validator(open.clone()).await;
    let mut links = Vec::new();
    for number in 1..=70 {
        links.push(nobody(&validator, number).await);
    }
    assert_eq!(strangers(&shows_miners(&validator, 70.0).await), 65);
    validator.stop();
    validator.ended().await;
    drop(validator);

    // Of those who have shown nothing yet, nobody.
    open.settings.probation = 1;
    let validator = self::validator(open).await;
    let link = nobody(&validator, 1).await;
    let text = shows_miners(&validator, 1.0).await;
    assert_eq!((strangers(&text), value(&text, "zkslice_validator_miner_window{miner=\"other\"}")), (1, 0.0));
    drop(link);
    validator.stop();
    validator.ended().await;
}

async fn validator(options: Options) -> Arc<Validator> {
    crate::support::validator(options, 1).await
}

/// Names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let of_metric = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !of_metric(c)).filter(|word| word.starts_with("zkslice_validator_") || word.starts_with("zkslice_miner_")).collect()
}

/// What the dashboard and the alert rules name is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_and_alerts_name_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let validator = validator(options(folder.path())).await;
    let _link = nobody(&validator, 1).await;
    let text = shows_miners(&validator, 1.0).await;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let samples: BTreeSet<&str> = lines.filter_map(|line| line.split(['{', ' ']).next()).collect();
    let read = |name: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana").join(name)).unwrap();
    let (dashboard, alerts) = (read("zkslice-validator.json"), read("alerts.yml"));
    let parsed: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = parsed["panels"].as_array().unwrap();
    assert!(panels.len() >= 20);
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let expressions = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).map(|target| target["expr"].as_str().unwrap());
    let rules = rules(&alerts);
    for expression in expressions.clone().chain(rules.iter().map(|(_, expression)| expression.as_str())) {
        let count = |c: char| expression.matches(c).count();
        assert_eq!((count('('), count('{'), count('[')), (count(')'), count('}'), count(']')), "{expression}");
        assert!(!named(expression).is_empty() || expression.starts_with("up{"), "{expression}");
        for name in named(expression) {
            assert!(samples.contains(name), "{name}, of {expression}, is not in\n{text}");
        }
    }
    // And the other way round: nothing is counted that nobody sees.
    let shown: BTreeSet<&str> = expressions.flat_map(named).collect();
    for sample in &samples {
        let is_histograms = ["_sum", "_count", "_bucket"].iter().any(|suffix| sample.ends_with(suffix));
        let family = sample.trim_end_matches("_sum").trim_end_matches("_count").trim_end_matches("_bucket");
        let is_shown = shown.iter().any(|name| *name == *sample || is_histograms && name.starts_with(family));
        assert!(is_shown, "no panel shows {sample}");
    }
    let alerted: BTreeSet<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["ValidatorAway", "InvalidProofs", "ManyMisses", "StoreErrors", "SlicesWait", "NoMiners", "EpochsNotClosed"] {
        assert!(alerted.contains(name), "{name}");
    }
    validator.stop();
    validator.ended().await;
}

/// The rules of the file, which is written so plainly that no parser of YAML is needed: each line is a comment, or an indented key with
/// a plain or a quoted text.
fn rules(alerts: &str) -> Vec<(String, String)> {
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut seen: Vec<Vec<&str>> = Vec::new();
    for (number, line) in alerts.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let at = format!("alerts.yml:{}: {line}", number + 1);
        let (key, value) = line.trim_start().split_once(':').unwrap_or_else(|| panic!("{at}"));
        let value = value.trim();
        let is_quoted = value.len() > 1 && value.starts_with('\'') && value.ends_with('\'') && !value[1..value.len() - 1].contains('\'');
        let is_plain =
            !value.contains(": ") && !value.contains(" #") && !value.starts_with(['\'', '"', '[', '{', '&', '*', '!', '|', '>', '%', '@']);
        assert!(is_quoted || is_plain, "{at}");
        match (line.len() - line.trim_start().len(), key) {
            (0, "groups") | (4, "rules") => assert_eq!(value, "", "{at}"),
            (2, "- name") => {}
            (6, "- alert") => {
                rules.push((value.to_owned(), String::new()));
                seen.push(Vec::new());
            }
            (8, "expr") => value.clone_into(&mut rules.last_mut().unwrap().1),
            (8, "for") => assert!(value.ends_with('m') && value[..value.len() - 1].parse::<u32>().is_ok(), "{at}"),
            (8, "labels" | "annotations") => assert_eq!(value, "", "{at}"),
            (10, "severity") => assert!(["page", "ticket"].contains(&value), "{at}"),
            (10, "summary") => assert!(is_quoted, "{at}"),
            _ => panic!("{at}"),
        }
        if let Some(seen) = seen.last_mut().filter(|_| line.starts_with("        ")) {
            assert!(!seen.contains(&key), "twice: {at}");
            seen.push(key);
        }
    }
    for (seen, (name, expression)) in seen.iter().zip(&rules) {
        assert!(!expression.is_empty(), "{name}");
        for key in ["labels", "severity", "annotations", "summary"] {
            assert!(seen.contains(&key), "{name} has no {key}");
        }
    }
    rules
}

/// What is logged on one thread: a subscriber for a thread alone would miss what another has met first.
#[derive(Clone)]
struct Logs(Arc<Mutex<Vec<u8>>>, ThreadId);

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if thread::current().id() == self.1 {
            self.0.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is about an assignment names job, slice and assignment, and no line shows a value, a salt or a key.
#[tokio::test]
async fn logs_name_what_they_are_about_and_show_nothing_else() {
    let logs = Logs(Arc::default(), thread::current().id());
    let writer = logs.clone();
    let subscriber = tracing_subscriber::fmt().with_env_filter("zkslice_subnet=trace").with_ansi(false).with_writer(move || writer.clone());
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let validator = crate::support::validator(options(folder.path()), 2).await;
    let package = package(2);
    let liar = miner_with(9, folder.path(), 2, Liar(honest()));
    connected(&validator, &[Arc::clone(&liar)]).await;
    let waiting = tokio::spawn({
        let (validator, job) = (Arc::clone(&validator), job(&package, 1));
        async move { validator.bundle(job).await }
    });
    until("the liar is found out", || account(&liar).invalid > 0).await;
    let honest_one = miner_with(1, folder.path(), 2, honest());
    connected(&validator, &[Arc::clone(&honest_one)]).await;
    waiting.await.unwrap().unwrap();
    until("all receipts are here", || account(&honest_one).valid == 2).await;
    nobody(&validator, 3).await.outbox.send(frame(Kind::Work, &[1; 200]).unwrap());
    tokio::time::sleep(Duration::from_millis(50)).await;
    honest_one.kill();
    validator.stop();
    validator.ended().await;

    let text = String::from_utf8(logs.0.lock().unwrap().clone()).unwrap();
    let lines = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert!(lines("a miner has come") >= 2 && lines("an invalid proof") >= 1 && lines("receipt") >= 3, "{text}");
    for line in text.lines().filter(|line| line.contains("assignment=")) {
        assert!(line.contains("job=0x") && line.contains("slice="), "{line}");
    }
    for line in text.lines().filter(|line| line.contains("a miner ")) {
        assert!(line.contains("miner=0x"), "{line}");
    }
    // Words and long numbers are hashes of jobs and assignments, and addresses: none is a value, a salt or a key.
    for part in text.split(|c: char| c.is_whitespace() || c == ',' || c == '"') {
        let (key, value) = part.split_once('=').unwrap_or(("", part));
        let digits = value.chars().filter(char::is_ascii_hexdigit).count();
        let is_named = match digits {
            0..24 => true,
            41 => ["miner", "validator"].contains(&key),
            65 => ["job", "assignment"].contains(&key),
            _ => false,
        };
        assert!(is_named || value.contains("zkslice_subnet::") || key == "software", "{part}");
    }
}
