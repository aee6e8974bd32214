//! Signing with private keys.

use jsonwebtoken::{
    Algorithm, EncodingKey,
    crypto::JwtSigner,
    errors::{Error, ErrorKind, Result, new_error},
    signature::{self, Signer},
};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    },
};

/// Key pair that signs with one algorithm.
struct KeyPair {
    algorithm: Algorithm,
    kind: Kind,
}

enum Kind {
    Rsa { key: RsaKeyPair, encoding: &'static dyn RsaEncoding },
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Creates the signer of an algorithm with a key.
///
/// # Errors
/// If the key does not fit the algorithm, is malformed or too small, or the algorithm is symmetric.
pub(crate) fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    let der = key.as_bytes();
    let kind = match algorithm {
        Algorithm::RS256 => rsa(der, &RSA_PKCS1_SHA256)?,
        Algorithm::RS384 => rsa(der, &RSA_PKCS1_SHA384)?,
        Algorithm::RS512 => rsa(der, &RSA_PKCS1_SHA512)?,
        Algorithm::PS256 => rsa(der, &RSA_PSS_SHA256)?,
        Algorithm::PS384 => rsa(der, &RSA_PSS_SHA384)?,
        Algorithm::PS512 => rsa(der, &RSA_PSS_SHA512)?,
        Algorithm::ES256 => ecdsa(der, &ECDSA_P256_SHA256_FIXED_SIGNING)?,
        Algorithm::ES384 => ecdsa(der, &ECDSA_P384_SHA384_FIXED_SIGNING)?,
        // OpenSSL writes the private key without the public one.
        Algorithm::EdDSA => Kind::Ed25519(
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map_err(|_| new_error(ErrorKind::InvalidEddsaKey))?,
        ),
        // Symmetric and future algorithms.
        _ => return Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    };
    Ok(Box::new(KeyPair { algorithm: *algorithm, kind }))
}

fn rsa(pkcs1: &[u8], encoding: &'static dyn RsaEncoding) -> Result<Kind> {
    let invalid =
        |error: ring::error::KeyRejected| new_error(ErrorKind::InvalidRsaKey(error.to_string()));
    RsaKeyPair::from_der(pkcs1).map(|key| Kind::Rsa { key, encoding }).map_err(invalid)
}

fn ecdsa(pkcs8: &[u8], algorithm: &'static EcdsaSigningAlgorithm) -> Result<Kind> {
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &SystemRandom::new());
    key.map(Kind::Ecdsa).map_err(|_| Error::from(ErrorKind::InvalidEcdsaKey))
}

impl Signer<Vec<u8>> for KeyPair {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        let random = SystemRandom::new();
        let failed = |_| signature::Error::new();
        match &self.kind {
            Kind::Rsa { key, encoding } => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Kind::Ecdsa(key) => Ok(key.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Kind::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for KeyPair {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
