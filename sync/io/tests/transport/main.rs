//! The transport on real sockets of the loopback interface: every wait is for an event, bounded.

mod admission;
mod exchange;
mod flow;
mod hostile;
mod lone_hub;
mod reach;
