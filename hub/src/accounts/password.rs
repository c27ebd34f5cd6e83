//! Password hashes: argon2id, off the async threads, a bounded number at once.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;

use super::sessions::is_equal;
use crate::app::random;
use crate::problem::ApiError;

/// KiB of memory of one hash. OWASP's first choice (19 MiB, 2 passes, 1 lane): about 30 ms on a
/// small server's core, so that a class of 60 is in within seconds.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Hashes at once: as many as the cores of a small hub; bounds the memory at 38 MiB.
const HASHES_AT_ONCE: usize = 2;
/// Address space taken for one hash's memory. glibc maps what is larger than 32 MiB apart and
/// gives it back when it is freed (mallopt(3), M_MMAP_THRESHOLD); smaller blocks stay with each
/// thread that has hashed once. What is beyond [`MEMORY_KIB`] is never touched, so costs nothing.
const RESERVED_BYTES: usize = 33 << 20;
/// Bytes of a hash, as the argon2 crate and the reference program make it.
const HASH_BYTES: usize = 32;
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
            is_password(&password, &parsed)
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
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the parameters are in bounds");
    let salt: [u8; 16] = random();
    let mut hash = [0; HASH_BYTES];
    fill(&params, password, &salt, &mut hash)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(ApiError::internal)?,
        salt: Some(Salt::new(&salt).map_err(ApiError::internal)?),
        hash: Some(Output::new(&hash).map_err(ApiError::internal)?),
    };
    Ok(hash.to_string())
}

fn is_password(password: &str, stored: &PasswordHash) -> Result<bool, ApiError> {
    let (Some(salt), Some(wanted)) = (&stored.salt, &stored.hash) else {
        return Err(ApiError::internal("a stored password has no salt or no hash"));
    };
    let params = Params::try_from(stored).map_err(ApiError::internal)?;
    let mut hash = vec![0; wanted.len()];
    fill(&params, password, salt, &mut hash)?;
    Ok(is_equal(&hash, wanted.as_bytes()))
}

fn fill(params: &Params, password: &str, salt: &[u8], hash: &mut [u8]) -> Result<(), ApiError> {
    let mut memory = Vec::with_capacity(params.block_count().max(RESERVED_BYTES / Block::SIZE));
    memory.resize(params.block_count(), Block::default());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password.as_bytes(), salt, hash, &mut memory)
        .map_err(ApiError::internal)
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

    #[tokio::test]
    async fn a_hash_of_the_argon2_crate_verifies() {
        use argon2::PasswordHasher as _;
        let theirs = Argon2::default().hash_password(b"firefly").unwrap().to_string();
        assert!(verify("firefly".to_owned(), Some(theirs.clone())).await.unwrap());
        assert!(!verify("fireflx".to_owned(), Some(theirs)).await.unwrap());
    }
}
