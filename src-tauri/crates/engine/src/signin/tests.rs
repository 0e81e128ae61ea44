//! How a session lives on: renewal by one for all, rotation, the keyring's troubles, the end. The ways in are tested
//! with the sandbox's issuer.

use super::issuer::IdentityToken;
use super::*;
use crate::cloud::http::{Answer, HttpError};
use crate::fixtures::{Script, TestClock, TestVault, answer};
use serde_json::json;

const LIFE: Duration = Duration::from_secs(600);

impl SignIn {
    /// Anna, signed in with these tokens.
    pub(crate) async fn take_in_for_test(&self, access: Token, refresh: Token) {
        let grant = Grant {
            access,
            asked: self.0.clock.now(),
            life: LIFE,
            refresh: Some(refresh),
            identity: Some(IdentityToken {
                token: Token::new("i0"),
                life: LIFE,
            }),
            person: Some(Person {
                subject: "anna".into(),
                name: "Anna".into(),
                email: None,
                roles: vec![],
            }),
        };
        self.begin(grant).await.unwrap();
    }
}

struct Bench {
    signin: SignIn,
    script: Arc<Script>,
    vault: Arc<TestVault>,
    clock: Arc<TestClock>,
}

fn tokens(access: &str, refresh: &str) -> Answer {
    let body = json!({
        "access_token": access, "token_type": "Bearer", "expires_in": 600, "refresh_token": refresh
    });
    answer(200, &body.to_string())
}

fn ended() -> Answer {
    answer(
        400,
        r#"{"error":"invalid_grant","error_description":"Used before."}"#,
    )
}

fn discovery() -> [Answer; 2] {
    let body = json!({
        "issuer": "https://id.example", "authorization_endpoint": "https://id.example/authorize",
        "token_endpoint": "https://id.example/token", "jwks_uri": "https://id.example/jwks",
        "revocation_endpoint": "https://id.example/revoke",
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"]
    });
    [answer(200, &body.to_string()), answer(200, r#"{"keys":[]}"#)]
}

impl Bench {
    /// Anna, signed in with the access token `a0` and the refresh token `r0`.
    async fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::with(TestVault::default(), answers).await
    }

    async fn with(vault: TestVault, answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Arc::new(Script::new(discovery().into_iter().chain(answers)));
        let (vault, clock) = (Arc::new(vault), Arc::new(TestClock::default()));
        let settings = SignInSettings {
            profile: "plant".into(),
            issuer: "https://id.example".into(),
            client_id: "fieldkey".into(),
            scopes: vec!["openid".into(), "offline_access".into()],
        };
        let signin = SignIn::new(settings, script.clone(), vault.clone(), clock.clone());
        signin.take_in_for_test(Token::new("a0"), Token::new("r0")).await;
        Self {
            signin,
            script,
            vault,
            clock,
        }
    }

    /// How often the token endpoint was asked.
    fn renewals(&self) -> usize {
        let asked = self.script.asked();
        asked.iter().filter(|line| *line == "POST /token").count()
    }
}

#[tokio::test]
async fn a_token_is_used_until_shortly_before_its_end() {
    let bench = Bench::new([tokens("a1", "r1")]).await;
    bench.clock.advance(LIFE - MARGIN - Duration::from_secs(1));
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("a0")));
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("a1")));
    assert_eq!(bench.vault.kept(), ["r1"]);
}

#[tokio::test]
async fn twenty_callers_at_once_renew_once() {
    let bench = Bench::new([tokens("a1", "r1")]).await;
    bench.clock.advance(LIFE);
    let callers = (0..20).map(|_| {
        let signin = bench.signin.clone();
        tokio::spawn(async move { signin.access_token().await })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.await.unwrap(), Ok(Token::new("a1")));
    }
    assert_eq!(bench.renewals(), 1);
}

