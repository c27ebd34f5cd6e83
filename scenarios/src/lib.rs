//! The simulated world: it drives the same [`Node`](yingxue_sync_core::Node) as the hub does,
//! under virtual time, with power cuts, full disks, bad links, wrong clocks and strangers.
//!
//! There is no network, no thread, no sleeping and no wall clock in it; simulated hours pass in
//! milliseconds, and the same seed gives the same run.
//!
//! ```
//! use yingxue_scenarios::{check, link::Access, world::World};
//!
//! let mut world = World::new(1);
//! let hubs = world.add_alliance(Access::LEAD, &[Access::LAN]);
//! world.write(hubs[0], 1);
//! world.must_reach("both have it", 60_000, |world| check::converged(world, &hubs));
//! check::all_acknowledged_everywhere(&world, &hubs);
//! ```

pub mod check;
pub mod disk;
pub mod fault;
pub mod link;
pub mod logged;
pub mod province;
pub mod reconnect;
pub mod rng;
pub mod seed;
pub mod store;
pub mod trace;
pub mod world;
