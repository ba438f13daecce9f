//! Takes over what the server's last life left: runs once, on the reaper's thread, before anything is swept.
//!
//! Records are matched with labelled containers by a pure function, [`plan`]; each session that goes on gets its
//! thread, which attaches, finds out how its container is, and does what is due: play on, or save and remove.
//! Until that is done, newcomers and pages that come back are told to try again in a moment.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use log::{info, warn};

use super::sandbox::{INSTANCE_LABEL, SESSION_LABEL};
use super::session::Session;
use super::spellbook::slot::Base;
use super::state::{Event, Reason};
use super::store::{Phase, Record, StoredScreen, StoredTypist, StoredUndrawn};
use super::{Error, Manager, shells};
use crate::auth::CookieKey;
use crate::auth::Owner;
use crate::engine::types::ContainerSummary;
use crate::engine::{ContainerId, Size};
use crate::terminal::input::Count;
use crate::terminal::snapshot::{MAX_UNDRAWN_BYTES, Snapshot, Undrawn};

/// A container that takes longer to be attached to than this is set aside.
const ATTACH_WAIT: Duration = Duration::from_secs(3);

/// What is to be done about a record or a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoptionStep {
    /// The container has a record: a session goes on, or its end is carried out.
    TakeOver(Box<Record>, ContainerId),
    /// The container is gone: the session is missing, and its record is of no use.
    Missing(Box<Record>),
    /// The container waits for a player, and was not made in the way containers are made now.
    Stale(Box<Record>, ContainerId),
    /// The container has no record: its book is saved under a name of its own, and it is removed.
    Orphan(String, ContainerId),
}

/// Matches records with the containers of the same instance. `policy` says what a shell's containers are made from now.
pub fn plan(
    records: Vec<Record>,
    containers: &[ContainerSummary],
    policy: impl Fn(&str) -> String,
) -> Vec<AdoptionStep> {
    let mut by_session: HashMap<&str, Vec<&ContainerSummary>> = HashMap::new();
    for container in containers {
        if let Some(session_id) = container.labels.get(SESSION_LABEL) {
            by_session.entry(session_id).or_default().push(container);
        }
    }
    let mut steps = Vec::new();
    for record in records {
        // Labels can be copied, ids can't: of several containers the right one is the one that the record names.
        let candidates = by_session.remove(record.session_id.to_text().as_str());
        let container = candidates.and_then(|all| {
            let named = all
                .iter()
                .find(|one| one.id.to_string() == record.container);
            named.or(all.first()).copied()
        });
        steps.push(match container {
            None => AdoptionStep::Missing(Box::new(record)),
            Some(container)
                if record.phase == Phase::Prewarmed && record.policy != policy(&record.shell) =>
            {
                AdoptionStep::Stale(Box::new(record), container.id.clone())
            }
            Some(container) => AdoptionStep::TakeOver(Box::new(record), container.id.clone()),
        });
    }
    let known: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            AdoptionStep::TakeOver(_, id) | AdoptionStep::Stale(_, id) => Some(id.clone()),
            _ => None,
        })
        .collect();
    for container in containers.iter().filter(|one| !known.contains(&one.id)) {
        let session_id = container.labels.get(SESSION_LABEL).cloned();
        steps.push(AdoptionStep::Orphan(
            session_id.unwrap_or_default(),
            container.id.clone(),
        ));
    }
    steps
}

