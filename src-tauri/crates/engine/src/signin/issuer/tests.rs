//! What the issuer says is believed only where it holds; made with real signatures and a scripted issuer.

use super::*;
use crate::cloud::http::Answer;
use crate::fixtures::{NEW_YEAR, Script, TestClock, answer};
use openidconnect::core::CoreEdDsaPrivateSigningKey;
use openidconnect::{
    AccessToken, Audience, IdToken, IdTokenClaims, JsonWebKeyId, PrivateSigningKey, StandardClaims,
    SubjectIdentifier,
};
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example/org";

type Claims = IdTokenClaims<Roles, CoreGenderClaim>;

struct Key(CoreEdDsaPrivateSigningKey);

impl Key {
    fn new(kid: &str) -> Self {
        let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)
            .unwrap()
            .serialize_pem();
        let kid = JsonWebKeyId::new(kid.into());
        Self(CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(kid)).unwrap())
    }

    fn jwks(&self) -> Answer {
        answer(
            200,
            &json!({ "keys": [self.0.as_verification_key()] }).to_string(),
        )
    }

    /// A token answer with these claims, made for this access token.
    fn tokens(&self, claims: Claims, hashed: &str) -> Answer {
        let token: IdToken<
            Roles,
            CoreGenderClaim,
            CoreJweContentEncryptionAlgorithm,
            CoreJwsSigningAlgorithm,
        > = IdToken::new(
            claims,
            &self.0,
            CoreJwsSigningAlgorithm::EdDsa,
            Some(&AccessToken::new(hashed.into())),
            None,
        )
        .unwrap();
        token_answer(&json!(token))
    }
}

fn token_answer(id_token: &Value) -> Answer {
    let body = json!({
        "access_token": "at", "token_type": "Bearer", "expires_in": 600, "refresh_token": "rt",
        "id_token": id_token
    });
    answer(200, &body.to_string())
}

fn discovery() -> Answer {
    let body = json!({
        "issuer": ISSUER, "authorization_endpoint": "https://id.example/authorize",
        "token_endpoint": "https://id.example/token", "jwks_uri": "https://id.example/jwks",
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"]
    });
    answer(200, &body.to_string())
}

fn settings() -> SignInSettings {
    SignInSettings {
        origin: "here".into(),
        earlier: None,
        issuer: ISSUER.into(),
        client_id: "fieldkey".into(),
        scopes: vec!["openid".into(), "offline_access".into()],
    }
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(NEW_YEAR + seconds, 0).unwrap()
}

fn claims(nonce: &Nonce) -> Claims {
    IdTokenClaims::new(
        IssuerUrl::new(ISSUER.into()).unwrap(),
        vec![Audience::new("fieldkey".into())],
        time(600),
        time(0),
        StandardClaims::new(SubjectIdentifier::new("anna".into())),
        Roles {
            roles: Some(OneOrMore::More(vec!["installer".into()])),
        },
    )
    .set_nonce(Some(nonce.clone()))
}

async fn issuer(script: &Arc<Script>, clock: &Arc<TestClock>) -> Issuer {
    Issuer::discover(&settings(), script.clone(), clock.clone())
        .await
        .unwrap()
}

/// Signs in with what the issuer makes of the nonce.
async fn sign_in(tokens: impl FnOnce(&Key, &Nonce) -> Answer) -> Result<Grant, SignInError> {
    let (key, clock) = (Key::new("k1"), Arc::new(TestClock::default()));
    let script = Arc::new(Script::new([discovery(), key.jwks()]));
    let issuer = issuer(&script, &clock).await;
    let attempt = issuer.attempt("http://127.0.0.1:1/callback", false).unwrap();
    script.then(Ok(tokens(&key, &attempt.nonce)));
    // Where a key is unknown, the issuer is asked for its keys again.
    script.then(Ok(discovery()));
    script.then(Ok(key.jwks()));
    issuer.redeem(attempt, &Token::new("code")).await
}

