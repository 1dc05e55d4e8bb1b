//! Metrics for Prometheus: what the last look saw, in the text format 0.0.4 or as OpenMetrics 1.0.
//!
//! The number of series is bounded by construction: each kind has a share of `--max-series`, and what does not fit
//! is summed in one series called `other`.

mod bounds;
mod catalog;
mod family;
mod findings;
mod http;
mod listeners;
mod page;
mod totals;

pub use bounds::MaxSeries;
pub use catalog::{Kind, METRICS, Metric, PREFIX};
pub use family::Exposition;
pub use http::{HttpTally, write_end};
pub use page::MetricsPage;
