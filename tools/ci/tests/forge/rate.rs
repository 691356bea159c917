//! A forge that asks to be left alone is left alone, whoever asks next.

use ci::forge::{Forge as _, ForgeError};
use exec::Cancel;

use crate::fake::{Forge, REPO, ok, reply, run};

#[test]
fn a_limit_that_is_spent_for_long_is_not_asked_against_again() {
    let forge = Forge::start();
    let path = format!("{REPO}/actions/runs/7");
    let spent = [
        ("Content-Type", "application/json"),
        ("Retry-After", "1800"),
    ];
    forge.api.on(&path, reply(403, &spent, b"{}"));
    forge.api.on(&path, ok(&run(7)));
    let (client, cancel) = (forge.client(), Cancel::new().unwrap());
    let wait = |asked: Result<_, ForgeError>| match asked {
        Err(ForgeError::RateLimited { wait_s }) => wait_s,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(client.run("7", None, &cancel)), 1800);
    let left = wait(client.run("7", None, &cancel));
    assert!((1700..=1800).contains(&left), "{left}");
    let order = wait(client.cancel_run("7", &cancel));
    assert!(order <= left, "{order}");
    assert_eq!(forge.api.asked().len(), 1, "nothing was sent meanwhile");
}

#[test]
fn a_pause_of_the_forge_that_no_clock_holds_is_none_for_ever() {
    let forge = Forge::start();
    let path = format!("{REPO}/actions/runs/7");
    let absurd = u64::MAX.to_string();
    let headers = [
        ("Content-Type", "application/json"),
        ("Retry-After", absurd.as_str()),
    ];
    forge.api.on(&path, reply(429, &headers, b"{}"));
    let (client, cancel) = (forge.client(), Cancel::new().unwrap());
    assert!(client.run("7", None, &cancel).is_err());
    match client.run("7", None, &cancel) {
        Err(ForgeError::RateLimited { wait_s }) => assert!(wait_s <= 3600, "{wait_s}"),
        other => panic!("{other:?}"),
    }
}
