//! The full screen of `watch`: what it shows and what keys do. Knows no terminal and no clock: keys, looks and times
//! come from whoever drives it.

mod details;
mod draw;
mod rows;
mod screen;

pub use screen::{Key, Screen, Wish};
