//! Signatures of other implementations: examples of the RFCs, and tokens of PyJWT on
//! pyca/cryptography.

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto, decode, encode,
    jwk::{Jwk, ThumbprintHash},
};
use serde_json::Value;

fn fixture(text: &str) -> Value {
    jwt_crypto::install();
    serde_json::from_str(text).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn algorithm(value: &Value) -> Algorithm {
    text(value).parse().expect("an algorithm")
}

/// Verifies a compact JWS whose payload may be other than JSON.
fn is_signed(token: &str, key: &DecodingKey, algorithm: Algorithm) -> bool {
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    crypto::verify(signature, message.as_bytes(), key, algorithm).unwrap_or(false)
}

#[test]
fn verifies_examples_of_rfcs() {
    for case in fixture(include_str!("fixtures/rfc.json")).as_array().expect("a list") {
        let jwk: Jwk = serde_json::from_value(case["key"].clone()).expect("a JWK");
        let (key, token) = (DecodingKey::from_jwk(&jwk).expect("a key"), text(&case["token"]));
        assert!(is_signed(token, &key, algorithm(&case["alg"])), "{}", case["about"]);
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let changed = format!("{}x.{signature}", &message[..message.len() - 1]);
        assert!(!is_signed(&changed, &key, algorithm(&case["alg"])), "{}", case["about"]);
        assert!(
            !is_signed(&token[..token.len() - 4], &key, algorithm(&case["alg"])),
            "{}",
            case["about"]
        );
    }
}

fn public_key(pem: &str, algorithm: Algorithm) -> DecodingKey {
    let key = match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(pem.as_bytes()),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(pem.as_bytes()),
        _ => DecodingKey::from_rsa_pem(pem.as_bytes()),
    };
    key.expect("a public key")
}

#[test]
fn verifies_tokens_of_another_implementation() {
    let fixture = fixture(include_str!("fixtures/pyjwt.json"));
    let cases = fixture["accepted"].as_array().expect("a list");
    assert_eq!(cases.len(), 9);
    for case in cases {
        let algorithm = algorithm(&case["alg"]);
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["reminders"]);
        let key = public_key(text(&case["publicKey"]), algorithm);
        let claims =
            decode::<Value>(text(&case["token"]), &key, &validation).expect("a valid token").claims;
        assert_eq!(claims, fixture["claims"], "{algorithm:?}");
    }
}

#[test]
fn refuses_short_rsa_keys_and_symmetric_tokens() {
    let fixture = fixture(include_str!("fixtures/pyjwt.json"));
    for case in fixture["refused"].as_array().expect("a list") {
        let (pem, algorithm) = (text(&case["publicKey"]), algorithm(&case["alg"]));
        let keys = [public_key(pem, Algorithm::RS256), DecodingKey::from_secret(pem.as_bytes())];
        assert!(
            keys.iter().all(|key| !is_signed(text(&case["token"]), key, algorithm)),
            "{}",
            case["about"]
        );
    }
    let short = public_key(text(&fixture["refused"][0]["publicKey"]), Algorithm::RS256);
    assert_eq!(jwt_crypto::rsa_modulus_bits(&short), Some(1024));
    let long = public_key(text(&fixture["accepted"][0]["publicKey"]), Algorithm::RS256);
    assert_eq!(jwt_crypto::rsa_modulus_bits(&long), Some(2048));
    let symmetric = EncodingKey::from_secret(b"a shared secret");
    assert!(encode(&Header::new(Algorithm::HS256), &fixture["claims"], &symmetric).is_err());
}

/// Key pair made for tests alone, as OpenSSL writes it.
const ED25519: &str = include_str!("../../rest/tests/keys/ed25519.pem");
const ED25519_PUBLIC: &str = include_str!("../../rest/tests/keys/ed25519.pub.pem");

#[test]
fn verifies_own_signatures() {
    jwt_crypto::install();
    let rsa = include_str!("../../../suite/sandbox/keys/test-only-private-key.pem");
    let rsa = EncodingKey::from_rsa_pem(rsa.as_bytes()).expect("a key");
    let ed25519 = EncodingKey::from_ed_pem(ED25519.as_bytes()).expect("a key");
    let rsa_algorithms = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ];
    let cases = rsa_algorithms
        .map(|algorithm| (&rsa, algorithm))
        .into_iter()
        .chain([(&ed25519, Algorithm::EdDSA)]);
    for (private, algorithm) in cases {
        let jwk = Jwk::from_encoding_key(private, algorithm).expect("a JWK");
        let public = DecodingKey::from_jwk(&jwk).expect("a key");
        let token = encode(&Header::new(algorithm), &serde_json::json!({"sub": "u1"}), private)
            .expect("a token");
        assert!(is_signed(&token, &public, algorithm), "{algorithm:?}");
        assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).map(|text| text.len()).ok(), Some(43));
    }
    let token =
        encode(&Header::new(Algorithm::EdDSA), &serde_json::json!({}), &ed25519).expect("a token");
    assert!(is_signed(&token, &public_key(ED25519_PUBLIC, Algorithm::EdDSA), Algorithm::EdDSA));
}
