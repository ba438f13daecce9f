//! What a service manager says to a service through its environment (sd_notify(3), sd_watchdog_enabled(3)).

use std::time::Duration;

/// What it wants to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The socket that it listens at: a path, or an abstract name behind an `@`.
    pub notify_socket: Option<String>,
    /// How long a server that lives may be silent, where it is listened for that.
    pub watchdog: Option<Duration>,
}

impl Service {
    /// Reads an environment, as that of the process `own_pid`.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>, own_pid: u32) -> Service {
        // Whoever is started by a service has its environment too, and is not meant.
        let meant = variable("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(own_pid));
        let microseconds = variable("WATCHDOG_USEC").filter(|_| meant);
        let watchdog = microseconds.and_then(|text| text.parse().ok());
        Service {
            notify_socket: variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()),
            watchdog: watchdog
                .filter(|&number| number > 0)
                .map(Duration::from_micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], socket: Option<&str>, seconds: Option<u64>) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(found, _)| *found == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let expected = Service {
            notify_socket: socket.map(str::to_owned),
            watchdog: seconds.map(Duration::from_secs),
        };
        assert_eq!(Service::of(variable, 7), expected, "{variables:?}");
    }

    #[test]
    fn only_what_is_meant_for_us_counts() {
        let socket = ("NOTIFY_SOCKET", "/run/systemd/notify");
        let minute = ("WATCHDOG_USEC", "60000000");
        check(&[], None, None);
        check(&[("NOTIFY_SOCKET", "")], None, None);
        check(&[socket], Some(socket.1), None);
        check(&[socket, minute], Some(socket.1), Some(60));
        check(&[minute, ("WATCHDOG_PID", "7")], None, Some(60));
        check(&[minute, ("WATCHDOG_PID", "8")], None, None);
        for nonsense in ["", "0", "-1", "soon"] {
            check(&[("WATCHDOG_USEC", nonsense)], None, None);
        }
    }
}
