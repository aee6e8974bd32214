//! Signatures of JSON Web Tokens by *ring*, as a [`CryptoProvider`] for `jsonwebtoken`.
//!
//! jsonwebtoken's own providers are RustCrypto, whose `rsa` leaks private keys by timing
//! (RUSTSEC-2023-0071), and AWS-LC, a second cryptographic library beside the one that TLS uses
//! here. Asymmetric algorithms only (RFC 7518, sections 3.3 to 3.5; RFC 8037): a symmetric one is
//! an error, to sign and to verify, so that nobody can pass a public key off as a shared secret.

mod key_utils;
mod sign;
mod verify;

use std::sync::Once;

use jsonwebtoken::crypto::CryptoProvider;

pub use key_utils::rsa_modulus_bits;

/// The smallest RSA key, in bits (RFC 7518, section 3.3).
pub const MIN_RSA_BITS: usize = 2048;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: sign::signer,
    verifier_factory: verify::verifier,
    key_utils: key_utils::KEY_UTILS,
};

/// Makes *ring* the provider of `jsonwebtoken` in this process; to be called before a token is
/// signed or verified, as often as convenient.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Only another provider can be there before, and this workspace has no other.
        let _ = PROVIDER.install_default();
    });
}
