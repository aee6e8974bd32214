//! Verification of bearer tokens: JSON Web Tokens (RFC 7519) of the configured issuer.

use axum::http::HeaderMap;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use service::http::{ApiError, Reason};

use super::{Identity, bearer, identity::check, jwks::KeySet, static_key::StaticKey};
use crate::JwtSettings;

/// Accepted signature algorithms, all of them asymmetric.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// Longest token, in characters.
const MAX_LENGTH: usize = 8 * 1024;

/// Verifier of bearer tokens.
pub(super) struct JwtVerifier {
    settings: JwtSettings,
    keys: Keys,
}

enum Keys {
    Static(StaticKey),
    Set(KeySet),
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    email: Option<String>,
    email_verified: Option<Value>,
}

impl JwtVerifier {
    pub(super) fn new(settings: JwtSettings) -> anyhow::Result<Self> {
        jwt_crypto::install();
        let keys = match (&settings.public_key, &settings.jwks_url) {
            (Some(pem), _) => Keys::Static(StaticKey::new(pem.clone())?),
            (None, Some(url)) => Keys::Set(KeySet::new(url.clone())?),
            (None, None) => anyhow::bail!("neither JWT_PUBLIC_KEY nor JWT_JWKS_URL is set"),
        };
        Ok(Self { settings, keys })
    }

    /// Verifies the token of a request; returns the user that it names.
    pub(super) async fn identify(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        let token = bearer::token(headers).ok_or_else(|| refused("a bearer token is missing"))?;
        if token.len() > MAX_LENGTH {
            return Err(refused("the bearer token is too long"));
        }
        let header = decode_header(token).map_err(|_| refused("the bearer token is malformed"))?;
        // Critical extensions (RFC 7515, section 4.1.11) are not supported.
        if header.crit.is_some() {
            return Err(refused("the bearer token asks for an extension that is not understood"));
        }
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("the bearer token's algorithm is not accepted"));
        }
        let key = match &self.keys {
            Keys::Static(key) => key
                .current(header.alg)
                .ok_or_else(|| refused("the bearer token's algorithm is not accepted"))?,
            Keys::Set(set) => set.key(header.kid.as_deref(), header.alg).await?,
        };
        let claims = decode::<Claims>(token, &key, &self.validation(header.alg))
            .map_err(|_| refused("the bearer token is not valid"))?
            .claims;
        identity(claims)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.validate_nbf = true;
        match &self.settings.issuer {
            Some(issuer) => {
                validation.set_issuer(&[issuer]);
                validation.required_spec_claims.insert("iss".to_owned());
            }
            None => validation.iss = None,
        }
        match &self.settings.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            None => validation.validate_aud = false,
        }
        validation
    }
}

fn refused(message: &str) -> ApiError {
    ApiError::new(Reason::Unauthenticated, message)
}

fn identity(claims: Claims) -> Result<Identity, ApiError> {
    let email = claims
        .email
        .filter(|email| !email.is_empty())
        .ok_or_else(|| refused("the bearer token names no email"))?;
    for (claim, value) in [("sub", &claims.sub), ("email", &email)] {
        check(value)
            .map_err(|problem| refused(&format!("the bearer token's {claim} {problem}")))?;
    }
    Ok(Identity {
        user_id: claims.sub,
        email,
        email_verified: is_verified(claims.email_verified.as_ref()),
    })
}

/// Reads `email_verified` (OpenID Connect Core, section 5.1). Some issuers write it as text;
/// without the claim, addresses count as verified.
fn is_verified(claim: Option<&Value>) -> bool {
    match claim {
        None => true,
        Some(Value::Bool(is_verified)) => *is_verified,
        Some(Value::String(text)) => text == "true",
        Some(_) => false,
    }
}
