//! Tokens that authorize operator calls (`OPERATOR_TOKEN`).

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use env_config::{AppEnv, LiveSecret, Reader};

const TOKEN: &str = "OPERATOR_TOKEN";
/// Shortest token that is accepted outside of `local`. `openssl rand -hex 32` makes a good one.
const MIN_LENGTH: usize = 8;
/// Longest token.
const MAX_LENGTH: usize = 512;
/// Tokens that are valid at once: the new one, and the one it replaces.
const MAX_TOKENS: usize = 2;

/// Tokens that operator calls are made with.
#[derive(Debug, Clone, Default)]
pub struct Operators {
    /// One token, or two separated by a comma while one replaces the other.
    tokens: Option<LiveSecret>,
    /// `true` outside of `local`, where calls without a token are refused.
    required: bool,
}

/// Name of the caller of an operator call, as recorded in the audit table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(pub String);

impl Operators {
    /// Reads `OPERATOR_TOKEN` for a service that has operator calls: outside of `local` it is
    /// required.
    pub fn read(reader: &mut Reader<'_>, app_env: Option<AppEnv>) -> Option<Self> {
        let operators = Self::read_optional(reader, app_env);
        if operators.required && operators.tokens.is_none() {
            reader.fault(TOKEN, "is not set, and operator calls need it outside of local");
        }
        Some(operators)
    }

    /// Reads `OPERATOR_TOKEN` for a service that only makes operator calls to others.
    pub fn read_optional(reader: &mut Reader<'_>, app_env: Option<AppEnv>) -> Self {
        let tokens = reader.live_secret(
            TOKEN,
            "bearer token of operator calls; two during a rotation, separated by a comma; \
            required unless APP_ENV=local",
        );
        let required = app_env.is_some_and(|app_env| app_env != AppEnv::Local);
        if let Some(problem) = tokens.as_ref().and_then(|tokens| problem(&tokens.current())) {
            reader.fault(TOKEN, problem);
        } else if required && reader.is_blank(TOKEN) {
            reader.fault(TOKEN, "is empty");
        }
        Self { tokens, required }
    }

    /// Returns true if a call without a token is refused.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Returns the operator who holds a token, or `None` if the token is not valid. The comparison
    /// is constant-time.
    #[must_use]
    pub fn holder(&self, token: &str) -> Option<Operator> {
        let given = Sha256::digest(token);
        let tokens = self.tokens.as_ref()?.current();
        let known = split(&tokens).filter(|token| problem_of_one(token).is_none()).fold(
            false,
            |known, token| {
                // Digests are compared, whose first difference reveals nothing of the tokens.
                known | (Sha256::digest(token) == given)
            },
        );
        // Eight characters of the digest identify a token and do not reveal it.
        known.then(|| Operator(format!("operator-{}", &hex(&given)[..8])))
    }

    /// Token for outgoing calls: the newest.
    #[must_use]
    pub fn own(&self) -> Option<SecretString> {
        let tokens = self.tokens.as_ref()?.current();
        split(&tokens).next().map(|token| SecretString::from(token.to_owned()))
    }
}

fn split(tokens: &SecretString) -> impl Iterator<Item = &str> {
    tokens.expose_secret().split(',').map(str::trim)
}

fn problem(tokens: &SecretString) -> Option<String> {
    if split(tokens).count() > MAX_TOKENS {
        return Some(format!("holds more than {MAX_TOKENS} tokens"));
    }
    split(tokens).find_map(problem_of_one).map(str::to_owned)
}

fn problem_of_one(token: &str) -> Option<&'static str> {
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&token.len()) {
        return Some("is malformed: a token has 8 to 512 characters");
    }
    (!token.bytes().all(|byte| byte.is_ascii_graphic()))
        .then_some("is malformed: a token has visible ASCII characters only")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(app_env: AppEnv, token: Option<&str>) -> Result<Operators, String> {
        let env: BTreeMap<String, String> =
            token.map(|token| (TOKEN.to_owned(), token.to_owned())).into_iter().collect();
        env_config::read(&env, |reader| Operators::read(reader, Some(app_env)))
            .map_err(|report| report.to_string())
    }

    #[test]
    fn requires_token_outside_of_local() {
        for app_env in [AppEnv::Development, AppEnv::Staging, AppEnv::Production] {
            assert!(read(app_env, None).is_err());
            assert!(read(app_env, Some("")).is_err());
            assert!(read(app_env, Some("long-enough-token")).is_ok());
        }
        assert!(!read(AppEnv::Local, None).expect("nothing is required").is_required());
    }

    #[test]
    fn refuses_malformed_tokens_without_showing_them() {
        let long = "x".repeat(513);
        for token in [
            "seven77",
            "long-enough-one,",
            "first-token,second-token,third-token",
            "with space",
            long.as_str(),
        ] {
            let report = read(AppEnv::Production, Some(token)).expect_err("a fault");
            assert!(!report.contains(token), "{report}");
        }
    }

    #[test]
    fn accepts_old_token_during_replacement() {
        let operators =
            read(AppEnv::Production, Some("the-new-token, the-old-token")).expect("two tokens");
        let holder = |token| operators.holder(token);
        assert!(holder("the-new-token").is_some() && holder("the-old-token").is_some());
        assert_ne!(holder("the-new-token"), holder("the-old-token"));
        for other in ["", "the-new-toke", "the-new-token, the-old-token", "THE-NEW-TOKEN"] {
            assert_eq!(holder(other), None, "{other}");
        }
        assert_eq!(operators.own().expect("a token").expose_secret(), "the-new-token");
    }
}
