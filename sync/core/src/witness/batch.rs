//! One signature for many statements: the root of a hash tree is signed, and each statement
//! carries its way to the root, so that it can still be shown alone (as in RFC 9162).

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::{CONTEXT, SIGNATURE_BYTES, SignedStatement, Statement, StatementError, parse};
use crate::id::HubId;

const ROOT_CONTEXT: &[u8] = b"yingxue witness root 1\0";
const LEAF_CONTEXT: &[u8] = b"yingxue witness leaf 1\0";
const NODE_CONTEXT: &[u8] = b"yingxue witness node 1\0";
/// Most statements under one signature; more get another one.
pub const SIGNED_TOGETHER_MAX: usize = 256;
/// Levels between a statement and the root.
const LEVELS_MAX: usize = SIGNED_TOGETHER_MAX.ilog2() as usize;
/// A level of the way: on which side the other half is, and its hash.
const STEP_BYTES: usize = 33;
/// Longest way to the root.
pub(super) const PATH_BYTES_MAX: usize = LEVELS_MAX * STEP_BYTES;

const IS_LEFT: u8 = 0;
const IS_RIGHT: u8 = 1;

/// Signs statements of one witness together. One alone is signed as [`Statement::sign`] does.
pub fn sign_all(statements: Vec<Statement>, witness: &SigningKey) -> Vec<SignedStatement> {
    let mut rest = statements;
    let mut signed = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let after = rest.split_off(rest.len().min(SIGNED_TOGETHER_MAX));
        signed.extend(sign_tree(std::mem::replace(&mut rest, after), witness));
    }
    signed
}

fn sign_tree(statements: Vec<Statement>, witness: &SigningKey) -> Vec<SignedStatement> {
    if statements.len() == 1 {
        return statements.into_iter().map(|it| it.sign(witness)).collect();
    }
    let encode = |it: &Statement| postcard::to_stdvec(it).expect("a statement has plain fields");
    let bodies: Vec<Vec<u8>> = statements.iter().map(encode).collect();
    let (paths, root) = tree(bodies.iter().map(|body| leaf(body)).collect());
    let signature = witness.sign(&[ROOT_CONTEXT, &root].concat()).to_bytes();
    let with_path = |((statement, body), path): ((Statement, Vec<u8>), Vec<u8>)| {
        let bytes = [&body[..], &path, &signature].concat();
        SignedStatement { statement, bytes }
    };
    statements.into_iter().zip(bodies).zip(paths).map(with_path).collect()
}

/// Gives the way of each leaf to the root, and the root. The last of an odd level goes up alone.
fn tree(leaves: Vec<[u8; 32]>) -> (Vec<Vec<u8>>, [u8; 32]) {
    let mut paths = vec![Vec::new(); leaves.len()];
    let (mut level, mut width) = (leaves, 1);
    while level.len() > 1 {
        for (leaf, path) in paths.iter_mut().enumerate() {
            let at = leaf / width;
            if let Some(other) = level.get(at ^ 1) {
                path.push(if at % 2 == 1 { IS_LEFT } else { IS_RIGHT });
                path.extend_from_slice(other);
            }
        }
        let join = |pair: &[[u8; 32]]| match pair {
            [left, right] => node(left, right),
            rest => rest[0],
        };
        level = level.chunks(2).map(join).collect();
        width *= 2;
    }
    (paths, level[0])
}

fn leaf(body: &[u8]) -> [u8; 32] {
    *blake3::hash(&[LEAF_CONTEXT, body].concat()).as_bytes()
}

fn node(left: &[u8], right: &[u8]) -> [u8; 32] {
    *blake3::hash(&[NODE_CONTEXT, left, right].concat()).as_bytes()
}

/// Says whether bytes between a statement and its signature have the form of a way to a root.
pub(super) fn is_path(path: &[u8]) -> bool {
    let is_step = |step: &[u8]| matches!(step[0], IS_LEFT | IS_RIGHT);
    path.len() <= PATH_BYTES_MAX
        && path.len().is_multiple_of(STEP_BYTES)
        && path.chunks(STEP_BYTES).all(is_step)
}

