//! Password hashes: argon2id, off the async threads, a bounded number at once.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use crate::problem::ApiError;

/// KiB of memory of one hash. OWASP's first choice (19 MiB, 2 passes, 1 lane): about 30 ms on a
/// small server's core, so that a class of 60 is in within seconds.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Hashes at once: as many as the cores of a small hub; bounds the memory at 38 MiB.
const HASHES_AT_ONCE: usize = 2;
/// Longest password that is hashed at all.
pub const PASSWORD_CHARS_MAX: usize = 128;

static PERMITS: Semaphore = Semaphore::const_new(HASHES_AT_ONCE);

/// Hashes a password with a fresh salt; gives a PHC string.
pub async fn hash(password: String) -> Result<String, ApiError> {
    off_thread(move || hash_blocking(&password)).await?
}

/// Says whether a password is the one that was hashed. Without a hash (no such login) it takes as
/// long and says no.
pub async fn verify(password: String, hash: Option<String>) -> Result<bool, ApiError> {
    off_thread(move || match hash {
        Some(hash) => {
            let parsed = PasswordHash::new(&hash).map_err(ApiError::internal)?;
            Ok(argon2().verify_password(password.as_bytes(), &parsed).is_ok())
        }
        None => hash_blocking(&password).map(|_| false),
    })
    .await?
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let permit = PERMITS.acquire().await.expect("the semaphore is never closed");
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    })
    .await
    .map_err(ApiError::internal)
}

fn hash_blocking(password: &str) -> Result<String, ApiError> {
    let hash = argon2().hash_password(password.as_bytes()).map_err(ApiError::internal)?;
    Ok(hash.to_string())
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the parameters are in bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_alone() {
        let stored = hash("萤火虫2026".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("萤火虫2026".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!verify("萤火虫2025".to_owned(), Some(stored)).await.unwrap());
        assert!(!verify("anything".to_owned(), None).await.unwrap());
    }
}
