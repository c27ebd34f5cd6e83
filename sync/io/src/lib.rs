//! Acts for the node: connections to other hubs, and the files of blobs.
//!
//! Not in here: deciding anything, or knowing what a message means. That is `sync/core`; this
//! crate carries out what the node puts out and reports what happened, and the hub's driver
//! stands between the two.
//!
//! - [`transport`]: libp2p over TCP (Noise, Yamux) with QUIC as the fallback, mDNS, one framed
//!   stream per contact, and only admitted hubs get in.
//! - [`blob_files`]: sparse files with reserved space, written and fsynced in batches.
//! - [`courier`]: sticks: signed, encrypted parcels in a folder, written so that one may be pulled
//!   out at any byte.
//!
//! The loop of a driver, in short:
//!
//! ```no_run
//! use yingxue_sync_io::transport::{Transport, TransportConfig, TransportEvent};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = TransportConfig { secret: [7; 32], ..TransportConfig::default() };
//! let (transport, mut events) = Transport::start(config).await?;
//! while let Some(event) = events.recv().await {
//!     if let TransportEvent::Received { contact, frame } = event {
//!         transport.send(contact, frame); // an echo; a real driver asks the node
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod blob_files;
pub mod courier;
pub mod transport;
