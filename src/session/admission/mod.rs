//! Who gets the Engine next: how many heavy calls run at the same time, who waits in line, and for how long. No thread of
//! its own: whoever wants something waits here for it.

pub mod calls;
pub mod estimate;
pub(super) mod line;
pub mod metrics;
