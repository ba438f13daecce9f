//! Panics that are looked for: those of code that is not ours, at what a stranger's program says.
//!
//! Such a panic is no fault that needs a line of its own each time, and its words may repeat what the stranger said. So
//! [`catch`] keeps the panic hook quiet, and tells its caller where it was, not what it said.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    /// There while this thread is in [`catch`]; then where it panicked, once it has.
    static LOOKED_FOR: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does something that may panic. What it was about to change is in no state that one can rely on then: the caller throws
/// it away. Not to be used within itself.
///
/// # Errors
/// Where it panicked, as `file:line:column`; empty where logging was never started.
pub fn catch<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    LOOKED_FOR.set(Some(String::new()));
    let outcome = catch_unwind(AssertUnwindSafe(act));
    let place = LOOKED_FOR.take();
    outcome.map_err(|_| place.unwrap_or_default())
}

/// For the panic hook: whether somebody looks for this panic, who is told its place then.
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