impl Manager {
    /// Takes over everything, once. Returns an error, after which to try again, if the Engine or the store can't be
    /// reached.
    pub(super) fn adopt_all(self: &Arc<Self>) -> Result<(), Error> {
        let began = Instant::now();
        // INVARIANT: before the key, because cookies count from then on.
        self.learn_revoked()?;
        let key = self.store.cookie_key(&CookieKey::random_bytes())?;
        // This fails when an earlier try has come this far; the key is the same then.
        let _ = self.cookie_key.set(CookieKey::new(&key));
        let records = self.store.list()?;
        let containers = self
            .engine
            .list(&[(INSTANCE_LABEL, &self.settings.instance)])?;
        let steps = plan(records, &containers, |shell| self.policy(shell));
        let (mut adopted, mut missing, mut sessions) = (0, 0, Vec::new());
        for step in steps {
            match step {
                AdoptionStep::TakeOver(record, container) => {
                    adopted += 1;
                    let summary = containers.iter().find(|one| one.id == container);
                    sessions.extend(self.take_over(&record, container, summary)?);
                }
                AdoptionStep::Missing(record) => {
                    missing += 1;
                    self.note_missing(&record);
                }
                // The sweep finds the container.
                AdoptionStep::Stale(..) | AdoptionStep::Orphan(..) => {}
            }
        }
        self.wait_for_attaches(sessions);
        self.metrics.lives.adopted.inc_by(adopted);
        self.settled.settle();
        self.pool.wake();
        self.tell_of_strays();
        if adopted + missing > 0 {
            info!(
                "taken over: {adopted} sessions, {missing} missing, in {:?}",
                began.elapsed()
            );
        }
        Ok(())
    }

    /// Lets the sessions' threads attach, all at the same time. A session whose container hangs is not waited for: its
    /// thread goes on trying, and pages see what they see while the Engine is away.
    fn wait_for_attaches(&self, sessions: Vec<Arc<Session>>) {
        let deadline = Instant::now() + ATTACH_WAIT;
        for session in sessions {
            if !session.wait_until_clear(deadline) {
                session.hub.engine_away();
            }
        }
    }

    /// Returns the session, whose thread attaches now; nothing when an earlier try has taken it over already.
    fn take_over(
        self: &Arc<Self>,
        record: &Record,
        container: ContainerId,
        summary: Option<&ContainerSummary>,
    ) -> Result<Option<Arc<Session>>, Error> {
        if self.sessions.get(record.session_id).is_some() {
            return Ok(None);
        }
        if record.screen.is_some() {
            // INVARIANT: the stored screen is removed before the session goes on: after a crash it would be a screen from
            // long ago.
            self.store
                .update(record.session_id, &mut |record| record.screen = None)?;
        }
        let session = self.session_of(record);
        session.set_container(container.clone());
        if let Some(summary) = summary {
            let image = shells::bare(&summary.image_id);
            if !image.is_empty() {
                session.set_image(image.to_owned());
            }
            session.note_paused(summary.state == "paused");
        }
        let still = record.screen.as_ref().map(still_of);
        session.hub.go_on_from(still.as_ref());
        match &still {
            Some(still) => *session.applied_size.lock() = Some(still.size),
            None => session.wants_redraw.store(true, Ordering::SeqCst),
        }
        session.step(match record.phase {
            Phase::Prewarmed => Event::Prepared,
            Phase::Claimed => Event::Ready,
        })?;
        if let (Phase::Claimed, Some(player)) = (record.phase, &record.player)
            && self.is_superseded(record.session_id, player)?
        {
            // Its thread saves the book under a name of its own.
            session.order_end(Reason::Moved)?;
        }
        session.set_unclear(true);
        self.sessions
            .write()
            .insert(session.id, Arc::clone(&session));
        self.spawn_session(&session, &container, None)
            .inspect_err(|_| drop(self.sessions.remove(session.id)))?;
        Ok(Some(session))
    }

    fn session_of(self: &Arc<Self>, record: &Record) -> Arc<Session> {
        let session = self.empty_session(record.session_id, &record.shell);
        if let (Some(player), Some(token_hash)) = (&record.player, &record.token_hash) {
            session.set_owner(Owner {
                token_hash: token_hash.clone(),
                player: player.clone(),
                household: None,
            });
            if let Some(book) = &record.book {
                session.book.lock().base = Base::Left(book.clone());
            }
            session
                .go_on_since(SystemTime::UNIX_EPOCH + Duration::from_millis(record.created_at_ms));
        }
        session
    }

    /// Keeps a session whose container is gone, so that the page that comes back is told what happened to it.
    fn note_missing(self: &Arc<Self>, record: &Record) {
        self.forget_record(record.session_id, record.player.as_ref());
        if record.phase == Phase::Prewarmed {
            return;
        }
        let session = self.session_of(record);
        let steps = [Event::Ready, Event::ContainerGone];
        // Both steps are legal in this order.
        if steps.into_iter().all(|event| session.step(event).is_ok()) {
            self.sessions.add(session);
        }
        self.metrics.lives.ended.of(Reason::Vanished).inc();
    }