#[tokio::test]
async fn a_sign_in_that_holds_tells_who_it_is() {
    let grant = sign_in(|key, nonce| key.tokens(claims(nonce), "at"))
        .await
        .map_err(|error| error.to_string());
    let grant = grant.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (grant.access, grant.refresh),
        (Token::new("at"), Some(Token::new("rt")))
    );
    assert_eq!(grant.life, Duration::from_secs(600));
    let person = grant.person.unwrap();
    assert_eq!((person.subject, person.name), ("anna".into(), "anna".into()));
    assert_eq!(person.roles, ["installer"]);
}

#[tokio::test]
async fn each_flaw_of_an_id_token_is_named() {
    use IdentityTokenFault as Fault;
    type Make = Box<dyn FnOnce(&Key, &Nonce) -> Answer>;
    let with = |change: fn(Claims) -> Claims| -> Make {
        Box::new(move |key, nonce| key.tokens(change(claims(nonce)), "at"))
    };
    let table: Vec<(&str, Make, Fault)> = vec![
        (
            "another nonce",
            with(|claims| claims.set_nonce(Some(Nonce::new("other".into())))),
            Fault::Nonce,
        ),
        ("no nonce", with(|claims| claims.set_nonce(None)), Fault::Nonce),
        (
            "another issuer",
            with(|claims| claims.set_issuer(IssuerUrl::new("https://evil.example".into()).unwrap())),
            Fault::Issuer,
        ),
        (
            "another audience",
            with(|claims| claims.set_audiences(vec![Audience::new("other".into())])),
            Fault::Audience,
        ),
        (
            "one audience too many",
            with(|claims| {
                claims.set_audiences(vec![
                    Audience::new("fieldkey".into()),
                    Audience::new("other".into()),
                ])
            }),
            Fault::Audience,
        ),
        (
            "no audience",
            with(|claims| claims.set_audiences(vec![])),
            Fault::Audience,
        ),
        (
            "over",
            with(|claims| claims.set_expiration(time(-61))),
            Fault::Time,
        ),
        (
            "from the future",
            with(|claims| claims.set_issue_time(time(62))),
            Fault::Time,
        ),
        (
            "for another access token",
            Box::new(|key, nonce| key.tokens(claims(nonce), "other")),
            Fault::AccessToken,
        ),
        (
            "missing",
            Box::new(|_, _| token_answer(&Value::Null)),
            Fault::Missing,
        ),
        (
            "an unpublished key",
            Box::new(|_, nonce| Key::new("k2").tokens(claims(nonce), "at")),
            Fault::Signature("a key that the issuer does not publish".into()),
        ),
    ];
    for (flaw, make, fault) in table {
        assert_eq!(
            sign_in(make).await.err(),
            Some(SignInError::Identity(fault)),
            "{flaw}"
        );
    }
    let forged = sign_in(|_, nonce| Key::new("k1").tokens(claims(nonce), "at")).await;
    assert!(matches!(
        forged.err(),
        Some(SignInError::Identity(Fault::Signature(_)))
    ));
    // {"alg":"none"}
    let unsigned = sign_in(|_, _| token_answer(&json!("eyJhbGciOiJub25lIn0.e30."))).await;
    assert!(unsigned.is_err());
}

#[tokio::test]
async fn a_laptop_a_year_ahead_signs_in_by_the_issuers_clock() {
    let year = 365 * 24 * 3600;
    let (key, clock) = (Key::new("k1"), Arc::new(TestClock::default()));
    clock.advance(Duration::from_secs(year));
    let late = |mut answer: Answer| {
        answer.clock_ahead = Some(i64::try_from(year).unwrap());
        answer
    };
    let script = Arc::new(Script::new([late(discovery()), late(key.jwks())]));
    let issuer = issuer(&script, &clock).await;
    let attempt = issuer.attempt("http://127.0.0.1:1/callback", false).unwrap();
    script.then(Ok(late(key.tokens(claims(&attempt.nonce), "at"))));
    assert!(issuer.redeem(attempt, &Token::new("code")).await.is_ok());
}

