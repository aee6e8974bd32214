//! Keys of a set (RFC 7517) that may verify tokens.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

use crate::static_key;

/// Most keys of a set; issuers publish a handful.
const MAX_KEYS: usize = 64;

/// Key of a set that may verify signatures.
#[derive(Debug)]
pub(super) struct PublicKey {
    id: Option<String>,
    /// The only algorithm that the set allows for the key, if it names one.
    algorithm: Option<Algorithm>,
    kind: Kind,
    key: DecodingKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    /// Kind of key that an algorithm needs (RFC 7518, section 3.1; RFC 8037).
    fn of(algorithm: Algorithm) -> Option<Self> {
        Some(match algorithm {
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Self::Rsa,
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => Self::Rsa,
            Algorithm::ES256 => Self::P256,
            Algorithm::ES384 => Self::P384,
            Algorithm::EdDSA => Self::Ed25519,
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// Reads a key set. Keys that cannot verify a signature (encryption keys, short RSA keys, unknown
/// kinds) are left out, as required by RFC 7517, section 5.
///
/// # Errors
/// If it is not a key set, or has more than [`MAX_KEYS`] keys.
pub(super) fn read_set(text: &[u8]) -> anyhow::Result<Vec<PublicKey>> {
    let document: Document = serde_json::from_slice(text)?;
    anyhow::ensure!(document.keys.len() <= MAX_KEYS, "the key set has more than {MAX_KEYS} keys");
    Ok(document.keys.into_iter().filter_map(usable).collect())
}

fn usable(value: Value) -> Option<PublicKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let operations = jwk.common.key_operations.as_ref();
    let may_verify =
        operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !is_for_signatures || !may_verify {
        return None;
    }
    let algorithm = match jwk.common.key_algorithm {
        Some(algorithm) => Some(Algorithm::try_from(algorithm).ok()?),
        None => None,
    };
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let kind = kind_of(&jwk.algorithm, &key)?;
    let fits = algorithm.is_none_or(|algorithm| Kind::of(algorithm) == Some(kind));
    fits.then_some(PublicKey { id: jwk.common.key_id, algorithm, kind, key })
}

fn kind_of(parameters: &AlgorithmParameters, key: &DecodingKey) -> Option<Kind> {
    // The curve and the length of the decoded key must match.
    let length = key.try_get_as_bytes().map(<[u8]>::len).unwrap_or_default();
    match parameters {
        AlgorithmParameters::RSA(_) => static_key::is_rsa_size_accepted(key).then_some(Kind::Rsa),
        AlgorithmParameters::EllipticCurve(curve) => match (&curve.curve, length) {
            (EllipticCurve::P256, 65) => Some(Kind::P256),
            (EllipticCurve::P384, 97) => Some(Kind::P384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(pair) => match (&pair.curve, length) {
            (EllipticCurve::Ed25519, 32) => Some(Kind::Ed25519),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the key with an id for an algorithm. A token without a key id is verified with the only
/// key of its algorithm, if there is just one.
pub(super) fn find(
    keys: &[PublicKey],
    id: Option<&str>,
    algorithm: Algorithm,
) -> Option<DecodingKey> {
    let serves = |key: &&PublicKey| {
        Kind::of(algorithm) == Some(key.kind) && key.algorithm.is_none_or(|only| only == algorithm)
    };
    let mut serving = keys.iter().filter(serves);
    let found = match id {
        Some(id) => serving.find(|key| key.id.as_deref() == Some(id)),
        None => serving.next().filter(|_| serving.next().is_none()),
    };
    found.map(|found| found.key.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ED25519: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const P256: [&str; 2] = [
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    ];

    fn rsa(bytes: usize) -> Value {
        let modulus = "_".repeat(bytes * 4 / 3 / 4 * 4);
        json!({"kty": "RSA", "kid": "r", "n": modulus, "e": "AQAB"})
    }

    fn ed25519(more: &Value) -> Value {
        let mut key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": ED25519});
        key.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        key
    }

    fn read(keys: &[Value]) -> Vec<PublicKey> {
        read_set(json!({"keys": keys}).to_string().as_bytes()).expect("a key set")
    }

    #[test]
    fn leaves_out_keys_that_must_not_verify() {
        for unusable in [
            ed25519(&json!({"use": "enc"})),
            ed25519(&json!({"key_ops": ["sign"]})),
            ed25519(&json!({"alg": "RS256"})),
            ed25519(&json!({"alg": "unheard of"})),
            ed25519(&json!({"x": "AAAA"})),
            ed25519(&json!({"crv": "X25519"})),
            ed25519(&json!({"kid": 7})),
            rsa(129),
            rsa(2_049),
            json!({"kty": "EC", "crv": "P-384", "kid": "c", "x": P256[0], "y": P256[1]}),
            json!({"kty": "oct", "kid": "o", "k": "c2VjcmV0"}),
            json!({"kty": "future"}),
            json!("no key"),
        ] {
            assert!(read(std::slice::from_ref(&unusable)).is_empty(), "{unusable}");
            assert_eq!(
                read(&[unusable, ed25519(&json!({"use": "sig", "key_ops": ["verify"]}))]).len(),
                1
            );
        }
        assert_eq!(read(&[rsa(258), rsa(513)]).len(), 2);
    }

    #[test]
    fn finds_key_by_id_and_algorithm() {
        let [x, y] = P256;
        let curve =
            json!({"kty": "EC", "crv": "P-256", "kid": "e", "x": x, "y": y, "alg": "ES256"});
        let keys = read(&[ed25519(&json!({})), curve, rsa(258)]);
        let found = |id, algorithm| find(&keys, id, algorithm).is_some();
        assert!(found(Some("e"), Algorithm::EdDSA) && found(Some("e"), Algorithm::ES256));
        assert!(found(Some("r"), Algorithm::RS256) && found(Some("r"), Algorithm::PS512));
        assert!(!found(Some("r"), Algorithm::EdDSA) && !found(Some("e"), Algorithm::ES384));
        assert!(!found(Some("r"), Algorithm::HS256) && !found(Some("other"), Algorithm::RS256));
        assert!(found(None, Algorithm::EdDSA));
        let two = read(&[ed25519(&json!({})), ed25519(&json!({"kid": "f"}))]);
        assert!(find(&two, None, Algorithm::EdDSA).is_none());
    }

    #[test]
    fn refuses_malformed_or_large_sets() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert!(read_set(text.as_bytes()).is_err(), "{text}");
        }
        let many = vec![ed25519(&json!({})); MAX_KEYS + 1];
        assert!(read_set(json!({"keys": many}).to_string().as_bytes()).is_err());
    }
}
