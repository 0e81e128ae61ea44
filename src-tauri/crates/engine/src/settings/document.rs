//! A TOML document that can still say where each of its fields stands, after it was read.

use std::ops::Range;

use commission::text::complaint;
use serde::de::DeserializeOwned;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

/// Why a text is no organisation profile, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}{}: {problem}", in_field(.field))]
pub struct ProfileError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field, such as `sign-in.issuer` or `network[2].ssid` (from 0); empty where no field is to blame.
    pub field: String,
    /// What is wrong.
    pub problem: ProfileProblem,
}

/// What is wrong with a field of an organisation profile. Holds no value of the file that might be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProfileProblem {
    /// Not TOML.
    #[error("this is not TOML: {0}")]
    Syntax(String),
    /// A field that is missing, unknown, or of another type.
    #[error("{0}")]
    Shape(String),
    /// Over the limit for the whole file.
    #[error("a profile has at most {most} bytes, this has {length}")]
    TooLong {
        /// Bytes it has.
        length: usize,
        /// Bytes it may have.
        most: usize,
    },
    /// A passphrase stands in the file.
    #[error(
        "a profile holds no passphrase, because it is passed around as a file; take this line out: Fieldkey asks for \
         the passphrase once and keeps it in the keyring of this computer"
    )]
    Passphrase,
    /// A client secret stands in the file.
    #[error(
        "a program on an installer's computer cannot keep a client secret; take this line out and register Fieldkey \
         at the issuer as a public client with PKCE"
    )]
    ClientSecret,
    /// A private key stands where certificates belong.
    #[error(
        "this holds a private key; put only certificates here, and replace that key, since it was passed around"
    )]
    PrivateKey,
    /// Nothing in it, or only blanks.
    #[error("this is empty; write a text here, or take the line out where it is optional")]
    Empty,
    /// Text that does not fit where it is shown or used as a name.
    #[error("a name has 1 to {most} characters and no control characters")]
    Name {
        /// Characters it may have.
        most: usize,
    },
    /// No URL.
    #[error("this is no URL ({0}); write it as in https://login.example.com")]
    NotUrl(String),
    /// A URL without TLS.
    #[error("a URL of a profile begins with https://, also on this computer; this begins with {0}://")]
    NotHttps(String),
    /// User name or password within a URL.
    #[error("take user name and password out of this URL; installers sign in at the issuer")]
    UrlWithPassword,
    /// A URL with parts that its use forbids.
    #[error("take the part after ? or # out of this URL")]
    UrlWithQuery,
    /// OpenID Connect without its scope.
    #[error(
        "add \"openid\" to the scopes; without it the issuer does not say who signed in (OpenID Connect Core, 3.1.2.1)"
    )]
    NoOpenidScope,
    /// Not certificates in PEM.
    #[error(
        "this is no certificate in PEM ({0}); paste the text from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
    )]
    NotCertificate(String),
    /// A maker's root that may not sign certificates.
    #[error(
        "this certificate may not sign others (basic constraints, RFC 5280, 4.2.1.9); put the maker's root here, not a device's certificate"
    )]
    NotAuthority,
    /// Not a name of a Wi-Fi network.
    #[error("{0}")]
    Network(String),
    /// Something stands twice.
    #[error("{0:?} stands here twice; take one out")]
    Twice(String),
    /// A network that is named elsewhere in the profile is not in its list.
    #[error("no [[network]] of this profile has the ssid {0:?}; add it, or name one of the list")]
    UnknownNetwork(String),
    /// A site whose list of networks has none.
    #[error("name a network here, or take the line out: a site without it has all networks of the profile")]
    NoNetworks,
    /// The default site is not in the list.
    #[error("no [[site]] of this profile has the name {0:?}; add it, or name one of the list")]
    UnknownSite(String),
    /// A kind of cloud that this version does not know.
    #[error("this version of Fieldkey does not know the cloud {kind:?}; it knows {known}")]
    UnknownCloud {
        /// What the file says.
        kind: String,
        /// What could stand there.
        known: &'static str,
    },
    /// A name of the cloud's that is not of its form.
    #[error("this must be {0}")]
    NotOfForm(&'static str),
    /// Keys of AWS stand in the file.
    #[error(
        "a profile holds no keys of AWS, because it is passed around as a file; take this line out and replace that \
         key: each installer gets keys of minutes by signing in"
    )]
    AwsKey,
    /// A way to AWS keys that this version does not know.
    #[error(
        "this version of Fieldkey does not know the way {0:?} to AWS keys; it knows \"cognito\" and \"sts\""
    )]
    UnknownWay(String),
    /// A field that belongs to another way.
    #[error("way = {way:?} has no such field; take the line out")]
    OtherWay {
        /// The way that the file names.
        way: String,
    },
    /// Parameters of a template for devices that get no claim from here.
    #[error("only with strategy = \"trusted-user\" are parameters given from here; take this out")]
    NoParameters,
    /// A number out of its range.
    #[error("this must be from {least} to {most}")]
    Range {
        /// Least allowed.
        least: i64,
        /// Most allowed.
        most: i64,
    },
}