#[tokio::test]
async fn where_the_issuer_tells_no_time_a_wrong_clock_is_named_as_the_cause() {
    let (key, clock) = (Key::new("k1"), Arc::new(TestClock::default()));
    clock.advance(Duration::from_secs(86_400));
    let script = Arc::new(Script::new([discovery(), key.jwks()]));
    let issuer = issuer(&script, &clock).await;
    let attempt = issuer.attempt("http://127.0.0.1:1/callback", false).unwrap();
    let mut undated = key.tokens(claims(&attempt.nonce), "at");
    undated.clock_ahead = None;
    script.then(Ok(undated));
    let ended = issuer.redeem(attempt, &Token::new("code")).await;
    assert_eq!(ended.err(), Some(SignInError::Clock));
}

#[tokio::test]
async fn new_keys_of_the_issuer_are_fetched_when_needed() {
    let (old, new) = (Key::new("k1"), Key::new("k2"));
    let clock = Arc::new(TestClock::default());
    let script = Arc::new(Script::new([discovery(), old.jwks()]));
    let issuer = issuer(&script, &clock).await;
    let attempt = issuer.attempt("http://127.0.0.1:1/callback", false).unwrap();
    for answer in [new.tokens(claims(&attempt.nonce), "at"), discovery(), new.jwks()] {
        script.then(Ok(answer));
    }
    assert!(issuer.redeem(attempt, &Token::new("code")).await.is_ok());
}

#[tokio::test]
async fn a_renewal_says_who_it_is_about_unless_that_is_known() {
    let (key, clock) = (Key::new("k1"), Arc::new(TestClock::default()));
    let script = Arc::new(Script::new([discovery(), key.jwks()]));
    let issuer = issuer(&script, &clock).await;
    for _ in 0..2 {
        script.then(Ok(token_answer(&Value::Null)));
    }
    script.then(Ok(key.tokens(claims(&Nonce::new("n".into())), "at")));
    let token = Token::new("rt");
    let renewal = issuer.refresh(&token).await.ok().unwrap();
    let known = issuer.check(&renewal, true).await.ok().unwrap();
    assert_eq!(known.person, None);
    let renewal = issuer.refresh(&token).await.ok().unwrap();
    assert_eq!(
        issuer.check(&renewal, false).await.err(),
        Some(SignInError::Identity(IdentityTokenFault::Missing))
    );
    let renewal = issuer.refresh(&token).await.ok().unwrap();
    let said = issuer.check(&renewal, false).await.ok().unwrap();
    assert_eq!(said.person.unwrap().subject, "anna");
}

#[tokio::test]
async fn the_request_of_the_browser_carries_pkce_state_nonce_and_scopes() {
    let script = Arc::new(Script::new([discovery(), Key::new("k").jwks()]));
    let issuer = issuer(&script, &Arc::new(TestClock::default())).await;
    let attempt = issuer.attempt("http://127.0.0.1:49152/callback", false).unwrap();
    let sent: std::collections::BTreeMap<String, String> = attempt.page.query_pairs().into_owned().collect();
    assert_eq!(sent["code_challenge_method"], "S256");
    assert_eq!(sent["code_challenge"].len(), 43);
    assert_eq!(sent["redirect_uri"], "http://127.0.0.1:49152/callback");
    assert_eq!(sent["state"], attempt.state.reveal());
    assert_eq!(sent["nonce"], *attempt.nonce.secret());
    assert_eq!(sent["scope"], "openid offline_access");
    assert_eq!(sent["response_type"], "code");
    let other = issuer.attempt("http://127.0.0.1:49152/callback", false).unwrap();
    assert_ne!(other.state, attempt.state);
}