#[tokio::test]
async fn two_programs_at_once_never_use_the_same_refresh_token() {
    // Used twice, it would end the sign-in of both.
    let answers = [tokens("a1", "r1")]
        .into_iter()
        .chain(discovery())
        .chain([tokens("a2", "r2")]);
    let bench = Bench::new(answers).await;
    let other = SignIn::new(
        bench.signin.0.settings.clone(),
        bench.script.clone(),
        bench.vault.clone(),
        bench.clock.clone(),
    );
    other.take_in_for_test(Token::new("a0"), Token::new("r0")).await;
    bench.clock.advance(LIFE);
    let (one, two) = tokio::join!(bench.signin.access_token(), other.access_token());
    assert_eq!((one, two), (Ok(Token::new("a1")), Ok(Token::new("a2"))));
    assert!(bench.script.body(2).contains("refresh_token=r0"));
    assert!(bench.script.body(5).contains("refresh_token=r1"));
    assert_eq!(bench.vault.kept(), ["r2"]);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_however_many_saw_it_refused() {
    let bench = Bench::new([tokens("a1", "r1")]).await;
    let refused = Token::new("a0");
    let (first, second) = tokio::join!(
        bench.signin.another_token(&refused),
        bench.signin.another_token(&refused)
    );
    assert_eq!((first, second), (Ok(Token::new("a1")), Ok(Token::new("a1"))));
    assert_eq!(bench.renewals(), 1);
}

#[tokio::test]
async fn a_renewal_that_nobody_waits_for_any_more_still_reaches_the_keyring() {
    let bench = Bench::new([tokens("a1", "r1")]).await;
    bench.clock.advance(LIFE);
    {
        let renewal = bench.signin.access_token();
        tokio::pin!(renewal);
        let begun = async {
            while bench.script.asked().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { biased; _ = &mut renewal => panic!("too fast to be dropped"), () = begun => {} }
    }
    while bench.vault.kept() != ["r1"] {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("a1")));
}

#[tokio::test]
async fn a_renewal_by_another_window_is_taken_over_from_the_keyring() {
    let bench = Bench::new([tokens("a2", "r2")]).await;
    let entry = bench.signin.0.entry();
    bench.vault.write(&entry, &Token::new("r1")).await.unwrap();
    bench.clock.advance(LIFE);
    bench.signin.access_token().await.unwrap();
    assert!(bench.script.body(2).contains("refresh_token=r1"));
    assert_eq!(bench.vault.kept(), ["r2"]);
}

#[tokio::test]
async fn losing_the_race_against_another_window_takes_its_token() {
    let bench = Bench::new([ended(), tokens("a2", "r2")]).await;
    bench.clock.advance(LIFE);
    bench.vault.replace_after_read(Token::new("r1"));
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("a2")));
    assert!(bench.script.body(2).contains("refresh_token=r0"));
    assert!(bench.script.body(3).contains("refresh_token=r1"));
    assert_eq!(bench.vault.kept(), ["r2"]);
}

#[tokio::test]
async fn an_issuer_out_of_reach_ends_nothing_while_the_token_lives() {
    let bench = Bench::new([]).await;
    bench.clock.advance(LIFE - Duration::from_secs(5));
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("a0")));
    bench.clock.advance(Duration::from_secs(5));
    let error = bench.signin.access_token().await;
    assert!(matches!(error, Err(SignInError::Unreachable(_))), "{error:?}");
    assert!(bench.signin.session().is_some());
    assert_eq!(bench.vault.kept(), ["r0"]);
}

#[tokio::test]
async fn a_refused_token_is_not_handed_out_again_while_the_issuer_is_away() {
    let bench = Bench::new([]).await;
    let error = bench.signin.another_token(&Token::new("a0")).await;
    assert!(matches!(error, Err(SignInError::Unreachable(_))), "{error:?}");
}

#[tokio::test]
async fn a_revoked_sign_in_is_over_and_forgotten() {
    let bench = Bench::new([ended()]).await;
    bench.clock.advance(LIFE);
    assert_eq!(
        bench.signin.access_token().await,
        Err(SignInError::Ended {
            detail: "Used before.".into()
        })
    );
    assert_eq!(bench.signin.session(), None);
    assert!(bench.vault.kept().is_empty());
    assert_eq!(bench.signin.access_token().await, Err(SignInError::SignedOut));
}

#[tokio::test]
async fn without_a_keyring_the_session_stays_in_memory_and_says_so() {
    let absent = VaultError::Absent("no service".into());
    let vault = TestVault::default();
    vault.fail(Some(absent.clone()));
    let bench = Bench::with(vault, [tokens("a1", "r1"), tokens("a2", "r2")]).await;
    assert_eq!(
        bench.signin.session().unwrap().kept,
        Kept::MemoryOnly(absent.clone())
    );
    for access in ["a1", "a2"] {
        bench.clock.advance(LIFE);
        assert_eq!(bench.signin.access_token().await, Ok(Token::new(access)));
    }
    assert!(bench.script.body(3).contains("refresh_token=r1"));
}

#[tokio::test]
async fn nothing_in_the_keyring_is_no_session_and_no_error() {
    let bench = Bench::new([]).await;
    let fresh = SignIn::new(
        bench.signin.0.settings.clone(),
        bench.script.clone(),
        Arc::new(TestVault::default()),
        bench.clock.clone(),
    );
    assert_eq!(fresh.restore().await, Ok(None));
    assert_eq!(fresh.access_token().await, Err(SignInError::SignedOut));
    assert_eq!(fresh.sign_out().await, Ok(SignedOut::Nothing));
}

#[tokio::test]
async fn restoring_without_a_network_keeps_the_sign_in_for_later() {
    let bench = Bench::new([]).await;
    let offline = Arc::new(Script::default());
    offline.then(Err(HttpError::TimedOut {
        host: "id.example".into(),
    }));
    let later = SignIn::new(
        bench.signin.0.settings.clone(),
        offline,
        bench.vault.clone(),
        bench.clock.clone(),
    );
    assert!(matches!(later.restore().await, Err(SignInError::Unreachable(_))));
    assert_eq!(bench.vault.kept(), ["r0"]);
}

