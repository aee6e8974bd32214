//! Static public key that verifies bearer tokens instead of a key set (`JWT_PUBLIC_KEY`).

use std::sync::{PoisonError, RwLock};

use env_config::LiveSecret;
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use secrecy::{ExposeSecret, SecretString};

use super::jwt::ALGORITHMS;

/// Largest RSA key in bits, as verification with a larger one costs too much.
const MAX_RSA_BITS: usize = 8192;

/// Key that is read again when its file changes; the replaced key is refused from then on. If the
/// file contains no usable key, the previous one stays in use.
pub(super) struct StaticKey {
    pem: LiveSecret,
    parsed: RwLock<Parsed>,
}

struct Parsed {
    /// Last text that was parsed, usable or not.
    pem: SecretString,
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

impl StaticKey {
    /// Reads the key.
    ///
    /// # Errors
    /// If it is not a public key, or the key is not accepted.
    pub(super) fn new(pem: LiveSecret) -> anyhow::Result<Self> {
        let parsed = RwLock::new(parse(pem.current())?);
        Ok(Self { pem, parsed })
    }

    /// Returns the current key, if it can verify tokens of this algorithm.
    pub(super) fn current(&self, algorithm: Algorithm) -> Option<DecodingKey> {
        let pem = self.pem.current();
        {
            let parsed = self.parsed.read().unwrap_or_else(PoisonError::into_inner);
            if is_same(&parsed.pem, &pem) {
                return parsed.verifying(algorithm);
            }
        }
        let mut parsed = self.parsed.write().unwrap_or_else(PoisonError::into_inner);
        if !is_same(&parsed.pem, &pem) {
            match parse(pem.clone()) {
                Ok(newest) => *parsed = newest,
                Err(error) => {
                    tracing::warn!(
                        error = %error,
                        "new public key is unusable, the last one stays in use"
                    );
                    parsed.pem = pem;
                }
            }
        }
        parsed.verifying(algorithm)
    }
}

impl Parsed {
    fn verifying(&self, algorithm: Algorithm) -> Option<DecodingKey> {
        self.algorithms.contains(&algorithm).then(|| self.key.clone())
    }
}

fn is_same(a: &SecretString, b: &SecretString) -> bool {
    a.expose_secret() == b.expose_secret()
}

/// Returns whether an RSA key is neither too small to be safe nor too large to be verified.
pub(super) fn is_rsa_size_accepted(key: &DecodingKey) -> bool {
    jwt_crypto::rsa_modulus_bits(key)
        .is_some_and(|bits| (jwt_crypto::MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits))
}

fn parse(pem: SecretString) -> anyhow::Result<Parsed> {
    let text = pem.expose_secret().replace("\\n", "\n");
    if let Ok(key) = DecodingKey::from_rsa_pem(text.as_bytes())
        && jwt_crypto::rsa_modulus_bits(&key).is_some()
    {
        anyhow::ensure!(
            is_rsa_size_accepted(&key),
            "JWT_PUBLIC_KEY: an RSA key has 2048 to 8192 bits"
        );
        let is_rsa = |algorithm: &Algorithm| format!("{algorithm:?}").starts_with(['R', 'P']);
        return Ok(Parsed {
            pem,
            key,
            algorithms: ALGORITHMS.into_iter().filter(is_rsa).collect(),
        });
    }
    if let Ok(key) = DecodingKey::from_ec_pem(text.as_bytes()) {
        let algorithm = match key.kind() {
            DecodingKeyKind::SecretOrDer(point) if point.len() == 65 => Algorithm::ES256,
            DecodingKeyKind::SecretOrDer(point) if point.len() == 97 => Algorithm::ES384,
            _ => anyhow::bail!("JWT_PUBLIC_KEY: the curve of an EC key is P-256 or P-384"),
        };
        return Ok(Parsed { pem, key, algorithms: vec![algorithm] });
    }
    match DecodingKey::from_ed_pem(text.as_bytes()) {
        Ok(key) => Ok(Parsed { pem, key, algorithms: vec![Algorithm::EdDSA] }),
        Err(_) => anyhow::bail!("JWT_PUBLIC_KEY is no PEM public key (RSA, EC or Ed25519)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = include_str!("../tests/keys/ed25519.pub.pem");

    fn pems() -> (String, String) {
        let fixture = include_str!("../../jwt-crypto/tests/fixtures/pyjwt.json");
        let fixture: serde_json::Value = serde_json::from_str(fixture).expect("JSON");
        let of = |algorithm: &str| {
            let cases = fixture["accepted"].as_array().expect("a list").iter();
            let case = cases.clone().find(|case| case["alg"] == algorithm).expect("a case");
            case["publicKey"].as_str().expect("a text").to_owned()
        };
        (of("RS256"), of("ES256"))
    }

    #[test]
    fn verifies_with_last_usable_key() {
        jwt_crypto::install();
        let (rsa, ec) = pems();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key.pem");
        std::fs::write(&file, &rsa).expect("written");
        let pem = LiveSecret::open("JWT_PUBLIC_KEY", file.clone()).expect("a file");
        let key = StaticKey::new(pem.clone()).expect("a key");
        let verifies = |algorithm| key.current(algorithm).is_some();
        assert!(verifies(Algorithm::RS256) && !verifies(Algorithm::ES256));
        for (text, algorithm) in [
            (ec.as_str(), Algorithm::ES256),
            ("no key", Algorithm::ES256),
            (ED25519, Algorithm::EdDSA),
        ] {
            std::fs::write(&file, text).expect("written");
            pem.refresh();
            assert!(verifies(algorithm) && !verifies(Algorithm::RS256), "{text}");
        }
    }
}