    /// Warns about containers of other ports. Without `INSTANCE` the port is part of the instance's name: after a start on
    /// another port the former containers belong to no server.
    fn tell_of_strays(&self) {
        let Ok(all) = self.engine.list_with_label(INSTANCE_LABEL) else {
            return;
        };
        let names = all.iter().filter_map(|one| one.labels.get(INSTANCE_LABEL));
        for (other, (port, count)) in strays(&self.settings.instance, names.map(String::as_str)) {
            // A server that answers there is another one, and its games are fine.
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
                warn!(
                    "{count} containers are left of a server on port {port}, which does not run: if it was this one, start \
                     it with INSTANCE={other} and their games go on; otherwise remove them"
                );
            }
        }
    }
}

/// The other instances on this host that are named after their ports, as this one is, and how many containers each has.
fn strays<'a>(
    instance: &str,
    all: impl Iterator<Item = &'a str>,
) -> BTreeMap<&'a str, (u16, usize)> {
    let by_port = |name: &str| {
        let (host, port) = name.rsplit_once(':')?;
        Some((host.to_owned(), port.parse::<u16>().ok()?))
    };
    let mut strays = BTreeMap::new();
    let Some((host, own)) = by_port(instance) else {
        return strays;
    };
    for name in all {
        if let Some((theirs, port)) = by_port(name)
            && theirs == host
            && port != own
        {
            strays.entry(name).or_insert((port, 0)).1 += 1;
        }
    }
    strays
}

/// A screen in the form in which the store keeps it.
pub(super) fn stored_screen(still: &Snapshot) -> StoredScreen {
    StoredScreen {
        offset: still.offset,
        cols: still.size.cols,
        rows: still.size.rows,
        data: still.data.clone(),
        open: still.open.clone(),
        undrawn: still.undrawn.as_ref().map(|undrawn| StoredUndrawn {
            data: undrawn.data.clone(),
            output: BASE64.encode(&undrawn.output),
        }),
        typist: still
            .typist
            .map(|Count { page, come }| StoredTypist { page, come }),
    }
}

fn still_of(screen: &StoredScreen) -> Snapshot {
    Snapshot {
        offset: screen.offset,
        size: Size {
            cols: screen.cols,
            rows: screen.rows,
        },
        data: screen.data.clone(),
        // No character has more bytes.
        open: screen.open.iter().copied().take(4).collect(),
        undrawn: screen.undrawn.as_ref().and_then(undrawn_of),
        typist: screen
            .typist
            .map(|StoredTypist { page, come }| Count { page, come }),
    }
}

