//! `fieldkey resume`: finish or undo what an earlier run left open.

use engine::ports::Journal;
use engine::request::Request;

use crate::exit::Ended;
use crate::follow;
use crate::passphrases::Passphrases;
use crate::setup::Setup;

/// Settles every unfinished job of the journal with the cloud.
pub(crate) async fn run(setup: &Setup) -> Result<(), Ended> {
    // Before looking: what another process has in work is not open.
    let _work = setup.work()?;
    let open = setup.journal()?.unfinished().await?;
    if open.is_empty() {
        setup.out.both(
            "nothing-open",
            &serde_json::json!({}),
            "Nothing is open: every job has come to its end.",
        );
        return Ok(());
    }
    let signed_in = setup.signed_in().await?;
    let parts = setup.parts(&signed_in)?;
    setup.out.say(match open.len() {
        1 => "1 job was left open; the cloud is asked about it.".to_owned(),
        count => format!("{count} jobs were left open; the cloud is asked about each."),
    });
    let engine = engine::run::Engine::start(parts);
    for job in &open {
        engine.request(Request::Resume(*job));
    }
    follow::to_the_end(setup, engine, &open, Passphrases::new(signed_in.vault)).await
}
