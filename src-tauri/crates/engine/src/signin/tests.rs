//! How a session lives on: renewal by one for all, rotation, the keyring's troubles, the end. The ways in are tested
//! with the sandbox's issuer.

use super::issuer::IdentityToken;
use super::stored::Stored;
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
        self.0.begin(grant).await.unwrap();
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
            origin: "here".into(),
            earlier: None,
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

    /// The refresh tokens in the keyring.
    fn kept(&self) -> Vec<String> {
        let texts = self.vault.kept().into_iter().map(Token::new);
        let refresh = |text: Token| Stored::read(&text).unwrap().refresh.reveal().to_owned();
        texts.map(refresh).collect()
    }

    /// Another window or terminal on the same keyring.
    fn other(&self, settings: SignInSettings) -> SignIn {
        SignIn::new(
            settings,
            self.script.clone(),
            self.vault.clone(),
            self.clock.clone(),
        )
    }

    /// Another window or terminal of the same person has renewed.
    async fn renewed_elsewhere(&self, refresh: &str) -> Token {
        let entry = self.signin.entry();
        let mut stored = Stored::read(&self.vault.read(&entry).await.unwrap().unwrap()).unwrap();
        stored.refresh = Token::new(refresh);
        stored.text().unwrap()
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
    assert_eq!(bench.kept(), ["r1"]);
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
    assert_eq!(bench.kept(), ["r2"]);
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
    while bench.kept() != ["r1"] {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("a1")));
}

#[tokio::test]
async fn a_renewal_by_another_window_is_taken_over_from_the_keyring() {
    let bench = Bench::new([tokens("a2", "r2")]).await;
    let newer = bench.renewed_elsewhere("r1").await;
    bench.vault.write(&bench.signin.entry(), &newer).await.unwrap();
    bench.clock.advance(LIFE);
    bench.signin.access_token().await.unwrap();
    assert!(bench.script.body(2).contains("refresh_token=r1"));
    assert_eq!(bench.kept(), ["r2"]);
}

#[tokio::test]
async fn losing_the_race_against_another_window_takes_its_token() {
    let bench = Bench::new([ended(), tokens("a2", "r2")]).await;
    bench.clock.advance(LIFE);
    bench
        .vault
        .replace_after_read(bench.renewed_elsewhere("r1").await);
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("a2")));
    assert!(bench.script.body(2).contains("refresh_token=r0"));
    assert!(bench.script.body(3).contains("refresh_token=r1"));
    assert_eq!(bench.kept(), ["r2"]);
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
    assert_eq!(bench.kept(), ["r0"]);
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
    assert!(bench.kept().is_empty());
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
    assert_eq!(bench.kept(), ["r0"]);
}

