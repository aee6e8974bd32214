//! Settings for the authentication of callers of the REST APIs.

use env_config::{AppEnv, LiveSecret, Reader};

/// Way in which callers of the REST API are identified.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A gateway sets the identity headers; the secret, if set, proves that the gateway sent them.
    Gateway {
        /// Expected in `X-Gateway-Secret`.
        secret: Option<LiveSecret>,
    },
    /// Bearer tokens are verified here.
    Jwt(JwtSettings),
}

/// Source of the keys, and required claims of a token.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// Address of a JWKS document.
    pub jwks_url: Option<String>,
    /// PEM public key (RSA, EC or Ed25519), instead of a JWKS.
    pub public_key: Option<LiveSecret>,
    /// Expected `iss`.
    pub issuer: Option<String>,
    /// Expected `aud`.
    pub audience: Option<String>,
}

impl Auth {
    /// Reads `AUTH_MODE GATEWAY_SECRET JWT_JWKS_URL JWT_PUBLIC_KEY JWT_ISSUER JWT_AUDIENCE`.
    ///
    /// Outside of `local`, tokens need an issuer and an audience; in production, gateway mode needs
    /// its secret. A missing one is a fault, as the service would trust the headers of any caller,
    /// or any token that the owner of the key signs for another purpose.
    pub fn read(reader: &mut Reader<'_>, app_env: Option<AppEnv>) -> Option<Self> {
        let mode = reader.or(
            "AUTH_MODE",
            "identification of callers: gateway (identity headers) or jwt (bearer tokens)",
            "gateway".to_owned(),
        );
        let secret = reader.live_secret(
            "GATEWAY_SECRET",
            "value that the gateway sends in X-Gateway-Secret (AUTH_MODE=gateway); required in \
            production",
        );
        let jwt = JwtSettings {
            jwks_url: reader
                .optional("JWT_JWKS_URL", "URL of the token issuer's key set (AUTH_MODE=jwt)"),
            public_key: reader.live_value(
                "JWT_PUBLIC_KEY",
                "PEM public key instead of a key set (AUTH_MODE=jwt)",
            ),
            issuer: reader.optional(
                "JWT_ISSUER",
                "expected iss claim (AUTH_MODE=jwt); required unless APP_ENV=local",
            ),
            audience: reader.optional(
                "JWT_AUDIENCE",
                "expected aud claim (AUTH_MODE=jwt); required unless APP_ENV=local",
            ),
        };
        match mode?.as_str() {
            "gateway" => Self::gateway(reader, app_env, secret),
            "jwt" => Self::jwt(reader, app_env, jwt),
            _ => {
                reader.fault("AUTH_MODE", "is malformed: expected gateway or jwt");
                None
            }
        }
    }

    fn gateway(
        reader: &mut Reader<'_>,
        app_env: Option<AppEnv>,
        secret: Option<LiveSecret>,
    ) -> Option<Self> {
        const SECRET: &str = "GATEWAY_SECRET";
        if secret.is_none() && app_env == Some(AppEnv::Production) {
            reader.fault(
                SECRET,
                "is not set, and AUTH_MODE=gateway needs it in production: \
                 without it any caller could set the identity headers",
            );
        } else if reader.is_blank(SECRET) && is_shared(app_env) {
            reader.fault(SECRET, "is empty");
        }
        Some(Self::Gateway { secret })
    }

    fn jwt(reader: &mut Reader<'_>, app_env: Option<AppEnv>, jwt: JwtSettings) -> Option<Self> {
        for (name, value) in [("JWT_ISSUER", &jwt.issuer), ("JWT_AUDIENCE", &jwt.audience)] {
            if value.is_none() && is_shared(app_env) {
                reader.fault(name, "is not set, and AUTH_MODE=jwt needs it outside of local");
            }
        }
        if jwt.jwks_url.is_some() == jwt.public_key.is_some() {
            reader
                .fault("JWT_JWKS_URL", "AUTH_MODE=jwt needs either JWT_JWKS_URL or JWT_PUBLIC_KEY");
            return None;
        }
        Some(Self::Jwt(jwt))
    }
}

/// Returns whether the environment is shared, not that of one developer.
fn is_shared(app_env: Option<AppEnv>) -> bool {
    app_env.is_some_and(|app_env| app_env != AppEnv::Local)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn faults(app_env: AppEnv, pairs: &[(&str, &str)]) -> Vec<&'static str> {
        let env: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&env);
        let _ = Auth::read(&mut reader, Some(app_env));
        reader.into_report().faults.iter().map(|fault| fault.name).collect()
    }

    #[test]
    fn refuses_gateway_mode_without_secret_in_production() {
        assert_eq!(faults(AppEnv::Production, &[]), ["GATEWAY_SECRET"]);
        assert_eq!(faults(AppEnv::Production, &[("GATEWAY_SECRET", " ")]), ["GATEWAY_SECRET"]);
        assert_eq!(faults(AppEnv::Production, &[("GATEWAY_SECRET", "s3cret")]), [""; 0]);
        assert_eq!(faults(AppEnv::Development, &[]), [""; 0]);
        assert_eq!(faults(AppEnv::Development, &[("GATEWAY_SECRET", "")]), ["GATEWAY_SECRET"]);
        assert_eq!(faults(AppEnv::Local, &[("GATEWAY_SECRET", "")]), [""; 0]);
    }

    #[test]
    fn refuses_empty_secret_file_everywhere() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("utf-8");
        for app_env in [AppEnv::Local, AppEnv::Production] {
            assert_eq!(faults(app_env, &[("GATEWAY_SECRET_FILE", path)]), ["GATEWAY_SECRET"]);
        }
    }

    #[test]
    fn refuses_tokens_without_issuer_or_audience() {
        let jwt = [("AUTH_MODE", "jwt"), ("JWT_PUBLIC_KEY", "a key")];
        assert_eq!(faults(AppEnv::Staging, &jwt), ["JWT_ISSUER", "JWT_AUDIENCE"]);
        assert_eq!(
            faults(AppEnv::Staging, &[&jwt[..], &[("JWT_ISSUER", "i")]].concat()),
            ["JWT_AUDIENCE"]
        );
        assert_eq!(faults(AppEnv::Local, &jwt), [""; 0]);
        let complete = [&jwt[..], &[("JWT_ISSUER", "i"), ("JWT_AUDIENCE", "a")]].concat();
        assert_eq!(faults(AppEnv::Production, &complete), [""; 0]);
    }
}