#[tokio::test]
async fn signing_out_tells_the_issuer_and_forgets() {
    let bench = Bench::new([answer(200, "")]).await;
    assert_eq!(bench.signin.sign_out().await, Ok(SignedOut::Everywhere));
    assert!(bench.script.body(2).contains("token=r0"));
    assert_eq!(bench.signin.session(), None);
    assert!(bench.vault.kept().is_empty());
    assert_eq!(bench.signin.sign_out().await, Ok(SignedOut::Nothing));
}

#[tokio::test]
async fn signing_out_offline_forgets_here_and_says_that_the_issuer_does_not_know() {
    let bench = Bench::new([]).await;
    let out = bench.signin.sign_out().await;
    assert!(
        matches!(&out, Ok(SignedOut::HereOnly(SignInError::Unreachable(_)))),
        "{out:?}"
    );
    assert!(bench.vault.kept().is_empty());
    assert_eq!(bench.signin.access_token().await, Err(SignInError::SignedOut));
}

#[tokio::test]
async fn a_keyring_that_does_not_let_go_keeps_the_sign_in_whole() {
    let bench = Bench::new([]).await;
    bench.vault.fail(Some(VaultError::Locked));
    assert_eq!(
        bench.signin.sign_out().await,
        Err(SignInError::Keyring(VaultError::Locked))
    );
    assert!(bench.signin.session().is_some());
}

#[tokio::test]
async fn an_unrenewable_session_lasts_as_long_as_its_token() {
    let bench = Bench::new([]).await;
    let grant = Grant {
        access: Token::new("b0"),
        asked: bench.clock.now(),
        life: LIFE,
        refresh: None,
        identity: None,
        person: bench.signin.session().map(|session| session.person),
    };
    let session = bench.signin.begin(grant).await.unwrap();
    assert_eq!(session.kept, Kept::NotRenewable);
    assert!(bench.vault.kept().is_empty());
    bench.clock.advance(LIFE - Duration::from_secs(1));
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("b0")));
    bench.clock.advance(Duration::from_secs(1));
    assert!(matches!(
        bench.signin.access_token().await,
        Err(SignInError::Ended { .. })
    ));
}

#[tokio::test]
async fn giving_up_ends_the_wait_for_the_browser() {
    struct NoBrowser;
    impl Browser for NoBrowser {
        fn open(&self, _page: &Url) -> Result<(), BrowserError> {
            Err(BrowserError("no display".into()))
        }
    }
    let bench = Bench::new([]).await;
    let (shown, mut pages) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |event| shown.send(event).unwrap();
    let given_up = async move {
        let event = pages.recv().await;
        assert!(matches!(event, Some(SignInEvent::OpenByHand { page, .. }) if page.scheme() == "https"));
    };
    let ended = bench
        .signin
        .with_browser(Arc::new(NoBrowser), &tell, given_up)
        .await;
    assert_eq!(ended, Err(SignInError::Cancelled));
}

#[tokio::test]
async fn nobody_in_front_of_the_browser_ends_in_time() {
    struct Ignored;
    impl Browser for Ignored {
        fn open(&self, _page: &Url) -> Result<(), BrowserError> {
            Ok(())
        }
    }
    let bench = Bench::new([]).await;
    let clock = bench.clock.clone();
    let tell = move |event| {
        assert_eq!(event, SignInEvent::BrowserOpened);
        clock.advance(BROWSER_TIME);
    };
    let ended = bench
        .signin
        .with_browser(Arc::new(Ignored), &tell, std::future::pending())
        .await;
    assert_eq!(ended, Err(SignInError::TimedOut));
}

#[tokio::test]
async fn an_id_token_holds_on_over_renewals_that_bring_none_and_then_asks_for_a_sign_in() {
    let bench = Bench::new([tokens("a1", "r1"), tokens("a2", "r2"), tokens("a3", "r3")]).await;
    assert_eq!(bench.signin.identity_token().await, Ok(Token::new("i0")));
    assert_eq!(bench.renewals(), 0);
    bench.clock.advance(LIFE - Duration::from_secs(30));
    assert_eq!(bench.signin.identity_token().await, Ok(Token::new("i0")));
    assert_eq!(bench.renewals(), 1);
    bench.clock.advance(Duration::from_secs(30));
    let over = bench.signin.identity_token().await;
    assert!(matches!(over, Err(SignInError::NotOffered { .. })), "{over:?}");
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("a2")));
}

#[tokio::test]
async fn an_id_token_that_was_refused_is_not_handed_out_again() {
    let bench = Bench::new([tokens("a1", "r1")]).await;
    let other = bench.signin.another_identity_token(&Token::new("i0")).await;
    assert!(matches!(other, Err(SignInError::NotOffered { .. })), "{other:?}");
    let earlier = bench
        .signin
        .another_identity_token(&Token::new("an earlier one"))
        .await;
    assert_eq!(earlier, Ok(Token::new("i0")));
    assert_eq!(bench.renewals(), 1);
}

#[tokio::test]
async fn nobody_has_an_id_token_before_signing_in() {
    let bench = Bench::new([]).await;
    bench.signin.sign_out().await.unwrap();
    assert_eq!(bench.signin.identity_token().await, Err(SignInError::SignedOut));
}
