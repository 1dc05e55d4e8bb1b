//! Reports to bytes: one file a format; a renderer gets a writer and opens nothing.

pub mod escape;
mod json;
pub mod page;
mod table;

pub use json::{SCHEMA, schema, write_json};
pub use table::{TableOptions, write_table};
