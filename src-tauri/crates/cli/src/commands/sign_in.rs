//! `fieldkey sign-in`, `sign-out` and `whoami`.

use std::sync::Arc;

use engine::signin::{Kept, Session, SignInEvent, SignedOut};
use engine::system::SystemBrowser;
use engine::vault;

use crate::exit::Ended;
use crate::setup::{Setup, kept_words, sign_in_ended};

/// Signs in, through the browser or with a code.
pub(crate) async fn run(setup: &Setup, device_code: bool) -> Result<(), Ended> {
    let (vault, _) = vault::detect().await;
    let sign_in = setup.sign_in(vault)?;
    // Where Ctrl-C cannot be listened for, the sign-in's own time-out ends it.
    let cancelled = setup.interrupts.next();
    let tell = |event: SignInEvent| tell(setup, &event);
    let session = if device_code {
        sign_in.with_device_code(&tell, cancelled).await
    } else {
        sign_in
            .with_browser(Arc::new(SystemBrowser), &tell, cancelled)
            .await
    };
    let session = session.map_err(sign_in_ended)?;
    if let Some(words) = kept_words(&session.kept) {
        setup.out.warn("sign-in-kept", &words);
    }
    say_who(setup, &session, "signed-in");
    Ok(())
}

/// Ends the sign-in at the issuer and here.
pub(crate) async fn out(setup: &Setup) -> Result<(), Ended> {
    let vault = setup.keyring().await?;
    let sign_in = setup.sign_in(vault)?;
    match sign_in.sign_out().await.map_err(sign_in_ended)? {
        SignedOut::Revoked => {
            setup.out.both(
                "signed-out",
                &serde_json::json!({ "revoked": true }),
                "Signed out: this computer has forgotten the sign-in and the issuer has ended it. What was handed out \
                 already ends by itself within minutes; your browser may still be signed in at the issuer, which asks \
                 whoever signs in here next.",
            );
        }
        SignedOut::Nothing => {
            setup.out.both(
                "signed-out",
                &serde_json::json!({ "revoked": false }),
                "Nobody was signed in.",
            );
        }
        SignedOut::HereOnly(error) => {
            setup
                .out
                .line("signed-out", &serde_json::json!({ "revoked": false }));
            setup.out.say("Signed out on this computer.");
            setup.out.warn(
                error.code(),
                &format!("the issuer was not told to end the sign-in: {error}"),
            );
        }
    }
    Ok(())
}

/// Who is signed in.
pub(crate) async fn whoami(setup: &Setup) -> Result<(), Ended> {
    let signed_in = setup.signed_in().await?;
    say_who(setup, &signed_in.session, "whoami");
    Ok(())
}

fn tell(setup: &Setup, event: &SignInEvent) {
    match event {
        SignInEvent::BrowserOpened => setup.out.both(
            "browser-opened",
            &serde_json::json!({}),
            "Your browser shows the sign-in page. Come back here when it says so.",
        ),
        SignInEvent::OpenByHand { page, why } => setup.out.both(
            "open-by-hand",
            &serde_json::json!({ "page": page.as_str() }),
            format!(
                "{why}.\nOpen this address in a browser on this computer:\n  {page}\nWithout one, stop this and use \
                 another device: fieldkey sign-in --device-code"
            ),
        ),
        SignInEvent::EnterCode {
            user_code,
            page,
            page_with_code,
            life,
        } => setup.out.both(
            "enter-code",
            &serde_json::json!({
                "userCode": user_code,
                "page": page.as_str(),
                "pageWithCode": page_with_code.as_ref().map(|page| page.as_str()),
                "seconds": life.as_secs(),
            }),
            format!(
                "On any device, open\n  {page}\nand enter the code\n  {user_code}\nwithin {} minutes.",
                life.as_secs() / 60
            ),
        ),
    }
}

fn say_who(setup: &Setup, session: &Session, kind: &str) {
    let person = &session.person;
    let left = session.expires.left(setup.clock.now());
    let until = match &session.kept {
        Kept::Keyring => "you stay signed in until you sign out".to_owned(),
        Kept::MemoryOnly(_) => "the sign-in ends with this command".to_owned(),
        Kept::NotRenewable => format!("the sign-in ends within {} min", left.as_secs().div_ceil(60)),
    };
    let roles = if person.roles.is_empty() {
        "no roles stated".into()
    } else {
        person.roles.join(", ")
    };
    setup.out.both(
        kind,
        &serde_json::json!({
            "subject": person.subject,
            "name": person.name,
            "email": person.email,
            "roles": person.roles,
            "profile": setup.profile_name(),
            "tokenSecondsLeft": left.as_secs(),
        }),
        format!(
            "Signed in as {} ({roles}) for {}; {until}.",
            person.name,
            setup.profile_name()
        ),
    );
}
