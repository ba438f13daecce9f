//! The real thing, through its real doors.

mod door;
