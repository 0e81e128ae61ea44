//! Signing in, staying signed in and signing out, over HTTPS at the sandbox's issuer, with a person at the browser.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commission::secret::Token;
use engine::cloud::http::{Http, HttpError};
use engine::ports::{Browser, BrowserError};
use engine::signin::{Kept, SignIn, SignInError, SignInEvent, SignedOut};
use sandbox::cloud::CloudConfig;
use sandbox::cloud::visitor::Visitor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::common::{Keyring, Office, Person, settings, signin};

async fn office() -> Office {
    Office::open(CloudConfig {
        device_poll_interval: Duration::ZERO,
        ..CloudConfig::default()
    })
    .await
}

#[tokio::test]
async fn a_person_signs_in_with_the_browser_and_the_keyring_keeps_it() {
    let office = office().await;
    let session = office.sign_in("anna").await.unwrap();
    assert_eq!(session.person.subject, "anna");
    assert_eq!(session.person.name, "Anna Installer");
    assert_eq!(session.person.email.as_deref(), Some("anna@sandbox.invalid"));
    assert_eq!(session.person.roles, ["installer"]);
    assert_eq!(session.kept, Kept::Keyring);
    let access = office.signin.access_token().await.unwrap();
    assert_ne!(Some(access), office.keyring.only());
}

#[tokio::test]
async fn a_person_who_presses_deny_is_not_signed_in() {
    let office = office().await;
    let ca = office.cloud.ca_pem.clone();
    let person = Person(move |page: Url| {
        let visitor = Visitor::new(&ca).unwrap();
        async move {
            visitor.deny(&page).await.unwrap();
        }
    });
    let ended = office
        .signin
        .with_browser(Arc::new(person), &|_| {}, pending())
        .await;
    assert_eq!(ended, Err(SignInError::Denied));
    assert_eq!(office.keyring.only(), None);
}

#[tokio::test]
async fn where_no_browser_opens_the_address_is_shown_and_works_by_hand() {
    struct NoBrowser;
    impl Browser for NoBrowser {
        fn open(&self, _page: &Url) -> Result<(), BrowserError> {
            Err(BrowserError("no display".into()))
        }
    }
    let office = office().await;
    let (ca, password) = (office.cloud.ca_pem.clone(), office.password("anna"));
    let tell = move |event| {
        let SignInEvent::OpenByHand { page, why } = event else {
            panic!("{event:?}")
        };
        assert_eq!(why, BrowserError("no display".into()));
        let (visitor, password) = (Visitor::new(&ca).unwrap(), password.clone());
        tokio::spawn(async move { visitor.sign_in(&page, "anna", &password).await });
    };
    let session = office
        .signin
        .with_browser(Arc::new(NoBrowser), &tell, pending())
        .await;
    assert_eq!(session.unwrap().person.subject, "anna");
}

