//! Verifying with public keys.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::JwtVerifier,
    errors::{ErrorKind, Result, new_error},
    signature::{self, Verifier},
};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};

/// Public key that verifies one algorithm. RSA keys of fewer than 2,048 or more than 8,192 bits
/// verify nothing.
struct PublicKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Creates the verifier of an algorithm with a key.
///
/// # Errors
/// If the key is for another algorithm, or the algorithm is symmetric.
pub(crate) fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
        return Err(new_error(ErrorKind::UnsupportedAlgorithm));
    }
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    Ok(Box::new(PublicKey { algorithm: *algorithm, key: key.clone() }))
}

impl PublicKey {
    /// Parameters of an RSA algorithm; `None` for another one.
    fn rsa(&self) -> Option<&'static RsaParameters> {
        Some(match self.algorithm {
            Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
            Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }

    /// Algorithm for a key that is encoded as a whole, not by its components.
    fn encoded(&self) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match self.algorithm {
            Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
            Algorithm::EdDSA => &ED25519,
            _ => self.rsa()?,
        })
    }
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), signature::Error> {
        let verified = match (self.key.kind(), self.rsa(), self.encoded()) {
            (DecodingKeyKind::RsaModulusExponent { n, e }, Some(parameters), _) => {
                // ring expects the modulus without leading zeros, which some issuers write.
                let n = &n[n.iter().take_while(|byte| **byte == 0).count()..];
                RsaPublicKeyComponents { n, e: e.as_slice() }.verify(parameters, message, signature)
            }
            (DecodingKeyKind::SecretOrDer(key), _, Some(algorithm)) => {
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
