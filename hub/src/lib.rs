//! The daemon of one school: it drives the sync node, keeps SQLite, runs jobs, serves HTTP.
//!
//! It decides nothing about sync (that is `yingxue-sync-core`) and touches no pixel (that is
//! `yingxue-codec`); neither imports it.
//!
//! One loop: a request reaches a handler of a slice → the handler writes a document or a table →
//! a projection → queries of the next requests. The driver feeds the node and carries out what it
//! asks for; the bus tells browsers what has changed. A slice is one feature: its routes, SQL and
//! tests.
//!
//! ```no_run
//! use yingxue_hub::{config::Config, serve::{ServeOptions, serve}};
//! serve(ServeOptions { data_dir: "school".into(), config: Config::default() })?;
//! # anyhow::Ok(())
//! ```

// the process
pub mod app;
pub mod cli;
pub mod config;
pub mod db;
pub mod demo;
pub mod events;
pub mod problem;
pub mod serve;
// sync
pub mod driver;
pub mod repair;
pub mod snapshots;
pub mod store;
// slices
pub mod accounts;
pub mod alarms;
pub mod alliance;
pub mod captions;
pub mod catalog;
pub mod comments;
pub mod contacts;
pub mod courier;
pub mod demo_link;
pub mod health;
pub mod import_job;
pub mod jobs;
pub mod lessons;
pub mod media;
pub mod night;
pub mod offers;
pub mod openapi;
pub mod page_times;
pub mod playing;
pub mod room;
pub mod setup;
pub mod timeline;
pub mod timetable;
pub mod uploads;
pub mod web;