#[tokio::test]
async fn a_stolen_code_with_another_state_changes_nothing() {
    let office = office().await;
    let (ca, password) = (office.cloud.ca_pem.clone(), office.password("anna"));
    let page_seen = Arc::new(Mutex::new(String::new()));
    let seen = page_seen.clone();
    let person = Person(move |page: Url| {
        let (visitor, password, seen) = (Visitor::new(&ca).unwrap(), password.clone(), seen.clone());
        async move {
            let redirect = page.query_pairs().find(|(name, _)| name == "redirect_uri");
            let redirect: Url = redirect.unwrap().1.parse().unwrap();
            let host = format!("127.0.0.1:{}", redirect.port().unwrap());
            let mut stream = TcpStream::connect(&host).await.unwrap();
            let request = format!("GET /callback?code=theirs&state=theirs HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            *seen.lock().unwrap() = answer;
            visitor.sign_in(&page, "anna", &password).await.unwrap();
        }
    });
    let session = office
        .signin
        .with_browser(Arc::new(person), &|_| {}, pending())
        .await;
    assert_eq!(session.unwrap().person.subject, "anna");
    assert!(page_seen.lock().unwrap().starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_terminal_signs_in_with_a_code_that_is_confirmed_elsewhere() {
    let office = office().await;
    let (ca, password) = (office.cloud.ca_pem.clone(), office.password("sam"));
    let tell = move |event| {
        let SignInEvent::EnterCode {
            user_code,
            page,
            page_with_code,
            life,
        } = event
        else {
            panic!("{event:?}")
        };
        assert_eq!((user_code.len(), life), (9, Duration::from_secs(600)));
        let page_with_code = page_with_code.unwrap();
        assert!(page_with_code.as_str().starts_with(page.as_str()));
        let (visitor, password) = (Visitor::new(&ca).unwrap(), password.clone());
        tokio::spawn(async move { visitor.confirm_device(&page_with_code, "sam", &password).await });
    };
    let session = office.signin.with_device_code(&tell, pending()).await.unwrap();
    assert_eq!(session.person.name, "Sam Support");
    assert_eq!(session.kept, Kept::Keyring);
}

#[tokio::test]
async fn a_code_that_is_denied_or_too_old_says_so() {
    let denied = office().await;
    let ca = denied.cloud.ca_pem.clone();
    let tell = move |event| {
        if let SignInEvent::EnterCode {
            page_with_code: Some(page),
            ..
        } = event
        {
            let visitor = Visitor::new(&ca).unwrap();
            tokio::spawn(async move { visitor.deny_device(&page).await });
        }
    };
    assert_eq!(
        denied.signin.with_device_code(&tell, pending()).await,
        Err(SignInError::Denied)
    );
    let late = Office::open(CloudConfig {
        device_code_life: Duration::ZERO,
        device_poll_interval: Duration::ZERO,
        ..CloudConfig::default()
    })
    .await;
    assert_eq!(
        late.signin.with_device_code(&|_| {}, pending()).await,
        Err(SignInError::TimedOut)
    );
}

#[tokio::test]
async fn each_renewal_rotates_the_token_and_the_next_start_picks_it_up() {
    let office = office().await;
    office.sign_in("anna").await.unwrap();
    let (first, access) = (office.keyring.only(), office.signin.access_token().await.unwrap());
    office.laptop.skip(office.config.access_token_life);
    let renewed = office.signin.access_token().await.unwrap();
    assert_ne!(renewed, access);
    let second = office.keyring.only();
    assert_ne!(second, first);

    let restarted = office.another_program(&office.keyring);
    let session = restarted.restore().await.unwrap().unwrap();
    assert_eq!(session.person.subject, "anna");
    assert_ne!(office.keyring.only(), second);
}

#[tokio::test]
async fn two_programs_of_one_person_do_not_end_each_others_sign_in() {
    let office = office().await;
    office.sign_in("anna").await.unwrap();
    let other = office.another_program(&office.keyring);
    other.restore().await.unwrap().unwrap();
    for _ in 0..3 {
        office.laptop.skip(office.config.access_token_life);
        office.signin.access_token().await.unwrap();
        other.access_token().await.unwrap();
    }
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_sign_in_for_the_thief_and_the_owner() {
    let office = office().await;
    office.sign_in("anna").await.unwrap();
    let stolen = office.keyring.copy();
    office.laptop.skip(office.config.access_token_life);
    office.signin.access_token().await.unwrap();

    let thief = office.another_program(&stolen);
    assert!(matches!(thief.restore().await, Err(SignInError::Ended { .. })));
    office.laptop.skip(office.config.access_token_life);
    let ended = office.signin.access_token().await;
    assert!(matches!(ended, Err(SignInError::Ended { .. })), "{ended:?}");
    assert_eq!(office.signin.session(), None);
    assert_eq!((office.keyring.only(), stolen.only()), (None, None));
}

#[tokio::test]
async fn after_signing_out_a_copy_of_the_token_is_worthless() {
    let office = office().await;
    office.sign_in("anna").await.unwrap();
    let copy = office.keyring.copy();
    assert_eq!(office.signin.sign_out().await, Ok(SignedOut::Revoked));
    assert_eq!(office.keyring.only(), None);
    let restored = office.another_program(&copy).restore().await;
    assert!(matches!(restored, Err(SignInError::Ended { .. })), "{restored:?}");
}

#[tokio::test]
async fn who_comes_after_somebody_who_signed_out_is_asked_though_the_browser_knows_the_one_before() {
    let office = office().await;
    let browser = Visitor::new(&office.cloud.ca_pem).unwrap().with_memory();
    for user in ["anna", "sam"] {
        let (visitor, password) = (browser.clone(), office.password(user));
        let person = Person(move |page: Url| {
            let (visitor, password) = (visitor.clone(), password.clone());
            async move {
                visitor.sign_in(&page, user, &password).await.unwrap();
            }
        });
        let session = office
            .signin
            .with_browser(Arc::new(person), &|_| {}, pending())
            .await
            .unwrap();
        assert_eq!(session.person.subject, user);
        office.signin.sign_out().await.unwrap();
    }
    // The same browser lets somebody in by itself where nobody is to be asked.
    let page = plain_request(&office).await;
    let back = browser.sign_in(&page, "nobody", &Token::new("")).await;
    assert!(back.is_ok_and(|back| back.query().is_some_and(|query| query.contains("code="))));
}

/// An authorization request of a program that asks for nothing special, whose answer a page of this machine takes.
async fn plain_request(office: &Office) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let redirect = format!("http://{}/callback", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut visitor, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = visitor.read(&mut request).await.unwrap();
        visitor
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
    });
    let mut page = Url::parse(&format!("{}/authorize", office.cloud.issuer_url)).unwrap();
    page.query_pairs_mut().extend_pairs([
        ("client_id", &*office.cloud.client_id),
        ("redirect_uri", &*redirect),
        ("response_type", "code"),
        ("scope", "openid"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ]);
    page
}

#[tokio::test]
async fn a_stopped_issuer_keeps_the_sign_in_but_not_the_person_in_the_dark() {
    let office = office().await;
    office.sign_in("anna").await.unwrap();
    let restarted = office.another_program(&office.keyring);
    office.cloud.shutdown().await;
    let restored = restarted.restore().await;
    assert!(
        matches!(&restored, Err(SignInError::Unreachable(HttpError::Unreachable { host, .. })) if host == "127.0.0.1"),
        "{restored:?}"
    );
    assert!(office.keyring.only().is_some());
    let out = office.signin.sign_out().await;
    assert!(
        matches!(&out, Ok(SignedOut::HereOnly(SignInError::Unreachable(_)))),
        "{out:?}"
    );
    assert_eq!(office.keyring.only(), None);
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let office = office().await;
    let with = |change: &dyn Fn(&mut engine::signin::SignInSettings)| {
        let mut settings = settings(&office.cloud);
        change(&mut settings);
        signin(
            settings,
            &office.cloud,
            &Arc::new(Keyring::default()),
            &office.laptop,
        )
    };
    let client = with(&|settings| settings.client_id = "somebody".into());
    assert_eq!(
        client.with_device_code(&|_| {}, pending()).await,
        Err(SignInError::ClientUnknown {
            client_id: "somebody".into(),
            detail: "This app is not registered here.".into()
        })
    );
    let path = with(&|settings| settings.issuer.push_str("/nowhere"));
    let error = path.check_issuer().await.unwrap_err();
    assert!(
        matches!(&error, SignInError::Discovery { detail, .. } if detail.contains("404")),
        "{error:?}"
    );
    let slash = with(&|settings| settings.issuer.push('/'));
    let error = slash.check_issuer().await.unwrap_err();
    assert_eq!(error.code(), "issuer-broken", "{error:?}");
    let words = with(&|settings| settings.issuer = "the office".into());
    assert_eq!(words.check_issuer().await.unwrap_err().code(), "issuer-broken");
}

#[tokio::test]
async fn an_issuer_that_nobody_vouches_for_gets_nothing() {
    let office = office().await;
    let http = Http::new(&[], office.laptop.clone()).unwrap();
    let signin = SignIn::new(
        settings(&office.cloud),
        Arc::new(http),
        office.keyring.clone(),
        office.laptop.clone(),
    );
    assert_eq!(
        signin.check_issuer().await,
        Err(SignInError::Unreachable(HttpError::Untrusted {
            host: "127.0.0.1".into()
        }))
    );
}

#[tokio::test]
async fn a_laptop_with_a_wrong_calendar_signs_in_and_is_told() {
    for wrong in [-400 * 86_400, 400 * 86_400] {
        let office = office().await;
        office.laptop.set_calendar_ahead(wrong);
        let session = office.sign_in("anna").await.unwrap();
        assert_eq!(session.person.subject, "anna");
        let ahead = office.signin.check_issuer().await.unwrap().unwrap();
        assert!((ahead - wrong).abs() <= 2, "{ahead}");
    }
}

#[tokio::test]
async fn nothing_secret_is_shown_by_debug() {
    let office = office().await;
    let session = office.sign_in("anna").await.unwrap();
    let access = office.signin.access_token().await.unwrap();
    let shown = format!("{session:?} {access:?}");
    let refresh = office.keyring.only().unwrap_or(Token::new("none"));
    assert!(!shown.contains(access.reveal()) && !shown.contains(refresh.reveal()));
}
