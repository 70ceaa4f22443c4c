//! From batches of records to rows: PostgreSQL, SQLite, JSON, CSV and the table on the terminal.
//!
//! What enters: [`Batch`]es that the workers send without ever blocking. What leaves: committed rows, or text.
//! What it owns: the [`Writer`] thread with its bounded buffer, the connections to the store, and the count of every
//! record's fate ([`WriterCounters`]).

mod channel;
mod community_id;
mod counters;
mod error;
mod overview;
mod postgres;
mod query;
mod rfc3339;
mod row;
mod schema;
mod spool;
mod sqlite;
mod store;
mod text;
mod upkeep;
mod url;
mod writer;

pub use channel::{Batch, BatchSender};
pub use community_id::CommunityId;
pub use counters::{LostReason, WriterCounters, WriterReport};
pub use error::StoreError;
pub use overview::{StoreOverview, overview};
pub use query::{FlowQuery, Since, query_flows};
pub use rfc3339::{Timestamp, parse_rfc3339};
pub use row::{COLUMNS, Row, StoredRow};
pub use spool::{Damage, SpoolConfig, SpoolError, SpoolFacts};
pub use text::{Format, RowPrinter};
pub use upkeep::{Upkeep, UpkeepConfig};
pub use url::{StoreUrl, state_folder};
pub use writer::{Writer, WriterConfig};