/// The undrawn output that was stored. What can't be read, or is more than a server writes, is left out.
fn undrawn_of(stored: &StoredUndrawn) -> Option<Undrawn> {
    let output = BASE64.decode(&stored.output).ok()?;
    // The 4 bytes are for a part of a character.
    (output.len() < MAX_UNDRAWN_BYTES + 4).then(|| Undrawn {
        data: stored.data.clone(),
        output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::PlayerId;
    use crate::session::store::FORMAT;

    /// Two sessions that are in every table, and one that is in none.
    const A: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    const B: &str = "1b4e28ba-2fa1-4d2e-883f-0016d3cca427";

    fn record(id: &str, container: &str, phase: Phase, policy: &str) -> Record {
        Record {
            format: FORMAT,
            revision: 1,
            session_id: id.parse().expect("an id"),
            instance: "test".into(),
            shell: "rust".into(),
            phase,
            container: ContainerId(container.into()).to_string(),
            policy: policy.into(),
            player: (phase == Phase::Claimed).then(|| PlayerId::of_lost_session(id)),
            token_hash: None,
            created_at_ms: 0,
            book: None,
            screen: None,
        }
    }

    fn container(id: &str, session: Option<&str>) -> ContainerSummary {
        let label = session.map(|session| (SESSION_LABEL.to_owned(), session.to_owned()));
        ContainerSummary {
            id: ContainerId(id.into()),
            names: Vec::new(),
            state: "running".into(),
            image_id: String::new(),
            labels: label.into_iter().collect(),
            created: 0,
        }
    }

    /// Steps as words, in order: what is done, the session's first letters, the container.
    #[track_caller]
    fn check(records: Vec<Record>, containers: &[ContainerSummary], expected: &[&str]) {
        let short = |id: &str| id.chars().take(4).collect::<String>();
        let steps = plan(records, containers, |shell| format!("{shell}-now"));
        let words: Vec<_> = steps
            .into_iter()
            .map(|step| match step {
                AdoptionStep::TakeOver(record, container) => {
                    format!(
                        "take over {} {container}",
                        short(&record.session_id.to_text())
                    )
                }
                AdoptionStep::Missing(record) => {
                    format!("missing {}", short(&record.session_id.to_text()))
                }
                AdoptionStep::Stale(record, container) => {
                    format!("stale {} {container}", short(&record.session_id.to_text()))
                }
                AdoptionStep::Orphan(session, container) => {
                    format!("orphan {:?} {container}", short(&session))
                }
            })
            .collect();
        assert_eq!(words, expected);
    }

    #[test]
    fn records_meet_their_containers() {
        use Phase::{Claimed, Prewarmed};
        check(vec![], &[], &[]);
        let played = |container| record(A, container, Claimed, "rust-now");
        check(
            vec![played("c1")],
            &[container("c1", Some(A))],
            &["take over f47a c1"],
        );
        check(vec![played("c1")], &[], &["missing f47a"]);
        check(vec![], &[container("c1", Some(A))], &["orphan \"f47a\" c1"]);
        check(vec![], &[container("c1", None)], &["orphan \"\" c1"]);
        check(
            vec![played("c1"), record(B, "c2", Prewarmed, "rust-now")],
            &[container("c2", Some(B)), container("c1", Some(A))],
            &["take over f47a c1", "take over 1b4e c2"],
        );
        check(
            vec![played("c1")],
            &[container("c2", Some(B)), container("c3", None)],
            &["missing f47a", "orphan \"1b4e\" c2", "orphan \"\" c3"],
        );
    }

    /// Containers are made in another way now: only a container that no one plays in is given up for that.
    #[test]
    fn a_stale_container_goes_unless_it_has_a_player() {
        let old = |phase| vec![record(A, "c1", phase, "rust-before")];
        let there = [container("c1", Some(A))];
        check(old(Phase::Prewarmed), &there, &["stale f47a c1"]);
        check(old(Phase::Claimed), &there, &["take over f47a c1"]);
        check(old(Phase::Prewarmed), &[], &["missing f47a"]);
    }

    #[test]
    fn other_ports_of_this_host_are_found() {
        let all = [
            "h:8022", "h:8022", "h:1", "h:8080", "x:8022", "mine", "h:no",
        ];
        let found = strays("h:8080", all.into_iter());
        assert_eq!(
            found,
            BTreeMap::from([("h:8022", (8022, 2)), ("h:1", (1, 1))])
        );
        assert!(strays("mine", all.into_iter()).is_empty());
    }

    /// Someone has copied the labels: the container that the record names is the session's, in whatever order they come.
    #[test]
    fn of_two_with_one_label_the_record_decides() {
        let (real, copy) = (container("c1", Some(A)), container("c2", Some(A)));
        let expected = ["take over f47a c1", "orphan \"f47a\" c2"];
        for both in [[real.clone(), copy.clone()], [copy, real]] {
            check(
                vec![record(A, "c1", Phase::Claimed, "rust-now")],
                &both,
                &expected,
            );
        }
        // A record that names neither container.
        check(
            vec![record(A, "c9", Phase::Claimed, "rust-now")],
            &[container("c1", Some(A)), container("c2", Some(A))],
            &expected,
        );
    }

    /// Ids are long, and records may name only their first twelve digits.
    #[test]
    fn long_ids_are_known_by_their_beginning() {
        let (one, two) = ("a".repeat(64), "b".repeat(64));
        check(
            vec![record(A, &two, Phase::Claimed, "rust-now")],
            &[container(&one, Some(A)), container(&two, Some(A))],
            &[
                "take over f47a bbbbbbbbbbbb",
                "orphan \"f47a\" aaaaaaaaaaaa",
            ],
        );
    }
}
