//! The part of Yingxue that decides: who belongs, what was written, what to fetch from whom.
//!
//! It does no I/O: no clock, socket, file, thread, randomness or async. A driver gives it
//! [`event::Input`]s with the time, carries out its [`event::Output`]s, and says what came of them.
//!
//! ```
//! use yingxue_sync_core::{Node, NodeConfig, Time, event::{Input, Restored}};
//!
//! let mut node = Node::new(NodeConfig::new([1; 32], [2; 32]), Restored::default())?;
//! node.handle_input(Time(0), Input::Clock { wall_ms: 1_800_000_000_000 });
//! while let Some(output) = node.poll_output() {
//!     // carry it out; answer a store request with Input::Stored
//! }
//! let _wake_at = node.poll_timeout(); // then call node.handle_timeout(now)
//! # Ok::<(), yingxue_sync_core::RestoreError>(())
//! ```

pub mod audit;
pub mod blob;
pub mod courier;
pub mod doc;
pub mod event;
pub mod id;
pub mod journal;
pub mod membership;
mod node;
pub mod outbox;
mod pack;
pub mod plan;
pub mod riblt;
pub mod rng;
pub mod wire;
pub mod witness;

pub use id::{ContactId, HubId, Time};
pub use node::{Node, NodeConfig, RestoreError, hub_of};