#[tokio::test]
async fn signing_out_tells_the_issuer_and_forgets() {
    let bench = Bench::new([answer(200, "")]).await;
    assert_eq!(bench.signin.sign_out().await, Ok(SignedOut::Revoked));
    assert!(bench.script.body(2).contains("token=r0"));
    assert_eq!(bench.signin.session(), None);
    assert!(bench.kept().is_empty());
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
    assert!(bench.kept().is_empty());
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
    assert!(bench.kept().is_empty());
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

fn nonsense(access: &str, refresh: &str, id_token: &str) -> Answer {
    let body = json!({
        "access_token": access, "token_type": "Bearer", "expires_in": 600, "refresh_token": refresh,
        "id_token": id_token
    });
    answer(200, &body.to_string())
}

/// {"alg":"none"} and {}: no signature that anybody could check.
const UNSIGNED: &str = "eyJhbGciOiJub25lIn0.e30.";

#[tokio::test]
async fn a_rotated_token_is_kept_though_what_came_beside_it_does_not_hold() {
    for beside in [UNSIGNED, "no token at all"] {
        let bench = Bench::new([nonsense("a1", "r1", beside), tokens("a2", "r2")]).await;
        bench.clock.advance(LIFE);
        let refused = bench.signin.access_token().await;
        assert!(
            matches!(&refused, Err(SignInError::Identity(_) | SignInError::Nonsense(_))),
            "{refused:?}"
        );
        assert_eq!(bench.kept(), ["r1"]);
        assert_eq!(bench.signin.access_token().await, Ok(Token::new("a2")));
        assert!(bench.script.body(3).contains("refresh_token=r1"));
    }
}

#[tokio::test]
async fn an_earlier_run_is_taken_up_though_the_renewal_repeats_no_id_token() {
    let bench = Bench::new([tokens("a1", "r1")]).await;
    let later = bench.other(bench.signin.0.settings.clone());
    let session = later.restore().await.unwrap().unwrap();
    assert_eq!(
        (session.person.subject.as_str(), session.person.name.as_str()),
        ("anna", "Anna")
    );
    assert_eq!(later.access_token().await, Ok(Token::new("a1")));
}

#[tokio::test]
async fn what_another_process_signed_out_is_not_written_back() {
    let bench = Bench::new([tokens("a1", "r1")]).await;
    bench.vault.forget(&bench.signin.entry()).await.unwrap();
    bench.clock.advance(LIFE);
    let over = bench.signin.access_token().await;
    assert!(matches!(over, Err(SignInError::Ended { .. })), "{over:?}");
    assert!(bench.kept().is_empty());
    assert_eq!(bench.renewals(), 0, "the token was not even used");
}

#[tokio::test]
async fn a_keyring_that_cannot_be_read_now_keeps_the_token_from_being_used_twice() {
    let bench = Bench::new([tokens("a1", "r1")]).await;
    bench.clock.advance(LIFE);
    bench.vault.fail(Some(VaultError::Locked));
    assert_eq!(
        bench.signin.access_token().await,
        Err(SignInError::Keyring(VaultError::Locked))
    );
    bench.vault.fail(None);
    assert_eq!(bench.signin.access_token().await, Ok(Token::new("a1")));
}

impl Bench {
    /// Somebody else signs in, in another window.
    async fn ben_signs_in_elsewhere(&self) {
        let grant = Grant {
            access: Token::new("b0"),
            asked: self.clock.now(),
            life: LIFE,
            refresh: Some(Token::new("s0")),
            identity: None,
            person: Some(Person {
                subject: "ben".into(),
                name: "Ben".into(),
                email: None,
                roles: vec![],
            }),
        };
        self.other(self.signin.0.settings.clone())
            .begin(grant)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn one_persons_window_uses_no_token_of_the_next_one() {
    let bench = Bench::new([]).await;
    bench.ben_signs_in_elsewhere().await;
    bench.clock.advance(LIFE);
    let over = bench.signin.access_token().await;
    assert!(matches!(over, Err(SignInError::Ended { .. })), "{over:?}");
    assert_eq!((bench.kept(), bench.renewals()), (vec!["s0".into()], 0));
}

#[tokio::test]
async fn signing_out_leaves_the_sign_in_of_somebody_else_in_the_keyring() {
    let bench = Bench::new([answer(200, "")]).await;
    bench.ben_signs_in_elsewhere().await;
    assert_eq!(bench.signin.sign_out().await, Ok(SignedOut::Revoked));
    assert_eq!(bench.kept(), ["s0"]);
    assert!(bench.script.body(2).contains("token=r0"));
}

#[tokio::test]
async fn what_is_made_of_one_persons_sign_in_has_no_token_for_the_next() {
    use crate::cloud::TokenSource as _;
    use crate::cloud::aws::IdentitySource as _;
    let bench = Bench::new([answer(200, "")]).await;
    let annas = bench.signin.of_one();
    assert_eq!(annas.token().await, Ok(Token::new("a0")));
    let turn = annas.turn();
    bench.signin.sign_out().await.unwrap();
    assert_ne!(annas.turn(), turn);
    assert!(annas.token().await.is_err());
    let grant = Grant {
        access: Token::new("b0"),
        asked: bench.clock.now(),
        life: LIFE,
        refresh: None,
        identity: None,
        person: Some(Person {
            subject: "ben".into(),
            name: "Ben".into(),
            email: None,
            roles: vec![],
        }),
    };
    bench.signin.begin(grant).await.unwrap();
    assert_eq!(annas.token().await, Err(commission::fault::CloudError::SignedOut));
    assert_eq!(annas.person(), None);
    assert_eq!(bench.signin.of_one().token().await, Ok(Token::new("b0")));
}

#[tokio::test]
async fn a_sign_in_for_one_origin_is_not_taken_up_for_another() {
    let bench = Bench::new([tokens("a1", "r1")]).await;
    let elsewhere = bench.other(SignInSettings {
        origin: "elsewhere".into(),
        ..bench.signin.0.settings.clone()
    });
    let asked = elsewhere.restore().await;
    assert!(matches!(asked, Err(SignInError::OtherOrigin { .. })), "{asked:?}");
    assert_eq!((bench.renewals(), bench.kept()), (0, vec!["r0".into()]));
    // Who signs in there has said that it may; the first origin goes on with it.
    elsewhere
        .take_in_for_test(Token::new("a0"), Token::new("r0"))
        .await;
    let first = bench.other(bench.signin.0.settings.clone());
    assert!(first.restore().await.unwrap().is_some());
}

#[tokio::test]
async fn what_an_earlier_version_kept_by_a_profiles_name_is_moved_only_for_its_own_origin() {
    let by_name = VaultEntry::RefreshToken {
        profile: "plant".into(),
    };
    let bench = Bench::new([tokens("a1", "r1")]).await;
    bench.vault.forget(&bench.signin.entry()).await.unwrap();
    bench.vault.write(&by_name, &Token::new("r0")).await.unwrap();
    let another = bench.other(bench.signin.0.settings.clone());
    assert_eq!(another.restore().await, Ok(None));
    assert_eq!(bench.renewals(), 0);
    let same = bench.other(SignInSettings {
        earlier: Some("plant".into()),
        ..bench.signin.0.settings.clone()
    });
    // The answer says nothing of who it is, and an earlier version kept nothing of it.
    assert!(same.restore().await.is_err());
    assert_eq!(bench.kept(), ["r1"]);
    assert_eq!(bench.vault.read(&by_name).await, Ok(None));
}
