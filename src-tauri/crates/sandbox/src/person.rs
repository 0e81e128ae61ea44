//! A person at the browser, for runs that have none: opens the page that the product wants opened, signs in, agrees.
//!
//! Trusts the sandbox's own authority and nothing else. Not for: what the pages say; that is `cloud::visitor`'s.

use commission::secret::Token;
use url::Url;

use crate::cloud::CloudError;
use crate::cloud::visitor::{VisitError, Visitor};

/// Why the person did not get through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    /// There is no browser to be had.
    #[error(transparent)]
    Browser(#[from] CloudError),
    /// The page.
    #[error(transparent)]
    Page(#[from] VisitError),
}

/// A person who trusts one authority.
#[derive(Debug, Clone)]
pub struct Person {
    browser: Visitor,
}

impl Person {
    /// A person whose browser trusts `ca_pem`.
    ///
    /// # Errors
    /// [`PersonError::Browser`] where that is no certificate.
    pub fn new(ca_pem: &str) -> Result<Self, PersonError> {
        Ok(Self {
            browser: Visitor::new(ca_pem)?,
        })
    }

    /// Opens the page, which is either the authorization page (RFC 6749, 3.1) or the one for a device code (RFC 8628,
    /// 3.3), signs in there and agrees. On the former, follows the way back to the program that listens for it.
    ///
    /// # Errors
    /// [`PersonError::Page`] with the page's own words.
    pub async fn sign_in_as(&self, page: &Url, user: &str, password: &Token) -> Result<(), PersonError> {
        if asks_for_authorization(page) {
            self.browser.sign_in(page, user, password).await?;
        } else {
            self.browser.confirm_device(page, user, password).await?;
        }
        Ok(())
    }

    /// Opens the page and presses "Deny".
    ///
    /// # Errors
    /// As [`Person::sign_in_as`].
    pub async fn deny(&self, page: &Url) -> Result<(), PersonError> {
        if asks_for_authorization(page) {
            self.browser.deny(page).await?;
        } else {
            self.browser.deny_device(page).await?;
        }
        Ok(())
    }
}

/// Only an authorization request carries `response_type`, and it must (RFC 6749, 3.1.1).
fn asks_for_authorization(page: &Url) -> bool {
    page.query_pairs().any(|(name, _)| name == "response_type")
}
