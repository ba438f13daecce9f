//! Panics that are looked for: those of the terminal emulator, at what a stranger's program writes.
//!
//! Such a panic needs no line of its own each time, and its message may repeat what the stranger's program wrote. So
//! [`catch`] keeps the panic hook quiet, and tells its caller where the panic was, not what it said.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    /// Set while this thread is in [`catch`]; the place of the panic, once there was one.
    static LOOKED_FOR: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls `act`, which may panic. After a panic, what `act` was changing is in an unknown state, so the caller must
/// throw it away. Must not be used within itself.
///
/// # Errors
/// Where it panicked, as `file:line:column`; empty where logging was never started.
pub fn catch<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    LOOKED_FOR.set(Some(String::new()));
    let outcome = catch_unwind(AssertUnwindSafe(act));
    let place = LOOKED_FOR.take();
    outcome.map_err(|_| place.unwrap_or_default())
}

/// For the panic hook: whether [`catch`] waits for this panic; if so, notes its place for [`catch`].
pub(super) fn is_looked_for(panic: &PanicHookInfo<'_>) -> bool {
    LOOKED_FOR.with_borrow_mut(|looked_for| {
        let is_looked_for = looked_for.is_some();
        if is_looked_for {
            *looked_for = panic.location().map(ToString::to_string);
        }
        is_looked_for
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_told_from_what_does_not() {
        assert_eq!(catch(|| 7), Ok(7));
        assert!(catch(|| panic!("on purpose")).is_err());
        assert_eq!(catch(|| 8), Ok(8), "and the next one is its own");
        assert!(LOOKED_FOR.with_borrow(Option::is_none));
    }
}
