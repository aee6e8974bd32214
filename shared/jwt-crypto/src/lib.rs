//! Signatures of JSON Web Tokens by *ring*, as a [`CryptoProvider`] for `jsonwebtoken`.
//!
//! The providers of jsonwebtoken are RustCrypto, whose `rsa` leaks private keys by timing
//! (RUSTSEC-2023-0071), and AWS-LC, which would be a second cryptographic library beside that of
//! TLS. Only asymmetric algorithms are supported (RFC 7518, sections 3.3 to 3.5; RFC 8037): signing
//! or verifying with a symmetric one is an error, so that a public key cannot be used as a shared
//! secret.

mod keys;
mod sign;
mod verify;

use std::sync::Once;

use jsonwebtoken::crypto::CryptoProvider;

pub use keys::rsa_modulus_bits;

/// Smallest RSA key, in bits (RFC 7518, section 3.3).
pub const MIN_RSA_BITS: usize = 2048;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: sign::signer,
    verifier_factory: verify::verifier,
    key_utils: keys::KEY_UTILS,
};

/// Installs *ring* as the provider of `jsonwebtoken` in this process. Call it before a token is
/// signed or verified; further calls have no effect.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Fails only if another provider is installed, and this workspace has no other.
        let _ = PROVIDER.install_default();
    });
}