fn in_field(field: &str) -> String {
    if field.is_empty() {
        String::new()
    } else {
        format!(", {field}")
    }
}

/// A parsed document with the place of each of its fields.
pub(super) struct Document<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
    places: Vec<Place>,
}

/// Where a field stands. The spans of a table that a `[header]` begins are those of the header alone.
struct Place {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
}

impl<'t> Document<'t> {
    /// Parses `text`.
    pub(super) fn parse(text: &'t str) -> Result<Self, ProfileError> {
        let root = DeTable::parse(text).map_err(|error| {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            ProfileError {
                line,
                column,
                field: String::new(),
                problem: ProfileProblem::Syntax(error.message().to_owned()),
            }
        })?;
        let mut places = Vec::new();
        collect("", root.get_ref(), &mut places);
        Ok(Self { text, root, places })
    }

    /// The paths of all fields, for checks of names alone.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| place.path.as_str())
    }

    /// Takes a top-level field out, to be read by itself; `None` where there is none.
    pub(super) fn take(&mut self, field: &str) -> Option<Spanned<DeValue<'t>>> {
        self.root.get_mut().remove(field)
    }

    /// Reads all that was not taken out.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ProfileError> {
        T::deserialize(Deserializer::from(self.root.clone())).map_err(|error| self.shape(&error))
    }

    /// Reads what was taken out.
    pub(super) fn read_value<T: DeserializeOwned>(
        &self,
        value: Spanned<DeValue<'t>>,
    ) -> Result<T, ProfileError> {
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| self.shape(&error))
    }

    /// Blames a field; a missing one is blamed at the nearest that holds it.
    pub(super) fn error(&self, path: &str, problem: ProfileProblem) -> ProfileError {
        let mut holder = path;
        let offset = loop {
            if let Some(place) = self.places.iter().find(|place| place.path == holder) {
                // A wrong value is shown at the value, a table at its name.
                break place.value.start.max(place.key.start);
            }
            match holder.rfind(['.', '[']).and_then(|end| holder.get(..end)) {
                Some(outer) => holder = outer,
                None => break 0,
            }
        };
        let (line, column) = position(self.text, offset);
        ProfileError {
            line,
            column,
            field: path.to_owned(),
            problem,
        }
    }

    /// What serde complains of, at the smallest field that covers its place.
    fn shape(&self, error: &toml::de::Error) -> ProfileError {
        let span = error.span().unwrap_or(0..0);
        let covers = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let field = self
            .places
            .iter()
            .flat_map(|place| [(place, &place.key), (place, &place.value)])
            .filter(|(_, range)| !span.is_empty() && !range.is_empty() && covers(range))
            .min_by_key(|(_, range)| range.len())
            .map_or_else(String::new, |(place, _)| place.path.clone());
        let (line, column) = position(self.text, span.start);
        ProfileError {
            line,
            column,
            field,
            problem: ProfileProblem::Shape(complaint(error.message())),
        }
    }
}

fn collect(prefix: &str, table: &DeTable<'_>, places: &mut Vec<Place>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        collect_value(path, key.span(), value, places);
    }
}

fn collect_value(path: String, key: Range<usize>, value: &Spanned<DeValue<'_>>, places: &mut Vec<Place>) {
    match value.get_ref() {
        DeValue::Table(table) => collect(&path, table, places),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_value(format!("{path}[{index}]"), item.span(), item, places);
            }
        }
        _ => {}
    }
    places.push(Place {
        path,
        key,
        value: value.span(),
    });
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
