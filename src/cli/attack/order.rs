//! What an attacker is told to do, as a line of words.

use std::fmt;

/// What the sandbox is meant to allow, and where the world outside would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Processes and threads.
    pub pids: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Billionths of a processor.
    pub cpus: u64,
    /// A process of the host.
    pub host_pid: i32,
    /// A port of the host that answers, and the number in the name of its abstract socket.
    pub host_port: u16,
}

/// What to use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bomb {
    /// Processes that make processes.
    Forks,
    /// Threads.
    Threads,
    /// Memory.
    Heap,
    /// Memory, by way of files.
    Tmpfs,
    /// Files without content.
    Inodes,
    /// Processor time.
    Cpu,
    /// Open files in many processes.
    Files,
    /// Pseudo-terminals.
    Terminals,
    /// The one file on disk, again and again.
    Disk,
    /// Plain output.
    Output,
    /// Control sequences that never end, titles, questions to the terminal.
    Escapes,
    /// Processes without a parent, which ignore every signal they can.
    Daemons,
    /// Sizes of the terminal, one after the other: the self-test sends them as a page would, so the attacker has
    /// nothing to do.
    Sizes,
}

/// All of them, with their names.
pub const BOMBS: &[(Bomb, &str)] = &[
    (Bomb::Forks, "fork-bomb"),
    (Bomb::Threads, "thread-bomb"),
    (Bomb::Heap, "memory-bomb"),
    (Bomb::Tmpfs, "tmpfs-bomb"),
    (Bomb::Inodes, "inode-bomb"),
    (Bomb::Cpu, "cpu-hog"),
    (Bomb::Files, "fd-hog"),
    (Bomb::Terminals, "pty-hog"),
    (Bomb::Disk, "disk-hog"),
    (Bomb::Output, "output-flood"),
    (Bomb::Escapes, "escape-flood"),
    (Bomb::Daemons, "daemons"),
    (Bomb::Sizes, "resize-storm"),
];

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Try everything that does no harm.
    Look(Terms),
    /// See whether the limits hold.
    Limits(Terms),
    /// Use something up.
    Bomb(Bomb, Terms),
    /// Take this many bytes of memory.
    Eat(u64),
    /// Become a daemon; this many generations are still to come.
    Daemon(u64),
}

impl Order {
    /// Reads a line.
    pub fn parse(line: &str) -> Option<Order> {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        let number = numbers.first().copied().unwrap_or_default();
        match name {
            "look" => Some(Order::Look(Terms::from_numbers(&numbers)?)),
            "limits" => Some(Order::Limits(Terms::from_numbers(&numbers)?)),
            "eat" => Some(Order::Eat(number)),
            "daemon" => Some(Order::Daemon(number)),
            _ => {
                let (bomb, _) = BOMBS.iter().find(|(_, known)| *known == name)?;
                Some(Order::Bomb(*bomb, Terms::from_numbers(&numbers)?))
            }
        }
    }

    /// Its first word.
    pub fn name(&self) -> &'static str {
        match self {
            Order::Look(_) => "look",
            Order::Limits(_) => "limits",
            Order::Eat(_) => "eat",
            Order::Daemon(_) => "daemon",
            Order::Bomb(bomb, _) => bomb.name(),
        }
    }
}

impl Bomb {
    /// Its name.
    pub fn name(self) -> &'static str {
        let known = BOMBS.iter().find(|(known, _)| *known == self);
        known.map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ", self.name())?;
        match self {
            Order::Look(terms) | Order::Limits(terms) | Order::Bomb(_, terms) => write!(
                out,
                "{} {} {} {} {}",
                terms.pids, terms.memory, terms.cpus, terms.host_pid, terms.host_port
            ),
            Order::Eat(number) | Order::Daemon(number) => number.fmt(out),
        }
    }
}

impl Terms {
    fn from_numbers(numbers: &[u64]) -> Option<Terms> {
        let [pids, memory, cpus, host_pid, host_port] = *numbers else {
            return None;
        };
        Some(Terms {
            pids,
            memory,
            cpus,
            host_pid: host_pid.try_into().ok()?,
            host_port: host_port.try_into().ok()?,
        })
    }

    /// The name of the host's abstract socket.
    pub fn socket_name(&self) -> String {
        format!("shellcraft-selftest-{}", self.host_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_they_are_written() {
        let terms = Terms {
            pids: 64,
            memory: 1 << 26,
            cpus: 500_000_000,
            host_pid: 4711,
            host_port: 8080,
        };
        let mut orders = vec![
            Order::Look(terms),
            Order::Limits(terms),
            Order::Eat(1),
            Order::Daemon(2),
        ];
        orders.extend(BOMBS.iter().map(|(bomb, _)| Order::Bomb(*bomb, terms)));
        for order in orders {
            assert_eq!(Order::parse(&order.to_string()), Some(order));
        }
        for nonsense in [
            "",
            "look",
            "look 1 2 3",
            "bomb",
            "eat x",
            "cpu-hog -1 1 1 1 1",
        ] {
            assert_eq!(Order::parse(nonsense), None, "{nonsense}");
        }
    }
}
