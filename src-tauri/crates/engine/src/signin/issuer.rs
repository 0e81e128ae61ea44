//! The issuer as OpenID Connect shows it, and the only use of `openidconnect`: what the issuer says about itself,
//! its tokens, and whether an ID token holds.
//!
//! Not here: when to ask, and where tokens are kept.
//!
//! ID tokens are checked against the issuer's own clock, which it shows with every answer, so that a laptop whose
//! calendar is wrong can sign in all the same.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::{Request, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use commission::secret::Token;
use commission::time::Moment;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClaimName, CoreClaimType,
    CoreClientAuthMethod, CoreDeviceAuthorizationResponse, CoreErrorResponseType, CoreGenderClaim,
    CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AdditionalProviderMetadata, AsyncHttpClient, AuthorizationCode,
    ClaimsVerificationError, Client, ClientId, ConfigurationError, CsrfToken, DeviceAuthorizationUrl,
    DeviceCodeErrorResponseType, DiscoveryError, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, ErrorResponse, ErrorResponseType, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl,
    Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, ProviderMetadata, RedirectUrl,
    RefreshToken, RequestTokenError, RevocationUrl, Scope, SignatureVerificationError, StandardErrorResponse,
    StandardTokenResponse, TokenResponse,
};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::cloud::http::{Exchange, HttpError, REQUEST_TIME};
use crate::cloud::problem::words;
use crate::ports::Clock;
use crate::signin::{IdentityTokenFault, Person, SignInError, SignInSettings};

/// How far two honest clocks may be apart, and how long an answer may take.
const LEEWAY: Duration = Duration::from_secs(60);
/// An access token whose life the issuer does not state (RFC 6749, 5.1 allows that) is taken to live this long.
const UNSTATED_LIFE: Duration = Duration::from_secs(300);
/// While a device code waits and the network is down, it is asked this often.
const SLOWEST_POLL: Duration = Duration::from_secs(30);

type Metadata = ProviderMetadata<
    Endpoints,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;
type TokenAnswer = StandardTokenResponse<
    IdTokenFields<
        Roles,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;
type OidcClient = Client<
    Roles,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    TokenAnswer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Endpoints beyond OpenID Connect Discovery (RFC 8628, 4; RFC 8414, 2).
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Endpoints {
    #[serde(default)]
    device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
    #[serde(default)]
    revocation_endpoint: Option<RevocationUrl>,
    /// Initiating User Registration via OpenID Connect 1.0, 4.1, which issuers use for the other values, too.
    #[serde(default)]
    prompt_values_supported: Option<Vec<String>>,
}

impl AdditionalProviderMetadata for Endpoints {}

/// Roles in the ID token, where the issuer puts them there.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Roles {
    #[serde(default)]
    roles: Option<OneOrMore>,
}

impl AdditionalClaims for Roles {}

/// Issuers differ; what is neither is no reason to refuse a person, since the cloud decides by its own view of roles.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    More(Vec<String>),
    One(String),
    Other(serde_json::Value),
}

/// What the issuer granted.
pub(super) struct Grant {
    /// For the cloud.
    pub(super) access: Token,
    /// When it was asked for.
    pub(super) asked: Moment,
    /// How long it lives from then.
    pub(super) life: Duration,
    /// For more of it.
    pub(super) refresh: Option<Token>,
    /// The issuer's statement about who signed in, for whoever checks it anew; absent where a renewal repeats none.
    pub(super) identity: Option<IdentityToken>,
    /// Who signed in; absent where a renewal repeats no ID token (OpenID Connect Core 1.0, 12.2).
    pub(super) person: Option<Person>,
}

/// The answer to a renewal, of which nothing is checked yet.
pub(super) struct Renewal {
    /// What takes the place of the refresh token that was used; none where that one goes on.
    pub(super) refresh: Option<Token>,
    /// All of it, or why it cannot be read.
    answer: Result<TokenAnswer, SignInError>,
    asked: Moment,
}

