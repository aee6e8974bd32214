//! Google service account with which pushes are sent: parses and checks its JSON key file.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

/// Service account whose key was tested by signing with it.
#[derive(Clone)]
pub struct ServiceAccount {
    project_id: String,
    client_email: String,
    key_id: Option<String>,
    token_uri: Url,
    key: EncodingKey,
    /// Source of newer keys of the same account, if there is one.
    source: Option<Arc<Source>>,
}

/// Source of key files, and the last usable account read from it.
struct Source {
    read: Box<dyn Fn() -> SecretString + Send + Sync>,
    last: Mutex<Option<ServiceAccount>>,
}

/// Fault in a service account. Never quotes the JSON, which holds the private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The text is not JSON.
    #[error("the service account is not valid JSON (line {line}, column {column})")]
    NotJson {
        /// Position at which parsing stopped.
        line: usize,
        /// Position at which parsing stopped.
        column: usize,
    },
    /// A field is absent, empty or no string.
    #[error("the service account has no `{0}`")]
    Missing(&'static str),
    /// `project_id` is not usable in a URL path.
    #[error(
        "`project_id` of the service account may hold only letters, digits, `-`, `.`, `:` and `_`"
    )]
    ProjectId,
    /// `token_uri`, the URL of access tokens, is not usable.
    #[error("`token_uri` of the service account is not an http(s) URL")]
    TokenUri,
    /// The PEM is broken, of another kind, or cannot sign.
    #[error("`private_key` of the service account is not a usable RSA private key in PEM form")]
    PrivateKey,
}

#[derive(Deserialize)]
struct File {
    project_id: Option<String>,
    client_email: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    token_uri: Option<String>,
}

impl ServiceAccount {
    /// Parses the JSON key file and signs once with its key, so that a broken key is found at the
    /// start.
    pub fn parse(json: &str) -> Result<Self, AccountError> {
        let file: File = serde_json::from_str(json).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => AccountError::Missing("object with string fields"),
            _ => AccountError::NotJson { line: error.line(), column: error.column() },
        })?;
        let project_id = present(file.project_id, "project_id")?;
        if !project_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:_".contains(&byte)) {
            return Err(AccountError::ProjectId);
        }
        let client_email = present(file.client_email, "client_email")?;
        let token_uri = Url::parse(&present(file.token_uri, "token_uri")?)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or(AccountError::TokenUri)?;
        jwt_crypto::install();
        let pem = present(file.private_key, "private_key")?;
        let key =
            EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| AccountError::PrivateKey)?;
        let key_id = file.private_key_id.filter(|id| !id.is_empty());
        let account =
            ServiceAccount { project_id, client_email, key_id, token_uri, key, source: None };
        account.sign(&serde_json::json!({})).map_err(|_| AccountError::PrivateKey)?;
        Ok(account)
    }

    /// Reads a key file that may be replaced while the process runs: `read` returns its current
    /// content, and is called before each request for an access token.
    pub fn live(
        read: impl Fn() -> SecretString + Send + Sync + 'static,
    ) -> Result<Self, AccountError> {
        let account = Self::parse(read().expose_secret())?;
        let source = Source { read: Box::new(read), last: Mutex::default() };
        Ok(ServiceAccount { source: Some(Arc::new(source)), ..account })
    }

    /// Returns the account with the newest usable key. An account of another project, or of another
    /// token endpoint, needs a restart.
    pub(super) fn current(&self) -> Self {
        let Some(source) = &self.source else { return self.clone() };
        let mut last = source.last.lock().unwrap_or_else(PoisonError::into_inner);
        match Self::parse((source.read)().expose_secret()) {
            Ok(newest)
                if newest.project_id == self.project_id && newest.token_uri == self.token_uri =>
            {
                *last = Some(newest);
            }
            Ok(_) => tracing::warn!(
                "service account has another project or token endpoint now, a restart is needed"
            ),
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    "new service account is unusable, the last one stays in use"
                )
            }
        }
        last.clone().unwrap_or_else(|| self.clone())
    }

    /// Returns the id of the Firebase project.
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    /// Returns the URL of the token endpoint.
    pub fn token_uri(&self) -> &Url {
        &self.token_uri
    }

    /// Returns the account's e-mail address, the `iss` claim of what it signs.
    pub(super) fn client_email(&self) -> &str {
        &self.client_email
    }

    /// Signs claims as a compact RS256 JWT.
    pub(super) fn sign(&self, claims: &impl Serialize) -> jsonwebtoken::errors::Result<String> {
        let header = Header { kid: self.key_id.clone(), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.key)
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("project_id", &self.project_id)
            .field("token_uri", &self.token_uri.as_str())
            .finish_non_exhaustive()
    }
}

fn present(value: Option<String>, field: &'static str) -> Result<String, AccountError> {
    value.filter(|value| !value.trim().is_empty()).ok_or(AccountError::Missing(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut value = sandbox::service_account("https://oauth2.example.com");
        change(&mut value);
        value.to_string()
    }

    #[test]
    fn parses_key_file() {
        let account = ServiceAccount::parse(&json(|_| {})).unwrap();
        assert_eq!(account.project_id(), "reminders-sandbox");
        assert_eq!(account.token_uri().as_str(), "https://oauth2.example.com/token");
    }

    /// The first key may have been revoked by then.
    #[test]
    fn signs_with_last_usable_key() {
        let first = json(|value| value["private_key_id"] = "first".into());
        let file = Arc::new(Mutex::new(first));
        let content = Arc::clone(&file);
        let account = ServiceAccount::live(move || content.lock().unwrap().clone().into()).unwrap();
        let key_id = |account: &ServiceAccount| account.current().key_id;
        assert_eq!(key_id(&account).as_deref(), Some("first"));
        *file.lock().unwrap() = json(|value| value["private_key_id"] = "second".into());
        assert_eq!(key_id(&account).as_deref(), Some("second"));
        for unusable in [json(|value| value["project_id"] = "another".into()), "{".to_owned()] {
            *file.lock().unwrap() = unusable;
            assert_eq!(key_id(&account).as_deref(), Some("second"));
        }
    }

    #[test]
    fn names_missing_field() {
        for field in ["project_id", "client_email", "token_uri", "private_key"] {
            let error = ServiceAccount::parse(&json(|value| value[field] = "".into())).unwrap_err();
            assert_eq!(error, AccountError::Missing(field));
        }
    }

    #[test]
    fn hides_key_in_errors_and_debug() {
        let broken = json(|value| {
            let pem = value["private_key"].as_str().unwrap().replace("MII", "QUJD");
            value["private_key"] = pem.into();
        });
        let error = ServiceAccount::parse(&broken).unwrap_err();
        assert_eq!(error, AccountError::PrivateKey);
        assert!(!format!("{error:?} {error}").contains("QUJD"));
        let cut = &broken[..broken.len() / 2];
        let error = ServiceAccount::parse(cut).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("QUJD"));
        let account = ServiceAccount::parse(&json(|_| {})).unwrap();
        assert!(!format!("{account:?}").contains("PRIVATE"));
    }

    #[test]
    fn rejects_project_id_that_leaves_its_path() {
        let error = ServiceAccount::parse(&json(|value| value["project_id"] = "a/../b".into()))
            .unwrap_err();
        assert_eq!(error, AccountError::ProjectId);
    }

    #[test]
    fn rejects_token_uri_that_is_not_http() {
        let error =
            ServiceAccount::parse(&json(|value| value["token_uri"] = "file:///etc/passwd".into()));
        assert_eq!(error.unwrap_err(), AccountError::TokenUri);
    }
}
