//! Properties of keys: the size of an RSA key, and the components of a JWK.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::KeyUtils,
    errors::{Error, ErrorKind, Result, new_error},
    jwk::{EllipticCurve, ThumbprintHash},
};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RsaKeyPair,
    },
};
use simple_asn1::ASN1Block;

pub(crate) const KEY_UTILS: KeyUtils = KeyUtils {
    rsa_pub_components_from_private_key: rsa_of_private,
    rsa_pub_components_from_public_key: rsa_of_public,
    ec_pub_components_from_private_key: ec_of_private,
    ed_pub_components_from_private_key: ed_of_private,
    compute_digest: digest_of,
};

/// Size of the modulus of an RSA key in bits; `None` for a key of another kind, or a malformed one.
#[must_use]
pub fn rsa_modulus_bits(key: &DecodingKey) -> Option<usize> {
    let modulus = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.clone(),
        DecodingKeyKind::SecretOrDer(der) => rsa_of_public(der).ok()?.0,
    };
    let significant = &modulus[modulus.iter().take_while(|byte| **byte == 0).count()..];
    let first = significant.first()?;
    Some(significant.len() * 8 - first.leading_zeros() as usize)
}

fn rsa_of_private(pkcs1: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let invalid =
        |error: ring::error::KeyRejected| new_error(ErrorKind::InvalidRsaKey(error.to_string()));
    rsa_of_public(RsaKeyPair::from_der(pkcs1).map_err(invalid)?.public_key().as_ref())
}

/// Modulus and exponent of `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn rsa_of_public(pkcs1: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let blocks = simple_asn1::from_der(pkcs1).map_err(|_| invalid_rsa())?;
    let [ASN1Block::Sequence(_, parts)] = blocks.as_slice() else { return Err(invalid_rsa()) };
    let [ASN1Block::Integer(_, n), ASN1Block::Integer(_, e)] = parts.as_slice() else {
        return Err(invalid_rsa());
    };
    Ok((n.to_bytes_be().1, e.to_bytes_be().1))
}

fn invalid_rsa() -> Error {
    new_error(ErrorKind::InvalidRsaKey("not an RSAPublicKey".to_owned()))
}

fn ec_of_private(pkcs8: &[u8], algorithm: Algorithm) -> Result<(EllipticCurve, Vec<u8>, Vec<u8>)> {
    let (signing, curve) = match algorithm {
        Algorithm::ES256 => (&ECDSA_P256_SHA256_FIXED_SIGNING, EllipticCurve::P256),
        Algorithm::ES384 => (&ECDSA_P384_SHA384_FIXED_SIGNING, EllipticCurve::P384),
        _ => return Err(new_error(ErrorKind::InvalidEcdsaKey)),
    };
    let key = EcdsaKeyPair::from_pkcs8(signing, pkcs8, &SystemRandom::new())
        .map_err(|_| new_error(ErrorKind::InvalidEcdsaKey))?;
    // Uncompressed: 4, then x and y of equal length (SEC 1, section 2.3.3).
    let [4, point @ ..] = key.public_key().as_ref() else {
        return Err(new_error(ErrorKind::InvalidEcdsaKey));
    };
    let (x, y) = point.split_at(point.len() / 2);
    Ok((curve, x.to_vec(), y.to_vec()))
}

fn ed_of_private(pkcs8: &[u8], curve: &EllipticCurve) -> Result<Vec<u8>> {
    if *curve != EllipticCurve::Ed25519 {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8)
        .map_err(|_| new_error(ErrorKind::InvalidEddsaKey))?;
    Ok(key.public_key().as_ref().to_vec())
}

fn digest_of(data: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>> {
    let algorithm = match hash {
        ThumbprintHash::SHA256 => &digest::SHA256,
        ThumbprintHash::SHA384 => &digest::SHA384,
        ThumbprintHash::SHA512 => &digest::SHA512,
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    Ok(digest::digest(algorithm, data).as_ref().to_vec())
}
