//! What lies in S3: the line files of one bucket, and the reports of bulk registrations, which are fetched over links.
//!
//! Forgotten with the account. Not here: who may read and write, which is `s3`'s to ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant};

use super::roles::REGISTRATION;

/// The longest object, in bytes; a file of some ten thousand lines.
pub(super) const LONGEST: usize = 8 << 20;
/// The most that is kept, in bytes.
const MOST: usize = 64 << 20;
/// Links that are good for something at one time.
const MOST_LINKS: usize = 1024;
/// How long a link that is over is still known to have been one.
const AFTERLIFE: Duration = Duration::from_secs(3600);

/// The store. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Objects(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Object>,
    /// By what makes a link unguessable.
    links: BTreeMap<String, Link>,
}

struct Link {
    /// Where the report seems to lie: a link opens nothing else.
    path: String,
    report: Bytes,
    deadline: Instant,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) content_type: String,
    /// When it was put there, in Unix seconds.
    pub(super) at: i64,
}

/// Why something is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// It is too long by itself.
    TooLong,
    /// There is too much already.
    Everything,
}

impl Object {
    /// What an object is known by to be the same. S3's own is as a rule the MD5 of it, which clients must not build on and
    /// nobody needs here.
    pub(super) fn tag(&self) -> String {
        let hash = Sha256::digest(&self.bytes);
        format!("\"{}\"", hex::encode(hash.get(..16).unwrap_or_default()))
    }
}

impl Objects {
    /// Whether there is such a bucket.
    pub(super) fn has(bucket: &str) -> bool {
        bucket == REGISTRATION
    }

    /// Puts an object into the bucket, in place of one of the same key.
    pub(super) fn put(&self, key: &str, object: Object) -> Result<(), Full> {
        if object.bytes.len() > LONGEST {
            return Err(Full::TooLong);
        }
        let mut kept = self.kept();
        let others = kept.objects.iter().filter(|(own, _)| *own != key);
        let has: usize = others.map(|(own, object)| own.len() + object.bytes.len()).sum();
        if has + key.len() + object.bytes.len() > MOST {
            return Err(Full::Everything);
        }
        kept.objects.insert(key.to_owned(), object);
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Option<Object> {
        self.kept().objects.get(key).cloned()
    }

    /// Makes `secret` open this report at `path` for a while.
    pub(super) fn link(&self, secret: String, path: String, report: Bytes, life: Duration) {
        let mut kept = self.kept();
        let now = Instant::now();
        kept.links.retain(|_, link| link.deadline + AFTERLIFE > now);
        // Whoever asks for so many does not read them; what would end first goes first.
        while kept.links.len() >= MOST_LINKS {
            let first = kept.links.iter().min_by_key(|(_, link)| link.deadline);
            let Some(first) = first.map(|(secret, _)| secret.clone()) else {
                break;
            };
            kept.links.remove(&first);
        }
        let deadline = now + life;
        let link = Link {
            path,
            report,
            deadline,
        };
        kept.links.insert(secret, link);
    }

    /// What a link opens; the error is whether it was one, and is over.
    pub(super) fn linked(&self, secret: &str, path: &str) -> Result<Bytes, bool> {
        let kept = self.kept();
        let link = kept.links.get(secret).filter(|link| link.path == path);
        let link = link.ok_or(false)?;
        if link.deadline > Instant::now() {
            Ok(link.report.clone())
        } else {
            Err(true)
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(length: usize) -> Object {
        Object {
            bytes: vec![0; length].into(),
            content_type: String::new(),
            at: 0,
        }
    }

    #[test]
    fn what_is_kept_has_a_bound_and_an_object_replaces_its_own_earlier_one() {
        let objects = Objects::default();
        assert_eq!(objects.put("a", object(LONGEST + 1)), Err(Full::TooLong));
        for key in 0..7 {
            assert_eq!(objects.put(&key.to_string(), object(LONGEST)), Ok(()));
        }
        assert_eq!(objects.put("last", object(LONGEST)), Err(Full::Everything));
        assert_eq!(objects.put("0", object(LONGEST)), Ok(()));
        assert_eq!(objects.get("last"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_opens_its_report_until_it_is_over_and_another_opens_nothing() {
        let objects = Objects::default();
        let life = Duration::from_secs(60);
        objects.link("secret".into(), "/errors-1".into(), "report".into(), life);
        assert_eq!(objects.linked("secret", "/errors-1"), Ok("report".into()));
        assert_eq!(objects.linked("secret", "/errors-2"), Err(false));
        assert_eq!(objects.linked("Secret", "/errors-1"), Err(false));
        tokio::time::advance(life).await;
        assert_eq!(objects.linked("secret", "/errors-1"), Err(true));
        for number in 0..MOST_LINKS {
            let path = format!("/later-{number}");
            objects.link(format!("s{number}"), path, "report".into(), life);
        }
        assert_eq!(
            objects.linked("secret", "/errors-1"),
            Err(false),
            "the oldest goes first"
        );
        assert_eq!(objects.linked("s0", "/later-0"), Ok("report".into()));
    }
}