#[tokio::test]
async fn who_comes_after_a_sign_out_is_asked_in_the_way_that_the_issuer_knows() {
    let table = [
        (json!(null), None),
        (json!(["none", "login", "select_account"]), Some("login")),
        (json!(["none", "select_account"]), Some("select_account")),
        (json!(["none"]), None),
    ];
    for (known, prompt) in table {
        let mut offered: Value = serde_json::from_slice(&discovery().body).unwrap();
        offered["prompt_values_supported"] = known;
        let script = Arc::new(Script::new([
            answer(200, &offered.to_string()),
            Key::new("k").jwks(),
        ]));
        let issuer = issuer(&script, &Arc::new(TestClock::default())).await;
        let sent = |anew| {
            let attempt = issuer.attempt("http://127.0.0.1:1/callback", anew).unwrap();
            let sent = attempt.page.query_pairs().into_owned();
            sent.collect::<std::collections::BTreeMap<String, String>>()
        };
        assert_eq!(sent(true).get("prompt").map(String::as_str), prompt);
        assert_eq!(sent(true).get("max_age").map(String::as_str), Some("0"));
        let lapsed = sent(false);
        assert!(!lapsed.contains_key("prompt") && !lapsed.contains_key("max_age"));
    }
}

#[tokio::test]
async fn a_device_code_is_asked_for_at_the_pace_that_the_issuer_wants() {
    let (key, clock) = (Key::new("k1"), Arc::new(TestClock::default()));
    let mut offered: Value = serde_json::from_slice(&discovery().body).unwrap();
    offered["device_authorization_endpoint"] = json!("https://id.example/device");
    let code = json!({
        "device_code": "dc", "user_code": "ABCD-EFGH", "verification_uri": "https://id.example/d",
        "expires_in": 600, "interval": 5
    });
    let waiting = |code: &str| answer(400, &json!({ "error": code }).to_string());
    let script = Arc::new(Script::new([
        answer(200, &offered.to_string()),
        key.jwks(),
        answer(200, &code.to_string()),
        waiting("authorization_pending"),
        waiting("slow_down"),
        key.tokens(claims(&Nonce::new("none was sent".into())), "at"),
    ]));
    let issuer = issuer(&script, &clock).await;
    let attempt = issuer
        .device_attempt()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(attempt.user_code, "ABCD-EFGH");
    let poll = tokio::spawn(async move { issuer.poll(&attempt).await.map(|grant| grant.person) });
    // Asked at once, after five seconds, and after ten more since it was too fast.
    for (polls, pause) in [(1, 5), (2, 10)] {
        let settled = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            script.asked().len() - 3
        };
        assert_eq!(settled.await, polls);
        clock.advance(Duration::from_secs(pause - 1));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(script.asked().len() - 3, polls, "not before its time");
        clock.advance(Duration::from_secs(1));
    }
    let person = poll.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(person.unwrap().subject, "anna");
}

#[tokio::test]
async fn an_issuer_without_device_codes_says_so() {
    let script = Arc::new(Script::new([discovery(), Key::new("k").jwks()]));
    let issuer = issuer(&script, &Arc::new(TestClock::default())).await;
    assert_eq!(
        issuer.device_attempt().await.err().map(|error| error.code()),
        Some("issuer-lacks")
    );
}

#[tokio::test]
async fn an_issuer_that_cannot_be_used_says_why() {
    let mut html = answer(200, "<html>");
    html.headers.insert("content-type", "text/html".parse().unwrap());
    let other = json!({
        "issuer": "https://evil.example", "authorization_endpoint": "https://id.example/a",
        "jwks_uri": "https://id.example/k", "response_types_supported": [], "subject_types_supported": [],
        "id_token_signing_alg_values_supported": []
    });
    let table = [
        (answer(404, ""), "status 404"),
        (html, "not JSON"),
        (answer(200, "{}"), "cannot be read"),
        (answer(200, &other.to_string()), "unexpected issuer"),
    ];
    for (found, words) in table {
        let script = Arc::new(Script::new([found]));
        let made = Issuer::discover(&settings(), script, Arc::new(TestClock::default())).await;
        let error = made.err().unwrap();
        assert!(
            matches!(&error, SignInError::Discovery { detail, .. } if detail.contains(words)),
            "{error:?}"
        );
    }
    let script = Arc::new(Script::new([answer(503, "")]));
    let made = Issuer::discover(&settings(), script, Arc::new(TestClock::default())).await;
    assert!(matches!(made.err(), Some(SignInError::Unreachable(_))));
}