/// A checked ID token.
#[derive(Clone)]
pub(super) struct IdentityToken {
    pub(super) token: Token,
    /// How long it lives from when it was asked for, by the issuer's clock.
    pub(super) life: Duration,
}

/// A sign-in that waits for the browser.
pub(super) struct Attempt {
    /// Where the browser goes.
    pub(super) page: Url,
    /// What it must bring back.
    pub(super) state: Token,
    redirect: RedirectUrl,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

/// A sign-in that waits for a person to enter a code elsewhere.
pub(super) struct DeviceAttempt {
    /// What to enter.
    pub(super) user_code: String,
    /// Where.
    pub(super) page: Url,
    /// The page with the code in it already.
    pub(super) page_with_code: Option<Url>,
    /// How long there is.
    pub(super) life: Duration,
    answer: CoreDeviceAuthorizationResponse,
}

/// The issuer, discovered.
pub(super) struct Issuer {
    settings: SignInSettings,
    driver: Driver,
    metadata: Mutex<Arc<Metadata>>,
}

impl Issuer {
    /// Asks the issuer about itself.
    ///
    /// # Errors
    /// [`SignInError::Unreachable`] and [`SignInError::Discovery`].
    pub(super) async fn discover(
        settings: &SignInSettings,
        exchange: Arc<dyn Exchange>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SignInError> {
        let driver = Driver {
            exchange,
            clock,
            ahead: Mutex::new(None),
        };
        let metadata = discover(&settings.issuer, &driver).await?;
        Ok(Self {
            settings: settings.clone(),
            driver,
            metadata: Mutex::new(Arc::new(metadata)),
        })
    }

    /// How far this machine's calendar was ahead of the issuer's at its last answer, in seconds.
    pub(super) fn clock_ahead(&self) -> Option<i64> {
        *self.driver.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a sign-in with the browser: authorization code with PKCE S256, state and nonce. With `anew` the person is
    /// asked who they are though the browser may still be signed in as somebody.
    pub(super) fn attempt(&self, redirect: &str, anew: bool) -> Result<Attempt, SignInError> {
        let redirect =
            RedirectUrl::new(redirect.into()).map_err(|error| SignInError::Listener(error.to_string()))?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = self.client().set_redirect_uri(redirect.clone());
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(self.scopes())
            .set_pkce_challenge(challenge);
        if anew {
            // No issuer refuses this (OpenID Connect Core 1.0, 3.1.2.1), while one that lacks a prompt may.
            request = request.set_max_age(Duration::ZERO);
            if let Some(prompt) = self.prompt() {
                request = request.add_prompt(prompt);
            }
        }
        let (page, state, nonce) = request.url();
        self.must_be_https(&page)?;
        Ok(Attempt {
            page,
            state: Token::new(state.secret().as_str()),
            redirect,
            nonce,
            verifier,
        })
    }

    /// Redeems the code that the browser brought.
    pub(super) async fn redeem(&self, attempt: Attempt, code: &Token) -> Result<Grant, SignInError> {
        let asked = self.driver.clock.now();
        let client = self.client().set_redirect_uri(attempt.redirect);
        let answer = client
            .exchange_code(AuthorizationCode::new(code.reveal().into()))
            .map_err(|error| self.unfit(&error))?
            .set_pkce_verifier(attempt.verifier)
            .request_async(&self.driver)
            .await
            .map_err(|error| self.refusal(error))?;
        self.grant(&answer, asked, Expect::Nonce(&attempt.nonce)).await
    }

    /// Begins a sign-in with a device code (RFC 8628).
    pub(super) async fn device_attempt(&self) -> Result<DeviceAttempt, SignInError> {
        let endpoint = self
            .metadata()
            .additional_metadata()
            .device_authorization_endpoint
            .clone();
        let endpoint = endpoint.ok_or_else(|| self.lacks("sign-in with a device code"))?;
        let client = self.client().set_device_authorization_url(endpoint);
        let answer: CoreDeviceAuthorizationResponse = client
            .exchange_device_code()
            .add_scopes(self.scopes())
            .request_async(&self.driver)
            .await
            .map_err(|error| self.refusal(error))?;
        let page = answer.verification_uri().url().clone();
        self.must_be_https(&page)?;
        let page_with_code = answer
            .verification_uri_complete()
            .and_then(|page| Url::parse(page.secret()).ok())
            .filter(|page| page.scheme() == "https");
        Ok(DeviceAttempt {
            user_code: words(answer.user_code().secret()),
            page,
            page_with_code,
            life: answer.expires_in(),
            answer,
        })
    }

    /// Asks until the person has entered the code, said no, or let it expire; at the pace that the issuer wants.
    pub(super) async fn poll(&self, attempt: &DeviceAttempt) -> Result<Grant, SignInError> {
        let client = self.client();
        let clock = &self.driver.clock;
        let answer = client
            .exchange_device_access_token(&attempt.answer)
            .map_err(|error| self.unfit(&error))?
            .set_max_backoff_interval(SLOWEST_POLL)
            .set_time_fn(|| on_calendar(clock.now()))
            .request_async(
                &self.driver,
                |pause| async move { clock.sleep_until(clock.now() + pause).await },
                None,
            )
            .await
            .map_err(|error| match &error {
                RequestTokenError::ServerResponse(answer) => match answer.error() {
                    DeviceCodeErrorResponseType::AccessDenied => SignInError::Denied,
                    DeviceCodeErrorResponseType::ExpiredToken => SignInError::TimedOut,
                    _ => self.refusal(error),
                },
                _ => self.refusal(error),
            })?;
        self.grant(&answer, clock.now(), Expect::NoNonce).await
    }

    /// Asks for a renewal. The old refresh token may be worthless from the moment this is asked, so that the new one is
    /// to be kept before anything else of the answer is looked at.
    ///
    /// # Errors
    /// [`SignInError::Ended`] where the issuer takes it no more.
    pub(super) async fn refresh(&self, token: &Token) -> Result<Renewal, SignInError> {
        let asked = self.driver.clock.now();
        let token = RefreshToken::new(token.reveal().into());
        let answer = self
            .client()
            .exchange_refresh_token(&token)
            .map_err(|error| self.unfit(&error))?
            .request_async(&self.driver)
            .await;
        match answer {
            Ok(answer) => Ok(Renewal {
                refresh: refresh_token(&answer),
                answer: Ok(answer),
                asked,
            }),
            Err(error) => {
                let refresh = refresh_token_of_nonsense(&error);
                let error = self.refusal(error);
                match refresh {
                    Some(refresh) => Ok(Renewal {
                        refresh: Some(refresh),
                        answer: Err(error),
                        asked,
                    }),
                    None => Err(error),
                }
            }
        }
    }

    /// Checks a renewal, which need not say who it is about where that is `known`.
    pub(super) async fn check(&self, renewal: &Renewal, known: bool) -> Result<Grant, SignInError> {
        let answer = renewal.answer.as_ref().map_err(SignInError::clone)?;
        self.grant(answer, renewal.asked, Expect::Renewal { known }).await
    }

    /// Makes a refresh token, and with it the whole sign-in, worthless (RFC 7009).
    pub(super) async fn revoke(&self, token: &Token) -> Result<(), SignInError> {
        let endpoint = self.metadata().additional_metadata().revocation_endpoint.clone();
        let endpoint = endpoint.ok_or_else(|| self.lacks("signing out at the issuer"))?;
        let client = self.client().set_revocation_url(endpoint);
        client
            .revoke_token(RefreshToken::new(token.reveal().into()).into())
            .map_err(|error| self.unfit(&error))?
            .request_async(&self.driver)
            .await
            .map_err(|error| self.refusal(error))
    }

    /// Who may be in the answer, and whether what it says holds.
    async fn grant(
        &self,
        answer: &TokenAnswer,
        asked: Moment,
        expect: Expect<'_>,
    ) -> Result<Grant, SignInError> {
        if *answer.token_type() != CoreTokenType::Bearer {
            return Err(SignInError::Nonsense(
                "its access token is no bearer token".into(),
            ));
        }
        if answer.access_token().secret().is_empty() {
            return Err(SignInError::Nonsense("its access token is empty".into()));
        }
        let person = match self.verify(answer, &expect) {
            // The issuer may have new keys since we asked for them.
            Err(Unverified::KeyUnknown) => {
                let fresh = discover(&self.settings.issuer, &self.driver).await?;
                *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                self.verify(answer, &expect)
            }
            verified => verified,
        };
        let (identity, person) = person.map_err(SignInError::from)?.unzip();
        Ok(Grant {
            access: Token::new(answer.access_token().secret().as_str()),
            asked,
            life: answer.expires_in().unwrap_or(UNSTATED_LIFE),
            refresh: refresh_token(answer),
            identity,
            person,
        })
    }

    fn verify(
        &self,
        answer: &TokenAnswer,
        expect: &Expect<'_>,
    ) -> Result<Option<(IdentityToken, Person)>, Unverified> {
        let Some(token) = answer.id_token() else {
            return match expect {
                Expect::Renewal { known: true } => Ok(None),
                _ => Err(IdentityTokenFault::Missing.into()),
            };
        };
        let ahead = self.clock_ahead();
        let issuers_now = self.driver.clock.unix().0.saturating_sub(ahead.unwrap_or(0));
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let leeway = i64::try_from(LEEWAY.as_secs()).unwrap_or(0);
        let client = self.client();
        let verifier = client
            .id_token_verifier()
            .set_time_fn(|| at(issuers_now.saturating_sub(leeway)))
            .set_issue_time_verifier_fn(|issued| {
                if issued <= at(issuers_now.saturating_add(leeway)) {
                    Ok(())
                } else {
                    Err("issued in the future".into())
                }
            });
        let nonce = |sent: Option<&Nonce>| match expect {
            Expect::Nonce(ours) => match sent {
                Some(sent) if Token::new(sent.secret().as_str()) == Token::new(ours.secret().as_str()) => {
                    Ok(())
                }
                _ => Err("another nonce, or none".into()),
            },
            Expect::NoNonce | Expect::Renewal { .. } => Ok(()),
        };
        let claims = token
            .claims(&verifier, nonce)
            .map_err(|error| unverified(error, ahead))?;
        if let Some(hash) = claims.access_token_hash() {
            let signature =
                |error: SignatureVerificationError| IdentityTokenFault::Signature(error.to_string());
            let key = token.signing_key(&verifier).map_err(signature)?;
            let algorithm = token.signing_alg().map_err(signature)?;
            let own = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
            if !own.is_ok_and(|own| own == *hash) {
                return Err(IdentityTokenFault::AccessToken.into());
            }
        }
        let subject = claims.subject().as_str();
        let name = claims.name().and_then(|names| names.get(None));
        let name = name
            .map(|name| name.as_str())
            .or_else(|| claims.preferred_username().map(|name| name.as_str()))
            .unwrap_or(subject);
        let left = claims.expiration().timestamp().saturating_sub(issuers_now);
        let identity = IdentityToken {
            token: Token::new(token.to_string()),
            life: Duration::from_secs(u64::try_from(left).unwrap_or(0)),
        };
        let person = Person {
            subject: subject.to_owned(),
            name: words(name),
            email: claims.email().map(|email| words(email.as_str())),
            roles: match claims.additional_claims().roles.clone() {
                Some(OneOrMore::More(roles)) => roles,
                Some(OneOrMore::One(role)) => vec![role],
                Some(OneOrMore::Other(_)) | None => Vec::new(),
            },
        };
        Ok(Some((identity, person)))
    }

    fn metadata(&self) -> Arc<Metadata> {
        let metadata = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        metadata.clone()
    }

    fn client(&self) -> OidcClient {
        let metadata = Metadata::clone(&self.metadata());
        Client::from_provider_metadata(metadata, ClientId::new(self.settings.client_id.clone()), None)
    }

    /// The library adds `openid` by itself.
    fn scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        let scopes = self.settings.scopes.iter();
        scopes
            .filter(|scope| *scope != "openid")
            .map(|scope| Scope::new(scope.clone()))
    }

    /// How this issuer is made to ask who it is.
    fn prompt(&self) -> Option<CoreAuthPrompt> {
        let metadata = self.metadata();
        let known = metadata.additional_metadata().prompt_values_supported.as_ref()?;
        [
            ("login", CoreAuthPrompt::Login),
            ("select_account", CoreAuthPrompt::SelectAccount),
        ]
        .into_iter()
        .find_map(|(name, prompt)| known.iter().any(|value| value == name).then_some(prompt))
    }

    fn must_be_https(&self, page: &Url) -> Result<(), SignInError> {
        if page.scheme() == "https" {
            return Ok(());
        }
        Err(self.broken("its sign-in page is not https".into()))
    }

    fn broken(&self, detail: String) -> SignInError {
        SignInError::Discovery {
            issuer: self.settings.issuer.clone(),
            detail,
        }
    }

    fn lacks(&self, what: &'static str) -> SignInError {
        SignInError::NotOffered {
            issuer: self.settings.issuer.clone(),
            what,
        }
    }

    fn unfit(&self, error: &ConfigurationError) -> SignInError {
        match error {
            ConfigurationError::MissingUrl(_) => self.lacks("tokens"),
            other => self.broken(other.to_string()),
        }
    }

    /// The exact reason of a refused or failed token request (RFC 6749, 5.2).
    fn refusal<T: ErrorResponseType + AsRef<str> + 'static>(
        &self,
        error: RequestTokenError<HttpError, StandardErrorResponse<T>>,
    ) -> SignInError
    where
        StandardErrorResponse<T>: ErrorResponse,
    {
        match error {
            RequestTokenError::Request(error) => SignInError::Unreachable(error),
            // What stood there may be a token.
            RequestTokenError::Parse(..) => SignInError::Nonsense("its answer is no token answer".into()),
            RequestTokenError::Other(detail) => SignInError::Nonsense(words(&detail)),
            RequestTokenError::ServerResponse(answer) => self.refused(
                answer.error().as_ref(),
                answer.error_description().map_or("", String::as_str),
            ),
        }
    }

