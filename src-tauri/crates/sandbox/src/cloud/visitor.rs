//! A person at a browser, for runs that have neither: reads the issuer's pages over HTTPS, fills in the forms,
//! follows the redirects.
//!
//! Not for: anything that the pages themselves don't offer. It knows a user and a password and no other way in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commission::secret::Token;
use reqwest::StatusCode;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use url::Url;

use super::CloudError;
use super::tls::https_client;

/// A browser that keeps nothing between two visits, unless it is told to.
#[derive(Debug, Clone)]
pub struct Visitor {
    https: reqwest::Client,
    /// The issuer's cookie, in a browser that keeps one. Clones are the same browser.
    cookie: Option<Arc<Mutex<Option<String>>>>,
}

/// What kept the person from getting through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VisitError {
    /// The page could not be reached; without the address, which may hold a code.
    #[error("the page could not be reached: {0}")]
    Unreachable(String),
    /// The page said no: status, and its text without markup.
    #[error("the page answered {status}: {text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The page's words.
        text: String,
    },
    /// The page has no form that could be filled in.
    #[error("the page has no sign-in form")]
    NoForm,
}

impl Visitor {
    /// A browser that trusts `ca_pem`.
    pub fn new(ca_pem: &str) -> Result<Self, CloudError> {
        Ok(Self {
            https: https_client(ca_pem)?,
            cookie: None,
        })
    }

    /// The same with a memory: whoever signed in stays signed in, and the next page may let them in without a form.
    #[must_use]
    pub fn with_memory(self) -> Self {
        Self {
            cookie: Some(Arc::default()),
            ..self
        }
    }

    /// Opens the authorization address, signs in, agrees, and follows the redirect to the app's own listener.
    /// Gives the address of that redirect, which holds the code.
    pub async fn sign_in(&self, address: &Url, user: &str, password: &Token) -> Result<Url, VisitError> {
        let answer = self.submit(address, user, password, "allow").await?;
        self.follow(address, answer).await
    }

    /// As [`Self::sign_in`], but presses "Deny".
    pub async fn deny(&self, address: &Url) -> Result<Url, VisitError> {
        let answer = self.submit(address, "", &Token::new(""), "deny").await?;
        self.follow(address, answer).await
    }

    /// Opens `verification_uri_complete` (RFC 8628, 3.2), signs in and agrees.
    pub async fn confirm_device(
        &self,
        address: &Url,
        user: &str,
        password: &Token,
    ) -> Result<(), VisitError> {
        self.submit(address, user, password, "allow")
            .await
            .and_then(accepted)
            .map(drop)
    }

    /// Opens `verification_uri_complete` and presses "Deny".
    pub async fn deny_device(&self, address: &Url) -> Result<(), VisitError> {
        self.submit(address, "", &Token::new(""), "deny")
            .await
            .and_then(accepted)
            .map(drop)
    }

    async fn submit(
        &self,
        address: &Url,
        user: &str,
        password: &Token,
        consent: &str,
    ) -> Result<Page, VisitError> {
        let page = self.open(self.https.get(address.clone())).await?;
        if self.cookie.is_some() && page.location.is_some() {
            return Ok(page);
        }
        let page = accepted(page)?;
        let action = attribute(&page.html, "<form", "action").ok_or(VisitError::NoForm)?;
        let action = address.join(&action).map_err(|_| VisitError::NoForm)?;
        let mut fields = vec![
            ("username", user),
            ("password", password.reveal()),
            ("consent", consent),
        ];
        let carried: Vec<(String, String)> = ["request", "user_code"]
            .into_iter()
            .filter_map(|name| {
                let value = attribute(&page.html, &format!("name=\"{name}\""), "value")?;
                Some((name.into(), value))
            })
            .collect();
        fields.extend(
            carried
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        self.open(self.https.post(action).form(&fields)).await
    }

    async fn follow(&self, from: &Url, page: Page) -> Result<Url, VisitError> {
        let Some(target) = page.location.as_deref().and_then(|target| from.join(target).ok()) else {
            return Err(page.into());
        };
        // What the app answers is for the person to read: the redirect itself is what was wanted.
        self.open(self.https.get(target.clone())).await?;
        Ok(target)
    }

    async fn open(&self, request: reqwest::RequestBuilder) -> Result<Page, VisitError> {
        let unreachable = |error: reqwest::Error| VisitError::Unreachable(error.without_url().to_string());
        let known = self.cookie.as_ref().and_then(|cookie| lock(cookie).clone());
        let request = match known {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        };
        let response = request.send().await.map_err(unreachable)?;
        if let Some(cookie) = &self.cookie
            && let Some(set) = response.headers().get(SET_COOKIE)
            && let Some(pair) = set.to_str().ok().and_then(|set| set.split(';').next())
        {
            *lock(cookie) = Some(pair.to_owned());
        }
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.map(ToOwned::to_owned);
        let status = response.status();
        Ok(Page {
            status,
            location,
            html: response.text().await.map_err(unreachable)?,
        })
    }
}

fn lock(cookie: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    cookie.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Page {
    status: StatusCode,
    location: Option<String>,
    html: String,
}

impl From<Page> for VisitError {
    fn from(page: Page) -> Self {
        let mut in_tag = false;
        let text: String = page
            .html
            .chars()
            .filter(|c| match c {
                '<' => {
                    in_tag = true;
                    false
                }
                '>' => !std::mem::replace(&mut in_tag, false),
                _ => !in_tag,
            })
            .collect();
        Self::Refused {
            status: page.status.as_u16(),
            text,
        }
    }
}

fn accepted(page: Page) -> Result<Page, VisitError> {
    if page.status.is_success() {
        Ok(page)
    } else {
        Err(page.into())
    }
}

/// The value of an attribute in the tag that `marker` is in or opens, unescaped. For the issuer's own pages only.
fn attribute(html: &str, marker: &str, name: &str) -> Option<String> {
    let (_, rest) = html.split_once(marker)?;
    let (tag, _) = rest.split_once('>')?;
    let (_, value) = tag.split_once(&format!("{name}=\""))?;
    let (value, _) = value.split_once('"')?;
    Some(
        value
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&"),
    )
}
