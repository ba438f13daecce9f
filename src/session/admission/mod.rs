//! Decides who gets the Engine next: how many heavy calls run at the same time, who waits in line, and for how long. The
//! module has no thread of its own: each caller waits here on its own thread.

pub mod calls;
pub mod estimate;
pub(super) mod line;
pub mod metrics;
pub mod newcomer;
