//! A door to the desk for the window's tests in a browser: a WebSocket on a loopback port, requests down, views up.
//!
//! Two processes, as at a real site. `bridge SCENARIO` is the world: it starts a sandbox, says on standard output when
//! all is ready, and does what its standard input asks. `bridge desk`, which it starts, is the program under test: the
//! engine's desk over stock btleplug, the system's keyring and a journal, which finds the sandbox as it would find a
//! real site. The world can end it without notice and start it again.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test's world that cannot be made ends with the reason, and speaks in lines"
)]

mod desk;
mod world;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["desk"] => runtime.block_on(desk::serve()),
        [scenario] => runtime.block_on(world::run(scenario)),
        _ => eprintln_usage(),
    }
}

#[expect(clippy::print_stderr, reason = "whoever starts it wrongly must see how")]
fn eprintln_usage() {
    eprintln!("bridge SCENARIO.toml");
}