/// What the witness has signed: the statement itself, or the root that its way leads to.
fn signed_message(body: &[u8], path: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        return [CONTEXT, body].concat();
    }
    let up = |hash: [u8; 32], step: &[u8]| match step[0] {
        IS_LEFT => node(&step[1..], &hash),
        _ => node(&hash, &step[1..]),
    };
    let root = path.chunks(STEP_BYTES).fold(leaf(body), up);
    [ROOT_CONTEXT, &root].concat()
}

/// Reads statements and remembers the last signature that was right: those that were signed
/// together come together, and cost one check.
#[derive(Debug, Default)]
pub struct StatementReader {
    right: Option<(HubId, Vec<u8>, [u8; SIGNATURE_BYTES])>,
}

impl StatementReader {
    /// Reads a statement from anywhere: bounds and signature.
    ///
    /// # Errors
    /// If anything is wrong with it.
    pub fn read(&mut self, bytes: &[u8]) -> Result<SignedStatement, StatementError> {
        let (statement, body, path, signature) = parse(bytes).ok_or(StatementError::Malformed)?;
        let checked = (statement.witness, signed_message(body, path), *signature);
        if self.right.as_ref() != Some(&checked) {
            verify(&checked)?;
            self.right = Some(checked);
        }
        Ok(SignedStatement { statement, bytes: bytes.to_vec() })
    }
}

fn verify(
    (witness, message, signature): &(HubId, Vec<u8>, [u8; SIGNATURE_BYTES]),
) -> Result<(), StatementError> {
    let wrong = |_| StatementError::Signature;
    let key = VerifyingKey::from_bytes(witness.as_bytes()).map_err(wrong)?;
    key.verify_strict(message, &Signature::from_bytes(signature)).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::tests::statement;
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[2; 32])
    }

    fn signed(count: u64) -> Vec<SignedStatement> {
        sign_all((1..=count).map(|n| statement(n, n)).collect(), &key())
    }

    #[test]
    fn statements_signed_together_are_right_alone_and_in_any_order() {
        for count in [0, 1, 2, 3, 5, 8, 13, 255, 256, 257, 600] {
            let all = signed(count);
            assert_eq!(all.len() as u64, count);
            let mut reader = StatementReader::default();
            for it in all.iter().rev() {
                assert_eq!(reader.read(&it.bytes).as_ref(), Ok(it), "of {count}, together");
                assert_eq!(SignedStatement::decode(&it.bytes).as_ref(), Ok(it), "of {count}");
            }
        }
    }

    #[test]
    fn a_changed_byte_of_one_of_many_is_noticed_also_after_a_right_one() {
        let all = signed(7);
        let mut reader = StatementReader::default();
        for it in [&all[3], &all[6]] {
            for i in 0..it.bytes.len() {
                assert_eq!(reader.read(&all[0].bytes).as_ref(), Ok(&all[0]));
                let mut changed = it.bytes.clone();
                changed[i] ^= 1;
                assert!(reader.read(&changed).is_err(), "byte {i}");
            }
        }
    }

    #[test]
    fn the_way_of_another_statement_or_a_shorter_one_proves_nothing() {
        let all = signed(4);
        let (_, body, ..) = parse(&all[0].bytes).unwrap();
        let (.., path, signature) = parse(&all[1].bytes).unwrap();
        let swapped = [body, path, signature].concat();
        assert_eq!(SignedStatement::decode(&swapped), Err(StatementError::Signature));
        let (.., path, signature) = parse(&all[0].bytes).unwrap();
        let shorter = [body, &path[..STEP_BYTES], signature].concat();
        assert_eq!(SignedStatement::decode(&shorter), Err(StatementError::Signature));
        let torn = [body, &path[..STEP_BYTES - 1], signature].concat();
        assert_eq!(SignedStatement::decode(&torn), Err(StatementError::Malformed));
        let too_long = [body, &[0; PATH_BYTES_MAX + STEP_BYTES], signature].concat();
        assert_eq!(SignedStatement::decode(&too_long), Err(StatementError::Malformed));
    }
}
