//! Real processes: killed at any point, or asked to stop.

#![cfg(unix)]
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{FEE, MODELS, Simulator, World, config, name, signer, states};
use zkslice_relayer::{Relayer, State, cancel_on_signals};

/// Not a test: the relayer that the tests below kill. It says each event, and lingers after the one named in `LINGER_AT`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other tests start it"]
async fn child() {
    let Ok(url) = std::env::var("RELAYER_URL") else { return };
    let variable = |key: &str| std::env::var(key).unwrap();
    let linger_at = variable("LINGER_AT");
    let cancel = cancel_on_signals().unwrap();
    let config = config(&url, variable("RELAYER_ORACLE").parse().unwrap(), variable("RELAYER_DATABASE").as_ref());
    let relayer = Relayer::new(config, Simulator::new(&MODELS), signer(1)).await.unwrap();
    let mut relayer = relayer.with_observer(move |event| {
        let event = name(event);
        println!("\nevent {event}");
        std::io::stdout().flush().unwrap();
        if event == linger_at {
            std::thread::sleep(Duration::from_secs(2));
        }
        ControlFlow::Continue(())
    });
    relayer.run(cancel).await.unwrap();
    println!("\nevent Stopped");
}

/// Starts the child and waits until it lingers.
fn start(world: &World, linger_at: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "kill::child", "--nocapture"])
        .env("RELAYER_URL", &world.anvil.url)
        .env("RELAYER_ORACLE", world.oracle.to_string())
        .env("RELAYER_DATABASE", world.path("relayer.sqlite"))
        .env("LINGER_AT", linger_at)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let expected = format!("event {linger_at}");
    while lines.next().expect("the child ended").unwrap() != expected {}
    std::thread::spawn(move || for _ in lines {});
    child
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_at_any_point_pays_exactly_once() {
    let world = World::new().await;
    world.ask("single").await;
    for event in ["Seen", "Proving", "Proved", "Prepared", "Sent"] {
        // SIGKILL.
        let mut child = start(&world, event);
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
    }
    let mut relayer = world.relayer(world.config()).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Done]);
    assert_eq!(relayer.requests().await.unwrap()[0].attempts, 1);
    assert_eq!((world.mined().await, world.fulfilments().await.len()), (1, 1));
    assert_eq!(world.credits(signer(1).address()).await.to::<u64>(), FEE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_the_step_and_exits_0() {
    let world = World::new().await;
    world.ask("single").await;
    // Between writing down and sending.
    let mut child = start(&world, "Prepared");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert_eq!(world.mined_soon().await, 1, "what was written down is sent before the end");
    let mut relayer = world.relayer(world.config()).await;
    relayer.run_until_idle().await.unwrap();
    assert_eq!(states(&relayer).await, [State::Done]);
}