    /// The exact reason of a code of RFC 6749, 4.1.2.1 or 5.2.
    pub(super) fn refused(&self, code: &str, detail: &str) -> SignInError {
        let (code, detail) = (words(code), words(detail));
        match code.as_str() {
            "access_denied" => SignInError::Denied,
            "invalid_client" | "unauthorized_client" => SignInError::ClientUnknown {
                client_id: self.settings.client_id.clone(),
                detail: if detail.is_empty() { code } else { detail },
            },
            "invalid_grant" => SignInError::Ended {
                detail: if detail.is_empty() { code } else { detail },
            },
            _ => SignInError::Refused { code, detail },
        }
    }
}

fn refresh_token(answer: &TokenAnswer) -> Option<Token> {
    answer
        .refresh_token()
        .filter(|token| !token.secret().is_empty())
        .map(|token| Token::new(token.secret().as_str()))
}

/// The refresh token in an answer whose rest makes no sense.
fn refresh_token_of_nonsense<T: ErrorResponse>(error: &RequestTokenError<HttpError, T>) -> Option<Token> {
    #[derive(Deserialize)]
    struct Part {
        refresh_token: String,
    }
    let RequestTokenError::Parse(_, body) = error else {
        return None;
    };
    let part: Part = serde_json::from_slice(body).ok()?;
    let refresh = Token::new(Zeroizing::new(part.refresh_token).as_str());
    Some(refresh).filter(|token| !token.is_empty())
}

/// What an ID token has to match.
enum Expect<'a> {
    /// This sign-in's nonce.
    Nonce(&'a Nonce),
    /// None was sent: RFC 8628 has no place for one.
    NoNonce,
    /// A renewal, of a session whose person is known or not yet.
    Renewal { known: bool },
}

enum Unverified {
    KeyUnknown,
    Clock,
    Fault(IdentityTokenFault),
}

impl From<IdentityTokenFault> for Unverified {
    fn from(fault: IdentityTokenFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Unverified> for SignInError {
    fn from(unverified: Unverified) -> Self {
        match unverified {
            Unverified::KeyUnknown => Self::Identity(IdentityTokenFault::Signature(
                "a key that the issuer does not publish".into(),
            )),
            Unverified::Clock => Self::Clock,
            Unverified::Fault(fault) => Self::Identity(fault),
        }
    }
}

fn unverified(error: ClaimsVerificationError, ahead: Option<i64>) -> Unverified {
    let fault = match error {
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
            return Unverified::KeyUnknown;
        }
        // Where the issuer shows no time of its own, ours was the measure.
        ClaimsVerificationError::Expired(_) if ahead.is_none() => return Unverified::Clock,
        ClaimsVerificationError::Expired(_) => IdentityTokenFault::Time,
        ClaimsVerificationError::InvalidAudience(_) => IdentityTokenFault::Audience,
        ClaimsVerificationError::InvalidIssuer(_) => IdentityTokenFault::Issuer,
        ClaimsVerificationError::InvalidNonce(_) => IdentityTokenFault::Nonce,
        ClaimsVerificationError::SignatureVerification(error) => {
            IdentityTokenFault::Signature(words(&error.to_string()))
        }
        other => IdentityTokenFault::Unreadable(words(&other.to_string())),
    };
    fault.into()
}

async fn discover(issuer: &str, driver: &Driver) -> Result<Metadata, SignInError> {
    let broken = |detail: String| SignInError::Discovery {
        issuer: issuer.to_owned(),
        detail,
    };
    let url = IssuerUrl::new(issuer.to_owned()).map_err(|_| broken("it is no address".into()))?;
    Metadata::discover_async(url, driver)
        .await
        .map_err(|error| match error {
            DiscoveryError::Request(error @ HttpError::NotHttps(_)) => broken(error.to_string()),
            DiscoveryError::Request(error) => SignInError::Unreachable(error),
            DiscoveryError::Response(status, ..) if status != StatusCode::OK => broken(format!(
                "its description is not there: status {}",
                status.as_u16()
            )),
            DiscoveryError::Response(..) => broken("its description is not JSON".into()),
            DiscoveryError::Parse(error) => broken(words(&format!(
                "its description cannot be read at {}",
                error.path()
            ))),
            DiscoveryError::Validation(detail) => broken(words(&detail)),
            other => broken(words(&other.to_string())),
        })
}

/// A monotonic moment as the library's calendar type; it only ever compares two of them.
fn on_calendar(moment: Moment) -> DateTime<Utc> {
    let since = TimeDelta::from_std(moment.since_start()).unwrap_or(TimeDelta::MAX);
    DateTime::UNIX_EPOCH.checked_add_signed(since).unwrap_or_default()
}

/// The library's requests over our one client. The library keeps what it gets in plain strings, which are freed but
/// not wiped: our own copies are.
struct Driver {
    exchange: Arc<dyn Exchange>,
    clock: Arc<dyn Clock>,
    ahead: Mutex<Option<i64>>,
}

impl Driver {
    async fn call(&self, request: Request<Vec<u8>>) -> Result<HttpResponse, HttpError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let answer = self.exchange.exchange(request, REQUEST_TIME).await?;
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = answer.clock_ahead;
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(HttpError::OutOfOrder {
                host,
                status: answer.status.as_u16(),
            });
        }
        let mut response = HttpResponse::new(answer.body.to_vec());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for Driver {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(Driver::call(self, request))
    }
}

#[cfg(test)]
mod tests;
